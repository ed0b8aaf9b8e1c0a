"""The envelope: 20 bytes in front of every message, and over UDP of every fragment of one (RFC 3652, section 2.2.1)::

    major u8 · minor u8 · flags u8 · suggested minor u8 · session u32 · request u32 · sequence u32 · length u32

``flags`` has, besides three bits that say what became of the message, the suggested major version in its two lowest
bits. ``length`` counts what follows: header, body and credential of the whole message, together the *payload*.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from struct import error as struct_error
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.fields import CUT_OFF, rule
from protocol.status import Status

ENVELOPE_BYTES: Final = 20

MAX_PAYLOAD_BYTES: Final = 262_144
"""Bytes of one payload: what the reference implementation takes, and so the most that a client sends."""

MAJORS: Final = frozenset({2, 3})
"""Major versions that have this form: 2 of the Handle System, 3 of DO-IRP, the same under another name."""

VERSION: Final = (2, 11)
"""The version that we speak."""

NOT_OUR_VERSION: Final = rule(
    "version",
    "protocol version {major}.{minor} is not spoken here; use 2.11",
    "不支持协议版本 {major}.{minor}，请使用 2.11",
    Status.UNSUPPORTED_VERSION,
)
TOO_LONG: Final = rule(
    "too-long",
    "the message has {length} bytes; at most {limit} are allowed",
    "报文长度为 {length} 字节，超过上限 {limit} 字节",
    Status.TOO_LARGE,
)
NOT_PLAIN: Final = rule(
    "not-plain",
    "the message is encrypted or compressed, which is not supported here; send it plain",
    "报文已加密或压缩，本服务不支持，请以明文发送",
    Status.UNKNOWN_OPERATION,
)

_FORM: Final = Struct(">BBBBIIII")
_SUGGESTED_MAJOR: Final = 0x03


class EnvelopeFlag(IntEnum):
    """What became of the message on its way."""

    COMPRESSED = 0x80
    ENCRYPTED = 0x40
    FRAGMENT = 0x20
    """RFC 3652 calls it TC, truncated: the message goes on in other datagrams."""


_FLAGS: Final = EnvelopeFlag.COMPRESSED | EnvelopeFlag.ENCRYPTED | EnvelopeFlag.FRAGMENT


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """``request`` is chosen by the client and comes back with the response; ``sequence`` is the place of a fragment,
    from 0; ``session`` is 0 outside of any."""

    session: int
    request: int
    length: int
    sequence: int = 0
    flags: int = 0
    major: int = VERSION[0]
    minor: int = VERSION[1]
    suggested_major: int = VERSION[0]
    suggested_minor: int = VERSION[1]

    @property
    def is_fragment(self) -> bool:
        """Whether the message is spread over several datagrams."""
        return bool(self.flags & EnvelopeFlag.FRAGMENT)

    def require_plain(self) -> None:
        """Raises :class:`MessageError` where the payload is encrypted or compressed, and so cannot be read."""
        if self.flags & (EnvelopeFlag.COMPRESSED | EnvelopeFlag.ENCRYPTED):
            raise MessageError(NOT_PLAIN)


def read_envelope(data: bytes) -> Envelope:
    """The envelope at the beginning of ``data``. Raises :class:`MessageError`."""
    if len(data) < ENVELOPE_BYTES:
        raise MessageError(CUT_OFF, field="envelope", position=0)
    major, minor, flags, suggested_minor, session, request, sequence, length = _FORM.unpack_from(data)
    if major not in MAJORS:
        raise MessageError(NOT_OUR_VERSION, major=major, minor=minor)
    if length > MAX_PAYLOAD_BYTES:
        raise MessageError(TOO_LONG, length=length, limit=MAX_PAYLOAD_BYTES)
    return Envelope(
        session, request, length, sequence, flags & _FLAGS, major, minor, flags & _SUGGESTED_MAJOR, suggested_minor
    )


def encode_envelope(envelope: Envelope) -> bytes:
    """Its 20 bytes. Raises :class:`MessageError` for a length above the limit, ``ValueError`` for what has no form."""
    if envelope.length > MAX_PAYLOAD_BYTES:
        raise MessageError(TOO_LONG, length=envelope.length, limit=MAX_PAYLOAD_BYTES)
    if envelope.suggested_major & ~_SUGGESTED_MAJOR or envelope.flags & ~_FLAGS:
        raise ValueError(f"no such flags or suggested version: {envelope}")
    try:
        return _FORM.pack(
            envelope.major, envelope.minor, envelope.flags | envelope.suggested_major, envelope.suggested_minor,
            envelope.session, envelope.request, envelope.sequence, envelope.length,
        )  # fmt: skip
    except struct_error as error:
        raise ValueError(f"{error}: {envelope}") from None


def cut(stream: bytes) -> tuple[Envelope, bytes] | None:
    """The first message of a TCP stream: its envelope and payload, ``ENVELOPE_BYTES + envelope.length`` bytes together.

    None as long as it is not there whole. Raises :class:`MessageError` as soon as the envelope is no good: the stream
    cannot be read any further.
    """
    if len(stream) < ENVELOPE_BYTES:
        return None
    envelope = read_envelope(stream)
    end = ENVELOPE_BYTES + envelope.length
    return (envelope, stream[ENVELOPE_BYTES:end]) if len(stream) >= end else None
