"""The commands ``biaoshi audit …``. They read the node's store directly: a node need not run for its log to be
verified."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from config.keyfiles import read_anchor, read_identity
from config.load import load_settings
from config.options import AnchorOption, Node
from config.places import anchor_path, language
from config.settings import Settings
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.node import own_keys
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.audit.chain import Link
from registry.audit.export import (
    MAX_LINE_BYTES,
    SignedHead,
    export,
    head_alone,
    read_head,
    sign_head,
    verify,
    verify_kept,
)
from registry.audit.log import find_end, kept_entries
from registry.store.interface import Page
from registry.store.lmdb.reader import LmdbReader

CONFIG_NAME: Final = "biaoshi.toml"

CANNOT_READ: Final = Rule(
    "audit.cannot-read", Status.SETTINGS, "{path} cannot be read or written: {reason}", "无法读写 {path}：{reason}"
)
WHICH_LOG: Final = Rule(
    "audit.which-log",
    Status.SETTINGS,
    "name a file, or a node's directory with --node",
    "请给出日志文件，或用 --node 指定节点目录",
)


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="audit")


app = typer.Typer(
    help="The log of who has changed what, when and why. 审计日志。",
    epilog="An exported file proves itself by the trust anchor. Keep heads elsewhere: export --head-only.",
    no_args_is_help=True,
)


class _Store:
    """A node's store, a page at a time: no page keeps freed space from use for longer."""

    def __init__(self, reader: LmdbReader) -> None:
        self._reader = reader

    def find(self, identifier: bytes) -> bytes | None:
        return self._reader.find(identifier)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        self._reader.rest()
        return self._reader.scan(prefix, cursor, limit)


@app.command("export", epilog="Example: biaoshi audit export --node ./node --out audit-2026-11.ndjson")
def export_log(
    node: Node = None,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output otherwise.")] = None,
    head_only: Annotated[bool, typer.Option("--head-only", help="Only the signed head, to be kept elsewhere.")] = False,
) -> None:
    """Write the whole log as NDJSON, with a head signed by the node's online key.

    导出全部审计日志（NDJSON），末行为在线密钥签署的日志头。
    """
    settings = _settings(node)
    zone = normal_zone_text(settings.node.prefix)
    own = own_keys(zone, *read_identity(settings), now=int(time.time()))
    reader = LmdbReader(settings.store_path)
    store = _Store(reader)

    def sign(end: Link) -> SignedHead:
        return sign_head(zone, end, int(time.time()), own.key, own.chain)

    try:
        whole = export(zone, kept_entries(store), sign)
        _write(head_alone(zone, sign(find_end(store.find, zone))) if head_only else whole, out)
    finally:
        reader.close()


@app.command(
    "verify",
    epilog="Examples: biaoshi audit verify audit.ndjson --anchor anchor.toml  |  "
    "biaoshi audit verify --node ./node --against last-month.ndjson",
)
def verify_log(
    file: Annotated[Path | None, typer.Argument(help="An exported log; the store of --node otherwise.")] = None,
    node: Node = None,
    anchor: AnchorOption = None,
    against: Annotated[Path | None, typer.Option(help="An earlier export, or head, on which it must go on.")] = None,
) -> None:
    """Verify that no entry was changed, left out, put in, moved or cut off. Exit code 8 where one was.

    验证审计日志未被改动、遗漏、插入、调换或截断；如有则退出码为 8。
    """
    trust = TrustAnchor.parse(*read_anchor(anchor_path(anchor, node)))
    head = None if against is None else _read_head(against)
    if file is not None:
        with _opened(file) as lines:
            found = verify(_lines(lines), trust, head)
        _say(found.entries, found.link, found.time)
        return
    settings = _settings(node)
    reader = LmdbReader(settings.store_path)
    try:
        end = verify_kept(normal_zone_text(settings.node.prefix), kept_entries(_Store(reader)), trust, head)
    finally:
        reader.close()
    _say(end.number, end.link, None)


def _say(entries: int, link: bytes, signed: int | None) -> None:
    zh = language() == "zh"
    line = f"{entries:,} 条，链接值 {link.hex()}" if zh else f"{entries:,} entries hold, link {link.hex()}"
    if signed is not None:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(signed))
        line += f"，签署于 {when}" if zh else f", signed {when}"
    print(line)


def _settings(node: Path | None) -> Settings:
    if node is None:
        raise SettingsError(WHICH_LOG)
    return load_settings(node / CONFIG_NAME)


def _read_head(path: Path) -> SignedHead:
    with _opened(path) as lines:
        return read_head(_lines(lines))


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(CANNOT_READ, path=str(path), reason=error.strerror or str(error)) from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends, none longer than any that is written."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line


def _write(lines: Iterator[bytes], out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.writelines(lines)
        return
    try:
        with out.open("wb") as file:
            file.writelines(lines)
    except OSError as error:
        raise SettingsError(CANNOT_READ, path=str(out), reason=error.strerror or str(error)) from None
