"""What responses say about identifiers."""

from __future__ import annotations

import pytest

from protocol.answers import Answer, UnprovenAnswer, read_answer, read_unproven_answer
from protocol.errors import IdentifierError, MessageError, NotVerified, RecordError, Refused
from protocol.framing import decode_one
from protocol.limits import ABSENT_TTL_SECONDS, MAX_TTL_SECONDS
from protocol.records import State, encode_body
from protocol.seals import leaf, read_seal
from protocol.status import Status
from protocol.trust import Proof, Verifier
from tests.vectors.actors import (
    ANCHOR,
    BODY,
    IDENTIFIER,
    NOW,
    NOW_MS,
    SECONDARY_CHAIN,
    SUSPENDED_BODY,
    VALUES,
    WITHDRAWN_BODY,
    answered,
)

NO_VALUES = encode_body(1, State.ACTIVE, NOW, b"\x90")
ACTIVE_AS_WITHDRAWN = encode_body(1, State.WITHDRAWN, NOW, b"\x91\x93\x01\xa1U\xc4\x01u")


def proof() -> Proof:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    sealed = answered()
    return verifier.check(read_seal(decode_one(sealed.seal)), leaf(sealed.request, sealed.response), NOW_MS)


def test_found() -> None:
    answer = read_answer(IDENTIFIER, 0, BODY, proof())
    assert answer.found
    assert answer.values == VALUES
    assert answer.url == "https://example.cn/p/123456"
    assert answer.ttl == 3_600  # the least of its values
    assert answer.require().version == 3
    assert answer.identifier == IDENTIFIER.decode()
    assert answer.proof.zone.prefix == "88.118"


def test_found_without_public_values() -> None:
    answer = read_unproven_answer(IDENTIFIER, 0, NO_VALUES)
    assert answer.found
    assert (answer.values, answer.url, answer.ttl) == ((), None, ABSENT_TTL_SECONDS)


@pytest.mark.parametrize("ttl", [0, ABSENT_TTL_SECONDS, MAX_TTL_SECONDS])
def test_absent(ttl: int) -> None:
    answer = read_unproven_answer(IDENTIFIER, 100, ttl)
    assert (answer.found, answer.status, answer.record, answer.ttl) == (False, Status.NOT_FOUND, None, ttl)
    assert (answer.values, answer.url) == ((), None)
    with pytest.raises(Refused) as caught:
        answer.require()
    assert caught.value.status is Status.NOT_FOUND


def test_withdrawn() -> None:
    answer = read_unproven_answer(IDENTIFIER, 101, WITHDRAWN_BODY)
    assert (answer.found, answer.status, answer.values) == (False, Status.WITHDRAWN, ())
    assert answer.record is not None
    assert answer.record.version == 4
    with pytest.raises(Refused):
        answer.require()


def test_suspended() -> None:
    answer = read_unproven_answer(IDENTIFIER, 105, SUSPENDED_BODY)
    assert (answer.found, answer.status, answer.values) == (False, Status.SUSPENDED, ())
    assert answer.ttl == 300
    with pytest.raises(Refused) as caught:
        answer.require()
    assert caught.value.status is Status.SUSPENDED


@pytest.mark.parametrize("status", [Status.WITHDRAWN, Status.SUSPENDED])
def test_a_prefix_that_is_closed_or_suspended(status: Status) -> None:
    answer = read_answer(IDENTIFIER, status, None, proof())
    assert (answer.found, answer.status, answer.record, answer.values) == (False, status, None, ())
    with pytest.raises(Refused) as caught:
        answer.require()
    assert caught.value.status is status
    stale = read_unproven_answer(IDENTIFIER, Status.STALE, (int(status), None, 5))
    assert (stale.status, stale.stale, stale.age) == (status, True, 5)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (105, BODY),
        (105, WITHDRAWN_BODY),
        (101, SUSPENDED_BODY),
        (0, SUSPENDED_BODY),
        (0, None),
        (0, 5),
        (0, (BODY,)),
        (0, WITHDRAWN_BODY),
        (100, None),
        (100, -1),
        (100, MAX_TTL_SECONDS + 1),
        (100, BODY),
        (101, 300),
        (101, BODY),
        (101, ACTIVE_AS_WITHDRAWN),
        (105, 300),
    ],
)
def test_payloads_that_do_not_fit_their_status(status: int, payload: object) -> None:
    for read in (lambda: read_unproven_answer(IDENTIFIER, status, payload),
                 lambda: read_answer(IDENTIFIER, status, payload, proof())):  # fmt: skip
        with pytest.raises(MessageError) as caught:
            read()
        assert caught.value.rule.name == "answer.bad-payload"


@pytest.mark.parametrize("status", [102, 300, 401, 501, 999, -1])
def test_every_other_status_is_a_refusal(status: int) -> None:
    with pytest.raises(Refused) as caught:
        read_answer(IDENTIFIER, status, None, proof())
    assert caught.value.status is Status.named(status)


def test_a_body_that_is_none() -> None:
    with pytest.raises(RecordError):
        read_answer(IDENTIFIER, 0, b"\x90", proof())


@pytest.mark.parametrize("identifier", [b"88.119.1/x", b"88/x", b"88.1180/x", b"99/x"])
def test_a_zone_has_no_say_over_others(identifier: bytes) -> None:
    with pytest.raises(NotVerified) as caught:
        read_answer(identifier, 100, 300, proof())
    assert caught.value.rule.name == "trust.foreign-identifier"


def test_the_zone_is_compared_in_normal_form() -> None:
    assert read_answer(b"88.118.abc/x", 100, 300, proof()).status is Status.NOT_FOUND


def test_an_answer_about_no_identifier() -> None:
    with pytest.raises(IdentifierError):
        read_answer(b"88.118", 100, 300, proof())


def test_proven_and_unproven_answers_are_of_different_types() -> None:
    plain = read_unproven_answer(IDENTIFIER, 0, BODY)
    assert type(plain) is UnprovenAnswer
    assert not hasattr(plain, "proof")
    assert isinstance(read_answer(IDENTIFIER, 0, BODY, proof()), Answer)
