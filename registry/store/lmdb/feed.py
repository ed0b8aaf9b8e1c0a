"""How the feed's entries lie in the store.

An entry stands under the number of its first change::

    [0, mark, [key, ...]]            these records changed, in this order
    [1, mark, first, last, count]    a bulk load wrote every record from key to key

A range costs a few bytes for thousands of records; who follows the feed gets the records that stand in it now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import lmdb
import msgspec

from protocol.errors import StoreError
from registry.store.feed import FeedEntry, Position, Pruning
from registry.store.interface import STORE_FAILED
from registry.store.lmdb.layout import META_KEY, NUMBER_BYTES, Meta, Tables, decode_meta

KEYS: Final = 0
RANGE: Final = 1

KEYS_AN_ENTRY: Final = 64
"""Keys in one entry: with ordinary keys it stays within one page of the store."""

PRUNED_AT_ONCE: Final = 50_000
"""Entries that one transaction takes away from the feed: some 100 ms in which nothing else is written."""

_NUMBER_BYTES: Final = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def keys_entry(mark: bytes, keys: list[bytes]) -> bytes:
    """The entry for single changes."""
    return _encode([KEYS, mark, keys])


def range_entry(mark: bytes, first: bytes, last: bytes, count: int) -> bytes:
    """The entry for a bulk load."""
    return _encode([RANGE, mark, first, last, count])


def change_key(number: int) -> bytes:
    """The key of an entry."""
    return number.to_bytes(_NUMBER_BYTES, "big")


class Translation(Protocol):
    """What the entries need of a reader: keys to identifiers and back, stored bodies to bodies."""

    def identifier_of(self, key: bytes) -> bytes:
        """The identifier of a record's key."""
        ...

    def key_of(self, identifier: bytes) -> bytes:
        """The key of an identifier whose prefix the store has."""
        ...

    def whole(self, identifier: bytes, stored: bytes) -> bytes:
        """The body in a stored body."""
        ...


def changed_keys(txn: lmdb.Transaction[bytes], tables: Tables, number: int, end: int) -> list[bytes] | None:
    """The keys that changes ``number`` to before ``end`` are about; None where a range is among them or they are not
    there (any more)."""
    changed: list[bytes] = []
    with txn.cursor(tables.changes) as entries:
        while number < end:
            at = entry_at(entries, number)
            if at is None or at[1][0] != KEYS:
                return None
            start, (_, _, keys) = at
            changed += keys[number - start :]
            number = start + len(keys)
    return changed if number == end else None


class StoredEntries:
    """The feed as a transaction sees it: :class:`registry.store.feed.Entries`."""

    def __init__(self, txn: lmdb.Transaction[bytes], tables: Tables, translation: Translation, path: str) -> None:
        self._txn = txn
        self._tables = tables
        self._to = translation
        self._path = path
        raw = txn.get(META_KEY, db=tables.meta)
        self._meta = decode_meta(raw) if raw else Meta()

    @property
    def head(self) -> Position:
        return Position(self._meta.next_change, self._meta.mark)

    @property
    def inherited(self) -> Position:
        return Position(*self._meta.inherited)

    @property
    def pruning(self) -> Pruning:
        return Pruning(*self._meta.pruning)

    def covering(self, number: int) -> FeedEntry:
        with self._txn.cursor(self._tables.changes) as entries:
            found = entry_at(entries, number)
        if found is None:
            raise StoreError(STORE_FAILED, path=self._path, reason=f"change {number} is missing")
        start, entry = found
        if entry[0] == KEYS:
            return FeedEntry(start, entry[1], len(entry[2]), None, entry[2])
        _, mark, first, last, count = entry
        return FeedEntry(start, mark, count, (self._to.identifier_of(first), self._to.identifier_of(last)), [])

    def changed(self, entry: FeedEntry, skip: int) -> Iterator[tuple[bytes, bytes]]:
        get, identifier_of, whole = self._txn.get, self._to.identifier_of, self._to.whole
        for key in entry.keys[skip:]:
            identifier = identifier_of(key)
            yield identifier, whole(identifier, get(key, b"", db=self._tables.records))

    def standing(self, first: bytes, last: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        whole = self._to.whole
        prefix = first.partition(b"/")[0] + b"/"
        end = self._to.key_of(last)
        start = self._to.key_of(after) + b"\x00" if after else self._to.key_of(first)
        with self._txn.cursor(self._tables.records) as records:
            if not records.set_range(start):
                return
            for key, stored in records:
                if key > end:
                    return
                identifier = prefix + key[NUMBER_BYTES:]
                yield identifier, whole(identifier, stored)


def entry_at(entries: lmdb.Cursor[bytes], number: int) -> tuple[int, list[Any]] | None:
    """The entry that covers change ``number`` with its first number, None where there is none."""
    wanted = change_key(number)
    if not (entries.set_range(wanted) and entries.key() == wanted) and not (
        entries.prev() if entries.key() else entries.last()
    ):
        return None
    start = int.from_bytes(entries.key(), "big")
    entry = _decode(entries.value())
    count = len(entry[2]) if entry[0] == KEYS else entry[4]
    return (start, entry) if start <= number < start + count else None


def prune_entries(entries: lmdb.Cursor[bytes], pruned: int, number: int, least: int) -> tuple[int, bytes]:
    """Delete the entries that end at or below change ``number``, those of an earlier pruning (below ``pruned``) among
    them: the number where the feed now begins, and the mark before it. Nothing is done where fewer than ``least``
    changes would go, and the last entry stays."""
    end, mark = pruned, b""
    if entries.set_range(change_key(pruned)):
        for _ in range(PRUNED_AT_ONCE):
            entry = _decode(entries.value())
            behind = int.from_bytes(entries.key(), "big") + (len(entry[2]) if entry[0] == KEYS else entry[4])
            if behind > number or not entries.next():
                break
            end, mark = behind, entry[1]
    if end == pruned or end < least:
        return pruned, mark
    found = entries.first()
    while found and entries.key() < change_key(end):
        found = entries.delete() and bool(entries.key())
    return end, mark
