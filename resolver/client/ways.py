"""The way to an answer, found as one goes: from the servers that were named, through the zones to which these refer, or
through a recursive node. Whatever the way, the answer is verified from the same anchor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.address import Address
from protocol.answers import Answer, read_answer
from protocol.errors import BiaoshiError, NotVerified
from protocol.exchange import Evidence, Reply
from protocol.messages import refusal
from protocol.receipts import encode_receipt, verify_receipt
from protocol.status import Status
from protocol.trust import Chain, Verifier, Zone
from resolver.client.connection import StreamConnection
from resolver.client.relaying import AT_ONCE, Relay
from resolver.recursion.iteration import Iteration
from resolver.recursion.walk import Step

ELSEWHERE: Final = frozenset({Status.REFERRAL, Status.NOT_RESPONSIBLE})
"""What a server answers that is not the one to ask."""


@dataclass(frozen=True, slots=True)
class Traced:
    """An answer and the steps that led to it; where ``told``, they are the word of a recursive node, while the answer
    is
    verified as always."""

    answer: Answer
    steps: list[Step]
    told: bool


class Ways:
    """Leads the questions of one client. ``servers`` are those that were named, ``relay`` asks them as recursive
    nodes."""

    def __init__(self, servers: Sequence[Address], verifier: Verifier, relay: Relay, seconds: float) -> None:
        self._servers = servers
        self._verifier = verifier
        self._relay = relay
        self._seconds = seconds
        self._relaying = False
        self._iteration: Iteration | None = None
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        await self._relay.close()
        if self._iteration is not None:
            self._iteration.close()

    async def relays(self, error: NotVerified) -> None:
        """A server's seal did not hold: find out whether it is a recursive node, whose seal is not needed. Raises
        ``error`` where it is none."""
        if not self._relaying:
            try:
                self._relaying = await self._relay.is_recursive()
            except BiaoshiError:
                raise error from None
            if not self._relaying:
                raise error

    def leads(self, wire: bytes) -> bool:
        """Whether there is a known way for an identifier other than to ask the servers that were named."""
        if self._relaying:
            return True
        iteration = self._iteration
        return iteration is not None and (bool(iteration.roots) or iteration.knows(wire.partition(b"/")[0].decode()))

    async def resolve(self, wire: bytes) -> Answer:
        """The verified answer for an identifier for which :meth:`leads` holds."""
        answer, _ = await self._resolve(wire)
        return answer

    async def receipt(self, wire: bytes) -> tuple[Answer, bytes]:
        """The same with a receipt."""
        answer, evidence = await self._resolve(wire)
        chain: Chain | None = None
        if self._relaying:
            chain = await self._relay.chain(answer)
        elif self._iteration is not None:
            chain = self._iteration.chain(answer.proof.zone.prefix)
        assert chain is not None  # an answer that was had from a zone's server came with its chain
        receipt = encode_receipt(*evidence, chain)
        try:
            verify_receipt(receipt, self._verifier.anchor)
        except NotVerified:  # keys were renewed since the chain was shown
            if not self._relaying:
                raise
            receipt = encode_receipt(*evidence, await self._relay.chain(answer, anew=True))
            verify_receipt(receipt, self._verifier.anchor)
        return answer, receipt

    async def trace(self, wire: bytes) -> Traced:
        """The same with the steps."""
        if self._relaying:
            steps = await self._relay.steps(wire)
            answer, _ = await self._relay.resolve(wire)
            return Traced(answer, steps, True)
        assert self._iteration is not None
        resolved = await self._iteration.resolve(wire, self._seconds)
        return Traced(resolved.answer, resolved.steps, False)

    async def follow(self, wire: bytes, status: int, payload: object, reply: Reply) -> Answer:
        """The answer where a server has given one; where it says that others are to be asked, theirs."""
        if Status.named(status) not in ELSEWHERE:
            return read_answer(wire, status, payload, reply.proof)
        self.turn(wire, status, payload, reply.proof.zone)
        return await self.resolve(wire)

    def turn(self, wire: bytes, status: int, payload: object, zone: Zone) -> None:
        """A server of ``zone`` has said that others are to be asked: begin there, or with the zones above it. Raises
        :class:`~protocol.errors.Refused` where that leads nowhere."""
        top = zone.prefix == self._verifier.anchor.prefix
        if top and status == Status.NOT_RESPONSIBLE:
            raise refusal(status, payload)
        if self._iteration is None:
            self._iteration = Iteration(self._verifier, self._servers if top else (), StreamConnection.open)
        self._iteration.trust(zone)
        if not self.leads(wire):
            raise refusal(status, payload)

    async def _resolve(self, wire: bytes) -> tuple[Answer, Evidence]:
        if self._relaying:
            return await self._relay.resolve(wire)
        assert self._iteration is not None
        async with self._room:
            resolved = await self._iteration.resolve(wire, self._seconds)
        return resolved.answer, resolved.evidence
