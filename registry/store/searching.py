"""Finding records by what they have: which data of a record are in the index, the same for all backends.

An item of a template that is ``indexed`` has the records which follow it found by their data, exactly and within their
prefix. The index is made of the records, so it is in no feed: a copy has none, and a store that is made of a copy makes
its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import StoreError
from protocol.kept import decode_kept, is_templated, read_data, template_version
from protocol.records import State
from registry.store.feed import BAD_CURSOR
from registry.store.interface import Store
from registry.store.system import TEMPLATES
from registry.store.templates import stored_template, template_identifier

Datum = tuple[int, bytes]
"""Index of an item and what a record has there."""

INDEXED_AT_ONCE: Final = 10_000
"""Records that are put into the index in one step."""

_NOTHING: Final[frozenset[Datum]] = frozenset()


def has_data(body: bytes, item: int, data: bytes) -> bool:
    """Whether a kept body is active, follows a template and has this there."""
    kept = decode_kept(body)
    return kept.state is State.ACTIVE and (item, data) in kept.data


def suffix_behind(prefix: str, cursor: bytes | None) -> bytes:
    """The suffix behind which a search goes on. Raises :class:`StoreError` for a cursor of something else."""
    if cursor is None:
        return b""
    found, slash, suffix = cursor.partition(b"/")
    if not slash or found != prefix.encode():
        raise StoreError(BAD_CURSOR)
    return suffix


def index_everything(store: Store) -> None:
    """Make the index of a store that was made of a copy. Again where it was broken off: it changes nothing that is
    there."""
    for prefix in sorted(_prefixes_with_an_index(store)):
        cursor: bytes | None = None
        while True:
            page = store.scan(prefix, cursor, INDEXED_AT_ONCE)
            store.index(page.entries)
            cursor = page.cursor
            if cursor is None:
                break


def _prefixes_with_an_index(store: Store) -> set[str]:
    found: set[str] = set()
    cursor: bytes | None = None
    while True:
        page = store.scan(TEMPLATES.decode(), cursor, INDEXED_AT_ONCE)
        for entry in page.entries:
            _, template = stored_template(entry.body)
            if template is not None and any(item.indexed for item in template.items):
                found.add(template.prefix)
        cursor = page.cursor
        if cursor is None:
            return found


class Indexed:
    """Tells what of a record is indexed, by the templates that ``find``, a store's, gives. Which items are does not
    change, so it is remembered."""

    def __init__(self, find: Callable[[bytes], bytes | None]) -> None:
        self._find = find
        self._items: dict[tuple[bytes, int], frozenset[int]] = {}

    def entries(self, prefix: bytes, values: bytes) -> frozenset[Datum]:
        """What the encoded values of an active record have in the index."""
        if not is_templated(values):
            return _NOTHING
        items = self.items(prefix, template_version(values))
        if not items:
            return _NOTHING
        _, data = read_data(values)
        return frozenset(one for one in data if one[0] in items)

    def items(self, prefix: bytes, version: int) -> frozenset[int]:
        """The indexes of the items of a template that are indexed."""
        known = self._items.get((prefix, version))
        if known is None:
            _, template = stored_template(self._find(template_identifier(prefix.decode(), version)))
            known = frozenset(item.index for item in template.items if item.indexed) if template else frozenset()
            self._items[prefix, version] = known
        return known
