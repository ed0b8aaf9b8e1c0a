"""Envelopes, streams and datagrams: any order, any loss, any lie."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError, Rule
from protocol.handle.envelope import (
    ENVELOPE_BYTES,
    MAX_PAYLOAD_BYTES,
    NOT_OUR_VERSION,
    NOT_PLAIN,
    TOO_LONG,
    Envelope,
    EnvelopeFlag,
    cut,
    encode_envelope,
    read_envelope,
)
from protocol.handle.fields import CUT_OFF
from protocol.handle.fragments import (
    BAD_FRAGMENT,
    FRAGMENT_BYTES,
    MAX_DATAGRAM_BYTES,
    Reassembly,
    encode_datagrams,
)
from tests.property.handles import envelopes
from tests.property.strategies import MANY

PLAIN = Envelope(session=7, request=9, length=0)


def fragments(length: int, request: int = 9) -> tuple[bytes, list[bytes]]:
    """A payload of so many bytes that is nowhere the same, and its datagrams."""
    payload = b"".join(n.to_bytes(4, "big") for n in range(length // 4 + 1))[:length]
    return payload, encode_datagrams(msgspec.structs.replace(PLAIN, request=request), payload)


def refused(rule: Rule, datagram: bytes, reassembly: Reassembly | None = None) -> None:
    with pytest.raises(MessageError) as caught:
        (reassembly or Reassembly()).take("peer", datagram, 0)
    assert caught.value.rule is rule


# Envelopes -------------------------------------------------------------------------------------------


@MANY
@given(envelope=envelopes)
def test_an_envelope_comes_back(envelope: Envelope) -> None:
    encoded = encode_envelope(envelope)
    assert len(encoded) == ENVELOPE_BYTES
    assert read_envelope(encoded) == envelope


def test_what_is_no_envelope() -> None:
    good = encode_envelope(PLAIN)
    cases = (
        (good[:-1], CUT_OFF),
        (b"\x01" + good[1:], NOT_OUR_VERSION),
        (b"\x04" + good[1:], NOT_OUR_VERSION),
        (good[:16] + (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big"), TOO_LONG),
        (good[:16] + b"\xff" * 4, TOO_LONG),
    )
    for data, rule in cases:
        with pytest.raises(MessageError) as caught:
            read_envelope(data)
        assert caught.value.rule is rule


def test_bits_without_meaning_are_left_out() -> None:
    good = encode_envelope(PLAIN)
    assert read_envelope(good[:2] + b"\x1e" + good[3:]) == PLAIN


@pytest.mark.parametrize("flag", [EnvelopeFlag.ENCRYPTED, EnvelopeFlag.COMPRESSED])
def test_what_cannot_be_read_is_said(flag: EnvelopeFlag) -> None:
    PLAIN.require_plain()
    with pytest.raises(MessageError) as caught:
        read_envelope(encode_envelope(msgspec.structs.replace(PLAIN, flags=flag))).require_plain()
    assert caught.value.rule is NOT_PLAIN


@pytest.mark.parametrize(
    "change", [{"suggested_major": 4}, {"flags": 1}, {"request": 1 << 32}, {"session": -1}, {"minor": 256}]
)
def test_what_has_no_form_is_not_encoded(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Envelope"):
        encode_envelope(msgspec.structs.replace(PLAIN, **change))


def test_a_stream_is_cut_where_a_message_ends() -> None:
    payload = b"abc"
    stream = encode_envelope(msgspec.structs.replace(PLAIN, length=3)) + payload
    for end in range(len(stream)):
        assert cut(stream[:end]) is None
    found = cut(stream + b"next")
    assert found is not None
    assert (found[0].length, found[1]) == (3, payload)


# Datagrams -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 491, 492, 493, 984, 985, 20_000, MAX_PAYLOAD_BYTES])
def test_datagrams_fit(length: int) -> None:
    payload, datagrams = fragments(length)
    assert all(len(one) <= MAX_DATAGRAM_BYTES for one in datagrams)
    assert len(datagrams) == max(1, -(-length // FRAGMENT_BYTES))
    assert b"".join(one[ENVELOPE_BYTES:] for one in datagrams) == payload
    read = [read_envelope(one) for one in datagrams]
    assert [one.sequence for one in read] == list(range(len(datagrams)))
    assert {one.is_fragment for one in read} == {length > FRAGMENT_BYTES}
    assert {one.length for one in read} == {length}


def test_too_much_is_not_cut() -> None:
    with pytest.raises(MessageError) as caught:
        encode_datagrams(PLAIN, bytes(MAX_PAYLOAD_BYTES + 1))
    assert caught.value.rule is TOO_LONG


@MANY
@given(data=st.data())
def test_any_order_with_any_repetition(data: st.DataObject) -> None:
    """Two messages of one peer, mixed: each comes out once whole, when the last of its fragments has come."""
    sent = {request: fragments(data.draw(st.integers(493, 4_000)), request) for request in (1, 2)}
    every = [(request, one) for request, (_, datagrams) in sent.items() for one in datagrams]
    order = data.draw(st.permutations(every))
    repeated = data.draw(st.lists(st.sampled_from(every), max_size=5))
    reassembly = Reassembly()
    missing = {request: set(datagrams) for request, (_, datagrams) in sent.items()}
    early = [(request, one) for request, one in order if (request, one) in repeated]
    for request, one in [*early, *order]:
        if not missing[request]:
            continue  # after the end it would begin a message anew
        missing[request].discard(one)
        done = reassembly.take("peer", one, 0)
        assert (done is not None) == (not missing[request])
        if done is not None:
            assert done[1] == sent[request][0]
            assert done[0] == Envelope(session=7, request=request, length=len(done[1]))
    assert (reassembly.held_bytes, reassembly.unfinished) == (0, 0)


def test_fragments_of_others_do_not_mix() -> None:
    _, datagrams = fragments(900)
    reassembly = Reassembly()
    assert reassembly.take("one", datagrams[0], 0) is None
    assert reassembly.take("other", datagrams[1], 0) is None
    assert reassembly.unfinished == 2


def test_a_whole_message_needs_no_fragments() -> None:
    payload, [datagram] = fragments(100)
    assert Reassembly().take("peer", datagram, 0) == (msgspec.structs.replace(PLAIN, length=100), payload)


def test_fragments_that_have_no_place() -> None:
    _, datagrams = fragments(1_000)
    refused(CUT_OFF, datagrams[0][:19])
    refused(BAD_FRAGMENT, datagrams[0][:-1])
    refused(BAD_FRAGMENT, datagrams[0] + b"x")
    refused(BAD_FRAGMENT, datagrams[2] + b"x")
    for sequence in (3, 0xFFFF_FFFF):
        refused(BAD_FRAGMENT, datagrams[2][:12] + sequence.to_bytes(4, "big") + datagrams[2][16:])
        refused(BAD_FRAGMENT, datagrams[2][:12] + sequence.to_bytes(4, "big") + datagrams[2][16:20])
    none = encode_envelope(msgspec.structs.replace(PLAIN, flags=EnvelopeFlag.FRAGMENT))
    refused(BAD_FRAGMENT, none)

    _, [whole] = fragments(100)
    refused(BAD_FRAGMENT, whole[:-1])
    refused(BAD_FRAGMENT, whole + b"x")
    refused(BAD_FRAGMENT, whole[:12] + b"\0\0\0\1" + whole[16:])


def test_a_lie_does_not_spoil_what_is_there() -> None:
    payload, datagrams = fragments(1_000)
    reassembly = Reassembly()
    reassembly.take("peer", datagrams[0], 0)
    _, longer = fragments(1_400)
    refused(BAD_FRAGMENT, longer[1], reassembly)  # another length under the same numbers
    assert reassembly.take("peer", datagrams[0][:20] + bytes(FRAGMENT_BYTES), 0) is None  # the first counts
    reassembly.take("peer", datagrams[2], 0)
    done = reassembly.take("peer", datagrams[1], 0)
    assert done is not None
    assert done[1] == payload


def test_patience_ends() -> None:
    payload, datagrams = fragments(900)
    reassembly = Reassembly(patience_ms=10)
    reassembly.take("peer", datagrams[0], 100)
    assert reassembly.take("peer", datagrams[0], 110) is None  # which does not prolong it
    reassembly.expire(110)
    assert reassembly.unfinished == 1
    assert reassembly.take("peer", datagrams[1], 111) is None
    assert reassembly.held_bytes == 900 - FRAGMENT_BYTES, "the first was forgotten"
    done = reassembly.take("peer", datagrams[0], 112)
    assert done is not None
    assert done[1] == payload


def test_the_oldest_makes_room() -> None:
    reassembly = Reassembly(max_unfinished=2)
    messages = [fragments(900, request)[1] for request in range(3)]
    for first, _ in messages:
        reassembly.take("peer", first, 0)
    assert reassembly.unfinished == 2
    assert reassembly.take("peer", messages[1][1], 0) is not None
    assert reassembly.take("peer", messages[2][1], 0) is not None
    assert reassembly.take("peer", messages[0][1], 0) is None


def test_bytes_are_bounded_whatever_is_announced() -> None:
    """Many peers announce the longest message and send all of it but the end."""
    _, datagrams = fragments(MAX_PAYLOAD_BYTES)
    reassembly = Reassembly(max_bytes=1_000_000)
    most = 0
    for peer in range(8):
        for one in datagrams[:-1]:
            assert reassembly.take(peer, one, 0) is None
            most = max(most, reassembly.held_bytes)
    assert 1_000_000 - FRAGMENT_BYTES <= most <= 1_000_000
    assert 0 < reassembly.unfinished < 5
