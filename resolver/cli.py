"""The commands that ask: resolve, verify, list, status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple

import typer

from config.keyfiles import read_reader_key
from config.options import AnchorOption, AsJson, Node, ReaderKey, ReaderToken, Server
from config.places import anchor_path, language, resolver_address
from protocol.answers import Answer
from protocol.errors import BiaoshiError, IdentifierError, Refused, Rule, SettingsError, Unresolved, render
from protocol.receipts import verify_receipt
from protocol.signatures import SigningKey
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import Client, Unanswered, load_anchor
from resolver.client.resolving import concerns_identifier
from resolver.moments import read_moment
from resolver.show import answer_json, answer_text, padded, record_json, trace_text, unanswered_json, version_text

CANNOT_READ: Final = Rule(
    "command.cannot-read", Status.SETTINGS, "{path} cannot be read: {reason}", "{path} 无法读取：{reason}"
)
CANNOT_WRITE: Final = Rule(
    "command.cannot-write", Status.SETTINGS, "{path} cannot be written: {reason}", "{path} 无法写入：{reason}"
)
BAD_LINE: Final = Rule(
    "command.bad-line",
    Status.BAD_IDENTIFIER,
    "line {line} ({identifier}): {sentence}",
    "第 {line} 行（{identifier}）：{sentence}",
)


class _Reader(NamedTuple):
    """Who asks: a secret key or a token, or nobody in particular."""

    key: SigningKey | None
    token: str | None

    @classmethod
    def named(cls, key: Path | None, token: str | None) -> _Reader:
        return cls(None if key is None else SigningKey(read_reader_key(key)), token)

    @property
    def is_somebody(self) -> bool:
        return self.key is not None or self.token is not None


NOTHING_MORE: Final[Mapping[str, str | int]] = MappingProxyType({})


def add_commands(app: typer.Typer) -> None:
    """Put this module's commands into ``app``."""
    app.command(epilog=_RESOLVE_EXAMPLES)(resolve)
    app.command(epilog="Example: biaoshi verify pump.receipt --anchor anchor.toml")(verify)
    app.command(epilog="Example: biaoshi history 88.118.32001/P0000000123456 --node ./node")(history)
    app.command("list", epilog="Example: biaoshi list 88.118.32001 --node ./node --limit 20")(list_identifiers)


_RESOLVE_EXAMPLES = (
    "Examples: biaoshi resolve 88.118.32001/P0000000123456 --node ./node  |  "
    "biaoshi resolve ID --server 10.0.0.5 --anchor anchor.toml --json  |  "
    "biaoshi resolve ID --receipt pump.receipt  |  biaoshi resolve ID --as-of 2026-06-30  |  "
    "biaoshi resolve ID --node ./node --key li.pem"
)


