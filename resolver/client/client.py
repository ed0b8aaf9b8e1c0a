"""Resolve identifiers through one or several servers of a zone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Final, Generic, Self, TypeVar

from protocol.address import Address, parse_address
from protocol.answers import Answer, UnprovenAnswer, read_answer, read_unproven_answer
from protocol.errors import MessageError, NotVerified, Refused, Rule, Unreachable
from protocol.exchange import Evidence, Reply, UnprovenReply, read_chain
from protocol.identifiers import normal_prefix_text, normal_text
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_LIST
from protocol.messages import Ask, Op, refusal
from protocol.receipts import encode_receipt, verify_receipt
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor, Verifier
from resolver.client.connection import StreamConnection
from resolver.client.datagram import Question
from resolver.client.datagrams import Datagrams
from resolver.client.pace import BUSY, pause

TIMED_OUT: Final = Rule(
    "client.timed-out",
    Status.UNREACHABLE,
    "no answer from {server} within {seconds} s",
    "{server} 在 {seconds} 秒内没有应答",
)
BAD_REPLY: Final = Rule(
    "client.bad-reply",
    Status.BAD_REQUEST,
    "the reply to {operation} has another shape than agreed",
    "对 {operation} 的应答格式与约定不符",
)

MANY_AT_ONCE: Final = 200
"""Identifiers in one resolve-many of a stream: large enough that the seal costs nothing, small enough that the
first answers come soon."""

WINDOW: Final = 8
"""Such requests that wait for their answers at one time: bounds the memory of a stream of any length."""

AnyAnswer = TypeVar("AnyAnswer", bound=UnprovenAnswer)


class _Resolving(Generic[AnyAnswer]):
    """Servers, connections, time-outs and repetitions; what an answer is, the subclasses say."""

    def __init__(
        self,
        servers: str | Sequence[str] = "127.0.0.1",
        *,
        connections: int = 1,
        timeout: float = 5.0,
        retries: int = 2,
        _verifier: Verifier | None,
    ) -> None:
        names = [servers] if isinstance(servers, str) else list(servers)
        self._servers: list[Address] = [parse_address(name) for name in names]
        self._connections_each = connections
        self._timeout = timeout
        self._retries = retries
        self._verifier = _verifier
        self._open: dict[Address, list[StreamConnection]] = {server: [] for server in self._servers}
        self._opening = {server: asyncio.Lock() for server in self._servers}
        self._turn = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for connections in self._open.values():
            for connection in connections:
                connection.close()
            connections.clear()

    # What one asks --------------------------------------------------------------------------------

    async def resolve(self, identifier: str) -> AnyAnswer:
        """The answer for one identifier: registered, withdrawn or absent. Raises
        :class:`~protocol.errors.BiaoshiError` for everything else."""
        wire = normal_text(identifier)
        reply = await self._ask(Op.RESOLVE, wire)
        return self._answer(wire, reply.status, reply.payload, reply)

    async def resolve_many(self, identifiers: Iterable[str] | AsyncIterable[str]) -> AsyncGenerator[AnyAnswer, None]:
        """The answers for any number of identifiers, in order, in bounded memory."""
        pending: deque[asyncio.Task[list[AnyAnswer]]] = deque()
        try:
            async for batch in _batches(identifiers, MANY_AT_ONCE):
                pending.append(asyncio.create_task(self._resolve_batch(batch)))
                if len(pending) >= WINDOW:
                    for answer in await pending.popleft():
                        yield answer
            while pending:
                for answer in await pending.popleft():
                    yield answer
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)  # what failed with the first is not told again

    async def list_page(
        self, prefix: str, cursor: bytes | None = None, limit: int = MAX_LIST
    ) -> tuple[list[str], bytes | None]:
        """A page of the identifiers registered below a prefix, and the cursor of the next page (None at the end)."""
        reply = self._require_ok(await self._ask(Op.LIST, normal_prefix_text(prefix), cursor, limit))
        match reply.payload:
            case (tuple(names), (None | bytes()) as next_cursor) if all(type(name) is bytes for name in names):
                return [name.decode() for name in names], next_cursor
        raise MessageError(BAD_REPLY, operation="list")

    async def ask(self, op: Op) -> object:
        """The payload of an operation without arguments."""
        return self._require_ok(await self._ask(op)).payload

    async def ping(self) -> None:
        """Return when the node has answered."""
        self._require_ok(await self._ask(Op.PING))

    async def status(self) -> dict[str, str | int]:
        """What the node says of itself: role, zone, registered, prefixes, changes, store_bytes, uptime_s, …"""
        reply = self._require_ok(await self._ask(Op.STATUS))
        if not isinstance(reply.payload, dict):
            raise MessageError(BAD_REPLY, operation="status")
        return {
            key.decode(): value.decode() if isinstance(value, bytes) else value for key, value in reply.payload.items()
        }

    # How it is asked ------------------------------------------------------------------------------

    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> AnyAnswer:
        raise NotImplementedError

    async def _resolve_batch(self, identifiers: Sequence[str]) -> list[AnyAnswer]:
        wires = [normal_text(identifier) for identifier in identifiers]
        reply = self._require_ok(await self._ask(Op.RESOLVE_MANY, wires))
        items = reply.payload
        if not isinstance(items, tuple) or len(items) != len(wires):
            raise MessageError(BAD_REPLY, operation="resolve-many")
        answers: list[AnyAnswer] = []
        for wire, item in zip(wires, items, strict=True):
            match item:
                case bytes():
                    answers.append(self._answer(wire, Status.OK, item, reply))
                case (Status.TRUNCATED, _):
                    answers.append(await self.resolve(wire.decode()))
                case (int(status), payload):
                    answers.append(self._answer(wire, status, payload, reply))
                case _:
                    raise MessageError(BAD_REPLY, operation="resolve-many")
        return answers

    def _until(self) -> float:
        """When the time of a call that begins now is over, by the loop's clock."""
        return asyncio.get_running_loop().time() + self._timeout

    async def _ask(self, op: Op, *arguments: object, until: float | None = None) -> UnprovenReply:
        reply, _ = await self._ask_with_chain(op, *arguments, until=until)
        return reply

    async def _ask_with_chain(
        self, op: Op, *arguments: object, until: float | None = None
    ) -> tuple[UnprovenReply, Chain | None]:
        """Ask until somebody answers, or until the time of the call is over where this is a part of one. What is left
        is divided among the attempts that are left, so that a server which hangs leaves some for the next."""
        loop = asyncio.get_running_loop()
        until = self._until() if until is None else until
        failure: Unreachable | Refused | None = None
        for attempt in range(self._retries + 1):
            patience = (until - loop.time()) / (self._retries + 1 - attempt)
            server = self._servers[self._turn % len(self._servers)]
            self._turn += 1
            connection: StreamConnection | None = None
            try:
                async with asyncio.timeout(patience):
                    if attempt:
                        await asyncio.sleep(min(pause(attempt - 1), patience / 2))
                    connection = await self._connection(server)
                    reply = await connection.ask(op, *arguments)
            except TimeoutError:
                failure = Unreachable(TIMED_OUT, server=str(server), seconds=self._timeout)
                if connection is not None:
                    connection.close()  # it hangs: whatever else waits for it is better asked anew
                continue
            except Unreachable as error:
                failure = error
                continue
            if Status.named(reply.status) not in BUSY:
                return reply, connection.chain
            failure = refusal(reply.status, reply.payload)
        assert failure is not None
        raise failure

    async def _connection(self, server: Address) -> StreamConnection:
        """The least busy usable connection to a server, opened where there are not enough."""
        async with self._opening[server]:
            connections = self._open[server] = [one for one in self._open[server] if one.usable]
            idle = min(connections, key=lambda connection: connection.load, default=None)
            if idle is not None and (not idle.load or len(connections) >= self._connections_each):
                return idle
            connection = await StreamConnection.open(server, self._verifier)
            connections.append(connection)
            return connection

    @staticmethod
    def _require_ok(reply: UnprovenReply) -> UnprovenReply:
        if reply.status != Status.OK:
            raise refusal(reply.status, reply.payload)
        return reply


