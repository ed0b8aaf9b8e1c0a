"""Reading the store, in any process.

A reader works on a snapshot, taken at the first read after a :meth:`Reader.rest` and let go by the next. Reading
is synchronous: while the store is in memory a read is about a microsecond, less than any hand-over to a thread.
``get_many`` is the seam for the day when it is not: a batch can be split among threads without its callers
noticing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

from protocol.referrals import Cut
from protocol.series import Series
from protocol.status import Status
from registry.store.allotments import ALLOTMENTS, find_closure
from registry.store.feed import FeedPage, Position, read_feed
from registry.store.interface import ChangePage, Counts, Entry, Page, Standing, flat
from registry.store.lmdb.cache import SHARDS, BodyCache
from registry.store.lmdb.codec import TEMPLATED, UNREADABLE, Codec, MustExpand, damaged
from registry.store.lmdb.feed import StoredEntries, changed_keys
from registry.store.lmdb.history import earlier
from registry.store.lmdb.layout import (
    MAX_KEY_BYTES,
    META_KEY,
    NUMBER_BYTES,
    Meta,
    Tables,
    decode_meta,
    decode_row,
    engine_errors,
    open_tables,
)
from registry.store.lmdb.prefixes import MAX_KNOWN_SPELLINGS, OpenPrefixNumbers, PrefixNumbers
from registry.store.lmdb.searching import index_begin, suffixes
from registry.store.lmdb.series import SeriesIndex
from registry.store.lmdb.walking import walk
from registry.store.searching import has_data, suffix_behind
from registry.store.series import SERIES, series_identifier, with_series
from registry.store.system import DELEGATIONS, TEMPLATES, find_cut, is_system
from registry.store.templates import Expanders

LAST_SHARD: Final = SHARDS - 1

MAX_CAUGHT_UP: Final = 10_000
"""Changes between two snapshots that are looked at one by one, a millisecond or two; after more all is forgotten."""


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
        self._numbers = OpenPrefixNumbers(self.number_of, self._is_closed)
        self._all_numbers = PrefixNumbers(self.number_of)
        self._prefixes: dict[bytes, bytes] = {}  # by number, with the slash
        self._expanders = Expanders(self.find)
        self._series = SeriesIndex(self._tables, self.whole)
        self._series_number: bytes | None = None
        # The rows of delegations and allotments as of which _numbers is right, those of templates and of series for
        # _expanders and _series, and the snapshot that had these.
        self._closing: tuple[bytes | None, ...] = (None, None)
        self._templates: bytes | None = None
        self._series_row: bytes | None = None
        self._snapshot = -1
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
            try:
                bodies = [None if stored is None else openers[stored[-1]](stored) for stored in found]
            except MustExpand:  # for some of them more than their bytes is needed
                bodies = [stored and self._open(key, stored) for key, stored in zip(keys, found, strict=True)]
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
            return self._open(key, stored)
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

    def search(self, prefix: str, item: int, data: bytes, cursor: bytes | None, limit: int) -> Page:
        after = suffix_behind(prefix, cursor)
        entries: list[Entry] = []
        with engine_errors(self._path):
            txn = self._begun()
            number = self._all_numbers[prefix.encode()]
            for suffix in suffixes(txn, self._tables.data_index, index_begin(number, item, data), after):
                if len(entries) == limit:
                    return Page(entries, entries[-1].identifier)
                identifier = prefix.encode() + b"/" + suffix
                body = self.whole(identifier, txn.get(number + suffix, b""))
                if has_data(body, item, data):
                    entries.append(Entry(identifier, body))
        return Page(entries, None)

    def history(self, identifier: bytes) -> list[bytes]:
        with engine_errors(self._path):
            self._begun()
            key = self.key_of(identifier)
            members = self._series.members(key) if self._series.any and len(key) <= MAX_KEY_BYTES else None
            own = self._own_history(identifier, key)
            if members is None:
                return own
            name = series_identifier(members.series)
            return with_series(own, members.series, self._own_history(name, self.key_of(name)), key[NUMBER_BYTES:])

    def _own_history(self, identifier: bytes, key: bytes) -> list[bytes]:
        """What a record has and had."""
        txn = self._begun()
        current = txn.get(key) if len(key) <= MAX_KEY_BYTES else None
        if current is None:
            return []
        before = (stored for _, stored in earlier(txn, self._tables, key))
        return [self.whole(identifier, stored) for stored in (current, *before)]

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        return self._expanders.shown(identifier, body)

    def expanded(self, identifier: bytes, body: bytes) -> bytes:
        return self._expanders.expanded(identifier, body)

    def marks(self, prefixes: Sequence[bytes]) -> object:
        with engine_errors(self._path):
            txn = self._begun()
            return tuple(txn.get(prefix, db=self._tables.prefixes) for prefix in prefixes)

    def cut(self, prefix: str) -> Cut | None:
        self._begun()
        if self._closing[0] is None or prefix.encode() in self._numbers or self.closure(prefix) is not None:
            return None
        return find_cut(self.find, prefix)

    def in_the_way_of(self, series: Series) -> str | None:
        with engine_errors(self._path):
            self._begun()
            number = self.number_of(series.prefix.encode())
            return None if number is None else self._series.in_the_way_of(series, number)

    def closure(self, prefix: str) -> Status | None:
        self._begun()
        if self._closing[1] is None or prefix.encode() in self._numbers:
            return None
        return find_closure(self.find, prefix)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        entries: list[Entry] = []
        with engine_errors(self._path):
            for identifier, stored in walk(self._begun(), self._tables, prefix, cursor):
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
                    tag = stored[-1]
                    body = bodies[at] = openers[tag](stored) if tag != TEMPLATED else self._open(keys[at], stored)
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
            snapshot = txn.id()
            if snapshot != self._snapshot:
                self._look_round(txn)
                self._snapshot = snapshot
            self._series.take(txn, self._series_number)
            return txn

    def _look_round(self, txn: lmdb.Transaction[bytes]) -> None:
        """Forget what is not right any more in a snapshot that is another than the last."""
        closing = tuple(txn.get(prefix, db=self._tables.prefixes) for prefix in (DELEGATIONS, ALLOTMENTS))
        if closing != self._closing:
            self._closing = closing
            self._numbers.clear()
        series = txn.get(SERIES, db=self._tables.prefixes)
        if series != self._series_row:
            self._series_row = series
            self._series_number = decode_row(series).number.to_bytes(NUMBER_BYTES, "big") if series else None
            self._series.forget()
        self._series.take(txn, self._series_number)
        if self._cache is not None:
            self._catch_up(txn, self._cache)
        templates = txn.get(TEMPLATES, db=self._tables.prefixes)
        if templates != self._templates:
            if self._expanders.refresh() and self._cache is not None:
                self._cache.clear()
            self._templates = templates

    def _begun(self) -> lmdb.Transaction[bytes]:
        return self._txn or self._begin()

    # Keys and values ------------------------------------------------------------------------------

    def number_of(self, prefix: bytes) -> bytes | None:
        if not 0 < len(prefix) <= MAX_KEY_BYTES:
            return None
        row = self._begun().get(prefix, db=self._tables.prefixes)
        return decode_row(row).number.to_bytes(NUMBER_BYTES, "big") if row else None

    def _is_closed(self, prefix: bytes) -> bool:
        """Whether nobody is answered here from below a prefix that has a number."""
        name = prefix.decode()
        return (
            is_system(prefix)
            or (self._closing[0] is not None and find_cut(self.find, name) is not None)
            or (self._closing[1] is not None and find_closure(self.find, name) is not None)
        )

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

    def _open(self, key: bytes, stored: bytes) -> bytes | None:
        """The public body of a stored body that may follow a template. Raises :class:`StoreError`, ``UNREADABLE``."""
        if stored[-1] != TEMPLATED:
            return self._codec.public[stored[-1]](stored)
        return self._expanders.answered(self.identifier_of(key), self._codec.whole(stored))

    def whole(self, identifier: bytes, stored: bytes) -> bytes:
        """The body in a stored body."""
        try:
            return self._codec.whole(stored)
        except UNREADABLE as error:
            raise damaged(identifier, error) from error
