"""Resolve identifiers, verified from an anchor or on trusted links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from protocol.answers import Answer, UnprovenAnswer, read_answer, read_unproven_answer
from protocol.errors import InvalidInput, MessageError, NotVerified, Refused, Rule, Unreachable
from protocol.exchange import Evidence, Reply, UnprovenReply, read_chain
from protocol.identifiers import normal_text
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_STALE_SECONDS, PROTOCOL_VERSION
from protocol.messages import NOT_A_READERS_DOOR, Ask, Op
from protocol.receipts import encode_receipt, verify_receipt
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor, Verifier
from resolver.client.connection import StreamConnection
from resolver.client.credentials import credential
from resolver.client.datagram import Question
from resolver.client.datagrams import Datagrams
from resolver.client.relaying import Relay, not_too_stale, read_steps
from resolver.client.resolving import BAD_REPLY, Resolving
from resolver.client.ways import ELSEWHERE, Traced, Ways

NO_AUTHORITY: Final = Rule(
    "client.no-authority",
    Status.UNKNOWN_OPERATION,
    "only the zone's own servers tell this of {identifier}; name one of them with --server",
    "只有区域自身的服务器才能给出 {identifier} 的此项内容，请用 --server 指定其中之一",
)
TOKEN_STAYS: Final = Rule(
    "client.token-stays",
    Status.NOT_PERMITTED,
    "{identifier} is answered by other servers than those that were named, and a token is shown to no others; name one "
    "of that zone with --server, or prove a key",
    "{identifier} 由其他服务器应答，而令牌只出示给指定的服务器；请用 --server 指定该区域的服务器，或改用密钥认证",
)
TRACE_IS_PUBLIC: Final = Rule(
    "client.trace-is-public",
    Status.BAD_REQUEST,
    "a trace shows how anybody is answered; leave key and token away",
    "追踪显示的是公开解析过程，请去掉密钥或令牌",
)


MAX_AUTHORITIES: Final = 64
"""Zones to whose own servers a client keeps connections; for further ones it connects each time."""


class Client(Resolving[Answer]):
    """Resolves and verifies every answer from ``anchor``.

    ``servers`` are tried in turn, and one that did not answer, or not what holds, is left alone for a while; each has
    up to ``connections`` connections, requests are pipelined on them. ``timeout`` is in seconds for one call (of a
    stream, for each of its requests), its up to ``retries`` repetitions included. ``tolerance_ms`` is how far a seal's
    time may be from this machine's clock. ``udp`` resolves single identifiers by datagram, and over TCP what does not
    fit or, after as many repetitions, is not answered.

    The servers may be of any zone at or below the anchor's: referrals are followed. They may be recursive nodes, which
    are not trusted: they relay the proof of what authorities said; not both kinds in one list. ``stale_seconds`` is how
    old, beyond its TTL, an answer may be that such a node marks as stale; with 0 none is taken.

    With a ``key`` or a ``token`` of an identity each connection begins with its proof, and answers have what that
    reader may read besides; where it cannot be given, or is not taken, that is an error, never a public answer. A key
    is proven to the servers of the zone that answers, wherever these are met; a token is shown to servers that were
    named alone, and only within this machine unless ``token_in_clear``. What a reader is answered goes over TCP, in
    clear.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = "127.0.0.1",
        *,
        anchor: TrustAnchor,
        connections: int = 1,
        timeout: float = 5.0,
        retries: int = 2,
        tolerance_ms: int = CLOCK_TOLERANCE_MS,
        udp: bool = False,
        stale_seconds: int = MAX_STALE_SECONDS,
        key: SigningKey | None = None,
        token: str | None = None,
        token_in_clear: bool = False,
    ) -> None:
        self._credential = credential(key, token, token_in_clear)
        self._key = key
        self._anybody: Client | None = None  # asks without the credential
        self._authorities: dict[tuple[str, ...], Client] = {}  # by their servers
        verifier = Verifier(anchor, tolerance_ms)
        super().__init__(servers, connections=connections, timeout=timeout, retries=retries, _verifier=verifier)
        self._anchor = anchor
        self._datagrams = Datagrams(self._servers, verifier) if udp and self._credential is None else None
        plain = UnverifiedClient(servers, connections=connections, timeout=timeout, retries=retries)
        self._stale_seconds = stale_seconds
        self._ways = Ways(self._servers, verifier, Relay(plain, verifier, stale_seconds), timeout)

    async def close(self) -> None:
        for one in (self._anybody, *self._authorities.values()):
            if one is not None:
                await one.close()
        self._authorities.clear()
        await self._ways.close()
        if self._datagrams is not None:
            self._datagrams.close()
        await super().close()

    async def resolve(self, identifier: str) -> Answer:
        """The verified answer for one identifier."""
        wire = normal_text(identifier)
        if self._credential is not None:
            said = await self._ask_authority(Op.RESOLVE, wire)
            return self._answer(wire, said.status, said.payload, said)
        if self._ways.leads(wire):
            return await self._ways.resolve(wire)
        try:
            if self._datagrams is None:
                reply = await self._ask(Op.RESOLVE, wire)
            else:
                reply = await self._ask_by_datagram(self._datagrams, wire)
        except NotVerified as error:
            await self._ways.relays(error)
            return await self._ways.resolve(wire)
        return await self._item(wire, reply.status, reply.payload, reply)

    async def trace(self, identifier: str) -> Traced:
        """The verified answer, and the steps that led to it, as anybody has it. Raises
        :class:`~protocol.errors.InvalidInput` where there is a credential."""
        if self._credential is not None:
            raise InvalidInput(TRACE_IS_PUBLIC)
        wire = normal_text(identifier)
        if not self._ways.leads(wire):
            try:
                hello = await self._ask(Op.HELLO, PROTOCOL_VERSION)
                match hello.payload:
                    case (_, _, b"recursive", *_):  # verified: the anchor is this node's own
                        steps = read_steps(self._require_ok(await self._ask(Op.TRACE, wire)).payload)
                        return Traced(await self.resolve(identifier), steps, True)
                reply = await self._ask(Op.RESOLVE, wire)
            except NotVerified as error:
                await self._ways.relays(error)
            else:
                if Status.named(reply.status) not in ELSEWHERE:
                    return Traced(self._answer(wire, reply.status, reply.payload, reply), [], False)
                assert isinstance(reply, Reply)
                self._ways.turn(wire, reply.status, reply.payload, reply.proof.zone)
        return await self._ways.trace(wire)

    async def receipt(self, identifier: str) -> tuple[Answer, bytes]:
        """The answer, and a receipt of it: proof for anybody who has the anchor, to keep and check offline."""
        wire = normal_text(identifier)
        if self._credential is not None and not await self._is_answered_here(wire):
            async with self._authority(wire) as authority:
                return await authority._receipt(wire)
        if self._ways.leads(wire):
            return await self._ways.receipt(wire)
        return await self._receipt(wire)

    async def _receipt(self, wire: bytes) -> tuple[Answer, bytes]:
        """The same from the servers that were named, as far as nobody knows better."""
        until = self._until()
        try:
            reply, chain = await self._ask_with_chain(Op.RESOLVE, wire, int(Ask.ALONE), until=until)
        except NotVerified as error:
            await self._ways.relays(error)
            return await self._ways.receipt(wire)
        if self._credential is None and Status.named(reply.status) in ELSEWHERE and isinstance(reply, Reply):
            self._ways.turn(wire, reply.status, reply.payload, reply.proof.zone)
            return await self._ways.receipt(wire)
        answer = self._answer(wire, reply.status, reply.payload, reply)
        evidence = reply.evidence if isinstance(reply, Reply) else None
        if chain is None:
            chain = read_chain((await self._ask(Op.CHAIN, until=until)).payload)
        if not isinstance(evidence, Evidence):
            raise MessageError(BAD_REPLY, operation="resolve alone")
        receipt = encode_receipt(*evidence, chain)
        try:
            verify_receipt(receipt, self._anchor)
        except NotVerified:  # keys were renewed since this connection was shown the chain
            chain = read_chain((await self._ask(Op.CHAIN, until=until)).payload)
            receipt = encode_receipt(*evidence, chain)
            verify_receipt(receipt, self._anchor)
        return answer, receipt

    async def _ask_authority(self, op: Op, wire: bytes, *arguments: object) -> UnprovenReply:
        """Ask the servers that were named, and where these are not the zone's own, those of the zone."""
        reply = await self._ask_here(op, wire, *arguments)
        if reply is not None:
            return _spoken_for(reply, wire)
        async with self._authority(wire) as authority:
            return _spoken_for(await authority._ask(op, wire, *arguments), wire)

    async def _ask_here(self, op: Op, wire: bytes, *arguments: object) -> UnprovenReply | None:
        """What the servers that were named say; None where it is for others to say."""
        if self._ways.leads(wire):
            return None
        try:
            reply = await self._ask(op, wire, *arguments)
        except NotVerified as error:
            await self._ways.relays(error)
            return None
        except Refused as error:
            if error.rule is not NOT_A_READERS_DOOR:
                raise
            return None
        return None if Status.named(reply.status) in (*ELSEWHERE, Status.UNKNOWN_OPERATION) else reply

    async def _is_answered_here(self, wire: bytes) -> bool:
        return await self._ask_here(Op.RESOLVE, wire) is not None

    @asynccontextmanager
    async def _authority(self, wire: bytes) -> AsyncIterator[Client]:
        """A client of the servers of the zone that answers for an identifier. Raises :class:`Refused` where they cannot
        be asked so."""
        found = await self._as_anybody(wire)
        servers = found.proof.zone.servers
        if not servers:
            raise Refused(NO_AUTHORITY, NO_AUTHORITY.status, identifier=found.identifier)
        if self._credential is not None and not self._credential.travels:
            raise Refused(TOKEN_STAYS, TOKEN_STAYS.status, identifier=found.identifier)
        names = tuple(map(str, servers))
        authority = self._authorities.get(names)
        if authority is None:
            authority = self._like(names, self._key)
            if len(self._authorities) < MAX_AUTHORITIES:
                self._authorities[names] = authority
        try:
            yield authority
        finally:
            if self._authorities.get(names) is not authority:
                await authority.close()

    async def _as_anybody(self, wire: bytes) -> Answer:
        """The public answer."""
        if self._credential is None:
            return await self.resolve(wire.decode())
        if self._anybody is None:
            self._anybody = self._like(list(map(str, self._servers)), None)
        return await self._anybody.resolve(wire.decode())

    def _like(self, servers: Sequence[str], key: SigningKey | None) -> Client:
        """A client as patient as this one."""
        return Client(servers, anchor=self._anchor, timeout=self._timeout, retries=self._retries, key=key)

    async def _introduce(self, connection: StreamConnection) -> None:
        if self._credential is not None:
            await self._credential.prove(connection)

    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> Answer:
        assert isinstance(reply, Reply)
        return not_too_stale(read_answer(identifier, status, payload, reply.proof), self._stale_seconds)

    async def _item(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> Answer:
        if Status.named(status) in ELSEWHERE and isinstance(reply, Reply):
            if self._credential is not None:
                return await self.resolve(identifier.decode())
            return await self._ways.follow(identifier, status, payload, reply)
        return await super()._item(identifier, status, payload, reply)

    async def _resolve_batch(self, identifiers: Sequence[str]) -> list[Answer]:
        wires = [normal_text(identifier) for identifier in identifiers]
        if not all(map(self._ways.leads, wires)):
            try:
                return await super()._resolve_batch(identifiers)
            except NotVerified as error:
                await self._ways.relays(error)
            except Refused as error:
                if error.rule is not NOT_A_READERS_DOOR:
                    raise
        one = self._ways.resolve if self._credential is None else self._resolve_as_reader
        asking = [asyncio.create_task(one(wire)) for wire in wires]
        try:
            return [await each for each in asking]
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _resolve_as_reader(self, wire: bytes) -> Answer:
        return await self.resolve(wire.decode())

    async def _ask_by_datagram(self, datagrams: Datagrams, identifier: bytes) -> UnprovenReply:
        """Ask over UDP, and over TCP what does not fit or is not answered, all within the time of one call."""
        until = self._until()
        question = Question(identifier)
        try:
            reply = await datagrams.ask(question, self._retries, self._timeout)
            if reply is None:
                try:
                    reply = await self._ask(Op.RESOLVE, identifier, until=until)
                    datagrams.tcp_answered(question)
                except Unreachable:
                    if not isinstance(question.reply, Reply):
                        raise
                    reply = question.reply  # the true answer has come after all
            return reply
        finally:
            question.close()


def _spoken_for(reply: UnprovenReply, identifier: bytes) -> UnprovenReply:
    """The reply, where its zone may speak for an identifier. Raises :class:`NotVerified`."""
    assert isinstance(reply, Reply)
    text = identifier.decode()
    reply.proof.speaks_for(text.partition("/")[0], text)
    return reply


class UnverifiedClient(Resolving[UnprovenAnswer]):
    """Resolves on connections without seals, where a node allows them: for links that are protected otherwise.
    Its answers prove nothing and are of a type of their own."""

    def __init__(
        self,
        servers: str | Sequence[str] = "127.0.0.1",
        *,
        connections: int = 1,
        timeout: float = 5.0,
        retries: int = 2,
    ) -> None:
        super().__init__(servers, connections=connections, timeout=timeout, retries=retries, _verifier=None)

    async def request(self, op: Op, *arguments: object) -> UnprovenReply:
        """Any request, and its reply."""
        return await self._ask(op, *arguments)

    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> UnprovenAnswer:
        return read_unproven_answer(identifier, status, payload)
