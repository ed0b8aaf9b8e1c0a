"""The one writer.

Every call is one transaction, durable when it returns. The map grows by itself: before a transaction there is
room for it, and where there was not enough after all the transaction is carried out again on a larger
map. Growing moves the map, so that nobody in this process may be reading or copying: both take locks.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from protocol.errors import StoreError
from protocol.kept import any_templated
from protocol.records import Head, State, encode_body, split_body
from protocol.referrals import Cut
from protocol.series import Series
from protocol.status import Status
from registry.store.decide import becomes_shown, decide
from registry.store.feed import FeedPage, Position, draw_mark
from registry.store.history import Policy
from registry.store.interface import STORE_FAILED, ChangePage, Counts, Entry, Page, Standing
from registry.store.lmdb.codec import (
    UNREADABLE,
    Codec,
    damaged,
    kind_of,
    kind_tag,
)
from registry.store.lmdb.copying import CopyingWork
from registry.store.lmdb.dictionaries import DictionaryWork
from registry.store.lmdb.feed import KEYS_AN_ENTRY, change_key, keys_entry, range_entry
from registry.store.lmdb.layout import (
    FIRST_MAP_BYTES,
    MAX_PREFIXES,
    META_KEY,
    NUMBER_BYTES,
    Meta,
    PrefixRow,
    decode_meta,
    decode_row,
    encode,
    engine_errors,
    lock,
    open_tables,
)
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.series import SeriesIndex
from registry.store.searching import Indexed
from registry.store.writes import RESUME, SUSPEND, Outcome, Write, ascend

ROOM_BYTES_A_WRITE: Final = 1_024
"""Address space set aside for one write of ordinary size, pages copied on the way included."""

LEAST_ROOM_BYTES: Final = 64 << 20

_identifier_of: Final = attrgetter("identifier")

Result = TypeVar("Result")


class LmdbStore:
    """A store in directory ``path``, open for reading and writing. One process at a time may hold one; calls that
    write may come from any one thread at a time, reads from another."""

    def __init__(self, path: Path, map_bytes: int = FIRST_MAP_BYTES) -> None:
        self._path = path
        with engine_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(path)
        try:
            self._tables = open_tables(path, writable=True, map_bytes=map_bytes)
        except BaseException:
            os.close(self._lock)
            raise
        self._reading = threading.Lock()
        self._copying = threading.Lock()
        self._reader = LmdbReader(path, self._tables)
        self._codec = Codec(self._load_dictionary)

    # Reading: the reader's methods, never while the map moves -------------------------------------

    @contextmanager
    def _snapshot(self) -> Iterator[LmdbReader]:
        with self._reading:
            try:
                yield self._reader
            finally:
                self._reader.rest()

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        with self._snapshot() as reader:
            return reader.get_many(identifiers)

    def get(self, identifier: bytes) -> bytes | None:
        with self._snapshot() as reader:
            return reader.get(identifier)

    def find(self, identifier: bytes) -> bytes | None:
        with self._snapshot() as reader:
            return reader.find(identifier)

    def search(self, prefix: str, item: int, data: bytes, cursor: bytes | None, limit: int) -> Page:
        with self._snapshot() as reader:
            return reader.search(prefix, item, data, cursor, limit)

    def history(self, identifier: bytes) -> list[bytes]:
        with self._snapshot() as reader:
            return reader.history(identifier)

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        with self._snapshot() as reader:
            return reader.shown(identifier, body)

    def expanded(self, identifier: bytes, body: bytes) -> bytes:
        with self._snapshot() as reader:
            return reader.expanded(identifier, body)

    def marks(self, prefixes: Sequence[bytes]) -> object:
        with self._snapshot() as reader:
            return reader.marks(prefixes)

    def cut(self, prefix: str) -> Cut | None:
        with self._snapshot() as reader:
            return reader.cut(prefix)

    def in_the_way_of(self, series: Series) -> str | None:
        with self._snapshot() as reader:
            return reader.in_the_way_of(series)

    def closure(self, prefix: str) -> Status | None:
        with self._snapshot() as reader:
            return reader.closure(prefix)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        with self._snapshot() as reader:
            return reader.scan(prefix, cursor, limit)

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        with self._snapshot() as reader:
            return reader.feed(cursor, limit)

    def changes(self, cursor: bytes | None, limit: int, seen: bytes | None = None) -> FeedPage:
        with self._snapshot() as reader:
            return reader.changes(cursor, limit, seen)

    def standing(self) -> Standing:
        with self._snapshot() as reader:
            return reader.standing()

    def counts(self) -> Counts:
        with self._snapshot() as reader:
            return reader.counts()

    def rest(self) -> None:
        """Nothing is held between calls."""

    def close(self) -> None:
        with self._reading:
            self._tables.env.close()
        os.close(self._lock)

    def snapshot(self, target: Path) -> None:
        with engine_errors(target), self._copying:
            target.mkdir(parents=True, exist_ok=True)
            self._tables.env.copy(str(target), compact=True)

    def clear_stale_readers(self) -> int:
        """Free the slots of processes that died while reading, which would keep old pages from reuse for ever.
        Returns how many."""
        with engine_errors(self._path):
            return self._tables.env.reader_check()

    # Writing --------------------------------------------------------------------------------------

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        return self._transact(len(writes), lambda work: work.apply(writes, now))

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        if not ascend([write.identifier for write in writes]):
            raise ValueError("bulk_load takes identifiers in strictly ascending order")
        return self._transact(len(writes), lambda work: work.bulk_load(writes, now))

    def copy(self, page: FeedPage) -> None:
        count = sum(len(part.records) for part in page.parts)
        self._transact(count, lambda work: work.copy(page))

    def abandon(self) -> None:
        while self._transact(0, lambda work: work.abandon()):
            pass

    def restart(self) -> None:
        self._transact(0, lambda work: work.restart())

    def inherit(self, seen: Position) -> None:
        self._transact(0, lambda work: work.inherit(seen, draw_mark()))

    def index(self, records: Sequence[Entry]) -> None:
        self._transact(len(records), lambda work: work.index(records))

    def prune(self, number: int) -> int:
        return self._transact(0, lambda work: work.prune(number, draw_mark()))

    def _transact(self, writes: int, carry_out: Callable[[_Work], Result]) -> Result:
        """Run ``carry_out`` in one durable transaction, on a larger map where this one is full."""
        with engine_errors(self._path):
            self._make_room(writes * ROOM_BYTES_A_WRITE)
            while True:
                try:
                    with self._tables.env.begin(write=True, db=self._tables.records) as txn:
                        work = _Work(txn, self)
                        result = carry_out(work)
                        work.finish()
                except lmdb.MapFullError:
                    self._grow()
                else:
                    return result

    def _make_room(self, need: int) -> None:
        info = self._tables.env.info()
        used = (info["last_pgno"] + 1) * self._tables.env.stat()["psize"]
        while self._tables.env.info()["map_size"] - used < max(need, LEAST_ROOM_BYTES):
            self._grow()

    def _grow(self) -> None:
        with self._copying, self._reading:  # in this order, so that reads go on while a copy is waited for
            self._tables.env.set_mapsize(2 * self._tables.env.info()["map_size"])

    def _load_dictionary(self, number: int) -> bytes | None:
        with self._tables.env.begin(db=self._tables.dictionaries) as txn:
            return txn.get(number.to_bytes(2, "big"))


class _Work(DictionaryWork, CopyingWork):
    """One write transaction: the rows it touched are written back at its end. ``mark`` is that of its changes."""

    def __init__(self, txn: lmdb.Transaction[bytes], store: LmdbStore) -> None:
        self._txn = txn
        self._tables = store._tables
        self._codec = store._codec
        self._path = store._path
        raw = txn.get(META_KEY, db=self._tables.meta)
        self._meta = decode_meta(raw) if raw else Meta()
        self._rows: dict[bytes, PrefixRow] = {}
        self._series_known = SeriesIndex(self._tables, lambda identifier, stored: self._codec.whole(stored))
        self._mark = draw_mark()
        self._policies: dict[bytes, Policy] = {}
        self._indexed = Indexed(self._find)

    def finish(self) -> None:
        """Write back the counters."""
        for prefix, row in self._rows.items():
            self._txn.put(prefix, encode(row), db=self._tables.prefixes)
        self._txn.put(META_KEY, encode(self._meta), db=self._tables.meta)

    # Single writes --------------------------------------------------------------------------------

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        changed: list[bytes] = []
        for write in writes:
            outcome, key = self._apply_one(write, now)
            outcomes.append(outcome)
            if key is not None:
                changed.append(key)
        self._note_keys(changed)
        return outcomes

    def _apply_one(self, write: Write, now: int) -> tuple[Outcome, bytes | None]:
        prefix, _, suffix = write.identifier.partition(b"/")
        row = self._row(prefix)
        key = row.number.to_bytes(NUMBER_BYTES, "big") + suffix if row else None
        stored = self._txn.get(key) if key else None
        current = self._member_head(key) if key and stored is None else None
        if stored is not None:
            current = self._head(write.identifier, stored)
        outcome, body = decide(write, current, now)
        if body is None:
            return outcome, None
        refusal = self._refusal(write.identifier) if stored is None else None
        if refusal is not None:
            return Outcome(refusal, 0, changed=False), None
        if row is None or key is None:
            row = self._new_row(prefix)
            key = row.number.to_bytes(NUMBER_BYTES, "big") + suffix
        shown = becomes_shown(write, current)
        self._recount(row, key, stored, shown)
        row.changes += 1
        if current is not None and stored is not None:
            self._keep(prefix, key, current.version, stored, now)
        values = split_body(body).values if shown else None
        self._reindex(prefix, key, current if stored is not None else None, values)
        kind = kind_of(body) if write.values == RESUME else kind_tag(values, write.restricted)
        self._txn.put(key, self._codec.store(body, row.dictionary, kind))
        return outcome, key

    def _head(self, identifier: bytes, stored: bytes) -> Head:
        try:
            return split_body(self._codec.whole(stored))
        except UNREADABLE as error:
            raise damaged(identifier, error) from error

    # Bulk -----------------------------------------------------------------------------------------

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        start = 0
        while start < len(writes):
            prefix = writes[start].identifier.partition(b"/")[0]
            # "0" follows "/": the end of this prefix's identifiers, which lie together as they ascend.
            end = bisect_left(writes, prefix + b"0", lo=start, key=_identifier_of)
            outcomes += self._load_group(prefix, writes[start:end], now)
            start = end
        return outcomes

    def _load_group(self, prefix: bytes, writes: Sequence[Write], now: int) -> list[Outcome]:
        """Load ascending writes of one prefix: by append where nothing lies between them, one by one otherwise."""
        identifiers, compares, values, restricted = zip(*writes, strict=True)
        if None in values or any(set(compares)) or not {SUSPEND, RESUME}.isdisjoint(values):
            return self.apply(writes, now)
        row = self._row(prefix) or self._new_row(prefix)
        number = row.number.to_bytes(NUMBER_BYTES, "big")
        cut = len(prefix) + 1
        keys = [number + identifier[cut:] for identifier in identifiers]
        if self._any_between(keys[0], keys[-1]) or self._series_between(row, keys[0], keys[-1]):
            return self.apply(writes, now)
        head = encode_body(1, State.ACTIVE, now, b"")
        bodies = [head + encoded for encoded in values]
        self._choose_dictionary(row, bodies)
        stored = self._codec.store_many(bodies, row.dictionary)
        if any(restricted) or any_templated(values):
            stored = [one + kind_tag(*rest) for one, *rest in zip(stored, values, restricted, strict=True)]
        self._put_all(keys, stored)
        self._index_new(prefix, keys, values)
        row.active += len(keys)
        row.changes += len(keys)
        self._note(range_entry(self._mark, keys[0], keys[-1], len(keys)), len(keys), self._mark)
        return [Outcome(Status.OK, 1, changed=True)] * len(keys)

    def _put_all(self, keys: list[bytes], stored: list[bytes]) -> None:
        with self._txn.cursor() as records:
            append = not records.last() or records.key() < keys[0]
            _, added = records.putmulti(zip(keys, stored, strict=True), append=append)
        if added != len(keys):
            raise StoreError(STORE_FAILED, path=str(self._path), reason="a bulk load met records it had not seen")

    def _any_between(self, first: bytes, last: bytes) -> bool:
        with self._txn.cursor() as records:
            return records.set_range(first) and records.key() <= last

    # Prefixes and changes -------------------------------------------------------------------------

    def _row(self, prefix: bytes) -> PrefixRow | None:
        row = self._rows.get(prefix)
        if row is None:
            raw = self._txn.get(prefix, db=self._tables.prefixes)
            if raw is None:
                return None
            row = self._rows[prefix] = decode_row(raw)
        return row

    def _new_row(self, prefix: bytes) -> PrefixRow:
        number = self._meta.next_prefix
        if number > MAX_PREFIXES:
            raise StoreError(STORE_FAILED, path=str(self._path), reason=f"it has {MAX_PREFIXES} prefixes already")
        self._meta.next_prefix += 1
        self._txn.put(number.to_bytes(NUMBER_BYTES, "big"), prefix, db=self._tables.numbers)
        row = self._rows[prefix] = PrefixRow(number)
        return row

    def _note_keys(self, keys: list[bytes]) -> None:
        for start in range(0, len(keys), KEYS_AN_ENTRY):
            part = keys[start : start + KEYS_AN_ENTRY]
            self._note(keys_entry(self._mark, part), len(part), self._mark)

    def _note(self, entry: bytes, count: int, mark: bytes) -> None:
        self._txn.put(change_key(self._meta.next_change), entry, db=self._tables.changes, append=True)
        self._meta.next_change += count
        self._meta.mark = mark
