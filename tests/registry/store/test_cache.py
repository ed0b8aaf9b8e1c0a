"""Bodies in memory: bounded, exact, and forgotten when they have changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.store.lmdb import reader as reading
from registry.store.lmdb.cache import ENTRY_BYTES, SHARDS, BodyCache
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from tests.registry.store.builders import ascending, put, values, withdraw


def get(cache: BodyCache, key: bytes) -> bytes | None:
    return cache.shards[hash(key) & (SHARDS - 1)].get(key)


def test_what_was_put_is_there_until_it_is_dropped() -> None:
    cache = BodyCache(1 << 20)
    assert get(cache, b"a") is None
    cache.put(b"a", b"body")
    cache.put(b"a", b"body")
    assert get(cache, b"a") == b"body"
    assert cache.bytes == 1 + 4 + ENTRY_BYTES
    cache.drop(b"a")
    cache.drop(b"a")
    assert get(cache, b"a") is None
    assert cache.bytes == 0


def test_the_first_in_goes_first() -> None:
    cache = BodyCache(SHARDS * 20 * (200 + ENTRY_BYTES))
    keys = [b"%04d" % number for number in range(10_000)]
    for key in keys:
        cache.put(key, bytes(196))
    kept = [key for key in keys if get(cache, key) is not None]
    assert 0.8 * SHARDS * 20 < len(kept) <= SHARDS * 20
    for number in range(SHARDS):
        mine = [key for key in keys if hash(key) & (SHARDS - 1) == number]
        held = [key for key in mine if get(cache, key) is not None]
        assert held == mine[-len(held) :]


@given(st.lists(st.tuples(st.sampled_from(["put", "drop"]), st.integers(0, 300), st.integers(0, 3_000)), max_size=200))
def test_the_bound_holds_and_bytes_are_counted_right(steps: list[tuple[str, int, int]]) -> None:
    budget = SHARDS * 2_000
    cache = BodyCache(budget)
    for step, number, length in steps:
        if step == "put":
            cache.put(b"%d" % number, bytes(length))
        else:
            cache.drop(b"%d" % number)
        held = {key: body for shard in cache.shards for key, body in shard.items()}
        assert cache.bytes == sum(len(key) + len(body) + ENTRY_BYTES for key, body in held.items()) <= budget
    cache.clear()
    assert cache.bytes == 0


def test_an_entry_takes_what_is_counted_for_it() -> None:
    """Measured: headers and rounding of two ``bytes``, and a share of the table."""
    bodies = {b"key-%08d" % number: bytes(100) for number in range(20_000)}
    taken = sys.getsizeof(bodies) + sum((sys.getsizeof(k) + 15 & ~15) + (sys.getsizeof(v) + 15 & ~15)
                                        for k, v in bodies.items())  # fmt: skip
    counted = sum(len(key) + len(body) + ENTRY_BYTES for key, body in bodies.items())
    assert 0.8 * counted < taken < 1.1 * counted


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[LmdbStore, LmdbReader]]:
    store = LmdbStore(tmp_path / "store")
    reader = LmdbReader(tmp_path / "store", store._tables, cache_bytes=1 << 20)
    yield store, reader
    reader.rest()
    store.close()


def test_one_snapshot_shows_one_state_and_the_next_the_new_one(pair: tuple[LmdbStore, LmdbReader]) -> None:
    store, reader = pair
    name = b"88.118/a"
    store.apply([put("88.118/a", values("old")), put("88.118/b")], 1)
    old = reader.get(name)
    store.apply([put("88.118/a", values("new"))], 2)
    assert reader.get(name) == old, "its snapshot goes on until the next rest"
    reader.rest()
    assert reader.get_many([name]) == [store.get(name)] != [old]
    store.apply([withdraw("88.118/a")], 3)
    reader.rest()
    assert reader.get(name) is None
    cache = reader._cache
    assert cache is not None
    assert sum(map(len, cache.shards)) == 0, "b was not asked for, a is withdrawn"


def test_a_bulk_load_over_what_is_known(pair: tuple[LmdbStore, LmdbReader]) -> None:
    store, reader = pair
    names = [write.identifier for write in ascending("88.118", range(300))]
    store.bulk_load(ascending("88.118", range(300)), 1)
    before = reader.get_many(names)
    reader.rest()
    store.bulk_load([put(name.decode(), values("again")) for name in names], 2)
    assert reader.get_many(names) == store.get_many(names) != before


@pytest.mark.parametrize("most", [10, 1_000])
def test_many_changes_at_once(pair: tuple[LmdbStore, LmdbReader], monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(reading, "MAX_CAUGHT_UP", most)
    store, reader = pair
    names = [b"88.118/%d" % number for number in range(100)]
    store.apply([put(name.decode(), values("1")) for name in names], 1)
    assert None not in reader.get_many(names)
    reader.rest()
    store.apply([put(name.decode(), values("2")) for name in names[:60]], 2)
    cache = reader._cache
    assert cache is not None
    reader._begin()
    assert sum(map(len, cache.shards)) == (0 if most == 10 else 40)
    assert reader.get_many(names) == store.get_many(names)
