"""The bodies of requests (RFC 3652, sections 3.2 to 3.6). Each reads itself from fields and encodes itself.

Bytes behind the last field are passed over, as the reference server does: later versions of the protocol append fields.
"""

from __future__ import annotations

from typing import Final, Self

import msgspec

from protocol.handle import fields as wire
from protocol.handle.codes import Opcode
from protocol.handle.fields import Fields
from protocol.handle.values import HandleValue, Reference, encode_reference, encode_values, read_reference, read_values


class Resolve(msgspec.Struct, frozen=True):
    """The values of a handle: those with one of the indexes or of the types, all where neither is named."""

    handle: str
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle"), fields.indexes("indexes"), fields.texts("types"))

    def encode(self) -> bytes:
        return wire.text(self.handle) + wire.indexes(self.indexes) + wire.texts(self.types)


class _OfHandle(msgspec.Struct, frozen=True):
    handle: str

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle"))

    def encode(self) -> bytes:
        return wire.text(self.handle)


class AskSite(_OfHandle, frozen=True):
    """The site information of the server; the handle (often empty or ``/``) has no meaning."""


class Delete(_OfHandle, frozen=True):
    """The handle is to go, with all its values."""


class ListHandles(_OfHandle, frozen=True):
    """The handles below a prefix, which is named by its handle, ``0.NA/88.118.1``."""


class _WithValues(msgspec.Struct, frozen=True):
    handle: str
    values: tuple[HandleValue, ...]

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle"), read_values(fields))

    def encode(self) -> bytes:
        return wire.text(self.handle) + encode_values(self.values)


class Create(_WithValues, frozen=True):
    """A new handle; with ``Flag.MINT`` its name is what the server is to complete."""


class AddValues(_WithValues, frozen=True):
    """Values that the handle does not have yet."""


class ModifyValues(_WithValues, frozen=True):
    """Values in the place of those with the same indexes."""


class RemoveValues(msgspec.Struct, frozen=True):
    """The values with these indexes are to go."""

    handle: str
    indexes: tuple[int, ...]

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("handle"), fields.indexes("indexes"))

    def encode(self) -> bytes:
        return wire.text(self.handle) + wire.indexes(self.indexes)


class AnswerChallenge(msgspec.Struct, frozen=True):
    """The proof that a challenge asked for. ``type`` is the key's, ``HS_PUBKEY`` or ``HS_SECKEY``; ``proof`` is read
    with ``credentials.read_signature`` or ``read_mac``."""

    type: str
    identity: Reference
    proof: bytes

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.text("type"), read_reference(fields), fields.octets("proof"))

    def encode(self) -> bytes:
        return wire.text(self.type) + encode_reference(self.identity) + wire.octets(self.proof)


class LogIn(msgspec.Struct, frozen=True):
    """Of the national system's SDK: from now on this connection acts for the identity, once it has proven itself."""

    identity: Reference

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(read_reference(fields))

    def encode(self) -> bytes:
        return encode_reference(self.identity)


Request = (
    Resolve
    | AskSite
    | Create
    | Delete
    | AddValues
    | RemoveValues
    | ModifyValues
    | ListHandles
    | AnswerChallenge
    | LogIn
)

REQUESTS: Final[dict[int, type[Request]]] = {
    Opcode.RESOLVE: Resolve,
    Opcode.SITE_INFO: AskSite,
    Opcode.CREATE: Create,
    Opcode.DELETE: Delete,
    Opcode.ADD_VALUES: AddValues,
    Opcode.REMOVE_VALUES: RemoveValues,
    Opcode.MODIFY_VALUES: ModifyValues,
    Opcode.LIST: ListHandles,
    Opcode.ANSWER_CHALLENGE: AnswerChallenge,
    Opcode.LOG_IN: LogIn,
}
"""What is taken apart. Other operations have a body of plain bytes, :class:`protocol.handle.answers.Opaque`."""
