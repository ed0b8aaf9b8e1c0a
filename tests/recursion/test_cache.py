"""The cache against a model that forgets nothing, and within its bytes whatever comes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resolver.recursion.cache import ENTRY_BYTES, MAX_LEAD_SECONDS, PERIOD_SECONDS, SWEEP, Cache, Entry, cost_of

NOW = 1_780_272_000
LARGE = 1 << 40
KEYS = [f"88.{zone}.{number % 2}/x{number}".encode() for zone in (118, 119) for number in range(8)]

keys = st.sampled_from(KEYS)
ttls = st.sampled_from([1, 2, 5, 30, 300, 799, 800, 6_399, 6_400, 86_400, 172_800])


def parts(number: int, size: int = 20) -> tuple[bytes, bytes, bytes, bytes]:
    """Parts of an answer, with a body that is shared as the node's are."""
    body = b"%06d" % number + bytes(size)
    return body, b"head", body, b"end"


def every(cache: Cache) -> Iterator[tuple[bytes, Entry]]:
    """All entries, wherever they are."""
    for kept in (cache._young, cache._old, cache._stale):
        yield from kept.items()


def sweep(cache: Cache, now: int) -> list[bytes]:
    """Sweep until there is no more to look at."""
    popular: list[bytes] = []
    while True:
        due = cache.sweep(now)
        popular += due.popular
        if not due.more:
            return popular


def check(cache: Cache) -> None:
    """What holds at any time."""
    assert cache.bytes == sum(entry[6] for _, entry in every(cache)) <= cache.most
    assert not cache._young.keys() & cache._old.keys()
    placed = {key for slot in cache._wheel.values() for key in slot}
    assert {key for key, _ in every(cache)} == placed, "all entries stand in the wheel, and nothing else"
    assert sum(map(len, cache._wheel.values())) <= len(placed) + len(cache._stale)


