"""A turn: one signature for what several connections were answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.framing import split
from protocol.seals import read_seal
from protocol.turn import Turn
from tests.protocol import plain
from tests.vectors.actors import NOW_MS, SECONDARY


@dataclass
class Loop:
    """Functions that wait for their turn, and what happened."""

    soon: list[Callable[[], None]] = field(default_factory=list)
    ends: int = 0

    def call_soon(self, function: Callable[[], None]) -> None:
        self.soon.append(function)

    def run(self) -> None:
        waiting, self.soon = self.soon, []
        for function in waiting:
            function()

    def end(self) -> None:
        self.ends += 1


@dataclass
class Sink:
    received: list[bytes] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.received.append(data)


def make_turn(loop: Loop) -> Turn:
    return Turn(SECONDARY.online, loop.call_soon, lambda: NOW_MS, loop.end)


def sealed_under(data: bytes, requests: list[bytes]) -> bytes:
    """The signature under a bundle, which must hold."""
    *responses, (_, seal) = split(data)
    assert plain.seal_holds(requests, [wire for _, wire in responses], seal, SECONDARY.online.public.raw)
    return read_seal(split(seal)[0][0]).signature


def test_all_bundles_of_a_turn_share_a_signature() -> None:
    loop, sinks = Loop(), [Sink(), Sink(), Sink()]
    turn = make_turn(loop)
    for i, sink in enumerate(sinks):
        turn.add(sink, i + 1, b"\x01" * (i + 1), b"\x02" * (i + 1))
    assert len(loop.soon) == 1
    assert not sinks[0].received
    loop.run()
    assert loop.ends == 1
    signatures = {sealed_under(sink.received[0], [b"\x01"] * (i + 1)) for i, sink in enumerate(sinks)}
    assert len(signatures) == 1


def test_a_connection_may_have_several_bundles_in_a_turn() -> None:
    loop, sink = Loop(), Sink()
    turn = make_turn(loop)
    turn.add(sink, 1, b"\x01", b"\x02")
    turn.add(sink, 2, b"\x03\x04", b"\x05\x06")
    loop.run()
    assert len(sink.received) == 2
    sealed_under(sink.received[0], [b"\x01"])
    sealed_under(sink.received[1], [b"\x03", b"\x04"])


def test_the_next_turn_begins_anew() -> None:
    loop, sink = Loop(), Sink()
    turn = make_turn(loop)
    turn.add(sink, 1, b"\x01", b"\x02")
    loop.run()
    loop.run()
    assert (len(sink.received), loop.ends) == (1, 1)
    turn.add(sink, 1, b"\x07", b"\x08")
    loop.run()
    sealed_under(sink.received[1], [b"\x07"])
    assert loop.ends == 2


def test_a_turn_with_nothing_to_seal_ends_too() -> None:
    loop = Loop()
    turn = make_turn(loop)
    turn.begin()
    turn.begin()
    assert len(loop.soon) == 1
    loop.run()
    assert loop.ends == 1


def test_a_flush_before_its_time_leaves_nothing_for_later() -> None:
    loop, sink = Loop(), Sink()
    turn = make_turn(loop)
    turn.add(sink, 1, b"\x01", b"\x02")
    turn.flush()
    loop.run()
    assert len(sink.received) == 1


def test_what_is_answered_while_a_turn_ends_is_in_the_next() -> None:
    loop = Loop()
    turn = make_turn(loop)
    late = Sink()

    class Answering(Sink):
        def send(self, data: bytes) -> None:
            super().send(data)
            turn.add(late, 1, b"\x03", b"\x04")

    turn.add(Answering(), 1, b"\x01", b"\x02")
    loop.run()
    assert not late.received
    loop.run()
    sealed_under(late.received[0], [b"\x03"])
