"""Changes carried out with their entries: in order, all or none, and right again after a crash."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BiaoshiError, Refused, StoreError
from protocol.status import Status
from registry.audit import journal
from registry.audit.chain import decode_entry, walk
from registry.audit.journal import NOT_CARRIED_OUT, UNDER_WAY, Journal
from registry.audit.log import VOID, kept_entries
from registry.changes import Change, Event
from registry.store.interface import STORE_FULL
from registry.store.memory import MemoryStore
from registry.store.system import read_system, system_identifier, system_write
from registry.store.writes import Write
from tests.registry.house import ZONE

KIND = b"\x01thing"


class Bench:
    """A journal whose writes wait until they are let go."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.batches: list[tuple[list[Write], Any]] = []
        self.answers: dict[int, object] = {}
        self.news = 0
        self.journal = Journal(
            self.store,
            ZONE,
            lambda writes, done: self.batches.append((list(writes), done)),
            lambda: 50.9,
            self._changed,
        )
        self.journal.start()

    def _changed(self) -> None:
        self.news += 1

    def change(self, name: str, number: int) -> None:
        """Ask for a change that rests on what the store has now."""
        version, _ = read_system(self.store.find(system_identifier(KIND, name)))
        write = system_write(KIND, name, {"DATA": b"%d" % number}, version)
        event = Event("me", "thing.put", 0, version + 1, details={"number": str(number)})

        def done(answer: object) -> None:
            self.answers[number] = answer

        self.journal.carry_out(Change((event,), (write,), number), done)

    def let_go(self, failure: StoreError | None = None, only: int | None = None) -> None:
        writes, done = self.batches.pop(0)
        if failure is not None:
            done(failure)
            return
        outcomes = self.store.apply(writes[:only], 50)
        if only is None:
            done(outcomes)

    def told(self) -> list[tuple[str, str]]:
        """What the log has, verified."""
        return [(one.action, one.record) for one, _ in walk(ZONE, kept_entries(self.store))]


FULL = StoreError(STORE_FULL, reason="test")


def test_one_batch_at_a_time() -> None:
    bench = Bench()
    for number in range(4):
        bench.change(f"a{number}", number)
    assert len(bench.batches) == 1
    bench.let_go()
    assert bench.answers == {0: 0}
    assert len(bench.batches) == 1
    bench.let_go()
    assert bench.answers == {number: number for number in range(4)}
    assert bench.told() == [("thing.put", f"thing/a{number}") for number in range(4)]
    assert bench.news == 2
    first = next(kept_entries(bench.store))
    assert decode_entry(first.raw, 0).time == 50


def test_two_changes_of_one_record_do_not_cross() -> None:
    bench = Bench()
    bench.change("a", 1)
    bench.change("a", 2)
    assert isinstance(bench.answers[2], Refused)
    assert bench.answers[2].rule is UNDER_WAY
    bench.let_go()
    bench.change("a", 3)
    bench.let_go()
    assert bench.answers[3] == 3
    assert bench.told() == [("thing.put", "thing/a")] * 2


def test_what_fails_leaves_no_gap() -> None:
    bench = Bench()
    bench.change("a", 1)
    bench.change("b", 2)
    bench.let_go(FULL)
    assert bench.answers == {1: FULL}
    bench.let_go()
    assert bench.answers[2] == 2
    bench.change("a", 3)
    bench.let_go()
    assert bench.told() == [("thing.put", "thing/b"), ("thing.put", "thing/a")]


def test_at_the_end_what_is_under_way_is_carried_out_and_nothing_more() -> None:
    bench = Bench()
    bench.change("a", 1)
    bench.change("b", 2)
    bench.journal.stop()
    bench.change("c", 3)
    for number in (2, 3):
        answer = bench.answers[number]
        assert isinstance(answer, Refused)
        assert answer.status is Status.SHUTTING_DOWN
    bench.let_go()
    assert bench.answers[1] == 1
    assert not bench.batches
    assert bench.told() == [("thing.put", "thing/a")]


def test_a_change_without_writes_is_done() -> None:
    bench = Bench()
    answers: list[object] = []
    bench.journal.carry_out(Change((), (), "as it was"), answers.append)
    assert answers == ["as it was"]
    assert not bench.batches


def test_what_something_else_has_changed_is_taken_back() -> None:
    bench = Bench()
    bench.change("a", 1)
    bench.change("b", 2)
    bench.store.apply([system_write(KIND, "a", {"DATA": b"foreign"})], 50)
    bench.let_go()
    assert isinstance(bench.answers[1], Refused)
    assert bench.answers[1].rule is NOT_CARRIED_OUT
    bench.let_go()
    assert bench.answers[2] == 2
    assert bench.told() == [("thing.put", "thing/a"), (VOID, "thing/a"), ("thing.put", "thing/b")]


def test_void_entries_come_after_a_failure_too() -> None:
    bench = Bench()
    bench.change("a", 1)
    bench.store.apply([system_write(KIND, "a", {"DATA": b"foreign"})], 50)
    bench.let_go()
    bench.let_go(FULL)
    bench.change("b", 2)
    bench.let_go()
    assert bench.told() == [("thing.put", "thing/a"), (VOID, "thing/a"), ("thing.put", "thing/b")]


@pytest.mark.parametrize("written", range(4))
def test_a_crash_between_an_entry_and_its_change(written: int) -> None:
    """In a store that is atomic by single records: two entries stand before two changes, and any number of them is on
    the disk. What is told and not there is taken back at the next start, once."""
    bench = Bench()
    versions = [0, 0]
    writes = [system_write(KIND, name, {"DATA": name.encode()}, 0) for name in ("a", "b")]
    events = [Event("me", "thing.put", place, versions[place] + 1) for place in (0, 1)]
    bench.journal.carry_out(Change(tuple(events), tuple(writes), None), lambda _: None)
    bench.let_go(only=written)
    for _ in range(2):  # the second start finds nothing to do
        again = Bench(bench.store)
        if again.batches:
            again.let_go()
    told = [("thing.put", "thing/a"), ("thing.put", "thing/b")][:written]
    missing = [("thing/a", 2), ("thing/b", 3)]
    void = [(VOID, record) for place, (record, _) in enumerate(missing) if place < written and written < 3 + place]
    assert again.told() == told + void


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["go", "fail", "wait"])), max_size=20))
def test_the_log_has_what_was_done_and_nothing_else(steps: list[tuple[str, str]]) -> None:
    bench = Bench()
    asked = {}
    for number, (name, then) in enumerate(steps):
        bench.change(name, number)
        asked[number] = name
        if then != "wait" and bench.batches:
            bench.let_go(FULL if then == "fail" else None)
    while bench.batches:
        bench.let_go()
    done = [asked[number] for number, answer in bench.answers.items() if not isinstance(answer, BiaoshiError)]
    assert sorted(record for _, record in bench.told()) == sorted(f"thing/{name}" for name in done)
    assert bench.answers.keys() == asked.keys()
    for name in "abc":
        assert read_system(bench.store.find(system_identifier(KIND, name)))[0] == done.count(name)


def test_a_large_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BATCH", 2)
    bench = Bench()
    for number in range(6):
        bench.change(f"a{number}", number)
    sizes = []
    while bench.batches:
        sizes.append(len(bench.batches[0][0]))
        bench.let_go()
    assert sizes == [2, 4, 4, 2]
    assert len(bench.told()) == 6
