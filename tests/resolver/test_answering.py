"""Requests to responses, without any connection."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.answers import read_unproven_answer
from protocol.framing import MessageStream, decode_one, split
from protocol.limits import ABSENT_TTL_SECONDS, MAX_DATA_BYTES, MAX_LIST, MAX_MANY, MAX_MESSAGE_BYTES
from protocol.messages import MAX_RID, Op, Response, encode_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.records import State, Value, decode_body, encode_values
from protocol.runs import read_run, read_single
from protocol.signatures import SigningKey
from protocol.statements import Delegation
from protocol.status import Status
from protocol.trust import Chain
from registry.store.allotments import Stage
from registry.store.history import Policy, policy_write
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from registry.store.writes import ANY, SUSPEND, Write
from resolver.answering import PARTS, Answerer
from tests.registry.store.builders import allot
from tests.resolver.servers import ADMIN_ONLY, NOW, ZONE, put

FACTS = NodeFacts("secondary", ZONE, "biaoshi/1", Chain((b"d",), (b"k",)))

PRESENT = {
    "88.118/short": 1,
    "88.118.1/body-of-255": 238,
    "88.118.1/body-of-256": 239,
    "88.118.1/long": 3_000,
    "88.118.A1/Case 泵/x": 20,
}

BELOW_A_CUT = (b"88.118.7/there", b"88.118.7.1/there", b"88.118.7/absent")

BELOW_A_CLOSURE = {
    b"88.118.6/there": Status.SUSPENDED,
    b"88.118.6.1/x": Status.SUSPENDED,
    b"88.118.5/x": Status.WITHDRAWN,
}


def _store() -> MemoryStore:
    store = MemoryStore()
    for identifier, size in PRESENT.items():
        put(store, identifier, Value(1, "URL", b"x" * size))
    put(store, "88.118.1/greatest", *(Value(i, "T", b"x" * (MAX_DATA_BYTES - 20)) for i in (1, 2)))
    put(store, "88.118.1/mixed", Value(1, "URL", b"u"), Value(2, "PRICE", b"12", permissions=int(ADMIN_ONLY)))
    put(store, "88.118.1/restricted", Value(2, "PRICE", b"12", permissions=int(ADMIN_ONLY)))
    put(store, "88.118.1/gone", Value(1, "URL", b"u"))
    store.apply([Write(b"88.118.1/gone", ANY, None)], NOW)
    put(store, "88.118.1/held", Value(1, "URL", b"u"))
    store.apply([Write(b"88.118.1/held", ANY, SUSPEND)], NOW)
    for identifier in BELOW_A_CUT[:2]:
        put(store, identifier.decode(), Value(1, "URL", b"u"))
    statement = Delegation(ZONE, "88.118.7", 1, NOW, NOW + 9, (SigningKey(bytes(32)).public,), ()).sign(
        SigningKey(bytes(32))
    )
    store.apply([system_write(DELEGATIONS, "88.118.7", {"DELEGATION": statement})], NOW)
    for identifier in BELOW_A_CLOSURE:
        put(store, identifier.decode(), Value(1, "URL", b"u"))
    store.apply([allot("88.118.6", Stage.SUSPENDED), allot("88.118.5", Stage.CLOSED)], NOW)
    return store


STORE = _store()
ANSWERER = Answerer(STORE, FACTS)


def response(wire: bytes) -> Response:
    [(message, whole)] = split(wire)
    assert whole == wire
    return read_response(message)


def ask(op: int, *arguments: object, answerer: Answerer = ANSWERER, rid: int = 5) -> Response:
    wire = msgpack.packb([op, rid, *arguments])
    [(message, _)] = split(wire)
    found = response(answerer.one(message))
    assert found.rid == rid
    return found


def rule_of(found: Response) -> str:
    error = refusal(found.status, found.payload)
    assert error.rule.name != "message.refused"
    assert "{" not in error.message()
    return error.rule.name


@pytest.mark.parametrize("identifier", [*BELOW_A_CLOSURE, b"88.118.6/absent", b"88.118.6.9/absent"])
def test_below_a_prefix_that_is_suspended_or_closed(identifier: bytes) -> None:
    status = BELOW_A_CLOSURE.get(identifier, Status.SUSPENDED)
    assert ask(Op.RESOLVE, identifier)[1:] == (status, None)
    assert ask(Op.RESOLVE_MANY, [identifier, b"88.118/short"]).payload[0] == (status, None)  # type: ignore[index]
    prefix = identifier.partition(b"/")[0]
    assert ask(Op.LIST, prefix, None, 10)[1:] == (status, None)
    answer = read_unproven_answer(identifier, status, None)
    assert (answer.status, answer.record, answer.found) == (status, None, False)


def test_a_list_leaves_out_what_is_suspended_or_closed() -> None:
    listed, cursor = ask(Op.LIST, b"88.118", None, 100).payload  # type: ignore[misc]
    assert cursor is None
    prefixes = {one.partition(b"/")[0] for one in listed}
    assert prefixes == {b"88.118", b"88.118.1", b"88.118.A1"}


# Both ways give the same -----------------------------------------------------------------------------

identifiers = st.one_of(
    st.sampled_from([identifier.encode() for identifier in PRESENT]),
    st.sampled_from([*BELOW_A_CUT, *BELOW_A_CLOSURE, b"88.118.6/absent", b"\x01delegation/88.118.7", b"\x01/x"]),
    st.sampled_from([
        b"88.118.1/greatest", b"88.118.1/mixed", b"88.118.1/restricted", b"88.118.1/gone",
        b"88.118.a1/Case \xe6\xb3\xb5/x",
        b"88.118/Short", b"88.118.1/absent", b"88.119.1/foreign", b"88.11/above", b"88.1180/beside", b"88.118",
        b"/x", b"88.118/", b"88..118/x", b"88.118/\xff", b"88.118/\x00", b"88.118/" + b"x" * 500, b"",
    ]),
    st.binary(max_size=12),
)  # fmt: skip
rids = st.one_of(st.integers(0, MAX_RID), st.sampled_from([0, MAX_RID]))
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=5),
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.integers(0, 3), st.integers(0, 3), max_size=3),
)
ordinary = st.tuples(st.just(1), rids, identifiers)
padded = st.builds(lambda rid, identifier, flags, pad: (1, rid, identifier, flags, b"\0" * pad), rids, identifiers,
                   st.integers(0, 2), st.integers(0, 50))  # fmt: skip
strange = st.one_of(
    odd,
    st.lists(odd, max_size=6).map(tuple),
    st.tuples(odd, rids, identifiers),
    st.tuples(st.just(1), odd, identifiers),
    st.tuples(st.just(1), rids, odd),
    st.tuples(st.just(1), rids, identifiers, odd),
    st.tuples(st.just(1), rids, identifiers, odd, odd),
    st.tuples(st.integers(0, 25), rids, identifiers),
)


def _as_sent(requests: list[object]) -> list[object]:
    stream = MessageStream()
    stream.feed(b"".join(map(msgpack.packb, requests)))
    messages, _ = stream.take(len(requests) + 1)
    return messages


def _strictly(message: object) -> object:
    """The straight path does not look at types of operations that equal the right one, which saves time: it takes true
    and 1.0 for 1, and a map for the array of its keys. That does no harm, as the seal covers the bytes that came."""
    assert isinstance(message, (tuple, dict))
    op, rid, *more = message
    assert op == 1
    return (1, rid, *more)


def _both_ways(requests: list[object]) -> bool:
    """Whether the straight path took them; then it must have said the same as the careful one."""
    messages = _as_sent(requests)
    assert len(messages) == len(requests)
    parts = ANSWERER.plain(messages)
    for message in messages:
        response(ANSWERER.one(message))
    if parts is None:
        return False
    careful = [ANSWERER.one(_strictly(message)) for message in messages]
    assert len(parts) == PARTS * len(messages)
    assert [b"".join(parts[at : at + PARTS]) for at in range(0, len(parts), PARTS)] == careful
    return True


@given(st.lists(ordinary, min_size=1, max_size=8))
def test_ordinary_requests_take_the_straight_path(requests: list[object]) -> None:
    assert _both_ways(requests)


@given(st.lists(padded, min_size=1, max_size=5))
def test_padded_requests_take_it_together_where_they_have_no_flags(requests: list[tuple[object, ...]]) -> None:
    assert _both_ways(list(requests)) == all(request[3] == 0 for request in requests)


@given(st.lists(st.one_of(ordinary, padded, strange), min_size=1, max_size=6))
@example([(True, 5, b"88.118/short")])
@example([(1.0, 5, b"88.118/short")] * 2)
@example([(1, True, b"88.118/short")])
@example([(1, 5, b"88.118/short", False, b"")] * 2)
@example([{1: 1, 5: 1, b"88.118/short": 1}])
@example([{1: 1, 5: 1, b"88.118/short": 1}] * 2)
@example([b"\x01\x02\x03"] * 2)
def test_any_requests_get_the_same_answers_on_both_paths(requests: list[object]) -> None:
    _both_ways(requests)


@given(st.lists(st.one_of(ordinary, padded), min_size=1, max_size=8))
def test_runs_of_bytes_get_the_same_answers(requests: list[tuple[object, ...]]) -> None:
    wires = [encode_request(Op.RESOLVE, *request[1:]) for request in requests]  # type: ignore[misc,arg-type]
    careful = [ANSWERER.one(decode_one(wire)) for wire in wires]
    run = read_run(b"".join(wires), 8)
    if run is not None:
        parts = ANSWERER.run(run)
        assert parts is not None
        assert b"".join(parts) == b"".join(careful)
    for wire, response in zip(wires, careful, strict=True):
        single = read_single(wire)
        assert (single is not None) == (wire[0] == 0x93 and wire[11] == 0xC4 and wire[12] > 0)
        if single is not None:
            assert ANSWERER.single(*single) == response


def test_the_sizes_at_which_the_head_changes() -> None:
    for identifier, size in (("88.118.1/body-of-255", 255), ("88.118.1/body-of-256", 256)):
        body = ask(Op.RESOLVE, identifier.encode()).payload
        assert isinstance(body, bytes)
        assert len(body) == size
        assert _both_ways([(1, 1, identifier.encode())] * 3)


# Resolve ---------------------------------------------------------------------------------------------


def test_what_becomes_of_an_identifier() -> None:
    found = ask(Op.RESOLVE, b"88.118/short")
    assert found.status == Status.OK
    assert isinstance(found.payload, bytes)
    assert decode_body(found.payload).values == (Value(1, "URL", b"x"),)
    assert ask(Op.RESOLVE, b"88.118.1/absent") == (5, Status.NOT_FOUND, ABSENT_TTL_SECONDS)
    assert ask(Op.RESOLVE, b"88.119/x") == (5, Status.NOT_RESPONSIBLE, None)
    held = ask(Op.RESOLVE, b"88.118.1/held")
    assert held.status == Status.SUSPENDED
    assert decode_body(held.payload) == (2, State.SUSPENDED, NOW, ())  # type: ignore[arg-type]
    gone = ask(Op.RESOLVE, b"88.118.1/gone")
    assert gone.status == Status.WITHDRAWN
    assert rule_of(ask(Op.RESOLVE, b"88.118.1")) == "identifier.no-slash"


def test_restricted_values_are_left_out_without_a_trace() -> None:
    for identifier, expected in ((b"88.118.1/mixed", (Value(1, "URL", b"u"),)), (b"88.118.1/restricted", ())):
        found = ask(Op.RESOLVE, identifier)
        assert isinstance(found.payload, bytes)
        assert decode_body(found.payload).values == expected
        assert b"12" not in found.payload
        many = ask(Op.RESOLVE_MANY, [identifier])
        assert many.payload == (found.payload,)


@pytest.mark.parametrize("arguments", [(), (1,), (None,), ([b"88.118/short"],), (b"88.118/short", 0, b"", 0)], ids=str)
def test_bad_arguments_of_resolve(arguments: tuple[object, ...]) -> None:
    assert rule_of(ask(Op.RESOLVE, *arguments)) == "message.bad-arguments"


@given(st.lists(identifiers, max_size=20))
def test_many_say_the_same_as_one_by_one(wanted: list[bytes]) -> None:
    found = ask(Op.RESOLVE_MANY, wanted)
    assert found.status == Status.OK
    assert isinstance(found.payload, tuple)
    assert len(found.payload) == len(wanted)
    for identifier, item in zip(wanted, found.payload, strict=True):
        single = ask(Op.RESOLVE, identifier)
        assert item == (single.payload if single.status == Status.OK else (single.status, single.payload))


def test_bounds_of_many() -> None:
    assert ask(Op.RESOLVE_MANY, []).payload == ()
    assert ask(Op.RESOLVE_MANY, [b"88.118/short"] * MAX_MANY).status == Status.OK
    too_many = ask(Op.RESOLVE_MANY, [b"88.118/short"] * (MAX_MANY + 1))
    assert too_many.status == Status.TOO_LARGE
    assert rule_of(too_many) == "message.too-many"
    for arguments in ((), (b"88.118/short",), ([b"88.118/short", 1],), ([[b"x"]],), ([b"x"], 1)):
        assert rule_of(ask(Op.RESOLVE_MANY, *arguments)) == "message.bad-arguments"


@pytest.mark.parametrize("count", [31, 32, 33, 34, MAX_MANY])
def test_many_are_cut_to_one_message(count: int) -> None:
    wanted = [b"88.118.1/greatest", b"88.118.1/absent", b"88.118/short"] * (count // 3 + 1)
    wire = ANSWERER.one((2, MAX_RID, tuple(wanted[:count])))
    assert len(wire) <= MAX_MESSAGE_BYTES
    items = response(wire).payload
    assert isinstance(items, tuple)
    assert len(items) == count
    cut = [item == (Status.TRUNCATED, None) for item in items]
    assert cut == sorted(cut), "what is left out is at the end"
    assert any(cut) == (count == MAX_MANY)
    for identifier, item in zip(wanted, items, strict=False):
        if item != (Status.TRUNCATED, None):
            status, payload = (Status.OK, item) if isinstance(item, bytes) else item
            answer = read_unproven_answer(identifier, status, payload)
            assert answer.found == (identifier != b"88.118.1/absent")


def test_a_cut_answer_makes_progress() -> None:
    """Whoever asks again for what was left out comes to an end."""
    wanted = [b"88.118.1/greatest"] * 100
    rounds = 0
    while wanted:
        items = ask(Op.RESOLVE_MANY, wanted).payload
        assert isinstance(items, tuple)
        left = sum(item == (Status.TRUNCATED, None) for item in items)
        assert left < len(wanted)
        wanted = wanted[:left]
        rounds += 1
    assert rounds == 4


# What was before -------------------------------------------------------------------------------------


def test_what_a_record_was_without_what_is_not_for_everybody() -> None:
    store = MemoryStore()
    for number in range(3):
        secret = Value(2, "PRICE", b"12", permissions=int(ADMIN_ONLY))
        store.apply([Write(b"88.118.1/x", ANY, encode_values([Value(1, "N", b"%d" % number), secret]))], 100 + number)
    store.apply([Write(b"88.118.1/x", ANY, None)], 200)
    answerer = Answerer(store, FACTS)
    stood = {99: (100, None), 100: (0, "0"), 101: (0, "1"), 199: (0, "2"), 200: (101, None), 2**40: (101, None)}
    for at, (status, text) in stood.items():
        found = ask(Op.AS_OF, b"88.118.1/x", at, answerer=answerer)
        answer = read_unproven_answer(b"88.118.1/x", found.status, found.payload)
        assert (found.status, [value.text for value in answer.values]) == (status, [] if text is None else [text])
    found = ask(Op.HISTORY, b"88.118.1/x", None, MAX_LIST, answerer=answerer)
    assert isinstance(found.payload, tuple)
    bodies, more = found.payload
    assert [[value.text for value in decode_body(body).values] for body in bodies] == [[], ["2"], ["1"], ["0"]]
    assert more is False


def test_a_long_history_comes_in_pages_that_fit() -> None:
    store = MemoryStore()
    store.apply([policy_write("88.118", Policy(versions=60))], 1)
    for number in range(60):
        large = encode_values([Value(i, "T", bytes([number]) * (MAX_DATA_BYTES - 20)) for i in (1, 2)])
        store.apply([Write(b"88.118.1/x", ANY, large)], 100 + number)
    answerer, seen, before = Answerer(store, FACTS), list[int](), None
    for _ in range(4):
        found = ask(Op.HISTORY, b"88.118.1/x", before, MAX_LIST, answerer=answerer)
        assert isinstance(found.payload, tuple)
        seen += [decode_body(body).version for body in found.payload[0]]
        before = seen[-1]
        if not found.payload[1]:
            break
    assert seen == list(range(60, 0, -1))


@pytest.mark.parametrize("op", [Op.AS_OF, Op.HISTORY])
def test_looking_back_asks_the_right_node_in_the_right_way(op: Op) -> None:
    more: tuple[object, ...] = (5,) if op == Op.AS_OF else (None, 1)
    assert ask(op, b"88.119.1/x", *more).status == Status.NOT_RESPONSIBLE
    assert ask(op, BELOW_A_CUT[0], *more).status == Status.REFERRAL
    assert ask(op, b"88.118.1/none", *more).status == Status.NOT_FOUND
    assert ask(op, b"88.118.1", *more).status == Status.BAD_IDENTIFIER
    for arguments in ((), (b"",), (b"", True), (b"", -1), (b"", 0, 1), (b"", None, True)):
        assert rule_of(ask(op, *arguments)) == "message.bad-arguments"


# List, status, the rest ------------------------------------------------------------------------------


def test_list_goes_through_pages_and_leaves_out_the_withdrawn() -> None:
    everything: list[bytes] = []
    cursor = None
    for _ in range(20):
        found = ask(Op.LIST, b"88.118", cursor, 2)
        assert isinstance(found.payload, tuple)
        names, cursor = found.payload
        everything += names
        if cursor is None:
            break
    expected = {*(one.encode() for one in PRESENT), b"88.118.1/greatest", b"88.118.1/mixed", b"88.118.1/restricted"}
    assert set(everything) == expected
    assert len(everything) == len(expected)
    assert ask(Op.LIST, b"88.118.a1", None, 10).payload == ((b"88.118.A1/Case \xe6\xb3\xb5/x",), None)


def test_list_may_be_switched_off_and_has_bounds() -> None:
    closed = Answerer(STORE, NodeFacts("secondary", ZONE, "s", Chain((), ()), listing=False))
    assert ask(Op.LIST, b"88.118", None, 1, answerer=closed).status == Status.NOT_PERMITTED
    assert ask(Op.LIST, b"88.11", None, 1).status == Status.NOT_RESPONSIBLE
    assert ask(Op.LIST, b"88..11", None, 1).status == Status.BAD_IDENTIFIER
    assert ask(Op.LIST, b"88.118", b"no cursor", 1).status == Status.BAD_REQUEST
    for arguments in (
        (b"88.118",), (b"88.118", None, 0), (b"88.118", None, MAX_LIST + 1), (b"88.118", 1, 1), (1, None, 1),
        (b"88.118", b"x" * 513, 1), (b"88.118", None, -1), (b"88.118", None, None), (b"88.118", None, 1, 1),
        (b"88.118", None, True),
    ):  # fmt: skip
        assert rule_of(ask(Op.LIST, *arguments)) == "message.bad-arguments"


def test_status() -> None:
    shown = ask(Op.STATUS).payload
    assert isinstance(shown, dict)
    assert (shown[b"zone"], shown[b"role"], shown[b"registered"]) == (
        b"88.118",
        b"secondary",
        len(PRESENT) + 3 + len(BELOW_A_CUT[:2]) + len(BELOW_A_CLOSURE),
    )


def test_what_every_door_answers() -> None:
    assert ask(Op.PING) == (5, Status.OK, None)
    assert ask(Op.CHAIN) == (5, Status.OK, ((b"d",), (b"k",)))
    assert ask(Op.HELLO, 1).status == Status.OK
    assert ask(Op.HELLO, 2).status == Status.UNSUPPORTED_VERSION
    assert rule_of(ask(Op.HELLO)) == "message.bad-arguments"


@pytest.mark.parametrize("op", [8, 15, 30, 255, 2**64 - 1, -1])
def test_unknown_operations(op: int) -> None:
    found = ask(op, b"x")
    assert found.status == Status.UNKNOWN_OPERATION
    assert rule_of(found) == "message.unknown-operation"


@pytest.mark.parametrize("op", [11, 16, 17])
def test_who_proves_who_it_is_does_so_at_a_connection(op: int) -> None:
    """The answerer knows none; nor does the UDP door, or a recursive node."""
    found = ask(op, b"x")
    assert found.status == Status.UNKNOWN_OPERATION
    assert rule_of(found) == "message.not-a-readers-door"


@pytest.mark.parametrize("op", [*range(18, 30), *range(40, 44)])
def test_whoever_wants_to_register_is_sent_to_the_other_port(op: int) -> None:
    found = ask(op, b"x")
    assert found.status == Status.UNKNOWN_OPERATION
    assert rule_of(found) == "message.resolvers-port"


@given(strange)
def test_nothing_brings_it_down(request: object) -> None:
    [message] = _as_sent([request])
    response(ANSWERER.one(message))


@given(st.sampled_from([*Op]), st.lists(st.one_of(odd, identifiers, st.lists(identifiers, max_size=3)), max_size=4))
def test_no_arguments_bring_it_down(op: Op, arguments: list[object]) -> None:
    [(message, _)] = split(encode_request(op, 9, *arguments))
    assert response(ANSWERER.one(message)).rid == 9
