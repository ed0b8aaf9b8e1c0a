"""Who administers handles: data of ``HS_ADMIN`` and ``HS_VLIST`` values (RFC 3651, section 3.2)::

HS_ADMIN = rights u16 · administrator (reference)
HS_VLIST = references (count u32, reference ...)
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from protocol.handle.fields import Fields, many, u16
from protocol.handle.values import LEAST_REFERENCE_BYTES, Reference, encode_reference, read_reference


class AdminRight(IntEnum):
    """What an administrator may do."""

    CREATE_HANDLE = 0x0001
    DELETE_HANDLE = 0x0002
    ADD_PREFIX = 0x0004
    DELETE_PREFIX = 0x0008
    MODIFY_VALUE = 0x0010
    REMOVE_VALUE = 0x0020
    ADD_VALUE = 0x0040
    MODIFY_ADMIN = 0x0080
    REMOVE_ADMIN = 0x0100
    ADD_ADMIN = 0x0200
    READ_VALUE = 0x0400
    LIST_HANDLES = 0x0800


ALL_RIGHTS: Final = 0x0FFF


class Administrator(msgspec.Struct, frozen=True):
    """An identity and its rights, as bits. ``identity`` is a key's value, or an ``HS_VLIST`` of such: a group."""

    rights: int
    identity: Reference

    def may(self, right: AdminRight) -> bool:
        """Whether it has a right."""
        return bool(self.rights & right)


def read_administrator(data: bytes) -> Administrator:
    """The data of an ``HS_ADMIN`` value. Raises :class:`MessageError`."""
    fields = Fields(data)
    administrator = Administrator(fields.u16("rights"), read_reference(fields))
    fields.finish("HS_ADMIN")
    return administrator


def encode_administrator(administrator: Administrator) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    return u16(administrator.rights) + encode_reference(administrator.identity)


def read_references(data: bytes) -> tuple[Reference, ...]:
    """The data of an ``HS_VLIST`` value: those who belong to a group. Raises :class:`MessageError`."""
    fields = Fields(data)
    references = fields.many(read_reference, LEAST_REFERENCE_BYTES, "references")
    fields.finish("HS_VLIST")
    return references


def encode_references(references: tuple[Reference, ...]) -> bytes:
    """Its bytes."""
    return many(map(encode_reference, references))
