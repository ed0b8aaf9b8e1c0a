"""Requests and responses."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest

from protocol.errors import MessageError, NotVerified, Refused
from protocol.framing import decode_one, split
from protocol.identifiers import EMPTY_PREFIX
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.messages import (
    MAX_RID,
    Op,
    Response,
    encode_failure,
    encode_request,
    encode_response,
    read_request,
    read_response,
    refusal,
)
from protocol.status import Status
from protocol.trust import CLOCK_AHEAD
from tests.vectors.actors import IDENTIFIER, RID
from tests.vectors.load import load, unshown

VECTORS = load("messages")


def as_decoded(value: Any) -> Any:
    """What our decoder makes of a value: text as bytes, arrays as tuples."""
    match value:
        case str():
            return value.encode()
        case list():
            return tuple(as_decoded(one) for one in value)
        case dict():
            return {as_decoded(name): as_decoded(one) for name, one in value.items()}
    return value


@pytest.mark.parametrize("vector", VECTORS["operations"], ids=lambda one: one["name"])
def test_vectors_encode_and_decode(vector: Any) -> None:
    wire = bytes.fromhex(vector["request"])
    arguments = unshown(vector["arguments"])
    assert encode_request(vector["op"], vector["rid"], *arguments) == wire
    decoded = decode_one(wire, MAX_MESSAGE_BYTES)
    assert read_request(decoded) == (vector["op"], vector["rid"], as_decoded(arguments))
    for said in vector["responses"]:
        wire = bytes.fromhex(said["response"])
        payload = unshown(said["payload"])
        assert encode_response(vector["rid"], said["status"], payload) == wire
        response = read_response(decode_one(wire, MAX_MESSAGE_BYTES))
        assert response == Response(vector["rid"], said["status"], as_decoded(payload))


@pytest.mark.parametrize("vector", VECTORS["same_requests"], ids=lambda one: one["name"])
def test_other_forms_of_a_request_are_understood(vector: Any) -> None:
    op, rid, arguments = read_request(decode_one(bytes.fromhex(vector["request"])))
    assert (op, arguments) == (Op.RESOLVE, (IDENTIFIER,))
    assert rid in {RID, 5}


@pytest.mark.parametrize("vector", VECTORS["bad_requests"], ids=lambda one: one["name"])
def test_what_is_no_request(vector: Any) -> None:
    with pytest.raises(MessageError) as caught:
        read_request(decode_one(bytes.fromhex(vector["request"])))
    assert caught.value.rule.name == "message.not-a-request"


@pytest.mark.parametrize(
    "message",
    [None, 1, (), (1, 2), (1, 2, 3, 4), (-1, 0, None), (1.0, 0, None), (True, 0, None), (1, True, None), (1, b"0", 0)],
)
def test_what_is_no_response(message: object) -> None:
    with pytest.raises(MessageError) as caught:
        read_response(message)
    assert caught.value.rule.name == "message.not-a-response"


def test_a_rid_always_takes_nine_bytes() -> None:
    for rid in (0, 1, RID, MAX_RID):
        assert encode_request(Op.PING, rid) == b"\x92\x05\xcf" + rid.to_bytes(8, "big")
        assert encode_response(rid, Status.OK, None) == b"\x93\xcf" + rid.to_bytes(8, "big") + b"\x00\xc0"


@pytest.mark.parametrize("rid", [-1, MAX_RID + 1, 1.5, None, b"1"])
def test_a_response_is_not_made_for_what_is_no_rid(rid: Any) -> None:
    """Servers rely on this one exception: any other went through to the event loop."""
    with pytest.raises(struct.error):
        encode_response(rid, Status.OK, None)


def test_a_truncated_response_has_14_bytes() -> None:
    assert len(encode_response(RID, Status.TRUNCATED, None)) == 14


def test_an_error_travels_as_its_rule_and_details() -> None:
    error = NotVerified(CLOCK_AHEAD, seconds=400, limit=300)
    wire = encode_failure(RID, error)
    assert msgpack.unpackb(wire) == [RID, 307, ["trust.clock-ahead", {"seconds": 400, "limit": 300}]]
    response = read_response(split(wire)[0][0])
    again = refusal(response.status, response.payload)
    assert isinstance(again, Refused)
    assert (again.rule, again.details, again.status) == (CLOCK_AHEAD, error.details, Status.NOT_VERIFIED)
    assert str(again) == str(error)


@pytest.mark.parametrize(
    "payload", [None, 5, b"x", (), (b"identifier.empty-prefix",), (1, {}), (b"new.rule", {}), (b"\xff", {}), (b"a", ())]
)
def test_a_refusal_whose_rule_is_not_known_has_the_status_as_its_sentence(payload: object) -> None:
    error = refusal(100, payload)
    assert error.status is Status.NOT_FOUND
    assert str(error) == "the node answered: no such identifier is registered"


def test_details_of_another_shape_are_left_out() -> None:
    details = {b"position": 1, 5: b"x", b"a": (1,), b"b": None, b"c": b"\xff", b"d": 1.5}
    error = refusal(301, (EMPTY_PREFIX.name.encode(), details))
    assert error.details == {"position": 1, "c": "\ufffd", "d": 1.5}


@pytest.mark.parametrize("status", [-5, 99, 999, 1 << 63])
def test_a_status_that_is_not_in_the_table_is_an_internal_error(status: int) -> None:
    assert refusal(status, None).status is Status.INTERNAL
