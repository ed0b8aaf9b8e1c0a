"""The child's shell: hours are kept before they are sent, sent in order, and wait while nobody takes them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import structlog
from structlog.testing import capture_logs

from protocol.errors import BiaoshiError, Refused, StoreError, Unreachable
from protocol.reports import Report
from protocol.status import Status
from registry.client import LOST
from registry.committer import Committer
from registry.statistics.ledger import enter, find_row
from registry.statistics.reporter import OwnLedger, Reporter, Sink
from registry.statistics.rules import USED_NUMBER
from registry.statistics.spool import STATISTICS, load
from registry.store.counters import Reading
from registry.store.interface import STORE_FULL
from registry.store.memory import MemoryStore
from registry.store.writes import Outcome, Write
from tests.registry.statistics.builders import NOW
from tests.registry.store.builders import put


class Parent:
    """A sink that has a ledger of its own, and fails as told: before it keeps a report, or after."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.fails: list[str] = []
        self.taken: list[int] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Sink]:
        yield self

    async def deliver(self, report: Report) -> None:
        fate = self.fails.pop(0) if self.fails else ""
        if fate == "before":
            raise Unreachable(LOST)
        writes = enter(self.store.find, report, NOW)
        self.store.apply(writes, NOW)
        if writes:
            self.taken.append(report.sequence)
        if fate == "after":
            raise Unreachable(LOST)

    @property
    def resolved(self) -> int:
        return find_row(self.store.find, "88.118").sums.counts.get("resolved.ok", 0)


class Full(MemoryStore):
    """A store whose disk is full when it is told so."""

    full = False

    def apply(self, writes: list[Write], now: int) -> list[Outcome]:  # type: ignore[override]
        if self.full:
            raise StoreError(STORE_FULL, reason="test")
        return super().apply(writes, now)


class Node:
    """A child: its store, clock and counters are those of the test."""

    def __init__(self, limit: int = 100) -> None:
        self.now = float(NOW - NOW % 3_600)
        self.count = 0
        self.store = Full()
        self.parent = Parent()
        self.limit = limit

    @contextlib.contextmanager
    def reporter(self, period: int = 3_600) -> Iterator[Reporter]:
        """As in a process that begins here, and ends."""
        committer = Committer(self.store, asyncio.get_running_loop().call_soon_threadsafe, lambda: int(self.now))
        yield Reporter(
            "88.118", self.store, committer, self.parent.open, lambda: [Reading(b"12345678", (self.count,))],
            lambda: self.now, structlog.get_logger(), period=period, industries={"88.118.1": "C34"}, limit=self.limit,
        )  # fmt: skip
        committer.stop()

    def waiting(self) -> list[int]:
        """The numbers of the reports in the store."""
        _, change = load(self.store.scan(STATISTICS.decode(), None, 1_000).entries)
        return [kept.report.sequence for kept in change.spool.kept]


def play(scene: Callable[[Node], Awaitable[None]], **options: int) -> Node:
    node = Node(**options)

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scene(node)

    asyncio.run(bounded())
    return node


async def failing(attempt: Awaitable[None]) -> None:
    try:
        await attempt
    except BiaoshiError:
        return
    raise AssertionError("it did not fail")


async def hours_pass(node: Node, reporter: Reporter, hours: int) -> None:
    for _ in range(hours):
        node.count += 10
        node.now += 3_600
        await reporter.look()


def test_hours_are_kept_and_then_sent_in_order() -> None:
    async def scene(node: Node) -> None:
        node.store.apply([put("88.118.1/x"), put("88.118.2.5/y")], NOW)
        with node.reporter() as reporter:
            await reporter._load()
            await hours_pass(node, reporter, 3)
            assert node.waiting() == [1, 2, 3]
            await reporter.look()  # within the same hour
            await reporter.send_all()
            assert node.waiting() == []

    node = play(scene)
    assert node.parent.taken == [1, 2, 3]
    assert node.parent.resolved == 30
    sums = find_row(node.parent.store.find, "88.118").sums
    assert (sums.registered, sums.enterprises, sums.industries) == (2, 2, {"C34": 1, "": 1})


