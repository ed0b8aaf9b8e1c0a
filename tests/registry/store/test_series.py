"""Series, on every backend: what members answer, what a series counts for, what stands in its way, lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import StoreError
from protocol.limits import MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES
from protocol.members import Members
from protocol.records import Head, State, Value, decode_body, encode_values, split_body
from protocol.series import MAX_WIDTH, Series, parse_series
from protocol.status import Status
from registry.store import series as store_series
from registry.store.feed import BAD_CURSOR
from registry.store.interface import Store
from registry.store.lmdb import series as lmdb_series
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.series import MAX_SHAPES, list_page, series_identifier
from registry.store.writes import ABSENT, ANY, RESUME, SUSPEND, Outcome, Write
from tests.registry.store.builders import ADMIN_ONLY, ascending, delegate, everything, follow, put, values, withdraw
from tests.registry.store.test_contract import BACKENDS, changed, outcome, unchanged

KEPT = encode_values([
    Value(1, "URL", b"https://e.cn/{suffix}"), Value(2, "COST", b"{counter}", permissions=ADMIN_ONLY),
])  # fmt: skip


@pytest.fixture(params=list(BACKENDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = BACKENDS[request.param](tmp_path / "store")
    yield opened
    opened.close()


def series(pattern: str, content: bytes | None = KEPT, compare: int | None = ANY) -> Write:
    return Write(series_identifier(parse_series(pattern)), compare, content)


def register(store: Store, pattern: str) -> None:
    assert store.apply([series(pattern)], 10) == [changed(1)]


def seen(store: Store, identifier: str) -> tuple[int, State, list[str]] | None:
    body = store.find(identifier.encode())
    if body is None:
        return None
    record = decode_body(body)
    return record.version, record.state, [value.text for value in record.values]


def test_members_answer_and_others_do_not(store: Store) -> None:
    register(store, "88.118.A/B-{001..500}")
    asked = [
        b"88.118.a/B-001",
        b"88.118.A/B-500",
        b"88.118.A/B-501",
        b"88.118.A/b-001",
        b"88.118.A/B-0011",
        b"88.118.A/B-0x1",
    ]
    bodies = store.get_many(asked)
    assert [body is not None for body in bodies] == [True, True, False, False, False, False]
    assert decode_body(bodies[0] or b"").values == (Value(1, "URL", b"https://e.cn/B-001"),)
    assert seen(store, "88.118.A/B-500") == (1, State.ACTIVE, ["https://e.cn/B-500", "500"])
    assert [store.get(one) for one in asked] == bodies


def test_a_billion_cost_one_row(store: Store) -> None:
    register(store, "88.118/{000000000000..999999999999}")
    assert store.counts().active == {"88.118": 10**12}
    assert store.counts().changes == 1
    assert len(everything(store)) == 1
    assert seen(store, "88.118/123456789012") is not None


def test_the_longest_pattern_fits_a_key(store: Store) -> None:
    prefix = "88." + "1" * (MAX_PREFIX_BYTES - 3)
    counter = "0" * (MAX_WIDTH - 1)
    head = "x" * (MAX_IDENTIFIER_BYTES - MAX_PREFIX_BYTES - 1 - MAX_WIDTH)
    register(store, f"{prefix}/{head}{{{counter}1..{counter}9}}")
    assert seen(store, f"{prefix}/{head}{counter}5") is not None
    register(store, f"{prefix}/{{{counter}1..{counter}9}}{head}")
    assert seen(store, f"{prefix}/{counter}5{head}") is not None


def test_a_member_counts_as_registered(store: Store) -> None:
    register(store, "88.118/{0..9}")
    own = encode_values([
        Value(1, "URL", b"https://e.cn/1"), Value(2, "COST", b"1", permissions=ADMIN_ONLY),
    ])  # fmt: skip
    outcomes = store.apply(
        [put("88.118/1", own, ABSENT), put("88.118/1", values("a"), ABSENT), put("88.118/1", values("a"), 7)], 20
    )
    assert outcomes == [unchanged(1), outcome(Status.EXISTS, 1), outcome(Status.CONFLICT, 1)]
    assert store.counts().active == {"88.118": 10}
    assert store.apply([put("88.118/1", values("a"), 1), withdraw("88.118/2"), withdraw("88.118/3", 9)], 20) == [
        changed(2), changed(2), outcome(Status.CONFLICT, 1),
    ]  # fmt: skip
    assert store.counts().active == {"88.118": 9}
    assert seen(store, "88.118/1") == (2, State.ACTIVE, ["a"])
    assert seen(store, "88.118/2") == (2, State.WITHDRAWN, [])
    # What has a record of its own is not the series' any more.
    assert store.apply([series("88.118/{0..9}", None)], 30) == [changed(2)]
    assert seen(store, "88.118/1") == (2, State.ACTIVE, ["a"])
    assert seen(store, "88.118/4") == (2, State.WITHDRAWN, [])
    assert store.counts().active == {"88.118": 1}
    assert store.apply([series("88.118/{0..9}")], 40) == [changed(3)]
    assert store.counts().active == {"88.118": 9}


def test_suspended_and_resumed(store: Store) -> None:
    register(store, "88.118/{0..9}")
    store.apply([put("88.118/own")], 10)
    wishes = [Write(b"88.118/own", ANY, SUSPEND), Write(b"88.118/1", 1, SUSPEND), Write(b"88.118/none", ANY, SUSPEND)]
    assert store.apply(wishes, 20) == [changed(2), changed(2), outcome(Status.NOT_FOUND, 0)]
    assert store.get_many([b"88.118/own", b"88.118/1"]) == [None, None]
    assert seen(store, "88.118/1") == (2, State.SUSPENDED, ["https://e.cn/1", "1"])
    assert store.counts().active == {"88.118": 9}
    assert store.apply([Write(b"88.118/own", ANY, SUSPEND), put("88.118/own", values("b"))], 20) == [
        unchanged(2), changed(3),
    ]  # fmt: skip
    assert store.get(b"88.118/own") is None  # an update does not resume
    assert store.apply([Write(b"88.118/own", 2, RESUME), Write(b"88.118/own", 3, RESUME)], 20) == [
        outcome(Status.CONFLICT, 3), changed(4),
    ]  # fmt: skip
    assert store.get(b"88.118/own") is not None
    store.apply([withdraw("88.118/own")], 20)
    assert store.apply([Write(b"88.118/own", ANY, RESUME)], 20) == [outcome(Status.WITHDRAWN, 5)]
    assert store.apply([series("88.118/{0..9}", SUSPEND)], 20) == [changed(2)]
    assert store.get(b"88.118/5") is None
    assert store.counts().active == {"88.118": 0}
    assert store.apply([series("88.118/{0..9}", RESUME)], 20) == [changed(3)]
    assert store.counts().active == {"88.118": 9}


@pytest.mark.parametrize(
    ("pattern", "stands"),
    [
        ("88.118/A{10..30}", "88.118/A{00..19}"),
        ("88.118/A{0F..1F;hex}", "88.118/A{00..19}"),
        ("88.118/{A00..A99;base36}", "88.118/A{00..19}"),
        ("88.118/A1{5..7}", "88.118/A{00..19}"),
        ("88.118/on{A..E;base36}", None),
        ("88.118/on{1..9}", "88.118/on5"),
        ("88.118/{10..99}", "88.118/42"),
        ("88.118/A{20..30}", None),
        ("88.118/A{000..999}", None),
        ("88.119/A{00..19}", None),
        ("88.118/A{1A..1F;hex}", None),
    ],
)
def test_what_stands_in_the_way_of_a_series(store: Store, pattern: str, stands: str | None) -> None:
    register(store, "88.118/A{00..19}")
    store.apply([put("88.118/on5"), put("88.118/42"), withdraw("88.118/42")], 10)
    assert store.in_the_way_of(parse_series(pattern)) == stands
    expected = changed(1) if stands is None else Outcome(Status.EXISTS, 0, changed=False)
    assert store.apply([series(pattern)], 20) == [expected]


def test_a_withdrawn_series_stands_in_the_way_and_may_come_back(store: Store) -> None:
    register(store, "88.118/A{00..19}")
    store.apply([series("88.118/A{00..19}", None)], 10)
    assert store.apply([series("88.118/A{10..29}")], 20) == [outcome(Status.EXISTS, 0)]
    assert store.apply([series("88.118/A{00..19}")], 20) == [changed(3)]


def test_shapes_of_a_prefix_are_bounded(store: Store) -> None:
    patterns = [f"88.118/{'x' * n}{{0..4}}" for n in range(MAX_SHAPES + 1)]
    outcomes = store.apply([series(pattern) for pattern in patterns], 10)
    assert outcomes == [changed(1)] * MAX_SHAPES + [outcome(Status.TOO_LARGE, 0)]
    register(store, "88.118/{5..9}")


@pytest.mark.parametrize(
    "pattern", ["88.118/N{000100..000200}", "88.118/N{000C0..000C9;base36}", "88.118/N0001{50..59}"]
)
def test_bulk_load_between_members(store: Store, pattern: str) -> None:
    register(store, pattern)
    count = parse_series(pattern).count
    outcomes = store.bulk_load(ascending("88.118", range(1_000)), 20)
    numbers = (f"N{number:06d}".encode() for number in range(1_000))
    inside = [one for one in numbers if parse_series(pattern).place(one) is not None]
    assert [one.version for one in outcomes].count(2) == len(inside)
    assert store.counts().active == {"88.118": 1_000 + count - len(inside)}


def test_a_list_has_series_first_and_records_behind(store: Store) -> None:
    patterns = ["88.118.1/{0..9}", "88.118/A{0..9}", "88.118/B{00..10}"]
    for pattern in [*patterns, "88.1180/{0..9}", "88.11/{0..9}", "88.118-A/{0..9}"]:
        register(store, pattern)
    store.apply([put("88.118/x"), put("88.118.1/y"), put("88.118/A3")], 10)
    expected = [*patterns, "88.118/A3", "88.118/x", "88.118.1/y"]
    for limit in range(1, 8):
        names: list[str] = []
        cursor: bytes | None = None
        while True:
            page = list_page(store, "88.118", cursor, limit)
            assert len(page.entries) <= limit
            names += [entry.name for entry in page.entries]
            cursor = page.cursor
            if cursor is None:
                break
        assert names == expected
    assert [one.members for one in list_page(store, "88.118", None, 9).entries] == [10, 10, 11, 0, 0, 0]
    for foreign in (b"nonsense", b"\x01delegation/88"):
        with pytest.raises(StoreError) as caught:
            list_page(store, "88.118", foreign, 3)
        assert caught.value.rule is BAD_CURSOR


def test_members_below_a_delegated_prefix_are_cut_off(store: Store) -> None:
    register(store, "88.118.1/{0..9}")
    assert store.get(b"88.118.1/1") is not None
    store.apply([delegate("88.118.1")], 10)
    assert store.get(b"88.118.1/1") is None
    assert store.find(b"88.118.1/1") is not None


def test_a_copy_has_the_same_members_and_counts(store: Store, tmp_path: Path) -> None:
    """By the feed as it was written, and in the order that pruning leaves it in: by prefix, series before or behind."""
    register(store, "88.118/{000..999}")
    store.apply([put("88.118/001"), withdraw("88.118/002"), Write(b"88.118/003", ANY, SUSPEND)], 20)
    store.bulk_load([put(f"88.118/{number:03d}") for number in range(500, 600)], 30)
    store.apply([series("88.118/{000..999}", SUSPEND), put("00.1/x"), series("00.1/{0..9}")], 40)
    for attempt in range(2):
        copy = LmdbStore(tmp_path / f"copy-{attempt}")
        while True:
            standing = copy.standing()
            page = store.changes((standing.inside or standing.end).cursor(), 40)
            copy.copy(page)
            if not page.more:
                break
        assert everything(copy) == everything(store)
        assert copy.counts()[:2] == store.counts()[:2]
        asked = [b"88.118/%03d" % number for number in range(1_000)]
        assert copy.get_many(asked) == store.get_many(asked)
        copy.close()
        store.prune(store.standing().end.number)


def test_the_feed_has_a_series_as_one_entry(store: Store) -> None:
    register(store, "88.118/{000..999}")
    replica: dict[bytes, bytes] = {}
    follow(store, replica)
    [(identifier, body)] = replica.items()
    assert identifier == series_identifier(parse_series("88.118/{000..999}"))
    assert split_body(body).values == KEPT


def test_a_cache_keeps_what_a_new_series_does_not_touch(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store")
    reader = LmdbReader(tmp_path / "store", store._tables, cache_bytes=1 << 20)
    store.apply([put("88.118/x"), series("88.118/{0..9}")], 10)
    before = reader.get_many([b"88.118/x", b"88.118/1"])
    assert reader._cache is not None
    held = reader._cache.bytes
    reader.rest()
    store.apply([series("88.118/A{0..9}")], 20)
    assert reader.get_many([b"88.118/x", b"88.118/1"]) == before
    assert reader._cache.bytes == held
    reader.rest()
    store.apply([series("88.118/{0..9}", values("new"))], 30)
    body = reader.get(b"88.118/1")
    assert decode_body(body or b"").version == 2
    reader.close()
    store.close()


def test_more_series_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_series, "MAX_KNOWN", 3)
    store = LmdbStore(tmp_path / "store")
    for number in range(10):
        register(store, f"88.118/{number}-{{00..99}}")
    reader = LmdbReader(tmp_path / "store", store._tables)
    asked = [b"88.118/%d-%02d" % (number % 12, number % 100) for number in range(300)]
    assert [body is not None for body in reader.get_many(asked)] == [number % 12 < 10 for number in range(300)]
    reader.close()
    store.close()


def test_who_looks_back_has_each_body_of_a_series_worked_out_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(store, "88.118.A/FORMER-{001..500}")
    for number in range(5):
        store.apply([series("88.118.A/FORMER-{001..500}", values(f"{number} {{counter}}"))], 20 + number)
    worked_out: list[int] = []

    def members(which: Series, kept: Head) -> Members:
        worked_out.append(kept.version)
        return Members(which, kept)

    monkeypatch.setattr(store_series, "Members", members)
    store_series._former.cache_clear()
    for member in ("001", "002", "001"):
        bodies = store.history(f"88.118.A/FORMER-{member}".encode())
        assert [decode_body(body).values[0].text for body in bodies[:2]] == [f"4 {member}", f"3 {member}"]
    assert sorted(worked_out) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("others", [1, 15, 16, 17, 50])
def test_members_of_their_own_are_counted_among_records_that_are_none(store: Store, others: int) -> None:
    """Also where many stand between two members, or one behind each."""
    tens = [f"88.118.A/B{number}{behind:03d}-" for number in (2, 3) for behind in range(others)]
    store.apply([put(one) for one in [*tens, *(f"88.118.A/B{number:02d}Y" for number in range(100))]], 5)
    register(store, "88.118.A/B{00..99}X")
    own = [f"88.118.A/B{number:02d}X" for number in (0, 2, 3, 20, 21, 39, 99)]
    store.apply([put(one, values("own")) for one in own], 6)
    store.apply([withdraw(own[0])], 7)
    assert store.counts().active["88.118.A"] == len(tens) + 100 + 99
    store.apply([series("88.118.A/B{00..99}X", SUSPEND)], 8)
    assert store.counts().active["88.118.A"] == len(tens) + 100 + len(own) - 1
    store.apply([series("88.118.A/B{00..99}X", RESUME)], 9)
    assert store.counts().active["88.118.A"] == len(tens) + 100 + 99
    assert store.in_the_way_of(parse_series("88.118.A/B{20..40}Z")) is None
    assert store.in_the_way_of(parse_series("88.118.A/B{40..60}Y")) == "88.118.A/B40Y"
