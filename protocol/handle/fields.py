"""Numbers, octets and text on the wire of the Handle protocol (RFC 3652, section 2.1).

Everything is big endian; octets and text have their length before them in four bytes; text is UTF-8. A count that
announces more than the bytes that follow could hold is refused before anything is made, so a decoder's memory stays in
proportion to what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from struct import error as struct_error
from typing import Final, TypeVar

from protocol.errors import MessageError, Rule
from protocol.status import Status


def rule(name: str, en: str, zh: str, status: Status = Status.BAD_REQUEST) -> Rule:
    """A rule of this room."""
    return Rule(f"handle.{name}", status, en, zh)


CUT_OFF: Final = rule(
    "cut-off",
    "the bytes end within '{field}', which begins at byte {position}; send the message whole",
    "字节在“{field}”（始于第 {position} 字节）处中断，请发送完整的报文",
)
NOT_TEXT: Final = rule(
    "not-text",
    "'{field}' at byte {position} is not UTF-8; text of this protocol is",
    "第 {position} 字节处的“{field}”不是 UTF-8 文本，本协议的文本须为 UTF-8",
)
TOO_MANY: Final = rule(
    "too-many",
    "{count} of '{field}' are announced, and the bytes that follow can hold {most}; count them again",
    "声明有 {count} 个“{field}”，其后的字节至多容纳 {most} 个，请核对数量",
)
LEFT_OVER: Final = rule(
    "left-over",
    "{length} bytes are left over behind the end of '{field}'; leave them out",
    "“{field}”之后多出 {length} 字节，请去掉",
)
OUT_OF_RANGE: Final = rule(
    "out-of-range",
    "{number} does not fit in {bits} bits; this protocol has no room for it",
    "{number} 无法用 {bits} 位表示，本协议容纳不下",
)
NOT_ENCODABLE: Final = rule(
    "not-encodable",
    "the text has a lone surrogate at character {position}, which UTF-8 does not have; leave it out",
    "文本第 {position} 个字符是孤立的代理项，无法用 UTF-8 表示，请去掉",
)

Item = TypeVar("Item")

_U8: Final = Struct(">B")
_U16: Final = Struct(">H")
_U32: Final = Struct(">I")

WORD_BYTES: Final = 4
"""Bytes of a count, a length and an index: the least that any field of variable length takes."""


class Fields:
    """A reader over bytes, which keeps its place. Every method raises :class:`MessageError` and names the field."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = at
        self._end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return self._end - self._at

    def _number(self, form: Struct, field: str) -> int:
        at = self._at
        if at + form.size > self._end:
            raise MessageError(CUT_OFF, field=field, position=at)
        self._at = at + form.size
        number: int = form.unpack_from(self._data, at)[0]
        return number

    def u8(self, field: str) -> int:
        """One byte."""
        return self._number(_U8, field)

    def u16(self, field: str) -> int:
        """Two bytes."""
        return self._number(_U16, field)

    def u32(self, field: str) -> int:
        """Four bytes."""
        return self._number(_U32, field)

    def exactly(self, length: int, field: str) -> bytes:
        """So many bytes."""
        at = self._at
        if at + length > self._end:
            raise MessageError(CUT_OFF, field=field, position=at)
        self._at = at + length
        return self._data[at : at + length]

    def octets(self, field: str) -> bytes:
        """A length and that many bytes."""
        return self.exactly(self.u32(field), field)

    def text(self, field: str) -> str:
        """A length and that many bytes of UTF-8."""
        at = self._at
        try:
            return self.octets(field).decode()
        except UnicodeDecodeError:
            raise MessageError(NOT_TEXT, field=field, position=at) from None

    def many(self, read: Callable[[Fields], Item], least: int, field: str) -> tuple[Item, ...]:
        """A count and that many items, of which each takes ``least`` bytes at least."""
        count = self.u32(field)
        if count * least > self.left:
            raise MessageError(TOO_MANY, field=field, count=count, most=self.left // least)
        return tuple([read(self) for _ in range(count)])

    def indexes(self, field: str) -> tuple[int, ...]:
        """A count and that many numbers of four bytes."""
        return self.many(lambda fields: fields.u32(field), WORD_BYTES, field)

    def texts(self, field: str) -> tuple[str, ...]:
        """A count and that many texts."""
        return self.many(lambda fields: fields.text(field), WORD_BYTES, field)

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.exactly(self.left, "")

    def finish(self, what: str) -> None:
        """Nothing may be left."""
        if self.left:
            raise MessageError(LEFT_OVER, field=what, length=self.left)


def _packed(form: Struct, number: int) -> bytes:
    try:
        return form.pack(number)
    except struct_error:
        raise MessageError(OUT_OF_RANGE, number=number, bits=8 * form.size) from None


def u8(number: int) -> bytes:
    """One byte. Raises :class:`MessageError`, as the others do."""
    return _packed(_U8, number)


def u16(number: int) -> bytes:
    """Two bytes."""
    return _packed(_U16, number)


def u32(number: int) -> bytes:
    """Four bytes."""
    return _packed(_U32, number)


def octets(data: bytes) -> bytes:
    """A length and the bytes."""
    return _packed(_U32, len(data)) + data


def utf8(characters: str) -> bytes:
    """The text alone."""
    try:
        return characters.encode()
    except UnicodeEncodeError as error:
        raise MessageError(NOT_ENCODABLE, position=error.start) from None


def text(characters: str) -> bytes:
    """A length and the text."""
    return octets(utf8(characters))


def many(items: Iterable[bytes]) -> bytes:
    """A count and the items."""
    packed = list(items)
    return u32(len(packed)) + b"".join(packed)


def indexes(numbers: Iterable[int]) -> bytes:
    """A count and numbers of four bytes each."""
    return many(map(u32, numbers))


def texts(lines: Iterable[str]) -> bytes:
    """A count and the texts."""
    return many(map(text, lines))
