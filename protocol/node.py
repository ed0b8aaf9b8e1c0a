"""What every node answers on every door: who it is, its chain, that it lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol.errors import MessageError, NotVerified, Rule
from protocol.identifiers import covers, normal_prefix
from protocol.limits import (
    ABSENT_TTL_SECONDS,
    MAX_LIST,
    MAX_MANY,
    MAX_MESSAGE_BYTES,
    MAX_ONLINE_KEYS,
    MAX_WRITES,
    PROTOCOL_VERSION,
)
from protocol.messages import BAD_ARGUMENTS, Op, encode_response
from protocol.referrals import Cut, referral_payload
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import OnlineKey, due, read_delegation, read_online_key
from protocol.status import Status
from protocol.trust import ALWAYS, Chain

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
OTHER_ZONE_KEY = Rule(
    "node.other-zone-key",
    Status.SETTINGS,
    "the online key is signed by none of the zone's keys under [keys] zone; renew it with 'biaoshi renew'",
    "在线密钥不是由 [keys] zone 中的区域密钥签发的，请用 biaoshi renew 更新",
)
ONLINE_KEY_ENDS = Rule(
    "node.online-key-ends",
    Status.SETTINGS,
    "the online key ends in {days} days; renew it with 'biaoshi renew' where the zone key is",
    "在线密钥将在 {days} 天后到期，请在保存区域密钥的机器上运行 biaoshi renew",
)
DELEGATION_ENDS = Rule(
    "node.delegation-ends",
    Status.SETTINGS,
    "the delegation of this zone ends in {days} days; have its parent renew it, then 'biaoshi delegate fetch'",
    "本区域的授权将在 {days} 天后到期，请由上级续签，然后运行 biaoshi delegate fetch",
)

LATE_SECONDS = 3_600
"""How long after it was due a renewal counts as late, at most."""


class OwnKeys(NamedTuple):
    """What a node seals with, and what it shows for it."""

    key: SigningKey
    claim: OnlineKey
    chain: Chain
    zone_keys: tuple[PublicKey, ...]
    successions: tuple[bytes, ...]
    delegation_since: int
    delegation_ends: int
    """When the first of the delegations above ends; :data:`~protocol.trust.ALWAYS` where there are none."""


def own_keys(
    zone: str,
    seed: bytes,
    statements: Sequence[bytes],
    delegations: tuple[bytes, ...],
    zone_keys: Sequence[str],
    successions: tuple[bytes, ...],
    now: int,
) -> OwnKeys:
    """Judge the files of a node as of ``now`` (seconds): the statement for the key in use, found by the key that it
    names, must hold; those for other keys of the zone are shown as long as they are valid. Raises
    :class:`NotVerified`, :class:`MessageError`."""
    key = SigningKey(seed)
    keys = tuple(PublicKey.parse(text) for text in zone_keys)
    mine = [one for one in statements if read_online_key(one).claim.key == key.public]
    if not mine:
        raise NotVerified(OTHER_KEY)
    newest = max(mine, key=lambda one: read_online_key(one).claim.not_after)
    claim = check_own_key(newest, key.public, zone, now)
    if keys and not any(read_online_key(newest).signed_by(one) for one in keys):
        raise NotVerified(OTHER_ZONE_KEY)
    others = sorted(
        (statement for statement in set(statements) - {newest} if _still_shown(statement, zone, now)),
        key=lambda one: read_online_key(one).claim.not_after, reverse=True,
    )  # fmt: skip
    above = [read_delegation(one).claim for one in delegations]
    since = max((one.not_before for one in above), default=0)
    ends = min((one.not_after for one in above), default=ALWAYS)
    chain = Chain(delegations, (newest, *others[: MAX_ONLINE_KEYS - 1]))
    return OwnKeys(key, claim, chain, keys, successions, since, ends)


def _still_shown(statement: bytes, zone: str, now: int) -> bool:
    claim = read_online_key(statement).claim
    return claim.zone == zone and claim.not_after >= now


@dataclass(slots=True)
class NodeFacts:
    """What a node says of itself. Only ``chain`` changes while it runs: another takes its place when keys or
    delegations were renewed."""

    role: str
    zone: str
    software: str
    chain: Chain
    listing: bool = True
    own: OwnKeys | None = None

    def take_up(self, own: OwnKeys) -> None:
        """Show these keys from now on."""
        self.own, self.chain = own, own.chain

    def status(self, now: int) -> dict[str, object]:
        """What STATUS says about the keys: when they end (0: never), and what a person should see to."""
        if self.own is None:
            return {}
        ends = self.own.delegation_ends
        return {
            "online_key_ends": self.own.claim.not_after,
            "delegation_ends": 0 if ends == ALWAYS else ends,
            "concerns": " ".join(rule.name for rule, _ in self.concerns(now)),
        }

    def concerns(self, now: int) -> list[tuple[Rule, int]]:
        """What a person should see to, with the days left: what ends soon and should have been renewed."""
        if self.own is None:
            return []
        windows = (
            (ONLINE_KEY_ENDS, self.own.claim.not_before, self.own.claim.not_after),
            (DELEGATION_ENDS, self.own.delegation_since, self.own.delegation_ends),
        )
        return [
            (rule, max(0, (ends - now) // 86_400)) for rule, since, ends in windows
            if now > due(since, ends) + min(LATE_SECONDS, (ends - due(since, ends)) // 10)
        ]  # fmt: skip


def answer_common(facts: NodeFacts, op: int, rid: int, arguments: tuple[object, ...]) -> bytes | None:
    """The response to HELLO, CHAIN (of the node itself), SUCCESSION or PING; None for any other request. Raises
    :class:`MessageError`."""
    if op == Op.HELLO:
        return _hello(facts, rid, arguments)
    if op == Op.CHAIN and len(arguments) <= 1:
        return encode_response(rid, Status.OK, facts.chain)
    if op == Op.SUCCESSION:
        return encode_response(rid, Status.OK, list(facts.own.successions if facts.own else ()))
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
        case (int(version), *_) if type(version) is int and len(arguments) <= 2:
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
