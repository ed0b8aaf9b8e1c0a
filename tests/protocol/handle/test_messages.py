"""Messages: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError, Rule
from protocol.handle import answers, fields, requests, values
from protocol.handle.answers import SUCCESSES, Challenge, Done, Failure, Referral, Resolved
from protocol.handle.codes import Flag, HashCode, Opcode, ResponseCode
from protocol.handle.credentials import (
    TOO_COSTLY,
    Credential,
    Mac,
    Signature,
    encode_mac,
    encode_signature,
    read_mac,
    read_signature,
)
from protocol.handle.digests import NO_NEW_MD5, UNKNOWN_HASH, Digest, digest_of, encode_digest
from protocol.handle.envelope import MAX_PAYLOAD_BYTES, TOO_LONG
from protocol.handle.fields import Fields
from protocol.handle.messages import (
    BAD_HEADER,
    HEADER_BYTES,
    Header,
    Message,
    covered,
    encode_covered,
    encode_message,
    read_message,
)
from protocol.handle.requests import REQUESTS, Resolve
from protocol.handle.values import HandleValue, Reference
from tests.property.handles import derived_macs, macs, messages, signatures
from tests.property.strategies import MANY

ASKED = Message(Header(Opcode.RESOLVE), Resolve("88.118.1/a"))


def refused(rule: Rule, function: Callable[..., Any], *arguments: Any) -> MessageError:
    with pytest.raises(MessageError) as caught:
        function(*arguments)
    assert caught.value.rule is rule
    assert str(caught.value)
    return caught.value


def with_body(opcode: int, body: bytes, code: int = 0, flags: int = 0) -> bytes:
    """A payload with any body."""
    head = b"".join(n.to_bytes(4, "big") for n in (opcode, code, flags, 0xFFFF_0000, 0, len(body)))
    return head + body + bytes(4)


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


@MANY
@given(message=messages())
def test_a_message_comes_back(message: Message) -> None:
    payload = encode_message(message)
    assert read_message(payload) == message
    assert covered(payload) == encode_covered(message)


@MANY
@given(message=messages(), data=st.data())
def test_a_message_that_is_cut_off_says_so(message: Message, data: st.DataObject) -> None:
    payload = encode_message(message)
    whole = len(encode_covered(message))
    end = data.draw(st.integers(0, len(payload) - 1).filter(lambda end: end != whole))
    with pytest.raises(MessageError) as caught:
        read_message(payload[:end])
    assert caught.value.rule in (fields.CUT_OFF, fields.TOO_MANY)


def test_every_operation_has_a_body_in_each_direction() -> None:
    assert set(REQUESTS) == set(SUCCESSES)
    assert set(REQUESTS) == {1, 2, *range(100, 106), 200, 2001}


@pytest.mark.parametrize("code", ResponseCode)
def test_a_response_code_speaks_both_languages(code: ResponseCode) -> None:
    assert code.sentence()
    assert any("\u4e00" <= one <= "\u9fff" for one in code.sentence("zh"))


@pytest.mark.parametrize(
    ("opcode", "code", "body"),
    [
        (Opcode.RESOLVE, ResponseCode.SUCCESS, Resolved),
        (Opcode.LOG_IN, ResponseCode.SUCCESS, Done),
        (Opcode.SET_UP_SESSION, ResponseCode.SUCCESS, answers.Opaque),
        (Opcode.SET_UP_SESSION, ResponseCode.UNSUPPORTED, Failure),
        (Opcode.RESOLVE, ResponseCode.PREFIX_REFERRAL, Referral),
        (Opcode.RESOLVE, ResponseCode.SERVICE_REFERRAL, Referral),
        (Opcode.LOG_IN, ResponseCode.AUTHENTICATION_NEEDED, Challenge),
        (Opcode.CREATE, ResponseCode.TOO_MANY_HANDLES, Failure),
        (4_711, 4_711, Failure),
    ],
)
def test_the_form_of_an_answer(opcode: int, code: int, body: type[object]) -> None:
    assert answers.form(opcode, code) is body


# What clients do that the RFC does not say ------------------------------------------------------------


def test_no_credential_may_be_left_out() -> None:
    payload = encode_message(ASKED)
    assert payload.endswith(bytes(4))
    assert read_message(payload[:-4]) == ASKED


def test_what_later_versions_append_is_passed_over() -> None:
    handle = u32(4) + b"88/a"
    assert read_message(with_body(Opcode.LIST, handle + u32(0) + u32(100))).body == requests.ListHandles("88/a")


def test_old_servers_do_not_name_what_they_created() -> None:
    created = read_message(with_body(Opcode.CREATE, b"", ResponseCode.SUCCESS))
    assert created.body == answers.Created(None)
    assert encode_message(created) == with_body(Opcode.CREATE, b"", ResponseCode.SUCCESS)


def test_a_referral_without_values_ends_behind_the_handle() -> None:
    referral = Message(Header(Opcode.RESOLVE, ResponseCode.PREFIX_REFERRAL), Referral("0.NA/88.118.1"))
    assert encode_covered(referral)[HEADER_BYTES:] == u32(13) + b"0.NA/88.118.1"
    listed = with_body(Opcode.RESOLVE, u32(13) + b"0.NA/88.118.1" + u32(0), ResponseCode.PREFIX_REFERRAL)
    assert read_message(listed) == referral


def test_failures_may_be_silent() -> None:
    assert read_message(with_body(Opcode.CREATE, b"", ResponseCode.HANDLE_EXISTS)).body == Failure("")


def test_permissions_have_four_bits() -> None:
    value = bytearray(values.encode_value(HandleValue(1, "URL", b"x")))
    value[13] = 0xFE
    assert values.read_value(Fields(bytes(value))).permissions == 0b1110


# What is wrong -----------------------------------------------------------------------------------------


def test_what_is_left_over_behind_the_credential() -> None:
    refused(fields.LEFT_OVER, read_message, encode_message(ASKED) + b"x")
    signed = encode_message(
        msgspec.structs.replace(
            ASKED, credential=Credential(Reference("a", 1), "HS_SIGNED", Signature("SHA-256", b"s"))
        )
    )
    refused(fields.LEFT_OVER, read_message, signed + b"x")
    length = len(signed) - len(encode_covered(ASKED)) - 4
    longer = encode_covered(ASKED) + u32(length + 1) + signed[-length:] + b"x"
    refused(fields.LEFT_OVER, read_message, longer)


def test_text_that_is_not() -> None:
    error = refused(fields.NOT_TEXT, read_message, with_body(Opcode.DELETE, u32(2) + b"\xff\xfe"))
    assert error.details == {"field": "handle", "position": HEADER_BYTES}
    refused(fields.NOT_TEXT, read_message, with_body(Opcode.DELETE, u32(3) + b"\xed\xa0\x80"))
    refused(fields.NOT_ENCODABLE, encode_message, msgspec.structs.replace(ASKED, body=Resolve("88/\ud800")))


def test_a_body_does_not_reach_into_the_credential() -> None:
    """The handle's length covers what stands behind the body."""
    refused(fields.CUT_OFF, read_message, with_body(Opcode.DELETE, u32(6) + b"88/a"))


