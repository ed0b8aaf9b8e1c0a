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
from protocol.records import Shown
from protocol.referrals import Cut
from protocol.status import Status
from registry.store.allotments import ALLOTMENTS, find_closure
from registry.store.feed import BAD_CURSOR, FeedPage, Position, read_feed
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
from registry.store.searching import has_data, suffix_behind
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
        # The rows of delegations and allotments as of which _numbers is right, the row of templates for _expanders, and
        # the snapshot that had these.
        self._closing: tuple[bytes | None, ...] = (None, None)
        self._templates: bytes | None = None
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
                bodies: list[bytes | None] = [shards[hash(key) & LAST_SHARD].get(key) for key in keys]
                if None in bodies:
                    self._read_missing(keys, bodies)
                return bodies
            found = list(map(get, keys))
            try:
                return [None if stored is None else openers[stored[-1]](stored) for stored in found]
            except MustExpand:  # for some of them more than their bytes is needed
                return [stored and self._open(key, stored) for key, stored in zip(keys, found, strict=True)]
        except (lmdb.Error, *UNREADABLE):
            return [self.get(identifier) for identifier in identifiers]

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
            return None if stored is None else self._open(key, stored)
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
        return None if stored is None else self.whole(identifier, stored)

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
        current = self.find(identifier)
        if current is None:
            return []
        with engine_errors(self._path):
            before = [stored for _, stored in earlier(self._begun(), self._tables, self.key_of(identifier))]
        return [current, *(self.whole(identifier, stored) for stored in before)]

    def shown(self, identifier: bytes, body: bytes, shown: Shown | None = None) -> bytes:
        return self._expanders.shown(identifier, body, shown)

    def marks(self, prefixes: Sequence[bytes]) -> object:
        with engine_errors(self._path):
            txn = self._begun()
            return tuple(txn.get(prefix, db=self._tables.prefixes) for prefix in prefixes)

    def cut(self, prefix: str) -> Cut | None:
        self._begun()
        if self._closing[0] is None or prefix.encode() in self._numbers or self.closure(prefix) is not None:
            return None
        return find_cut(self.find, prefix)

    def closure(self, prefix: str) -> Status | None:
        self._begun()
        if self._closing[1] is None or prefix.encode() in self._numbers:
            return None
        return find_closure(self.find, prefix)

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
            if body is None and (stored := get(keys[at])) is not None:
                tag = stored[-1]
                body = openers[tag](stored) if tag != TEMPLATED else self._open(keys[at], stored)
                bodies[at] = body
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
        if changed is None:
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
            return txn

    def _look_round(self, txn: lmdb.Transaction[bytes]) -> None:
        """Forget what is not right any more in a snapshot that is another than the last."""
        if self._cache is not None:
            self._catch_up(txn, self._cache)
        closing = tuple(txn.get(prefix, db=self._tables.prefixes) for prefix in (DELEGATIONS, ALLOTMENTS))
        if closing != self._closing:
            self._closing = closing
            self._numbers.clear()
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
