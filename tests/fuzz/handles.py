"""What the room of the Handle protocol makes of any bytes: judges like those of ``decoders``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Final

from protocol.errors import MessageError
from protocol.handle.credentials import encode_mac, encode_signature, read_mac, read_signature
from protocol.handle.envelope import ENVELOPE_BYTES, MAX_PAYLOAD_BYTES, cut, encode_envelope
from protocol.handle.fragments import FRAGMENT_BYTES, MAX_DATAGRAM_BYTES, Reassembly, encode_datagrams
from protocol.handle.messages import Message, covered, encode_covered, encode_message, read_message
from protocol.handle.typed import encode_data, read_data
from tests.vectors.load import load

TYPES: Final = ("HS_ADMIN", "HS_VLIST", "HS_SITE", "HS_PUBKEY", "HS_SECKEY", "HS_ALIAS", "HS_CERT", "HS_SIGNATURE")


def judge_message(data: bytes) -> None:
    """A message that was read has one form, which is read as the same message."""
    try:
        message = read_message(data)
    except MessageError as error:
        fault = error
    else:
        _judge_encoding(message, data)
        return
    assert fault.message("en") != fault.message("zh")


def _judge_encoding(message: Message, data: bytes) -> None:
    encoded = encode_message(message)
    assert read_message(encoded) == message
    assert encoded.startswith(encode_covered(message))
    assert covered(encoded) == encode_covered(message)
    assert data.startswith(covered(data))


def judge_stream(data: bytes) -> None:
    """Messages that were cut from a stream are its bytes, and come out of their datagrams, whichever comes first."""
    at = 0
    with contextlib.suppress(MessageError):
        while (found := cut(data[at : at + ENVELOPE_BYTES + MAX_PAYLOAD_BYTES])) is not None:
            envelope, payload = found
            assert len(payload) == envelope.length
            assert len(encode_envelope(envelope)) == ENVELOPE_BYTES
            assert data[at + ENVELOPE_BYTES :].startswith(payload)
            at += ENVELOPE_BYTES + len(payload)
            datagrams = encode_datagrams(envelope, payload)
            if payload:
                joined = Reassembly()
                taken = [joined.take("peer", one, 0) for one in reversed(datagrams)]
                assert taken[-1] is not None
                assert taken[-1][1] == payload
                assert (joined.held_bytes, joined.unfinished) == (0, 0)


def judge_datagrams(data: bytes) -> None:
    """Whatever datagrams come, no more is held than was allowed."""
    reassembly = Reassembly(max_bytes=3 * FRAGMENT_BYTES, max_unfinished=3, patience_ms=5)
    for now, at in enumerate(range(0, len(data), MAX_DATAGRAM_BYTES)):
        with contextlib.suppress(MessageError):
            reassembly.take("peer", data[at : at + MAX_DATAGRAM_BYTES], now)
        assert reassembly.held_bytes <= 3 * FRAGMENT_BYTES
        assert reassembly.unfinished <= 3


def judge_data(data: bytes) -> None:
    """Data and proofs that were read have one form, which is read as the same."""
    for type_ in TYPES:
        with contextlib.suppress(MessageError):
            found = read_data(type_, data)
            encoded = encode_data(found)
            assert read_data(type_, encoded) == found
            assert type_ in {"HS_SITE", "HS_PUBKEY"} or encoded == data
    with contextlib.suppress(MessageError):
        assert encode_signature(read_signature(data)) == data
    with contextlib.suppress(MessageError):
        assert encode_mac(read_mac(data)) == data


HANDLES: Final[dict[str, Callable[[bytes], None]]] = {
    "handle_message": judge_message,
    "handle_stream": judge_stream,
    "handle_datagrams": judge_datagrams,
    "handle_data": judge_data,
}


@cache
def handle_seeds() -> frozenset[bytes]:
    """What was recorded: whole, and without envelope; and the data within."""
    wires = [bytes.fromhex(one["hex"]) for one in load("handle/wire_tcp")["messages"]]
    payloads = [wire[ENVELOPE_BYTES:] for wire in wires]
    bodies = [read_message(payload).body for payload in payloads]
    inner = {value.data for body in bodies for value in getattr(body, "values", ())}
    proofs = {body.proof for body in bodies if hasattr(body, "proof")}
    forms = [bytes.fromhex(one["hex"]) for one in load("handle/data")["data"]]
    fragments = b"".join(encode_datagrams(cut(wires[1])[0], payloads[1]))  # type: ignore[index]
    return frozenset({*wires, *payloads, *inner, *proofs, *forms, fragments})
