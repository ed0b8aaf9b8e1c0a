"""A byte stream cut into messages, with the exact bytes of each kept for the seals.

MessagePack delimits itself, so the stream has no frames. The same class serves both sides: the server
takes requests, the client responses and seals. Strings come out as bytes, arrays as tuples.

Bounds: a message has at most ``max_message`` bytes, an array ``MAX_ITEMS`` elements, nesting ends with the decoder's
stack (some hundred levels). Arrays are allocated when announced, so a message of which only a beginning has come is
measured and not decoded: what waits takes as many bytes as were sent, and each of them is looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
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
"""Elements of one array. Arrays are allocated when announced: while it decodes, a message of a few kilobytes can
claim this times 8 bytes for each level of nesting, some 80 MB, and gives them back at once."""

MAX_ENTRIES: Final = 64
"""Entries of one map. Maps hold details and limits; the largest has below 20."""

READ_BYTES: Final = 262_144
"""Bytes that one read of a socket can add."""

# TypeError: a map whose key is a map.
_DECODER_ERRORS: Final = (ValueError, TypeError, msgpack.UnpackException, RecursionError)


class MessageStream:
    """Feed bytes, take messages."""

    __slots__ = ("_bytes", "_instead", "_limit", "_start", "_taken", "_unpacker")

    def __init__(self, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message
        self._bytes = b""
        self._start = 0  # of what is not taken yet, in _bytes
        self._taken = 0  # the decoder's position there
        self._unpacker = _unpacker(max_message)
        # In place of _bytes: a message of which only a part has come, or what is wrong with the next.
        self._instead: _Beginning | MessageError | None = None

    def feed(self, data: bytes) -> None:
        """Append what came from the other side. Raises :class:`MessageError` where far more waits than a message
        and a read can have."""
        if not self._bytes and self._instead is None and len(data) <= self._limit:
            self._unpacker.feed(data)
            self._bytes = data
        else:
            self._feed_more(data)

    def take(self, most: int) -> tuple[list[object], bytes]:
        """Up to ``most`` complete messages, and the bytes that they are. Raises :class:`MessageError` once the
        messages before the faulty one have been taken; the stream is of no use after that."""
        messages: list[object] = []
        if not self._bytes and not self._ready():
            return messages, b""
        start = end = self._taken
        unpacker = self._unpacker
        add, tell = messages.append, unpacker.tell
        try:
            for message in islice(unpacker, most):
                add(message)
                end = tell()  # only here: past the last whole message the decoder's position means nothing
        except _DECODER_ERRORS as error:
            self._meet(_not_messagepack(error), messages)
        if end - start > self._limit:
            ends = _ends(self._bytes[self._start :], len(messages))
            keep = self._check_lengths(ends)
            messages, end = messages[:keep], start + ends[keep]
        self._taken = end
        wire = self._cut(end - start)
        if self._bytes and len(messages) < most:
            self._put_by(messages)
        return messages, wire

    def take_each(self) -> list[tuple[object, bytes]]:
        """All complete messages, each with its own bytes. Raises as :meth:`take` does."""
        messages: list[object] = []
        if not self._bytes and not self._ready():
            return []
        start = self._taken
        ends = [0]
        unpacker = self._unpacker
        try:
            for message in unpacker:
                messages.append(message)
                ends.append(unpacker.tell() - start)
        except _DECODER_ERRORS as error:
            self._meet(_not_messagepack(error), messages)
        keep = self._check_lengths(ends)
        self._taken = start + ends[keep]
        whole = self._cut(ends[keep])
        if self._bytes:
            self._put_by(messages)
        return [(messages[i], whole[ends[i] : ends[i + 1]]) for i in range(keep)]

    @property
    def waiting(self) -> int:
        """Bytes that came and are not taken: messages not asked for yet, or the beginning of one."""
        if isinstance(self._instead, _Beginning):
            return len(self._instead.data)
        return len(self._bytes) - self._start

    @property
    def more(self) -> bool:
        """Whether another :meth:`take` could give a message, or raise what is wrong with the next."""
        return bool(self._bytes) or self._instead is not None

    def _feed_more(self, data: bytes) -> None:
        """Append behind something that waits."""
        if self.waiting + len(data) > _room(self._limit):
            raise MessageError(TOO_LONG, limit=self._limit)
        if isinstance(self._instead, _Beginning):
            self._instead.feed(data)
        elif self._instead is None:
            self._unpacker.feed(data)
            self._bytes = self._bytes[self._start :] + data
            self._start = 0

    def _ready(self) -> bool:
        """Whether what waits in place of bytes can be looked at by the decoder now."""
        match self._instead:
            case None:
                return False
            case MessageError() as fault:
                raise fault
            case begun:
                if not begun.is_whole():
                    if len(begun.data) > self._limit:
                        self._meet(MessageError(TOO_LONG, limit=self._limit), ())
                    return False
                self._instead = None
                self._bytes = bytes(begun.data)
                self._unpacker = _unpacker(self._limit)
                self._unpacker.feed(self._bytes)
                return True

    def _cut(self, used: int) -> bytes:
        """Take the first ``used`` bytes off those that wait."""
        whole, start = self._bytes, self._start
        if start + used == len(whole):
            self._bytes, self._start = b"", 0
            return whole[start:] if start else whole
        self._start = start + used
        return whole[start : start + used]

    def _put_by(self, before: list[object]) -> None:
        """What is left is the beginning of a message: drop what the decoder has made of it."""
        if self._instead is None:
            if not before and self.waiting > self._limit:
                self._meet(MessageError(TOO_LONG, limit=self._limit), before)
            self._instead = _Beginning(self._bytes[self._start :])
            del self._unpacker  # with all that it has allocated
        self._bytes, self._start, self._taken = b"", 0, 0

    def _check_lengths(self, ends: list[int]) -> int:
        """How many messages come before the first that is too long."""
        for i in range(len(ends) - 1):
            if ends[i + 1] - ends[i] > self._limit:
                self._meet(MessageError(TOO_LONG, limit=self._limit), ends[1 : i + 1])
                return i
        return len(ends) - 1

    def _meet(self, fault: MessageError, before: Sequence[object]) -> None:
        """The next message is faulty: raise now where nothing came before it, otherwise at the next call."""
        self._instead = fault
        if not before:
            self._bytes, self._start = b"", 0
            raise fault from None


class _Beginning:
    """A message of which only a part has come."""

    __slots__ = ("_measure", "data")

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._measure = msgpack.Unpacker(read_size=1_024, max_buffer_size=0)
        self._measure.feed(data)

    def feed(self, data: bytes) -> None:
        self.data += data
        self._measure.feed(data)

    def is_whole(self) -> bool:
        """Whether the message is complete, or faulty: the decoder will say how."""
        try:
            self._measure.skip()
        except msgpack.OutOfData:
            return False
        except _DECODER_ERRORS:
            pass
        return True


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
            data,
            raw=True,
            use_list=False,
            strict_map_key=False,
            max_array_len=min(len(data), MAX_DATAGRAM_BYTES),  # allocated when announced, level by level
            max_map_len=MAX_ENTRIES,
            max_ext_len=0,
            ext_hook=_no_extensions,
        )
    except _DECODER_ERRORS as error:
        raise _not_messagepack(error) from None


def _unpacker(max_message: int) -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=True,
        use_list=False,
        strict_map_key=False,
        read_size=16_384,
        max_buffer_size=_room(max_message),
        max_str_len=max_message,
        max_bin_len=max_message,
        max_ext_len=0,
        ext_hook=_no_extensions,
        max_array_len=MAX_ITEMS,
        max_map_len=MAX_ENTRIES,
    )


def _room(max_message: int) -> int:
    """Room for a whole message, for the beginning of the next, and for one read of a socket."""
    return 2 * max_message + READ_BYTES


def _ends(data: bytes, count: int) -> list[int]:
    """Where each of the first ``count`` messages ends, after a 0."""
    measure = msgpack.Unpacker(read_size=1_024, max_buffer_size=0)
    measure.feed(data)
    ends = [0]
    for _ in range(count):
        measure.skip()
        ends.append(measure.tell())
    return ends


def _no_extensions(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}, which this protocol does not use")


def _not_messagepack(error: Exception) -> MessageError:
    return MessageError(NOT_MESSAGEPACK, reason=str(error) or type(error).__name__)
