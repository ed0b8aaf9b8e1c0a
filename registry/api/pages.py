"""Records as lists and exports read them: whole, and a page at a time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TypeVar

import msgspec

from protocol.errors import InvalidInput, Refused
from protocol.identifiers import normal
from protocol.kept import is_templated, template_version
from protocol.limits import MAX_CURSOR_BYTES, MAX_MESSAGE_BYTES
from protocol.records import State, decode_body, split_body
from protocol.status import Status
from registry.api import rules
from registry.json_records import JsonValue, json_values
from registry.store.interface import Page, Store
from registry.store.series import ListPage, is_series, list_page

AnyPage = TypeVar("AnyPage", Page, ListPage)


class RecordShown(msgspec.Struct, omit_defaults=True):
    """A record, restricted values included. `version` counts its changes, `time` is when this version was registered,
    in seconds since 1970 UTC; a record that is `withdrawn` has no values. One that follows a `template` has the types,
    names and computed values of this version of it. A series has its pattern as identifier, and stands for so many
    `members`."""

    identifier: str
    version: int
    state: str
    time: int
    values: list[JsonValue]
    template: int | None = None
    members: int = 0


class PageShown(msgspec.Struct):
    """Series, and then records in order of prefix and suffix. `cursor` continues the list, null at its end: a page may
    be short, even empty, before that."""

    records: list[RecordShown]
    cursor: str | None


class WholeRecords:
    """Records of a store to be shown to those who may read all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def shown(self, name: str, body: bytes, members: int = 0) -> RecordShown:
        """What the store has of a record under its identifier, or of a series under its pattern. Raises
        :class:`~protocol.errors.RecordError`, :class:`~protocol.errors.StoreError`."""
        template = None
        values = split_body(body).values
        if is_templated(values):
            template = template_version(values)
            body = self._store.expanded(name.encode(), body)
        record = decode_body(body)
        state = record.state.name.lower()
        return RecordShown(name, record.version, state, record.time, json_values(record.values), template, members)

    def standing(self, name: str, body: bytes | None, members: int = 0) -> RecordShown:
        """The same of what is asked for by name. Raises :class:`Refused` where there is nothing, or was withdrawn."""
        if body is None:
            raise Refused(rules.NOT_REGISTERED, Status.NOT_FOUND, identifier=name)
        shown = self.shown(name, body, members)
        if shown.state == State.WITHDRAWN.name.lower():
            raise Refused(rules.WITHDRAWN, Status.WITHDRAWN, identifier=name, version=shown.version)
        return shown


def fitting_page(store: Store, prefix: str, cursor: bytes | None, limit: int) -> ListPage:
    """Up to ``limit`` series and records of a prefix and those below it, as far as they :func:`fit <fitting>`. Raises
    :class:`~protocol.errors.StoreError`."""
    return fitting(lambda limit: list_page(store, prefix, cursor, limit), limit)


def fitting(read: Callable[[int], AnyPage], limit: int) -> AnyPage:
    """A page of up to ``limit`` records, fewer where they would be more than ``MAX_MESSAGE_BYTES``, as natively."""
    while True:
        page = read(limit)
        if limit == 1 or sum(len(entry.body) for entry in page.entries) <= MAX_MESSAGE_BYTES:
            return page
        limit = max(1, limit // 2)


def cursor_text(cursor: bytes) -> str:
    """A cursor as a client gets it."""
    return base64.urlsafe_b64encode(cursor).decode().rstrip("=")


def read_cursor(text: str) -> bytes | None:
    """A cursor of a list of records that was given out before. Raises :class:`InvalidInput`."""
    if not text:
        return None
    raw = _unfolded(text)
    if is_series(raw) or raw == b"/":
        return raw
    try:
        return normal(raw)
    except InvalidInput:
        raise InvalidInput(rules.BAD_CURSOR) from None


def read_system_cursor(text: str) -> bytes | None:
    """The same for lists of series and rules, which are system records. Raises :class:`InvalidInput`."""
    return _unfolded(text) if text else None


def _unfolded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(rules.BAD_CURSOR) from None
    if len(raw) > MAX_CURSOR_BYTES:
        raise InvalidInput(rules.BAD_CURSOR)
    return raw
