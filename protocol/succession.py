"""Succession of the trust anchor's key: the old key signs for the next, and whoever holds an anchor follows.

::

    succession = [body, signature]                       two binaries; signed bytes = context ‖ body
    body       = [prefix, key, next key, made, until]

``key`` signs. Until ``until`` (seconds since 1970) both keys hold, so that nobody has to change at one moment; after
that the next one alone. Several successions lead from an anchor that has missed some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from protocol.errors import MessageError, NotVerified, Rule
from protocol.limits import MAX_PREFIX_BYTES, MAX_STATEMENT_BYTES
from protocol.signatures import PublicKey, SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor

CONTEXT: Final = b"biaoshi succession 1\x00"

MALFORMED: Final = Rule(
    "succession.malformed",
    Status.NOT_VERIFIED,
    "these bytes are no succession of an anchor: {reason}",
    "字节内容不是合法的信任锚接替声明：{reason}",
)
NOT_BY_ITS_KEY: Final = Rule(
    "succession.not-by-its-key",
    Status.NOT_VERIFIED,
    "the succession of zone '{zone}' is not signed by the key that it replaces",
    "区域“{zone}”的接替声明不是由被接替的密钥签署的",
)
NOT_OURS: Final = Rule(
    "succession.not-ours",
    Status.NOT_VERIFIED,
    "no succession leads on from this anchor's key of zone '{zone}'; get a new anchor file from the zone's operator",
    "没有从区域“{zone}”的这把信任锚密钥出发的接替声明，请向该区域运营方索取新的信任锚文件",
)

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Key(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    algorithm: Annotated[int, msgspec.Meta(ge=0, le=255)]
    raw: Annotated[bytes, msgspec.Meta(max_length=2_592)]


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    prefix: Annotated[str, msgspec.Meta(max_length=MAX_PREFIX_BYTES)]
    key: _Key
    next: _Key
    made: _Seconds
    until: _Seconds


class _Wire(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    body: bytes
    signature: Annotated[bytes, msgspec.Meta(max_length=4_627)]


_decode_wire = msgspec.msgpack.Decoder(_Wire).decode
_decode_body = msgspec.msgpack.Decoder(_Body).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Succession:
    """The word of ``key`` that ``next`` follows it as the key of the anchor's zone; both hold until ``until``."""

    prefix: str
    key: PublicKey
    next: PublicKey
    made: int
    until: int

    def sign(self, old: SigningKey) -> bytes:
        """The signed statement; ``old`` is the secret half of ``key``."""
        old_key, following = (_Key(key.algorithm, key.raw) for key in (self.key, self.next))
        body = _encode(_Body(self.prefix, old_key, following, self.made, self.until))
        return _encode(_Wire(body, old.sign(CONTEXT + body)))


def read_succession(statement: bytes) -> Succession:
    """Read a succession and check that the key which it replaces signed it. Raises :class:`MessageError`,
    :class:`NotVerified`."""
    if len(statement) > MAX_STATEMENT_BYTES:
        raise MessageError(MALFORMED, reason=f"longer than {MAX_STATEMENT_BYTES} bytes")
    try:
        wire = _decode_wire(statement)
        body = _decode_body(wire.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(MALFORMED, reason=str(error)) from None
    key, following = (PublicKey(one.algorithm, one.raw) for one in (body.key, body.next))
    if not key.verifies(wire.signature, CONTEXT + wire.body):
        raise NotVerified(NOT_BY_ITS_KEY, zone=body.prefix)
    return Succession(body.prefix, key, following, body.made, body.until)


def succeed(anchor: TrustAnchor, statements: Sequence[bytes], now: int) -> TrustAnchor:
    """The anchor as of ``now`` (seconds) after the successions that lead on from it, in whatever order they come;
    itself where none does and it is one to which they lead. Raises :class:`NotVerified`, :class:`MessageError`."""
    known = [one for one in map(read_succession, statements) if one.prefix == anchor.prefix]
    by_key = {one.key: one for one in known}
    current = anchor.key
    following = anchor.next
    passed = {current}
    while current in by_key:
        step = by_key[current]
        if now <= step.until or step.next in passed:
            following = step.next
            break
        current, following = step.next, None
        passed.add(current)
    if current == anchor.key and current not in by_key and current not in {one.next for one in known}:
        raise NotVerified(NOT_OURS, zone=anchor.prefix)
    return TrustAnchor(anchor.prefix, current, following)
