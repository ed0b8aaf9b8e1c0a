"""Receipts: the vectors, and one put together from parts of others."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgpack
import pytest

from protocol.errors import BiaoshiError, MessageError, NotVerified
from protocol.messages import Op, encode_request, encode_response
from protocol.receipts import MAX_RECEIPT_BYTES, encode_receipt, verify_receipt
from protocol.seals import leaf, seal_turn
from protocol.status import Status
from protocol.trust import Chain
from tests.vectors.actors import (
    ABSENT,
    ANCHOR,
    BODY,
    ENTERPRISE,
    ENTERPRISE_CHAIN,
    IDENTIFIER,
    NOW_MS,
    RID,
    SECONDARY,
    SECONDARY_CHAIN,
    Exchanged,
    answered,
)
from tests.vectors.load import load

VECTORS = load("receipt")


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["name"])
def test_good_receipts(vector: Any) -> None:
    receipt = bytes.fromhex(vector["receipt"])
    answer, proof = verify_receipt(receipt, ANCHOR)
    assert answer.proof is proof
    assert (answer.identifier, int(answer.status), answer.ttl) == (
        vector["identifier"],
        vector["status"],
        vector["ttl"],
    )
    assert (proof.zone.prefix, proof.key.node, proof.time) == (vector["zone"], vector["node"], vector["time"])
    parts = [bytes.fromhex(vector[name]) for name in ("request", "response", "seal")]
    chain = Chain(*(tuple(bytes.fromhex(one) for one in vector[name]) for name in ("delegations", "online_keys")))
    assert encode_receipt(*parts, chain) == receipt


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda one: one["name"])
def test_bad_receipts(vector: Any) -> None:
    with pytest.raises(BiaoshiError) as caught:
        verify_receipt(bytes.fromhex(vector["receipt"]), ANCHOR)
    assert caught.value.rule.name == vector["rule"]


def test_every_mixture_of_two_receipts_proves_nothing() -> None:
    """Both are good; spliced from parts of both, only those two are."""
    one, other = answered(), answered(ABSENT, Status.NOT_FOUND, 300, rid=RID + 1, online=ENTERPRISE.online)
    sources = [(*one, *SECONDARY_CHAIN), (*other, *ENTERPRISE_CHAIN)]
    held = []
    for choice in product((0, 1), repeat=5):
        request, response, seal, delegations, online_keys = (sources[which][i] for i, which in enumerate(choice))
        receipt = encode_receipt(request, response, seal, Chain(delegations, online_keys))  # type: ignore[arg-type]
        try:
            verify_receipt(receipt, ANCHOR)
        except (NotVerified, MessageError):
            continue
        held.append(choice)
    assert held == [(0,) * 5, (1,) * 5]


def test_no_flipped_bit_changes_what_a_receipt_proves() -> None:
    receipt = answered().receipt(SECONDARY_CHAIN)
    whole = verify_receipt(receipt, ANCHOR)
    unharmed = 0
    for bit in range(8 * len(receipt)):
        bent = bytearray(receipt)
        bent[bit >> 3] ^= 1 << (bit & 7)
        try:
            verdict = verify_receipt(bytes(bent), ANCHOR)
        except (NotVerified, MessageError):
            continue
        unharmed += 1
        assert verdict == whole
    assert unharmed == 0


def test_every_shorter_receipt_is_none() -> None:
    receipt = answered().receipt(SECONDARY_CHAIN)
    for length in range(0, len(receipt), 7):
        with pytest.raises(MessageError):
            verify_receipt(receipt[:length], ANCHOR)


def sealed(request: bytes, response: bytes, n: int = 1) -> bytes:
    (seal,) = seal_turn([n], [leaf(request, response)], SECONDARY.online, NOW_MS)
    return encode_receipt(request, response, seal, SECONDARY_CHAIN)


RESOLVE = encode_request(Op.RESOLVE, RID, IDENTIFIER)
FOUND = encode_response(RID, Status.OK, BODY)


@pytest.mark.parametrize(
    ("what", "receipt"),
    [
        ("two answers under one seal", sealed(RESOLVE * 2, FOUND * 2, 2)),
        ("two answers, as one", sealed(RESOLVE * 2, FOUND * 2)),
        ("a seal for two", sealed(RESOLVE, FOUND, 2)),
        ("another operation", sealed(encode_request(Op.PING, RID), FOUND)),
        ("no identifier", sealed(encode_request(Op.RESOLVE, RID), FOUND)),
        ("an identifier that is a number", sealed(encode_request(Op.RESOLVE, RID, 5), FOUND)),
        ("the answer of another rid", sealed(RESOLVE, encode_response(RID + 1, Status.OK, BODY))),
        ("a request that is none", sealed(b"\x01", FOUND)),
        ("a response that is none", sealed(RESOLVE, b"\x01")),
        ("a seal that is none", encode_receipt(RESOLVE, FOUND, b"\xc0", SECONDARY_CHAIN)),
        ("too long", bytes(MAX_RECEIPT_BYTES + 1)),
        ("text in place of bytes", msgpack.packb([1, "a", "b", "c", [], []])),
        ("nine delegations", encode_receipt(*answered(), Chain((b"",) * 9, ()))),
        ("17 online keys", encode_receipt(*answered(), Chain((), (b"",) * 17))),
        ("a format as text", msgpack.packb(["1", b"", b"", b"", [], []])),
    ],
)
def test_what_is_no_receipt(what: str, receipt: bytes) -> None:
    with pytest.raises(MessageError):
        verify_receipt(receipt, ANCHOR)


def test_a_receipt_is_judged_as_of_its_own_time() -> None:
    """It has no clock: years later it proves the same."""
    old = answered(time=NOW_MS - 3_600_000)
    assert verify_receipt(old.receipt(SECONDARY_CHAIN), ANCHOR).proof.time == NOW_MS - 3_600_000


def test_the_identifier_is_shown_as_it_was_asked() -> None:
    asked: Exchanged = answered(b"88.118.32001/p", Status.NOT_FOUND, 300)
    assert verify_receipt(asked.receipt(SECONDARY_CHAIN), ANCHOR).answer.identifier == "88.118.32001/p"
