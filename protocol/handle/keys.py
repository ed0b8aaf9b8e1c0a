"""Public keys: data of ``HS_PUBKEY`` values, in the form of a site's key (RFC 3651, section 3.2.2)::

    key         = kind text · options u16 · what the kind has
    RSA_PUB_KEY = exponent octets · modulus octets

Numbers are written as Java writes them, big endian with a zero byte in front where the highest bit is set, and read as
unsigned. The protocol has no name for Ed25519; keys of kinds that are not taken apart (``DSA_PUB_KEY``, ``DH_PUB_KEY``,
``SM2_PUB_KEY``) keep their bytes. The data of an ``HS_SECKEY`` value is the secret itself, and needs no form.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.fields import Fields, octets, rule, text, u16

RSA: Final = "RSA_PUB_KEY"

MAX_NUMBER_BYTES: Final = 2_049
"""Bytes of a key's number: 16,384 bits, beyond which a check would take longer than it is worth."""

BAD_KEY: Final = rule(
    "key",
    "the key's {what} has {length} bytes; a number from 1 to {limit} bytes that is not zero is wanted",
    "密钥的 {what} 长度为 {length} 字节，应为 1 至 {limit} 字节的非零数",
)


class RSAKey(msgspec.Struct, frozen=True):
    """An RSA public key."""

    modulus: int
    exponent: int
    options: int = 0


class OtherKey(msgspec.Struct, frozen=True):
    """A key of a kind that is not taken apart."""

    kind: str
    data: bytes
    options: int = 0


def read_key(data: bytes) -> RSAKey | OtherKey:
    """The data of an ``HS_PUBKEY`` value. Raises :class:`MessageError`."""
    fields = Fields(data)
    kind, options = fields.text("kind"), fields.u16("options")
    if kind != RSA:
        return OtherKey(kind, fields.rest(), options)
    exponent = _read_number(fields, "exponent")
    key = RSAKey(_read_number(fields, "modulus"), exponent, options)
    fields.finish("HS_PUBKEY")
    return key


def encode_key(key: RSAKey | OtherKey) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    if isinstance(key, OtherKey):
        return text(key.kind) + u16(key.options) + key.data
    numbers = _encode_number(key.exponent, "exponent") + _encode_number(key.modulus, "modulus")
    return text(RSA) + u16(key.options) + numbers


def _read_number(fields: Fields, what: str) -> int:
    data = fields.octets(what)
    if len(data) > MAX_NUMBER_BYTES or not any(data):
        raise MessageError(BAD_KEY, what=what, length=len(data), limit=MAX_NUMBER_BYTES)
    return int.from_bytes(data, "big")


def _encode_number(number: int, what: str) -> bytes:
    length = number.bit_length() // 8 + 1
    if number <= 0 or length > MAX_NUMBER_BYTES:
        raise MessageError(BAD_KEY, what=what, length=length, limit=MAX_NUMBER_BYTES)
    return octets(number.to_bytes(length, "big"))
