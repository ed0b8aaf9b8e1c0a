"""What a zone keeps about itself: delegations, enterprises, identities, the audit log.

They are ordinary records under *system prefixes*, which begin with U+0001 and so are no prefix of any identifier::

    \\x01delegation/‹child prefix›   the signed statement; the record's version is the delegation's serial
    \\x01request/‹child prefix›      the signed request that waits for the zone key
    \\x01code/‹child prefix›         the public key of a one-time code, and when the code expires
    \\x01template/‹prefix›/‹version›  a template of records (``templates``)
    \\x01policy/‹prefix›          how many earlier versions are kept (``history``)
    \\x01enterprise/‹credit code›    an enterprise: application, review, prefixes
    \\x01allotment/‹prefix›          a prefix given to an enterprise, and how it stands (``allotments``)
    \\x01identity/‹identifier›       a person or program: roles and credentials
    \\x01token/‹SHA-256, hex›        a token, by the digest of its secret
    \\x01key/‹algorithm›‹key, hex›   a key of an identity
    \\x01group/‹identifier›          identities, and prefixes of enterprises, under one name
    \\x01audit/‹number, hex›         an entry of the audit log

Readers give them to ``find``, ``scan`` of a system prefix or of everything, and ``feed``, and to nothing else; they are
not counted. A prefix that is delegated, and all below it, is *cut off*: ``get`` and ``get_many`` have nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from protocol.errors import StoreError
from protocol.records import Permission, Record, State, Value, decode_body, encode_values
from protocol.referrals import Cut
from registry.store.feed import BAD_CURSOR
from registry.store.interface import Page
from registry.store.writes import ANY, Write

DELEGATIONS: Final = b"\x01delegation"
REQUESTS: Final = b"\x01request"
CODES: Final = b"\x01code"
TEMPLATES: Final = b"\x01template"
POLICIES: Final = b"\x01policy"

_MARK: Final = b"\x01"
_NOT_PUBLIC: Final = Permission.ADMIN_READ | Permission.ADMIN_WRITE


class Scans(Protocol):
    """What a list needs of a store."""

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        """A page of records."""
        ...


def is_system(prefix: bytes) -> bool:
    """Whether a prefix (or an identifier) is one of the zone's own."""
    return prefix.startswith(_MARK)


def system_identifier(prefix: bytes, child: str) -> bytes:
    """Where the record about ``child`` stands under a system prefix."""
    return prefix + b"/" + child.encode()


def child_of(identifier: bytes) -> str:
    """The child prefix that a record under a system prefix is about."""
    return identifier.partition(b"/")[2].decode()


def system_write(prefix: bytes, child: str, contents: dict[str, bytes] | None, compare: int | None = ANY) -> Write:
    """The write that keeps ``contents``, data by type, about ``child``; None withdraws it."""
    values = None
    if contents is not None:
        values = encode_values([
            Value(index, name, data, permissions=int(_NOT_PUBLIC))
            for index, (name, data) in enumerate(contents.items(), start=1)
        ])  # fmt: skip
    return Write(system_identifier(prefix, child), compare, values, restricted=True)


def read_system(body: bytes | None) -> tuple[int, dict[str, bytes] | None]:
    """Version and contents of a system record: version 0 where there never was one, None where it was withdrawn."""
    if body is None:
        return 0, None
    record = decode_body(body)
    return record.version, _contents(record) if record.state is State.ACTIVE else None


def scan_below(store: Scans, system: bytes, prefix: str, cursor: bytes | None, limit: int) -> Page:
    """Up to ``limit`` records under a system prefix that are about a prefix (``‹prefix›/…``) and those below it. Raises
    :class:`StoreError` for a cursor that is none of these."""
    if cursor is not None and not cursor.startswith(system + b"/"):
        raise StoreError(BAD_CURSOR)
    # "." comes before "/" and both before "0": what is about the prefixes below one, and about it, stands side by side.
    begin, end = (system + b"/" + prefix.encode() + mark if prefix else None for mark in (b".", b"0"))
    page = store.scan(system.decode(), max(cursor or b"", begin or b"") or None, limit)
    within = [entry for entry in page.entries if end is None or entry.identifier < end]
    return Page(within, page.cursor if len(within) == len(page.entries) else None)


def find_cut(find: Callable[[bytes], bytes | None], prefix: str) -> Cut | None:
    """The highest delegated prefix at or above ``prefix`` (normal form), where there is one. ``find`` is a store's."""
    for above in at_and_above(prefix):
        serial, contents = read_system(find(system_identifier(DELEGATIONS, above)))
        if contents is not None:
            return Cut(above, serial, contents["DELEGATION"])
    return None


def at_and_above(prefix: str) -> Iterator[str]:
    """The prefixes at and above one, from its first segment down."""
    end = prefix.find(".")
    while end >= 0:
        yield prefix[:end]
        end = prefix.find(".", end + 1)
    yield prefix


def _contents(record: Record) -> dict[str, bytes]:
    return {value.type: value.data for value in record.values}
