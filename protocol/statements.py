"""What zones sign: delegations of their children, requests for these, and the online keys of their serving machines.

::

    statement  = [body, signature]            two binaries; signed bytes = context ‖ body
    delegation = [parent, child, serial, not_before, not_after, [key, ...], [address, ...]]
    online key = [zone, node, key, not_before, not_after]
    request    = [child, [key, ...], [address, ...], made]
    key        = [algorithm, public key]
    address    = [host, tcp_port, udp_port, tls]

The times are seconds since 1970 UTC, both inclusive. A port of 0 means that the address does not serve it. Prefixes
are in normal form. A request is signed by the first of its keys: whoever asks for a delegation holds the zone's key;
that they are entitled to the prefix is for the parent to know. The body travels as the bytes that were signed and is
never encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from protocol import address
from protocol.errors import MessageError, NotVerified, Rule
from protocol.limits import MAX_PREFIX_BYTES, MAX_STATEMENT_BYTES
from protocol.signatures import PublicKey, SigningKey
from protocol.status import Status

MALFORMED: Final = Rule(
    "statement.malformed",
    Status.NOT_VERIFIED,
    "these bytes are no {kind}: {reason}",
    "字节内容不是合法的{kind}：{reason}",
)

NOT_BY_ITS_KEY: Final = Rule(
    "statement.not-by-its-key",
    Status.NOT_VERIFIED,
    "the delegation request for '{child}' is not signed by the key that it names",
    "“{child}”的授权申请不是由其所列密钥签署的",
)

DELEGATION_CONTEXT: Final = b"biaoshi delegation 1\x00"
ONLINE_KEY_CONTEXT: Final = b"biaoshi online key 1\x00"
REQUEST_CONTEXT: Final = b"biaoshi delegation request 1\x00"

_Prefix = Annotated[str, msgspec.Meta(max_length=MAX_PREFIX_BYTES)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Address(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a zone is served."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    tcp_port: _Port
    udp_port: _Port
    tls: bool = False


class _Key(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    algorithm: Annotated[int, msgspec.Meta(ge=0, le=255)]
    raw: Annotated[bytes, msgspec.Meta(max_length=2_592)]


class _Delegation(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    parent: _Prefix
    child: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PREFIX_BYTES)]
    serial: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    not_before: _Seconds
    not_after: _Seconds
    keys: Annotated[list[_Key], msgspec.Meta(min_length=1, max_length=4)]
    addresses: Annotated[list[Address], msgspec.Meta(max_length=16)]


class _Request(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    child: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PREFIX_BYTES)]
    keys: Annotated[list[_Key], msgspec.Meta(min_length=1, max_length=4)]
    addresses: Annotated[list[Address], msgspec.Meta(max_length=16)]
    made: _Seconds


class _OnlineKey(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    zone: _Prefix
    node: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    key: _Key
    not_before: _Seconds
    not_after: _Seconds


class _Statement(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    body: bytes
    signature: Annotated[bytes, msgspec.Meta(max_length=4_627)]


_decode_statement = msgspec.msgpack.Decoder(_Statement).decode
_decode_delegation = msgspec.msgpack.Decoder(_Delegation).decode
_decode_request = msgspec.msgpack.Decoder(_Request).decode
_decode_online_key = msgspec.msgpack.Decoder(_OnlineKey).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Delegation:
    """A parent's word that ``child`` is served under ``keys`` at ``addresses``, from–until."""

    parent: str
    child: str
    serial: int
    not_before: int
    not_after: int
    keys: tuple[PublicKey, ...]
    addresses: tuple[Address, ...]

    @property
    def servers(self) -> tuple[address.Address, ...]:
        """Where the zone is asked over TCP. Those that want TLS are left out: no client of ours has it yet."""
        return tuple(address.Address(one.host, one.tcp_port) for one in self.addresses if one.tcp_port and not one.tls)

    def sign(self, parent_key: SigningKey) -> bytes:
        """The signed statement."""
        body = _encode(
            _Delegation(
                self.parent,
                self.child,
                self.serial,
                self.not_before,
                self.not_after,
                _wires(self.keys),
                list(self.addresses),
            )
        )
        return _sign(DELEGATION_CONTEXT, body, parent_key)


@dataclass(frozen=True, slots=True)
class DelegationRequest:
    """A zone's wish to be delegated: under these keys, at these addresses; ``made`` is when it was signed."""

    child: str
    keys: tuple[PublicKey, ...]
    addresses: tuple[Address, ...]
    made: int

    def sign(self, zone_key: SigningKey) -> bytes:
        """The signed request; ``zone_key`` is the secret half of the first key."""
        body = _encode(_Request(self.child, _wires(self.keys), list(self.addresses), self.made))
        return _sign(REQUEST_CONTEXT, body, zone_key)


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """A zone's word that ``key`` seals answers for it on machine ``node``, from–until."""

    zone: str
    node: str
    key: PublicKey
    not_before: int
    not_after: int

    def sign(self, zone_key: SigningKey) -> bytes:
        """The signed statement."""
        body = _encode(
            _OnlineKey(self.zone, self.node, _Key(self.key.algorithm, self.key.raw), self.not_before, self.not_after)
        )
        return _sign(ONLINE_KEY_CONTEXT, body, zone_key)


