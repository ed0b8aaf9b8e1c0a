"""A byte stream cut into messages, with the exact bytes of each kept for the seals.

MessagePack delimits itself, so the stream has no frames. The same class serves both sides: the server
takes requests, the client responses and seals. Strings come out as bytes, arrays as tuples.

Bounds: a message has at most ``max_message`` bytes, an array ``MAX_ITEMS`` elements, nesting ends with the decoder's
stack (some hundred levels). Arrays are allocated when announced, so only those of ordinary length are decoded unseen;
a message with a longer one, or of which only a beginning has come, is *measured* first and decoded when it is whole.
What is announced and does not come so costs neither memory nor time: what waits takes as many bytes as were sent, and
each of them is measured once.
"""

from __future__ import annotations

import re
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
"""Elements of one array."""

UNSEEN_ITEMS: Final = 128
"""Elements of an array that is decoded before all of it may have come. A thousand levels of them take a megabyte for a
moment; of ``MAX_ITEMS`` they would take 160, and 140 ms for three kilobytes sent. Ordinary messages have no longer
ones; batches are measured at a hundredth of the cost of what they ask for."""

MAX_ENTRIES: Final = 64
"""Entries of one map. Maps hold details and limits; the largest has below 20."""

READ_BYTES: Final = 262_144
"""Bytes that one read of a socket can add."""

_LONG_ARRAY: Final = re.compile(r"(\d+) exceeds max_array_len\(\d+\)")

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
        # In place of _bytes: what is to be measured first, or what is wrong with the next.
        self._instead: _Measured | MessageError | None = None

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
        if not self._bytes:
            return self._take_measured(most, messages)[::2]
        start = end = self._taken
        unpacker = self._unpacker
        add, tell = messages.append, unpacker.tell
        try:
            for message in islice(unpacker, most):
                add(message)
                end = tell()  # only here: past the last whole message the decoder's position means nothing
        except _DECODER_ERRORS as error:
            if not _is_long_array(error):
                self._meet(_not_messagepack(error), messages)
        if end - start > self._limit:
            ends = _ends(self._bytes[self._start :], len(messages))
            keep = self._check_lengths(ends)
            messages, end = messages[:keep], start + ends[keep]
        self._taken = end
        wire = self._cut(end - start)
        if self._bytes and len(messages) < most:
            self._put_by()
            if not messages:
                return self._take_measured(most, messages)[::2]
        return messages, wire

    def take_each(self) -> list[tuple[object, bytes]]:
        """All complete messages, each with its own bytes. Raises as :meth:`take` does."""
        messages: list[object] = []
        pairs: list[tuple[object, bytes]] = []
        if self._bytes:
            start = self._taken
            ends = [0]
            unpacker = self._unpacker
            try:
                for message in unpacker:
                    messages.append(message)
                    ends.append(unpacker.tell() - start)
            except _DECODER_ERRORS as error:
                if not _is_long_array(error):
                    self._meet(_not_messagepack(error), messages)
            keep = self._check_lengths(ends)
            self._taken = start + ends[keep]
            whole = self._cut(ends[keep])
            pairs = [(messages[i], whole[ends[i] : ends[i + 1]]) for i in range(keep)]
            if self._bytes:
                self._put_by()
        if not (pairs and isinstance(self._instead, MessageError)):
            messages, ends, whole = self._take_measured(len(self._waiting), pairs)
            pairs += [(message, whole[ends[i] : ends[i + 1]]) for i, message in enumerate(messages)]
        return pairs

    @property
    def waiting(self) -> int:
        """Bytes that came and are not taken: messages not asked for yet, or the beginning of one."""
        return len(self._bytes) - self._start + len(self._waiting)

    @property
    def _waiting(self) -> bytearray | bytes:
        """What is to be measured."""
        return self._instead.data if isinstance(self._instead, _Measured) else b""

    @property
    def more(self) -> bool:
        """Whether another :meth:`take` could give a message, or raise what is wrong with the next."""
        return bool(self._bytes) or self._instead is not None

    def _feed_more(self, data: bytes) -> None:
        """Append behind something that waits."""
        if self.waiting + len(data) > _room(self._limit):
            raise MessageError(TOO_LONG, limit=self._limit)
        if isinstance(self._instead, _Measured):
            self._instead.feed(data)
        elif self._instead is None:
            self._unpacker.feed(data)
            self._bytes = self._bytes[self._start :] + data
            self._start = 0

    def _take_measured(self, most: int, before: Sequence[object]) -> tuple[list[object], list[int], bytes]:
        """Up to ``most`` messages of those that are measured; where each ends, after a 0; their bytes. What is wrong
        with the next is raised where nothing came ``before`` or now."""
        messages: list[object] = []
        match self._instead:
            case None:
                return messages, [0], b""
            case MessageError() as fault:
                raise fault
            case waiting:
                ends, faulty = waiting.measure(most)
        keep = self._check_lengths(ends, before)
        whole = waiting.cut(ends[keep])
        unpacker = _unpacker(self._limit, MAX_ITEMS)
        unpacker.feed(whole)
        try:
            messages.extend(unpacker)
        except _DECODER_ERRORS as error:
            faulty = _not_messagepack(error)
        if self._instead is waiting:
            if faulty is not None:
                self._meet(faulty, (*before, *messages))
            elif not messages and len(waiting.data) > self._limit:
                self._meet(MessageError(TOO_LONG, limit=self._limit), before)
            elif not waiting.data:
                self._instead = None
                self._unpacker = _unpacker(self._limit)
        return messages, ends, whole[: ends[len(messages)]]

    def _cut(self, used: int) -> bytes:
        """Take the first ``used`` bytes off those that wait."""
        whole, start = self._bytes, self._start
        if start + used == len(whole):
            self._bytes, self._start = b"", 0
            return whole[start:] if start else whole
        self._start = start + used
        return whole[start : start + used]

    def _put_by(self) -> None:
        """What is left is the beginning of a message, or is to be measured: drop what the decoder has made of it."""
        if self._instead is None:
            self._instead = _Measured(self._bytes[self._start :])
            del self._unpacker  # with all that it has allocated
        self._bytes, self._start, self._taken = b"", 0, 0

    def _check_lengths(self, ends: list[int], before: Sequence[object] = ()) -> int:
        """How many messages come before the first that is too long."""
        for i in range(len(ends) - 1):
            if ends[i + 1] - ends[i] > self._limit:
                self._meet(MessageError(TOO_LONG, limit=self._limit), (*before, *ends[1 : i + 1]))
                return i
        return len(ends) - 1

    def _meet(self, fault: MessageError, before: Sequence[object]) -> None:
        """The next message is faulty: raise now where nothing came before it, otherwise at the next call."""
        self._instead = fault
        if not before:
            self._bytes, self._start = b"", 0
            raise fault from None


