"""Copies of a store: what a page of the feed carries, where a copy stands, and which stores it may not go on with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from protocol.errors import StoreError
from protocol.records import Value, encode_values
from registry.store.feed import BEGINNING, DIVERGED, GAP, PRUNED, FeedPage, Position, read_cursor
from registry.store.interface import Store
from registry.store.lmdb import feed as lmdb_feed
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.templates import NO_TEMPLATE, template_write
from registry.store.writes import ABSENT, Write
from tests.registry.store.builders import (
    ADMIN_ONLY,
    ascending,
    check_agreement,
    everything,
    follow,
    machine,
    noise,
    product,
    put,
    template,
    templated,
    values,
    withdraw,
)

A: Final = values("a")
B: Final = values("b")
SECRET: Final = encode_values([Value(1, "URL", b"u"), Value(2, "COST", b"9", permissions=ADMIN_ONLY)])
LIMITS: Final = [1, 2, 7, 64, 65, 10_000]

Make = Callable[[], Store]


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes stores of one backend."""
    made: list[Store] = []

    def one() -> Store:
        made.append(MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / f"store-{len(made)}"))
        return made[-1]

    yield one
    for store in made:
        store.close()


def history(store: Store, number: int = 0) -> None:
    """Single changes, withdrawals and bulk loads, of records of every kind."""
    store.apply([template_write(template(prefix), ABSENT) for prefix in ("88.1", "88.5")], 1)
    store.apply([put(f"88.1/{number:03d}", A) for number in range(70)], 1)
    store.bulk_load(ascending("88.2", range(1_300)), 2)
    store.apply([put("88.2/N000003", B), withdraw("88.2/N000005"), put("88.1/001", B), put("88.2/N0000035", A)], 3)
    store.apply([Write(b"88.1/secret", None, SECRET), put("88.1/001", A), put("88.1/001", B)], 4)
    store.bulk_load(sorted([Write(b"88.4/%04d" % n, None, [SECRET, A, noise(n, 90), machine(n)][n % 4], n % 4 == 0)
                            for n in range(40)]), 5)  # fmt: skip
    store.apply([put("\x01delegation/88.7", A), withdraw("88.1/secret")], 6)
    store.apply([put("88.1/000", templated()), put("88.1/002", templated())], 7)
    store.bulk_load([put(f"88.5/{n:03d}", templated(str(n))) for n in range(40)], 8)
    store.apply([template_write(template().disable([2000]), 1)], 9)


def take(source: Store, copy: Store, limit: int = 10_000, most: int = 1 << 30) -> int:
    """Have a copy follow its source by at most so many pages; how many it took."""
    for count in range(most):
        standing = copy.standing()
        page = source.changes((standing.inside or standing.end).cursor(), limit, standing.seen.cursor())
        copy.copy(page)
        if not page.more:
            return count + 1
    return most


def check_same(source: Store, copy: Store) -> None:
    """The copy has the same records, the same feed, and tells the same story about them."""
    assert everything(copy) == everything(source)
    check_agreement(copy)
    assert copy.counts()[:2] == source.counts()[:2]
    assert copy.standing()[:2] == source.standing()[:2]


def refused(attempt: Callable[[], object]) -> str:
    """The rule by which an attempt is refused."""
    with pytest.raises(StoreError) as caught:
        attempt()
    return caught.value.rule.name


@pytest.mark.parametrize("limit", LIMITS)
def test_a_copy_is_byte_for_byte(make: Make, limit: int) -> None:
    source, copy = make(), make()
    history(source)
    take(source, copy, limit)
    check_same(source, copy)
    source.apply([put("88.1/later", A)], 7)
    source.bulk_load(ascending("88.9", range(90)), 8)
    take(source, copy, limit)
    check_same(source, copy)


@pytest.mark.parametrize("limit", [1, 7, 65])
def test_a_copy_while_its_source_changes(make: Make, limit: int) -> None:
    source, copy = make(), make()
    history(source)
    for number in range(30):
        take(source, copy, limit, 2)
        source.apply([put(f"88.2/N{number * 40:06d}x", A), put(f"88.2/N{number * 41:06d}", product(number + 7))], 9)
        if number % 7 == 0:
            source.bulk_load(ascending(f"88.8{number}", range(20)), 9)
    take(source, copy, limit)
    check_same(source, copy)


