"""Header, body and credential: what stands in a payload (RFC 3652, section 2.2)::

    payload    = header · body · credential (octets; empty where nobody vouches)
    header     = opcode u32 · response code u32 · flags u32 · site serial u16 · recursions u8 · reserved u8
                 · expiration u32 · body length u32

The body of a response begins with the digest of its request where ``Flag.RETURN_DIGEST`` is set.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.answers import Answer, Opaque, form
from protocol.handle.codes import REQUEST, Flag
from protocol.handle.credentials import Credential, encode_credential, read_credential
from protocol.handle.digests import Digest, encode_digest, read_digest
from protocol.handle.envelope import MAX_PAYLOAD_BYTES, TOO_LONG
from protocol.handle.fields import CUT_OFF, LEFT_OVER, Fields, octets, rule
from protocol.handle.requests import REQUESTS, Request

HEADER_BYTES: Final = 24

UNKNOWN_SERIAL: Final = 0xFFFF
"""The serial number of who does not know the site's."""

BAD_HEADER: Final = rule(
    "header",
    "the header has a number that does not fit its field: {reason}",
    "报文头有数字超出其字段的范围：{reason}",
)

_FORM: Final = Struct(">IIIHBBII")
_NO_CREDENTIAL: Final = bytes(4)


class Header(msgspec.Struct, frozen=True, gc=False):
    """``code`` is 0 in a request. ``site_serial`` says which site information the sender goes by; ``expiration`` is in
    seconds since 1970 UTC; ``recursions`` counts how often the message was handed on."""

    opcode: int
    code: int = REQUEST
    flags: int = 0
    site_serial: int = UNKNOWN_SERIAL
    recursions: int = 0
    expiration: int = 0

    def has(self, flag: Flag) -> bool:
        """Whether a flag is set."""
        return bool(self.flags & flag)

    @property
    def is_request(self) -> bool:
        """Whether something is asked, not answered."""
        return self.code == REQUEST


class Message(msgspec.Struct, frozen=True):
    """A message. ``digest`` is that of its request, in responses whose header has ``Flag.RETURN_DIGEST``."""

    header: Header
    body: Request | Answer
    digest: Digest | None = None
    credential: Credential | None = None


def read_header(payload: bytes) -> tuple[Header, int]:
    """The header and the length of the body. Raises :class:`MessageError` where the body is not there whole."""
    if len(payload) < HEADER_BYTES:
        raise MessageError(CUT_OFF, field="header", position=0)
    opcode, code, flags, serial, recursions, _, expiration, length = _FORM.unpack_from(payload)
    if HEADER_BYTES + length > len(payload):
        raise MessageError(CUT_OFF, field="body", position=HEADER_BYTES)
    return Header(opcode, code, flags, serial, recursions, expiration), length


def covered(payload: bytes) -> bytes:
    """Header and body as they came: what digests and credentials are made over. Raises :class:`MessageError`."""
    return payload[: HEADER_BYTES + read_header(payload)[1]]


def read_message(payload: bytes) -> Message:
    """The message in a payload that is neither encrypted nor compressed. Raises :class:`MessageError`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(TOO_LONG, length=len(payload), limit=MAX_PAYLOAD_BYTES)
    header, length = read_header(payload)
    end = HEADER_BYTES + length
    fields = Fields(payload, HEADER_BYTES, end)
    if header.code == REQUEST:
        return Message(header, REQUESTS.get(header.opcode, Opaque).read(fields), None, _credential(payload, end))
    digest = read_digest(fields) if header.flags & Flag.RETURN_DIGEST else None
    return Message(header, form(header.opcode, header.code).read(fields), digest, _credential(payload, end))


def _credential(payload: bytes, at: int) -> Credential | None:
    # Some clients leave out the four zero bytes that say there is none.
    if at == len(payload) or payload[at:] == _NO_CREDENTIAL:
        return None
    fields = Fields(payload, at)
    data = fields.octets("credential")
    if fields.left:
        raise MessageError(LEFT_OVER, field="message", length=fields.left)
    return read_credential(Fields(data))


def encode_message(message: Message) -> bytes:
    """The payload. Raises :class:`MessageError` for what does not fit, ``ValueError`` for a body or digest that does
    not go with the header."""
    credential = octets(encode_credential(message.credential)) if message.credential is not None else _NO_CREDENTIAL
    payload = encode_covered(message) + credential
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(TOO_LONG, length=len(payload), limit=MAX_PAYLOAD_BYTES)
    return payload


def encode_covered(message: Message) -> bytes:
    """Header and body alone: what a digest or credential is to be made over. Raises as :func:`encode_message`."""
    header, digest = message.header, message.digest
    expected = REQUESTS.get(header.opcode, Opaque) if header.is_request else form(header.opcode, header.code)
    if type(message.body) is not expected:
        raise ValueError(f"{type(message.body).__name__} is no body for {header}")
    if (digest is not None) != (not header.is_request and header.has(Flag.RETURN_DIGEST)):
        raise ValueError(f"a response has a digest if and only if its flag is set: {header}")
    body = message.body.encode()
    if digest is not None:
        body = encode_digest(digest) + body
    try:
        head = _FORM.pack(
            header.opcode, header.code, header.flags,
            header.site_serial, header.recursions, 0, header.expiration, len(body),
        )  # fmt: skip
    except struct_error as error:
        raise MessageError(BAD_HEADER, reason=str(error)) from None
    return head + body
