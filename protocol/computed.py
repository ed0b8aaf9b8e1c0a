"""Computed text: data that is made of the identifier when it is asked for.

A text with fields in braces, so that a million records share one stored text::

    https://example.com/p/{suffix}

``{identifier}``, ``{prefix}`` and ``{suffix}`` stand for the identifier in normal form and its two parts, ``{counter}``
for the running number of a member of a series, and for nothing outside of one. ``{{`` and ``}}`` are braces. A text is
compiled once; filling it in is one join.
"""

from __future__ import annotations

import re
from enum import IntEnum
from operator import itemgetter
from typing import Final
from urllib.parse import quote_from_bytes

from protocol.errors import RecordError, Rule
from protocol.status import Status

MAX_COMPUTED_BYTES: Final = 1_024
"""Bytes of a computed text before it is filled in. An address in use has below 100."""

MAX_FIELDS: Final = 8
"""Fields in one text: with identifiers of 480 bytes, each byte written as ``%41``, it stays below 16,384 bytes, the
limit of a value's data."""


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"computed.{name}", Status.BAD_RECORD, en, zh)


UNKNOWN_FIELD: Final = _rule(
    "unknown-field",
    "'{{{field}}}' at character {position} is no field; there are {{identifier}}, {{prefix}}, {{suffix}} and, in a "
    "series, {{counter}}. Braces themselves are written twice",
    "第 {position} 个字符处的“{{{field}}}”不是可用的字段；可用字段为 {{identifier}}、{{prefix}}、{{suffix}}，"
    "以及序列中的 {{counter}}。花括号本身请写两遍",
)
UNBALANCED: Final = _rule(
    "unbalanced",
    "the brace at character {position} has no partner; a brace itself is written twice",
    "第 {position} 个字符处的花括号不成对；花括号本身请写两遍",
)
NO_COUNTER: Final = _rule(
    "no-counter",
    "only the members of a series have a {{counter}}",
    "只有序列中的标识才有 {{counter}}",
)
TOO_LONG: Final = _rule(
    "too-long",
    "the computed text has {length} bytes; at most {limit} are allowed",
    "计算文本长度为 {length} 字节，超过上限 {limit} 字节",
)
TOO_MANY_FIELDS: Final = _rule(
    "too-many-fields",
    "the computed text has {count} fields; at most {limit} are allowed",
    "计算文本有 {count} 个字段，超过上限 {limit} 个",
)
NOT_TEXT: Final = _rule("not-utf8", "the computed text cannot be written in UTF-8", "计算文本无法用 UTF-8 编码")


class Field(IntEnum):
    """What may stand in braces; the number is its place among what a text is filled in with."""

    IDENTIFIER = 0
    PREFIX = 1
    SUFFIX = 2
    COUNTER = 3


_FIELDS: Final = {field.name.lower(): field for field in Field}
_PIECE: Final = re.compile(r"[^{}]+|\{\{|\}\}|\{([^{}]*)\}|[{}]")


class ComputedText:
    """A compiled text. ``pieces`` are literals in UTF-8 and fields, ``fields`` the latter alone, in order."""

    __slots__ = ("_literals", "_pick", "_quoted", "fields", "pieces", "text")

    def __init__(self, text: str, *, series: bool = False, url: bool = False) -> None:
        """Compile ``text``; ``series`` allows ``{counter}``. In a ``url`` each field is written as RFC 3986 has it in
        a path: letters, digits, ``-._~`` and ``/`` as they are, any other byte as ``%`` and two hexadecimal digits.
        Raises :class:`RecordError`."""
        self.text = text
        pieces = _pieces(text)
        self.pieces: Final = tuple(pieces)
        self.fields: Final = tuple(piece for piece in pieces if isinstance(piece, Field))
        self._quoted = frozenset(map(int, self.fields)) if url else frozenset()
        if Field.COUNTER in self.fields and not series:
            raise RecordError(NO_COUNTER)
        if len(self.fields) > MAX_FIELDS:
            raise RecordError(TOO_MANY_FIELDS, count=len(self.fields), limit=MAX_FIELDS)
        # The join takes its parts out of one list: first the fields, behind them the literals.
        self._literals: list[bytes] = []
        places: list[int] = []
        for piece in pieces:
            if isinstance(piece, bytes):
                places.append(len(Field) + len(self._literals))
                self._literals.append(piece)
            else:
                places.append(int(piece))
        self._literals.append(b"")  # so that there are two places at least, for which itemgetter gives a tuple
        empty = len(Field) + len(self._literals) - 1
        self._pick = itemgetter(*places, empty, empty)

    def fill(self, identifier: bytes, prefix: bytes, suffix: bytes, counter: bytes = b"") -> bytes:
        """The data for an identifier in normal form, given with its parts in UTF-8."""
        parts = [identifier, prefix, suffix, counter]
        for field in self._quoted:
            parts[field] = quoted(parts[field])
        return b"".join(self._pick(parts + self._literals))


def quoted(part: bytes) -> bytes:
    """A part of an identifier as it is written in the path of an address."""
    # Serial numbers, the usual suffixes, have nothing to escape.
    return part if part.isalnum() else quote_from_bytes(part).encode()


def _pieces(text: str) -> list[bytes | Field]:
    """Literals in UTF-8 and fields, in order. Raises :class:`RecordError`."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise RecordError(NOT_TEXT) from None
    if length > MAX_COMPUTED_BYTES:
        raise RecordError(TOO_LONG, length=length, limit=MAX_COMPUTED_BYTES)
    pieces: list[bytes | Field] = []
    literal = ""
    for match in _PIECE.finditer(text):
        whole, name = match.group(0), match.group(1)
        if name is not None:
            field = _FIELDS.get(name)
            if field is None:
                raise RecordError(UNKNOWN_FIELD, field=name, position=match.start())
            if literal:
                pieces.append(literal.encode())
            literal = ""
            pieces.append(field)
        elif whole in ("{", "}"):
            raise RecordError(UNBALANCED, position=match.start())
        else:
            literal += whole[0] if whole in ("{{", "}}") else whole
    if literal:
        pieces.append(literal.encode())
    return pieces
