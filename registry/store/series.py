"""Series in the store: one system record for each.

::

    \\x01series/‹prefix›/‹shape›‹head›‹last counter›‹first counter›

The record's body is what every member answers that has no record of its own: its version, state and time are theirs,
its values, with computed text filled in, too. Members of one shape never interleave, so the only series of a shape that
can have some member is the first whose last one is not less; a prefix has at most ``MAX_SHAPES`` of them. For a write,
a member without a record of its own is a record with the series' values and version.

A series is registered where it has no member in common with another, and none that has a record, be they active or not.
What is registered later at a member's identifier is that member's own record.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, StoreError
from protocol.identifiers import normal
from protocol.members import Members
from protocol.records import Head, split_body
from protocol.series import ALPHABETS, Series, make_series
from registry.store.feed import BAD_CURSOR
from registry.store.interface import DAMAGED, Entry
from registry.store.system import Scans, is_system, scan_below

SERIES: Final = b"\x01series"

MAX_SHAPES: Final = 64
"""Shapes of the series of one prefix: each may cost a look into the store when a member is asked for."""

SHAPE_BYTES: Final = 10
"""Bytes of a shape without the tail at its end."""

MAX_FORMER: Final = 128
"""Bodies of series that are remembered as they are filled in, for who looks back: one of 700 values takes 8 ms to work
out and some 200 kB, and a member has up to a hundred."""

_BEFORE_RECORDS: Final = b"/"
"""The cursor of a list that goes on with the first record."""


class Listed(NamedTuple):
    """One entry of a list: a record under its identifier, or a series under its pattern. ``members`` is how many
    identifiers it stands for, 0 for a record. ``body`` is whole, as it is kept."""

    name: str
    body: bytes
    members: int


class ListPage(NamedTuple):
    """A part of a list. ``cursor`` continues it; None at the end."""

    entries: list[Listed]
    cursor: bytes | None


def series_identifier(series: Series) -> bytes:
    """Where the record of a series stands."""
    last, first = (series.alphabet.write(number, series.width) for number in (series.last, series.first))
    return b"/".join((SERIES, series.prefix.encode(), series.shape + series.head + last + first))


def is_series(identifier: bytes) -> bool:
    """Whether the record of a series stands under an identifier."""
    return identifier.startswith(SERIES + b"/")


def series_of(identifier: bytes) -> Series:
    """The series whose record stands under an identifier. Raises :class:`StoreError` where that is none of ours."""
    prefix, _, rest = identifier[len(SERIES) + 1 :].partition(b"/")
    return read_series(prefix, rest)


def read_series(prefix: bytes, rest: bytes) -> Series:
    """The series of a prefix, from the part of its record's identifier that is behind that. Raises
    :class:`StoreError`: a copy takes over what others have written."""
    try:
        series = _read(prefix.decode(), rest)
        if series_identifier(series) == b"/".join((SERIES, prefix, rest)):
            return series
        reason = "its parts do not fit"
    except (ValueError, KeyError, IdentifierError) as error:
        reason = str(error)
    shown = b"/".join((SERIES, prefix, rest)).decode("utf-8", "replace")
    raise StoreError(DAMAGED, identifier=shown, reason=reason)


def _read(prefix: str, rest: bytes) -> Series:
    head, width, tail = int(rest[:3], 16), int(rest[3:5], 16), int(rest[7:SHAPE_BYTES], 16)
    start = SHAPE_BYTES + tail
    counter = start + head
    last, first = rest[counter : counter + width], rest[counter + width :]
    alphabet, checked = ALPHABETS[rest[5:6]], rest[6:7] == b"c"
    series = make_series(
        prefix, rest[start:counter], first, last, alphabet, checked=checked, tail=rest[SHAPE_BYTES:start]
    )
    normal(f"{prefix}/".encode() + series.member(0))
    str(series)  # head and tail are text each
    return series


def shape_end(rest: bytes) -> int:
    """Where the shape ends at the beginning of that part."""
    return SHAPE_BYTES + int(rest[7:SHAPE_BYTES], 16)


def with_series(own: list[bytes], series: Series, kept: list[bytes], suffix: bytes) -> list[bytes]:
    """What a member's record has and had, and behind it what the series answered for it before there was one; ``kept``
    is what the series has and had, the newest first."""
    members = [(head.version, _former(series, head).whole(suffix)) for head in map(split_body, kept)]
    before = split_body(own[-1]).version if own else None
    return own + [body for version, body in members if before is None or version < before]


@lru_cache(maxsize=MAX_FORMER)
def _former(series: Series, kept: Head) -> Members:
    return Members(series, kept)


def list_series(store: Scans, prefix: str, cursor: bytes | None, limit: int) -> ListPage:
    """Up to ``limit`` series of a prefix and those below it. Raises :class:`StoreError` for a foreign cursor."""
    page = scan_below(store, SERIES, prefix, cursor, limit)
    return ListPage([_listed(entry) for entry in page.entries], page.cursor)


def list_page(store: Scans, prefix: str, cursor: bytes | None, limit: int) -> ListPage:
    """Up to ``limit`` entries of a prefix and those below it: first the series, each as one entry, then the records.
    Raises :class:`StoreError` for a cursor that is not ours."""
    entries: list[Listed] = []
    if cursor is None or is_series(cursor):
        entries, following = list_series(store, prefix, cursor, limit)
        if following is not None:
            return ListPage(entries, following)
        cursor = None
    elif is_system(cursor):
        raise StoreError(BAD_CURSOR)
    if len(entries) == limit:
        return ListPage(entries, _BEFORE_RECORDS)
    page = store.scan(prefix, cursor, limit - len(entries))
    records = [Listed(entry.identifier.decode(), entry.body, 0) for entry in page.entries]
    return ListPage(entries + records, page.cursor)


def _listed(entry: Entry) -> Listed:
    series = series_of(entry.identifier)
    return Listed(str(series), entry.body, series.count)
