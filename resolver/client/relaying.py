"""Answers through a recursive node that need not be trusted: it relays what authorities said, and here that is
verified."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from protocol.answers import Answer
from protocol.errors import MessageError, NotVerified, Rule, Unresolved
from protocol.exchange import Evidence, UnprovenReply, read_chain
from protocol.messages import Ask, Op, refusal
from protocol.relays import read_evidence, read_relayed
from protocol.status import Status
from protocol.trust import EXPIRED, NOT_YET, UNKNOWN_KEY, Chain, Verifier
from resolver.recursion.delegations import at_and_above
from resolver.recursion.walk import Step

NO_EVIDENCE: Final = Rule(
    "client.no-evidence",
    Status.NOT_VERIFIED,
    "the recursive node answers '{status}' and shows no proof of it",
    "递归节点答复“{status}”，但未给出证明",
)
NO_CHAIN: Final = Rule(
    "client.no-chain",
    Status.NOT_VERIFIED,
    "the recursive node does not show the chain of the zone that answered for '{prefix}'",
    "递归节点未给出应答“{prefix}”的区域的信任链",
)
STALE: Final = Rule(
    "client.stale",
    Status.UNRESOLVED,
    "the zone's servers are down, and the last known answer is older than its TTL, {ttl} s, by more than {limit} s",
    "该区域的服务器均不可用，最近一次应答已超过其有效期（{ttl} 秒）{limit} 秒以上",
)
BAD_STEPS: Final = Rule(
    "client.bad-steps",
    Status.BAD_REQUEST,
    "the node's steps have another shape than [[zone, server, cached, microseconds, said], …]",
    "节点给出的步骤格式不是 [[zone, server, cached, microseconds, said], …]",
)

AT_ONCE: Final = 500
"""Questions that wait for a recursive node at one time; it takes 1,000 of one connection."""

_CHAIN_MAY_HELP: Final = (UNKNOWN_KEY, EXPIRED, NOT_YET)
"""Where a key or a delegation was renewed, the chain that is known does not speak for the moment of a seal."""

_UNPROVEN: Final = frozenset({Status.NOT_FOUND, Status.WITHDRAWN, Status.SUSPENDED, Status.REFERRAL})
"""What only an authority may say."""


class Asker(Protocol):
    """Asks a recursive node; its seals count for nothing here, and nobody looks at them."""

    async def request(self, op: Op, *arguments: object) -> UnprovenReply:
        """A reply. Raises :class:`~protocol.errors.BiaoshiError`."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Relay:
    """Resolves through a recursive node. ``stale_seconds`` is how old, beyond its TTL, an answer may be that it marks
    as stale."""

    def __init__(self, asker: Asker, verifier: Verifier, stale_seconds: int) -> None:
        self._asker = asker
        self._verifier = verifier
        self._stale_seconds = stale_seconds
        self._chains: dict[str, Chain] = {}
        self._learning = asyncio.Lock()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        await self._asker.close()

    async def is_recursive(self) -> bool:
        """Whether the node says that it is one. Nothing is believed for that but that it may be asked for proofs."""
        reply = await self._asker.request(Op.HELLO, 1)
        match reply.payload:
            case (_, _, b"recursive", *_):
                return reply.status == Status.OK
        return False

    async def resolve(self, wire: bytes) -> tuple[Answer, Evidence]:
        """The verified answer for an identifier in normal form, and what proves it."""
        async with self._room:
            reply = await self._asker.request(Op.RESOLVE, wire, int(Ask.PROOF))
        status = Status.named(reply.status)
        if status in _UNPROVEN:
            raise NotVerified(NO_EVIDENCE, status=status.label)
        if status not in (Status.OK, Status.STALE):
            raise refusal(reply.status, reply.payload)
        evidence = read_evidence(reply.payload)
        stale = self._stale_seconds if status is Status.STALE else None
        return not_too_stale(await self._verified(wire, evidence, stale), self._stale_seconds), evidence

    async def chain(self, answer: Answer, *, anew: bool = False) -> Chain:
        """The chain that vouches for an answer, for a receipt; asked for where it is not known, or ``anew``."""
        zone, prefix = answer.proof.zone.prefix, answer.identifier.partition("/")[0]
        if anew:
            self._chains.pop(zone, None)
        if zone not in self._chains:
            for above in (*at_and_above(prefix), ""):
                await self._learn(above)
                if zone in self._chains:
                    break
            else:
                raise NotVerified(NO_CHAIN, prefix=prefix)
        return self._chains[zone]

    async def steps(self, wire: bytes) -> list[Step]:
        """How the node came, or comes, to its answer: its own word."""
        reply = await self._asker.request(Op.TRACE, wire)
        if reply.status != Status.OK:
            raise refusal(reply.status, reply.payload)
        return read_steps(reply.payload)

    async def _verified(self, wire: bytes, evidence: Evidence, stale: int | None) -> Answer:
        """Verify an answer, asking for the chain where its key is not known: that of the closest zone, then those
        above,
        since a zone may have spoken for what it had not delegated yet."""
        failure: NotVerified | None = None
        for above in (None, *at_and_above(wire.partition(b"/")[0].decode()), ""):
            if above is not None:
                async with self._learning:  # many answers wait for the same chain
                    answer = self._try(wire, evidence, stale)
                    if isinstance(answer, Answer):
                        return answer
                    await self._learn(above)
            answer = self._try(wire, evidence, stale)
            if isinstance(answer, Answer):
                return answer
            failure = answer
        assert failure is not None
        raise failure

    def _try(self, wire: bytes, evidence: Evidence, stale: int | None) -> Answer | NotVerified:
        """The verified answer, or why not where a chain could help."""
        try:
            return read_relayed(wire, evidence, self._verifier, _now_ms(), stale)
        except NotVerified as error:
            if error.rule not in _CHAIN_MAY_HELP:
                raise
            return error

    async def _learn(self, prefix: str) -> None:
        """Ask for the chain of the zone of a prefix, and verify it."""
        reply = await self._asker.request(Op.CHAIN, b"", prefix.encode())
        if reply.status == Status.OK:
            chain = read_chain(reply.payload)
            zone = self._verifier.learn(chain, _now_ms())
            self._chains[zone.prefix] = chain


def not_too_stale(answer: Answer, stale_seconds: int) -> Answer:
    """The answer, where it is fresh or stale within what is permitted. Raises :class:`Unresolved`."""
    if answer.stale and (not stale_seconds or answer.age > answer.ttl + stale_seconds):
        raise Unresolved(STALE, ttl=answer.ttl, limit=stale_seconds)
    return answer


def read_steps(payload: object) -> list[Step]:
    """Check the payload of a TRACE. Raises :class:`MessageError`."""
    steps: list[Step] = []
    for one in payload if isinstance(payload, tuple) else (None,):
        match one:
            case (bytes(zone), bytes(server), bool(cached), int(micros), bytes(said)):
                texts = (text.decode("utf-8", "replace") for text in (zone, server, said))
                zone_text, server_text, said_text = texts
                steps.append(Step(zone_text, server_text, cached, micros / 1e6, said_text))
            case _:
                raise MessageError(BAD_STEPS)
    return steps


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
