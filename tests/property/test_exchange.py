"""A client against an honest server behind a line that bends, cuts and mixes what is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from protocol.errors import MessageError, NotVerified
from protocol.exchange import Exchange, Reply
from protocol.messages import Op
from protocol.receipts import encode_receipt, verify_receipt
from protocol.status import Status
from tests.fuzz.decoders import asking, conversation, judge_datagrams, judge_exchange, same
from tests.fuzz.seeds import seeds
from tests.property.strategies import FEW, MANY, damaged
from tests.protocol.simulator import Connection, Server, client
from tests.vectors.actors import ANCHOR, BODY, IDENTIFIER, NOW_MS, SECONDARY_CHAIN

HONEST = conversation()[1]


@pytest.mark.parametrize("knowing", [True, False], ids=["knowing the chain", "asking for it"])
def test_no_single_flipped_bit_is_ever_accepted_as_another_answer(knowing: bool) -> None:
    """Every bit of a server's stream, one after the other."""
    truth = conversation()[2]
    for bit in range(8 * len(HONEST)):
        bent = bytearray(HONEST)
        bent[bit >> 3] ^= 1 << (bit & 7)
        exchange = asking(knowing=knowing)
        replies = []
        try:
            replies = exchange.receive(bytes(bent), NOW_MS)
        except (MessageError, NotVerified):
            continue
        assert len(replies) < len(truth), f"bit {bit} was not noticed"
        for reply in replies:
            assert isinstance(reply, Reply)
            assert same(truth[reply.rid], (reply.status, reply.payload))


@FEW
@given(data=damaged([HONEST, *seeds()[-20:]]))
def test_no_damage_is_ever_accepted_as_another_answer(data: bytes) -> None:
    judge_exchange(data)
    judge_exchange(HONEST + data)
    judge_exchange(data + HONEST)


@MANY
@given(data=damaged([HONEST]))
def test_no_damaged_datagram_is_accepted_or_stops_the_true_one(data: bytes) -> None:
    judge_datagrams(data)


@FEW
@given(asked=st.lists(st.integers(0, 9), min_size=1, max_size=30), bundle=st.integers(1, 8), draw=st.data())
def test_everything_asked_is_answered_once(asked: list[int], bundle: int, draw: st.DataObject) -> None:
    server = Server(bundle=bundle)
    exchange, connection = client(), server.connect()
    rids = {}
    for number in asked:
        rid, wire = exchange.ask(Op.RESOLVE, b"88.118.32001/%d" % number if number else IDENTIFIER)
        rids[rid] = number
        connection.stream.feed(wire)
    server.turn()
    data = connection.take()
    replies = []
    place = draw.draw(st.integers(0, len(data)))
    for piece in (data[:place], data[place:]):
        replies += exchange.receive(piece, NOW_MS)
    assert replies == []
    connection.stream.feed(exchange.ask(Op.CHAIN)[1])
    server.turn()
    _, *replies = exchange.receive(connection.take(), NOW_MS)
    assert [reply.rid for reply in replies] == list(rids)
    for reply in replies:
        assert (reply.status, reply.payload) == ((0, BODY) if rids[reply.rid] == 0 else (100, 300))
    assert exchange.outstanding == 0


class Conversations(RuleBasedStateMachine):
    """Several clients of one server, pieces of any length, answers that mix: every question gets its true answer."""

    connections = Bundle("connections")
    replies = Bundle("replies")

    @initialize(bundle=st.integers(1, 5))
    def start(self, bundle: int) -> None:
        self.server = Server(bundle=bundle)
        self.lines: list[tuple[Exchange, Connection, bytearray]] = []
        self.wanted: list[dict[int, tuple[int, object]]] = []

    @rule(target=connections, knowing=st.booleans(), first=st.integers(0, (1 << 64) - 1))
    def connect(self, knowing: bool, first: int) -> int:
        exchange = client(knowing=SECONDARY_CHAIN if knowing else None, first_rid=first)
        self.lines.append((exchange, self.server.connect(), bytearray()))
        self.wanted.append({})
        return len(self.lines) - 1

    @rule(which=connections, number=st.integers(0, 3), alone=st.booleans())
    def ask(self, which: int, number: int, alone: bool) -> None:
        exchange, connection, _ = self.lines[which]
        identifier = b"88.118.32001/%d" % number if number else IDENTIFIER
        rid, wire = exchange.ask(Op.RESOLVE, identifier, int(alone))
        self.wanted[which][rid] = (int(Status.NOT_FOUND), 300) if number else (int(Status.OK), BODY)
        connection.stream.feed(wire)

    @rule()
    def turn(self) -> None:
        self.server.turn()
        for _, connection, line in self.lines:
            line += connection.take()

    @rule(target=replies, which=connections, length=st.integers(1, 400))
    def receive(self, which: int, length: int) -> object:
        exchange, connection, line = self.lines[which]
        got = exchange.receive(bytes(line[:length]), NOW_MS)
        del line[:length]
        if exchange.wants_chain:
            rid, wire = exchange.ask(Op.CHAIN)
            self.wanted[which][rid] = (int(Status.OK), tuple(SECONDARY_CHAIN))
            connection.stream.feed(wire)
        for reply in got:
            assert isinstance(reply, Reply)
            assert self.wanted[which].pop(reply.rid) == (reply.status, reply.payload)
        return multiple(*(reply for reply in got if (isinstance(reply, Reply) and reply.evidence and not reply.payload)
                          or isinstance(reply.payload, (int, bytes))))  # fmt: skip

    @rule(reply=consumes(replies))
    def keep(self, reply: Reply) -> None:
        if reply.evidence is not None:
            answer = verify_receipt(encode_receipt(*reply.evidence, SECONDARY_CHAIN), ANCHOR).answer
            assert answer.status == reply.status

    @invariant()
    def what_is_open_is_what_is_wanted(self) -> None:
        for (exchange, _, _), wanted in zip(self.lines, self.wanted, strict=True):
            assert exchange.outstanding == len(wanted)

    def teardown(self) -> None:
        for _ in range(3):  # answers, then the chain for those who must ask for it
            self.turn()
            for which, (_, _, line) in enumerate(self.lines):
                while line:
                    self.receive(which, len(line))
        assert all(not wanted for wanted in self.wanted)


Conversations.TestCase.settings = FEW
TestConversations = Conversations.TestCase
