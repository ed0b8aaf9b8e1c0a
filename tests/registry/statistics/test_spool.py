"""Reports wait in order, durably; where they become too many the oldest hours are merged, never dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.reports import Report
from registry.statistics.hours import Place
from registry.statistics.spool import (
    STATISTICS,
    Change,
    Kept,
    Spool,
    add,
    load,
    merge,
    remove_head,
    renumber,
    write_place,
)
from registry.store.interface import Store
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from tests.registry.statistics.builders import NOW, report


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / "store")
    yield opened
    opened.close()


def keep(store: Store, change: Change, place: Place | None = None) -> Spool:
    """Carry a change out."""
    writes = [*change.writes, *([write_place(place)] if place else [])]
    assert all(outcome.status == 0 for outcome in store.apply(writes, NOW))
    return change.spool


def stored(store: Store) -> tuple[Place | None, Change]:
    return load(store.scan(STATISTICS.decode(), None, 10_000).entries)


def numbers(spool: Spool) -> list[tuple[int, int]]:
    return [(kept.report.first, kept.report.sequence) for kept in spool.kept]


def total(reports: list[Report]) -> int:
    return sum(one.counts.get("resolved.ok", 0) for one in reports)


def test_nothing_is_stored_at_first(store: Store) -> None:
    assert stored(store) == (None, Change(Spool(), [], []))


def test_what_waits_is_there_after_a_restart(store: Store) -> None:
    place = Place(4, 3_600, {b"12345678": [1, 2, 3]})
    spool = keep(store, add(Spool(), [report(1), report(2), report(3)]), place)
    assert stored(store) == (place, Change(spool, [], []))
    spool = keep(store, remove_head(spool))
    assert spool.head is not None
    assert spool.head.report == report(2)
    assert stored(store) == (place, Change(spool, [], []))


def test_slots_are_used_again(store: Store) -> None:
    spool = Spool()
    for i in range(1, 50):
        spool = keep(store, add(spool, [report(i)]), Place(i + 1, 0, {}))
        if i > 2:
            spool = keep(store, remove_head(spool))
    assert len(store.scan(STATISTICS.decode(), None, 1_000).entries) == 3 + 1
    assert numbers(stored(store)[1].spool) == [(48, 48), (49, 49)]


def test_too_many_reports_are_merged_behind_the_first(store: Store) -> None:
    spool, said = Spool(), []
    for i in range(1, 11):
        change = add(spool, [report(i)], limit=4)
        said += change.gone
        spool = keep(store, change, Place(i + 1, 0, {}))
    assert numbers(spool) == [(1, 1), (2, 8), (9, 9), (10, 10)]
    assert total([kept.report for kept in spool.kept]) == sum(range(1, 11))
    merged = spool.kept[1].report
    assert (merged.start, merged.end) == (report(2).start, report(8).end)
    assert merged.enterprises == report(8).enterprises
    assert [one.first for one in said] == [2] * 6
    assert stored(store)[1] == Change(spool, [], [])


def test_parts_of_an_hour_are_merged_together() -> None:
    spool = Spool()
    for i in range(4):
        hour = [
            report(3 * i + part + 1, part=part, parts=3, counts={"resolved.ok": 1} if part == 0 else {})
            for part in range(3)
        ]
        spool = add(spool, hour, limit=9).spool
    assert numbers(spool) == [(1, 1), (2, 2), (3, 3), (4, 7), (8, 8), (9, 9), (10, 10), (11, 11), (12, 12)]
    assert spool.kept[3].report.counts == {"resolved.ok": 2}
    after = add(remove_head(spool).spool, [report(13)], limit=6).spool  # of the first hour, two parts are left
    assert numbers(after) == [(2, 2), (3, 3), (4, 10), (11, 11), (12, 12), (13, 13)]


def test_with_less_than_three_hours_nothing_is_merged() -> None:
    spool = add(Spool(), [report(1), report(2)], limit=1).spool
    assert numbers(spool) == [(1, 1), (2, 2)]
    assert add(spool, [report(3)], limit=1).gone == []


def test_a_broken_off_write_is_put_in_order(store: Store) -> None:
    """As where only single rows are atomic: reports without their place, a merged one beside what it stands for."""
    spool = keep(store, add(Spool(), [report(1), report(2), report(3)]), Place(4, 0, {}))
    store.apply(add(spool, [report(4)]).writes, NOW)  # its place was not written: 4 will come again
    merging = add(spool, [report(4)], limit=3)
    store.apply(merging.writes[:1], NOW)  # 2 and 3 in the row of 3; 2 is still there
    place, change = stored(store)
    assert place == Place(4, 0, {})
    assert numbers(change.spool) == [(1, 1), (2, 3)]
    spool = keep(store, change)
    assert stored(store) == (place, Change(spool, [], []))


def test_numbering_goes_on_behind_what_the_other_end_has(store: Store) -> None:
    place = Place(5, 0, {})
    spool = keep(store, add(Spool(), [report(i) for i in range(1, 5)]), place)
    after, change = renumber(spool, place, last=100, end=report(2).end)
    assert change.gone == [report(1), report(2)]
    assert numbers(change.spool) == [(101, 101), (102, 102)]
    assert [kept.report.start for kept in change.spool.kept] == [report(3).start, report(4).start]
    assert after.sequence == 103
    spool = keep(store, change)
    assert stored(store) == (after, Change(spool, [], []))


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 99)), min_size=1, max_size=30), st.integers(1, 8)
)
def test_merging_keeps_every_sum(counts: list[dict[str, int]], limit: int) -> None:
    spool = Spool()
    for i, one in enumerate(counts, start=1):
        spool = add(spool, [report(i, counts=one)], limit).spool
        assert len(spool.kept) <= max(limit, 3)
        firsts = [first for first, _ in numbers(spool)]
        assert firsts == [1, *[last + 1 for _, last in numbers(spool)][:-1]]
    for name in "abc":
        assert sum(one.get(name, 0) for one in counts) == sum(kept.report.counts.get(name, 0) for kept in spool.kept)


def test_merge_is_for_the_time_of_both() -> None:
    early, late = report(1, start=500), report(2, start=100)  # the clock was put back between
    merged = merge(early, late)
    assert (merged.start, merged.end, merged.first, merged.sequence) == (100, late.end, 1, 2)
    assert msgspec.structs.replace(late, start=100, first=1, counts={"resolved.ok": 3}) == merged
    assert Kept(0, merged).report is merged