def test_a_record_may_come_before_its_template(make: Make) -> None:
    """A page has the body of now, the template is behind in the feed: until it is here, that is what is answered."""
    source, copy = make(), make()
    source.apply([put("88.1/x", A)], 1)
    source.apply([put("88.1/y", A)], 2)
    source.apply([template_write(template(), ABSENT), put("88.1/x", templated())], 3)
    take(source, copy, 1, 1)
    assert copy.find(b"88.1/x") == source.find(b"88.1/x")
    assert refused(lambda: copy.get(b"88.1/x")) == NO_TEMPLATE.name
    take(source, copy, 1)
    check_same(source, copy)


def test_a_page_gives_a_body_once(make: Make) -> None:
    source, copy = make(), make()
    source.apply([put("88.1/x", A), put("88.1/y", A)], 1)
    source.apply([put("88.1/x", B)], 2)
    page = source.changes(None, 10)
    records = [record for part in page.parts for record in part.records]
    assert records == [(b"88.1/x", source.find(b"88.1/x")), (b"88.1/y", source.find(b"88.1/y")), (b"88.1/x", None)]
    assert [part.number for part in page.parts] == [0, 2]
    copy.copy(page)
    check_same(source, copy)


@pytest.mark.parametrize("limit", [3, 64, 500])
def test_the_same_page_again_changes_nothing(make: Make, limit: int) -> None:
    source, copy = make(), make()
    history(source)
    cursor: bytes | None = None
    while True:
        page = source.changes(cursor, limit)
        copy.copy(page)
        before, standing = everything(copy), copy.standing()
        copy.copy(page)
        assert (everything(copy), copy.standing()) == (before, standing)
        cursor = page.cursor
        if not page.more:
            break
    check_same(source, copy)


def test_a_page_that_does_not_follow_is_refused(make: Make) -> None:
    source, copy, other = make(), make(), make()
    history(source)
    first = source.changes(None, 10)
    second = source.changes(first.cursor, 10)
    assert refused(lambda: copy.copy(second)) == GAP.name
    assert everything(copy) == {}
    copy.copy(first)
    copy.copy(second)
    history(other)
    assert refused(lambda: copy.copy(other.changes(None, 10))) == DIVERGED.name


def test_inside_a_range_nothing_else_is_taken(make: Make, tmp_path: Path) -> None:
    source, copy, other = LmdbStore(tmp_path / "source"), make(), make()
    source.bulk_load(ascending("88.2", range(40)), 1)
    copy.copy(source.changes(None, 7))
    standing = copy.standing()
    assert standing.end == BEGINNING
    assert standing.inside is not None
    assert standing.inside.inside == b"88.2/N000006"
    assert standing.seen == source.standing().end
    other.apply([put("88.1/x")], 1)
    assert refused(lambda: copy.copy(other.changes(None, 7))) == GAP.name
    same = LmdbStore(tmp_path / "same")
    same.bulk_load(ascending("88.2", range(40)), 1)
    assert refused(lambda: copy.copy(same.changes(None, 8))) == GAP.name
    same.close()
    source.close()


def test_a_copy_of_a_copy(make: Make) -> None:
    """What a copy hands on ends where it has whole entries."""
    source, copy, third = make(), make(), make()
    history(source)
    for _ in range(40):
        take(source, copy, 33, 1)
        take(copy, third, 20)
        assert third.standing()[:2] == (copy.standing().end, None)
    take(source, copy, 50)
    take(copy, third, 50)
    check_same(source, third)


# Cursors that notice ----------------------------------------------------------------------------------


@pytest.fixture
def put_back(tmp_path: Path) -> Callable[[LmdbStore], LmdbStore]:
    """Gives a store as it was when the fixture's function was last told to keep it."""

    def again(store: LmdbStore) -> LmdbStore:
        target = tmp_path / f"kept-{random.getrandbits(40)}"
        store.snapshot(target)
        return LmdbStore(target)

    return again


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("written_on", [0, 1, 5_000])
def test_a_store_that_was_put_back_is_noticed(
    tmp_path: Path, put_back: Callable[[LmdbStore], LmdbStore], inside: bool, written_on: int
) -> None:
    source = LmdbStore(tmp_path / "source")
    history(source)
    old = put_back(source)
    follower = follow(source, {})
    source.bulk_load(ascending("88.5", range(40)), 7)
    page = source.feed(follower, 7 if inside else 100)
    assert (len(read_cursor(page.cursor).inside) > 0) == inside
    old.feed(follower, 10)  # as far as this it is the same feed
    if written_on == 1:
        old.bulk_load(ascending("88.5", range(40)), 7)  # the very same again
    else:
        old.apply([put(f"88.5/{number}", A) for number in range(written_on)], 8)
    assert refused(lambda: old.feed(page.cursor, 10)) == DIVERGED.name
    old.close()
    source.close()


