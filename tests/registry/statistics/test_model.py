"""Child and parent against a simple model: whatever restarts, is lost, doubled or put back, every addition to a counter
is in the parent's sums exactly once, and reports arrive in order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.errors import StoreError
from protocol.reports import Report
from registry.statistics.hours import begin, close, follow_clock, is_due
from registry.statistics.ledger import enter, find_row, hours_prefix
from registry.statistics.spool import STATISTICS, Change, add, load, remove_head, write_place
from registry.store.counters import NAMES, Reading
from registry.store.memory import MemoryStore
from registry.store.system import system_write

ZONE = "88.118"
PERIOD = 3_600
LIMIT = 4


class Statistics(RuleBasedStateMachine):
    """A child's counters, clock and store; a parent's store; the model is one number for each counter."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000
        self.files: list[tuple[bytes, list[int]]] = []
        self.model: dict[str, int] = {}
        self.child, self.parent = MemoryStore(), MemoryStore()
        self.arrived: list[int] = []
        self.place = begin(self.now, PERIOD)
        self.child.apply([write_place(self.place)], 0)
        self.start()

    def start(self) -> None:
        place, change = load(self.child.scan(STATISTICS.decode(), None, 1_000).entries)
        assert place is not None
        assert not change.writes, "one step of the store is whole or not at all"
        self.place, self.spool = place, change.spool

    # The workers --------------------------------------------------------------------------------------

    @rule()
    def a_worker_comes(self) -> None:
        self.files.append((len(self.files).to_bytes(8, "big"), [0] * len(NAMES)))

    @precondition(lambda self: self.files)
    @rule(data=st.data(), counter=st.integers(0, 3), count=st.integers(1, 1_000))
    def a_worker_counts(self, data: st.DataObject, counter: int, count: int) -> None:
        _, values = data.draw(st.sampled_from(self.files))
        values[counter] += count
        self.model[NAMES[counter]] = self.model.get(NAMES[counter], 0) + count

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def power_fails_for_a_file(self, data: st.DataObject) -> None:
        """A counter stands again as it was when it was last read: nothing that was told comes twice."""
        source, values = data.draw(st.sampled_from(self.files))
        told = self.place.read.get(source)
        for number, value in enumerate(values):
            before = told[number] if told else 0
            self.model[NAMES[number]] = self.model.get(NAMES[number], 0) - (value - before)
            values[number] = before

    # The clock ----------------------------------------------------------------------------------------

    @rule(seconds=st.one_of(st.integers(0, 2 * PERIOD), st.integers(-3 * PERIOD, 100 * PERIOD)))
    def time_passes_or_is_put(self, seconds: int) -> None:
        self.now = max(0, self.now + seconds)

    # The registry -------------------------------------------------------------------------------------

    @rule(killed=st.sampled_from(["", "before", "after"]))
    def it_looks(self, killed: str) -> None:
        """Killed before or after the store has it."""
        place = follow_clock(self.place, self.now, PERIOD)
        if is_due(place, self.now, PERIOD):
            readings = [Reading(source, tuple(values)) for source, values in self.files]
            place, reports = close(place, ZONE, self.now, PERIOD, readings, {"88.118.1": 1}, {})
            change = add(self.spool, reports, LIMIT)
            change.writes.append(write_place(place))
            if killed != "before":
                self.take(change)
        self.place = place
        if killed:
            self.start()

    def take(self, change: Change) -> None:
        self.child.apply(change.writes, 0)
        self.spool = change.spool

    @rule()
    def it_is_killed(self) -> None:
        self.start()

    # Sending ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.spool.head)
    @rule(
        fate=st.sampled_from(["arrives", "arrives", "twice", "acknowledgement lost", "killed", "request lost", "half"])
    )
    def it_sends(self, fate: str) -> None:
        assert self.spool.head is not None
        report = self.spool.head.report
        if fate == "request lost":
            return
        if fate == "half":  # the parent's store was broken off within the writes
            self.parent.apply(enter(self.parent.find, report, 0)[:-1], 0)
            return
        for _ in range(2 if fate == "twice" else 1):
            self.arrive(report)
        if fate in ("arrives", "twice"):
            self.take(remove_head(self.spool))
        elif fate == "killed":
            self.start()

    def arrive(self, report: Report) -> None:
        writes = enter(self.parent.find, report, 0)
        if writes:
            assert all(outcome.status == 0 for outcome in self.parent.apply(writes, 0))
            self.arrived.append(report.sequence)

    # What always holds --------------------------------------------------------------------------------

    @invariant()
    def every_count_is_somewhere_once(self) -> None:
        sums = find_row(self.parent.find, ZONE).sums
        found = dict(sums.counts)
        for kept in self.spool.kept:
            if kept.report.sequence > sums.sequence:
                for name, count in kept.report.counts.items():
                    found[name] = found.get(name, 0) + count
        for source, values in self.files:
            read = self.place.read.get(source, [0] * len(NAMES))
            for number, value in enumerate(values):
                found[NAMES[number]] = found.get(NAMES[number], 0) + value - read[number]
        assert {name: count for name, count in found.items() if count} == {
            name: count for name, count in self.model.items() if count
        }

    @invariant()
    def reports_came_in_order_and_once_without_a_gap(self) -> None:
        assert self.arrived == sorted(set(self.arrived))
        assert find_row(self.parent.find, ZONE).sums.missing == 0

    @invariant()
    def the_spool_is_bounded(self) -> None:
        assert len(self.spool.kept) <= LIMIT
        assert len(self.child._bodies) <= LIMIT + 2

    @invariant()
    def hours_add_up_to_the_sums(self) -> None:
        sums = find_row(self.parent.find, ZONE).sums
        page = self.parent.scan(hours_prefix(ZONE).decode(), None, 10_000)
        assert page.cursor is None
        assert len(page.entries) >= len(self.arrived)
        assert sums.sequence == (self.arrived[-1] if self.arrived else 0)


TestStatistics = Statistics.TestCase
TestStatistics.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_row_that_is_damaged_is_said() -> None:
    store = MemoryStore()
    store.apply([system_write(b"\x01reporter", ZONE, {"DATA": b"\xc1"})], 0)
    with pytest.raises(StoreError, match="damaged"):
        find_row(store.find, ZONE)
