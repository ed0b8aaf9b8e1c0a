"""From the cells of a row to an identifier in normal form and the encoded values of its record.

The plan of the columns is compiled once into a function. It decides the ordinary row with a few calls into C, and
leaves everything else, empty cells and faults included, to a second function that looks at each cell: that one is
slower, and gives the same answer where both could.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from protocol.errors import InvalidInput, RecordError
from protocol.identifiers import normal
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES, MAX_RECORD_BYTES
from protocol.records import TOO_LARGE, encode_plain_values
from registry.importing import rules
from registry.importing.columns import Plan
from registry.importing.item_columns import FollowingRows
from registry.importing.sources import CUT, DIGITS_LOST, ERROR_CELL, unusable
from registry.urls import URL, count_odd

_SCIENTIFIC: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE]\+\d+")
"""How a spreadsheet shows a number that is too long for its cell: ``8.81E+13``."""

_OTHER_PREFIX: Final = re.compile(r"\d+(?:\.\d+)+/.")
"""The beginning of a whole identifier: dotted numbers before a slash."""

_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"
"""Characters without width, which copying from web pages leaves behind and ``str.strip`` does not know."""

_KNOWN_PREFIXES: Final = 4_096
"""Prefixes remembered as checked; a file rarely has more than one."""


class TableMapping:
    """The mapping of CSV and workbook rows; ``encoding`` is named to the person whose file has broken bytes."""

    def __init__(self, plan: Plan, header: Sequence[str], encoding: str) -> None:
        self.plan = plan
        self.width = len(header)
        self._encoding = encoding
        self._urls = [column.position for column in plan.columns if column.type == URL]
        self.identifier = IdentifierReader(plan, encoding)
        self._encode = row_encoder(plan)
        self.convert = self._compile()

    convert: Callable[[Sequence[str]], tuple[bytes, bytes]]
    """Identifier in normal form and encoded values of a row. Raises :class:`InvalidInput` with the reason for which
    the row is refused."""

    def shown(self, cells: Sequence[str]) -> str:
        """The identifier of a row as it stands there, for the report."""
        position = self.plan.identifier_position
        return plain(cells[position]) if position < len(cells) else ""

    def is_blank(self, cells: Sequence[str]) -> bool:
        """Whether a row is empty: such rows are passed over in silence."""
        return not any(cells)

    def odd_urls(self, rows: Sequence[Sequence[str]]) -> int:
        """How many cells of these rows are to be a URL and are none."""
        return sum(count_odd([cells[at] for cells in rows if len(cells) > at]) for at in self._urls)

    def _compile(self) -> Callable[[Sequence[str]], tuple[bytes, bytes]]:
        width, careful = self.width, self._convert_carefully
        at = self.plan.identifier_position
        columns = tuple((column.index, column.type, column.position) for column in self.plan.columns)
        identify = self.identifier.quick
        if self.plan.nameless or self.plan.template:
            return careful

        def convert(cells: Sequence[str]) -> tuple[bytes, bytes]:
            if len(cells) == width:
                identifier = identify(cells[at])
                if identifier is not None:
                    try:
                        data = [
                            (index, type_, cells[place].encode()) for index, type_, place in columns if cells[place]
                        ]
                    except UnicodeEncodeError:
                        return careful(cells)
                    values = encode_plain_values(data)
                    # While all values together are below the limit of one, none is above it.
                    if data and len(values) <= MAX_DATA_BYTES:
                        return identifier, values
            return careful(cells)

        return convert

    def _convert_carefully(self, cells: Sequence[str]) -> tuple[bytes, bytes]:
        for cell in cells[-1:]:
            if CUT in cell:
                raise _fault(cell, "", self._encoding)
        if len(cells) != self.width:
            raise InvalidInput(rules.CELL_COUNT, found=len(cells), expected=self.width)
        for position in self.plan.nameless:
            if cells[position]:
                raise InvalidInput(rules.BEYOND_HEADER, column=position + 1)
        identifier = self.identifier.careful(cells[self.plan.identifier_position])
        values = []
        for column in self.plan.columns:
            cell = cells[column.position]
            if cell:
                values.append((column.index, column.type, encode_cell(cell, column.header, self._encoding)))
        return identifier, self._encode(identifier, values)


class IdentifierReader:
    """Reads the identifier column, with or without the prefix of the options."""

    def __init__(self, plan: Plan, encoding: str) -> None:
        self._header = plan.identifier
        self._encoding = encoding
        self.prefix = None if plan.prefix is None else plan.prefix + b"/"
        self._known: dict[str, bytes] = {}
        self.quick: Callable[[str], bytes | None] = (
            self._compile_whole() if self.prefix is None else self._compile_suffix(self.prefix)
        )
        """The normal form of an ordinary cell, None for one that needs care."""

    def normal_head(self, head: str) -> bytes | None:
        """The normal form, with the slash, of a prefix that was met and checked before."""
        return self._known.get(head)

    def careful(self, cell: str) -> bytes:
        """The normal form of any cell. Raises :class:`InvalidInput`."""
        fault = unusable(cell, self._header, self._encoding)
        if fault is not None:
            raise fault
        if not cell:
            raise InvalidInput(rules.EMPTY_IDENTIFIER)
        if cell.strip().strip(_INVISIBLE) != cell:
            raise InvalidInput(rules.WHITE_SPACE)
        if _SCIENTIFIC.fullmatch(cell):
            raise InvalidInput(rules.SCIENTIFIC, text=cell)
        raw = encode_cell(cell, self._header, self._encoding)
        if self.prefix is None:
            if b"/" not in raw and len(raw) <= MAX_IDENTIFIER_BYTES:
                raise InvalidInput(rules.BARE_SUFFIX, text=cell)
            identifier = normal(raw)
            if len(self._known) < _KNOWN_PREFIXES:
                self._known[cell.partition("/")[0]] = identifier.partition(b"/")[0] + b"/"
            return identifier
        if raw[: len(self.prefix)].upper() == self.prefix:
            return normal(raw)  # the whole identifier, under the prefix that was to stand before it
        if _OTHER_PREFIX.match(cell):
            raise InvalidInput(rules.OTHER_PREFIX, text=cell, prefix=self.prefix[:-1].decode())
        return normal(self.prefix + raw)

    def _compile_whole(self) -> Callable[[str], bytes | None]:
        known, longest = self._known.get, MAX_IDENTIFIER_BYTES

        def quick(cell: str) -> bytes | None:
            head, _, tail = cell.partition("/")
            start = known(head)
            # ASCII and printable leaves letters, digits, punctuation and the space.
            if start and tail and cell.isascii() and tail.isprintable() and tail[-1] != " " and len(cell) <= longest:
                return start + tail.encode()
            return None

        return quick

    def _compile_suffix(self, prefix: bytes) -> Callable[[str], bytes | None]:
        longest = MAX_IDENTIFIER_BYTES - len(prefix)

        def quick(cell: str) -> bytes | None:
            ordinary = cell.isascii() and cell.isprintable() and cell.strip() == cell
            if ordinary and "/" not in cell and "+" not in cell and 0 < len(cell) <= longest:
                return prefix + cell.encode()
            return None

        return quick


def encode_cell(cell: str, column: str, encoding: str) -> bytes:
    """The bytes of one value's data. Raises :class:`InvalidInput`."""
    try:
        data = cell.encode()
    except UnicodeEncodeError:
        raise _fault(cell, column, encoding) from None
    if len(data) > MAX_DATA_BYTES:
        raise InvalidInput(rules.LONG_VALUE, column=column, length=len(data), limit=MAX_DATA_BYTES)
    return data


def encode_row(values: Sequence[tuple[int, str, bytes]]) -> bytes:
    """The bytes of a row's values, each of which is checked. Raises :class:`InvalidInput`."""
    if not values:
        raise InvalidInput(rules.NO_VALUE)
    encoded = encode_plain_values(values)
    if len(encoded) > MAX_RECORD_BYTES:
        raise RecordError(TOO_LARGE, length=len(encoded), limit=MAX_RECORD_BYTES)
    return encoded


def row_encoder(plan: Plan) -> Callable[[bytes, Sequence[tuple[int, str, bytes]]], bytes]:
    """What encodes the values of a row under its identifier, by the plan's template where it has one."""
    return (lambda _, values: encode_row(values)) if plan.template is None else FollowingRows(plan.template).encode


def plain(cell: str) -> str:
    """A cell for people: without marks, with U+FFFD for bytes that did not decode."""
    text = cell.rstrip(CUT + DIGITS_LOST + ERROR_CELL)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _fault(cell: str, column: str, encoding: str) -> InvalidInput:
    # Some decoders let other lone surrogates through; they are no text either.
    fault = unusable(cell, column, encoding)
    return fault or InvalidInput(rules.NOT_TEXT, column=column, byte="??", encoding=encoding.upper())
