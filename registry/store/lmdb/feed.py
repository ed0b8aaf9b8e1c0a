"""The change feed: entries and cursors.

Changes are numbered from 0. An entry stands under the number of its first change and covers some of them::

    [0, [key, ...]]           these records changed, in this order
    [1, first, last, count]   a bulk load wrote every record from key to key

A range costs a few bytes for thousands of records; who follows the feed gets the records that stand in it now.
Entries say which record changed, not how: a page gives each record as it is at that moment, and a later entry
comes for each later change, so whoever applies pages in order ends with the same records.
A cursor is the number of the next change, and inside a range the last key that was given.
"""

from __future__ import annotations

from typing import Any, Final

import lmdb
import msgspec

from protocol.errors import StoreError
from registry.store.interface import BAD_CURSOR
from registry.store.lmdb.layout import Tables

KEYS: Final = 0
RANGE: Final = 1

KEYS_AN_ENTRY: Final = 64
"""Keys in one entry: with ordinary keys it stays within one page of the store."""

_NUMBER_BYTES: Final = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def keys_entry(keys: list[bytes]) -> bytes:
    """The entry for single changes."""
    return _encode([KEYS, keys])


def range_entry(first: bytes, last: bytes, count: int) -> bytes:
    """The entry for a bulk load."""
    return _encode([RANGE, first, last, count])


def change_key(number: int) -> bytes:
    """The key of an entry."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def read_feed(
    txn: lmdb.Transaction[bytes], tables: Tables, cursor: bytes | None, limit: int
) -> tuple[list[tuple[bytes, bytes]], bytes, bool]:
    """Up to ``limit`` changed keys with their stored bodies after ``cursor``; next cursor; whether more is there."""
    number, inside = _read_cursor(cursor)
    found: dict[bytes, bytes] = {}
    with txn.cursor(tables.changes) as entries:
        at = _entry_of(entries, number)
        while at is not None and len(found) < limit:
            start, entry = at
            if entry[0] == KEYS:
                taken = entry[1][number - start :][: limit - len(found)]
                for key in taken:
                    found[key] = txn.get(key, b"", db=tables.records)
                number += len(taken)
            else:
                _, first, last, count = entry
                inside = _take_range(txn, tables, inside or b"", first, last, limit, found)
                if inside:
                    break
                number = start + count
            at = _entry_of(entries, number)
        more = at is not None
    return list(found.items()), change_key(number) + inside, more


def changed_keys(txn: lmdb.Transaction[bytes], tables: Tables, number: int, end: int) -> list[bytes] | None:
    """The keys that changes ``number`` to before ``end`` are about; None where a range is among them or they are not
    there (any more)."""
    changed: list[bytes] = []
    with txn.cursor(tables.changes) as entries:
        while number < end:
            at = _entry_of(entries, number)
            if at is None or at[1][0] != KEYS:
                return None
            start, (_, keys) = at
            changed += keys[number - start :]
            number = start + len(keys)
    return changed if number == end else None


def _take_range(
    txn: lmdb.Transaction[bytes],
    tables: Tables,
    after: bytes,
    first: bytes,
    last: bytes,
    limit: int,
    found: dict[bytes, bytes],
) -> bytes:
    """Take records of a range behind ``after``; the last key taken where the page is full, otherwise nothing."""
    with txn.cursor(tables.records) as records:
        if not records.set_range(after + b"\x00" if after else first):
            return b""
        for key, stored in records:
            if key > last:
                return b""
            if len(found) >= limit:
                return after
            found[key] = stored
            after = key
    return b""


def _entry_of(entries: lmdb.Cursor[bytes], number: int) -> tuple[int, list[Any]] | None:
    """The entry that covers change ``number``, None where it has not happened yet."""
    wanted = change_key(number)
    if not (entries.set_range(wanted) and entries.key() == wanted) and not (
        entries.prev() if entries.key() else entries.last()
    ):
        return None
    start = int.from_bytes(entries.key(), "big")
    entry = _decode(entries.value())
    count = len(entry[1]) if entry[0] == KEYS else entry[3]
    return (start, entry) if start <= number < start + count else None


def _read_cursor(cursor: bytes | None) -> tuple[int, bytes]:
    if cursor is None:
        return 0, b""
    if len(cursor) < _NUMBER_BYTES:
        raise StoreError(BAD_CURSOR)
    return int.from_bytes(cursor[:_NUMBER_BYTES], "big"), cursor[_NUMBER_BYTES:]
