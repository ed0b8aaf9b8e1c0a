"""How the index lies in the store.

``prefix number (3) ‖ item (4) ‖ BLAKE2b-64 of the data (8) ‖ suffix`` → nothing. Whoever searches compares the data of
the record itself, so two that have one hash do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Final

import lmdb

from protocol.kept import any_templated
from protocol.records import Head, State, split_body
from registry.store.lmdb.history import KeepingWork
from registry.store.lmdb.layout import NUMBER_BYTES
from registry.store.searching import Datum, Indexed

_ITEM_BYTES: Final = 4
_HASH_BYTES: Final = 8


def index_begin(number: bytes, item: int, data: bytes) -> bytes:
    """What the keys of all records with this data begin with."""
    return number + item.to_bytes(_ITEM_BYTES, "big") + blake2b(data, digest_size=_HASH_BYTES).digest()


def suffixes(txn: lmdb.Transaction[bytes], table: lmdb._Database, begin: bytes, after: bytes) -> Iterator[bytes]:
    """The suffixes of those records, in order, from behind ``after`` on (empty: from the first on)."""
    with txn.cursor(table) as rows:
        found = rows.set_range(begin + after + b"\x00" if after else begin)
        while found and (key := rows.key()).startswith(begin):
            yield key[len(begin) :]
            found = rows.next()


class IndexingWork(KeepingWork):
    """The part of a write transaction that keeps the index; ``writer`` has the rest."""

    _indexed: Indexed

    def _reindex(self, prefix: bytes, key: bytes, before: Head | None, values: bytes | None) -> None:
        """Have the index follow a record that had a body with this head and has these values now."""
        was_active = before is not None and before.state is State.ACTIVE
        old = self._indexed.entries(prefix, before.values) if before is not None and was_active else frozenset[Datum]()
        new = self._indexed.entries(prefix, values) if values is not None else frozenset[Datum]()
        if old == new:
            return
        for one in self._keys(key, old - new):
            self._txn.delete(one, db=self._tables.data_index)
        for one in self._keys(key, new - old):
            self._txn.put(one, b"", db=self._tables.data_index)

    def _index_new(self, prefix: bytes, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Put new active records into the index."""
        if not any_templated(values):
            return
        entries = (self._indexed.entries(prefix, one) for one in values)
        new = sorted(chain.from_iterable(map(self._keys, keys, entries)))
        with self._txn.cursor(self._tables.data_index) as rows:
            rows.putmulti((one, b"") for one in new)

    def index(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Put records that stand into the index, given by identifier and body."""
        for identifier, body in records:
            prefix, _, suffix = identifier.partition(b"/")
            row, head = self._row(prefix), split_body(body)
            if row is not None and head.state is State.ACTIVE:
                self._reindex(prefix, row.number.to_bytes(NUMBER_BYTES, "big") + suffix, None, head.values)

    @staticmethod
    def _keys(key: bytes, entries: Iterable[Datum]) -> list[bytes]:
        number, suffix = key[:NUMBER_BYTES], key[NUMBER_BYTES:]
        return [index_begin(number, *entry) + suffix for entry in entries]
