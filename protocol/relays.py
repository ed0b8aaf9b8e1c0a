"""Relayed answers: what an authority said and sealed, handed on by a recursive node.

::

    payload of OK and of STALE, where a RESOLVE has the flag PROOF = [request, response, seal]

All three are the very bytes that went between the recursive node and the authority, where the answer was sealed alone
(``Ask.ALONE``); so the recursive node's client need not trust it. The authority's chain is had by CHAIN, once for all
answers of its zone. A relayed answer may be as old as its TTL says, and older only where it is marked STALE and its
client permits that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from protocol.answers import Answer, read_answer
from protocol.errors import MessageError, NotVerified, Rule
from protocol.exchange import Evidence
from protocol.framing import decode_one
from protocol.identifiers import normal
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_MESSAGE_BYTES
from protocol.messages import Op, read_request, read_response
from protocol.seals import leaf, read_seal
from protocol.status import Status
from protocol.trust import CLOCK_AHEAD, Verifier

MALFORMED: Final = Rule(
    "relay.malformed",
    Status.NOT_VERIFIED,
    "the recursive node's answer holds no proof: {reason}",
    "递归节点的应答不含证明：{reason}",
)
OTHER_QUESTION: Final = Rule(
    "relay.other-question",
    Status.NOT_VERIFIED,
    "the proof is for {found}, not for {asked}",
    "证明对应的是 {found}，而不是 {asked}",
)
TOO_OLD: Final = Rule(
    "relay.too-old",
    Status.NOT_VERIFIED,
    "the answer is {age} s old and was to be used for {ttl} s; at most {stale} s more are permitted. Either it was "
    "kept for too long, or this machine's clock is ahead",
    "应答已有 {age} 秒，有效期为 {ttl} 秒，最多允许再延长 {stale} 秒：应答被保留过久，或本机时钟偏快",
)


def read_evidence(payload: object) -> Evidence:
    """Check a payload to have the shape of a relayed answer. Raises :class:`MessageError`."""
    match payload:
        case (bytes(request), bytes(response), bytes(seal)):
            return Evidence(request, response, seal)
    raise MessageError(MALFORMED, reason="a relayed answer is [request, response, seal]")


def read_relayed(
    identifier: bytes, evidence: Evidence, verifier: Verifier, now_ms: int, stale_seconds: int | None = None
) -> Answer:
    """The verified answer for ``identifier`` (any spelling) in relayed evidence, as of ``now_ms``. ``stale_seconds`` is
    by how much it may be older than its TTL; None where it was not marked as stale.

    Raises :class:`NotVerified` (``trust.unknown-key`` where the zone's chain is to be asked for first),
    :class:`MessageError`, and :class:`~protocol.errors.Refused` where what the authority sealed is no answer."""
    op, rid, arguments = read_request(decode_one(evidence.request, MAX_MESSAGE_BYTES))
    response = read_response(decode_one(evidence.response, MAX_MESSAGE_BYTES))
    seal = read_seal(decode_one(evidence.seal, MAX_MESSAGE_BYTES))
    asked = arguments[0] if arguments else None
    alone = response.rid == rid and seal.n == 1 and response.status != Status.STALE
    if op != Op.RESOLVE or not alone or not isinstance(asked, bytes):
        raise MessageError(MALFORMED, reason="it does not hold one resolve and its answer")
    if normal(asked) != normal(identifier):
        shown, wanted = asked.decode("utf-8", "replace"), identifier.decode("utf-8", "replace")
        raise NotVerified(OTHER_QUESTION, found=shown, asked=wanted)
    if seal.time > now_ms + CLOCK_TOLERANCE_MS:
        raise NotVerified(CLOCK_AHEAD, seconds=(seal.time - now_ms) // 1000, limit=CLOCK_TOLERANCE_MS // 1000)
    proof = verifier.check_then(seal, leaf(evidence.request, evidence.response))
    answer = read_answer(asked, response.status, response.payload, proof)
    age = max(0, now_ms - seal.time)
    if age > (answer.ttl + (stale_seconds or 0)) * 1000 + CLOCK_TOLERANCE_MS:
        raise NotVerified(TOO_OLD, age=age // 1000, ttl=answer.ttl, stale=stale_seconds or 0)
    return replace(answer, age=age // 1000, stale=stale_seconds is not None)
