"""Reading the store, in any process.

A reader works on a snapshot, taken at the first read after a :meth:`Reader.rest` and let go by the next. Reading
is synchronous: while the store is in memory a read is about a microsecond, less than any hand-over to a thread.
``get_many`` is the seam for the day when it is not: a batch can be split among threads without its callers
noticing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

from protocol.errors import StoreError
from protocol.identifiers import covers
from protocol.referrals import Cut
from protocol.series import Series
from registry.store.feed import BAD_CURSOR, FeedPage, Position, read_feed
from registry.store.interface import ChangePage, Counts, Entry, Page, Standing, flat
from registry.store.lmdb.cache import SHARDS, BodyCache
from registry.store.lmdb.codec import UNREADABLE, Codec, damaged
from registry.store.lmdb.feed import StoredEntries, changed_keys
from registry.store.lmdb.layout import (
    MAX_KEY_BYTES,
    META_KEY,
    NO_PREFIX,
    NUMBER_BYTES,
    Meta,
    Tables,
    decode_meta,
    decode_row,
    engine_errors,
    open_tables,
)
from registry.store.lmdb.series import SeriesIndex
from registry.store.series import SERIES
from registry.store.system import DELEGATIONS, find_cut, is_system

LAST_SHARD: Final = SHARDS - 1

MAX_CAUGHT_UP: Final = 10_000
"""Changes between two snapshots that are looked at one by one, a millisecond or two; after more all is forgotten."""

MAX_KNOWN_SPELLINGS: Final = 100_000
"""Prefix spellings remembered with their number. Ten megabytes. Where there are more, all are forgotten and looked up
anew: a stranger who asks in ever new spellings slows nobody down for good."""


class _PrefixNumbers(dict[bytes, bytes]):
    """Prefix as spelt in a question → its number's three bytes. Unknown ones are looked up in the snapshot;
    a number once given never changes, so what was found may be remembered for ever."""

    def __init__(self, reader: LmdbReader) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, prefix: bytes) -> bytes:
        number = self._look_up(prefix)
        if number is None:
            return NO_PREFIX
        if len(self) >= MAX_KNOWN_SPELLINGS:
            self.clear()
        self[prefix] = number
        return number

    def _look_up(self, prefix: bytes) -> bytes | None:
        return self._reader._number_of(prefix)


class _OpenPrefixNumbers(_PrefixNumbers):
    """The same for prefixes whose records anybody may ask for here, in any spelling: system prefixes have none, nor
    have those that are delegated or lie below such a one. To be emptied when a delegation has come or gone."""

    def _look_up(self, prefix: bytes) -> bytes | None:
        name = prefix.upper()
        number = self._reader._number_of(name)
        return None if number is None or self._reader._is_closed(name) else number


class CacheState(NamedTuple):
    """As of when the cache is right: the changes that had been made by then, and whether a range was there in part."""

    changes: int = 0
    in_part: bool = False


class LmdbReader:
    """The reading side of a store in directory ``path``; ``cache_bytes`` of memory for what was read lately, 0 for
    none."""

    def __init__(self, path: Path, tables: Tables | None = None, cache_bytes: int = 0) -> None:
        self._path = path
        self._tables = tables or open_tables(path, writable=False)
        self._owns_tables = tables is None
        self._txn: lmdb.Transaction[bytes] | None = None
        self._codec = Codec(self._load_dictionary)
        self._numbers = _OpenPrefixNumbers(self)
        self._all_numbers = _PrefixNumbers(self)
        self._prefixes: dict[bytes, bytes] = {}  # by number, with the slash
        self._delegations: bytes | None = None  # the row of their prefix, as of which _numbers is right
        self._series = SeriesIndex(self._tables, self.whole)
        self._series_row: bytes | None = None  # as of which _series is right
        self._series_number: bytes | None = None
        self._snapshot = -1  # the number of the transaction as of which all this is right
        self._cache = BodyCache(cache_bytes) if cache_bytes else None
        self._cached = CacheState()

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        get = (self._txn or self._begin()).get
        openers = self._codec.public
        try:
            keys = self._keys(identifiers)
            if self._cache is not None:
                shards = self._cache.shards
                known: list[bytes | None] = [shards[hash(key) & LAST_SHARD].get(key) for key in keys]
                if None in known:
                    self._read_missing(keys, known)
                return known
            found = list(map(get, keys))
            bodies = [None if stored is None else openers[stored[-1]](stored) for stored in found]
            if self._series.any and not all(found):
                self._series.fill(keys, found, bodies)
        except (lmdb.Error, *UNREADABLE):
            return [self.get(identifier) for identifier in identifiers]
        else:
            return bodies

    def get(self, identifier: bytes) -> bytes | None:
        prefix, _, suffix = identifier.partition(b"/")
        try:
            txn = self._txn or self._begin()
            key = self._numbers[prefix] + suffix
            if self._cache is not None:
                bodies: list[bytes | None] = [self._cache.shards[hash(key) & LAST_SHARD].get(key)]
                if bodies[0] is None:
                    self._read_missing([key], bodies)
                return bodies[0]
            stored = txn.get(key)
            if stored is None:
                return self._series.public(key) if self._series.any else None
            return self._codec.public[stored[-1]](stored)
        except lmdb.BadValsizeError:  # longer than any that is stored
            return None
        except lmdb.Error:
            with engine_errors(self._path):
                raise
        except UNREADABLE as error:
            raise damaged(identifier, error) from error

    def find(self, identifier: bytes) -> bytes | None:
        prefix, _, suffix = identifier.partition(b"/")
        with engine_errors(self._path):
            txn = self._begun()
            key = self._all_numbers[prefix] + suffix
            stored = txn.get(key) if len(key) <= MAX_KEY_BYTES else None
            if stored is None:
                return self._series.whole(key) if self._series.any else None
        return self.whole(identifier, stored)

    def cut(self, prefix: str) -> Cut | None:
        self._begun()
        if self._delegations is None or prefix.encode() in self._numbers:
            return None
        return find_cut(self.find, prefix)

    def in_the_way_of(self, series: Series) -> str | None:
        with engine_errors(self._path):
            self._begun()
            number = self._number_of(series.prefix.encode())
            return None if number is None else self._series.in_the_way_of(series, number)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        entries: list[Entry] = []
        with engine_errors(self._path):
            for identifier, stored in self._walk(prefix, cursor):
                if len(entries) == limit:
                    return Page(entries, entries[-1].identifier)
                entries.append(Entry(identifier, self.whole(identifier, stored)))
        return Page(entries, None)

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        return flat(self.changes(cursor, limit))

    def changes(self, cursor: bytes | None, limit: int, seen: bytes | None = None) -> FeedPage:
        with engine_errors(self._path):
            return read_feed(StoredEntries(self._begun(), self._tables, self, str(self._path)), cursor, limit, seen)

    def standing(self) -> Standing:
        meta = self._meta()
        end = Position(meta.next_change, meta.mark)
        inside = None
        if meta.open is not None:
            inside = Position(meta.open.number, meta.open.mark, self.identifier_of(meta.open.last))
        return Standing(end, inside, max(end, Position(*meta.seen)), meta.whole)

    def counts(self) -> Counts:
        with engine_errors(self._path):
            txn = self._begun()
            with txn.cursor(self._tables.prefixes) as rows:
                known = {prefix.decode(): decode_row(row) for prefix, row in rows if not is_system(prefix)}
                # An abandoned range may leave a prefix without records behind.
                active = {prefix: row.active for prefix, row in known.items() if row.changes}
            info = self._tables.env.info()
            page_bytes = self._tables.env.stat()["psize"]
        return Counts(active, self._meta().next_change, (info["last_pgno"] + 1) * page_bytes)

    def rest(self) -> None:
        if self._txn is not None:
            self._txn.abort()
            self._txn = None

    def close(self) -> None:
        self.rest()
        if self._owns_tables:
            self._tables.env.close()

    # The cache ------------------------------------------------------------------------------------

    def _read_missing(self, keys: list[bytes], bodies: list[bytes | None]) -> None:
        """Read what the cache did not have, and remember it. Raises what reading and opening raise."""
        assert self._cache is not None
        get, openers, put = self._begun().get, self._codec.public, self._cache.put
        for at, body in enumerate(bodies):
            if body is None:
                stored = get(keys[at])
                if stored is not None:
                    body = bodies[at] = openers[stored[-1]](stored)
                elif self._series.any:
                    body = bodies[at] = self._series.public(keys[at])
                if body is not None:
                    put(keys[at], body)

    def _catch_up(self, txn: lmdb.Transaction[bytes], cache: BodyCache) -> None:
        """Forget what has changed between the last snapshot and this one."""
        raw = txn.get(META_KEY, db=self._tables.meta)
        meta = decode_meta(raw) if raw else Meta()
        changes, since = meta.next_change, self._cached.changes
        # A range that a copy has taken in part is in the records, and not yet in the feed.
        in_part = meta.open is not None
        tellable = not in_part and not self._cached.in_part and changes - since <= MAX_CAUGHT_UP
        changed = changed_keys(txn, self._tables, since, changes) if tellable else None
        if changed is None or any(map(self._series.is_replaced, changed)):
            cache.clear()
        else:
            for key in changed:
                cache.drop(key)
        self._cached = CacheState(changes, in_part)

    # The snapshot ---------------------------------------------------------------------------------

    def _begin(self) -> lmdb.Transaction[bytes]:
        env = self._tables.env
        with engine_errors(self._path):
            while True:
                try:
                    self._txn = txn = env.begin(db=self._tables.records)
                except lmdb.MapResizedError:  # the writer has grown the map: take its size
                    env.set_mapsize(0)
                else:
                    break
            if txn.id() != self._snapshot:
                self._look_around(txn)
            self._series.take(txn, self._series_number)
            return txn

    def _look_around(self, txn: lmdb.Transaction[bytes]) -> None:
        """Something was written since the last snapshot: forget what does not hold any more."""
        delegations, series = (txn.get(prefix, db=self._tables.prefixes) for prefix in (DELEGATIONS, SERIES))
        if delegations != self._delegations:
            self._delegations = delegations
            self._numbers.clear()
        if series != self._series_row:
            self._series_row = series
            self._series_number = decode_row(series).number.to_bytes(NUMBER_BYTES, "big") if series else None
            self._series.forget()
        self._series.take(txn, self._series_number)
        if self._cache is not None:
            self._catch_up(txn, self._cache)
        self._snapshot = txn.id()

    def _begun(self) -> lmdb.Transaction[bytes]:
        return self._txn or self._begin()

    # Keys and values ------------------------------------------------------------------------------

    def _number_of(self, prefix: bytes) -> bytes | None:
        if not 0 < len(prefix) <= MAX_KEY_BYTES:
            return None
        row = self._begun().get(prefix, db=self._tables.prefixes)
        return decode_row(row).number.to_bytes(NUMBER_BYTES, "big") if row else None

    def _is_closed(self, prefix: bytes) -> bool:
        """Whether nobody is answered here from below a prefix that has a number."""
        return is_system(prefix) or (self._delegations is not None and find_cut(self.find, prefix.decode()) is not None)

    def _keys(self, identifiers: Sequence[bytes]) -> list[bytes]:
        """The keys of identifiers; of one prefix, as in most batches, with one look for its number."""
        if not identifiers:
            return []
        least = min(identifiers)
        cut = least.find(b"/") + 1
        # What stands between two that begin alike, in order of bytes, begins so too.
        if cut and max(identifiers).startswith(least[:cut]):
            number = self._numbers[least[: cut - 1]]
            return [number + identifier[cut:] for identifier in identifiers]
        numbers = self._numbers
        parts = [identifier.partition(b"/") for identifier in identifiers]
        return [numbers[prefix] + suffix for prefix, _, suffix in parts]

    def _meta(self) -> Meta:
        with engine_errors(self._path):
            raw = self._begun().get(META_KEY, db=self._tables.meta)
            return decode_meta(raw) if raw else Meta()

    def identifier_of(self, key: bytes) -> bytes:
        """The identifier of a record's key."""
        number = key[:NUMBER_BYTES]
        begin = self._prefixes.get(number)
        if begin is None:
            begin = (self._begun().get(number, db=self._tables.numbers) or b"?") + b"/"
            if len(self._prefixes) < MAX_KNOWN_SPELLINGS:
                self._prefixes[number] = begin
        return begin + key[NUMBER_BYTES:]

    def key_of(self, identifier: bytes) -> bytes:
        """The key of a record's identifier."""
        prefix, _, suffix = identifier.partition(b"/")
        return self._all_numbers[prefix] + suffix

    def _load_dictionary(self, number: int) -> bytes | None:
        return self._begun().get(number.to_bytes(2, "big"), db=self._tables.dictionaries)

    def whole(self, identifier: bytes, stored: bytes) -> bytes:
        """The body in a stored body."""
        try:
            return self._codec.whole(stored)
        except UNREADABLE as error:
            raise damaged(identifier, error) from error

    def _walk(self, prefix: str, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Identifiers and stored bodies of a prefix and those below it, from behind ``after`` on."""
        after_prefix, slash, after_suffix = (after or b"").partition(b"/")
        if after is not None and not slash:
            raise StoreError(BAD_CURSOR)
        txn = self._begun()
        with txn.cursor(self._tables.prefixes) as rows:
            for name, row in _prefixes_below(rows, prefix.encode(), after_prefix):
                number = decode_row(row).number.to_bytes(NUMBER_BYTES, "big")
                # The byte behind the suffix is the least key that comes after it.
                start = number + after_suffix + b"\x00" if name == after_prefix else number
                with txn.cursor(self._tables.records) as records:
                    if not records.set_range(start[:MAX_KEY_BYTES]):
                        continue
                    for key, stored in records:
                        if not key.startswith(number):
                            break
                        yield name + b"/" + key[NUMBER_BYTES:], stored


def _prefixes_below(rows: lmdb.Cursor[bytes], prefix: bytes, least: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a prefix and of those below it, in order of their names, from ``least`` on."""
    if not rows.set_range(max(prefix, least)[:MAX_KEY_BYTES]):
        return
    zone = prefix.decode()
    for name, row in rows:
        if not name.startswith(prefix):
            return
        if covers(zone, name.decode()):
            yield name, row
