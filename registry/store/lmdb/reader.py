"""Reading the store, in any process.

A reader works on a snapshot, taken at the first read after a :meth:`Reader.rest` and let go by the next. Reading
is synchronous: while the store is in memory a read is about a microsecond, less than any hand-over to a thread.
``get_many`` is the seam for the day when it is not: a batch can be split among threads without its callers
noticing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import lmdb

from protocol.errors import StoreError
from protocol.identifiers import covers
from protocol.referrals import Cut
from registry.store.interface import BAD_CURSOR, ChangePage, Counts, Entry, Page
from registry.store.lmdb.codec import UNREADABLE, Codec, damaged
from registry.store.lmdb.feed import read_feed
from registry.store.lmdb.layout import (
    MAX_KEY_BYTES,
    META_KEY,
    NO_PREFIX,
    NUMBER_BYTES,
    Tables,
    decode_meta,
    decode_row,
    engine_errors,
    open_tables,
)
from registry.store.system import DELEGATIONS, find_cut, is_system

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


class LmdbReader:
    """The reading side of a store in directory ``path``."""

    def __init__(self, path: Path, tables: Tables | None = None) -> None:
        self._path = path
        self._tables = tables or open_tables(path, writable=False)
        self._owns_tables = tables is None
        self._txn: lmdb.Transaction[bytes] | None = None
        self._codec = Codec(self._load_dictionary)
        self._numbers = _OpenPrefixNumbers(self)
        self._all_numbers = _PrefixNumbers(self)
        self._delegations: bytes | None = None  # the row of their prefix, as of which _numbers is right

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        get = (self._txn or self._begin()).get
        openers = self._codec.public
        try:
            found = list(map(get, self._keys(identifiers)))
            return [None if stored is None else openers[stored[-1]](stored) for stored in found]
        except (lmdb.Error, *UNREADABLE):
            return [self.get(identifier) for identifier in identifiers]

    def get(self, identifier: bytes) -> bytes | None:
        prefix, _, suffix = identifier.partition(b"/")
        try:
            stored = (self._txn or self._begin()).get(self._numbers[prefix] + suffix)
            return None if stored is None else self._codec.public[stored[-1]](stored)
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
        return None if stored is None else self._whole(identifier, stored)

    def cut(self, prefix: str) -> Cut | None:
        self._begun()
        if self._delegations is None or prefix.encode() in self._numbers:
            return None
        return find_cut(self.find, prefix)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        entries: list[Entry] = []
        with engine_errors(self._path):
            for identifier, stored in self._walk(prefix, cursor):
                if len(entries) == limit:
                    return Page(entries, entries[-1].identifier)
                entries.append(Entry(identifier, self._whole(identifier, stored)))
        return Page(entries, None)

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        with engine_errors(self._path):
            keys, next_cursor, more = read_feed(self._begun(), self._tables, cursor, limit)
            entries = []
            for key, stored in keys:
                identifier = self._identifier(key)
                entries.append(Entry(identifier, self._whole(identifier, stored)))
        return ChangePage(entries, next_cursor, more)

    def counts(self) -> Counts:
        with engine_errors(self._path):
            txn = self._begun()
            with txn.cursor(self._tables.prefixes) as rows:
                active = {prefix.decode(): decode_row(row).active for prefix, row in rows if not is_system(prefix)}
            raw = txn.get(META_KEY, db=self._tables.meta)
            info = self._tables.env.info()
            page_bytes = self._tables.env.stat()["psize"]
        changes = decode_meta(raw).next_change if raw else 0
        return Counts(active, changes, (info["last_pgno"] + 1) * page_bytes)

    def rest(self) -> None:
        if self._txn is not None:
            self._txn.abort()
            self._txn = None

    def close(self) -> None:
        self.rest()
        if self._owns_tables:
            self._tables.env.close()

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
            delegations = txn.get(DELEGATIONS, db=self._tables.prefixes)
            if delegations != self._delegations:
                self._delegations = delegations
                self._numbers.clear()
            return txn

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

    def _identifier(self, key: bytes) -> bytes:
        prefix = self._begun().get(key[:NUMBER_BYTES], db=self._tables.numbers)
        return (prefix or b"?") + b"/" + key[NUMBER_BYTES:]

    def _load_dictionary(self, number: int) -> bytes | None:
        return self._begun().get(number.to_bytes(2, "big"), db=self._tables.dictionaries)

    def _whole(self, identifier: bytes, stored: bytes) -> bytes:
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
