"""Values of a handle, and references to them (RFC 3651, section 3.1), as messages carry them::

value     = index u32 · timestamp u32 · ttl kind u8 · ttl u32 · permissions u8 · type text · data octets
            · references (count u32, reference ...)
reference = handle text · index u32
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from struct import error as struct_error
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.fields import Fields, many, octets, rule, text, u32

DEFAULT_TTL_SECONDS: Final = 86_400
"""One day (RFC 3651, section 3.1)."""

DEFAULT_PERMISSIONS: Final = 0b1110
"""Administrators read and write, everybody reads (RFC 3651, section 3.1; the bits are ``records.Permission``)."""

BAD_TTL_KIND: Final = rule(
    "ttl-kind",
    "the value with index {index} has a time to live of kind {kind}; 0 is relative, 1 absolute",
    "索引为 {index} 的值的 TTL 类型为 {kind}，应为 0（相对）或 1（绝对）",
)
BAD_VALUE: Final = rule(
    "value",
    "the value with index {index} has a number that does not fit its field: {reason}",
    "索引为 {index} 的值有数字超出其字段的范围：{reason}",
)

_HEAD: Final = Struct(">IIBIB")
_PERMISSIONS: Final = 0x0F

LEAST_REFERENCE_BYTES: Final = 8
LEAST_VALUE_BYTES: Final = _HEAD.size + 12
"""Bytes of a value without type, data and references."""


class TTLKind(IntEnum):
    """What a time to live counts."""

    RELATIVE = 0
    """Seconds from when it was answered."""
    ABSOLUTE = 1
    """The second since 1970 UTC at which it ends."""


class Reference(msgspec.Struct, frozen=True):
    """A value of a handle by its index: an identity, ``300:88.111.1/user``, or a value's source. Index 0 is any."""

    handle: str
    index: int

    def __str__(self) -> str:
        return f"{self.index}:{self.handle}"


class HandleValue(msgspec.Struct, frozen=True):
    """One value. ``timestamp`` is in seconds since 1970 UTC, 0 where the server is to set it."""

    index: int
    type: str
    data: bytes
    ttl: int = DEFAULT_TTL_SECONDS
    ttl_kind: TTLKind = TTLKind.RELATIVE
    timestamp: int = 0
    permissions: int = DEFAULT_PERMISSIONS
    references: tuple[Reference, ...] = ()


def read_reference(fields: Fields) -> Reference:
    """A reference. Raises :class:`MessageError`."""
    return Reference(fields.text("handle"), fields.u32("index"))


def encode_reference(reference: Reference) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    return text(reference.handle) + u32(reference.index)


_KINDS: Final = (TTLKind.RELATIVE, TTLKind.ABSOLUTE)


def read_value(fields: Fields) -> HandleValue:
    """A value. Bits of ``permissions`` that have no meaning are left out. Raises :class:`MessageError`."""
    index, timestamp, kind, ttl, permissions = _HEAD.unpack(fields.exactly(_HEAD.size, "value"))
    if kind >= len(_KINDS):
        raise MessageError(BAD_TTL_KIND, index=index, kind=kind)
    type_, data = fields.text("type"), fields.octets("data")
    references = fields.many(read_reference, LEAST_REFERENCE_BYTES, "references")
    return HandleValue(index, type_, data, ttl, _KINDS[kind], timestamp, permissions & _PERMISSIONS, references)


def encode_value(value: HandleValue) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    try:
        head = _HEAD.pack(value.index, value.timestamp, value.ttl_kind, value.ttl, value.permissions & _PERMISSIONS)
    except struct_error as error:
        raise MessageError(BAD_VALUE, index=value.index, reason=str(error)) from None
    return b"".join((head, text(value.type), octets(value.data), many(map(encode_reference, value.references))))


def read_values(fields: Fields) -> tuple[HandleValue, ...]:
    """A count and that many values."""
    return fields.many(read_value, LEAST_VALUE_BYTES, "values")


def encode_values(values: tuple[HandleValue, ...]) -> bytes:
    """A count and the values."""
    return many(map(encode_value, values))
