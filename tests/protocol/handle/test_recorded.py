"""Every message that was recorded between a Handle.net server and its client: read, and written as the same bytes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.handle import answers, requests
from protocol.handle.administration import ALL_RIGHTS, read_administrator
from protocol.handle.codes import Flag, HashCode, Opcode, ResponseCode
from protocol.handle.credentials import MAC, SIGNED, challenged, read_signature
from protocol.handle.digests import digest_of
from protocol.handle.envelope import ENVELOPE_BYTES, Envelope, cut, encode_envelope, read_envelope
from protocol.handle.messages import Message, covered, encode_message, read_message
from protocol.handle.values import HandleValue, Reference
from tests.vectors.load import load

RECORDED: list[dict[str, Any]] = load("handle/wire_tcp")["messages"]
WIRES = [bytes.fromhex(one["hex"]) for one in RECORDED]
PREFIX = Reference("0.NA/88.118.1", 200)
USER = Reference("0.NA/88.118.1", 300)


def message(number: int) -> Message:
    return read_message(WIRES[number][ENVELOPE_BYTES:])


@pytest.mark.parametrize("number", range(len(RECORDED)), ids=lambda n: f"{n}-{RECORDED[n]['op']}-{RECORDED[n]['dir']}")
def test_the_same_bytes(number: int) -> None:
    recorded, wire = RECORDED[number], WIRES[number]
    found = cut(wire)
    assert found is not None
    envelope, payload = found
    assert encode_envelope(envelope) + encode_message(read_message(payload)) == wire

    assert f"{envelope.major}.{envelope.minor}" == recorded["version"]
    assert (envelope.session, envelope.request) == (recorded["session"], recorded["request"])
    assert (envelope.sequence, envelope.length) == (recorded["seq"], recorded["len"])
    header = read_message(payload).header
    assert (header.opcode, header.code) == (recorded["opcode"], recorded["rc"])
    assert (header.flags, header.site_serial) == (int(recorded["opflags"], 16), recorded["siteinfo"])
    assert (header.recursions, header.expiration) == (recorded["recursion"], recorded["expiry"])
    assert header.is_request == (recorded["dir"] == "client->server")


def test_there_is_something_recorded() -> None:
    assert {one["opcode"] for one in RECORDED} == {1, 100, 101, 102, 103, 104, 200, 400}


def test_a_creation() -> None:
    created = message(2)
    assert created.header.has(Flag.RECURSE)
    assert not created.header.has(Flag.RETURN_DIGEST)
    assert created.digest is None
    assert isinstance(created.body, requests.Create)
    assert created.body.handle == "88.118.1/gb1"
    admin, url = created.body.values
    assert url == HandleValue(1, "URL", b"http://gb1.example/")
    assert (admin.index, admin.type) == (100, "HS_ADMIN")
    administrator = read_administrator(admin.data)
    assert (administrator.rights, administrator.identity) == (ALL_RIGHTS, PREFIX)
    assert created.credential is not None
    assert (created.credential.type, created.credential.signer) == (MAC, Reference("", 1))
    assert created.credential.signature.algorithm == "HMAC-SHA256"


def test_the_other_requests() -> None:
    assert message(8).body == requests.AddValues("88.118.1/gb2", (HandleValue(2, "EMAIL", b"a@b.example"),))
    assert message(10).body == requests.ModifyValues("88.118.1/gb2", (HandleValue(2, "EMAIL", b"c@d.example"),))
    assert message(12).body == requests.RemoveValues("88.118.1/gb2", (2,))
    assert message(14).body == requests.Delete("88.118.1/gb1")
    assert message(16).body == requests.Resolve("88.118.1/gb2")


def test_the_answers() -> None:
    assert message(5).body == answers.Created("88.118.1/gb1")
    assert message(5).header.opcode == Opcode.CREATE, "of the request that was challenged"
    assert message(7).header.code == ResponseCode.HANDLE_EXISTS
    assert message(7).body == answers.Failure()
    assert message(9).body == message(11).body == message(13).body == message(15).body == answers.Done()
    resolved = message(17).body
    assert isinstance(resolved, answers.Resolved)
    assert [(value.index, value.type, value.timestamp) for value in resolved.values] == [
        (1, "URL", 0x6B04C7C9),
        (100, "HS_ADMIN", 0x6B04C7C9),
    ]
    assert message(19).header.code == ResponseCode.HANDLE_NOT_FOUND


@pytest.mark.parametrize(("asked", "answered"), [(0, 1), (2, 3)])
def test_the_digest_is_of_header_and_body(asked: int, answered: int) -> None:
    assert message(answered).digest == digest_of(covered(WIRES[asked][ENVELOPE_BYTES:]), HashCode.SHA256)


def test_the_proof_is_over_nonce_and_digest() -> None:
    """By the user's key, as the server gave it over HTTP."""
    key = load("handle/wire_tcp")["user_key"]
    modulus, exponent = (int.from_bytes(base64.urlsafe_b64decode(key[one] + "=="), "big") for one in ("n", "e"))
    challenge, answer = message(3), message(4).body
    assert isinstance(challenge.body, answers.Challenge)
    assert challenge.digest is not None
    assert isinstance(answer, requests.AnswerChallenge)
    assert answer.identity == USER
    signature = read_signature(answer.proof)
    assert signature.algorithm == "SHA-256"
    rsa.RSAPublicNumbers(exponent, modulus).public_key().verify(
        signature.signature, challenged(challenge.body.nonce, challenge.digest), padding.PKCS1v15(), SHA256()
    )


def test_a_session_is_read_as_far_as_the_credential() -> None:
    asked, answered = message(0), message(1)
    assert isinstance(asked.body, answers.Opaque)
    assert isinstance(answered.body, answers.Opaque)
    assert answered.credential is not None
    assert answered.credential.type == SIGNED
    assert len(answered.credential.signature.signature) == 256


def test_the_envelope_of_the_client() -> None:
    assert read_envelope(WIRES[0]) == Envelope(session=0, request=0x5781E657, length=347)