Claim = TypeVar("Claim")


@dataclass(frozen=True, slots=True)
class Unverified(Generic[Claim]):
    """A statement that has been read but not verified: what it claims, and what its signature must cover."""

    claim: Claim
    signed: bytes
    signature: bytes

    def signed_by(self, key: PublicKey) -> bool:
        """Whether ``key`` made the signature."""
        return holds(key, self.signature, self.signed)


@lru_cache(maxsize=1_024)
def holds(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether ``key`` made a statement's signature. Remembered, half a megabyte of it: the same delegations stand above
    every zone below, and each of its servers shows them."""
    return key.verifies(signature, signed)


def read_delegation(statement: bytes) -> Unverified[Delegation]:
    """Read a delegation without believing it. Raises :class:`MessageError`."""
    kind = "delegation"
    body, signature = _open(statement, kind)
    try:
        wire = _decode_delegation(body)
    except _DECODER_ERRORS as error:
        raise MessageError(MALFORMED, kind=kind, reason=str(error)) from None
    claim = Delegation(
        wire.parent,
        wire.child,
        wire.serial,
        wire.not_before,
        wire.not_after,
        _keys(wire.keys),
        tuple(wire.addresses),
    )
    return Unverified(claim, DELEGATION_CONTEXT + body, signature)


def read_request(statement: bytes) -> DelegationRequest:
    """Read a delegation request and check that its first key signed it. Raises :class:`MessageError`,
    :class:`NotVerified`."""
    kind = "delegation request"
    body, signature = _open(statement, kind)
    try:
        wire = _decode_request(body)
    except _DECODER_ERRORS as error:
        raise MessageError(MALFORMED, kind=kind, reason=str(error)) from None
    keys = _keys(wire.keys)
    if not keys[0].verifies(signature, REQUEST_CONTEXT + body):
        raise NotVerified(NOT_BY_ITS_KEY, child=wire.child)
    return DelegationRequest(wire.child, keys, tuple(wire.addresses), wire.made)


def read_online_key(statement: bytes) -> Unverified[OnlineKey]:
    """Read an online key's statement without believing it. Raises :class:`MessageError`."""
    kind = "online key"
    body, signature = _open(statement, kind)
    try:
        wire = _decode_online_key(body)
    except _DECODER_ERRORS as error:
        raise MessageError(MALFORMED, kind=kind, reason=str(error)) from None
    claim = OnlineKey(
        wire.zone, wire.node, PublicKey(wire.key.algorithm, wire.key.raw), wire.not_before, wire.not_after
    )
    return Unverified(claim, ONLINE_KEY_CONTEXT + body, signature)


EARLY_SECONDS: Final = 3_600
"""By how much a statement begins before it is made, at most: for clients whose clock is behind."""

RENEW_SECONDS: Final = 30 * 86_400
"""How long before its end a statement is renewed, at most."""


def window(now: int, days: float) -> tuple[int, int]:
    """From–until of a statement that is made ``now`` for so many days."""
    length = max(1, round(days * 86_400))
    return now - min(EARLY_SECONDS, length // 10), now + length


def due(not_before: int, not_after: int) -> int:
    """When a statement with this window is to be renewed: when a third of its time is left, or 30 days."""
    return not_after - min((not_after - not_before) // 3, RENEW_SECONDS)


def _wires(keys: tuple[PublicKey, ...]) -> list[_Key]:
    return [_Key(key.algorithm, key.raw) for key in keys]


def _keys(wires: list[_Key]) -> tuple[PublicKey, ...]:
    return tuple(PublicKey(wire.algorithm, wire.raw) for wire in wires)


_DECODER_ERRORS: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def _open(statement: bytes, kind: str) -> tuple[bytes, bytes]:
    if len(statement) > MAX_STATEMENT_BYTES:
        raise MessageError(MALFORMED, kind=kind, reason=f"longer than {MAX_STATEMENT_BYTES} bytes")
    try:
        wire = _decode_statement(statement)
    except _DECODER_ERRORS as error:
        raise MessageError(MALFORMED, kind=kind, reason=str(error)) from None
    return wire.body, wire.signature


def _sign(context: bytes, body: bytes, key: SigningKey) -> bytes:
    return _encode(_Statement(body, key.sign(context + body)))