def test_a_process_that_ends_at_any_point_loses_and_doubles_nothing() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter:
            await reporter._load()
            await hours_pass(node, reporter, 2)
            node.count += 7
        with node.reporter() as reporter:  # killed between keeping and sending, and within an hour
            await reporter._load()
            node.parent.fails = ["", "after"]
            await failing(reporter.send_all())
            assert node.waiting() == [2]
        with node.reporter() as reporter:  # an acknowledgement was lost
            await reporter._load()
            await hours_pass(node, reporter, 1)
            await reporter.send_all()

    node = play(scene)
    assert node.parent.taken == [1, 2, 3]
    assert node.parent.resolved == node.count == 37


def test_what_cannot_be_kept_goes_into_the_next_hour() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter:
            await reporter._load()
            node.store.full = True
            await failing(hours_pass(node, reporter, 1))
            assert node.waiting() == []
            node.store.full = False
            await hours_pass(node, reporter, 1)
            await reporter.send_all()

    assert play(scene).parent.resolved == 20


def test_while_nobody_takes_them_oldest_hours_are_merged_and_it_is_said() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter, capture_logs() as said:
            await reporter._load()
            await hours_pass(node, reporter, 50)
            assert node.waiting() == [1, 47, 48, 49, 50]
            assert len([line for line in said if "merged" in line["event"]]) == 45
            await reporter.send_all()

    node = play(scene, limit=5)
    assert node.parent.resolved == 500
    assert find_row(node.parent.store.find, "88.118").sums.missing == 0


def test_a_store_that_was_put_back_goes_on_behind_what_was_told() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter:
            await reporter._load()
            await hours_pass(node, reporter, 3)
            await reporter.send_all()
        node.store, node.count = Full(), 0  # a new machine
        with node.reporter() as reporter, capture_logs() as said:
            await reporter._load()
            await hours_pass(node, reporter, 2)
            await failing(reporter.send_all())
            assert node.waiting() == [4, 5]
            assert any("numbered anew" in line["event"] for line in said)
            await reporter.send_all()

    node = play(scene)
    assert node.parent.taken == [1, 2, 3, 4, 5]
    assert node.parent.resolved == 30 + 20


def test_a_refusal_without_numbers_changes_nothing() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter:
            await reporter._load()
            await hours_pass(node, reporter, 1)

            async def refuse(report: Report) -> None:
                raise Refused(USED_NUMBER, Status.CONFLICT, sequence=1, last="x", end=1)

            node.parent.deliver = refuse  # type: ignore[method-assign]
            await failing(reporter.send_all())
            assert node.waiting() == [1]

    play(scene)


def test_it_runs_by_itself_and_tries_again() -> None:
    async def scene(node: Node) -> None:
        begin = time.monotonic()
        with node.reporter(period=1) as reporter, capture_logs() as said:
            reporter._clock = lambda: NOW + time.monotonic() - begin
            node.parent.fails = ["before", "after", "before"]
            running = asyncio.create_task(reporter.run())
            while node.parent.resolved < 5 or node.parent.fails:
                node.count = 5
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            assert len([line for line in said if "could not be sent" in line["event"]]) == 3

    node = play(scene)
    assert node.parent.taken == list(range(1, len(node.parent.taken) + 1))


def test_a_node_without_a_parent_keeps_its_own_hours() -> None:
    async def scene(node: Node) -> None:
        with node.reporter() as reporter:
            committer = reporter._committer
            reporter._open_sink = lambda: OwnLedger(node.store, committer, lambda: node.now)
            await reporter._load()
            await hours_pass(node, reporter, 2)
            await reporter.send_all()
            assert node.waiting() == []

    node = play(scene)
    assert find_row(node.store.find, "88.118").sums.counts == {"resolved.ok": 20}
