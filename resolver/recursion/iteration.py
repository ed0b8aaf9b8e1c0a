"""Walks carried out: what the recursive node and the client share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.address import Address
from protocol.answers import Answer
from protocol.errors import BiaoshiError, Rule, Unreachable, Unresolved
from protocol.exchange import Evidence, Reply, read_chain
from protocol.limits import ABSENT_TTL_SECONDS, DELEGATION_TTL_SECONDS, MAX_STALE_SECONDS
from protocol.messages import Ask, Op, refusal
from protocol.status import Status
from protocol.trust import Chain, Verifier, Zone
from resolver.recursion.delegations import MAX_DELEGATIONS, Delegations, Known
from resolver.recursion.servers import SHORTEST_PATIENCE_S, Servers
from resolver.recursion.upstream import LATE, Open, Upstream
from resolver.recursion.walk import RESTING, Step, Walk

NOT_ALONE: Final = Rule(
    "recursion.not-alone",
    Status.UNRESOLVED,
    "the server did not seal the answer alone, as it was asked to",
    "服务器未按要求对该应答单独签章",
)
OUT_OF_TIME: Final = Rule(
    "recursion.out-of-time",
    Status.UNRESOLVED,
    "time ran out after {seconds} s; asked: {chain}",
    "{seconds} 秒内未能完成；查询路径：{chain}",
)

BAD_CHECK: Final = Rule(
    "recursion.bad-check",
    Status.UNRESOLVED,
    "the server of '{zone}' did not say whether it still delegates '{child}'",
    "“{zone}”的服务器未说明是否仍授权“{child}”",
)

_AS_IT_SHOULD: Final = frozenset({Status.OK, Status.NOT_FOUND, Status.WITHDRAWN, Status.REFERRAL})
"""What a server of the zone answers that does its work."""

POLL_S: Final = 0.05
"""Where all servers of a zone rest: how often it is looked whether one has been found to be back."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An answer with what proves it, the steps that led there, and the zones found to be revoked on the way."""

    answer: Answer
    evidence: Evidence
    steps: list[Step]
    dropped: list[str]


class Failed(Unresolved):
    """A walk that came to no answer, with its steps and the zones found to be revoked."""

    def __init__(self, error: Unresolved, steps: list[Step], dropped: list[str]) -> None:
        super().__init__(error.rule, **error.details)
        self.steps = steps
        self.dropped = dropped


