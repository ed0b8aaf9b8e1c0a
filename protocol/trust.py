"""All rules of trust, from the anchor to an answer, and no I/O.

A verifier holds a trust anchor: the prefix and public key of the zone where trust begins. Everything else
comes from strangers and is believed link by link:

1. A chain has at most ``MAX_CHAIN`` delegations; the first speaks for the anchor's prefix, each further one for the
   prefix that the one before handed over, and each hands over a prefix strictly below its own. (What stands before the
   anchor's own prefix is handed over concerns those with an anchor further up, and is passed over.)
2. Each delegation is signed by the anchor's key, or by a key that the one before names.
3. Each delegation is within its validity at the moment of judgement.
4. An online key is signed by a key of the zone where the chain ends, and names that zone. (One that is not counts for
   nothing; while keys roll over, a chain may show some that a verifier cannot judge.)
5. A seal names a known online key that was valid, like every delegation above it, at the seal's time.
6. A seal's time lies within ``CLOCK_TOLERANCE_MS`` of the verifier's clock. (A receipt has no such rule: what it
   proves is what was said then.)
7. The seal's signature covers time, tree size and the root to which its path leads from the bundle's leaf.
8. A zone speaks only for identifiers under its own prefix.
9. Of two delegations of one prefix the one with the higher serial holds, whichever was seen first; an older one that is
   still shown by some server is read as the newest that is known.
10. A referral is a delegation by the very zone that gave it, for a prefix at or above the one that was asked for.

What has passed is a :class:`Proof` or a :class:`Zone`; nothing else makes these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from protocol.address import Address
from protocol.errors import NotVerified, Rule
from protocol.identifiers import covers, normal_zone_text
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_CHAIN, MAX_KNOWN_DELEGATIONS, MAX_ONLINE_KEYS
from protocol.merkle import root_from_proof
from protocol.seals import Seal, signed_bytes
from protocol.signatures import PublicKey
from protocol.statements import Delegation, OnlineKey, Unverified, read_delegation, read_online_key
from protocol.status import Status


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"trust.{name}", Status.NOT_VERIFIED, en, zh)


LONG_CHAIN: Final = _rule(
    "long-chain", "the chain has {count} links; at most {limit} are allowed", "信任链有 {count} 环，超过上限 {limit}"
)
BROKEN_CHAIN: Final = _rule(
    "broken-chain",
    "the chain goes on with a delegation by '{parent}' where one by '{expected}' belongs",
    "信任链在应由“{expected}”授权之处出现了“{parent}”的授权",
)
SIDEWAYS: Final = _rule(
    "sideways", "'{parent}' delegates '{child}', which does not lie below it", "“{parent}”授权了不属于其下级的“{child}”"
)
BAD_SIGNATURE: Final = _rule(
    "bad-signature", "the {what} is not signed by a key of '{by}'", "{what} 不是由“{by}”的密钥签署的"
)
NOT_YET: Final = _rule(
    "not-yet-valid",
    "the {what} is valid only from {since} (seconds since 1970)",
    "{what} 尚未生效，生效时间为 {since}（Unix 秒）",
)
EXPIRED: Final = _rule(
    "expired", "the {what} was valid until {until} (seconds since 1970)", "{what} 已过期，有效期至 {until}（Unix 秒）"
)
OTHER_ZONE: Final = _rule(
    "other-zone",
    "an online key of zone '{zone}' came with the chain of '{expected}'",
    "“{expected}”的信任链中混入了区域“{zone}”的在线密钥",
)
NO_ONLINE_KEY: Final = _rule(
    "no-online-key", "the chain of '{zone}' has no online key", "“{zone}”的信任链中没有在线密钥"
)
UNKNOWN_KEY: Final = _rule(
    "unknown-key",
    "the seal names an online key, {key_id}, that no chain vouches for",
    ("签章所用的在线密钥 {key_id} 没有信任链担保"),
)
CLOCK_BEHIND: Final = _rule(
    "clock-behind",
    "the seal's time is {seconds} s behind this machine's clock; at most {limit} s are allowed. Either the answer is "
    "an old one, or the node's clock is behind, or this machine's is ahead",
    "签章时间比本机时钟落后 {seconds} 秒，超过允许的 {limit} 秒：应答可能是旧的，或节点时钟偏慢，或本机时钟偏快",
)
CLOCK_AHEAD: Final = _rule(
    "clock-ahead",
    "the seal's time is {seconds} s ahead of this machine's clock; at most {limit} s are allowed. Either the node's "
    "clock is ahead, or this machine's is behind",
    "签章时间比本机时钟超前 {seconds} 秒，超过允许的 {limit} 秒：节点时钟偏快，或本机时钟偏慢",
)
BAD_PATH: Final = _rule(
    "bad-path", "the seal's path does not fit its place in the tree", "签章的路径与其在树中的位置不符"
)
BAD_SEAL: Final = _rule("bad-seal", "the seal does not cover this question and this answer", "签章不覆盖该问题与该应答")
LAME_REFERRAL: Final = _rule(
    "lame-referral",
    "zone '{zone}' referred the question for '{prefix}' to '{child}' under '{parent}', which leads nowhere",
    "区域“{zone}”把对“{prefix}”的查询转给了“{parent}”之下的“{child}”，无法继续",
)
FOREIGN: Final = _rule(
    "foreign-identifier", "zone '{zone}' has no say over {identifier}", "区域“{zone}”无权应答 {identifier}"
)


ALWAYS: Final = (1 << 63) - 1
"""The end, in seconds, of what does not end: the zone of the anchor itself."""

KNOWN_HEADS: Final = 256
"""Signed tree heads remembered as verified: some turns' worth, 50 kB."""


