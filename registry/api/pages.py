"""Pages of records that are bounded in bytes: records may be 250 times as large as ordinary ones."""

from __future__ import annotations

from protocol.limits import MAX_MESSAGE_BYTES
from registry.store.interface import Page, Store


def fitting_page(store: Store, prefix: str, cursor: bytes | None, limit: int) -> Page:
    """Up to ``limit`` records of a prefix and those below it, fewer where they would be more than
    ``MAX_MESSAGE_BYTES``, as natively. Raises :class:`~protocol.errors.StoreError`."""
    while True:
        page = store.scan(prefix, cursor, limit)
        if limit == 1 or sum(len(entry.body) for entry in page.entries) <= MAX_MESSAGE_BYTES:
            return page
        limit = max(1, limit // 2)
