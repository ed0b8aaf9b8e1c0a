"""Signed statements: data of ``HS_SIGNATURE`` and ``HS_CERT`` values, a compact JWS (RFC 7515, section 3.1)::

    header "." payload "." signature        each base64url without padding

The bytes only: what the payload claims and whether the signature holds is not decided here.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.fields import rule

NOT_SIGNED: Final = rule(
    "jws",
    "the data is no compact JWS: {reason}",
    "数据不是合法的 JWS 紧凑格式：{reason_zh}",
)

_PARTS: Final = 3


class Signed(msgspec.Struct, frozen=True):
    """Header and payload as JSON bytes, and the signature."""

    header: bytes
    payload: bytes
    signature: bytes

    @property
    def covered(self) -> bytes:
        """What the signature is over."""
        return _base64url(self.header) + b"." + _base64url(self.payload)


def read_signed(data: bytes) -> Signed:
    """The parts. Raises :class:`MessageError`, also where they could be written otherwise: the same parts, the same
    bytes."""
    parts = data.split(b".", _PARTS)
    if len(parts) != _PARTS:
        raise MessageError(NOT_SIGNED, reason="it has not three parts", reason_zh="应有三个部分")
    try:
        signed = Signed(*(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in parts))
    except (binascii.Error, ValueError):
        signed = None
    if signed is None or encode_signed(signed) != data:
        raise MessageError(NOT_SIGNED, reason="a part is not base64url", reason_zh="有部分不是 base64url 编码")
    return signed


def encode_signed(signed: Signed) -> bytes:
    """The compact form."""
    return signed.covered + b"." + _base64url(signed.signature)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
