"""Writes by hand: one identifier or one series at a time, told line by line. The commands' half of register, update,
delete, suspend and resume."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from config.places import language
from protocol.errors import Refused, Rule
from protocol.identifiers import normal_text
from protocol.records import State
from protocol.series import is_pattern, parse_series
from protocol.status import Status
from registry.client import RegistryClient
from registry.replies import WriteResult
from registry.store.writes import ABSENT, Write
from registry.templates.client import TemplateClient

NOT_THERE: Final = Rule(
    "command.not-there",
    Status.NOT_FOUND,
    "{identifier} is not registered, so there is nothing to update; 'biaoshi register' makes it",
    "{identifier} 尚未注册，无法更新，请先用 biaoshi register 注册",
)
WRITE_REFUSED: Final = Rule(
    "command.write-refused", Status.CONFLICT, "{identifier}: {sentence}", "{identifier}：{sentence}"
)
EXISTS: Final = Rule(
    "command.exists",
    Status.EXISTS,
    "{identifier} is registered already, with other content; 'biaoshi update' replaces it",
    "{identifier} 已注册且内容不同，如需替换请用 biaoshi update",
)


MakeValues = Callable[[TemplateClient], Awaitable[bytes]]
"""Gives encoded values; asks the registry for the template that they follow."""


def name_of(text: str) -> bytes:
    """The normal form of what a person has written: an identifier, or the pattern of a series. Raises
    :class:`~protocol.errors.IdentifierError`."""
    return str(parse_series(text)).encode() if is_pattern(text) else normal_text(text)


async def register_by_hand(client: TemplateClient, name: bytes, make: MakeValues) -> AsyncIterator[str]:
    """Register an identifier or a series; what became of it, for a person. Raises :class:`Refused`."""
    async with client:
        [result] = await _results(client, [Write(name, ABSENT, await make(client))])
    yield _told(name.decode(), result)


async def update_by_hand(
    client: TemplateClient, name: bytes, make: MakeValues, version: int | None
) -> AsyncIterator[str]:
    """Replace the values of an identifier or a series that is registered, only at this version where one is given."""
    async with client:
        if version is None:
            version = await _version(client, name.decode())
        [result] = await _results(client, [Write(name, version, await make(client))])
    _require_ok(name.decode(), result)
    yield f"{name.decode()}  version {result.version}"


async def write_by_hand(client: RegistryClient, writes: Sequence[Write]) -> AsyncIterator[str]:
    """Carry out writes of identifiers and series; what became of each, for a person. Raises :class:`Refused` for the
    first that was refused."""
    async with client:
        results = await _results(client, writes)
    for write, result in zip(writes, results, strict=True):
        yield _told(write.identifier.decode(), result)


def _told(name: str, result: WriteResult) -> str:
    if result.status is Status.EXISTS and result.reason is None:
        raise Refused(EXISTS, result.status, identifier=name)
    _require_ok(name, result)
    note = "" if result.changed else ("（内容未变）" if language() == "zh" else " (as it was)")
    return f"{name}  version {result.version}{note}"


async def _results(client: RegistryClient, writes: Sequence[Write]) -> list[WriteResult]:
    """What became of each, in order; series and identifiers go by two requests."""
    are_series = [is_pattern(write.identifier.decode()) for write in writes]
    series = [write for write, is_one in zip(writes, are_series, strict=True) if is_one]
    others = [write for write, is_one in zip(writes, are_series, strict=True) if not is_one]
    of_series = iter(await client.write_series(series) if series else ())
    of_others = iter(await client.write_each(others) if others else ())
    return [next(of_series if is_one else of_others) for is_one in are_series]


async def _version(client: RegistryClient, name: str) -> int:
    if is_pattern(name):
        record = next(iter([kept.record async for kept in client.series(name)]), None)
    else:
        [record] = await client.fetch([name.encode()])
    if record is None or record.state is State.WITHDRAWN:
        raise Refused(NOT_THERE, Status.NOT_FOUND, identifier=name)
    return record.version


def _require_ok(name: str, result: WriteResult) -> None:
    if result.status is not Status.OK:
        raise Refused(WRITE_REFUSED, result.status, identifier=name, sentence=result.sentence(language()))