@pytest.mark.parametrize("opcode", [Opcode.RESOLVE, Opcode.CREATE, Opcode.REMOVE_VALUES])
def test_a_count_that_cannot_be(opcode: Opcode) -> None:
    error = refused(fields.TOO_MANY, read_message, with_body(opcode, u32(4) + b"88/a" + u32(0xFFFF_FFFF)))
    assert error.details["most"] == 0


def test_a_count_of_one_too_many() -> None:
    error = refused(
        fields.TOO_MANY, read_message, with_body(Opcode.REMOVE_VALUES, u32(4) + b"88/a" + u32(3) + bytes(8))
    )
    assert error.details == {"field": "indexes", "count": 3, "most": 2}


def test_a_ttl_of_no_kind() -> None:
    value = bytearray(values.encode_value(HandleValue(7, "URL", b"x")))
    value[8] = 2
    body = u32(4) + b"88/a" + u32(1) + bytes(value)
    assert refused(values.BAD_TTL_KIND, read_message, with_body(Opcode.CREATE, body)).details == {"index": 7, "kind": 2}


def test_numbers_that_do_not_fit() -> None:
    refused(fields.OUT_OF_RANGE, encode_message, msgspec.structs.replace(ASKED, body=Resolve("88/a", (1 << 32,))))
    refused(BAD_HEADER, encode_message, msgspec.structs.replace(ASKED, header=Header(1, site_serial=1 << 16)))
    refused(values.BAD_VALUE, values.encode_value, HandleValue(1, "URL", b"", ttl=-1))


def test_a_message_that_is_too_long() -> None:
    refused(TOO_LONG, read_message, bytes(MAX_PAYLOAD_BYTES + 1))
    long = Resolve("a" * (MAX_PAYLOAD_BYTES - HEADER_BYTES - 16))
    fits = msgspec.structs.replace(ASKED, body=long)
    assert len(encode_message(fits)) == MAX_PAYLOAD_BYTES
    refused(TOO_LONG, encode_message, msgspec.structs.replace(ASKED, body=Resolve(long.handle + "a")))


def test_parts_that_do_not_go_together() -> None:
    digest = digest_of(b"")
    for wrong in (
        Message(Header(Opcode.CREATE), Resolve("88/a")),
        Message(Header(Opcode.RESOLVE, ResponseCode.SUCCESS), Failure()),
        Message(Header(Opcode.RESOLVE), Resolve("88/a"), digest),
        Message(Header(Opcode.RESOLVE, ResponseCode.ERROR), Failure(), digest),
        Message(Header(Opcode.RESOLVE, ResponseCode.ERROR, Flag.RETURN_DIGEST), Failure()),
    ):
        with pytest.raises(ValueError, match="Header"):
            encode_message(wrong)


