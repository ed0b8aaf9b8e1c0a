"""Receipts: question, answer, seal and chain in one piece, to keep and to check offline.

::

    receipt = [1, request, response, seal, [delegation, ...], [online key, ...]]

All but the number are binaries with the very bytes that were sent and signed. A receipt proves what a
zone said at the seal's time; whether that is recent enough is for its reader to judge.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import msgspec

from protocol.answers import Answer, read_answer
from protocol.errors import MessageError, Rule
from protocol.framing import decode_one
from protocol.limits import MAX_CHAIN, MAX_MESSAGE_BYTES, MAX_ONLINE_KEYS
from protocol.messages import Op, read_request, read_response
from protocol.seals import leaf, read_seal
from protocol.status import Status
from protocol.trust import Chain, Proof, TrustAnchor, Verifier

MALFORMED: Final = Rule(
    "receipt.malformed", Status.NOT_VERIFIED, "this is no receipt: {reason}", "这不是一份回执：{reason}"
)

MAX_RECEIPT_BYTES: Final = 2 * MAX_MESSAGE_BYTES
"""Bytes: one response of the greatest length with its chain fits."""

FORMAT: Final = 1


class _Wire(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: int
    request: bytes
    response: bytes
    seal: bytes
    delegations: Annotated[list[bytes], msgspec.Meta(max_length=MAX_CHAIN)]
    online_keys: Annotated[list[bytes], msgspec.Meta(max_length=MAX_ONLINE_KEYS)]


class Verdict(NamedTuple):
    """What a receipt proves: the answer, and who sealed it when."""

    answer: Answer
    proof: Proof


def encode_receipt(request: bytes, response: bytes, seal: bytes, chain: Chain) -> bytes:
    """The bytes of a receipt for one question whose answer was sealed alone."""
    wire = _Wire(FORMAT, request, response, seal, list(chain.delegations), list(chain.online_keys))
    return msgspec.msgpack.encode(wire)


def verify_receipt(receipt: bytes, anchor: TrustAnchor) -> Verdict:
    """Check a receipt against an anchor alone. Raises :class:`~protocol.errors.NotVerified` where the proof does
    not hold, :class:`~protocol.errors.InvalidInput` where the bytes are no receipt, identifier or record,
    :class:`~protocol.errors.Refused` where what the node sealed is a refusal and no answer."""
    if len(receipt) > MAX_RECEIPT_BYTES:
        raise MessageError(MALFORMED, reason=f"longer than {MAX_RECEIPT_BYTES} bytes")
    try:
        wire = msgspec.msgpack.decode(receipt, type=_Wire)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(MALFORMED, reason=str(error)) from None
    if wire.format != FORMAT:
        raise MessageError(MALFORMED, reason=f"format {wire.format} is not known here")
    seal = read_seal(decode_one(wire.seal, MAX_RECEIPT_BYTES))
    op, rid, arguments = read_request(decode_one(wire.request, MAX_MESSAGE_BYTES))
    response = read_response(decode_one(wire.response, MAX_MESSAGE_BYTES))
    identifier = arguments[0] if arguments else None
    if seal.n != 1 or op != Op.RESOLVE or response.rid != rid or not isinstance(identifier, bytes):
        raise MessageError(MALFORMED, reason="it does not hold one resolve and its answer")
    verifier = Verifier(anchor)
    # Judged as of the seal's own time: the chain must have held then.
    verifier.learn(Chain(tuple(wire.delegations), tuple(wire.online_keys)), seal.time)
    proof = verifier.check_then(seal, leaf(wire.request, wire.response))
    return Verdict(read_answer(identifier, response.status, response.payload, proof), proof)
