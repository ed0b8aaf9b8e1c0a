"""The loading phase: read the rows back in order, send them in batches, count what the registry says.

Several batches are under way at once. The account moves over the answered batches in their order, so a checkpoint
always means: everything up to here is answered, counted and reported, and nothing beyond. What was sent beyond it
before a crash is sent again, which the registry takes as done already.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from protocol.errors import InvalidInput, Refused, Unreachable
from protocol.limits import MAX_SERIES_WRITES
from protocol.status import Status
from registry.importing import rules
from registry.importing.account import Account
from registry.importing.options import Tuning
from registry.importing.sorting import ROW_BYTES, key_of, read_sorted, row_of
from registry.importing.sources import Position
from registry.importing.state import own_files
from registry.store.series import is_series, series_of
from registry.store.writes import ABSENT, ANY, Outcome, Write

_status_of: Final = itemgetter(0)
_changed_of: Final = itemgetter(2)


class Sink(Protocol):
    """Where the rows go: a registry, near or far."""

    async def write(self, writes: Sequence[Write], /) -> Sequence[Outcome]:
        """Write a batch; one outcome for each write, in their order.

        Called again before it has answered, up to the number of batches in flight. Raises
        :class:`protocol.errors.Unreachable` where no answer comes; the import then ends and can be continued.
        """

    async def write_series(self, writes: Sequence[Write], /) -> Sequence[tuple[Status, int, bool, object]]:
        """The same for series, whose patterns stand for identifiers; of each what an outcome has, and the reason. They
        come before all that might be a record of a member."""


class _Batch(NamedTuple):
    """``elements`` are those of ``writes``; ``duplicates`` were left out. ``first`` is the element that was taken for
    the last identifier, None where that was before this start of the program."""

    writes: list[Write]
    elements: list[bytes]
    duplicates: list[tuple[bytes, InvalidInput]]
    rows: int
    key: bytes
    first: bytes | None


async def load(account: Account, sink: Sink | None, tuning: Tuning) -> None:
    """Send everything beyond the account's place to ``sink``; None writes nothing and finds duplicates only.

    The account stands at a checkpoint afterwards, also where an error ends the work.
    """
    under_way: deque[tuple[_Batch, asyncio.Task[Sequence[Outcome]] | None]] = deque()
    saved = time.monotonic()
    try:
        for batch in _batches(account, tuning):
            task = asyncio.create_task(_send(sink, batch.writes)) if sink is not None and batch.writes else None
            under_way.append((batch, task))
            await asyncio.sleep(0)  # lets this batch go out and answers come in while the next is prepared
            while under_way and (len(under_way) >= tuning.in_flight or _answered(under_way[0][1])):
                await _settle(account, under_way)
            if time.monotonic() - saved >= tuning.checkpoint_seconds:
                account.checkpoint()
                saved = time.monotonic()
        while under_way:
            await _settle(account, under_way)
    finally:
        tasks = [task for _, task in under_way if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        account.checkpoint()


async def _send(sink: Sink, writes: Sequence[Write]) -> Sequence[Outcome]:
    try:
        if not is_series(writes[0].identifier):
            return await sink.write(writes)
        series = [write for write in writes if is_series(write.identifier)][:MAX_SERIES_WRITES]
        patterns = [one._replace(identifier=str(series_of(one.identifier)).encode()) for one in series]
        outcomes = [Outcome(*result[:3]) for result in await sink.write_series(patterns)]
        rest = writes[len(series) :]
        return outcomes + list(await _send(sink, rest)) if rest else outcomes
    except Unreachable as error:
        raise Unreachable(rules.BROKEN_OFF) from error


def _answered(task: asyncio.Task[Sequence[Outcome]] | None) -> bool:
    return task is None or task.done()


async def _settle(account: Account, under_way: deque[tuple[_Batch, asyncio.Task[Sequence[Outcome]] | None]]) -> None:
    """Wait for the oldest batch, count and report it, and move the account over it."""
    batch, task = under_way[0]
    if task is not None:
        _count(account, batch, await task)
    under_way.popleft()
    for element, fault in batch.duplicates:
        account.refuse(row_of(element), _shown(element), fault)
    state = account.state
    state.processed += batch.rows
    state.after = batch.key.hex()
    if batch.first is not None:
        state.first_row = row_of(batch.first)
        state.first_digest = _digest(_values(batch.first))
    account.tell(Position(state.processed, state.spilled, "rows"), state.processed)


def _count(account: Account, batch: _Batch, outcomes: Sequence[Outcome]) -> None:
    if len(outcomes) != len(batch.writes):
        raise Refused(rules.WRONG_ANSWER, Status.INTERNAL, answers=len(outcomes), writes=len(batch.writes))
    failed = []
    if any(map(_status_of, outcomes)):  # OK is 0
        failed = [(element, outcome) for element, outcome in zip(batch.elements, outcomes, strict=True) if outcome[0]]
    for _, outcome in failed:
        if _concerns_the_job(outcome.status):
            sentence, sentence_zh = outcome.status.sentence("en"), outcome.status.sentence("zh")
            raise Refused(rules.STOPPED, outcome.status, sentence=sentence, sentence_zh=sentence_zh)
    for element, outcome in failed:
        status = outcome.status
        account.refuse_for(row_of(element), _shown(element), status.sentence(account.options.language), status.label)
    changed = sum(map(_changed_of, outcomes))
    account.state.registered += changed
    account.state.unchanged += len(outcomes) - len(failed) - changed


def _concerns_the_job(status: Status) -> bool:
    """Whether a status says nothing about the row: the same row may well be taken later, so it is not refused."""
    return status >= Status.INTERNAL or status in (Status.UNKNOWN, Status.NOT_AUTHENTICATED)


def _batches(account: Account, tuning: Tuning) -> Iterator[_Batch]:
    """The elements beyond the account's place as batches within both limits, duplicates taken out."""
    state = account.state
    after = bytes.fromhex(state.after)
    maker = _BatchMaker(account)
    rest: list[bytes] = []
    with own_files(account.directory):
        for partition in read_sorted(account.directory, state.runs, after, tuning):
            elements = rest + partition if rest else partition
            begin = 0
            while len(elements) - begin >= tuning.batch_rows:
                chunk = _within(elements[begin : begin + tuning.batch_rows], tuning.batch_bytes)
                begin += len(chunk)
                yield maker.make(chunk)
            rest = elements[begin:]
    while rest:
        chunk = _within(rest, tuning.batch_bytes)
        rest = rest[len(chunk) :]
        yield maker.make(chunk)


