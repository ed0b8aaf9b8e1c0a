"""A byte stream cut into messages, with the exact bytes of each kept for the seals.

MessagePack delimits itself, so the stream has no frames. The same class serves both sides: the server
takes requests, the client responses and seals. Strings come out as bytes, arrays as tuples.

Bounds: a message has at most ``max_message`` bytes, nesting ends at about 500 levels (the decoder's stack), and a
container announced larger than its message could hold is refused before memory is taken for it.
"""

from __future__ import annotations

from typing import Final

import msgpack

from protocol.errors import MessageError, Rule
from protocol.limits import MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES
from protocol.status import Status

TOO_LONG: Final = Rule(
    "message.too-long", Status.TOO_LARGE, "a message is longer than {limit} bytes", "消息长度超过 {limit} 字节"
)
NOT_MESSAGEPACK: Final = Rule(
    "message.not-messagepack",
    Status.BAD_REQUEST,
    "the bytes are not MessagePack: {reason}",
    "字节流不是合法的 MessagePack：{reason}",
)

MAX_ITEMS: Final = 20_000
"""Elements of one array or map. Arrays are allocated when announced, so this times the nesting depth bounds
the memory that a few hundred bytes can claim (20,000 x 8 bytes a level)."""

_DECODER_ERRORS: Final = (ValueError, msgpack.UnpackException, RecursionError)


class MessageStream:
    """Feed bytes, take messages."""

    __slots__ = ("_bytes", "_limit", "_start", "_taken", "_unpacker")

    def __init__(self, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message
        self._bytes = b""
        self._start = 0  # of what is not taken yet, in _bytes
        self._taken = 0  # the decoder's position there
        self._unpacker = _unpacker(max_message)

    def feed(self, data: bytes) -> None:
        """Append what came from the other side."""
        self._unpacker.feed(data)
        self._bytes = self._bytes[self._start :] + data if self._bytes else data
        self._start = 0

    def take(self, most: int) -> tuple[list[object], bytes]:
        """Up to ``most`` complete messages, and the bytes that they are. Raises :class:`MessageError` once the
        messages before the faulty one have been taken; the stream is of no use after that."""
        messages: list[object] = []
        start = end = self._taken
        unpacker = self._unpacker
        add, tell = messages.append, unpacker.tell
        try:
            for message in unpacker:
                add(message)
                end = tell()  # only here: past the last whole message the decoder's position means nothing
                if len(messages) == most:
                    break
        except _DECODER_ERRORS as error:
            self._meet_fault(error, messages)
            return messages, self._cut(end - start)
        self._taken = end
        return messages, self._cut(end - start)

    def take_each(self) -> list[tuple[object, bytes]]:
        """All complete messages, each with its own bytes. Raises as :meth:`take` does."""
        messages: list[object] = []
        start = self._taken
        ends = [start]
        unpacker = self._unpacker
        try:
            for message in unpacker:
                messages.append(message)
                ends.append(unpacker.tell())
        except _DECODER_ERRORS as error:
            self._meet_fault(error, messages)
        else:
            self._taken = ends[-1]
        whole = self._cut(ends[-1] - start)
        return [(message, whole[ends[i] - start : ends[i + 1] - start]) for i, message in enumerate(messages)]

    def _cut(self, used: int) -> bytes:
        """Take the first ``used`` bytes off those that wait."""
        whole, start = self._bytes, self._start
        if start + used == len(whole):
            self._bytes, self._start = b"", 0
            return whole[start:] if start else whole
        if not used and len(whole) - start > self._limit:
            raise MessageError(TOO_LONG, limit=self._limit)
        self._start = start + used
        return whole[start : start + used]

    def _meet_fault(self, error: Exception, before: list[object]) -> None:
        """The next message is faulty: raise now where nothing came before it, otherwise at the next call."""
        if not before:
            raise MessageError(NOT_MESSAGEPACK, reason=str(error) or type(error).__name__) from None
        self._unpacker = _unpacker(self._limit)
        self._unpacker.feed(b"\xc1")  # the byte that MessagePack never uses: faulty again, at once
        self._taken = 0

    @property
    def waiting(self) -> int:
        """Bytes that came and are not taken: messages not asked for yet, or the beginning of one."""
        return len(self._bytes) - self._start


def split(data: bytes) -> list[tuple[object, bytes]]:
    """Whole messages one behind the other, each with its own bytes."""
    stream = MessageStream(len(data))
    stream.feed(data)
    return stream.take_each()


def decode_one(data: bytes, most: int = MAX_DATAGRAM_BYTES) -> object:
    """Exactly one message, as in a datagram. Raises :class:`MessageError`."""
    if len(data) > most:
        raise MessageError(TOO_LONG, limit=most)
    try:
        return msgpack.unpackb(
            data, raw=True, use_list=False, strict_map_key=False, max_array_len=most, max_map_len=most
        )
    except _DECODER_ERRORS as error:
        raise MessageError(NOT_MESSAGEPACK, reason=str(error) or type(error).__name__) from None


def _unpacker(max_message: int) -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=True,
        use_list=False,
        strict_map_key=False,
        read_size=16_384,
        # Room for a whole message and for one read of a socket (256 KiB) behind it.
        max_buffer_size=2 * max_message + 262_144,
        max_str_len=max_message,
        max_bin_len=max_message,
        max_ext_len=0,
        max_array_len=MAX_ITEMS,
        max_map_len=64,
    )
