"""Bodies that were read lately, opened, in the memory of one reading process.

A random read of the store walks a tree of pages and opens a frame: two to three microseconds, most of them spent
waiting for memory. One look into a dictionary takes a fifth of that. The cache is exact: before a reader uses it on a
new snapshot it is told which keys have changed since the last one, by the change feed, which is written in the same
transaction.

It is bounded in bytes and gives up what it took in first. Cut into shards by the key's hash, so that neither
growing a table nor giving up some of it takes longer than a millisecond.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

SHARDS: Final = 64
"""A power of two. With half a gigabyte a shard has some thirty thousand bodies."""

ENTRY_BYTES: Final = 130
"""What an entry takes besides its key and body: two headers of ``bytes`` (33 each), rounding to 16, a slot of the
table, of which up to a half is empty."""

GIVEN_UP: Final = 16
"""A shard that is full gives up this fraction (one sixteenth) at once: the table's front is passed over once for all of
them."""


class BodyCache:
    """At most ``budget`` bytes of bodies by key. Not for use by two threads at once."""

    def __init__(self, budget: int) -> None:
        self._room = budget // SHARDS
        self.shards: Final[list[dict[bytes, bytes]]] = [{} for _ in range(SHARDS)]
        """For the hot path: ``shards[hash(key) & (SHARDS - 1)].get(key)``."""
        self._sizes = [0] * SHARDS

    def put(self, key: bytes, body: bytes) -> None:
        """Remember a body, where there is none yet."""
        number = hash(key) & (SHARDS - 1)
        shard = self.shards[number]
        if key in shard:
            return
        shard[key] = body
        size = self._sizes[number] = self._sizes[number] + len(key) + len(body) + ENTRY_BYTES
        if size > self._room:
            self._give_up(number)

    def drop(self, key: bytes) -> None:
        """Forget a body that has changed."""
        number = hash(key) & (SHARDS - 1)
        body = self.shards[number].pop(key, None)
        if body is not None:
            self._sizes[number] -= len(key) + len(body) + ENTRY_BYTES

    def clear(self) -> None:
        """Forget everything."""
        for shard in self.shards:
            shard.clear()
        self._sizes = [0] * SHARDS

    @property
    def bytes(self) -> int:
        """Bytes that are taken."""
        return sum(self._sizes)

    def _give_up(self, number: int) -> None:
        shard = self.shards[number]
        while self._sizes[number] > self._room:
            for key in list(islice(shard, max(1, len(shard) // GIVEN_UP))):
                self.drop(key)