def _within(elements: list[bytes], limit: int) -> list[bytes]:
    """As many of the elements, at least one, as have ``limit`` bytes together.

    An element has more bytes beside its data than a write has in a message, so the message is not larger.
    """
    if sum(map(len, elements)) <= limit:
        return elements
    ends = list(accumulate(map(len, elements)))
    return elements[: max(1, bisect_right(ends, limit))]


class _BatchMaker:
    """Makes batches of consecutive elements. Of one identifier the first row in the file is taken."""

    def __init__(self, account: Account) -> None:
        state = account.state
        self._compare = ANY if account.options.update else ABSENT
        self._identifier = bytes.fromhex(state.after)[: -1 - ROW_BYTES]
        self._first: bytes | None = None
        self._first_row = state.first_row
        self._first_digest = state.first_digest

    def make(self, elements: Sequence[bytes]) -> _Batch:
        """One batch of all ``elements``."""
        compare, last, first = self._compare, self._identifier, self._first
        writes: list[Write] = []
        taken: list[bytes] = []
        duplicates: list[tuple[bytes, InvalidInput]] = []
        write, take = writes.append, taken.append
        for element in elements:
            end = element.index(0)
            identifier = element[:end]
            if identifier == last:
                duplicates.append((element, self._duplicate(element, first)))
                continue
            last, first = identifier, element
            write(Write(identifier, compare, element[end + 1 + ROW_BYTES :]))
            take(element)
        self._identifier, self._first = last, first
        return _Batch(writes, taken, duplicates, len(elements), key_of(elements[-1]), first)

    def _duplicate(self, element: bytes, first: bytes | None) -> InvalidInput:
        if first is None:
            same, row = _digest(_values(element)) == self._first_digest, self._first_row
        else:
            same, row = _values(element) == _values(first), row_of(first)
        return InvalidInput(rules.DUPLICATE_SAME if same else rules.DUPLICATE, row=row)


def _values(element: bytes) -> bytes:
    return element[element.index(0) + 1 + ROW_BYTES :]


def _digest(values: bytes) -> str:
    return hashlib.sha256(values).hexdigest()


def _shown(element: bytes) -> str:
    identifier = element[: element.index(0)]
    return str(series_of(identifier)) if is_series(identifier) else identifier.decode()