def test_a_store_put_back_to_before_what_a_copy_has_seen(
    tmp_path: Path, put_back: Callable[[LmdbStore], LmdbStore]
) -> None:
    """The copy's end is known there, but it has bodies of changes that are lost."""
    source, copy = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    source.apply([put("88.1/x", A), put("88.1/y", A), put("88.1/z", A)], 1)
    old = put_back(source)
    source.apply([put("88.1/x", B)], 2)
    copy.copy(source.changes(None, 2))
    assert copy.find(b"88.1/x") == source.find(b"88.1/x")
    standing = copy.standing()
    assert standing.end.number == 2
    assert standing.seen == source.standing().end
    assert refused(lambda: old.changes(standing.end.cursor(), 10, standing.seen.cursor())) == DIVERGED.name
    old.changes(standing.end.cursor(), 10)
    for store in (source, copy, old):
        store.close()


def test_an_open_range_that_its_source_has_lost_is_given_up(
    make: Make, tmp_path: Path, put_back: Callable[[LmdbStore], LmdbStore]
) -> None:
    source, copy = LmdbStore(tmp_path / "source"), make()
    history(source)
    take(source, copy)
    before = everything(copy)
    source.bulk_load(ascending("88.2", range(5_000, 5_040)), 9)
    copy.copy(source.changes(copy.standing().end.cursor(), 7))
    assert len(everything(copy)) == len(before) + 7
    assert copy.standing().inside is not None
    copy.abandon()
    assert copy.standing().inside is None
    assert everything(copy) == before
    check_agreement(copy)
    take(source, copy)
    check_same(source, copy)
    source.close()


# Restored ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 3, 8, 60])
def test_restored_from_a_copy_the_feed_goes_on(make: Make, pages: int) -> None:
    """The source is lost while the copy is somewhere on its way; a third follower stands behind the copy."""
    source, copy, third = make(), make(), make()
    history(source)
    take(source, third, 40, pages // 2)
    take(source, copy, 40, pages)
    source.apply([put("88.1/001", machine(1))], 9)  # seen by nobody
    restored = make()
    take(copy, restored, 50)
    restored.inherit(copy.standing().seen)
    standing = copy.standing()
    if standing.inside is not None:
        assert refused(lambda: restored.changes(standing.inside.cursor(), 10)) == DIVERGED.name  # type: ignore[union-attr]
        copy.abandon()
    take(restored, copy, 30)
    check_same(restored, copy)
    restored.apply([put("88.1/new", A)], 10)
    for follower in (copy, third):
        standing = follower.standing()
        if standing.seen.number > restored.standing().end.number or standing.seen not in (
            standing.end, copy.standing().seen
        ):  # fmt: skip
            continue
        take(restored, follower, 30)
        check_same(restored, follower)


def test_who_was_behind_gets_what_the_copy_had_seen_of_lost_changes(make: Make) -> None:
    source, copy, behind = make(), make(), make()
    source.apply([put("88.1/x", A)], 1)
    take(source, behind)
    source.apply([put("88.1/y", A)], 2)
    source.apply([put("88.1/z", A)], 3)
    source.apply([put("88.1/y", B)], 4)
    copy.copy(source.changes(None, 2))  # with y as it was last
    restored = make()
    take(copy, restored)
    restored.inherit(copy.standing().seen)
    restored.apply([put("88.1/w", A)], 5)
    for follower in (behind, copy):
        take(restored, follower, 2)
        check_same(restored, follower)
    assert set(everything(behind)) == {b"88.1/x", b"88.1/y", b"88.1/w"}


# Pruned -----------------------------------------------------------------------------------------------


def entries_in(page: FeedPage) -> int:
    return sum(len(part.records) for part in page.parts)


@pytest.mark.parametrize("limit", [1, 9, 100, 10_000])
def test_a_pruned_feed_can_be_followed_from_its_beginning(make: Make, limit: int) -> None:
    source, copy, standing_there = make(), make(), make()
    history(source)
    take(source, standing_there)
    at = source.standing().end
    source.bulk_load(ascending("88.2", range(2_000, 2_040)), 9)
    source.apply([put("88.1/000", B), put("88.1/000", A)], 9)
    pruned = source.prune(at.number)
    assert pruned == at.number
    take(source, copy, limit)
    check_same(source, copy)
    take(source, standing_there, limit)
    check_same(source, standing_there)
    assert source.prune(at.number) == pruned
    assert source.prune(1 << 40) > pruned
    assert refused(lambda: source.changes(Position(at.number - 1, b"whatever").cursor(), 10)) == PRUNED.name
    fresh = make()
    take(source, fresh, limit)
    check_same(source, fresh)
    source.apply([put("88.1/000", B)], 10)
    for follower in (fresh, copy):
        take(source, follower, limit)
        check_same(source, follower)


def test_a_cursor_below_the_pruning_is_told_to_begin_anew(make: Make) -> None:
    source = make()
    history(source)
    early = source.feed(None, 3).cursor
    source.prune(source.standing().end.number)
    assert refused(lambda: source.feed(early, 10)) == PRUNED.name


def test_a_large_feed_is_pruned_in_steps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_feed, "PRUNED_AT_ONCE", 3)
    source, copy = make(), make()
    for number in range(20):
        source.apply([put(f"88.{number % 3}/{number}", A)], 1)
    steps = 0
    before = -1
    while (now := source.prune(19)) != before:
        before, steps = now, steps + 1
    assert now == 19
    take(source, copy, 2)
    check_same(source, copy)
    if isinstance(source, LmdbStore):
        assert steps == 7


