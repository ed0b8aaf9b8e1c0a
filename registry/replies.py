"""What a registry answers to writers, taken apart."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from protocol.errors import MessageError, Rule, render
from protocol.kept import Kept, decode_kept
from protocol.messages import refusal
from protocol.records import State
from protocol.status import Status
from registry.store.writes import RESUME, SUSPEND, Outcome, Write

_STATES: Final = {SUSPEND: int(State.SUSPENDED), RESUME: int(State.ACTIVE)}

BAD_REPLY: Final = Rule(
    "registry.bad-reply",
    Status.BAD_REQUEST,
    "the registry's reply to {operation} has another shape than agreed",
    "注册服务对 {operation} 的应答格式与约定不符",
)


class WriteResult(NamedTuple):
    """What became of one write. ``reason`` has the rule and details of one that was not even tried."""

    status: Status
    version: int
    changed: bool
    reason: tuple[str, dict[str, str | int | float]] | None

    def sentence(self, language: str = "en") -> str:
        """What became of it, for a person."""
        if self.reason:
            return render(*self.reason, language)
        return self.status.sentence(language)


class ListedRecord(NamedTuple):
    """A record under its identifier, or what a series keeps for its ``members`` under its pattern (0: a record)."""

    name: str
    record: Kept
    members: int


def read_result(result: object) -> WriteResult:
    """What became of one write. Raises :class:`MessageError`."""
    match result:
        case (int(status), int(version), bool(changed)):
            return WriteResult(Status.named(status), version, changed, None)
        case (int(status), (bytes(), dict()) as reason, bool()):
            error = refusal(status, reason)
            return WriteResult(Status.named(status), 0, False, (error.rule.name, error.details))
    raise MessageError(BAD_REPLY, operation="write")


def write_item(write: Write) -> tuple[object, ...]:
    """A write as an item of a request."""
    return *write[:2], _STATES.get(write.values or b"", write.values)


def read_listed(item: object) -> ListedRecord:
    """An item of a page of records. Raises :class:`MessageError`."""
    match item:
        case (bytes(name), bytes(body)):
            return ListedRecord(name.decode(), decode_kept(body), 0)
        case (bytes(name), bytes(body), int(members)) if members > 0:
            return ListedRecord(name.decode(), decode_kept(body), members)
    raise MessageError(BAD_REPLY, operation="records")


_make_outcome: Final = partial(tuple.__new__, Outcome)  # what Outcome._make does, without its call


def read_outcomes(results: tuple[object, ...]) -> list[Outcome] | None:
    """The outcomes of a batch in which every write was tried; None for any other."""
    try:
        statuses, versions, changed = zip(*results, strict=True)
    except (TypeError, ValueError):
        return None
    if (set(map(type, statuses)), set(map(type, versions)), set(map(type, changed))) != ({int}, {int}, {bool}):
        return None
    named = {code: Status.named(code) for code in set(statuses)}
    return list(map(_make_outcome, zip(map(named.__getitem__, statuses), versions, changed, strict=True)))