class TrustAnchor(NamedTuple):
    """Where trust begins: a zone's prefix in normal form ("" is the root) and its public key; while that key rolls
    over, the ``next`` one beside it."""

    prefix: str
    key: PublicKey
    next: PublicKey | None = None

    @classmethod
    def parse(cls, prefix: str, key: str, following: str | None = None) -> TrustAnchor:
        """An anchor from the texts of an anchor file. Raises :class:`~protocol.errors.InvalidInput`."""
        return cls(
            normal_zone_text(prefix),
            PublicKey.parse(key),
            PublicKey.parse(following) if following else None,
        )

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys that vouch for the zone."""
        return (self.key, self.next) if self.next else (self.key,)


class Chain(NamedTuple):
    """A chain as it came: signed statements, from the anchor's child down, and the zone's online keys."""

    delegations: tuple[bytes, ...]
    online_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone whose keys were verified down from the anchor, and the window in which all links hold."""

    prefix: str
    keys: tuple[PublicKey, ...]
    not_before: int
    not_after: int
    delegations: tuple[Delegation, ...]

    @property
    def servers(self) -> tuple[Address, ...]:
        """Where the zone is asked over TCP; nothing for that of the anchor, of which one has to know."""
        return self.delegations[-1].servers if self.delegations else ()


@dataclass(frozen=True, slots=True)
class Proof:
    """That a bundle of answers was sealed by an online key of ``zone`` at ``time`` (milliseconds since 1970)."""

    zone: Zone
    key: OnlineKey
    time: int

    def speaks_for(self, prefix: str, identifier: str) -> None:
        """Check rule 8 for an identifier with this prefix, in normal form. Raises :class:`NotVerified`."""
        if not covers(self.zone.prefix, prefix):
            raise NotVerified(FOREIGN, zone=self.zone.prefix, identifier=identifier)


class _TrustedKey(NamedTuple):
    zone: Zone
    key: OnlineKey


