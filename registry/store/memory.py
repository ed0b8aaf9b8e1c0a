"""A backend of dictionaries: the model that the contract suite holds against, and a store for small tools."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import IdentifierError, StoreError
from protocol.identifiers import covers, normal
from protocol.records import State, public_body, split_body
from protocol.referrals import Cut
from registry.store.decide import decide
from registry.store.interface import BAD_CURSOR, STORE_FAILED, ChangePage, Counts, Entry, Page
from registry.store.system import DELEGATIONS, find_cut, is_system
from registry.store.writes import Outcome, Write

_CURSOR_BYTES = 8


def _order(identifier: bytes) -> tuple[bytes, bytes]:
    prefix, _, suffix = identifier.partition(b"/")
    return prefix, suffix


class MemoryStore:
    """Records in a dictionary, their order in a sorted list, changes in a list of identifiers."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._ordered: list[tuple[bytes, bytes]] = []
        self._changes: list[bytes] = []
        self._delegates = False  # whether there ever was a delegation

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(identifier) for identifier in identifiers]

    def get(self, identifier: bytes) -> bytes | None:
        try:
            wanted = normal(identifier)
        except IdentifierError:
            return None
        body = self._bodies.get(wanted)
        if body is None or split_body(body).state is not State.ACTIVE:
            return None
        return None if self.cut(wanted.partition(b"/")[0].decode()) else public_body(body)

    def find(self, identifier: bytes) -> bytes | None:
        return self._bodies.get(identifier)

    def cut(self, prefix: str) -> Cut | None:
        return find_cut(self.find, prefix) if self._delegates else None

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        start = 0
        if cursor is not None:
            if b"/" not in cursor:
                raise StoreError(BAD_CURSOR)
            start = bisect.bisect_right(self._ordered, _order(cursor))
        entries: list[Entry] = []
        for key_prefix, suffix in self._ordered[start:]:
            if covers(prefix, key_prefix.decode()):
                if len(entries) == limit:
                    return Page(entries, entries[-1].identifier)
                identifier = key_prefix + b"/" + suffix
                entries.append(Entry(identifier, self._bodies[identifier]))
        return Page(entries, None)

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        if cursor is not None and len(cursor) != _CURSOR_BYTES:
            raise StoreError(BAD_CURSOR)
        start = int.from_bytes(cursor, "big") if cursor else 0
        taken = self._changes[start : start + limit]
        end = start + len(taken)
        entries = [Entry(identifier, self._bodies[identifier]) for identifier in dict.fromkeys(taken)]
        return ChangePage(entries, end.to_bytes(_CURSOR_BYTES, "big"), end < len(self._changes))

    def counts(self) -> Counts:
        active: dict[str, int] = {}
        for identifier, body in self._bodies.items():
            if is_system(identifier):
                continue
            prefix = identifier.partition(b"/")[0].decode()
            active[prefix] = active.get(prefix, 0) + (split_body(body).state is State.ACTIVE)
        return Counts(active, len(self._changes), 0)

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for write in writes:
            body = self._bodies.get(write.identifier)
            outcome, new_body = decide(write, split_body(body) if body else None, now)
            if new_body is not None:
                if body is None:
                    bisect.insort(self._ordered, _order(write.identifier))
                self._bodies[write.identifier] = new_body
                self._changes.append(write.identifier)
                self._delegates = self._delegates or write.identifier.startswith(DELEGATIONS)
            outcomes.append(outcome)
        return outcomes

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        return self.apply(writes, now)

    def snapshot(self, target: Path) -> None:
        raise StoreError(STORE_FAILED, path=str(target), reason="a store in memory has nothing to copy")

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""
