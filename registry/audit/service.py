"""What can be asked about the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from protocol.limits import MAX_LIST
from registry.audit.chain import Entry, Link, decode_entry
from registry.audit.export import SignedHead, export, head_alone
from registry.audit.log import find_end, kept_entries
from registry.store.callers.permissions import Caller, Operation, check
from registry.store.shelf import Reading


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; ``link`` is the hexadecimal link behind it."""

    number: int
    time: int
    actor: str
    action: str
    record: str
    version: int
    reason: str
    details: dict[str, str]
    link: str


class AuditLog:
    """The log of ``zone``, for those who may read it. ``sign`` makes its head with the node's online key."""

    def __init__(self, store: Reading, zone: str, sign: Callable[[Link], SignedHead]) -> None:
        self._store = store
        self._zone = zone
        self._sign = sign

    def entries(self, caller: Caller, start: int, limit: int, now: int) -> tuple[list[EntryView], int | None]:
        """Entries from number ``start`` on, and the number that continues; None at the end."""
        check(caller, Operation.AUDIT_READ, self._zone, now)
        limit = min(limit, MAX_LIST)
        found = list(islice(kept_entries(self._store, start, limit + 1), limit + 1))
        views = [_view(decode_entry(raw, number), link) for number, (raw, link) in enumerate(found[:limit], start)]
        return views, start + limit if len(found) > limit else None

    def export(self, caller: Caller, now: int) -> Iterator[bytes]:
        """The lines of the whole log with its signed head, some at a time (:mod:`registry.audit.export`)."""
        check(caller, Operation.AUDIT_READ, self._zone, now)
        return export(self._zone, kept_entries(self._store), self._sign)

    def head(self, caller: Caller, now: int) -> Iterator[bytes]:
        """The lines of its signed head alone."""
        check(caller, Operation.AUDIT_READ, self._zone, now)
        return head_alone(self._zone, self._sign(find_end(self._store.find, self._zone)))


def _view(entry: Entry, link: bytes) -> EntryView:
    return EntryView(
        number=entry.number, time=entry.time, actor=entry.actor, action=entry.action, record=entry.record,
        version=entry.version, reason=entry.reason, details=entry.details, link=link.hex(),
    )  # fmt: skip
