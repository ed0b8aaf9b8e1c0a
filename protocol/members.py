"""What the members of a series answer: bodies made of the one that the series keeps.

Computed text in the kept values (``computed``) is filled in for each member. As all members of a series are alike but
for the counter, which has a fixed width, even the lengths in a body are the same in all: the body is worked out once,
with gaps, and a member's is one join.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec

from protocol.computed import ComputedText, Field, quoted
from protocol.kept import Data
from protocol.records import (
    NO_VALUES_BYTES,
    Head,
    State,
    Value,
    check_values,
    decode_body,
    encode_body,
    encode_values,
    without_defaults,
)
from protocol.series import Series
from protocol.templates import Template

URL: Final = "URL"
"""Type of the values whose computed text is an address in any case; other text is one where it begins like one."""

_encode = msgspec.msgpack.Encoder().encode


class Gap(IntEnum):
    """What stands in a gap: the member's counter, or that with its check digit. The number is its place among the
    fillings."""

    COUNTER = 0
    CHECKED = 1


Part = bytes | Gap


class Members:
    """The bodies of a series' members. ``kept`` is the series' own: version, state and time are those of every member
    that has no record of its own. Raises :class:`~protocol.errors.RecordError` where its values cannot be filled in."""

    __slots__ = ("_counter", "_public", "_whole", "series", "state")

    def __init__(self, series: Series, kept: Head) -> None:
        self.series = series
        self.state = kept.state
        values = check_values(kept.values) if kept.state is not State.WITHDRAWN else []
        begin = encode_body(kept.version, kept.state, kept.time, b"")
        self._counter = (
            len(series.head),
            len(series.head) + series.width,
            len(series.head) + series.width + series.checked,
        )
        self._whole = _body(series, begin, values)
        self._public = _body(series, begin, [value for value in values if value.public])

    @property
    def active(self) -> bool:
        """Whether the members answer."""
        return self.state is State.ACTIVE

    def whole(self, suffix: bytes) -> bytes:
        """The body of a member, restricted values included."""
        return self._join(self._whole, suffix)

    def public(self, suffix: bytes) -> bytes:
        """The body of an active member that anybody may see."""
        return self._join(self._public, suffix)

    def _join(self, parts: list[Part], suffix: bytes) -> bytes:
        if len(parts) == 1:
            return parts[0]  # type: ignore[return-value]  # a body begins with what is no gap
        begin, end, behind = self._counter
        fillings = (suffix[begin:end], suffix[begin:behind])
        return b"".join([part if isinstance(part, bytes) else fillings[part] for part in parts])


def check_kept(series: Series, values: bytes) -> list[Value]:
    """Check the values that a series is to keep, by those of its first member: filled in, they must still be a record.
    Raises :class:`~protocol.errors.RecordError`."""
    kept = check_values(values)
    members = Members(series, Head(1, State.ACTIVE, 0, values))
    check_values(members.whole(series.member(0))[len(encode_body(1, State.ACTIVE, 0, b"")) :])
    return kept


def lay_out(template: Template, data: Data) -> bytes:
    """The encoded values that a series keeps whose members follow a template: types, times and rights are the
    template's, its computed text and the data stay to be filled in. Raises :class:`~protocol.errors.RecordError`."""
    given = dict(data)
    values = [
        msgspec.structs.replace(
            item.value, data=item.computed.encode() if item.computed else given[item.index], readers=item.readers
        )
        for item in template.items
        if item.computed or item.index in given
    ]
    return encode_values(values)


def first_member(series: Series, data: Data) -> list[tuple[int, bytes]]:
    """What the data of a series come to for its first member, to be held against a template. Raises
    :class:`~protocol.errors.RecordError`."""
    values = [Value(index, "DATA", one) for index, one in data]
    whole = Members(series, Head(1, State.ACTIVE, 0, encode_values(values))).whole(series.member(0))
    return [(value.index, value.data) for value in decode_body(whole).values]


def _body(series: Series, begin: bytes, values: list[Value]) -> list[Part]:
    parts: list[Part] = [begin, _encode([()] * len(values))[: _head_length(len(values))] if values else NO_VALUES_BYTES]
    for value in values:
        parts += _value(series, value)
    return _merged(parts)


def _value(series: Series, value: Value) -> list[Part]:
    """A value in its canonical encoding, with gaps in its data."""
    index, type_, _, *rest = without_defaults(value)
    data = _data(series, value)
    length = sum(_gap_length(series, part) if isinstance(part, Gap) else len(part) for part in data)
    header = _encode(bytes(length))[: -length or None]
    begin = bytes((0x90 + 3 + len(rest),)) + _encode(index) + _encode(type_) + header
    return [begin, *data, b"".join(map(_encode, rest))]


def _data(series: Series, value: Value) -> list[Part]:
    """The data of a value: text with braces is computed, anything else stays as it is."""
    if b"{" not in value.data and b"}" not in value.data:
        return [value.data]
    try:
        text = value.data.decode()
    except UnicodeDecodeError:
        return [value.data]
    url = _is_address(value.type, text)
    parts: list[Part] = []
    for piece in ComputedText(text, series=True, url=url).pieces:
        parts += [piece] if isinstance(piece, bytes) else _field(series, piece, url)
    return parts


def _is_address(type_: str, text: str) -> bool:
    return type_ == URL or "://" in text.partition("{")[0]


def _field(series: Series, field: Field, url: bool) -> list[Part]:
    prefix, head, tail = series.prefix.encode(), series.head, series.tail
    if url:
        prefix, head, tail = map(quoted, (prefix, head, tail))
    if field is Field.PREFIX:
        return [prefix]
    if field is Field.COUNTER:
        return [Gap.COUNTER]
    begin = prefix + b"/" + head if field is Field.IDENTIFIER else head
    return [begin, Gap.CHECKED, tail]


def _gap_length(series: Series, gap: Gap) -> int:
    return series.width + (series.checked if gap is Gap.CHECKED else 0)


def _head_length(count: int) -> int:
    """Bytes of the head of a MessagePack array."""
    return 1 if count < 16 else 3 if count < 1 << 16 else 5


def _merged(parts: Iterable[Part]) -> list[Part]:
    """The same with no two byte strings side by side."""
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return merged
