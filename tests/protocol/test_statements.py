"""Delegations and online keys."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from protocol.errors import MessageError, NotVerified
from protocol.limits import MAX_STATEMENT_BYTES
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import (
    Address,
    Delegation,
    DelegationRequest,
    OnlineKey,
    read_delegation,
    read_online_key,
    read_request,
)
from protocol.succession import Succession, read_succession
from tests.vectors.actors import SECONDARY, TOP, key
from tests.vectors.generate import READERS
from tests.vectors.load import load

VECTORS = load("statements")


@pytest.mark.parametrize("vector", VECTORS["delegations"], ids=lambda one: one["name"])
def test_delegations(vector: Any) -> None:
    claim = Delegation(
        vector["parent"],
        vector["child"],
        vector["serial"],
        vector["not_before"],
        vector["not_after"],
        tuple(PublicKey(algorithm, bytes.fromhex(raw)) for algorithm, raw in vector["keys"]),
        tuple(Address(*one) for one in vector["addresses"]),
    )
    signer = SigningKey(bytes.fromhex(vector["signer"]["seed"]))
    statement = bytes.fromhex(vector["statement"])
    assert claim.sign(signer) == statement
    unverified = read_delegation(statement)
    assert unverified.claim == claim
    assert unverified.signed == bytes.fromhex(VECTORS["contexts"]["delegation"] + vector["body"])
    assert unverified.signature.hex() == vector["signature"]
    assert unverified.signed_by(signer.public)
    assert not unverified.signed_by(key("somebody").public)


@pytest.mark.parametrize("vector", VECTORS["online_keys"], ids=lambda one: one["name"])
def test_online_keys(vector: Any) -> None:
    algorithm, raw = vector["key"]
    claim = OnlineKey(
        vector["zone"],
        vector["node"],
        PublicKey(algorithm, bytes.fromhex(raw)),
        vector["not_before"],
        vector["not_after"],
    )
    signer = SigningKey(bytes.fromhex(vector["signer"]["seed"]))
    statement = bytes.fromhex(vector["statement"])
    assert claim.sign(signer) == statement
    unverified = read_online_key(statement)
    assert unverified.claim == claim
    assert unverified.signed == bytes.fromhex(VECTORS["contexts"]["online key"] + vector["body"])
    assert unverified.signed_by(signer.public)


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda one: one["name"])
def test_requests(vector: Any) -> None:
    claim = DelegationRequest(
        vector["child"],
        tuple(PublicKey(algorithm, bytes.fromhex(raw)) for algorithm, raw in vector["keys"]),
        tuple(Address(*one) for one in vector["addresses"]),
        vector["made"],
    )
    statement = bytes.fromhex(vector["statement"])
    assert claim.sign(SigningKey(bytes.fromhex(vector["signer"]["seed"]))) == statement
    assert read_request(statement) == claim


@pytest.mark.parametrize("vector", VECTORS["successions"], ids=lambda one: one["name"])
def test_successions(vector: Any) -> None:
    old, following = (PublicKey(one[0], bytes.fromhex(one[1])) for one in (vector["key"], vector["next_key"]))
    claim = Succession(vector["prefix"], old, following, vector["made"], vector["until"])
    statement = bytes.fromhex(vector["statement"])
    assert claim.sign(SigningKey(bytes.fromhex(vector["signer"]["seed"]))) == statement
    assert read_succession(statement) == claim


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda one: f"{one['kind']}: {one['name']}")
def test_what_is_no_statement(vector: Any) -> None:
    with pytest.raises((MessageError, NotVerified)) as caught:
        READERS[vector["kind"]](bytes.fromhex(vector["statement"]))
    assert caught.value.rule.name == vector["rule"]


@pytest.mark.parametrize("read", [read_delegation, read_online_key])
@pytest.mark.parametrize("nested", [b"\x91", b"\x81", b"\x92\xc4\x00", b"\xdc\x4e\x20", b"\xdd\xff\xff\xff\xff"])
def test_nesting_and_announcements_are_refused(read: Any, nested: bytes) -> None:
    bomb = nested * (MAX_STATEMENT_BYTES // len(nested))
    with pytest.raises(MessageError):
        read(bomb)
    with pytest.raises(MessageError):
        read(msgpack.packb([bomb[:4_000], bytes(64)]))


def test_the_same_body_under_the_other_context_is_not_signed() -> None:
    statement = SECONDARY.online_statement()
    body, signature = msgpack.unpackb(statement)
    assert TOP.key.public.verifies(TOP.key.sign(b"biaoshi delegation 1\x00" + body), b"biaoshi delegation 1\x00" + body)
    assert not SECONDARY.key.public.verifies(signature, b"biaoshi delegation 1\x00" + body)
    assert not SECONDARY.key.public.verifies(signature, body)


def test_the_signature_is_over_the_bytes_that_came() -> None:
    """A body in a longer form than needed is another body, and read all the same."""
    body = msgpack.packb(["88", "88.118", 1, 0, 9, [[1, SECONDARY.key.public.raw]], []])
    longer = body.replace(b"\xa288", b"\xd9\x0288", 1)
    signature = TOP.key.sign(b"biaoshi delegation 1\x00" + longer)
    unverified = read_delegation(msgpack.packb([longer, signature]))
    assert unverified.signed_by(TOP.key.public)
    assert unverified.claim == read_delegation(msgpack.packb([body, signature])).claim
    assert not read_delegation(msgpack.packb([body, signature])).signed_by(TOP.key.public)
