"""What a recursive node remembers: answers, ready to be sent, bounded in bytes.

A hit is one dictionary look-up and nothing else: no comparison of times, no counting, no moving about.

* *Expiry* is the work of a timer wheel: each entry stands in the slot of the second at which it is to be looked at, and
  :meth:`Cache.sweep` goes through the slots that are due, at most ``SWEEP`` entries a call. An answer may so be given
  for about a second beyond its TTL, or some more while a million end in one second. Long TTLs are shortened by up to a
  hundredth, so that few slots have many entries.
* *Eviction* is by generations. New entries are young. Where there is no room, old ones go, and when there are none
  left, all young ones become old; an old one that is asked for again becomes young. So what is popular stays, at the
  price of one move a generation, and what a scan of the whole zone has swept in goes first.
* *Popularity*, for prefetch, is a sample: of what is answered in one step, one identifier is noted.
* *Stale* answers are kept while there is room, and are the first to go.

Keys are identifiers in normal form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import itemgetter
from typing import Final, NamedTuple

Entry = tuple[bytes, bytes, bytes, bytes, int, int, int]
"""``plain``, then the three parts of the answer with proof, then expiry (seconds since 1970), TTL, cost in bytes.

``plain`` is what follows the rid in a response without proof: status and payload. With proof, the response goes on
with the three parts, of which the second mostly is ``plain`` itself, so that nothing is kept twice. A plain tuple and
no class of its own, because the cycle collector forgets tuples that hold only bytes and numbers."""

PLAIN: Final = itemgetter(0)
PROOF: Final = (itemgetter(1), itemgetter(2), itemgetter(3))
_EXPIRES: Final = 4
_TTL: Final = 5
_COST: Final = 6

ENTRY_BYTES: Final = 420
"""What an entry costs beside its bytes: the tuple (120), the heads of five byte strings (165) and three numbers (60),
its
places in the dictionary and in the wheel (75)."""

SWEEP: Final = 2_000
"""Entries looked at in one call of the sweep: about a millisecond."""

SAMPLES: Final = 4_096
"""Identifiers noted between two sweeps; the oldest are dropped where more come."""

POPULAR: Final = 2
"""How often an identifier must be in the sample of ``PERIOD_SECONDS`` to be fetched before it expires."""

PERIOD_SECONDS: Final = 600
"""After this the sample begins anew; the one before still counts."""

LEAD_SHARE: Final = 10
MAX_LEAD_SECONDS: Final = 60
"""A popular answer is fetched anew when a tenth of its TTL is left, at most a minute."""


class Counters:
    """What happened, for STATUS and the log."""

    __slots__ = ("evictions", "hits", "misses", "prefetches", "stale")

    def __init__(self) -> None:
        self.hits = self.misses = self.stale = self.prefetches = self.evictions = 0


class Due(NamedTuple):
    """What a sweep has found: popular answers that will expire soon, and whether entries are left to be looked at."""

    popular: list[bytes]
    more: bool


class Cache:
    """``most`` is the bound in bytes, all costs included; ``stale_seconds`` for how long an expired answer is kept."""

    def __init__(self, most: int, stale_seconds: int) -> None:
        self.most = most
        self.stale_seconds = stale_seconds
        self.counters = Counters()
        self.bytes = 0
        self._young: dict[bytes, Entry] = {}
        self._old: dict[bytes, Entry] = {}
        self._stale: dict[bytes, Entry] = {}
        self._wheel: dict[int, set[bytes]] = {}
        self._swept = 0  # all slots before this second have been gone through
        self._sample: deque[bytes] = deque(maxlen=SAMPLES)
        self._seen: dict[bytes, int] = {}
        self._seen_before: dict[bytes, int] = {}
        self._period_ends = 0
        self.get = self._young.get
        """The entry of an identifier, or None: also where it is not young, see :meth:`find`. The hot path; to be taken
        from here each time, since generations change."""
        self.note = self._sample.append
        """Note an identifier in the sample."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    @property
    def stale_count(self) -> int:
        """Expired answers that are kept."""
        return len(self._stale)

    def find(self, key: bytes) -> Entry | None:
        """The entry of an identifier in normal form, old ones included; an old one becomes young."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.pop(key, None)
            if entry is not None:
                self._young[key] = entry
        return entry

    def find_stale(self, key: bytes, now: int) -> Entry | None:
        """The expired answer, where it is not too old to be used while nobody can be asked."""
        entry = self._stale.get(key)
        return entry if entry is not None and now <= entry[_EXPIRES] + self.stale_seconds else None

    def put(self, key: bytes, parts: tuple[bytes, bytes, bytes, bytes], ttl: int, now: int) -> None:
        """Remember an answer for ``ttl`` seconds from ``now``; whatever was there is replaced. One that may not be
        remembered, or takes more than an eighth of the room, is not."""
        self.drop(key)
        cost = cost_of(key, parts)
        if ttl <= 0 or cost > self.most // 8:
            return
        self._keep(key, (*parts, _end(now, ttl), ttl, cost))

    def put_briefly(self, key: bytes, parts: tuple[bytes, bytes, bytes, bytes], seconds: int, now: int) -> None:
        """Remember something in place of an answer that could not be had: a failure, or a stale answer that is given as
        such. What is stale stays, and is looked for again when this is over."""
        self._remove(key)
        cost = cost_of(key, parts)
        self._keep(key, (*parts, now + seconds, 0, cost))

    def drop(self, key: bytes) -> None:
        """Forget an identifier, stale answers included."""
        self._remove(key)
        stale = self._stale.pop(key, None)
        if stale is not None:
            self._forget(key, stale)

    def drop_below(self, children: Iterable[str]) -> int:
        """Forget everything at and below some prefixes; how many entries that were. Goes through all keys: 0.2 s for a
        million, for when a delegation was revoked."""
        below = _Below(children)
        keys = {key for kept in (self._young, self._old, self._stale) for key in kept if below[key.partition(b"/")[0]]}
        for key in keys:
            self.drop(key)
        return len(keys)

    def sweep(self, now: int) -> Due:
        """Look at what is due by ``now``: expired answers become stale, stale ones end. To be called once a second, and
        again at once where there is more."""
        self._count_sample(now)
        popular: list[bytes] = []
        if not self._swept:
            self._swept = min(now, min(self._wheel, default=now))
        left = SWEEP
        while self._swept <= now:
            slot = self._wheel.get(self._swept)
            if slot is None:
                self._swept = self._next_slot(now)
                continue
            while slot and left:
                self._look_at(slot.pop(), now, popular)
                left -= 1
            if slot:
                return Due(popular, True)
            self._wheel.pop(self._swept, None)
            self._swept += 1
        return Due(popular, False)

    def _next_slot(self, now: int) -> int:
        """The first second from here that has entries; after a pause, as of a machine that slept, without counting."""
        if now - self._swept > len(self._wheel):
            return min((second for second in self._wheel if self._swept < second <= now), default=now + 1)
        return self._swept + 1

    def _look_at(self, key: bytes, now: int, popular: list[bytes]) -> None:
        """Look at an entry that has been taken from its slot."""
        entry = self._young.get(key) or self._old.get(key)
        if entry is None or entry[_EXPIRES] - _lead(entry[_TTL]) > now:
            stale = self._stale.pop(key, None)
            if stale is not None:
                self.bytes -= stale[_COST]
        elif entry[_EXPIRES] <= now:
            self._expire(key, entry)
        else:
            if self._seen.get(key, 0) + self._seen_before.get(key, 0) >= POPULAR:
                popular.append(key)
            self._schedule(key, entry[_EXPIRES])

    def _expire(self, key: bytes, entry: Entry) -> None:
        self._remove(key)
        if entry[_TTL] and self.stale_seconds:
            self._stale[key] = entry
            self.bytes += entry[_COST]
            self._schedule(key, entry[_EXPIRES] + self.stale_seconds)
            self._make_room()

    def _keep(self, key: bytes, entry: Entry) -> None:
        self._young[key] = entry
        self.bytes += entry[_COST]
        self._schedule(key, entry[_EXPIRES] - _lead(entry[_TTL]))
        self._make_room()

    def _remove(self, key: bytes) -> None:
        entry = self._young.pop(key, None) or self._old.pop(key, None)
        if entry is not None:
            self._forget(key, entry)
            stale = self._stale.get(key)
            if stale is not None:  # its place in the wheel may have been the same
                self._schedule(key, stale[_EXPIRES] + self.stale_seconds)

    def _forget(self, key: bytes, entry: Entry) -> None:
        """Give back the cost of an entry that has been taken out, and its place in the wheel."""
        self.bytes -= entry[_COST]
        ends = entry[_EXPIRES]
        for second in {ends - _lead(entry[_TTL]), ends, ends + self.stale_seconds}:
            slot = self._wheel.get(second)
            if slot is not None:
                slot.discard(key)
                if not slot and second != self._swept:
                    del self._wheel[second]

    def _schedule(self, key: bytes, second: int) -> None:
        self._wheel.setdefault(max(second, self._swept), set()).add(key)

    def _make_room(self) -> None:
        """Evict until the bound holds: what is stale first, then what is old. The last to come to a generation go
        first: what was asked for again soon stands before them."""
        while self.bytes > self.most:
            if self._stale:
                self._forget(*self._stale.popitem())
            elif self._old:
                self._forget(*self._old.popitem())
                self.counters.evictions += 1
            else:
                self._old, self._young = self._young, {}
                self.get = self._young.get

    def _count_sample(self, now: int) -> None:
        if now >= self._period_ends:
            self._seen_before, self._seen = self._seen, {}
            self._period_ends = now + PERIOD_SECONDS
        seen = self._seen
        while self._sample:
            key = self._sample.popleft()
            seen[key] = seen.get(key, 0) + 1


class _Below(dict[bytes, bool]):
    """By prefix: whether it lies at or below one of some others."""

    def __init__(self, children: Iterable[str]) -> None:
        super().__init__()
        self._children = {child.encode() for child in children}

    def __missing__(self, prefix: bytes) -> bool:
        above = prefix
        while above and above not in self._children:
            above = above.rpartition(b".")[0]
        self[prefix] = bool(above)
        return self[prefix]


def cost_of(key: bytes, parts: tuple[bytes, bytes, bytes, bytes]) -> int:
    """What an entry is taken to cost, in bytes. ``plain`` counts only where it is not the second part of the proof."""
    plain, head, body, end = parts
    own = 0 if plain is body else len(plain)
    return ENTRY_BYTES + len(key) + own + len(head) + len(body) + len(end)


def _lead(ttl: int) -> int:
    """How long before its end a popular answer is fetched anew."""
    return min(MAX_LEAD_SECONDS, ttl // LEAD_SHARE)


def _end(now: int, ttl: int) -> int:
    """When an answer expires: long TTLs end at one of few moments, less than a hundredth too early."""
    step = 64 if ttl >= 6_400 else 8 if ttl >= 800 else 1
    return (now + ttl) // step * step
