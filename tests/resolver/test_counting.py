"""Every identifier that is answered is counted once, by its outcome, whichever way the answer went."""

from __future__ import annotations

import socket
import time

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StoreError
from protocol.framing import decode_one
from protocol.limits import UDP_REQUEST_BYTES
from protocol.messages import Op, encode_request
from protocol.runs import Run
from protocol.signatures import SigningKey
from registry.store.counters import NAMES, TCP_BUNDLES, TCP_BYTES, TCP_REQUESTS, new_tally
from registry.store.interface import STORE_FAILED
from registry.store.memory import MemoryStore
from resolver.answering import Answerer
from resolver.tcp import count_bundles
from resolver.udp import DatagramDoor
from tests.resolver.test_answering import FACTS, PRESENT, STORE

ASKED = {
    "ok": list(PRESENT),
    "not_found": ["88.118.1/absent", "88.118/absent"],
    "withdrawn": ["88.118.1/gone"],
    "suspended": ["88.118.1/held"],
    "not_responsible": ["88.119/x"],
    "bad_identifier": ["no-slash", "88..118/x"],
}
OUTCOMES = {identifier: outcome for outcome, group in ASKED.items() for identifier in group}
ECHO = b"\xcf" + bytes(8)


def counted(tally: object) -> dict[str, int]:
    """The counters that are not zero."""
    return {name: tally[i] for i, name in enumerate(NAMES) if tally[i]}  # type: ignore[index]


def expected(identifiers: list[str]) -> dict[str, int]:
    outcomes = [f"resolved.{OUTCOMES[identifier]}" for identifier in identifiers]
    return {outcome: outcomes.count(outcome) for outcome in outcomes}


@given(st.lists(st.sampled_from(list(OUTCOMES)), min_size=1))
def test_all_ways_count_the_same(identifiers: list[str]) -> None:
    raw = [identifier.encode() for identifier in identifiers]
    by_run, by_single, by_one, by_many = (Answerer(STORE, FACTS) for _ in range(4))
    assert by_run.run(Run((ECHO,) * len(raw), tuple(raw), 0))
    for identifier in raw:
        assert by_single.single(ECHO, identifier)
        by_one.one((int(Op.RESOLVE), 1, identifier, 1))
    by_many.one((int(Op.RESOLVE_MANY), 1, tuple(raw)))
    for answerer in (by_run, by_single, by_one, by_many):
        assert counted(answerer._tally) == expected(identifiers)


def test_what_is_no_question_counts_as_other_and_other_operations_do_not() -> None:
    answerer = Answerer(STORE, FACTS)
    answerer.one((int(Op.RESOLVE), 1, 17))
    for op in (Op.PING, Op.STATUS, Op.CHAIN, Op.HELLO, 99):
        answerer.one((int(op), 1))
    assert counted(answerer._tally) == {"resolved.other": 1}


class _Broken(MemoryStore):
    def get(self, identifier: bytes) -> bytes | None:
        raise StoreError(STORE_FAILED, path="x", reason="broken")


def test_a_store_that_fails_is_counted_once() -> None:
    answerer = Answerer(_Broken(), FACTS)
    wire = encode_request(Op.RESOLVE, 1, b"88.118.1/x")
    assert answerer.single(ECHO, b"88.118.1/x") is None
    assert answerer.plain([decode_one(wire)]) is None
    answerer.one(decode_one(wire))
    assert counted(answerer._tally) == {"resolved.other": 1}


def test_bundles_of_a_turn_are_counted_together() -> None:
    tally = new_tally()
    count_bundles(tally, [1, 64, 3], [b"x" * 10, b"y" * 100, b"z"])
    count_bundles(tally, [2], [b""])
    assert counted(tally) == {NAMES[TCP_REQUESTS]: 70, NAMES[TCP_BUNDLES]: 4, NAMES[TCP_BYTES]: 111}


def test_datagrams() -> None:
    tally = new_tally()
    answerer = Answerer(STORE, FACTS, tally=tally)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        client.settimeout(10)
        door = DatagramDoor(server, answerer, SigningKey(b"k" * 32), STORE.rest, tally)
        client.connect(server.getsockname())
        good = encode_request(Op.RESOLVE, 1, b"88.118/short", 0, bytes(UDP_REQUEST_BYTES))
        for wire in (good, b"\xc1", msgpack.packb([int(Op.RESOLVE), 2, b"88.118/absent", 0, bytes(400)])):
            client.send(wire)
        deadline = time.monotonic() + 10
        while sum(counted(tally).get(f"udp.{name}", 0) for name in ("requests", "dropped")) < 3:
            assert time.monotonic() < deadline
            door.on_readable()
        received = [client.recv(2_000) for _ in range(2)]
    assert counted(tally) == {
        "resolved.ok": 1, "resolved.not_found": 1,
        "udp.requests": 2, "udp.dropped": 1, "udp.bytes": sum(map(len, received)),
    }  # fmt: skip
