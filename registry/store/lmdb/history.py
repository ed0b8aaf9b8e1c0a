"""How earlier versions lie in the store.

``record's key ‖ 0x00 ‖ 2⁶⁴ − 1 − version (8)`` → the stored body that it had: newest first. No suffix has a byte 0x00.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import lmdb

from protocol.records import split_body
from registry.store.history import Policy, find_policy, how_many
from registry.store.lmdb.codec import Codec
from registry.store.lmdb.layout import NUMBER_BYTES, PrefixRow, Tables
from registry.store.series import SERIES
from registry.store.system import is_system

_END: Final = b"\x00"
_NEWEST: Final = (1 << 64) - 1


def earlier(txn: lmdb.Transaction[bytes], tables: Tables, key: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The stored bodies that a record had, with their own keys, the newest first."""
    begin = key + _END
    with txn.cursor(tables.history) as rows:
        if rows.set_range(begin):
            for name, stored in rows:
                if not name.startswith(begin):
                    return
                yield name, stored


class KeepingWork(ABC):
    """The part of a write transaction that keeps what gives way; ``writer`` and ``copying`` have the other parts."""

    _txn: lmdb.Transaction[bytes]
    _tables: Tables
    _codec: Codec
    _policies: dict[bytes, Policy]

    @abstractmethod
    def _row(self, prefix: bytes) -> PrefixRow | None:
        """What is known of a prefix."""

    def _keep(self, prefix: bytes, key: bytes, version: int, stored: bytes, now: int) -> None:
        """Keep the stored body that a record had until ``now``, and let go of those that its prefix's policy does not
        keep."""
        if prefix == SERIES:
            prefix = key[NUMBER_BYTES:].partition(b"/")[0]
        if is_system(prefix):
            return
        policy = self._policies.get(prefix)
        if policy is None:
            policy = self._policies[prefix] = find_policy(self._find, prefix.decode())
        if policy.versions:
            self._txn.put(key + _END + (_NEWEST - version).to_bytes(8, "big"), stored, db=self._tables.history)
        kept = list(earlier(self._txn, self._tables, key))
        for name, _ in kept[how_many(policy, len(kept), lambda place: self._time_of(kept[place][1]), now) :]:
            self._txn.delete(name, db=self._tables.history)

    def _time_of(self, stored: bytes) -> int:
        return split_body(self._codec.whole(stored)).time

    def _find(self, identifier: bytes) -> bytes | None:
        """What a reader's ``find`` gives, in this transaction."""
        prefix, _, suffix = identifier.partition(b"/")
        row = self._row(prefix)
        stored = self._txn.get(row.number.to_bytes(NUMBER_BYTES, "big") + suffix) if row else None
        return None if stored is None else self._codec.whole(stored)
