"""The commands that write: register, update, delete, import; and export, which reads whole records."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Final, TextIO, TypeVar

import msgspec
import typer

from config.keyfiles import read_anchor, read_writer_key
from config.options import AnchorOption, KeyOption, Node, RegistryOption
from config.places import anchor_path, key_path, language, registry_address
from config.process import settle_collector
from protocol.address import parse_address
from protocol.errors import Rule, SettingsError, render
from protocol.identifiers import normal_prefix_text
from protocol.kept import encode_data
from protocol.limits import DEFAULT_PORT, DEFAULT_TTL_SECONDS
from protocol.records import State, encode_values
from protocol.signatures import SigningKey
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from registry.by_hand import MakeValues, name_of, register_by_hand, update_by_hand, write_by_hand
from registry.client import RegistryClient
from registry.exporting import exported
from registry.importing.job import Summary, run_import
from registry.importing.options import ImportOptions
from registry.importing.progress_bar import ProgressBar
from registry.importing.rules import INTERRUPTED
from registry.store.writes import Write
from registry.templates.client import TemplateClient
from registry.urls import URL, is_url
from registry.value_options import read_items, read_template_option, read_values

ODD_URL: Final = Rule(
    "command.odd-url",
    Status.OK,
    "! '{text}' is no URL and leads to no page; a URL begins with https:// or another scheme",
    "! “{text}”不是合法的网址（URL），无法打开；网址应以 https:// 等协议头开始",
)
CANNOT_OPEN: Final = Rule(
    "command.cannot-open", Status.SETTINGS, "{path} cannot be opened: {reason}", "无法打开 {path}：{reason}"
)

_INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as a shell gives it: 128 and the signal's number."""

_SHOWN_CHARACTERS: Final = 80

Values = Annotated[
    list[str],
    typer.Option(
        "--value", "-v", help="TYPE=DATA; indexes count from 1, or write 3:TYPE=DATA. May be given several times."
    ),
]
Ttl = Annotated[int, typer.Option(min=0, max=172_800, help="Seconds for which answers may be remembered.")]
Client = TypeVar("Client", bound=RegistryClient)
Version = Annotated[
    int | None,
    typer.Option(
        "--template",
        min=1,
        help="The record follows this version of its prefix's template: -v ITEM=DATA. Times and rights are its own.",
    ),
]
Restricted = Annotated[bool, typer.Option("--restricted", help="Values are not for the public.")]


def add_commands(app: typer.Typer) -> None:
    """Put this module's commands into ``app``."""
    app.command(
        epilog="Example: biaoshi register 88.118.32001/P001 -v URL=https://example.com/p1 -v NAME=泵 --node ./node"
    )(register)
    app.command(epilog="Example: biaoshi update 88.118.32001/P001 -v URL=https://example.com/p2 --node ./node")(update)
    app.command(epilog="Example: biaoshi delete 88.118.32001/P001 --node ./node")(delete)
    app.command(
        "import",
        epilog="Examples: biaoshi import products.csv --node ./node  |  "
        "biaoshi import 产品.xlsx --column 网址=URL --prefix 88.118.32001 --check",
    )(import_file)
    app.command(epilog="Example: biaoshi export 88.118.32001 --node ./node > products.ndjson")(export)


