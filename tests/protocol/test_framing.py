"""A stream cut into messages: whole, in pieces, with junk behind, and with bytes meant to hurt."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator

import msgpack
import pytest

from protocol.errors import MessageError
from protocol.framing import MAX_ENTRIES, MAX_ITEMS, READ_BYTES, UNSEEN_ITEMS, MessageStream, decode_one, split
from protocol.limits import MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES

REQUESTS = [msgpack.packb([1, i, b"88.118.32001/P%d" % i]) for i in range(5)]
STREAM = b"".join(REQUESTS)
DECODED = [(1, i, b"88.118.32001/P%d" % i) for i in range(5)]

Take = Callable[[MessageStream], list[tuple[object, bytes]]]


def one_by_one(stream: MessageStream) -> list[tuple[object, bytes]]:
    taken = []
    while messages_and_wire := stream.take(1):
        messages, wire = messages_and_wire
        if not messages:
            return taken
        taken.append((messages[0], wire))
    raise AssertionError


TAKES: list[Take] = [MessageStream.take_each, one_by_one]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


# Ordinary streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, len(STREAM)])
def test_any_cuts_give_the_same_messages_with_their_bytes(take: Take, size: int) -> None:
    stream = MessageStream()
    taken = []
    for piece in pieces(STREAM, size):
        stream.feed(piece)
        taken += take(stream)
    assert taken == list(zip(DECODED, REQUESTS, strict=True))
    assert stream.waiting == 0


def test_take_gives_no_more_than_asked_and_the_bytes_of_just_those() -> None:
    stream = MessageStream()
    stream.feed(STREAM)
    assert stream.take(2) == (DECODED[:2], b"".join(REQUESTS[:2]))
    assert stream.waiting == len(STREAM) - 2 * len(REQUESTS[0])
    stream.feed(REQUESTS[0])
    assert stream.take(100) == ([*DECODED[2:], DECODED[0]], b"".join(REQUESTS[2:]) + REQUESTS[0])
    assert stream.take(100) == ([], b"")


def test_the_beginning_of_a_message_waits() -> None:
    stream = MessageStream()
    stream.feed(STREAM[:-1])
    assert stream.take(100) == (DECODED[:4], b"".join(REQUESTS[:4]))
    assert stream.waiting == len(REQUESTS[4]) - 1
    assert stream.take(100) == ([], b"")
    stream.feed(STREAM[-1:] + REQUESTS[0])
    assert stream.take(1) == ([DECODED[4]], REQUESTS[4])
    assert stream.take(1) == ([DECODED[0]], REQUESTS[0])


def test_strings_and_binaries_both_come_as_bytes_and_arrays_as_tuples() -> None:
    wire = b"\x93\xa1a\xc4\x01a\x91\xc0"
    assert split(wire) == [((b"a", b"a", (None,)), wire)]
    assert decode_one(wire) == (b"a", b"a", (None,))


def test_every_width_of_an_integer_is_understood() -> None:
    wire = bytes.fromhex("95 01 cc01 cd0001 ce00000001 cf0000000000000001")
    assert decode_one(wire) == (1, 1, 1, 1, 1)


def test_integers_reach_from_minus_2_to_the_63_to_2_to_the_64() -> None:
    assert decode_one(b"\xcf" + b"\xff" * 8) == (1 << 64) - 1
    assert decode_one(b"\xd3\x80" + bytes(7)) == -(1 << 63)


# Faulty streams ------------------------------------------------------------------------------------------

FAULTY = {
    "the byte that is never used": b"\xc1",
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "an array one longer than allowed": b"\xdd" + (MAX_ITEMS + 1).to_bytes(4, "big"),
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "a map one larger than allowed": b"\xde" + (MAX_ENTRIES + 1).to_bytes(2, "big"),
    "an extension": b"\xd4\x05\x00",
    "an extension without data": b"\xc7\x00\x05",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "a timestamp of no known length": b"\xc7\x03\xff\x00\x00\x00",
    "a timestamp with two thousand million nanoseconds": b"\xd7\xff" + b"\xff" * 8,
    "a map as the key of a map": b"\x81\x80\x01",
    "a map deep in the key of a map": b"\x81\x91\x91\x80\x01",
    "arrays nested a hundred thousand times": b"\x91" * 100_000,
    "maps nested a hundred thousand times": b"\x81" * 100_000,
}


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("take", TAKES)
def test_a_fault_is_told_once_the_messages_before_it_are_taken(faulty: bytes, take: Take) -> None:
    stream = MessageStream()
    stream.feed(STREAM + faulty)
    if take is one_by_one:
        assert [stream.take(1) for _ in REQUESTS] == [([m], w) for m, w in zip(DECODED, REQUESTS, strict=True)]
    else:
        assert take(stream) == list(zip(DECODED, REQUESTS, strict=True))
    for _ in range(2):  # and stays told
        with pytest.raises(MessageError):
            take(stream)
        stream.feed(REQUESTS[0])


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY)
def test_a_datagram_with_a_fault_is_refused(faulty: bytes) -> None:
    with pytest.raises(MessageError):
        decode_one(faulty, len(faulty))


@pytest.mark.parametrize("data", [b"", b"\x92\x01", b"\x01\x02", REQUESTS[0] + b"\xc1"])
def test_a_datagram_holds_exactly_one_message(data: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        decode_one(data)
    assert caught.value.rule.name == "message.not-messagepack"


def test_a_datagram_has_a_greatest_length() -> None:
    whole = msgpack.packb(bytes(MAX_DATAGRAM_BYTES - 3))
    assert decode_one(whole) == bytes(MAX_DATAGRAM_BYTES - 3)
    with pytest.raises(MessageError) as caught:
        decode_one(msgpack.packb(bytes(MAX_DATAGRAM_BYTES - 2)))
    assert caught.value.rule.name == "message.too-long"


# Length --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize("size", [1, 50, 1_000])
def test_a_message_has_a_greatest_length_however_it_is_cut(take: Take, size: int) -> None:
    limit = 100
    longest = msgpack.packb([bytes(46), bytes(48)])  # two strings, each within any limit of its own
    too_long = msgpack.packb([bytes(46), bytes(49)])
    assert (len(longest), len(too_long)) == (limit - 1, limit)
    stream = MessageStream(limit)
    fed = longest + too_long + longest
    taken = []
    for piece in pieces(fed, size):
        stream.feed(piece)
        taken += take(stream)
    assert [wire for _, wire in taken] == [longest, too_long, longest]

    stream = MessageStream(limit)
    taken = []
    with pytest.raises(MessageError) as caught:  # noqa: PT012 where it raises depends on the cuts
        for piece in pieces(longest + msgpack.packb([bytes(46), bytes(50)]) + longest, size):
            stream.feed(piece)
            taken += take(stream) if take is MessageStream.take_each else stream_take_one(stream)
        take(stream)
    assert caught.value.rule.name == "message.too-long"
    assert [wire for _, wire in taken] == [longest]


def stream_take_one(stream: MessageStream) -> list[tuple[object, bytes]]:
    messages, wire = stream.take(1)
    return [(messages[0], wire)] if messages else []


def test_a_message_that_never_ends_is_refused_at_the_limit() -> None:
    stream = MessageStream()
    stream.feed(b"\xc6\xff\xff\xff\xff")
    waiting = 5
    with pytest.raises(MessageError) as caught:  # noqa: PT012
        while waiting <= 2 * MAX_MESSAGE_BYTES:
            assert stream.take_each() == []
            stream.feed(bytes(65_536))
            waiting += 65_536
    assert caught.value.rule.name == "message.too-long"
    assert MAX_MESSAGE_BYTES < waiting <= MAX_MESSAGE_BYTES + 65_536


def test_who_feeds_without_taking_is_stopped() -> None:
    stream = MessageStream()
    room = 2 * MAX_MESSAGE_BYTES + READ_BYTES
    stream.feed(bytes(room))
    with pytest.raises(MessageError) as caught:
        stream.feed(b"\x00")
    assert caught.value.rule.name == "message.too-long"


# Memory and time -----------------------------------------------------------------------------------------


def peak_and_held(work: Callable[[], object]) -> tuple[int, int]:
    tracemalloc.start()
    kept = work()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak, held


@pytest.mark.parametrize("header", [b"\xdc\x4e\x20", b"\xdd\x00\x00\x4e\x20"], ids=["array 16", "array 32"])
@pytest.mark.parametrize("levels", [100, 500, 1_000])
def test_nested_arrays_that_wait_for_20_000_elements_each_take_no_memory(header: bytes, levels: int) -> None:
    """Neither what waits nor, for a moment, the decoder: it would take 160 MB here, and 140 ms."""

    def wait() -> MessageStream:
        stream = MessageStream()
        stream.feed(STREAM + header * levels)
        assert len(stream.take(100)[0]) == len(REQUESTS)
        assert stream.take(100) == ([], b"")
        return stream

    assert peak_and_held(wait)[0] < 500_000


def test_a_fault_behind_nested_arrays_costs_no_more() -> None:
    def meet() -> None:
        stream = MessageStream()
        stream.feed(b"\xdc\x4e\x20" * 500 + b"\xc1")
        with pytest.raises(MessageError):
            stream.take(1)

    assert peak_and_held(meet)[0] < 500_000


def test_nested_arrays_that_are_decoded_unseen_take_two_megabytes_at_most() -> None:
    def wait() -> None:
        stream = MessageStream()
        stream.feed((b"\xdc" + UNSEEN_ITEMS.to_bytes(2, "big")) * 1_000)
        assert stream.take(100) == ([], b"")

    assert 1_000_000 < peak_and_held(wait)[0] < 2_000_000


@pytest.mark.parametrize("data", [
    b"\xdc\x04\xd0" * (MAX_DATAGRAM_BYTES // 3),
    b"\xdd\x00\x10\x00\x00" * 2_000,  # announced: a million elements, a thousand levels deep
    b"\xdc\x4e\x20" * 1_000,
])  # fmt: skip
def test_nested_arrays_that_do_not_come_take_no_memory_in_a_single_message(data: bytes) -> None:
    def decode() -> None:
        with pytest.raises(MessageError):
            decode_one(data, 2 * MAX_MESSAGE_BYTES)

    assert peak_and_held(decode)[0] < 500_000


LONG = [msgpack.packb([2, i, [b"88.118/%d" % j for j in range(UNSEEN_ITEMS + i % 3 - 1)]]) for i in range(20)]


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize("size", [1, 100, 5_000, 1_000_000])
def test_messages_with_long_arrays_between_others(take: Take, size: int) -> None:
    wires = [wire for pair in zip(LONG, REQUESTS * 4, strict=True) for wire in pair]
    stream = MessageStream()
    taken = []
    for piece in pieces(b"".join(wires), size):
        stream.feed(piece)
        taken += take(stream)
    assert [wire for _, wire in taken] == wires
    assert [message for message, _ in taken] == [decode_one(wire, len(wire)) for wire in wires]
    assert stream.waiting == 0


@pytest.mark.parametrize("take", TAKES)
def test_a_fault_behind_a_long_array_is_told_once_that_is_taken(take: Take) -> None:
    faulty = msgpack.packb([LONG[0], list(range(MAX_ITEMS + 1))])
    stream = MessageStream()
    stream.feed(REQUESTS[0] + LONG[0] + faulty)
    taken = take(stream) if take is MessageStream.take_each else [*stream_take_one(stream), *stream_take_one(stream)]
    assert [wire for _, wire in taken] == [REQUESTS[0], LONG[0]]
    for _ in range(2):
        with pytest.raises(MessageError):
            take(stream)


def test_many_messages_with_long_arrays_taken_one_by_one_are_not_copied_each_time() -> None:
    """A copy of what waits for each of them would take a minute here."""
    wire = msgpack.packb([0] * (UNSEEN_ITEMS + 1))
    count = 2 * MAX_MESSAGE_BYTES // len(wire)
    stream = MessageStream()
    stream.feed(wire * (count // 2))
    stream.feed(wire * (count // 2))
    begun = time.perf_counter()
    assert len(one_by_one(stream)) == count // 2 * 2
    assert time.perf_counter() - begun < 5


def test_no_message_takes_more_than_eighty_times_its_bytes() -> None:
    """The worst there is: empty maps, each one byte to send and 64 to keep, with 8 for its place."""
    rows = 51
    wire = b"\xdc" + rows.to_bytes(2, "big") + (b"\xdc" + MAX_ITEMS.to_bytes(2, "big") + b"\x80" * MAX_ITEMS) * rows
    assert len(wire) < MAX_MESSAGE_BYTES
    peak, _ = peak_and_held(lambda: split(wire))
    assert peak < 80 * len(wire)


@pytest.mark.parametrize("take", TAKES)
def test_a_message_in_small_pieces_is_looked_at_once(take: Take) -> None:
    """A copy of everything at each piece would take half a minute here."""
    wire = msgpack.packb([18, 1, [[b"88.118/%d" % i, None, bytes(40)] for i in range(16_000)]])
    stream = MessageStream()
    taken = []
    begun = time.perf_counter()
    for piece in pieces(wire, 16):
        stream.feed(piece)
        taken += take(stream)
    assert time.perf_counter() - begun < 5
    assert [len(one) for _, one in taken] == [len(wire)]
