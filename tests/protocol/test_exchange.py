"""The client's half against a server in memory, honest and bent."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest

from protocol.answers import read_answer
from protocol.errors import MessageError, NotVerified
from protocol.exchange import Exchange, Reply, UnprovenReply, read_chain
from protocol.framing import split
from protocol.limits import MAX_BUNDLE_BYTES, MAX_MESSAGE_BYTES
from protocol.messages import MAX_RID, Op, encode_response
from protocol.receipts import encode_receipt, verify_receipt
from protocol.seals import encode_seal, leaf, read_seal, seal_turn
from protocol.status import Status
from protocol.trust import Chain
from tests.protocol.simulator import Connection, Server, client
from tests.vectors.actors import (
    ABSENT,
    ANCHOR,
    BODY,
    ENTERPRISE_CHAIN,
    IDENTIFIER,
    NOW_MS,
    OTHER_SECONDARY,
    RID,
    SECONDARY,
    SECONDARY_CHAIN,
    STRANGER,
    TOP,
    key,
)


def conversation(exchange: Exchange, connection: Connection, requests: bytes) -> list[UnprovenReply]:
    """Send, let the server have its turn, receive."""
    connection.stream.feed(requests)
    connection.server.turn()
    return exchange.receive(connection.take(), NOW_MS)


# Honest --------------------------------------------------------------------------------------------------


def test_a_question_and_its_verified_answer() -> None:
    exchange, connection = client(knowing=SECONDARY_CHAIN), Server().connect()
    rid, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    assert exchange.outstanding == 1
    (reply,) = conversation(exchange, connection, wire)
    assert isinstance(reply, Reply)
    assert (reply.rid, reply.status, reply.payload) == (rid, 0, BODY)
    assert reply.proof.zone.prefix == "88.118"
    assert exchange.outstanding == 0
    assert read_answer(IDENTIFIER, reply.status, reply.payload, reply.proof).url == "https://example.cn/p/123456"


def test_what_was_sealed_alone_makes_a_receipt() -> None:
    exchange, connection = client(knowing=SECONDARY_CHAIN), Server().connect()
    (reply,) = conversation(exchange, connection, exchange.ask(Op.RESOLVE, IDENTIFIER, 1)[1])
    assert isinstance(reply, Reply)
    assert reply.evidence is not None
    receipt = encode_receipt(*reply.evidence, SECONDARY_CHAIN)
    assert verify_receipt(receipt, ANCHOR).answer.found


def test_what_was_sealed_with_others_makes_none() -> None:
    exchange, connection = client(knowing=SECONDARY_CHAIN), Server().connect()
    wires = [exchange.ask(Op.RESOLVE, IDENTIFIER)[1] for _ in range(3)]
    for reply in conversation(exchange, connection, b"".join(wires)):
        assert isinstance(reply, Reply)
        assert reply.evidence is None


@pytest.mark.parametrize("bundle", [1, 2, 3, 256])
def test_pipelined_questions_in_bundles_of_any_size(bundle: int) -> None:
    server = Server(bundle=bundle)
    exchanges = [client(knowing=SECONDARY_CHAIN, first_rid=1_000 * i) for i in range(3)]
    connections = [server.connect() for _ in exchanges]
    for exchange, connection in zip(exchanges, connections, strict=True):
        for i in range(7):
            connection.stream.feed(exchange.ask(Op.RESOLVE, b"88.118.32001/%d" % i)[1])
    server.turn()
    for i, (exchange, connection) in enumerate(zip(exchanges, connections, strict=True)):
        replies = exchange.receive(connection.take(), NOW_MS)
        assert [reply.rid for reply in replies] == list(range(1_000 * i, 1_000 * i + 7))
        assert all(isinstance(reply, Reply) for reply in replies)


def test_byte_by_byte() -> None:
    exchange, connection = client(knowing=SECONDARY_CHAIN), Server().connect()
    wires = [exchange.ask(Op.RESOLVE, IDENTIFIER)[1] for _ in range(3)]
    connection.stream.feed(b"".join(wires))
    connection.server.turn()
    replies = [reply for byte in connection.take() for reply in exchange.receive(bytes([byte]), NOW_MS)]
    assert [reply.rid for reply in replies] == [RID, RID + 1, RID + 2]


def test_rids_wrap_around() -> None:
    exchange = client(first_rid=MAX_RID)
    assert [exchange.ask(Op.PING)[0] for _ in range(2)] == [MAX_RID, 0]
    assert client(first_rid=MAX_RID + 6).ask(Op.PING)[0] == 5


# The chain on demand -------------------------------------------------------------------------------------


def test_answers_wait_for_the_chain() -> None:
    exchange, connection = client(), Server().connect()
    assert not exchange.wants_chain
    assert conversation(exchange, connection, exchange.ask(Op.RESOLVE, IDENTIFIER)[1]) == []
    assert exchange.wants_chain
    rid, wire = exchange.ask(Op.CHAIN)
    assert not exchange.wants_chain
    replies = conversation(exchange, connection, wire)
    assert [reply.rid for reply in replies] == [rid, RID]
    assert exchange.chain == SECONDARY_CHAIN


def test_the_chain_may_be_asked_for_at_once() -> None:
    exchange, connection = client(), Server(bundle=1).connect()
    wire = exchange.ask(Op.RESOLVE, IDENTIFIER)[1] + exchange.ask(Op.CHAIN)[1] + exchange.ask(Op.RESOLVE, ABSENT)[1]
    replies = conversation(exchange, connection, wire)
    assert [reply.rid for reply in replies] == [RID + 1, RID, RID + 2]
    assert exchange.chain == SECONDARY_CHAIN
    assert not exchange.wants_chain


def test_a_key_that_changes_on_a_connection_is_asked_for() -> None:
    old, new = Server(), Server(SECONDARY._replace(online=key("secondary online, next")))
    exchange, connection = client(knowing=SECONDARY_CHAIN), old.connect()
    assert len(conversation(exchange, connection, exchange.ask(Op.PING)[1])) == 1
    chain = Chain(SECONDARY_CHAIN.delegations, (*SECONDARY_CHAIN.online_keys, new.zone.online_statement()))
    after = Server(new.zone, chain).connect()
    assert conversation(exchange, after, exchange.ask(Op.PING)[1]) == []
    assert exchange.wants_chain
    assert len(conversation(exchange, after, exchange.ask(Op.CHAIN)[1])) == 2


BAD_CHAINS = {
    "of a stranger": (STRANGER, Chain((TOP.delegate(STRANGER, parent="99"),), (STRANGER.online_statement(),))),
    "without the online key in use": (SECONDARY._replace(online=key("unnamed")), SECONDARY_CHAIN),
    "of another zone": (SECONDARY, ENTERPRISE_CHAIN),
    "that is empty": (SECONDARY, Chain((), ())),
}


@pytest.mark.parametrize(("zone", "chain"), BAD_CHAINS.values(), ids=BAD_CHAINS)
def test_a_chain_that_does_not_vouch_for_its_seal(zone: object, chain: Chain) -> None:
    exchange, connection = client(), Server(zone, chain).connect()  # type: ignore[arg-type]
    with pytest.raises((NotVerified, MessageError)):
        conversation(exchange, connection, exchange.ask(Op.CHAIN)[1])
    assert exchange.chain is None


@pytest.mark.parametrize(
    "payload", [None, (), ((),), ((), (), ()), (((), 5)), (b"", b""), ((1,), ()), ((), (b"a", "b")), {}]
)
def test_what_is_no_chain(payload: object) -> None:
    with pytest.raises(MessageError) as caught:
        read_chain(payload)
    assert caught.value.rule.name == "exchange.bad-chain"


# Bent ----------------------------------------------------------------------------------------------------


def sealed(asked: list[bytes], said: list[bytes], n: int | None = None, time: int = NOW_MS) -> bytes:
    """A bundle that the secondary sealed."""
    leaves = [leaf(b"".join(asked), b"".join(said))]
    (seal,) = seal_turn([len(said) if n is None else n], leaves, SECONDARY.online, time)
    return b"".join(said) + seal


def rule_of(exchange: Exchange, data: bytes) -> str:
    with pytest.raises((NotVerified, MessageError)) as caught:
        exchange.receive(data, NOW_MS)
    return caught.value.rule.name


def test_an_answer_nobody_asked_for() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.PING)
    assert rule_of(exchange, sealed([wire], [encode_response(RID + 5, 0, None)])) == "exchange.unasked"


def test_an_answer_that_comes_twice() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    bundle = sealed([exchange.ask(Op.PING)[1]], [encode_response(RID, 0, None)])
    assert len(exchange.receive(bundle, NOW_MS)) == 1
    assert rule_of(exchange, bundle) == "exchange.unasked"


def test_an_answer_that_comes_twice_in_one_bundle() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.PING)
    said = [encode_response(RID, 0, None), encode_response(RID, 100, None)]
    assert rule_of(exchange, sealed([wire, wire], said)) == "exchange.unasked"


def test_answers_swapped_between_two_questions() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    one, other = exchange.ask(Op.RESOLVE, IDENTIFIER)[1], exchange.ask(Op.RESOLVE, ABSENT)[1]
    said = [encode_response(RID, 100, 300), encode_response(RID + 1, 0, BODY)]
    assert rule_of(exchange, sealed([other, one], said)) == "trust.bad-seal"


def test_answers_in_any_order_are_right_when_sealed_so() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    one, other = exchange.ask(Op.RESOLVE, IDENTIFIER)[1], exchange.ask(Op.RESOLVE, ABSENT)[1]
    said = [encode_response(RID + 1, 100, 300), encode_response(RID, 0, BODY)]
    replies = exchange.receive(sealed([other, one], said), NOW_MS)
    assert [(reply.rid, reply.status) for reply in replies] == [(RID + 1, 100), (RID, 0)]


@pytest.mark.parametrize("n", [1, 3])
def test_a_seal_for_another_number_of_answers(n: int) -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    wires = [exchange.ask(Op.PING)[1] for _ in range(2)]
    said = [encode_response(RID + i, 0, None) for i in range(2)]
    assert rule_of(exchange, sealed(wires, said, n)) == "exchange.wrong-count"


def test_a_seal_without_answers() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    assert rule_of(exchange, sealed([], [], 1)) == "exchange.wrong-count"


def test_the_answer_of_yesterday() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.PING)
    old = sealed([wire], [encode_response(RID, 0, None)], time=NOW_MS - 86_400_000)
    assert rule_of(exchange, old) == "trust.clock-behind"


def test_the_answer_to_the_same_question_of_another_connection() -> None:
    """Another rid makes it another question."""
    exchange = client(knowing=SECONDARY_CHAIN, first_rid=1)
    exchange.ask(Op.RESOLVE, IDENTIFIER)
    other = client(first_rid=2)
    _, wire = other.ask(Op.RESOLVE, IDENTIFIER)
    assert rule_of(exchange, sealed([wire], [encode_response(1, 0, BODY)])) == "trust.bad-seal"


@pytest.mark.parametrize("junk", [b"\x01", b"\x90", b"\x91\xc0", b"\x92\x01\x02", b"\x98\xc0" + bytes(7), b"\xc1"])
def test_what_is_neither_response_nor_seal(junk: bytes) -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    exchange.ask(Op.PING)
    with pytest.raises(MessageError):
        exchange.receive(junk, NOW_MS)


def test_a_node_that_says_it_gives_up_is_not_believed() -> None:
    """A server that cannot understand us sends rid 0 without a seal, and closes: nothing is settled by it."""
    exchange = client(knowing=SECONDARY_CHAIN)
    exchange.ask(Op.PING)
    assert exchange.receive(encode_response(0, Status.BAD_REQUEST, None), NOW_MS) == []
    assert exchange.outstanding == 1


def test_a_zone_that_has_no_say_is_caught_when_the_answer_is_read() -> None:
    chain = Chain((TOP.delegate(OTHER_SECONDARY),), (OTHER_SECONDARY.online_statement(),))
    exchange, connection = client(knowing=chain), Server(OTHER_SECONDARY, chain).connect()
    (reply,) = conversation(exchange, connection, exchange.ask(Op.RESOLVE, IDENTIFIER)[1])
    assert isinstance(reply, Reply)
    with pytest.raises(NotVerified) as caught:
        read_answer(IDENTIFIER, reply.status, reply.payload, reply.proof)
    assert caught.value.rule.name == "trust.foreign-identifier"


# Bounds --------------------------------------------------------------------------------------------------

PAD = bytes(MAX_MESSAGE_BYTES - 100)


def test_a_node_that_never_seals_is_stopped() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    data = encode_response(RID, 0, PAD)
    tracemalloc.start()
    with pytest.raises(NotVerified) as caught:  # noqa: PT012
        for _ in range(MAX_BUNDLE_BYTES // len(data) + 2):
            exchange.receive(data, NOW_MS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.rule.name == "exchange.too-much"
    assert peak < 3 * MAX_BUNDLE_BYTES


def test_a_node_that_never_shows_its_chain_is_stopped() -> None:
    exchange = client()
    with pytest.raises(NotVerified) as caught:  # noqa: PT012
        for i in range(MAX_BUNDLE_BYTES // len(PAD) + 2):
            _, wire = exchange.ask(Op.PING)
            exchange.receive(sealed([wire], [encode_response(RID + i, 0, PAD)]), NOW_MS)
    assert caught.value.rule.name == "trust.unknown-key"


def test_what_no_chain_can_help_is_not_kept_for_it() -> None:
    """Answers to nothing, and the same answer twice, were put aside without end."""
    exchange = client()
    _, wire = exchange.ask(Op.PING)
    said = encode_response(RID, 0, None)
    with pytest.raises(NotVerified):
        exchange.receive(sealed([wire], [encode_response(RID + 1, 0, None)]), NOW_MS)
    assert exchange.receive(sealed([wire], [said]), NOW_MS) == []
    with pytest.raises(NotVerified) as caught:
        exchange.receive(sealed([wire], [said]), NOW_MS)
    assert caught.value.rule.name == "exchange.unasked"


# Datagrams -----------------------------------------------------------------------------------------------


def test_a_datagram_with_its_answer() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    (reply,) = exchange.receive_datagram(sealed([wire], [encode_response(RID, 0, BODY)]), NOW_MS)
    assert isinstance(reply, Reply)


def test_a_truncated_answer_comes_without_a_seal_and_proves_nothing() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    exchange.ask(Op.RESOLVE, IDENTIFIER)
    (reply,) = exchange.receive_datagram(encode_response(RID, Status.TRUNCATED, None), NOW_MS)
    assert type(reply) is UnprovenReply
    with pytest.raises(NotVerified):
        exchange.receive_datagram(encode_response(RID + 1, Status.TRUNCATED, None), NOW_MS)


def test_a_truncated_answer_does_not_take_the_place_of_the_true_one() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    for _ in range(2):
        assert len(exchange.receive_datagram(encode_response(RID, Status.TRUNCATED, None), NOW_MS)) == 1
    (reply,) = exchange.receive_datagram(sealed([wire], [encode_response(RID, 0, BODY)]), NOW_MS)
    assert isinstance(reply, Reply)
    with pytest.raises(NotVerified):
        exchange.receive_datagram(encode_response(RID, Status.TRUNCATED, None), NOW_MS)


def test_a_datagram_under_an_unknown_key_is_for_later() -> None:
    """It is not kept, so that one with a forged key does not take the place of the true one; it can be given again."""
    exchange = client()
    _, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    true = sealed([wire], [encode_response(RID, 0, BODY)])
    forged = true.replace(SECONDARY.online.public.id, b"unknown!")
    for datagram in (forged, true, true):
        with pytest.raises(NotVerified) as caught:
            exchange.receive_datagram(datagram, NOW_MS)
        assert caught.value.rule.name == "trust.unknown-key"
    rid, asked = exchange.ask(Op.CHAIN)
    (shown,) = exchange.receive_datagram(sealed([asked], [encode_response(rid, 0, SECONDARY_CHAIN)]), NOW_MS)
    assert shown.rid == rid
    (reply,) = exchange.receive_datagram(true, NOW_MS)
    assert isinstance(reply, Reply)
    assert exchange.outstanding == 0


def test_behind_what_waits_for_the_chain_something_broken() -> None:
    """What came under an unknown key stayed behind, and the next chain was then refused because of it."""
    exchange = client()
    _, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    true = sealed([wire], [encode_response(RID, 0, BODY)])
    with pytest.raises(MessageError):
        exchange.receive_datagram(true.replace(SECONDARY.online.public.id, b"unknown!") + b"\x01", NOW_MS)
    rid, asked = exchange.ask(Op.CHAIN)
    assert len(exchange.receive_datagram(sealed([asked], [encode_response(rid, 0, SECONDARY_CHAIN)]), NOW_MS)) == 1
    assert len(exchange.receive_datagram(true, NOW_MS)) == 1


def test_any_other_answer_without_a_seal_is_nothing() -> None:
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.RESOLVE, IDENTIFIER)
    assert exchange.receive_datagram(encode_response(RID, 0, BODY), NOW_MS) == []
    # and does not count for the next datagram
    assert len(exchange.receive_datagram(sealed([wire], [encode_response(RID, 100, 300)]), NOW_MS)) == 1


FORGED = [
    b"",
    b"\xc1",
    b"\x01",
    encode_response(RID, 0, None),
    encode_response(RID, 0, None) + encode_seal(read_seal((None, 1, NOW_MS, SECONDARY.online.public.id, 0, 1, b"",
                                                           bytes(64)))),
    sealed([b"\x92\x05\xcf" + bytes(8)], [encode_response(RID, 0, None)]),
    sealed([b"\x92\x05\xcf" + RID.to_bytes(8, "big")], [encode_response(RID, 100, None)])[:-1] + b"\x00",
    encode_response(RID, 0, None) * 2 + b"\xc0",
]  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_datagram_does_not_take_the_place_of_the_true_one(forged: bytes) -> None:
    """The question was forgotten before the seal was judged, and the true answer then refused as unasked."""
    exchange = client(knowing=SECONDARY_CHAIN)
    _, wire = exchange.ask(Op.PING)
    with contextlib.suppress(MessageError, NotVerified):
        assert exchange.receive_datagram(forged, NOW_MS) == []
    (reply,) = exchange.receive_datagram(sealed([wire], [encode_response(RID, 0, None)]), NOW_MS)
    assert isinstance(reply, Reply)


def test_a_question_given_up_is_not_asked_any_more() -> None:
    exchange = client()
    rid, _ = exchange.ask(Op.CHAIN)
    exchange.forget(rid)
    assert exchange.outstanding == 0
    exchange.forget(rid)


# Without seals -------------------------------------------------------------------------------------------


def test_without_a_verifier_replies_are_unproven() -> None:
    exchange = Exchange(None, RID)
    exchange.ask(Op.RESOLVE, IDENTIFIER)
    (reply,) = exchange.receive(encode_response(RID, 0, BODY), NOW_MS)
    assert type(reply) is UnprovenReply
    assert not hasattr(reply, "proof")


def test_without_a_verifier_seals_are_passed_over() -> None:
    exchange, connection = Exchange(None, RID), Server().connect()
    (reply,) = conversation(exchange, connection, exchange.ask(Op.RESOLVE, IDENTIFIER)[1])
    assert type(reply) is UnprovenReply


def test_without_a_verifier_unasked_answers_are_refused_too() -> None:
    with pytest.raises(NotVerified):
        Exchange(None, RID).receive(encode_response(RID, 0, None), NOW_MS)


def test_every_bundle_of_a_turn_is_followed_by_its_own_seal() -> None:
    server = Server(bundle=2)
    connection = server.connect()
    exchange = client(knowing=SECONDARY_CHAIN)
    connection.stream.feed(b"".join(exchange.ask(Op.PING)[1] for _ in range(5)))
    server.turn()
    shapes = [len(message) for message, _ in split(connection.take())]  # type: ignore[arg-type]
    assert shapes == [3, 3, 8, 3, 3, 8, 3, 8]
