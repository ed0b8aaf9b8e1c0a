"""What a writer's requests mean: who may do what, what comes back, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.challenges import CHALLENGE_BYTES
from protocol.errors import RecordError, StoreError
from protocol.framing import split
from protocol.kept import encode_data, read_data
from protocol.limits import (
    MAX_CHANGES,
    MAX_CURSOR_BYTES,
    MAX_LIST,
    MAX_MANY,
    MAX_MESSAGE_BYTES,
    MAX_WAIT_MS,
    MAX_WRITES,
)
from protocol.messages import Op, Response, encode_failure, encode_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.records import Value, encode_values, split_body
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.templates import Item, Template
from protocol.trust import Chain
from registry.delegations import SystemBatch
from registry.feeding import Poll, Question, read_page
from registry.followers import Followers
from registry.intake import read_writes
from registry.rights import Rights, challenge_bytes
from registry.session import Batch, Session
from registry.store.feed import FeedPage
from registry.store.interface import STORE_FAILED, STORE_FULL, flat
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from registry.store.templates import template_write
from registry.store.writes import ABSENT, ANY, Write
from registry.templates.checking import NO_SUCH
from tests.registry.store.builders import ADMIN_ONLY, everything, noise, put, templated, values, withdraw

ZONE: Final = "88.118"
OWNER: Final = SigningKey(b"w" * 32)
"""May write the whole zone."""
ENTERPRISE: Final = SigningKey(b"e" * 32)
"""May write below two prefixes of it."""
STRANGER: Final = SigningKey(b"s" * 32)

FACTS: Final = NodeFacts("secondary", ZONE, "biaoshi/test", Chain((b"delegation",), (b"online key",)))
RIGHTS: Final = Rights({OWNER.public: [ZONE], ENTERPRISE.public: ["88.118.1", "88.118.É"]}, ZONE)
RID: Final = 0xFEDC_BA98_7654_3210


def answer(session: Session, op: int, *arguments: object, rid: int = RID) -> bytes | Batch | Poll:
    """What a session says to a request that came over the wire."""
    ((request, _),) = split(encode_request(op, rid, *arguments))  # type: ignore[arg-type]
    return session.answer(request)


def ask(session: Session, op: int, *arguments: object) -> Response:
    """The response to a request that is answered at once."""
    raw = answer(session, op, *arguments)
    assert isinstance(raw, bytes)
    return read(raw)


def read(raw: bytes) -> Response:
    """A response as a client gets it."""
    assert len(raw) <= MAX_MESSAGE_BYTES
    ((message, wire),) = split(raw)
    assert wire == raw
    response = read_response(message)
    assert response.rid == RID
    return response


def rule_of(response: Response) -> str:
    """The rule that a refusal names."""
    return refusal(response.status, response.payload).rule.name


def write(session: Session, store: MemoryStore, *items: object, now: int = 50) -> list[object]:
    """Have a write request carried out; the results of its items."""
    batch = answer(session, Op.WRITE, items)
    assert isinstance(batch, Batch)
    response = read(batch.response(store.apply(batch.writes, now)))
    assert response.status == Status.OK
    assert isinstance(response.payload, tuple)
    return list(response.payload)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def new_session(store: MemoryStore, facts: NodeFacts = FACTS) -> Session:
    return Session(store, facts, RIGHTS, lambda: {"registered": 7, "zone": ZONE})


def authenticate(session: Session, key: SigningKey) -> bytes:
    """The challenge for a key."""
    response = ask(session, Op.AUTHENTICATE, 1, key.public.raw)
    assert response.status == Status.OK
    assert isinstance(response.payload, bytes)
    assert len(response.payload) == CHALLENGE_BYTES
    return response.payload


def proven(store: MemoryStore, key: SigningKey) -> Session:
    """A session that has proven a key."""
    session = new_session(store)
    signature = key.sign(challenge_bytes(ZONE, authenticate(session, key)))
    assert ask(session, Op.PROVE, signature).status == Status.OK
    return session


@pytest.fixture
def owner(store: MemoryStore) -> Session:
    return proven(store, OWNER)


@pytest.fixture
def enterprise(store: MemoryStore) -> Session:
    return proven(store, ENTERPRISE)


# What every door answers -----------------------------------------------------------------------------


def test_without_a_key_it_says_who_it_is(store: MemoryStore) -> None:
    session = new_session(store)
    assert ask(session, Op.PING) == (RID, Status.OK, None)
    assert ask(session, Op.CHAIN).payload == ((b"delegation",), (b"online key",))
    hello = ask(session, Op.HELLO, 1)
    assert hello.status == Status.OK
    assert isinstance(hello.payload, tuple)
    assert hello.payload[1:4] == (b"biaoshi/test", b"secondary", b"88.118")
    assert ask(session, Op.HELLO, 99).status == Status.UNSUPPORTED_VERSION
    assert ask(session, Op.STATUS).payload == {b"registered": 7, b"zone": b"88.118"}


@pytest.mark.parametrize("op", [15, 22, 127])
def test_unknown_operations(owner: Session, op: int) -> None:
    response = ask(owner, op, b"88.118.1/x")
    assert response.status == Status.UNKNOWN_OPERATION
    assert rule_of(response) == "message.unknown-operation"


@pytest.mark.parametrize("op", [Op.RESOLVE, Op.RESOLVE_MANY, Op.LIST, Op.TRACE])
def test_whoever_wants_to_resolve_is_sent_to_the_other_port(owner: Session, op: int) -> None:
    response = ask(owner, op, b"88.118.1/x")
    assert response.status == Status.UNKNOWN_OPERATION
    assert rule_of(response) == "message.registrys-port"


# Who is it? ------------------------------------------------------------------------------------------


def test_a_key_is_proven_by_signing_the_challenge(store: MemoryStore) -> None:
    session = new_session(store)
    nonce = authenticate(session, ENTERPRISE)
    response = ask(session, Op.PROVE, ENTERPRISE.sign(challenge_bytes(ZONE, nonce)))
    assert response == (RID, Status.OK, (b"88.118.1", "88.118.É".encode()))
    assert write(session, store, (b"88.118.1/x", None, values())) == [(Status.OK, 1, True)]


FORGED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "another key": lambda nonce: OWNER.sign(challenge_bytes(ZONE, nonce)),
    "another challenge": lambda nonce: ENTERPRISE.sign(challenge_bytes(ZONE, bytes(CHALLENGE_BYTES))),
    "another zone's challenge": lambda nonce: ENTERPRISE.sign(challenge_bytes("88.119", nonce)),
    "the nonce alone": ENTERPRISE.sign,
    "no signature": lambda nonce: b"",
    "half a signature": lambda nonce: ENTERPRISE.sign(challenge_bytes(ZONE, nonce))[:32],
    "too long a signature": lambda nonce: ENTERPRISE.sign(challenge_bytes(ZONE, nonce)) + b"\0",
    "zeros": lambda nonce: bytes(64),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_proves_nothing(store: MemoryStore, kind: str) -> None:
    session = new_session(store)
    nonce = authenticate(session, ENTERPRISE)
    response = ask(session, Op.PROVE, FORGED[kind](nonce))
    assert response.status == Status.NOT_AUTHENTICATED
    assert rule_of(response) == "rights.no-proof"
    assert ask(session, Op.WRITE, []).status == Status.NOT_AUTHENTICATED
    # The challenge has served: the right signature comes too late.
    late = ask(session, Op.PROVE, ENTERPRISE.sign(challenge_bytes(ZONE, nonce)))
    assert late.status == Status.NOT_AUTHENTICATED


def test_a_challenge_serves_once(store: MemoryStore) -> None:
    session = new_session(store)
    signature = ENTERPRISE.sign(challenge_bytes(ZONE, authenticate(session, ENTERPRISE)))
    assert ask(session, Op.PROVE, signature).status == Status.OK
    assert ask(session, Op.PROVE, signature).status == Status.NOT_AUTHENTICATED
    other = new_session(store)
    assert ask(other, Op.PROVE, signature).status == Status.NOT_AUTHENTICATED
    assert authenticate(other, ENTERPRISE) != authenticate(other, ENTERPRISE)


def test_a_new_challenge_ends_what_was_proven(store: MemoryStore, owner: Session) -> None:
    nonce = authenticate(owner, ENTERPRISE)
    assert ask(owner, Op.CHANGES, None, 10).status == Status.NOT_AUTHENTICATED
    assert ask(owner, Op.PROVE, ENTERPRISE.sign(challenge_bytes(ZONE, nonce))).status == Status.OK
    assert ask(owner, Op.CHANGES, None, 10).status == Status.NOT_PERMITTED


def test_an_unknown_key_gets_no_challenge(store: MemoryStore) -> None:
    response = ask(new_session(store), Op.AUTHENTICATE, 1, STRANGER.public.raw)
    assert response.status == Status.NOT_PERMITTED
    assert rule_of(response) == "rights.unknown-key"


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((2, OWNER.public.raw), "key.unknown-algorithm"),
        ((-1, OWNER.public.raw), "key.unknown-algorithm"),
        ((1, b""), "key.malformed"),
        ((1, OWNER.public.raw + b"\0"), "key.malformed"),
        ((1, b"\xff" * 100_000), "key.malformed"),
        ((1, bytes(32)), "rights.unknown-key"),
        ((1, 5), "message.bad-arguments"),
        ((1,), "message.bad-arguments"),
        ((), "message.bad-arguments"),
        ((1, OWNER.public.raw, 1), "message.bad-arguments"),
    ],
)
def test_authenticate_with_what_is_no_key(store: MemoryStore, arguments: tuple[object, ...], rule: str) -> None:
    response = ask(new_session(store), Op.AUTHENTICATE, *arguments)
    assert response.status in (Status.BAD_REQUEST, Status.NOT_PERMITTED)
    assert rule_of(response) == rule


@pytest.mark.parametrize("op", [Op.WRITE, Op.FETCH, Op.RECORDS, Op.CHANGES])
def test_nothing_goes_without_a_key(store: MemoryStore, op: Op) -> None:
    """Not even being told that the request is malformed."""
    session = new_session(store)
    attempts: list[tuple[object, ...]] = [(), ([],), (b"88.118", None, 10), (None, 10)]
    for arguments in attempts:
        response = ask(session, op, *arguments)
        assert response.status == Status.NOT_AUTHENTICATED
        assert rule_of(response) == "rights.not-authenticated"
    authenticate(session, OWNER)
    assert ask(session, op).status == Status.NOT_AUTHENTICATED, "naming a key is not enough"


# Writing ---------------------------------------------------------------------------------------------


def test_outcomes_stand_at_the_place_of_their_writes(store: MemoryStore, owner: Session) -> None:
    results = write(
        owner,
        store,
        (b"88.118.1/x", ABSENT, values("a")),
        (b"88.118.1/x", ABSENT, values("b")),
        (b"88.118.1/x", 1, values("b")),
        (b"88.118.1/x", 1, values("c")),
        (b"88.118.1/y", 5, values()),
        (b"88.118.1/x", None, None),
        (b"88.118.1/x", None, None),
    )
    assert results == [
        (Status.OK, 1, True),
        (Status.EXISTS, 1, False),
        (Status.OK, 2, True),
        (Status.CONFLICT, 2, False),
        (Status.NOT_FOUND, 0, False),
        (Status.OK, 3, True),
        (Status.OK, 3, False),
    ]


MALFORMED_ITEMS: Final[list[tuple[object, str]]] = [
    (None, "message.bad-arguments"),
    (5, "message.bad-arguments"),
    (b"88.118.1/x", "message.bad-arguments"),
    ((), "message.bad-arguments"),
    ((b"88.118.1/x", None), "message.bad-arguments"),
    ((b"88.118.1/x", None, values(), 1), "message.bad-arguments"),
    ((None, None, values()), "message.bad-arguments"),
    ((b"88.118.1/x", -1, values()), "message.bad-arguments"),
    ((b"88.118.1/x", 1 << 63, values()), "message.bad-arguments"),
    ((b"88.118.1/x", 1.5, values()), "message.bad-arguments"),
    ((b"88.118.1/x", False, values()), "message.bad-arguments"),
    ((b"88.118.1/x", True, None), "message.bad-arguments"),
    ((b"88.118.1/x", b"1", values()), "message.bad-arguments"),
    ((b"88.118.1/x", None, 1), "message.bad-arguments"),
    ((b"88.118.1/x", None, {}), "message.bad-arguments"),
    ((b"88.118.1x", None, values()), "identifier.no-slash"),
    ((b"88.118.1/", None, values()), "identifier.empty-suffix"),
    ((b"88.118.1/\xff", None, None), "identifier.not-utf8"),
    ((b"88.118.1/a\nb", None, None), "identifier.control-character"),
    ((b"88.118.1/" + b"x" * 480, None, None), "identifier.too-long"),
    ((b"8" * 65 + b"/x", None, None), "identifier.prefix-too-long"),
    ((b"88.118.1/x", None, b""), "record.malformed"),
    ((b"88.118.1/x", None, b"\x90"), "record.no-values"),
    ((b"88.118.1/x", None, b"\xc1"), "record.malformed"),
    ((b"88.118.1/x", None, values() + b"\x00"), "record.malformed"),
    ((b"88.118.1/x", None, b"\x92" + values()[1:] * 2), "record.same-index"),
    ((b"88.118.1/x", None, b"\x91" * 3_000), "record.malformed"),
    ((b"88.118/x", None, values()), "rights.other-prefix"),
    ((b"88.118.10/x", None, values()), "rights.other-prefix"),
    ((b"88/x", None, None), "rights.other-prefix"),
]
GOOD_ITEM: Final = (b"88.118.1/good", None, values())


@pytest.mark.parametrize("repeat", [1, 20])
@pytest.mark.parametrize(("item", "rule"), MALFORMED_ITEMS)
def test_a_bad_item_is_refused_at_its_place(
    store: MemoryStore, enterprise: Session, item: object, rule: str, repeat: int
) -> None:
    """The others are carried out, in a small batch and in one that is checked as a whole."""
    good = [(b"88.118.1/good%d" % number, None, values()) for number in range(repeat)]
    results = write(enterprise, store, item, *good, item)
    assert results[1:-1] == [(Status.OK, 1, True)] * repeat
    assert results[0] == results[-1]
    assert isinstance(results[0], tuple)
    status, reason, changed = results[0]
    assert changed is False
    error = refusal(status, reason)
    assert error.rule.name == rule
    assert status not in (Status.OK, Status.INTERNAL)
    assert error.rule.name not in str(error), "it is a sentence"
    assert len(everything(store)) == repeat


def test_every_item_refused(store: MemoryStore, enterprise: Session) -> None:
    batch = answer(enterprise, Op.WRITE, [item for item, _ in MALFORMED_ITEMS])
    assert isinstance(batch, Batch)
    assert batch.writes == []
    response = read(batch.response([]))
    assert isinstance(response.payload, tuple)
    rules = [refusal(status, reason).rule.name for status, reason, _ in response.payload]
    assert rules == [rule for _, rule in MALFORMED_ITEMS]
    assert write(enterprise, store) == []


def test_identifiers_are_taken_in_normal_form(store: MemoryStore, owner: Session) -> None:
    assert write(owner, store, (b"88.118.ab/xY", None, values())) == [(Status.OK, 1, True)]
    assert list(everything(store)) == [b"88.118.AB/xY"]
    assert write(owner, store, (b"88.118.Ab/xY", ABSENT, values())) == [(Status.OK, 1, False)]


def test_prefixes_that_are_not_ascii(store: MemoryStore, enterprise: Session) -> None:
    items = [("88.118.É/x".encode(), None, values()), ("88.118.É.1/x".encode(), None, values())]
    assert write(enterprise, store, *items) == [(Status.OK, 1, True)] * 2


@pytest.mark.parametrize("count", [1, 20])
def test_what_is_restricted_is_known_from_the_values(owner: Session, count: int) -> None:
    closed = encode_values([Value(1, "URL", b"x"), Value(2, "COST", b"9", permissions=ADMIN_ONLY)])
    open_ = encode_values([Value(1, "URL", b"x", permissions=2)])
    items = [(b"88.118.1/%03d" % number, None, closed if number % 2 else open_) for number in range(count + 1)]
    batch = answer(owner, Op.WRITE, items)
    assert isinstance(batch, Batch)
    assert [item.restricted for item in batch.writes] == [bool(number % 2) for number in range(count + 1)]


def test_as_many_as_allowed_and_one_more(store: MemoryStore, owner: Session) -> None:
    item = (b"88.118.1/x", None, None)
    assert len(write(owner, store, *[item] * MAX_WRITES)) == MAX_WRITES
    response = ask(owner, Op.WRITE, [item] * (MAX_WRITES + 1))
    assert response.status == Status.TOO_LARGE
    assert rule_of(response) == "message.too-many"


WORST_REFUSALS: Final = {
    "arguments": None,
    "prefix": (b"7" * 64 + b"/x", None, None),
    "record": (b"88.118.1/x", None, b"\x91\x93\x01\xa3URL\x05"),
    "more than a record": (b"88.118.1/x", None, values() + b"\x00"),
    "less than a value": (b"88.118.1/x", None, b"\x91\x91\x01"),
    "value that is out of range": (b"88.118.1/x", None, b"\x91\x94\x01\xa1U\xc4\x00\xce\xff\xff\xff\xff"),
    "identifier": (b"88.118.1/\x00", None, None),
}


@pytest.mark.parametrize("kind", WORST_REFUSALS)
def test_any_number_of_refusals_fits_a_message(store: MemoryStore, enterprise: Session, kind: str) -> None:
    """Each still names its rule."""
    results = write(enterprise, store, *[WORST_REFUSALS[kind]] * (MAX_WRITES - 1), GOOD_ITEM)
    assert len(results) == MAX_WRITES
    assert results[-1] == (Status.OK, 1, True)
    one = write(enterprise, store, WORST_REFUSALS[kind])[0]
    assert isinstance(one, tuple)
    for result in (results[0], results[-2]):
        assert isinstance(result, tuple)
        assert result[0] == one[0]
        assert result[1][0] == one[1][0]
        assert refusal(result[0], result[1]).rule.name == refusal(one[0], one[1]).rule.name
        assert str(refusal(result[0], result[1]))


@pytest.mark.parametrize("arguments", [(), (5,), (b"",), (None,), ({},), ([], [])])
def test_write_with_other_arguments(owner: Session, arguments: tuple[object, ...]) -> None:
    response = ask(owner, Op.WRITE, *arguments)
    assert response.status == Status.BAD_REQUEST
    assert rule_of(response) == "message.bad-arguments"


@pytest.mark.parametrize("count", [1, 15, 16, 40])
def test_nothing_is_registered_below_a_delegated_prefix(store: MemoryStore, owner: Session, count: int) -> None:
    """In a batch that is looked at one by one, and in one that is read as a whole: those beside it are carried out."""
    write(owner, store, (b"88.118.1/old", None, values("v")))
    store.apply([system_write(DELEGATIONS, "88.118.1", {"DELEGATION": b"signed"})], 50)
    for prefix in ("88.118.1", "88.118.1.7"):
        inside = [(f"{prefix}/{i}".encode(), None, values("v")) for i in range(count)]
        beside = [(f"88.118.10/{prefix}{i}".encode(), None, values("v")) for i in range(count)]
        outcomes = write(owner, store, *inside, *beside)
        details = {b"prefix": prefix.encode(), b"child": b"88.118.1"}
        assert outcomes[:count] == [(Status.REFERRAL, (b"rights.delegated", details), False)] * count
        assert outcomes[count:] == [(Status.OK, 1, True)] * count
        assert all(store.find(item[0]) is None for item in inside)
    assert write(owner, store, (b"88.118.1/old", None, None)) == [(Status.OK, 2, True)], "it may be cleared away"
    store.apply([system_write(DELEGATIONS, "88.118.1", None)], 50)
    assert write(owner, store, (b"88.118.1/0", None, values("v"))) == [(Status.OK, 1, True)]


def test_the_store_cannot(owner: Session) -> None:
    batch = answer(owner, Op.WRITE, [GOOD_ITEM, None])
    assert isinstance(batch, Batch)
    response = read(batch.response(StoreError(STORE_FULL, reason="no space")))
    assert response.status == Status.STORE_FULL
    assert rule_of(response) == "store.full"


# A batch is checked as a whole or one by one: the same comes of it -----------------------------------

tricky_identifiers = st.sampled_from([
    b"88.118.1/a", b"88.118.1/b c", b"88.118.1/~", b"88.118.1/a/b", b"88.118.1.2/x", b"88.118.1/" + b"x" * 471,
    b"88.118.1/" + b"x" * 472, b"88.118.ab/x", b"88.118.AB/X", b"88.118.1/\n", b"88.118.1/a\n88.118.1/b",
    b"88.118.1\n/a", b"\n", b"", b"88.118.1/", b"/a", b"88..118/a", b"88.118.1./a", b".88.118.1/a", b"88.118.1/\x7f",
    "88.118.1/标识".encode(), "88.118.É/a".encode(), b"88.118.1/\xff", b"88.119/a", b"88.118.1" + b".1" * 28 + b"/a",
    b"88.118.1" + b".1" * 29 + b"/a", b"88.118.1/\xc2\x85", b"88 118/a", b"88.118.1/a\r",
])  # fmt: skip
tricky_values = st.sampled_from([
    values(), values("x", 2), values("x", ADMIN_ONLY), b"", b"\x90", b"\xc1", values() + b"\x90",
    b"\x92", templated(), templated(version=2),
    b"\x92" + values()[1:] * 2, b"\xdc\x00\x01" + values()[1:], b"\x91\x94\x01\xa3URL\xc4\x00\x05",
    b"\x91\x93\x00\xa3URL\xc4\x00", b"\x91\x93\x01\xa0\xc4\x00", b"\x91\x93\x01\xa3URL\xa0",
    b"\x91\x93\x01\xa2\xff\xff\xc4\x00", b"\x91\x95\x01\xa3URL\xc4\x00\x05\x10",
    b"\x91\x95\x01\xa3URL\xc4\x00\x05\xcc\x0e", b"\x91\x95\x01\xa3URL\xc4\x00\x05\xcc\x0c", noise(1, 16_384),
    b"\x91\x93\x01\xa3URL\xc5\x40\x01" + bytes(16_385), b"\xdc\x03\xe9" + values()[1:] * 1_001, b"\x80", b"\xc0",
])  # fmt: skip
tricky_items = st.tuples(
    tricky_identifiers, st.sampled_from([None, 0, 1, (1 << 63) - 1, 1 << 63, -1, True, 1.0, b"1"]), tricky_values
)
usual_items = st.tuples(
    st.sampled_from([b"88.118.1/a", b"88.118.1.2/x", b"88.118.1/b"]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([values(), values("x", ADMIN_ONLY), values("x", 2), templated()]),
)
plain_items = st.tuples(
    st.sampled_from([b"88.118.1/a", b"88.118.1.2/x"]), st.just(0), st.sampled_from([values(), values("x", 2)])
)


def nowhere(prefix: str) -> None:
    """As if no prefix were suspended."""


def follows(prefix: str, content: bytes) -> None:
    """As if each prefix had one version of a template."""
    if read_data(content)[0] != 1:
        raise RecordError(NO_SUCH, prefix=prefix, version=2)


@example([(b"88.118.1/a", None, values())] * 16, [(0, (b"88.118.1./a", None, values()))])
@given(
    st.lists(usual_items, min_size=16, max_size=20) | st.lists(plain_items, min_size=16, max_size=20),
    st.lists(st.tuples(st.integers(0, 20), tricky_items | st.none() | tricky_identifiers), max_size=2),
)
def test_a_batch_is_read_as_its_items_are(usual: list[tuple[object, ...]], tricky: list[tuple[int, object]]) -> None:
    items: list[object] = list(usual)
    for place, item in tricky:
        items.insert(place, item)
    whole = read_writes(items, ("88.118.1", "88.118.É"), MemoryStore().cut, nowhere, follows)
    writes: list[Write] = []
    refused: dict[int, object] = {}
    for place, item in enumerate(items):
        one = read_writes([item], ("88.118.1", "88.118.É"), MemoryStore().cut, nowhere, follows)
        writes += one.writes
        if one.refused:
            refused[place] = one.refused[0]
    assert whole.writes == writes
    assert whole.refused == refused


@pytest.mark.parametrize("place", [0, 255, 256, 600, 999])
def test_one_restricted_record_among_a_thousand(place: int) -> None:
    items: list[object] = [(b"88.118.1/%d" % number, 0, values()) for number in range(1_000)]
    items[place] = (b"88.118.1/secret", 0, values("x", ADMIN_ONLY))
    whole = read_writes(items, ("88.118.1",), MemoryStore().cut, nowhere, follows)
    assert [number for number, write in enumerate(whole.writes) if write.restricted] == [place]
    items[place] = (b"88.118.1/bad", 0, values() + b"\x90")
    assert list(read_writes(items, ("88.118.1",), MemoryStore().cut, nowhere, follows).refused) == [place]


# Reading ---------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store: MemoryStore) -> MemoryStore:
    secret = encode_values([Value(1, "COST", b"9", permissions=ADMIN_ONLY)])
    writes = [put(f"88.118.{enterprise}/{number:02d}") for enterprise in (1, 2, 10) for number in range(10)]
    store.apply([*writes, Write(b"88.118.1/secret", ANY, secret), withdraw("88.118.1/03")], 40)
    return store


def test_fetch_gives_whole_records_in_order(filled: MemoryStore, enterprise: Session) -> None:
    wanted = [b"88.118.1/secret", b"88.118.1/none", b"88.118.1/03", b"88.118.1/01", b"88.118.1/secret"]
    response = ask(enterprise, Op.FETCH, wanted)
    assert response.status == Status.OK
    assert response.payload == tuple(map(filled.find, wanted))
    assert ask(enterprise, Op.FETCH, []).payload == ()


def test_fetch_takes_any_spelling(store: MemoryStore, owner: Session) -> None:
    store.apply([put("88.118.AB/x")], 1)
    assert ask(owner, Op.FETCH, [b"88.118.ab/x"]).payload == (store.find(b"88.118.AB/x"),)


def test_fetch_is_refused_whole(filled: MemoryStore, enterprise: Session) -> None:
    for wanted, status in [
        ([b"88.118.1/01", b"88.118.2/01"], Status.NOT_PERMITTED),
        ([b"88.118.1/01", b"88.118.10/01"], Status.NOT_PERMITTED),
        ([b"88.118.1/01", b"88.118.1"], Status.BAD_IDENTIFIER),
        ([b"88.118.1/01", None], Status.BAD_REQUEST),
        ([b"88.118.1/01"] * (MAX_MANY + 1), Status.BAD_REQUEST),
    ]:
        assert ask(enterprise, Op.FETCH, wanted).status == status
    assert len(payload_of(ask(enterprise, Op.FETCH, [b"88.118.1/01"] * MAX_MANY))) == MAX_MANY


def payload_of(response: Response) -> tuple[object, ...]:
    assert response.status == Status.OK
    assert isinstance(response.payload, tuple)
    return response.payload


def test_fetch_of_more_than_a_message_holds(store: MemoryStore, owner: Session) -> None:
    """What does not fit stays away from the end, to be asked for again."""
    store.apply([put(f"88.118.1/{number:02d}", noise(number, 16_000)) for number in range(100)], 1)
    wanted = [b"88.118.1/%02d" % number for number in range(100)]
    found: list[object] = []
    rounds = 0
    while len(found) < 100:
        bodies = payload_of(ask(owner, Op.FETCH, wanted[len(found) :]))
        assert bodies, "it goes on"
        found += bodies
        rounds += 1
    assert found == [store.find(one) for one in wanted]
    assert rounds <= 4


@pytest.mark.parametrize("limit", [1, 3, 10, 11, MAX_LIST])
def test_records_page_by_page(filled: MemoryStore, enterprise: Session, limit: int) -> None:
    cursor: object = None
    found: list[object] = []
    while True:
        entries, cursor = payload_of(ask(enterprise, Op.RECORDS, b"88.118.1", cursor, limit))
        assert isinstance(entries, tuple)
        assert len(entries) <= limit
        found += entries
        if cursor is None:
            break
    assert found == list(everything(filled, "88.118.1").items())
    assert len(found) == 11


def test_records_of_the_whole_zone(filled: MemoryStore, owner: Session) -> None:
    entries, cursor = payload_of(ask(owner, Op.RECORDS, b"88.118", None, MAX_LIST))
    assert (entries, cursor) == (tuple(everything(filled).items()), None)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((b"88.118.2", None, 10), Status.NOT_PERMITTED),
        ((b"88.118.10", None, 10), Status.NOT_PERMITTED),
        ((b"88.118", None, 10), Status.NOT_PERMITTED),
        ((b"88.118.1", None, 0), Status.BAD_REQUEST),
        ((b"88.118.1", None, -1), Status.BAD_REQUEST),
        ((b"88.118.1", None, True), Status.BAD_REQUEST),
        ((b"88.118.1", None, MAX_LIST + 1), Status.BAD_REQUEST),
        ((b"88.118.1", None), Status.BAD_REQUEST),
        ((b"88.118.1", 5, 10), Status.BAD_REQUEST),
        ((b"88.118.1", b"x" * (MAX_CURSOR_BYTES + 1), 10), Status.BAD_REQUEST),
        ((b"88.118.1", b"no cursor", 10), Status.BAD_REQUEST),
        ((None, None, 10), Status.BAD_REQUEST),
        ((b"", None, 10), Status.BAD_IDENTIFIER),
        ((b"88.118.1/", None, 10), Status.BAD_IDENTIFIER),
        ((b"88.118..1", None, 10), Status.BAD_IDENTIFIER),
        ((b"\xff", None, 10), Status.BAD_IDENTIFIER),
        ((b"8" * 65, None, 10), Status.BAD_IDENTIFIER),
    ],
)
def test_records_refused(
    filled: MemoryStore, enterprise: Session, arguments: tuple[object, ...], status: Status
) -> None:
    assert ask(enterprise, Op.RECORDS, *arguments).status == status


def test_a_cursor_gives_no_right(filled: MemoryStore, enterprise: Session) -> None:
    entries, _ = payload_of(ask(enterprise, Op.RECORDS, b"88.118.1", b"88.118.10/00", 10))
    assert entries == ()


def test_search(filled: MemoryStore, enterprise: Session) -> None:
    items = (Item(index=2000, name="LOT", indexed=True),)
    filled.apply([template_write(Template("88.118.1", 1, "pump", "C34", items), ABSENT)], 1)
    filled.apply([Write(b"88.118.1/%d" % i, ANY, encode_data(1, [(2000, b"L%d" % (i % 2))])) for i in range(10, 20)], 2)
    found: list[object] = []
    cursor: object = None
    while True:
        entries, cursor = payload_of(ask(enterprise, Op.SEARCH, b"88.118.1", 2000, b"L1", cursor, 2))
        assert isinstance(entries, tuple)
        found += [identifier for identifier, _ in entries]
        if cursor is None:
            break
    assert found == [b"88.118.1/%d" % i for i in range(11, 20, 2)]
    for arguments, status in (
        ((b"88.118.2", 2000, b"L1", None, 2), Status.NOT_PERMITTED),
        ((b"88.118.1", 2000, "L1", None, True), Status.BAD_REQUEST),
        ((b"88.118.1", True, b"L1", None, 2), Status.BAD_REQUEST),
        ((b"88.118.1", 0, b"L1", None, 2), Status.BAD_REQUEST),
        ((b"88.118.1", 2000, b"L1", b"88.118.2/1", 2), Status.BAD_REQUEST),
        ((b"88.118.1", 2000, b"L1", None), Status.BAD_REQUEST),
        ((b"88..1", 2000, b"L1", None, 2), Status.BAD_IDENTIFIER),
    ):
        assert ask(enterprise, Op.SEARCH, *arguments).status == status


def changes(session: Session, cursor: object, limit: int, *more: object) -> FeedPage:
    """A page of the feed that is given at once."""
    said = answer(session, Op.CHANGES, cursor, limit, *more)
    if isinstance(said, Poll):
        found = said.response(final=True)
        assert found is not None
        said = found
    assert isinstance(said, bytes)
    response = read(said)
    assert response.status == Status.OK
    return read_page(response.payload)


@pytest.mark.parametrize("limit", [1, 7, MAX_CHANGES])
def test_changes_page_by_page(filled: MemoryStore, owner: Session, limit: int) -> None:
    cursor: bytes | None = None
    more = True
    replica: dict[bytes, bytes] = {}
    while more:
        page = changes(owner, cursor, limit)
        assert sum(len(part.records) for part in page.parts) <= limit
        cursor, more = page.cursor, page.more
        replica.update(flat(page).entries)
    assert replica == everything(filled)
    assert cursor == page.head
    filled.apply([put("88.118.5/new")], 41)
    page = changes(owner, cursor, limit)
    assert ([entry.identifier for entry in flat(page).entries], page.more) == ([b"88.118.5/new"], False)


@pytest.mark.parametrize(
    "arguments",
    [
        (), (None,), (None, 0), (None, MAX_CHANGES + 1), (5, 10), (b"short", 10), (b"x" * 600, 10),
        (None, 10, -1), (None, 10, MAX_WAIT_MS + 1), (None, 10, True), (None, 10, 0, -1),
        (None, 10, 0, 0, 5), (None, 10, 0, 0, b"x" * 600), (None, 10, 0, 0, b"short"), (None, 10, 0, 0, None, None),
    ],
)  # fmt: skip
def test_changes_refused(owner: Session, arguments: tuple[object, ...]) -> None:
    assert ask(owner, Op.CHANGES, *arguments).status == Status.BAD_REQUEST


FOLLOWER: Final = SigningKey(b"f" * 32)


def follower_session(store: MemoryStore) -> Session:
    """A session of a follower."""
    rights = Rights({OWNER.public: [ZONE]}, ZONE, followers=Followers({FOLLOWER.public: "custody-1"}))
    session = Session(store, FACTS, rights, dict)
    assert ask(session, Op.PROVE, FOLLOWER.sign(challenge_bytes(ZONE, authenticate(session, FOLLOWER)))).payload == ()
    return session


def test_a_follower_follows_and_does_nothing_else(filled: MemoryStore) -> None:
    session = follower_session(filled)
    assert flat(changes(session, None, 1_000)).entries
    for op, arguments in ((Op.WRITE, ([],)), (Op.FETCH, ([b"88.118.1/x"],)), (Op.RECORDS, (b"88.118", None, 5))):
        assert ask(session, op, *arguments).status == Status.NOT_PERMITTED
    assert ask(session, Op.STATISTICS, 0, b"", 0, 1, None, 1).status == Status.NOT_PERMITTED
    authenticate(session, FOLLOWER)
    assert ask(session, Op.CHANGES, None, 10).status == Status.NOT_AUTHENTICATED, "another key, another proof"


def test_a_question_that_may_wait(filled: MemoryStore, owner: Session) -> None:
    end = changes(owner, None, 1_000).cursor
    poll = answer(follower_session(filled), Op.CHANGES, end, 10, 5_000, 7, end)
    assert isinstance(poll, Poll)
    assert poll[1:4] == (Question(end, 10, 5_000, 7, end), filled, "custody-1")
    assert poll.response(final=False) is None
    assert read_page(read(poll.response(final=True) or b"").payload) == FeedPage([], end, False, end)
    filled.apply([put("88.118.5/new")], 41)
    page = read_page(read(poll.response(final=False) or b"").payload)
    assert [entry.identifier for entry in flat(page).entries] == [b"88.118.5/new"]
    assert isinstance(answer(owner, Op.CHANGES, end, 10, 1), Poll), "writers may wait as well"


def test_changes_are_for_who_may_write_the_whole_zone(enterprise: Session) -> None:
    response = ask(enterprise, Op.CHANGES, None, 10)
    assert response.status == Status.NOT_PERMITTED
    assert rule_of(response) == "rights.whole-zone"


def test_pages_of_large_records_fit_a_message(store: MemoryStore, owner: Session) -> None:
    store.apply([put(f"88.118.1/{number:03d}", noise(number, 16_000)) for number in range(200)], 1)
    for op in (Op.RECORDS, Op.CHANGES):
        cursor: object = None
        found: dict[object, object] = {}
        while len(found) < 200:
            if op is Op.RECORDS:
                entries, cursor = payload_of(ask(owner, op, b"88.118", cursor, 1_000))
                assert isinstance(entries, tuple)
                taken = dict(entries)
            else:
                page = changes(owner, cursor, 1_000)
                taken, cursor = {entry.identifier: entry.body for entry in flat(page).entries}, page.cursor
            assert 25 <= len(taken) < 100 or len(found) + len(taken) == 200
            assert not set(taken) & set(found)
            found.update(taken)
        assert found == everything(store)
        assert cursor is None if op is Op.RECORDS else not page.more


class BrokenStore(MemoryStore):
    """A store that cannot be read."""

    def find(self, identifier: bytes) -> bytes | None:
        raise StoreError(STORE_FAILED, path="/store", reason="damaged")


def test_a_store_that_cannot_be_read() -> None:
    store = BrokenStore()
    response = ask(proven(store, OWNER), Op.FETCH, [b"88.118.1/x"])
    assert response.status == Status.STORE_FAILED
    assert rule_of(response) == "store.failed"


# Anything at all -------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.sampled_from([b"88.118.1/x", b"88.118.1", b"\x91", values(), OWNER.public.raw])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.sampled_from([*Op, 99, -1, 1 << 40]), st.lists(anything, max_size=4), st.booleans())
def test_any_arguments_are_answered(op: int, arguments: list[object], known: bool) -> None:
    store = MemoryStore()
    store.apply([put("88.118.1/x")], 1)
    session = proven(store, OWNER) if known else new_session(store)
    ((request, _),) = split(msgpack.packb([op, RID, *arguments]))
    result = session.answer(request)
    if isinstance(result, Batch):
        assert op == Op.WRITE
        result = result.response(store.apply(result.writes, 2))
    if isinstance(result, SystemBatch):
        result = result.response(store.apply(result.writes, 2))
    if isinstance(result, Poll):
        assert op == Op.CHANGES
        try:
            result = result.response(final=True) or b""
        except StoreError as error:
            result = encode_failure(result.rid, error)
    response = read(result)
    if response.status != Status.OK and response.payload is not None:
        assert str(refusal(response.status, response.payload))
    assert split_body(store.find(b"88.118.1/x") or b"").version in (1, 2)


@given(anything)
def test_what_is_no_request_is_answered(message: object) -> None:
    ((request, _),) = split(msgpack.packb(message))
    result = new_session(MemoryStore()).answer(request)
    assert isinstance(result, bytes)
    ((decoded, _),) = split(result)
    assert read_response(decoded).status != Status.INTERNAL