# Digests and proofs ------------------------------------------------------------------------------------


def test_digests_by_kind() -> None:
    assert digest_of(b"abc", HashCode.SHA1).hash == hashlib.sha1(b"abc").digest()
    assert digest_of(b"abc") == Digest(HashCode.SHA256, hashlib.sha256(b"abc").digest())
    refused(NO_NEW_MD5, digest_of, b"abc", HashCode.MD5)
    refused(UNKNOWN_HASH, digest_of, b"abc", HashCode.HMAC_SHA1)
    refused(UNKNOWN_HASH, encode_digest, Digest(HashCode.SHA256, b"short"))


def test_md5_is_read() -> None:
    body = b"\x01" + bytes(16) + u32(2) + b"no"
    message = read_message(with_body(Opcode.CREATE, body, ResponseCode.ERROR, Flag.RETURN_DIGEST))
    assert message.digest == Digest(HashCode.MD5, bytes(16))
    assert message.body == Failure("no")


@pytest.mark.parametrize("kind", [0, 4, 0x12, 255])
def test_a_digest_of_no_kind(kind: int) -> None:
    body = bytes([kind]) + bytes(64)
    refused(UNKNOWN_HASH, read_message, with_body(Opcode.CREATE, body, ResponseCode.ERROR, Flag.RETURN_DIGEST))


@MANY
@given(mac=macs | derived_macs, signature=signatures)
def test_a_proof_comes_back(mac: Mac, signature: Signature) -> None:
    assert read_mac(encode_mac(mac)) == mac
    assert read_signature(encode_signature(signature)) == signature


def test_a_proof_that_would_cost_too_much() -> None:
    for iterations, bits in ((1_000_001, 160), (10_000, 513), (0xFFFF_FFFF, 0xFFFF_FFFF)):
        refused(TOO_COSTLY, read_mac, b"\x22" + u32(1) + b"s" + u32(iterations) + u32(bits) + u32(1) + b"h")
        refused(TOO_COSTLY, encode_mac, Mac(HashCode.PBKDF2_HMAC_SHA1, b"h", b"s", iterations, bits))
    refused(UNKNOWN_HASH, read_mac, b"\x05abc")
    refused(fields.CUT_OFF, read_mac, b"")


# Time and memory -----------------------------------------------------------------------------------------

WHOLE = MAX_PAYLOAD_BYTES - HEADER_BYTES - 4

HOSTILE = {
    "indexes": with_body(1, u32(0) + u32((WHOLE - 12) // 4) + b"\x7f" * ((WHOLE - 12) // 4 * 4) + u32(0)),
    "types": with_body(1, u32(0) + u32(0) + u32((WHOLE - 12) // 4) + bytes((WHOLE - 12) // 4 * 4)),
    "types of a letter": with_body(
        1, u32(0) + u32(0) + u32((WHOLE - 12) // 6) + b"\0\0\0\x02\xc4\x81" * ((WHOLE - 12) // 6)
    ),
    "values": with_body(100, u32(0) + u32((WHOLE - 8) // 26) + bytes((WHOLE - 8) // 26 * 26)),
    "references": with_body(
        100, u32(0) + u32(1) + bytes(22) + u32((WHOLE - 34) // 8) + b"\0\0\0\0\x7f\0\0\0" * ((WHOLE - 34) // 8)
    ),
    "references of a letter": with_body(
        100,
        u32(0) + u32(1) + bytes(22) + u32((WHOLE - 34) // 10) + b"\0\0\0\x02\xc4\x81\x7f\0\0\0" * ((WHOLE - 34) // 10),
    ),
    "values announced": with_body(100, u32(0) + u32(0xFFFF_FFFF) + bytes(WHOLE - 8)),
    "a long handle": with_body(101, u32(WHOLE - 4) + b"a" * (WHOLE - 4)),
    "a length beyond": with_body(101, u32(0xFFFF_FFFF) + b"a" * (WHOLE - 4)),
    "handles": with_body(105, u32((WHOLE - 4) // 4) + bytes((WHOLE - 4) // 4 * 4), 1),
    "not text": with_body(101, u32(WHOLE - 4) + b"\xff" * (WHOLE - 4)),
}

MOST_PER_BYTE = 20
"""Bytes of Python's memory for a byte of a message: references to handles of one letter take 17, indexes 12."""


@pytest.mark.parametrize("what", HOSTILE)
def test_memory_and_time_are_bounded(what: str) -> None:
    payload = HOSTILE[what]
    assert len(payload) <= MAX_PAYLOAD_BYTES
    kept: object = None
    tracemalloc.start()
    begun = time.process_time()
    try:
        kept = read_message(payload)
    except MessageError as error:
        kept = error
    seconds = time.process_time() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept is not None
    assert peak <= MOST_PER_BYTE * len(payload) + 10_000
    assert seconds < 5, "of the processor, while every allocation is traced; else a tenth of one"
