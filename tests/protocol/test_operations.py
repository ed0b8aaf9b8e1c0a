"""What resolver and registry answer is what the vectors, and with them docs/protocol.md, say."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgpack
import pytest

from protocol.errors import StoreError
from protocol.framing import decode_one
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.messages import Op, encode_failure
from protocol.records import Value, encode_values
from registry import session as session_module
from registry.feeding import Poll
from registry.followers import Followers
from registry.rights import Rights
from registry.session import Session
from registry.store.allotments import Stage
from registry.store.callers.directory import key_name, token_name
from registry.store.callers.kept import IDENTITIES, KEYS, TOKENS, Identity, Key, Token
from registry.store.callers.permissions import Role
from registry.store.history import Policy, policy_write
from registry.store.memory import MemoryStore
from registry.store.shelf import Found, Shelf
from registry.store.system import DELEGATIONS, system_write
from registry.store.writes import ANY, SUSPEND, Write
from resolver import authenticating
from resolver.answering import Answerer
from resolver.readers import Readers
from tests.registry.store.builders import allot
from tests.vectors import reading
from tests.vectors.actors import BODY, ENTERPRISE, IDENTIFIER, NOW, SECONDARY, VALUES, WITHDRAWN_BODY
from tests.vectors.generate import FACTS, NEW, NEW_VALUES, NONCE, PROOF, STATUS_PAYLOAD, THIRD, WRITER
from tests.vectors.load import load

OPERATIONS = {vector["name"]: vector for vector in load("messages")["operations"]}
OTHER_VALUES = encode_values([Value(1, "URL", b"https://example.cn/other")])


def store_with_third_version() -> MemoryStore:
    """A store in which IDENTIFIER has BODY."""
    store = MemoryStore()
    for version in (b"1", b"2"):
        store.apply([Write(IDENTIFIER, ANY, encode_values([Value(1, "N", version)]))], NOW - 7_200)
    store.apply([Write(IDENTIFIER, 2, encode_values(VALUES))], NOW - 3_600)
    assert store.find(IDENTIFIER) == BODY
    return store


def withdraw(store: MemoryStore) -> None:
    store.apply([Write(IDENTIFIER, ANY, None)], NOW - 60)
    assert store.find(IDENTIFIER) == WITHDRAWN_BODY


def suspend(store: MemoryStore) -> None:
    store.apply([Write(IDENTIFIER, ANY, SUSPEND)], NOW - 60)


def clear(store: MemoryStore) -> None:
    MemoryStore.__init__(store)


def register_two_more(store: MemoryStore) -> None:
    store.apply([Write(NEW, ANY, NEW_VALUES), Write(THIRD, ANY, NEW_VALUES)], NOW)


def forget(store: MemoryStore) -> None:
    store.apply([policy_write(ENTERPRISE.prefix, Policy(versions=0))], NOW)
    store.apply([Write(IDENTIFIER, ANY, OTHER_VALUES)], NOW)


def delegate(store: MemoryStore) -> None:
    statement = SECONDARY.delegate(ENTERPRISE)
    store.apply([system_write(DELEGATIONS, ENTERPRISE.prefix, {"DELEGATION": statement})], NOW)


def nothing(store: MemoryStore) -> None:
    """The store as it is."""


def request(name: str) -> object:
    return decode_one(bytes.fromhex(OPERATIONS[name]["request"]), MAX_MESSAGE_BYTES)


def response(name: str, said: str) -> str:
    (wire,) = [one["response"] for one in OPERATIONS[name]["responses"] if one["name"] == said]
    assert isinstance(wire, str)
    return wire


RESOLVER: list[tuple[str, str, Callable[[MemoryStore], None]]] = [
    ("hello", "agreed", nothing),
    ("hello, other version", "refused", nothing),
    ("hello without seals", "allowed", nothing),
    ("hello without a version", "refused", nothing),
    ("resolve", "found", nothing),
    ("resolve", "absent", clear),
    ("resolve", "withdrawn", withdraw),
    ("resolve", "suspended", suspend),
    ("resolve", "delegated", delegate),
    ("resolve, to keep the answer", "found", nothing),
    ("resolve over UDP", "found", nothing),
    ("resolve below another zone", "refused", nothing),
    ("resolve what is no identifier", "refused", nothing),
    ("resolve nothing", "refused", nothing),
    ("resolve many", "each its own", nothing),
    ("resolve many", "delegated", delegate),
    ("list", "a page", register_two_more),
    ("list", "delegated", delegate),
    ("list on", "the last page", register_two_more),
    ("as of", "as it is", nothing),
    ("as of", "delegated", delegate),
    ("as of before", "as it was", nothing),
    ("as of before", "not kept", forget),
    ("as of the beginning", "absent", nothing),
    ("history", "the newest", nothing),
    ("history", "absent", clear),
    ("history", "delegated", delegate),
    ("history on", "the rest", nothing),
    ("chain", "shown", nothing),
    ("chain over UDP", "shown", nothing),
    ("chain of a child", "shown", delegate),
    ("chain of a child", "not delegated", nothing),
    ("chain of what lies below a child", "delegated", delegate),
    ("chain of another's child", "refused", delegate),
    ("ping", "answered", nothing),
    ("an operation that is not there", "refused", nothing),
]


@pytest.mark.parametrize(("name", "said", "prepare"), RESOLVER, ids=[f"{name}: {said}" for name, said, _ in RESOLVER])
def test_the_resolver(name: str, said: str, prepare: Callable[[MemoryStore], None]) -> None:
    store = store_with_third_version()
    prepare(store)
    answerer = Answerer(store, FACTS, lambda: NOW)
    assert answerer.one(request(name)).hex() == response(name, said)
    quick = answerer.plain([request(name)])
    if quick is not None:  # the way without objects says the same
        assert b"".join(quick).hex() == response(name, said)


def test_the_resolver_may_be_told_not_to_list() -> None:
    answerer = Answerer(MemoryStore(), FACTS.__class__(FACTS.role, FACTS.zone, FACTS.software, FACTS.chain, False))
    assert answerer.one(request("list")).hex() == response("list", "nobody may list")


def test_the_status_has_the_keys_of_the_vector() -> None:
    _, status, payload = msgpack.unpackb(Answerer(MemoryStore(), FACTS).one(request("status")))
    assert status == 0
    assert list(payload) == list(STATUS_PAYLOAD)


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one["door"] == "registry"])
def test_the_resolver_has_no_operation_of_the_registry(name: str) -> None:
    _, status, payload = msgpack.unpackb(Answerer(MemoryStore(), FACTS).one(request(name)))
    rule = "message.not-a-readers-door" if name in ("authenticate", "prove") else "message.resolvers-port"
    assert (status, payload) == (303, [rule, {"op": OPERATIONS[name]["op"]}])


@pytest.mark.parametrize("vector", load("messages")["bad_requests"], ids=lambda one: one["name"])
def test_what_is_no_request_is_answered_under_rid_0(vector: Any) -> None:
    bad = decode_one(bytes.fromhex(vector["request"]))
    for wire in (Answerer(MemoryStore(), FACTS).one(bad), writers_session(MemoryStore()).answer(bad)):
        assert isinstance(wire, bytes)
        assert msgpack.unpackb(wire) == [0, 300, ["message.not-a-request", {}]]


@pytest.mark.parametrize(
    "bad", [(1, -5, b"88.118/x"), (1, 1.5, b"88.118/x"), (1, None, b"88.118/x"), (1, b"", b"88.118/x")]
)
def test_a_rid_that_is_none_leaves_the_quick_way(bad: object) -> None:
    """For an absent identifier these went through as exceptions that no server expects."""
    answerer = Answerer(MemoryStore(), FACTS)
    for requests in ([bad], [(1, 1, b"88.118/x"), bad], [(1, 1, b"88.118/x", 0, b""), (*bad, 0, b"")]):  # type: ignore[misc]
        try:
            assert answerer.plain(requests) is None
        except ValueError:
            pytest.fail("left by an exception")


# The registry --------------------------------------------------------------------------------------------


def new_session(store: MemoryStore, rights: Rights) -> Session:
    return Session(store, FACTS, rights, lambda: dict(STATUS_PAYLOAD))


def writers_session(store: MemoryStore, prefix: str = "88.118.32001") -> Session:
    """A session whose key is proven."""
    session = new_session(store, Rights({WRITER.public: [prefix]}, SECONDARY.prefix))
    session.answer(request("authenticate"))
    session.answer(request("prove"))
    return session


@pytest.fixture(autouse=True)
def _known_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module.os, "urandom", lambda size: NONCE[:size])


def answered(session: Session, store: MemoryStore, name: str) -> str:
    """The response to a request, written where it is a batch."""
    answer = session.answer(request(name))
    if not isinstance(answer, bytes):
        answer = (
            answer.response(final=True)
            if isinstance(answer, Poll)
            else answer.response(store.apply(answer.writes, NOW))
        )
    assert answer is not None
    return answer.hex()


BOTH = [name for name, one in OPERATIONS.items() if one["door"] == "both" and len(one["responses"]) == 1]


@pytest.mark.parametrize("name", [name for name in BOTH if not name.startswith("chain of")])
def test_the_registry_answers_what_every_node_does(name: str) -> None:
    (said,) = OPERATIONS[name]["responses"]
    assert answered(new_session(MemoryStore(), Rights({}, SECONDARY.prefix)), MemoryStore(), name) == said["response"]


@pytest.mark.parametrize(("name", "said", "prepare"), [row for row in RESOLVER if row[0].startswith("chain of")])
def test_the_registry_shows_the_chain_of_a_child(
    name: str, said: str, prepare: Callable[[MemoryStore], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module.time, "time", lambda: NOW)
    store = MemoryStore()
    prepare(store)
    assert answered(new_session(store, Rights({}, SECONDARY.prefix)), store, name) == response(name, said)


def test_proving_a_key() -> None:
    store = MemoryStore()
    session = new_session(store, Rights({WRITER.public: ["88.118.32001"]}, SECONDARY.prefix))
    assert answered(session, store, "authenticate") == response("authenticate", "challenged")
    assert answered(session, store, "prove") == response("prove", "proven")
    assert answered(session, store, "prove") == response("prove", "not proven")  # a challenge serves once
    stranger = new_session(store, Rights({}, SECONDARY.prefix))
    assert answered(stranger, store, "authenticate") == response("authenticate", "unknown key")
    assert answered(stranger, store, "prove") == response("prove", "not proven")
    assert PROOF.hex() in OPERATIONS["prove"]["request"]


def readers_door(monkeypatch: pytest.MonkeyPatch, peer: str = "127.0.0.1") -> Callable[[str], str]:
    """Asks a resolver at which the reader of the vectors has its key and its token."""
    monkeypatch.setattr(authenticating.os, "urandom", lambda _: reading.NONCE)
    digest = sha256(reading.TOKEN.encode()).hexdigest()
    prefix = reading.NAME.partition("/")[0]
    credentials = (token_name(digest), key_name(reading.READER.public))
    store = MemoryStore()
    identity = Identity(roles=(Role.READER,), made=NOW, credentials=credentials)
    nothing_there = Found(0, None)
    store.apply([
        allot(prefix, Stage.HOSTED),
        Shelf(store, IDENTITIES, Identity).write(reading.NAME, nothing_there, identity),
        Shelf(store, TOKENS, Token).write(
            digest, nothing_there, Token(identity=reading.NAME, made=NOW, until=NOW + 86_400)
        ),
        Shelf(store, KEYS, Key).write(
            f"01{reading.READER.public.raw.hex()}", nothing_there, Key(identity=reading.NAME, made=NOW)
        ),
    ], NOW)  # fmt: skip
    readers = Readers(store, FACTS, {}, (), clock=lambda: NOW, steady=lambda: NOW)
    door = authenticating.Authentication(readers, peer)
    return lambda name: door.answer(request(name), SECONDARY.online.public).hex()


def test_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = readers_door(monkeypatch)
    assert ask("authenticate, to read") == response("authenticate, to read", "challenged")
    assert ask("prove, to read") == response("prove, to read", "proven")
    assert ask("prove, to read") == response("prove, to read", "not proven")
    assert ask("token") == response("token", "proven")
    far = readers_door(monkeypatch, reading.PEER)
    assert far("token") == response("token", "in clear")
    monkeypatch.setattr(reading.READER.public.__class__, "verifies", lambda *_: False)
    for said in (*["not proven"] * 5, "wrong too often"):
        assert far("authenticate, to read") == response("authenticate, to read", "challenged")
        assert far("prove, to read") == response("prove, to read", said)


def test_writing() -> None:
    store = store_with_third_version()
    session = writers_session(store)
    assert answered(session, store, "write") == response("write", "each its own")
    assert answered(session, store, "write") == response("write", "sent again")
    store.apply([Write(NEW, ANY, OTHER_VALUES), Write(IDENTIFIER, ANY, OTHER_VALUES)], NOW)
    assert answered(session, store, "write") == response("write", "other content is there")
    nobody = new_session(store, Rights({}, SECONDARY.prefix))
    assert answered(nobody, store, "write") == response("write", "no key proven")
    assert answered(nobody, store, "fetch") == response("fetch", "no key")


@pytest.mark.parametrize(
    ("name", "said", "prefix", "prepare"),
    [
        ("fetch", "shown", "88.118.32001", nothing),
        ("records", "a page", "88.118.32001", register_two_more),
        ("search", "nothing found", "88.118.32001", nothing),
        ("changes", "the first page", "88.118", nothing),
        ("changes since", "nothing new", "88.118", nothing),
    ],
)
def test_reading(name: str, said: str, prefix: str, prepare: Callable[[MemoryStore], None]) -> None:
    store = store_with_third_version()
    prepare(store)
    assert answered(writers_session(store, prefix), store, name) == response(name, said)


def test_following() -> None:
    store = store_with_third_version()
    rights = Rights({}, SECONDARY.prefix, followers=Followers({WRITER.public: "custody-1"}))
    session = new_session(store, rights)
    for name in ("authenticate", "prove"):
        session.answer(request(name))
    assert answered(session, store, "changes") == response("changes", "the first page")
    assert answered(session, store, "vouched") == response("vouched", "none")
    rights.vouched = {"custody-1": SECONDARY.online_statement(), "custody-2": b"other"}
    assert answered(session, store, "vouched") == response("vouched", "shown")
    assert answered(writers_session(store), store, "vouched") == response("vouched", "no follower")
    put_back = writers_session(MemoryStore(), "88.118").answer(request("changes since"))
    assert isinstance(put_back, Poll)
    with pytest.raises(StoreError) as caught:
        put_back.response(final=True)
    assert encode_failure(put_back.rid, caught.value).hex() == response("changes since", "another feed")


@pytest.mark.parametrize("op", [Op.RESOLVE, Op.RESOLVE_MANY, Op.LIST])
def test_the_registry_has_no_operation_of_the_resolver(op: Op) -> None:
    wire = new_session(MemoryStore(), Rights({}, SECONDARY.prefix)).answer((int(op), 1, b"88.118/x"))
    assert isinstance(wire, bytes)
    assert msgpack.unpackb(wire)[1] == 303


def test_reporting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module.time, "time", lambda: NOW)
    store = MemoryStore()
    session = writers_session(store, "88.118")
    assert answered(session, store, "reporter") == response("reporter", "not delegated")
    delegate(store)
    assert answered(session, store, "reporter") == response("reporter", "challenged")
    assert answered(session, store, "prove reporter") == response("prove reporter", "proven")
    assert answered(session, store, "report") == response("report", "kept")
    assert answered(session, store, "report") == response("report", "sent again")
    assert answered(session, store, "report, other content") == response("report, other content", "refused")
    assert answered(session, store, "statistics") == response("statistics", "enterprises")
