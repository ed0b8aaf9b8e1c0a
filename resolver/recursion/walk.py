"""Whom to ask next for one identifier, from the closest zone that is known down.

A walk does no I/O: whoever carries it out asks one of ``servers`` of ``zone`` and hands in what came, by
:meth:`Walk.take` or :meth:`Walk.failed`; where all of a zone's servers have failed, :meth:`Walk.exhausted` says where
to go on, or raises :class:`~protocol.errors.Unresolved`, which names the chain of zones and servers.

A walk cannot go round in circles: each referral that holds leads strictly downwards. Whatever claims to lead elsewhere
is a fault of the server that said it, and the next one is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.address import Address
from protocol.answers import Answer, read_answer
from protocol.errors import BiaoshiError, NotVerified, Rule, Unreachable, Unresolved
from protocol.exchange import Reply
from protocol.identifiers import covers
from protocol.limits import MAX_CHAIN
from protocol.messages import refusal
from protocol.referrals import read_referral
from protocol.statements import Delegation, read_delegation
from protocol.status import Status
from protocol.trust import CLOCK_AHEAD, CLOCK_BEHIND, EXPIRED, Verifier
from resolver.recursion.delegations import Delegations


def _rule(name: str, en: str, zh: str, status: Status = Status.UNRESOLVED) -> Rule:
    return Rule(f"recursion.{name}", status, en, zh)


NOT_RESPONSIBLE: Final = _rule(
    "not-responsible",
    "'{prefix}' does not lie below '{top}', where this resolver begins ({chain})",
    "“{prefix}”不在本解析器的起点“{top}”之下（{chain}）",
    Status.NOT_RESPONSIBLE,
)
LAME: Final = _rule(
    "lame-delegation",
    "{server} is said to serve '{zone}' but does not: {reason}; asked: {chain}",
    "{server} 被授权服务“{zone}”，实际并不服务：{reason}；查询路径：{chain}",
)
SELF_REFERRAL: Final = _rule(
    "self-referral",
    "{server} refers the question for '{zone}' to '{zone}' itself; asked: {chain}",
    "{server} 把对“{zone}”的查询又转给“{zone}”自身；查询路径：{chain}",
)
LOOP: Final = _rule(
    "loop",
    "{server} of '{zone}' refers back up to '{child}': a loop; asked: {chain}",
    "“{zone}”的服务器 {server} 又向上转给“{child}”，形成循环；查询路径：{chain}",
)
TOO_DEEP: Final = _rule(
    "too-deep",
    "more than {limit} delegations one below the other; asked: {chain}",
    "授权层级超过 {limit} 级；查询路径：{chain}",
)
REVOKED: Final = _rule(
    "revoked",
    "the delegation of '{child}' by '{zone}' has ended; its parent is to renew it; asked: {chain}",
    "“{zone}”对“{child}”的授权已经终止，应由其上级续签；查询路径：{chain}",
)
NO_ADDRESS: Final = _rule(
    "no-address",
    "the delegation of '{zone}' names no address that can be asked over TCP without TLS; asked: {chain}",
    "对“{zone}”的授权中没有可以用不加密的 TCP 访问的地址；查询路径：{chain}",
)
DOWN: Final = _rule(
    "no-answer",
    "no server of '{zone}' has answered as it should ({reason}); asked: {chain}",
    "“{zone}”没有服务器正确应答（{reason}）；查询路径：{chain}",
)
AHEAD: Final = _rule(
    "clock-ahead",
    "the seals of '{zone}' are {seconds} s ahead of the resolver's clock: that zone's clock is ahead, or the "
    "resolver's is behind; asked: {chain}",
    "“{zone}”的签章时间比解析节点的时钟超前 {seconds} 秒：该区域的时钟偏快，或解析节点的时钟偏慢；查询路径：{chain}",
)
BEHIND: Final = _rule(
    "clock-behind",
    "the seals of '{zone}' are {seconds} s behind the resolver's clock: that zone's clock is behind, or the "
    "resolver's is ahead; asked: {chain}",
    "“{zone}”的签章时间比解析节点的时钟落后 {seconds} 秒：该区域的时钟偏慢，或解析节点的时钟偏快；查询路径：{chain}",
)
_CLOCKS: Final = {CLOCK_AHEAD: AHEAD, CLOCK_BEHIND: BEHIND}
RESTING: Final = _rule(
    "resting", "{server} is left alone for a while after: {reason}", "{server} 因故暂停查询：{reason}"
)

RECHECK_SECONDS: Final = 10
"""Where the servers that a remembered delegation names all fail, the parent is asked whether there is a newer one, at
most
this often."""


@dataclass(slots=True)
class Step:
    """One step, for people. ``server`` is empty where nobody was asked: the zone was known, or the answer was."""

    zone: str
    server: str
    cached: bool
    seconds: float
    said: str


class Walk:
    """The walk for one identifier ``key`` (normal form). ``roots`` serve the anchor's zone, ``now`` is in seconds since
    1970. Raises :class:`Unresolved` where the identifier lies outside the anchor's zone."""

    def __init__(
        self, key: bytes, roots: Sequence[Address], delegations: Delegations, verifier: Verifier, now: int
    ) -> None:
        self.key = key
        self.prefix = key.partition(b"/")[0].decode()
        self._roots = tuple(roots)
        self._delegations = delegations
        self._verifier = verifier
        self._asked: list[tuple[str, str]] = []
        self._failures: dict[str, BiaoshiError] = {}  # by zone: what is told where nothing else helps
        self._renewing: dict[str, Delegation] = {}
        self._entered: set[str] = set()
        self.waited: set[str] = set()
        """Zones where this walk has waited for what another was told."""
        self.steps: list[Step] = []
        self.dropped: list[str] = []
        """Zones that this walk has found to be revoked or replaced: nothing that came from them is to be used."""
        self.zone = delegations.top
        self.servers: tuple[Address, ...] = self._roots
        self.tried: set[Address] = set()
        self._from_memory = False
        if not covers(delegations.top, self.prefix):
            raise Unresolved(NOT_RESPONSIBLE, prefix=self.prefix, top=delegations.top, chain="-")
        self._known_above: list[str] = []
        known = delegations.closest(self.prefix, now)
        if known is not None:
            self._known_above = delegations.chain(known.claim.child)[:-1]
            self.steps.append(Step(known.claim.child, "", True, 0.0, f"known for {known.until - now} s"))
            self._enter(known.claim, remembered=True)

    def take(self, server: Address, reply: Reply, now_ms: int, seconds: float = 0.0) -> Answer | None:
        """Take what ``server`` of ``zone`` has answered: the answer, or None where the walk goes on. Raises
        :class:`~protocol.errors.BiaoshiError` where it is not as it should be; nothing has changed then."""
        self._note(server)
        status = Status.named(reply.status)
        speaks_for = reply.proof.zone.prefix
        if speaks_for != self.zone:
            raise self._lame(server, f"it is a server of '{speaks_for}'")
        if status is Status.NOT_RESPONSIBLE:
            raise self._lame(server, "it says that it is not responsible")
        if status is Status.REFERRAL:
            claim, ttl = self._referral(server, reply, now_ms)
            self._step(server, seconds, f"refers to {claim.child}, serial {claim.serial}")
            self._descend(claim, ttl, now_ms // 1000)
            return None
        if status not in (Status.OK, Status.NOT_FOUND, Status.WITHDRAWN, Status.SUSPENDED):
            raise refusal(reply.status, reply.payload)
        answer = read_answer(self.key, reply.status, reply.payload, reply.proof)
        self._step(server, seconds, status.label)
        revoked = self._delegations.revoked_by(self.zone, self.prefix)
        if revoked is not None:
            self._verifier.forget(revoked)
            self.dropped += self._delegations.drop(revoked)
        return answer

    def look_again(self, now: int) -> None:
        """Another walk may have found the way on from ``zone``: take it."""
        known = self._delegations.closest(self.prefix, now)
        if known is not None and known.claim.child not in self._entered and covers(self.zone, known.claim.child):
            self.steps.append(Step(known.claim.child, "", True, 0.0, "found by another question"))
            self._enter(known.claim, remembered=False)

    def failed(self, server: Address, error: BiaoshiError, seconds: float = 0.0) -> None:
        """Note that ``server`` did not answer, or not as it should."""
        if (self.zone, str(server)) not in self._asked:
            self._note(server)
        self.tried.add(server)
        self._step(server, seconds, error.message())
        # What a server has said tells more than that another said nothing.
        known = self._failures.get(self.zone)
        if known is None or isinstance(error, Unresolved) or not isinstance(known, Unresolved):
            self._failures[self.zone] = error

    def exhausted(self, now: int) -> None:
        """All servers of ``zone`` have failed: go on elsewhere, or raise :class:`Unresolved`."""
        zone = self.zone
        known = self._delegations.get(zone)
        if known is not None and self._from_memory and now >= known.checked + RECHECK_SECONDS:
            known.checked = now
            self._renewing[zone] = known.claim
            above = self._delegations.get(known.claim.parent)
            if above is not None:
                self._enter(above.claim, remembered=True)
            else:
                self._enter_top()
            return
        below = self._delegations.closest(self.prefix, now, overdue=True)
        if below is not None and below.claim.child not in self._entered and covers(zone, below.claim.child):
            self._enter(below.claim, remembered=True)
            return
        raise self._failure(next(iter(self._renewing), zone))

    @property
    def dead(self) -> bool:
        """Whether the servers of ``zone`` have not answered; those that answer wrongly will do so again."""
        return isinstance(self._failures.get(self.zone), Unreachable)

    @property
    def chain(self) -> str:
        """The zones and servers that were asked, for people."""
        known = [f"{zone or '(root)'} (known)" for zone in self._known_above]
        return " → ".join([*known, *(f"{zone or '(root)'} [{server}]" for zone, server in self._asked)]) or "-"

    # The ways on ----------------------------------------------------------------------------------

    def _referral(self, server: Address, reply: Reply, now_ms: int) -> tuple[Delegation, int]:
        """The delegation in a referral, verified."""
        referral = read_referral(reply.payload)
        claimed = read_delegation(referral.statement).claim
        if claimed.child == self.zone:
            raise Unresolved(SELF_REFERRAL, server=str(server), zone=self.zone, chain=self.chain)
        if covers(claimed.child, self.zone):
            raise Unresolved(LOOP, server=str(server), zone=self.zone, child=claimed.child, chain=self.chain)
        try:
            claim = self._verifier.refer(reply.proof, referral.statement, self.prefix, now_ms)
        except NotVerified as error:
            if error.rule is EXPIRED:
                raise Unresolved(REVOKED, child=claimed.child, zone=self.zone, chain=self.chain) from error
            raise self._lame(server, error.message()) from error
        if len(reply.proof.zone.delegations) >= MAX_CHAIN:
            raise Unresolved(TOO_DEEP, limit=MAX_CHAIN, chain=self.chain)
        return claim, referral.ttl

    def _descend(self, claim: Delegation, ttl: int, now: int) -> None:
        before = self._renewing.get(claim.child)
        self.dropped += self._delegations.note(claim, ttl, now)
        self._enter(claim, remembered=False)
        if before is not None and (before.keys, before.addresses) == (claim.keys, claim.addresses):
            # Asked anew, and nothing is new: the same servers would fail again. That is no fault of who was asked.
            self.tried = set(self.servers)

    def _enter(self, claim: Delegation, *, remembered: bool) -> None:
        self.zone = claim.child
        self.servers = claim.servers
        self.tried = set()
        self._entered.add(claim.child)
        self._from_memory = remembered and claim.child not in self._renewing
        if not self.servers:
            self._failures[self.zone] = Unresolved(NO_ADDRESS, zone=self.zone, chain=self.chain)

    def _enter_top(self) -> None:
        self.zone, self.servers, self.tried = self._delegations.top, self._roots, set()
        self._from_memory = False

    def _failure(self, zone: str) -> Unresolved:
        """What is to be told of a zone whose servers have all failed."""
        error = self._failures.get(zone)
        if isinstance(error, Unresolved):
            return error
        if error is not None and error.rule in _CLOCKS:
            seconds = error.details["seconds"]
            return Unresolved(_CLOCKS[error.rule], zone=zone, seconds=seconds, chain=self.chain)
        reason = error.message() if error is not None else "-"
        return Unresolved(DOWN, zone=zone, reason=reason, chain=self.chain)

    def _lame(self, server: Address, reason: str) -> Unresolved:
        return Unresolved(LAME, server=str(server), zone=self.zone, reason=reason, chain=self.chain)

    def _note(self, server: Address) -> None:
        self._asked.append((self.zone, str(server)))

    def _step(self, server: Address, seconds: float, said: str) -> None:
        self.steps.append(Step(self.zone, str(server), False, seconds, said))
