"""System records of one kind, each of them one MessagePack structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from protocol.errors import Rule, StoreError
from protocol.status import Status
from registry.store.allotments import DATA
from registry.store.interface import Page
from registry.store.system import child_of, read_system, system_identifier, system_write
from registry.store.writes import ABSENT, Write

BAD_ROW: Final = Rule(
    "store.bad-row",
    Status.STORE_FAILED,
    "the stored record {record} is damaged: {reason}",
    "存储记录 {record} 已损坏：{reason}",
)

ONE_LINE: Final = r"^(?![\s\S]*[\x00-\x1f\x7f])"
"""The pattern of a text without control characters, in Python as in JSON Schema."""

Kind = TypeVar("Kind", bound=msgspec.Struct)

_encode: Final = msgspec.msgpack.Encoder().encode


class Found(NamedTuple, Generic[Kind]):
    """A record as it is: its version (0: never written) and content (None: absent, or withdrawn)."""

    version: int
    value: Kind | None


class Reading(Protocol):
    """What is needed of a store."""

    def find(self, identifier: bytes) -> bytes | None: ...

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page: ...


class Shelf(Generic[Kind]):
    """The records below system prefix ``prefix``."""

    def __init__(self, store: Reading, prefix: bytes, kind: type[Kind]) -> None:
        self.prefix = prefix
        self._store = store
        self._decode: Callable[[bytes], Kind] = msgspec.msgpack.Decoder(kind).decode

    def find(self, name: str) -> Found[Kind]:
        """The record of that name. Raises :class:`StoreError`."""
        identifier = system_identifier(self.prefix, name)
        return self._read(identifier, self._store.find(identifier))

    def write(self, name: str, found: Found[Kind], value: Kind | None) -> Write:
        """The write that puts ``value`` in place of what was ``found``; None withdraws it."""
        contents = None if value is None else {DATA: _encode(value)}
        return system_write(self.prefix, name, contents, found.version if found.value is not None else ABSENT)

    def page_below(self, begin: str, cursor: str | None, limit: int) -> tuple[list[tuple[str, Kind]], str | None]:
        """The same of the names that begin with ``begin``, which ends with a slash."""
        # The byte before the slash: everything that begins so comes behind it.
        rows, following = self.page(f"{begin[:-1]}." if cursor is None else cursor, limit)
        within = [row for row in rows if row[0].startswith(begin)]
        return within, following if len(within) == len(rows) else None

    def page(self, cursor: str | None, limit: int) -> tuple[list[tuple[str, Kind]], str | None]:
        """Up to ``limit`` records by name, in order, from behind ``cursor`` (a name, there or not) on, and the cursor
        that continues; None at the end."""
        after = None if cursor is None else system_identifier(self.prefix, cursor)
        page = self._store.scan(self.prefix.decode(), after, limit)
        found = ((child_of(entry.identifier), self._read(entry.identifier, entry.body).value) for entry in page.entries)
        rows = [(name, value) for name, value in found if value is not None]
        return rows, None if page.cursor is None else child_of(page.cursor)

    def _read(self, identifier: bytes, body: bytes | None) -> Found[Kind]:
        version, contents = read_system(body)
        if contents is None:
            return Found(version, None)
        try:
            return Found(version, self._decode(contents[DATA]))
        except (KeyError, msgspec.DecodeError) as error:
            record = identifier[1:].decode("utf-8", "replace")
            raise StoreError(BAD_ROW, record=record, reason=str(error)) from None