class Iteration:
    """Resolves from ``roots``, the servers of the anchor's zone, over connections that ``open_`` makes.
    ``stale_seconds`` is for how long a delegation may be
    used
    while its parent cannot be asked; ``clock`` gives seconds since 1970; ``most`` zones are remembered."""

    def __init__(
        self,
        verifier: Verifier,
        roots: Sequence[Address],
        open_: Open,
        stale_seconds: int = MAX_STALE_SECONDS,
        clock: Callable[[], float] = time.time,
        most: int = MAX_DELEGATIONS,
    ) -> None:
        self._clock = clock
        self.verifier = verifier
        self.roots = tuple(roots)
        self.delegations = Delegations(verifier.anchor.prefix, stale_seconds, most)
        self.servers = Servers()
        self.upstream = Upstream(verifier, open_, most)
        self._finding: dict[tuple[str, str], asyncio.Future[None]] = {}  # by zone and prefix
        self._answers_itself: dict[tuple[str, str], int] = {}  # until when that is taken for granted
        self._probing: set[asyncio.Task[None]] = set()

    def now(self) -> int:
        """The clock, in seconds since 1970."""
        return int(self._clock())

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)

    def close(self) -> None:
        """Close all connections."""
        for probe in self._probing:
            probe.cancel()
        self.upstream.close()

    def chain(self, prefix: str) -> Chain | None:
        """The chain of the lowest zone that was met and covers ``prefix``."""
        return self.upstream.chains.closest(prefix)

    def trust(self, zone: Zone) -> None:
        """Begin with the delegations above a zone, which were verified."""
        now = self.now()
        for claim in zone.delegations:
            if self.delegations.get(claim.child) is None:
                self.delegations.note(claim, DELEGATION_TTL_SECONDS, now)

    def knows(self, prefix: str) -> bool:
        """Whether a zone below the anchor's is known that covers ``prefix``."""
        return self.delegations.closest(prefix, self.now(), overdue=True) is not None

    async def resolve(self, key: bytes, seconds: float, *, hurry: bool = False) -> Resolved:
        """Resolve an identifier in normal form within ``seconds``. ``hurry``: do not wait for servers that rest. Raises
        :class:`Failed`."""
        walk: Walk | None = None
        try:
            walk = Walk(key, self.roots, self.delegations, self.verifier, self.now())
            return await self._carry_out(walk, key, seconds, hurry)
        except Unresolved as error:
            raise Failed(error, walk.steps if walk else [], walk.dropped if walk else []) from error

    async def _carry_out(self, walk: Walk, key: bytes, seconds: float, hurry: bool) -> Resolved:
        clock = time.monotonic  # a loop's own clock may be coarse
        until = clock() + seconds
        while True:
            now = clock()
            choice = self.servers.choose(walk.zone, walk.servers, walk.tried, now)
            if choice is None:
                try:
                    walk.exhausted(self.now())
                except Unresolved:
                    if hurry or not self._may_come_back(walk, until - now):
                        raise
                    walk.tried.clear()
                continue
            if until - now < min(SHORTEST_PATIENCE_S, seconds / 4):  # too little for a server to be judged by
                raise Unresolved(OUT_OF_TIME, seconds=round(seconds, 2), chain=walk.chain)
            if await self._another_asks(walk, until - now):
                continue
            if choice.server is None:
                if hurry or now + choice.wait > until:
                    self._pass_over_resting(walk)
                else:
                    await asyncio.sleep(min(choice.wait, POLL_S))
                continue
            self._look_for_returning(walk, choice.server, now)
            try:
                # Where there is no other server, impatience only does harm; unless there is an answer to fall back on.
                patience = until - now if choice.last and not hurry else choice.patience
                resolved = await self._ask(walk, choice.server, patience, until - now, key, hasty=not choice.last)
            except TimeoutError:
                raise Unresolved(OUT_OF_TIME, seconds=round(seconds, 2), chain=walk.chain) from None
            if resolved is not None:
                return resolved

    def _may_come_back(self, walk: Walk, seconds: float) -> bool:
        """Whether one of the zone's servers, all of which are dead and not just wrong, may be tried again in time."""
        now = time.monotonic()
        return walk.dead and self.servers.rest(walk.zone, walk.servers, now) < seconds

    async def _another_asks(self, walk: Walk, seconds: float) -> bool:
        """Where it is not known whether a zone answers for a prefix or refers, one question finds out, and others for
        the same prefix wait for that; whether this one has waited."""
        cut = walk.zone, walk.prefix
        finding = self._finding.get(cut)
        if finding is None or walk.zone in walk.waited:
            return False
        walk.waited.add(walk.zone)
        await asyncio.wait([finding], timeout=seconds)
        walk.look_again(self.now())
        return True

    def _finds_out(self, walk: Walk) -> asyncio.Future[None] | None:
        cut = walk.zone, walk.prefix
        if cut in self._finding or self._answers_itself.get(cut, 0) > self.now():
            return None
        finding = self._finding[cut] = asyncio.get_running_loop().create_future()
        return finding

    def _found_out(self, cut: tuple[str, str], finding: asyncio.Future[None], answered: bool) -> None:
        del self._finding[cut]
        finding.set_result(None)
        if answered:
            if len(self._answers_itself) >= MAX_DELEGATIONS:
                self._answers_itself.clear()
            self._answers_itself[cut] = self.now() + ABSENT_TTL_SECONDS

    async def _ask(
        self, walk: Walk, server: Address, patience: float, seconds: float, key: bytes, *, hasty: bool
    ) -> Resolved | None:
        """Ask one server; None where the walk goes on. ``hasty``: there is another to go on to."""
        clock = time.monotonic  # a loop's own clock may be coarse
        cut, begin = (walk.zone, walk.prefix), clock()
        answer: Answer | None = None
        finding = self._finds_out(walk)
        try:
            reply = await self.upstream.ask(server, patience, seconds, Op.RESOLVE, key, int(Ask.ALONE))
            taken = clock() - begin
            if reply.evidence is None:
                raise Unresolved(NOT_ALONE)
            answer = walk.take(server, reply, self._now_ms(), taken)
        except BiaoshiError as error:
            walk.failed(server, error, clock() - begin)
            silent = error.rule is LATE
            self.servers.failed(cut[0], server, clock(), error.message(), hasty=hasty and silent)
            return None
        finally:
            if finding is not None:
                self._found_out(cut, finding, answer is not None)
        self.servers.answered(cut[0], server, taken)
        return None if answer is None else Resolved(answer, reply.evidence, walk.steps, walk.dropped)

    def _look_for_returning(self, walk: Walk, chosen: Address, now: float) -> None:
        """Where a server of the zone may be back, ask it beside the one that is asked anyway."""
        returning = self.servers.returning(walk.zone, walk.servers, chosen, now)
        if returning is not None:
            probe = asyncio.get_running_loop().create_task(self._probe(walk.zone, *returning, walk.key))
            self._probing.add(probe)
            probe.add_done_callback(self._probing.discard)

    async def _probe(self, zone: str, server: Address, patience: float, key: bytes) -> None:
        """Find out whether a server answers for a zone again; what it answers is not used."""
        why = self.servers.why(zone, server)
        try:
            reply = await self.upstream.ask(server, patience, patience, Op.RESOLVE, key, int(Ask.ALONE))
            back = reply.proof.zone.prefix == zone and reply.status in _AS_IT_SHOULD
        except BiaoshiError as error:
            back, why = False, error.message()
        except TimeoutError:  # it lives, and is too busy to answer this
            back = False
        if back:
            self.servers.back(zone, server)
        else:
            self.servers.failed(zone, server, time.monotonic(), why)

    def _pass_over_resting(self, walk: Walk) -> None:
        for server in walk.servers:
            if server not in walk.tried:
                why = self.servers.why(walk.zone, server)
                walk.failed(server, Unreachable(RESTING, server=str(server), reason=why))

    async def check(self, known: Known, seconds: float) -> list[str]:
        """Ask the parent of a known delegation whether it still holds; gives the zones that it has revoked or replaced.
        Where no server of the parent answers, all stays as it was."""
        claim = known.claim
        known.checked = self.now()
        above = self.delegations.get(claim.parent)
        servers = self.roots if above is None else above.claim.servers
        tried: set[Address] = set()
        clock = time.monotonic  # a loop's own clock may be coarse
        while True:
            choice = self.servers.choose(claim.parent, servers, tried, clock())
            if choice is None or choice.server is None:
                return []
            begin = clock()
            try:
                reply = await self.upstream.ask(
                    choice.server, choice.patience, seconds, Op.CHAIN, b"", claim.child.encode()
                )
                dropped = self._checked(known, reply)
            except BiaoshiError as error:
                tried.add(choice.server)
                self.servers.failed(claim.parent, choice.server, clock(), error.message())
                continue
            except TimeoutError:
                return []
            self.servers.answered(claim.parent, choice.server, clock() - begin)
            return dropped

    def _checked(self, known: Known, reply: Reply) -> list[str]:
        claim, now = known.claim, self.now()
        if reply.proof.zone.prefix != claim.parent:
            raise Unresolved(BAD_CHECK, zone=claim.parent, child=claim.child)
        if reply.status in (Status.NOT_FOUND, Status.REFERRAL):
            self.verifier.forget(claim.child)
            return self.delegations.drop(claim.child)
        if reply.status != Status.OK:
            raise refusal(reply.status, reply.payload)
        statements = read_chain(reply.payload).delegations
        if not statements:
            raise Unresolved(BAD_CHECK, zone=claim.parent, child=claim.child)
        fresh = self.verifier.refer(reply.proof, statements[-1], claim.child, self._now_ms())
        return self.delegations.note(fresh, max(0, min(DELEGATION_TTL_SECONDS, fresh.not_after - now)), now)
