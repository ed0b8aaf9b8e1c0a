"""Going through the records of a prefix and those below it, in order."""

from __future__ import annotations

from collections.abc import Iterator

import lmdb

from protocol.errors import StoreError
from protocol.identifiers import covers
from registry.store.feed import BAD_CURSOR
from registry.store.lmdb.layout import MAX_KEY_BYTES, NUMBER_BYTES, Tables, decode_row


def walk(
    txn: lmdb.Transaction[bytes], tables: Tables, prefix: str, after: bytes | None
) -> Iterator[tuple[bytes, bytes]]:
    """Identifiers and stored bodies of a prefix and those below it, from behind ``after`` on. Raises
    :class:`StoreError` for a cursor that is not ours."""
    after_prefix, slash, after_suffix = (after or b"").partition(b"/")
    if after is not None and not slash:
        raise StoreError(BAD_CURSOR)
    with txn.cursor(tables.prefixes) as rows:
        for name, row in _prefixes_below(rows, prefix.encode(), after_prefix):
            number = decode_row(row).number.to_bytes(NUMBER_BYTES, "big")
            # The byte behind the suffix is the least key that comes after it.
            start = number + after_suffix + b"\x00" if name == after_prefix else number
            with txn.cursor(tables.records) as records:
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
