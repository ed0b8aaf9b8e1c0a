"""Records as lists and exports read them: whole, and a page at a time."""

from __future__ import annotations

import msgspec

from protocol.kept import is_templated, template_version
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.records import decode_body, split_body
from registry.json_records import JsonValue, json_values
from registry.store.interface import Entry, Page, Store
from registry.store.templates import Expanders


class RecordShown(msgspec.Struct, omit_defaults=True):
    """A record, restricted values included. `version` counts its changes, `time` is when this version was registered,
    in seconds since 1970 UTC; a record that is `withdrawn` has no values. One that follows a `template` has the types,
    names and computed values of this version of it."""

    identifier: str
    version: int
    state: str
    time: int
    values: list[JsonValue]
    template: int | None = None


class WholeRecords:
    """Records of a store to be shown to those who may read all of them."""

    def __init__(self, store: Store) -> None:
        self._expanders = Expanders(store.find, whole=True)

    def shown(self, entry: Entry) -> RecordShown:
        """What ``find``, ``scan``, ``search`` and ``history`` of the store give. Raises
        :class:`~protocol.errors.RecordError`, :class:`~protocol.errors.StoreError`."""
        body, template = entry.body, None
        values = split_body(body).values
        if is_templated(values):
            template = template_version(values)
            body = self._expanders.answered(entry.identifier, body)
        record = decode_body(body)
        return RecordShown(
            entry.identifier.decode(), record.version, record.state.name.lower(), record.time,
            json_values(record.values), template,
        )  # fmt: skip


def fitting_page(store: Store, prefix: str, cursor: bytes | None, limit: int) -> Page:
    """Up to ``limit`` records of a prefix and those below it, fewer where they would be more than
    ``MAX_MESSAGE_BYTES``, as natively. Raises :class:`~protocol.errors.StoreError`."""
    while True:
        page = store.scan(prefix, cursor, limit)
        if limit == 1 or sum(len(entry.body) for entry in page.entries) <= MAX_MESSAGE_BYTES:
            return page
        limit = max(1, limit // 2)
