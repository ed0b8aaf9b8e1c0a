"""The child's shell: closes hours, keeps their reports in the store, sends them.

Both tasks run on the registry's event loop; everything is written by its one writing thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import structlog

from protocol.errors import BiaoshiError, StoreError
from protocol.reports import Report
from registry.committer import Committer
from registry.statistics.hours import begin, by_enterprise, close, follow_clock, is_due, start_of
from registry.statistics.ledger import enter
from registry.statistics.rules import USED_NUMBER
from registry.statistics.spool import (
    SPOOL_REPORTS,
    STATISTICS,
    Change,
    Spool,
    add,
    load,
    remove_head,
    renumber,
    write_place,
)
from registry.store.counters import Reading
from registry.store.interface import Entry, Store
from registry.store.writes import Outcome, Write

LOOK_SECONDS: Final = 5.0
"""The longest time between two looks at the clock, which may have been put."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
"""Pauses between attempts to send grow from the first to the longest, but not above the length of an hour."""

PAGE: Final = 500


class Sink(Protocol):
    """Where reports go."""

    async def deliver(self, report: Report) -> None:
        """Return when the report is kept there. Raises :class:`BiaoshiError`."""
        ...


class Reporter:
    """Statistics of the node of ``zone``. ``open_sink`` connects to where reports go; ``read_counters`` reads those of
    the workers; ``clock`` gives seconds since 1970; an hour has ``period`` seconds."""

    def __init__(
        self,
        zone: str,
        store: Store,
        committer: Committer,
        open_sink: Callable[[], AbstractAsyncContextManager[Sink]],
        read_counters: Callable[[], list[Reading]],
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
        *,
        period: int,
        industries: Mapping[str, str],
        limit: int = SPOOL_REPORTS,
    ) -> None:
        self._zone = zone
        self._store = store
        self._committer = committer
        self._open_sink = open_sink
        self._read_counters = read_counters
        self._clock = clock
        self._log = log
        self._period = period
        self._industries = industries
        self._limit = limit
        self._place = begin(0, period)
        self._spool = Spool()
        self._changing = asyncio.Lock()
        self._waiting = asyncio.Event()

    async def run(self) -> None:
        """Count and send until cancelled. Raises :class:`StoreError` where the stored place cannot be read."""
        await self._load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count())
            tasks.create_task(self._send())

    async def _load(self) -> None:
        place, change = load(_everything(self._store))
        if place is None:
            place = begin(self._now(), self._period)
            change.writes.append(write_place(place))
        self._place = place
        await self._take(change)

    # Counting -------------------------------------------------------------------------------------

    async def _count(self) -> None:
        while True:
            now = self._clock()
            over = start_of(int(now), self._period) + self._period
            await asyncio.sleep(min(max(over - now, 0.05), LOOK_SECONDS))
            try:
                await self.look()
            except StoreError as error:
                self._log.error("the hour could not be kept; its counts go into the next", reason=error.message())

    async def look(self) -> None:
        """Close the open hour if it is over. Raises :class:`StoreError`, and then it is still open."""
        now = self._now()
        self._place = follow_clock(self._place, now, self._period)
        if not is_due(self._place, now, self._period):
            return
        async with self._changing:
            enterprises = by_enterprise(self._store.counts().active, self._zone)
            readings = self._read_counters()
            place, reports = close(self._place, self._zone, now, self._period, readings, enterprises, self._industries)
            change = add(self._spool, reports, self._limit)
            change.writes.append(write_place(place))
            await self._take(change)
            self._place = place
        for report in change.gone:
            self._log.warning("too many reports wait; an hour was merged into the next", start=report.start,
                              limit=self._limit)  # fmt: skip

    # Sending --------------------------------------------------------------------------------------

    async def _send(self) -> None:
        first = min(FIRST_PAUSE_S, self._period / 4)
        pause = first
        while True:
            await self._waiting.wait()
            try:
                await self.send_all()
            except BiaoshiError as error:
                self._log.warning("reports could not be sent", waiting=len(self._spool.kept), reason=error.message(),
                                  again_in_s=pause)  # fmt: skip
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S, self._period)
            else:
                pause = first

    async def send_all(self) -> None:
        """Send what waits, in order. Raises :class:`BiaoshiError`; what was acknowledged does not wait any more."""
        async with self._open_sink() as sink:
            while (head := self._spool.head) is not None:
                try:
                    await sink.deliver(head.report)
                except BiaoshiError as error:
                    if error.rule is USED_NUMBER:
                        await self._renumber(error.details)
                    raise
                async with self._changing:
                    await self._take(remove_head(self._spool))

    async def _renumber(self, details: Mapping[str, str | int | float]) -> None:
        last, end = details.get("last"), details.get("end")
        if not isinstance(last, int) or not isinstance(end, int) or not 0 < last < 1 << 62:
            return
        async with self._changing:
            place, change = renumber(self._spool, self._place, last, end)
            await self._take(change)
            self._place = place
        self._log.warning("reports are numbered anew: the store was put back to an earlier state", behind=last,
                          told_before=len(change.gone))  # fmt: skip

    # The store ------------------------------------------------------------------------------------

    async def _take(self, change: Change) -> None:
        """Make a change durable, and then true here. Raises :class:`StoreError`."""
        if change.writes:
            await write_all(self._committer, change.writes)
        self._spool = change.spool
        if self._spool.head is None:
            self._waiting.clear()
        else:
            self._waiting.set()

    def _now(self) -> int:
        return int(self._clock())


class OwnLedger:
    """The sink of a node without a parent: its own store, by the same rules as for its children."""

    def __init__(self, store: Store, committer: Committer, clock: Callable[[], float]) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock

    async def __aenter__(self) -> OwnLedger:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing is open."""

    async def deliver(self, report: Report) -> None:
        writes = enter(self._store.find, report, int(self._clock()))
        if writes:  # nobody else writes these rows
            await write_all(self._committer, writes)


async def write_all(committer: Committer, writes: Sequence[Write]) -> None:
    """Have writes carried out. Raises :class:`StoreError` where they were not."""
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(result: list[Outcome] | StoreError) -> None:
        if finished.cancelled():
            return
        if isinstance(result, StoreError):
            finished.set_exception(result)
        else:
            finished.set_result(None)

    committer.submit(writes, done)
    await finished


def _everything(store: Store) -> list[Entry]:
    """The rows of the node's own statistics."""
    entries: list[Entry] = []
    cursor: bytes | None = None
    while True:
        page = store.scan(STATISTICS.decode(), cursor, PAGE)
        entries += page.entries
        cursor = page.cursor
        if cursor is None:
            return entries