def register(
    identifier: Annotated[
        str,
        typer.Argument(help="The identifier, like 88.118.32001/P0001, or a series: 88.118.32001/B-{0001..9999}."),
    ],
    value: Values = [],  # noqa: B006  # a template may compute all there is
    ttl: Ttl = DEFAULT_TTL_SECONDS,
    restricted: Restricted = False,
    template: Version = None,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Register an identifier or a series. The same content again is a success; other content is refused (exit code 4).

    注册一个标识或一个序列。内容相同的重复注册视为成功，内容不同则被拒绝（退出码 4）。
    """
    name = name_of(identifier)
    values = _values(name, value, ttl, restricted, template)
    print_all(register_by_hand(connect(registry, anchor, key, node), name, values))


def update(
    identifier: Annotated[str, typer.Argument(help="A registered identifier or series.")],
    value: Values = [],  # noqa: B006  # a template may compute all there is
    ttl: Ttl = DEFAULT_TTL_SECONDS,
    restricted: Restricted = False,
    template: Version = None,
    if_version: Annotated[int | None, typer.Option(min=1, help="Only if the record has this version.")] = None,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Replace the values of a registered identifier.

    更新一个已注册标识的全部值。
    """
    name = name_of(identifier)
    values = _values(name, value, ttl, restricted, template)
    print_all(update_by_hand(connect(registry, anchor, key, node), name, values, if_version))


def delete(
    identifiers: Annotated[list[str], typer.Argument(help="Identifiers and series to withdraw.")],
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Withdraw identifiers. From then on they answer "withdrawn", sealed like any answer.

    注销标识。注销后解析返回“已注销”，同样带签章。
    """
    writes = [Write(name_of(identifier), None, None) for identifier in identifiers]
    print_all(write_by_hand(connect(registry, anchor, key, node), writes))


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV (UTF-8, with BOM, or GB18030), NDJSON or XLSX.")],
    column: Annotated[
        list[str] | None, typer.Option(help="HEADER=TYPE, HEADER=TYPE:INDEX, or HEADER= to leave it out.")
    ] = None,
    identifier_column: Annotated[
        str | None, typer.Option(help="Header of the identifiers; usual names are known.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Put before identifiers that are bare suffixes.")] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="The records follow this version of the prefix's template (VERSION with --prefix, or PREFIX/VERSION); "
            "columns are its items, by name or index."
        ),
    ] = None,
    update: Annotated[bool, typer.Option(help="Also replace what is registered with other content.")] = False,
    check: Annotated[bool, typer.Option(help="Only look for rows that would be refused; write nothing.")] = False,
    format_: Annotated[
        str | None, typer.Option("--format", help="csv, ndjson or xlsx; by the file's ending otherwise.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8 or gb18030; found out otherwise.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Comma, semicolon or tab; found out otherwise.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an XLSX file; the first otherwise.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where refused rows are listed. Default: FILE.refused.csv.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Working directory. Default: FILE.import.")] = None,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Import a product file. Interrupted at any point and run again, it goes on where it was.

    导入产品文件。任何时候中断后重新运行同一命令即可继续，不丢失、不重复。
    """
    options = ImportOptions(
        format=format_,  # type: ignore[arg-type]  # checked there, with a sentence for the person
        encoding=encoding,  # type: ignore[arg-type]
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),  # type: ignore[arg-type]
        sheet=sheet,
        columns=tuple(column or ()),
        identifier_column=identifier_column,
        prefix=prefix,
        update=update,
        check_only=check,
        language="zh" if language() == "zh" else "en",
    )
    wanted = None if template is None else read_template_option(template, prefix)
    client = None if check and wanted is None else connect(registry, anchor, key, node)
    settle_collector()  # millions of small objects come and go, none of them in a cycle
    try:
        summary = asyncio.run(_import(file, client, options, wanted, work, report))
    except KeyboardInterrupt:
        print(f"biaoshi: {render(INTERRUPTED.name, {}, options.language)}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    _print_summary(summary, check)
    if summary.refused:
        raise typer.Exit(Exit.PARTLY_REFUSED)


def export(
    prefix: Annotated[str, typer.Argument(help="Prefix; those below it are included.")],
    out: Annotated[Path | None, typer.Option(help="File to write; standard output otherwise.")] = None,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Write all active series and records of a prefix as NDJSON, in order, restricted values included.

    以 NDJSON 格式按顺序导出某前缀的全部有效序列和记录（含受限值），可再次导入。
    """
    name = normal_prefix_text(prefix)
    asyncio.run(_export(connect(registry, anchor, key, node), name, out))


# What they do ---------------------------------------------------------------------------------------------


def print_all(lines: AsyncIterator[str]) -> None:
    """Print what there is to tell, as it comes."""

    async def tell() -> None:
        async for line in lines:
            print(line)

    asyncio.run(tell())


def _values(name: bytes, texts: list[str], ttl: int, restricted: bool, template: int | None) -> MakeValues:
    """What makes the values of a record or a series: of the options alone, or by a template, which the registry has."""
    encoded = b"" if template is not None else encoded_values(texts, ttl, restricted)

    async def make(client: TemplateClient) -> bytes:
        if template is None:
            return encoded
        followed = await client.template(name.partition(b"/")[0].decode(), template)
        return encode_data(template, read_items(texts, followed))

    return make


async def _import(
    file: Path,
    client: TemplateClient | None,
    options: ImportOptions,
    wanted: tuple[str, int] | None,
    work: Path | None,
    report: Path | None,
) -> Summary:
    async with contextlib.AsyncExitStack() as stack:
        sink = await stack.enter_async_context(client) if client else None
        if sink is not None and wanted is not None:
            options = msgspec.structs.replace(options, template=await sink.template(*wanted))
        bar = stack.enter_context(ProgressBar(options.language))
        return await run_import(
            file, sink, options, work_directory=work, report_path=report, progress=bar.show, notice=bar.say
        )


async def _export(client: RegistryClient, prefix: str, out: Path | None) -> None:
    async with client:
        with output_file(out) as file:
            async for entry in client.records(prefix):
                if entry.record.state is State.ACTIVE:
                    file.write(json.dumps(exported(entry), ensure_ascii=False) + "\n")


_CHECKED_EN = "{0.rows:,} rows checked, {0.refused:,} would be refused"
_CHECKED_ZH = "已检查 {0.rows:,} 行，{0.refused:,} 行不合格"
_SUMMARY_EN = (
    "{0.rows:,} rows: {0.registered:,} registered, {0.unchanged:,} there already, {0.refused:,} refused; "
    "{0.seconds:.1f} s ({1:,.0f} rows/s)"
)
_SUMMARY_ZH = (
    "{0.rows:,} 行：新注册 {0.registered:,}，已存在 {0.unchanged:,}，拒绝 {0.refused:,}；"
    "用时 {0.seconds:.1f} 秒（{1:,.0f} 行/秒）"
)


def _print_summary(summary: Summary, check: bool) -> None:
    zh = language() == "zh"
    rate = summary.rows / summary.seconds if summary.seconds else 0.0
    sentence = (_CHECKED_ZH if zh else _CHECKED_EN) if check else (_SUMMARY_ZH if zh else _SUMMARY_EN)
    print(sentence.format(summary, rate))
    if summary.report_path:
        print(f"拒绝的行及原因见 {summary.report_path}" if zh else f"refused rows with reasons: {summary.report_path}")


# Arguments ------------------------------------------------------------------------------------------------


def connect(registry: str | None, anchor: Path | None, key: Path | None, node: Path | None) -> TemplateClient:
    """A client of the registry that the options name, not connected yet. Raises what files and addresses raise."""
    return open_as(TemplateClient, registry, anchor, key, node)


def open_as(
    kind: type[Client], registry: str | None, anchor: Path | None, key: Path | None, node: Path | None
) -> Client:
    """The same, of some kind."""
    address = parse_address(registry_address(registry, node), DEFAULT_PORT + 1)
    trust = TrustAnchor.parse(*read_anchor(anchor_path(anchor, node)))
    return kind(address.host, address.port, anchor=trust, key=SigningKey(read_writer_key(key_path(key, node))))


def encoded_values(texts: list[str], ttl: int, restricted: bool) -> bytes:
    """The bytes of the values, with a warning where a URL is none."""
    values = read_values(texts, ttl, restricted)
    encoded = encode_values(values)
    for value in values:
        if value.type == URL and not is_url(value.text):
            print(render(ODD_URL.name, {"text": value.text[:_SHOWN_CHARACTERS]}, language()), file=sys.stderr)
    return encoded


@contextlib.contextmanager
def output_file(path: Path | None) -> Iterator[TextIO]:
    """The file at ``path``, or standard output. Raises :class:`SettingsError`."""
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise SettingsError(CANNOT_OPEN, path=str(path), reason=error.strerror or str(error)) from None
