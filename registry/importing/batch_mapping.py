"""Many rows of a table at once, where all of them are ordinary: column by column, with a few calls into C for a column.

Gives what :class:`~registry.importing.mapping.TableMapping` gives row by row, and nothing at all where some row could
need a closer look: an empty cell, a fault, a cell of unusual length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final

from protocol.kept import encode_data
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES
from protocol.records import encode_plain_values
from registry.importing.columns import Column, Plan
from registry.importing.item_columns import FollowingRows
from registry.importing.mapping import IdentifierReader, TableMapping

_USUAL_BYTES: Final = 1_024
"""Bytes of one value's data up to which its encoding is looked up."""

# The sizes of binary data as MessagePack writes them.
_SIZES: Final = [
    b"\xc4" + size.to_bytes(1, "big") if size < 256 else b"\xc5" + size.to_bytes(2, "big")
    for size in range(_USUAL_BYTES + 1)
]

_encode_row_number: Final = struct.Struct(">xQ").pack
"""What stands in an element between identifier and values: 0x00 and the row's number (``sorting``)."""


class BatchMapping:
    """The elements of many rows, as :func:`registry.importing.sorting.element_of` would make them."""

    def __init__(self, mapping: TableMapping) -> None:
        plan = mapping.plan
        self._width = mapping.width
        self._at = plan.identifier_position
        self._identifier = mapping.identifier
        self._closed = bool(plan.nameless) or not plan.columns
        self._rows = None if plan.template is None else FollowingRows(plan.template)
        columns = plan.columns if plan.template is None else sorted(plan.columns, key=attrgetter("index"))
        # The encoding of a row with empty data, cut where the sizes of the data stand.
        begin = len(_encode_empty([], plan))
        heads = [_encode_empty([column], plan)[begin:-2] for column in columns]
        whole = _encode_empty(columns, plan)
        announced = whole[: len(whole) - sum(len(head) + 2 for head in heads)]
        if heads:
            heads[0] = announced + heads[0]
        self._columns = tuple(
            (column.position, column.index, head) for column, head in zip(columns, heads, strict=True)
        )

    def elements(self, first: int, rows: Sequence[Sequence[str]]) -> list[bytes] | None:
        """The elements of ``rows``, numbered from ``first``; None where they are to be looked at one by one."""
        if self._closed or set(map(len, rows)) != {self._width}:
            return None
        columns = list(zip(*rows, strict=True))
        identifiers = _identifiers(columns[self._at], self._identifier)
        if identifiers is None:
            return None
        parts: list[Iterable[bytes]] = [identifiers, map(_encode_row_number, range(first, first + len(rows)))]
        most = 0
        taken: list[tuple[int, list[bytes]]] = []
        for place, index, head in self._columns:
            data = _encode_column(columns[place])
            if data is None:
                return None
            sizes = list(map(len, data))
            longest = max(sizes)
            if longest > _USUAL_BYTES or not min(sizes):
                return None
            most += len(head) + len(_SIZES[longest]) + longest
            parts += repeat(head), map(_SIZES.__getitem__, sizes), data
            taken.append((index, data))
        if self._rows is not None and not self._rows.fits(identifiers, taken):
            return None
        # While all values together are below the limit of one, none is above it.
        return list(map(b"".join, zip(*parts))) if most <= MAX_DATA_BYTES else None  # noqa: B905  # heads have no end


def _encode_empty(columns: Sequence[Column], plan: Plan) -> bytes:
    """The values of a row whose cells are all empty."""
    if plan.template is None:
        return encode_plain_values([(column.index, column.type, b"") for column in columns])
    return encode_data(plan.template.version, [(column.index, b"") for column in columns])


def _identifiers(cells: Sequence[str], reader: IdentifierReader) -> list[bytes] | None:
    """The normal forms of ordinary cells of the identifier column."""
    text = "\n".join(cells)
    lines = f"\n{text}\n"
    if lines.count("\n") != len(cells) + 1 or not text.isascii() or not text.replace("\n", "").isprintable():
        return None
    if reader.prefix is not None:
        # "+" may be part of a number in scientific notation; with a slash it may be a whole identifier.
        if any(sign in lines for sign in ("/", "+", "\n ", " \n", "\n\n")):
            return None
        identifiers = [reader.prefix + suffix for suffix in text.encode().split(b"\n")]
    else:
        head = cells[0].partition("/")[0] + "/"
        if reader.normal_head(head[:-1]) != head.encode():
            return None
        if lines.count("\n" + head) != len(cells) or f"\n{head}\n" in lines or " \n" in lines:
            return None
        identifiers = text.encode().split(b"\n")
    return identifiers if max(map(len, identifiers)) <= MAX_IDENTIFIER_BYTES else None


def _encode_column(cells: Sequence[str]) -> list[bytes] | None:
    """The cells of a column in UTF-8; None where one does not encode or has several lines."""
    try:
        data = "\n".join(cells).encode().split(b"\n")
    except UnicodeEncodeError:
        return None
    return data if len(data) == len(cells) else None