class Remembering(RuleBasedStateMachine):
    """With room for all: what was put is there until it expires, then it is stale, then it is gone."""

    STALE = 1_000

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(LARGE, self.STALE)
        self.now = NOW
        self.number = 0
        self.model: dict[bytes, tuple[bytes, int, int]] = {}  # plain, put at, ttl
        self.brief: dict[bytes, tuple[bytes, int]] = {}

    @rule(key=keys, ttl=ttls)
    def put(self, key: bytes, ttl: int) -> None:
        self.number += 1
        self.cache.put(key, parts(self.number), ttl, self.now)
        self.model[key] = (parts(self.number)[0], self.now, ttl)
        self.brief.pop(key, None)

    @rule(key=keys, seconds=st.integers(1, 30))
    def put_briefly(self, key: bytes, seconds: int) -> None:
        if self.cache.find(key) is not None:
            return
        self.number += 1
        self.cache.put_briefly(key, parts(self.number), seconds, self.now)
        self.brief[key] = (parts(self.number)[0], self.now + seconds)

    @rule(key=keys)
    def drop(self, key: bytes) -> None:
        self.cache.drop(key)
        self.model.pop(key, None)
        self.brief.pop(key, None)

    @rule(child=st.sampled_from(["88.118", "88.119.1", "88.11", "88.118.0/x1"]))
    def drop_below(self, child: str) -> None:
        gone = [key for key in KEYS if key.startswith((child.encode() + b"/", child.encode() + b"."))]
        self.cache.drop_below([child])
        for key in gone:
            self.model.pop(key, None)
            self.brief.pop(key, None)

    @rule(seconds=st.sampled_from([0, 1, 2, 7, 60, 400, 999, 1_001, 7_000, 100_000]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        sweep(self.cache, self.now)

    @rule(seconds=st.integers(1, 5_000))
    def a_clock_set_back(self, seconds: int) -> None:
        """Nothing breaks; what is kept for too long is kept for as much as the clock was wrong."""
        sweep(self.cache, self.now - seconds)

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        check(self.cache)
        for key in KEYS:
            entry = self.cache.get(key)
            assert entry == self.cache.find(key)
            given = None if entry is None else entry[0]
            brief = self.brief.get(key)
            if brief is not None and brief[1] > self.now:
                assert given == brief[0]
                continue
            plain, put_at, ttl = self.model.get(key, (b"", 0, 0))
            if self.now < put_at + ttl - ttl // 100:
                assert given == plain
            elif self.now >= put_at + ttl:
                assert given is None
                stale = self.cache.find_stale(key, self.now)
                if self.now <= put_at + ttl - ttl // 100 + self.STALE - 1:
                    assert stale is not None
                    assert stale[0] == plain
                elif self.now > put_at + ttl + self.STALE:
                    assert stale is None


class InLittleRoom(RuleBasedStateMachine):
    """With room for a few: the bound holds, and what is given is what was put last."""

    @initialize(entries=st.integers(1, 12))
    def begin(self, entries: int) -> None:
        self.cache = Cache(entries * cost_of(KEYS[0], parts(0)), 1_000)
        self.now = NOW
        self.number = 0
        self.last: dict[bytes, bytes] = {}

    @rule(key=keys, ttl=ttls, size=st.integers(0, 3_000))
    def put(self, key: bytes, ttl: int, size: int) -> None:
        self.number += 1
        self.cache.put(key, parts(self.number, size), ttl, self.now)
        self.last[key] = parts(self.number, size)[0]

    @rule(key=keys)
    def ask(self, key: bytes) -> None:
        entry = self.cache.find(key)
        if entry is not None:
            assert entry[0] == self.last[key]
            assert self.cache.get(key) is entry, "asked for: young"

    @rule(seconds=st.sampled_from([0, 1, 40, 500, 5_000]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        sweep(self.cache, self.now)

    @invariant()
    def within_bounds(self) -> None:
        if hasattr(self, "cache"):
            check(self.cache)


TestRemembering = Remembering.TestCase
TestInLittleRoom = InLittleRoom.TestCase
for case in (TestRemembering, TestInLittleRoom):
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_is_popular_outlives_a_scan() -> None:
    cost = cost_of(b"88.118/000000", parts(0))
    cache = Cache(1_000 * cost, 0)
    popular = [b"88.118/p%05d" % number for number in range(300)]
    for number, key in enumerate(popular):
        cache.put(key, parts(number), 86_400, NOW)
    draw = random.Random(1)
    misses = 0
    for number in range(20_000):  # each scanned once, each popular one asked for now and then
        cache.put(b"88.118/%06d" % number, parts(number), 86_400, NOW)
        for key in draw.sample(popular, 3):
            if cache.find(key) is None:
                misses += 1
                cache.put(key, parts(0), 86_400, NOW)
    assert cache.counters.evictions > 19_000
    assert misses < 600, "of 60,000"


def test_stale_answers_go_first() -> None:
    cache = Cache(20 * cost_of(KEYS[0], parts(0)), 1_000)
    for key in KEYS[:8]:
        cache.put(key, parts(0), 1, NOW)
    sweep(cache, NOW + 1)
    assert cache.stale_count == 8
    for number in range(17):
        cache.put(b"88.118.0/y%d" % number, parts(0), 100, NOW + 1)
    assert cache.counters.evictions == 0
    assert len(cache) == 17
    assert cache.stale_count <= 3


def test_popular_answers_are_named_before_they_expire() -> None:
    cache = Cache(LARGE, 1_000)
    for key in KEYS[:4]:
        cache.put(key, parts(0), 300, NOW)
    for _ in range(2):
        cache.note(KEYS[0])
    cache.note(KEYS[1])
    assert sweep(cache, NOW + 269) == []
    assert sweep(cache, NOW + 270) == [KEYS[0]], "a tenth before the end, asked for more than once"
    assert sweep(cache, NOW + 271) == [], "once"
    cache.put(KEYS[0], parts(1), 300, NOW + 271)
    assert sweep(cache, NOW + 300) == []
    assert cache.get(KEYS[0]) is not None
    assert cache.get(KEYS[1]) is None
    assert sweep(cache, NOW + 541) == [KEYS[0]]


def test_popularity_is_forgotten() -> None:
    cache = Cache(LARGE, 1_000)
    cache.put(KEYS[0], parts(0), 86_400, NOW)
    for _ in range(10):
        cache.note(KEYS[0])
    sweep(cache, NOW + 1)
    sweep(cache, NOW + 1 + PERIOD_SECONDS)
    assert sweep(cache, NOW + 2 + 2 * PERIOD_SECONDS) == []
    assert sweep(cache, NOW + 86_400 - MAX_LEAD_SECONDS + 1) == []


def test_a_sweep_takes_little_at_a_time() -> None:
    cache = Cache(LARGE, 0)
    count = 3 * SWEEP + 10
    for number in range(count):
        cache.put(b"88.118/%06d" % number, parts(0), 5, NOW)
    steps = 0
    while True:
        before = len(cache)
        more = cache.sweep(NOW + 5).more
        steps += 1
        assert before - len(cache) <= SWEEP
        if not more:
            break
    assert len(cache) == 0 == cache.bytes
    assert steps == 4
    assert not cache._wheel


def test_what_may_not_be_remembered_is_not() -> None:
    cache = Cache(8 * cost_of(KEYS[0], parts(0)), 1_000)
    cache.put(KEYS[0], parts(0), 100, NOW)
    cache.put(KEYS[0], parts(1), 0, NOW)
    assert cache.find(KEYS[0]) is None, "the newer answer, although not kept, replaces the older"
    cache.put(KEYS[1], parts(0, 10_000), 100, NOW)
    assert cache.find(KEYS[1]) is None, "too large"


@pytest.mark.parametrize("size", [30, 400])
def test_the_stated_cost_is_what_memory_shows(size: int) -> None:
    count = 20_000
    cache = Cache(LARGE, 1_000)
    draw = random.Random(2)
    tracemalloc.start()
    try:
        for number in range(count):
            key, body = b"88.118.32001/P%013d" % number, draw.randbytes(size)
            made = body, draw.randbytes(60), body, draw.randbytes(180)
            cache.put(key, made, draw.choice([86_400, 3_600, 300]), NOW + number // 1_000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.75 * cache.bytes < taken < cache.bytes
    assert cache.bytes / count - size > ENTRY_BYTES


def test_a_hit_costs_no_more_than_a_look_up() -> None:
    """The function that is called for a hit is the dictionary's own."""
    cache = Cache(LARGE, 0)
    assert cache.get.__self__ is cache._young  # type: ignore[attr-defined]
