"""The bodies of responses (RFC 3652, sections 2.2.3 and 3.2 to 3.6), behind the digest of the request.

Which form a body has follows from response code and operation. The response to the answer of a challenge has the
operation of the request that was challenged.
"""

from __future__ import annotations

from typing import Final, Self

import msgspec

from protocol.handle import fields as wire
from protocol.handle.codes import Opcode, ResponseCode
from protocol.handle.fields import Fields
from protocol.handle.values import HandleValue, encode_values, read_values


class Opaque(msgspec.Struct, frozen=True):
    """The body of an operation that is not taken apart here: sessions, homing, replication, whatever comes later."""

    data: bytes

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.rest())

    def encode(self) -> bytes:
        return self.data


class Resolved(msgspec.Struct, frozen=True):
    """The values that were asked for, as the handle was written in the request."""

    handle: str
    values: tuple[HandleValue, ...]

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle"), read_values(fields))

    def encode(self) -> bytes:
        return wire.text(self.handle) + encode_values(self.values)


class SiteTold(msgspec.Struct, frozen=True):
    """The server's site information: data of an ``HS_SITE`` value, which ``sites.read_site`` takes apart."""

    site: bytes

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.rest())

    def encode(self) -> bytes:
        return self.site


class Created(msgspec.Struct, frozen=True):
    """The handle that is there now: with ``Flag.MINT`` the client learns its name by it. None from old servers."""

    handle: str | None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle") if fields.left else None)

    def encode(self) -> bytes:
        return b"" if self.handle is None else wire.text(self.handle)


class Done(msgspec.Struct, frozen=True):
    """It was done; there is nothing to tell."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls()

    def encode(self) -> bytes:
        return b""


class Listed(msgspec.Struct, frozen=True):
    """Handles below the prefix; with ``Flag.CONTINUED`` more follow in a further message."""

    handles: tuple[str, ...]

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.texts("handles"))

    def encode(self) -> bytes:
        return wire.texts(self.handles)


class Challenge(msgspec.Struct, frozen=True):
    """Prove who you are, over this nonce and the digest that stands before it."""

    nonce: bytes

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.octets("nonce"))

    def encode(self) -> bytes:
        return wire.octets(self.nonce)


class Referral(msgspec.Struct, frozen=True):
    """Ask elsewhere: at the services of this handle (``0.NA/88.118.1``), or at those of the ``HS_SITE`` values."""

    handle: str
    values: tuple[HandleValue, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        handle = fields.text("handle")
        return cls(handle, read_values(fields) if fields.left else ())

    def encode(self) -> bytes:
        return wire.text(self.handle) + (encode_values(self.values) if self.values else b"")


class Failure(msgspec.Struct, frozen=True):
    """It was not done; a sentence for people, or none."""

    message: str = ""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("message") if fields.left else "")

    def encode(self) -> bytes:
        return wire.text(self.message)


Answer = Opaque | Resolved | SiteTold | Created | Done | Listed | Challenge | Referral | Failure

SUCCESSES: Final[dict[int, type[Answer]]] = {
    Opcode.RESOLVE: Resolved,
    Opcode.SITE_INFO: SiteTold,
    Opcode.CREATE: Created,
    Opcode.DELETE: Done,
    Opcode.ADD_VALUES: Done,
    Opcode.REMOVE_VALUES: Done,
    Opcode.MODIFY_VALUES: Done,
    Opcode.LIST: Listed,
    Opcode.ANSWER_CHALLENGE: Done,
    Opcode.LOG_IN: Done,
}
"""Bodies of responses with the code 1, by operation."""

_OTHERS: Final[dict[int, type[Answer]]] = {
    ResponseCode.AUTHENTICATION_NEEDED: Challenge,
    ResponseCode.SERVICE_REFERRAL: Referral,
    ResponseCode.PREFIX_REFERRAL: Referral,
}


def form(opcode: int, code: int) -> type[Answer]:
    """The form of a response's body."""
    if code == ResponseCode.SUCCESS:
        return SUCCESSES.get(opcode, Opaque)
    return _OTHERS.get(code, Failure)