class Verifier:
    """Remembers what one anchor vouches for and judges seals by it."""

    def __init__(self, anchor: TrustAnchor, tolerance_ms: int = CLOCK_TOLERANCE_MS) -> None:
        self.anchor = anchor
        self._tolerance_ms = tolerance_ms
        self._keys: dict[bytes, _TrustedKey] = {}
        self._heads: set[bytes] = set()  # signatures found good: connections served in one turn share theirs
        self._newest: dict[str, Delegation] = {}  # by child

    def learn(self, chain: Chain, now_ms: int) -> Zone:
        """Verify a chain as of ``now_ms`` and remember its online keys. Raises :class:`NotVerified` or
        :class:`~protocol.errors.MessageError`, and then remembers nothing of it."""
        zone = verify_zone(self.anchor, chain.delegations, now_ms // 1000, self._newest)
        online = verify_online_keys(zone, chain.online_keys)
        for delegation in zone.delegations:
            self._note(delegation)
        self._keys = {
            key_id: trusted
            for key_id, trusted in self._keys.items()
            if min(trusted.key.not_after, trusted.zone.not_after) * 1000 >= now_ms
        }
        for key in online:
            self._keys[key.key.id] = _TrustedKey(zone, key)
        return zone

    def refer(self, proof: Proof, statement: bytes, prefix: str, now_ms: int) -> Delegation:
        """Verify the delegation in a referral, given under ``proof`` to a question for ``prefix``: rules 2, 3, 9, 10.
        Raises :class:`NotVerified` or :class:`~protocol.errors.MessageError`."""
        unverified = read_delegation(statement)
        claim, zone = unverified.claim, proof.zone
        if claim.parent != zone.prefix or claim.child == zone.prefix or not covers(claim.child, prefix):
            raise NotVerified(LAME_REFERRAL, zone=zone.prefix, prefix=prefix, child=claim.child, parent=claim.parent)
        if not covers(zone.prefix, claim.child):
            raise NotVerified(SIDEWAYS, parent=zone.prefix, child=claim.child)
        _check_signature("delegation", unverified, zone.keys, zone.prefix)
        claim = _newer(claim, self._newest.get(claim.child))
        _check_window("delegation", claim.not_before, claim.not_after, now_ms // 1000)
        self._note(claim)
        return claim

    def forget(self, child: str) -> None:
        """Believe nothing any more that rests on the delegation of ``child``: its parent has revoked it."""
        self._drop(child)

    def _note(self, claim: Delegation) -> None:
        """Remember a verified delegation as the newest; keys that only an older one vouched for are forgotten."""
        known = self._newest.pop(claim.child, None)
        if known is not None and not set(known.keys) <= set(claim.keys):
            self._drop(claim.child)
        if len(self._newest) >= MAX_KNOWN_DELEGATIONS:
            del self._newest[next(iter(self._newest))]  # the one that was seen longest ago
        self._newest[claim.child] = claim

    def _drop(self, child: str) -> None:
        self._keys = {
            key_id: trusted for key_id, trusted in self._keys.items() if not covers(child, trusted.zone.prefix)
        }

    def knows(self, key_id: bytes, at: int | None = None) -> bool:
        """Whether a chain has vouched for the online key, and where ``at`` (seconds) is given, for that moment: if not,
        the chain is to be asked for again, as key or delegation may have been renewed."""
        trusted = self._keys.get(key_id)
        if trusted is None or at is None:
            return trusted is not None
        zone, online = trusted
        return max(zone.not_before, online.not_before) <= at <= min(zone.not_after, online.not_after)

    def check(self, seal: Seal, leaf: bytes, now_ms: int) -> Proof:
        """Verify a live seal over a bundle's leaf hash: rules 5 to 7. Raises :class:`NotVerified`."""
        ahead = seal.time - now_ms
        if abs(ahead) > self._tolerance_ms:
            rule = CLOCK_AHEAD if ahead > 0 else CLOCK_BEHIND
            raise NotVerified(rule, seconds=abs(ahead) // 1000, limit=self._tolerance_ms // 1000)
        return self.check_then(seal, leaf)

    def check_then(self, seal: Seal, leaf: bytes) -> Proof:
        """Verify a seal as of its own time: rules 5 and 7. Raises :class:`NotVerified`."""
        trusted = self._keys.get(seal.key_id)
        if trusted is None:
            raise NotVerified(UNKNOWN_KEY, key_id=seal.key_id.hex())
        zone, online = trusted
        seconds = seal.time // 1000
        _check_window("online key", online.not_before, online.not_after, seconds)
        _check_window("delegation", zone.not_before, zone.not_after, seconds)
        root = root_from_proof(leaf, seal.leaf_index, seal.tree_size, seal.path)
        if root is None:
            raise NotVerified(BAD_PATH)
        head = seal.key_id + seal.signature + signed_bytes(seal.time, seal.tree_size, root)
        if head not in self._heads:
            if not online.key.verifies(seal.signature, signed_bytes(seal.time, seal.tree_size, root)):
                raise NotVerified(BAD_SEAL)
            if len(self._heads) >= KNOWN_HEADS:
                self._heads.clear()
            self._heads.add(head)
        return Proof(zone, online, seal.time)


_NOTHING: Final[Mapping[str, Delegation]] = MappingProxyType({})


def verify_zone(
    anchor: TrustAnchor, delegations: tuple[bytes, ...], at: int, newest: Mapping[str, Delegation] = _NOTHING
) -> Zone:
    """Verify delegations from the anchor down as of ``at`` (seconds): rules 1 to 3, and 9 where the ``newest`` verified
    ones are given, by child."""
    if len(delegations) > MAX_CHAIN:
        raise NotVerified(LONG_CHAIN, count=len(delegations), limit=MAX_CHAIN)
    prefix = anchor.prefix
    keys = anchor.keys
    not_before, not_after = 0, ALWAYS
    claims: list[Delegation] = []
    read = [read_delegation(statement) for statement in delegations]
    for unverified in read[_above(anchor.prefix, read) :]:
        claim = unverified.claim
        if claim.parent != prefix:
            raise NotVerified(BROKEN_CHAIN, parent=claim.parent, expected=prefix)
        if claim.child == prefix or not covers(prefix, claim.child):
            raise NotVerified(SIDEWAYS, parent=prefix, child=claim.child)
        _check_signature("delegation", unverified, keys, prefix)
        claim = _newer(claim, newest.get(claim.child))
        _check_window("delegation", claim.not_before, claim.not_after, at)
        prefix, keys = claim.child, claim.keys
        not_before, not_after = max(not_before, claim.not_before), min(not_after, claim.not_after)
        claims.append(claim)
    return Zone(prefix, keys, not_before, not_after, tuple(claims))


def _above(prefix: str, chain: list[Unverified[Delegation]]) -> int:
    """How many delegations lead from further up to a prefix."""
    for count, unverified in enumerate(chain, start=1):
        parent, child = unverified.claim.parent, unverified.claim.child
        if child == prefix and parent != prefix and covers(parent, prefix):
            return count
    return 0


def verify_online_keys(zone: Zone, statements: tuple[bytes, ...]) -> list[OnlineKey]:
    """Verify the online keys of a zone: rule 4. Their validity is judged with each seal."""
    if not statements:
        raise NotVerified(NO_ONLINE_KEY, zone=zone.prefix)
    if len(statements) > MAX_ONLINE_KEYS:
        raise NotVerified(LONG_CHAIN, count=len(statements), limit=MAX_ONLINE_KEYS)
    verified: list[OnlineKey] = []
    for statement in statements:
        unverified = read_online_key(statement)
        if unverified.claim.zone != zone.prefix:
            raise NotVerified(OTHER_ZONE, zone=unverified.claim.zone, expected=zone.prefix)
        if any(unverified.signed_by(key) for key in zone.keys):
            verified.append(unverified.claim)
    if not verified:
        raise NotVerified(BAD_SIGNATURE, what="online key", by=zone.prefix)
    return verified


def _newer(claim: Delegation, known: Delegation | None) -> Delegation:
    """Rule 9: the one with the higher serial; both are signed by the same parent."""
    return known if known is not None and known.parent == claim.parent and known.serial > claim.serial else claim


def _check_signature(what: str, statement: Unverified[Delegation], keys: tuple[PublicKey, ...], by: str) -> None:
    if not any(statement.signed_by(key) for key in keys):
        raise NotVerified(BAD_SIGNATURE, what=what, by=by)


def _check_window(what: str, not_before: int, not_after: int, at: int) -> None:
    if at < not_before:
        raise NotVerified(NOT_YET, what=what, since=not_before)
    if at > not_after:
        raise NotVerified(EXPIRED, what=what, until=not_after)
