"""Records as they are read to be shown, one or a page at a time."""

from __future__ import annotations

from protocol.limits import MAX_MESSAGE_BYTES
from protocol.records import Record, decode_body
from registry.store.interface import Entry, Page, Store


def record_of(entry: Entry) -> Record:
    """The whole record in what ``find`` and ``scan`` of a store give. Raises :class:`~protocol.errors.RecordError`."""
    return decode_body(entry.body)


def fitting_page(store: Store, prefix: str, cursor: bytes | None, limit: int) -> Page:
    """Up to ``limit`` records of a prefix and those below it, fewer where they would be more than
    ``MAX_MESSAGE_BYTES``, as natively. Raises :class:`~protocol.errors.StoreError`."""
    while True:
        page = store.scan(prefix, cursor, limit)
        if limit == 1 or sum(len(entry.body) for entry in page.entries) <= MAX_MESSAGE_BYTES:
            return page
        limit = max(1, limit // 2)