class _Measured:
    """Bytes that are measured before they are decoded."""

    __slots__ = ("_begin", "_measure", "data")

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._begin = 0  # where ``data`` begins, as the measure counts
        self._measure = _measuring(data)

    def feed(self, data: bytes) -> None:
        self.data += data
        self._measure.feed(data)

    def measure(self, most: int) -> tuple[list[int], MessageError | None]:
        """Where each of the next whole messages ends, after a 0; and what is wrong behind these."""
        ends = [0]
        measure = self._measure
        try:
            while len(ends) <= most:
                measure.skip()
                ends.append(measure.tell() - self._begin)
        except msgpack.OutOfData:
            pass
        except _DECODER_ERRORS as error:
            return ends, _not_messagepack(error)
        return ends, None

    def cut(self, used: int) -> bytes:
        """Take the first ``used`` bytes off, which are whole messages."""
        whole = bytes(self.data[:used])
        del self.data[:used]
        self._begin += used
        return whole


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
        try:
            return _unpack(data, UNSEEN_ITEMS)
        except ValueError as error:
            if not _is_long_array(error):
                raise
            _measuring(data).skip()  # what is not whole ends here
            return _unpack(data, MAX_DATAGRAM_BYTES)
    except _DECODER_ERRORS as error:
        raise _not_messagepack(error) from None


def _unpack(data: bytes, max_items: int) -> object:
    return msgpack.unpackb(
        data,
        raw=True,
        use_list=False,
        strict_map_key=False,
        max_array_len=max_items,
        max_map_len=MAX_ENTRIES,
        max_ext_len=0,
        ext_hook=_no_extensions,
    )


def _unpacker(max_message: int, max_items: int = UNSEEN_ITEMS) -> msgpack.Unpacker:
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
        max_array_len=max_items,
        max_map_len=MAX_ENTRIES,
    )


def _measuring(data: bytes) -> msgpack.Unpacker:
    """A decoder that is only to skip: it makes nothing of what it reads, and holds to no limit."""
    measure = msgpack.Unpacker(read_size=1_024, max_buffer_size=0)
    measure.feed(data)
    return measure


def _room(max_message: int) -> int:
    """Room for a whole message, for the beginning of the next, and for one read of a socket."""
    return 2 * max_message + READ_BYTES


def _ends(data: bytes, count: int) -> list[int]:
    """Where each of the first ``count`` messages ends, after a 0."""
    measure = _measuring(data)
    ends = [0]
    for _ in range(count):
        measure.skip()
        ends.append(measure.tell())
    return ends


def _is_long_array(error: Exception) -> bool:
    """Whether the decoder only met an array longer than it takes unseen, and not longer than any may be. It says so in
    its message and nowhere else."""
    said = _LONG_ARRAY.fullmatch(str(error))
    return said is not None and int(said[1]) <= MAX_ITEMS


def _no_extensions(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}, which this protocol does not use")


def _not_messagepack(error: Exception) -> MessageError:
    return MessageError(NOT_MESSAGEPACK, reason=str(error) or type(error).__name__)
