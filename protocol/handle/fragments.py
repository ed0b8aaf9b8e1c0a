"""Messages over UDP: cut into datagrams, and put together again (RFC 3652, section 2.3).

A datagram has 512 bytes at most, 492 of them payload. All fragments of a message but its last are full, so the place of
each follows from its sequence number, and a fragment that does not fit its place is refused. Who sends fragments may be
anybody under any address, so what is held for unfinished messages is bounded, in bytes, in messages and in time; the
oldest makes room for the newest.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.envelope import ENVELOPE_BYTES, Envelope, EnvelopeFlag, encode_envelope, read_envelope
from protocol.handle.fields import rule

MAX_DATAGRAM_BYTES: Final = 512
"""Bytes of one datagram: what the clients in the field have room for (RFC 3652, section 2.3)."""

FRAGMENT_BYTES: Final = MAX_DATAGRAM_BYTES - ENVELOPE_BYTES
"""Bytes of payload in every fragment but the last."""

MAX_HELD_BYTES: Final = 4_194_304
"""Bytes held for unfinished messages: sixteen of the longest."""

MAX_UNFINISHED: Final = 1_024
"""Unfinished messages: what a busy node meets within the patience, many times over."""

PATIENCE_MS: Final = 5_000
"""Milliseconds from the first fragment to the last: clients ask again after that."""

BAD_FRAGMENT: Final = rule(
    "fragment",
    "fragment {sequence} with {length} bytes has no place in a message of {total} bytes; send the message again",
    "第 {sequence} 个分片（{length} 字节）在总长 {total} 字节的报文中没有位置，请重新发送该报文",
)


def encode_datagrams(envelope: Envelope, payload: bytes) -> list[bytes]:
    """The datagrams of a message: one, or its fragments in order.

    Length, sequence and the flag of fragments follow from the payload. Raises :class:`MessageError` where it is too
    long.
    """
    total = len(payload)
    flags = envelope.flags & ~EnvelopeFlag.FRAGMENT
    if total > FRAGMENT_BYTES:
        flags |= EnvelopeFlag.FRAGMENT
    return [
        encode_envelope(msgspec.structs.replace(envelope, length=total, sequence=sequence, flags=flags))
        + payload[sequence * FRAGMENT_BYTES : (sequence + 1) * FRAGMENT_BYTES]
        for sequence in range(max(1, -(-total // FRAGMENT_BYTES)))
    ]


@dataclass(slots=True)
class _Unfinished:
    total: int
    begun_ms: int
    held: int = 0
    pieces: dict[int, bytes] = field(default_factory=dict)


class Reassembly:
    """Puts messages together. Knows no clock: times come in, in milliseconds, and must not go back."""

    def __init__(
        self,
        *,
        max_bytes: int = MAX_HELD_BYTES,
        max_unfinished: int = MAX_UNFINISHED,
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_unfinished = max_unfinished
        self._patience_ms = patience_ms
        # In the order in which they began: the first is the oldest.
        self._unfinished: dict[tuple[Hashable, int, int], _Unfinished] = {}
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of payload held for unfinished messages."""
        return self._held

    @property
    def unfinished(self) -> int:
        """How many messages are unfinished."""
        return len(self._unfinished)

    def take(self, peer: Hashable, datagram: bytes, now_ms: int) -> tuple[Envelope, bytes] | None:
        """What a datagram completes: a message's envelope and payload, or None while fragments are missing.

        ``peer`` is whoever it came from. A fragment that is there already changes nothing, whatever it says. Raises
        :class:`MessageError` for a datagram that is no message and no fragment of one.
        """
        envelope = read_envelope(datagram)
        piece = datagram[ENVELOPE_BYTES:]
        if not envelope.is_fragment:
            if len(piece) != envelope.length or envelope.sequence:
                raise _misfit(envelope, piece)
            return envelope, piece
        if len(piece) != max(0, min(FRAGMENT_BYTES, envelope.length - envelope.sequence * FRAGMENT_BYTES)) or not piece:
            raise _misfit(envelope, piece)
        self.expire(now_ms)
        key = (peer, envelope.session, envelope.request)
        message = self._unfinished.get(key)
        if message is None:
            message = self._unfinished[key] = _Unfinished(envelope.length, now_ms)
        elif message.total != envelope.length:
            raise _misfit(envelope, piece)
        if envelope.sequence not in message.pieces:
            message.pieces[envelope.sequence] = piece
            message.held += len(piece)
            self._held += len(piece)
        if message.held == message.total:
            self._forget(key)
            payload = b"".join(message.pieces[sequence] for sequence in range(len(message.pieces)))
            return _whole(envelope), payload
        while self._held > self._max_bytes or len(self._unfinished) > self._max_unfinished:
            self._forget(next(iter(self._unfinished)))
        return None

    def expire(self, now_ms: int) -> None:
        """Forget the messages whose time is over."""
        while self._unfinished:
            key, oldest = next(iter(self._unfinished.items()))
            if now_ms - oldest.begun_ms <= self._patience_ms:
                return
            self._forget(key)

    def _forget(self, key: tuple[Hashable, int, int]) -> None:
        self._held -= self._unfinished.pop(key).held


def _misfit(envelope: Envelope, piece: bytes) -> MessageError:
    return MessageError(BAD_FRAGMENT, sequence=envelope.sequence, length=len(piece), total=envelope.length)


def _whole(envelope: Envelope) -> Envelope:
    return msgspec.structs.replace(envelope, sequence=0, flags=envelope.flags & ~EnvelopeFlag.FRAGMENT)