class Client(_Resolving[Answer]):
    """Resolves and verifies every answer from ``anchor``.

    ``servers`` are tried in turn; each has up to ``connections`` connections, requests are pipelined on them.
    ``timeout`` is in seconds for one call (of a stream, for each of its requests), its up to ``retries`` repetitions
    included. ``tolerance_ms`` is how far a seal's time may be from this machine's clock. ``udp`` resolves single
    identifiers by datagram, and over TCP what does not fit or, after as many repetitions, is not answered.
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
    ) -> None:
        self._anchor = anchor
        verifier = Verifier(anchor, tolerance_ms)
        super().__init__(servers, connections=connections, timeout=timeout, retries=retries, _verifier=verifier)
        self._datagrams = Datagrams(self._servers, verifier) if udp else None

    async def close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        await super().close()

    async def resolve(self, identifier: str) -> Answer:
        """The verified answer for one identifier."""
        if self._datagrams is None:
            return await super().resolve(identifier)
        wire = normal_text(identifier)
        reply = await self._ask_by_datagram(self._datagrams, wire)
        return self._answer(wire, reply.status, reply.payload, reply)

    async def receipt(self, identifier: str) -> tuple[Answer, bytes]:
        """The answer, and a receipt of it: proof for anybody who has the anchor, to keep and check offline."""
        wire = normal_text(identifier)
        until = self._until()
        reply, chain = await self._ask_with_chain(Op.RESOLVE, wire, int(Ask.ALONE), until=until)
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

    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> Answer:
        assert isinstance(reply, Reply)
        return read_answer(identifier, status, payload, reply.proof)

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


class UnverifiedClient(_Resolving[UnprovenAnswer]):
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

    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> UnprovenAnswer:
        return read_unproven_answer(identifier, status, payload)


async def _batches(items: Iterable[str] | AsyncIterable[str], size: int) -> AsyncIterator[Sequence[str]]:
    batch: list[str] = []
    if isinstance(items, AsyncIterable):
        async for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    else:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch
