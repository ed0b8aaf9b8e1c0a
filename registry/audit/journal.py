"""Carries changes out, each with its entries in the audit log.

Entries are chained, so they are made in the order in which they come to the disk: one batch of changes is under way at
a time, and those that come meanwhile go with the next. A batch that fails leaves the chain where it was. Entries
stand before the writes that they tell of. No sockets, and no clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from protocol.errors import Refused, Rule, StoreError
from protocol.status import Status
from registry.audit.chain import Entry, Link
from registry.audit.log import VOID, entry_write, find_end, unfinished
from registry.changes import Change, Event
from registry.store.shelf import Reading
from registry.store.writes import Outcome, Write

BATCH: Final = 500
"""Changes that are carried out together: some milliseconds of the writing thread."""

UNDER_WAY: Final = Rule(
    "change.under-way",
    Status.CONFLICT,
    "another change of {record} is under way; send this again",
    "{record} 正在被修改，请重新发送",
)
NOT_CARRIED_OUT: Final = Rule(
    "change.not-carried-out",
    Status.CONFLICT,
    "{record} has been changed by something else meanwhile; look at it, and send this again",
    "{record} 已被其他操作修改，请查看后重新发送",
)

STOPPING: Final = Rule(
    "change.stopping",
    Status.SHUTTING_DOWN,
    "nothing was changed: the node is going down. Send this again when it is back",
    "未作任何修改：节点正在关闭，请待其恢复后重新发送",
)

Done = Callable[[object], None]
"""Called with the change's result once it is durable, or with the :class:`~protocol.errors.BiaoshiError` for which it
is not."""


class Submit(Protocol):
    """Has writes carried out and ``done`` called with what became of them."""

    def __call__(self, writes: Sequence[Write], done: Callable[[list[Outcome] | StoreError], None], /) -> None: ...


class _Waiting(NamedTuple):
    change: Change[object]
    done: Done


class _Under(NamedTuple):
    """A change that is being carried out, with its entries."""

    change: Change[object]
    done: Done
    entries: list[Entry]


class Journal:
    """The one place through which enterprises, identities and credentials are changed in zone ``zone``.

    ``submit`` has writes carried out in the order given; ``clock`` gives seconds since 1970; ``changed`` is called
    after each batch that came to the disk.
    """

    def __init__(
        self,
        store: Reading,
        zone: str,
        submit: Submit,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._submit = submit
        self._clock = clock
        self.changed = changed
        self._end = find_end(store.find, zone)
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._claimed: set[bytes] = set()
        self._stopping = False
        self._void = unfinished(store.find, self._end)
        """Entries that tell of what was not carried out, to be taken back with the next batch."""

    @property
    def end(self) -> Link:
        """Where the log stands on the disk."""
        return self._end

    def start(self) -> None:
        """Take back what a crash has left half done; to be called once writes can be carried out."""
        self._go_on()

    def stop(self) -> None:
        """Submit nothing more. Those that wait for their turn are told so; what is under way is carried out."""
        self._stopping = True
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            done(Refused(STOPPING, STOPPING.status))

    def carry_out(self, change: Change[object], done: Done) -> None:
        """Have a change carried out. It rests on what the store has now: while a record of it is being changed by
        another, it is refused."""
        if self._stopping:
            done(Refused(STOPPING, STOPPING.status))
            return
        for write in change.writes:
            if write.identifier in self._claimed:
                done(Refused(UNDER_WAY, UNDER_WAY.status, record=_shown(write.identifier)))
                return
        if not change.writes:
            done(change.result)
            return
        self._claimed.update(write.identifier for write in change.writes)
        self._waiting.append(_Waiting(change, done))
        self._go_on()

    def _go_on(self) -> None:
        if self._busy or self._stopping or not (self._waiting or self._void):
            return
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        void, self._void = self._void, []
        self._busy = True
        end, writes, under_way = self._end, list[Write](), list[_Under]()

        def enter(event: Event, record: bytes) -> Entry:
            nonlocal end
            entry = self._entry(end.number, event, record)
            write, end = entry_write(end, entry)
            writes.append(write)
            return entry

        for one in void:
            event = Event(one.actor, VOID, 0, one.version, details={"entry": str(one.number)})
            enter(event, b"\x01" + one.record.encode())
        for change, done in batch:
            entries = [enter(event, change.writes[event.write].identifier) for event in change.events]
            writes += change.writes
            under_way.append(_Under(change, done, entries))
        self._submit(writes, partial(self._carried_out, under_way, void, end))

    def _carried_out(
        self, batch: list[_Under], void: list[Entry], end: Link, result: list[Outcome] | StoreError
    ) -> None:
        self._busy = False
        for change, _, _ in batch:
            self._claimed.difference_update(write.identifier for write in change.writes)
        if isinstance(result, StoreError):
            self._void = void + self._void
            answers: list[object] = [result] * len(batch)
        else:
            self._end = end
            answers = self._answers(batch, result[len(void) :])
            self.changed()
        for (_, done, _), answer in zip(batch, answers, strict=True):
            done(answer)
        if not isinstance(result, StoreError) or self._waiting:
            self._go_on()

    def _answers(self, batch: list[_Under], result: list[Outcome]) -> list[object]:
        """What to tell each. Where a write was not carried out, as something else has changed its record, what the log
        tells of it is taken back."""
        answers: list[object] = []
        outcomes = iter(result)
        for change, _, entries in batch:
            for _ in entries:
                next(outcomes)
            failed = [write.identifier for write in change.writes if next(outcomes).status is not Status.OK]
            if failed:
                names = {_shown(identifier) for identifier in failed}
                self._void += [entry for entry in entries if entry.record in names]
                answers.append(Refused(NOT_CARRIED_OUT, NOT_CARRIED_OUT.status, record=_shown(failed[0])))
            else:
                answers.append(change.result)
        return answers

    def _entry(self, number: int, event: Event, record: bytes) -> Entry:
        return Entry(
            number=number, time=int(self._clock()), actor=event.actor, action=event.action, record=_shown(record),
            version=event.version, reason=event.reason, details=dict(event.details),
        )  # fmt: skip


def _shown(identifier: bytes) -> str:
    """A system record's name without its mark."""
    return identifier[1:].decode("utf-8", "replace")
