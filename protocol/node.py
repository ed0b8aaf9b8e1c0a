"""What every node answers on every door: who it is, its chain, that it lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import MessageError, NotVerified, Rule
from protocol.identifiers import covers, normal_prefix
from protocol.limits import (
    ABSENT_TTL_SECONDS,
    MAX_LIST,
    MAX_MANY,
    MAX_MESSAGE_BYTES,
    MAX_WRITES,
    PROTOCOL_VERSION,
)
from protocol.messages import BAD_ARGUMENTS, Op, encode_response
from protocol.referrals import Cut, referral_payload
from protocol.signatures import PublicKey
from protocol.statements import OnlineKey, read_online_key
from protocol.status import Status
from protocol.trust import Chain

OTHER_KEY = Rule(
    "node.other-key",
    Status.SETTINGS,
    "the online key's statement is for another key; make both anew with 'biaoshi renew'",
    "在线密钥的声明对应的是另一把密钥，请用 biaoshi renew 重新生成",
)
OTHER_PREFIX = Rule(
    "node.other-prefix",
    Status.SETTINGS,
    "the online key was signed for zone '{zone}', the configuration says '{prefix}'",
    "在线密钥是为区域“{zone}”签发的，而配置中的前缀是“{prefix}”",
)
KEY_EXPIRED = Rule(
    "node.key-expired",
    Status.SETTINGS,
    "the online key is not valid now (from {since} to {until}, seconds since 1970); renew it with 'biaoshi renew'",
    "在线密钥当前无效（有效期 {since} 至 {until}，Unix 秒），请用 biaoshi renew 更新",
)


@dataclass(slots=True)
class NodeFacts:
    """What a node says of itself. Only ``chain`` changes while it runs: another takes its place when keys or
    delegations were renewed."""

    role: str
    zone: str
    software: str
    chain: Chain
    listing: bool = True


def answer_common(facts: NodeFacts, op: int, rid: int, arguments: tuple[object, ...]) -> bytes | None:
    """The response to HELLO, CHAIN (of the node itself) or PING; None for any other request. Raises
    :class:`MessageError`."""
    if op == Op.HELLO:
        return _hello(facts, rid, arguments)
    if op == Op.CHAIN and len(arguments) <= 1:
        return encode_response(rid, Status.OK, facts.chain)
    if op == Op.PING:
        return encode_response(rid, Status.OK, None)
    return None


def answer_chain_to(
    facts: NodeFacts, rid: int, arguments: tuple[object, ...], cut: Callable[[str], Cut | None], now: int
) -> bytes | None:
    """The response to CHAIN for a child: the delegations down to it, without online keys, which are the child's own to
    show; None where the request is for the node's own chain. ``cut`` is a store's. Raises :class:`MessageError`,
    :class:`~protocol.errors.IdentifierError`."""
    match arguments:
        case () | (_,):
            return None
        case (_, bytes(raw)):
            prefix = normal_prefix(raw).decode()
        case _:
            raise MessageError(BAD_ARGUMENTS, operation="chain", reason="expected [4, rid, padding, prefix]")
    if not covers(facts.zone, prefix):
        return encode_response(rid, Status.NOT_RESPONSIBLE, None)
    found = cut(prefix)
    if found is None:
        return encode_response(rid, Status.NOT_FOUND, ABSENT_TTL_SECONDS)
    if found.child != prefix:
        return encode_response(rid, Status.REFERRAL, referral_payload(found.statement, now))
    return encode_response(rid, Status.OK, [[*facts.chain.delegations, found.statement], []])


def _hello(facts: NodeFacts, rid: int, arguments: tuple[object, ...]) -> bytes:
    match arguments:
        case (int(version), *_) if len(arguments) <= 2:
            pass
        case _:
            raise MessageError(BAD_ARGUMENTS, operation="hello", reason="expected [0, rid, version, flags]")
    if version != PROTOCOL_VERSION:
        return encode_response(rid, Status.UNSUPPORTED_VERSION, None)
    limits = {"many": MAX_MANY, "list": MAX_LIST, "writes": MAX_WRITES, "message_bytes": MAX_MESSAGE_BYTES}
    return encode_response(rid, Status.OK, [PROTOCOL_VERSION, facts.software, facts.role, facts.zone, limits])


def check_own_key(statement: bytes, key: PublicKey, prefix: str, now: int) -> OnlineKey:
    """Check that a node's online key and its statement belong together, to this zone and to this time (seconds).
    Raises :class:`NotVerified` with what to do, :class:`MessageError` where the statement is none."""
    claim = read_online_key(statement).claim
    if claim.key != key:
        raise NotVerified(OTHER_KEY)
    if claim.zone != prefix:
        raise NotVerified(OTHER_PREFIX, zone=claim.zone, prefix=prefix)
    if not claim.not_before <= now <= claim.not_after:
        raise NotVerified(KEY_EXPIRED, since=claim.not_before, until=claim.not_after)
    return claim