def test_less_than_the_prefixes_is_not_pruned(make: Make) -> None:
    source = make()
    source.apply([put("88.1/x"), put("88.2/x")], 1)
    source.apply([put("88.3/x"), put("88.4/x")], 1)
    assert source.prune(2) == 0
    check_agreement(source)


def test_a_copy_is_whole_once_it_has_been_at_the_end(make: Make) -> None:
    source, copy = make(), make()
    history(source)
    pages = take(source, make(), 100)
    take(source, copy, 100, pages - 1)
    assert not copy.standing().whole
    take(source, copy, 100)
    assert copy.standing().whole
    source.apply([put("88.1/000", B), put("88.1/001", B)], 9)
    copy.copy(source.changes(copy.standing().end.cursor(), 1))
    assert copy.standing().whole, "though it is behind again"
    empty, other = make(), make()
    other.copy(empty.changes(None, 10))
    assert other.standing().whole, "of nothing"


@pytest.mark.parametrize("limit", [1, 9, 100, 10_000])
def test_a_copy_begins_again_with_what_it_has(make: Make, limit: int) -> None:
    """Where the feed was pruned beyond it, and also in the middle of a range."""
    source, copy = make(), make()
    history(source)
    take(source, copy)
    take(source, inside := make(), 100, 3)
    assert inside.standing().inside is not None or isinstance(inside, MemoryStore)
    source.apply([put("88.2/N000003", A), put("88.9/new", A), withdraw("88.1/001")], 9)
    source.apply([put("88.9/new", A), put("88.9/new", B)], 9)
    source.prune(source.standing().end.number)
    source.apply([put("88.9/new", B)], 10)
    for one in (copy, inside):
        standing = one.standing()
        at = (standing.inside or standing.end).cursor()
        assert refused(lambda at=at: source.changes(at, 10)) == PRUNED.name  # type: ignore[misc]
        before, whole = everything(one), standing.whole
        one.restart()
        assert everything(one) == before
        assert one.standing() == (BEGINNING, None, BEGINNING, whole)
        take(source, one, limit)
        check_same(source, one)
        assert one.standing().whole


def test_a_copy_that_begins_again_does_not_go_back(make: Make) -> None:
    """A feed that was put back, went on and was pruned shows nothing of this but older versions."""
    source, backup, copy = make(), make(), make()
    history(source)
    take(source, backup)
    source.apply([put("88.1/000", text) for text in (B, A, B)], 9)
    take(source, copy)
    backup.apply([put(f"88.8/{number}", A) for number in range(20)], 9)
    backup.prune(backup.standing().end.number)
    copy.restart()
    before = everything(copy)
    assert refused(lambda: take(backup, copy)) == DIVERGED.name
    assert everything(copy).items() >= before.items()


def test_the_kept_part_of_a_store_survives_reopening(tmp_path: Path) -> None:
    """Standing, open range and pruning are on disk."""
    source, copy = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    history(source)
    take(source, copy, 100, 3)
    assert copy.standing().inside is not None
    source.prune(70)
    standing = copy.standing()
    copy.close()
    copy = LmdbStore(tmp_path / "copy")
    assert copy.standing() == standing
    take(source, copy)
    check_same(source, copy)
    copy.close()
    source.close()
    shutil.rmtree(tmp_path / "copy")
