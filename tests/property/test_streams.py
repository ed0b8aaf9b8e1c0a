"""Streams in any pieces, with anything behind them."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError
from protocol.framing import MessageStream, split
from tests.fuzz.decoders import same
from tests.property.strategies import MANY, anything
from tests.protocol.test_messages import as_decoded

several = st.lists(anything, min_size=1, max_size=8)
JUNK = [b"\xc1", b"\xc1" + bytes(20), b"\xd4\x05\x00", b"\xdd\xff\xff\xff\xff", b"\x81\x80\x01"]


def pieces_of(data: bytes, draw: st.DataObject) -> list[bytes]:
    """The bytes cut at random places."""
    places = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


@MANY
@given(values=several, draw=st.data(), most=st.integers(1, 5))
def test_any_pieces_give_the_same_messages(values: list[object], draw: st.DataObject, most: int) -> None:
    wires = [msgpack.packb(value) for value in values]
    stream = MessageStream()
    messages: list[object] = []
    taken = b""
    for piece in pieces_of(b"".join(wires), draw):
        stream.feed(piece)
        while True:
            some, wire = stream.take(most)
            assert len(some) <= most
            if not some:
                break
            messages += some
            taken += wire
    assert same(messages, [as_decoded(value) for value in values])
    assert taken == b"".join(wires)
    assert stream.waiting == 0


@MANY
@given(values=several, draw=st.data())
def test_each_message_comes_with_its_own_bytes(values: list[object], draw: st.DataObject) -> None:
    wires = [msgpack.packb(value) for value in values]
    stream = MessageStream()
    taken = []
    for piece in pieces_of(b"".join(wires), draw):
        stream.feed(piece)
        taken += stream.take_each()
    assert [wire for _, wire in taken] == wires
    assert same([message for message, _ in taken], [as_decoded(value) for value in values])


@MANY
@given(values=several, junk=st.sampled_from(JUNK), draw=st.data())
def test_junk_is_met_after_everything_before_it(values: list[object], junk: bytes, draw: st.DataObject) -> None:
    wires = [msgpack.packb(value) for value in values]
    stream = MessageStream()
    taken: list[bytes] = []
    with pytest.raises(MessageError):  # noqa: PT012 where it raises depends on the cuts
        for piece in [*pieces_of(b"".join(wires), draw), junk]:
            stream.feed(piece)
            taken += [wire for _, wire in stream.take_each()]
        stream.take_each()
    assert taken == wires
    for _ in range(2):
        stream.feed(wires[0])
        with pytest.raises(MessageError):
            stream.take(1)


@MANY
@given(values=several, limit=st.integers(1, 40), draw=st.data())
def test_the_limit_holds_however_the_bytes_are_cut(values: list[object], limit: int, draw: st.DataObject) -> None:
    wires = [msgpack.packb(value) for value in values]
    fitting = []
    for wire in wires:
        if len(wire) > limit:
            break
        fitting.append(wire)
    stream = MessageStream(limit)
    taken: list[bytes] = []
    refused = False
    try:
        for piece in [*pieces_of(b"".join(wires), draw), b""]:
            stream.feed(piece)
            while more := stream.take(2)[1]:
                taken.append(more)
    except MessageError:
        refused = True
    assert b"".join(taken) == b"".join(fitting)
    assert refused == (len(fitting) < len(wires))


@MANY
@given(values=several, cut=st.integers(1, 30))
def test_what_is_incomplete_is_not_split_off(values: list[object], cut: int) -> None:
    wires = [msgpack.packb(value) for value in values]
    data = b"".join(wires)[:-cut] if cut < len(wires[-1]) else b"".join(wires[:-1])
    assert [wire for _, wire in split(data)] == wires[:-1]