def resolve(
    identifiers: Annotated[
        list[str], typer.Argument(help="Identifiers to resolve; - reads them from standard input, one a line.")
    ],
    server: Server = None,
    anchor: AnchorOption = None,
    node: Node = None,
    as_json: AsJson = False,
    trace: Annotated[
        bool, typer.Option(help="Show each step: who answered, from cache or not, time taken, what was verified.")
    ] = False,
    receipt: Annotated[Path | None, typer.Option(help="Keep a receipt of the one identifier in this file.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="What it was then: 2026-11-28 (at the end of that day), 2026-11-28T09:30:00, UTC or +08:00."),
    ] = None,
    udp: Annotated[bool, typer.Option(help="Ask over UDP; what does not fit goes over TCP.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for each answer, repetitions included.")] = 5.0,
    key: ReaderKey = None,
    token: ReaderToken = None,
) -> None:
    """Resolve identifiers and verify every answer. Exit code 3 where one is not registered. Of those from standard
    input the unusable ones are named with their line, the others answered (exit code 10).

    解析标识并验证每个应答；有标识不存在时退出码为 3。
    从标准输入读取时，不可用的标识会连同行号列出，其余照常解析（退出码 10）。
    """
    if receipt is not None and len(identifiers) != 1:
        raise typer.BadParameter("--receipt goes with one identifier")
    reader = _Reader.named(key, token)
    if reader.is_somebody and (trace or udp):
        raise typer.BadParameter("--key and --token go neither with --trace nor with --udp")
    address = resolver_address(server, node)
    trust = load_anchor(anchor_path(anchor, node))
    if as_of is not None:
        if receipt is not None or trace or udp or identifiers == ["-"]:
            raise typer.BadParameter("--as-of goes with identifiers, --json and --timeout")
        if not asyncio.run(_resolve_as_of(address, trust, reader, identifiers, read_moment(as_of), as_json, timeout)):
            raise typer.Exit(Exit.NOT_FOUND)
        return
    if identifiers == ["-"] and receipt is None:
        ended = asyncio.run(_resolve_lines(address, trust, reader, as_json, trace, udp, timeout))
        if ended:
            raise typer.Exit(ended)
        return
    found = asyncio.run(_resolve(address, trust, reader, identifiers, as_json, trace, receipt, udp, timeout))
    if not found:
        raise typer.Exit(Exit.NOT_FOUND)


async def _resolve(
    address: str, anchor: TrustAnchor, reader: _Reader, identifiers: list[str], as_json: bool, trace: bool,
    receipt: Path | None, udp: bool, timeout: float,
) -> bool:  # fmt: skip
    found = True
    async with Client(address, anchor=anchor, timeout=timeout, udp=udp, **reader._asdict()) as client:
        if receipt is not None:
            if trace:
                await _traced(client, identifiers[0], address, anchor)
            answer, proof = await client.receipt(identifiers[0])
            _write(receipt, proof)
            _print(answer, as_json)
            return answer.found
        if udp or trace:
            for identifier in identifiers:
                answer = await (_traced(client, identifier, address, anchor) if trace else client.resolve(identifier))
                _print(answer, as_json)
                found = found and answer.found
            return found
        async with contextlib.aclosing(client.resolve_many(identifiers)) as answers:
            async for answer in answers:
                _print(answer, as_json)
                found = found and answer.found
    return found


async def _resolve_as_of(
    address: str, anchor: TrustAnchor, reader: _Reader, identifiers: list[str], at: int, as_json: bool, timeout: float
) -> bool:
    found = True
    async with Client(address, anchor=anchor, timeout=timeout, **reader._asdict()) as client:
        for identifier in identifiers:
            answer = await client.resolve_as_of(identifier, at)
            _print(answer, as_json)
            found = found and answer.found
    return found


def history(
    identifier: Annotated[str, typer.Argument(help="An identifier, registered or withdrawn.")],
    server: Server = None,
    anchor: AnchorOption = None,
    node: Node = None,
    as_json: AsJson = False,
    key: ReaderKey = None,
    token: ReaderToken = None,
) -> None:
    """Show the versions of a record that are kept, the newest first; each was verified.

    显示某标识保存的各个版本，最新的在前，均已验证。
    """
    trust = load_anchor(anchor_path(anchor, node))
    asyncio.run(_history(resolver_address(server, node), trust, _Reader.named(key, token), identifier, as_json))


async def _history(address: str, anchor: TrustAnchor, reader: _Reader, identifier: str, as_json: bool) -> None:
    async with (
        Client(address, anchor=anchor, **reader._asdict()) as client,
        contextlib.aclosing(client.history(identifier)) as records,
    ):
        async for record in records:
            print(json.dumps(record_json(record), ensure_ascii=False) if as_json else version_text(record, language()))


async def _resolve_lines(
    address: str, anchor: TrustAnchor, reader: _Reader, as_json: bool, trace: bool, udp: bool, timeout: float
) -> Exit:
    """Resolve standard input line by line; the exit code. Blank lines are passed over."""
    waiting: deque[int] = deque()  # numbers of the lines under way, of which there are boundedly many

    def wanted() -> Iterator[str]:
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                waiting.append(number)
                yield line.rstrip("\r\n")

    ended = Exit.OK
    async with Client(address, anchor=anchor, timeout=timeout, udp=udp, **reader._asdict()) as client:
        if trace:
            results = _traced_each(client, wanted(), address, anchor)
        elif udp:
            results = (await client.resolve_one(identifier) for identifier in wanted())
        else:
            results = client.resolve_each(wanted())
        async with contextlib.aclosing(results):
            async for result in results:
                line = waiting.popleft()
                if isinstance(result, Unanswered):
                    ended = Exit.PARTLY_REFUSED
                    _print_unanswered(result, line, as_json)
                    continue
                _print(result, as_json)
                if not result.found and ended is Exit.OK:
                    ended = Exit.NOT_FOUND
    return ended


async def _traced_each(
    client: Client, identifiers: Iterator[str], address: str, anchor: TrustAnchor
) -> AsyncGenerator[Answer | Unanswered, None]:
    for identifier in identifiers:
        try:
            yield await _traced(client, identifier, address, anchor)
        except (IdentifierError, Refused, Unresolved) as error:
            if not concerns_identifier(error):
                raise
            yield Unanswered(identifier, error)


def _print_unanswered(result: Unanswered, line: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps(unanswered_json(result, line, language()), ensure_ascii=False))
        return
    shown: dict[str, str | int | float] = {
        "line": line,
        "identifier": result.identifier,
        "sentence": result.error.message(language()),
    }
    print(f"biaoshi: {render(BAD_LINE.name, shown, language())}", file=sys.stderr)


def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt that 'resolve --receipt' has written.")],
    anchor: AnchorOption = None,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt offline, with the trust anchor alone.

    仅凭信任锚离线验证回执。
    """
    trust = load_anchor(anchor_path(anchor, node))
    try:
        raw = receipt.read_bytes()
    except OSError as error:
        raise SettingsError(CANNOT_READ, path=str(receipt), reason=error.strerror or str(error)) from None
    verdict = verify_receipt(raw, trust)
    _print(verdict.answer, as_json)


def list_identifiers(
    prefix: Annotated[str, typer.Argument(help="Prefix; those below it are included.")],
    server: Server = None,
    anchor: AnchorOption = None,
    node: Node = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1_000_000_000,
) -> None:
    """List the identifiers registered below a prefix, in order.

    按顺序列出某前缀下已注册的标识。
    """
    address, trust = resolver_address(server, node), load_anchor(anchor_path(anchor, node))
    asyncio.run(_list(address, trust, prefix, limit))


async def _list(address: str, anchor: TrustAnchor, prefix: str, limit: int) -> None:
    cursor: bytes | None = None
    async with Client(address, anchor=anchor) as client:
        while limit > 0:
            names, cursor = await client.list_page(prefix, cursor, min(limit, 1_000))
            for name in names:
                print(name)
            limit -= len(names)
            if cursor is None:
                return


def status(
    server: Server = None,
    anchor: AnchorOption = None,
    node: Node = None,
    as_json: AsJson = False,
    more: Mapping[str, str | int] = NOTHING_MORE,
) -> None:
    """Show what a node says of itself: zone, registrations, store size; and ``more`` that is known of it.

    显示节点状态：区域、注册数量与存储大小。
    """
    address, trust = resolver_address(server, node), load_anchor(anchor_path(anchor, node))
    try:
        shown = {**asyncio.run(_status(address, trust)), **more}
    except BiaoshiError:
        if "put_back" not in more:
            raise
        shown = dict(more)  # the doors are shut, and this is why
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
        return
    names = _STATUS_ZH if language() == "zh" else {}
    concerns = str(shown.pop("concerns", "")).split()
    for name, value in shown.items():
        if name.endswith("_ends"):
            value = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(int(value))) if value else "-"
        text = f"{value:,}" if isinstance(value, int) and name != "worker" else value or "(root)"
        print(f"{padded(names.get(name) or _label(name), 15)} {text}")
    for rule in concerns:
        ends = shown["online_key_ends" if "online" in rule else "delegation_ends"]
        print(f"! {render(rule, {'days': max(0, int(int(ends) - time.time()) // 86_400)}, language())}")


def _label(name: str) -> str:
    """What a line of the status is called that is not the same for all nodes."""
    if language() == "zh":
        for behind, label in (("behind_", "落后"), ("seconds_behind_", "落后秒数")):
            if name.startswith(behind):
                return f"{label} {name.removeprefix(behind)}"
    return name.replace("_", " ")


_STATUS_ZH = {
    "role": "角色", "zone": "区域", "software": "软件", "registered": "已注册", "prefixes": "前缀数",
    "changes": "变更数", "hits": "缓存命中", "misses": "缓存未命中", "stale": "过期应答", "prefetches": "预取",
    "evictions": "淘汰", "answers": "缓存应答数", "stale_answers": "过期保留数", "cache_bytes": "缓存字节",
    "delegations": "已知授权", "asking": "查询中", "store_bytes": "存储字节", "uptime_s": "运行秒数", "worker": "进程",
    "put_back": "持有更多变更者", "online_key_ends": "在线密钥到期", "delegation_ends": "授权到期",
}  # fmt: skip


async def _status(address: str, anchor: TrustAnchor) -> dict[str, str | int]:
    async with Client(address, anchor=anchor) as client:
        return await client.status()


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer_json(answer), ensure_ascii=False))
    else:
        print(answer_text(answer, language()))


async def _traced(client: Client, identifier: str, address: str, anchor: TrustAnchor) -> Answer:
    """The answer, with the steps to it on standard error."""
    begin = time.perf_counter()
    traced = await client.trace(identifier)
    taken = (time.perf_counter() - begin) * 1_000
    print(trace_text(traced, address, anchor, taken, language()), file=sys.stderr)
    return traced.answer


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from None
