"""Asking one or several servers: connections, time-outs, repetitions, streams of identifiers in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from protocol.address import Address, parse_address
from protocol.answers import UnprovenAnswer
from protocol.errors import (
    BiaoshiError,
    IdentifierError,
    MessageError,
    NotVerified,
    Refused,
    Rule,
    Unreachable,
    Unresolved,
)
from protocol.exchange import UnprovenReply
from protocol.identifiers import normal_prefix_text, normal_text
from protocol.limits import MAX_LIST
from protocol.messages import Op, refusal
from protocol.records import Record, decode_body
from protocol.status import Status
from protocol.trust import Chain, Verifier
from registry.store import feed, history, templates  # noqa: F401  whose rules say what went wrong at a node
from resolver.client.connection import StreamConnection
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

REST_S: Final = 3.0
"""Seconds for which a server that failed is not asked where there is another: every call would wait for it first."""

AnyAnswer = TypeVar("AnyAnswer", bound=UnprovenAnswer)


class Unanswered(NamedTuple):
    """An identifier of a stream for which there is no answer, and why: it breaks a rule, or is nobody's to answer."""

    identifier: str
    error: BiaoshiError


def concerns_identifier(error: BiaoshiError) -> bool:
    """Whether others may well be answered where one has met with this error."""
    if isinstance(error, Refused):
        return error.status in (Status.NOT_RESPONSIBLE, Status.REFERRAL, Status.UNRESOLVED)
    return isinstance(error, IdentifierError | Unresolved)


class Resolving(ABC, Generic[AnyAnswer]):
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
        self._resting: dict[Address, float] = {}

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
        """The answers for any number of identifiers, in order, in bounded memory. The first that has none ends it with
        its error."""
        async with contextlib.aclosing(_stream(identifiers, self._resolve_batch)) as answers:
            async for answer in answers:
                yield answer

    async def resolve_each(
        self, identifiers: Iterable[str] | AsyncIterable[str]
    ) -> AsyncGenerator[AnyAnswer | Unanswered, None]:
        """The same for identifiers of which some may be unusable: these come as :class:`Unanswered`, in their place.
        Raises :class:`~protocol.errors.BiaoshiError` for what concerns all of them."""
        async with contextlib.aclosing(_stream(identifiers, self._resolve_what_can_be)) as results:
            async for result in results:
                yield result

    async def resolve_one(self, identifier: str) -> AnyAnswer | Unanswered:
        """What :meth:`resolve_each` gives for one."""
        try:
            return await self.resolve(identifier)
        except (IdentifierError, Refused, Unresolved) as error:
            if not concerns_identifier(error):
                raise
            return Unanswered(identifier, error)

    async def resolve_as_of(self, identifier: str, at: int) -> AnyAnswer:
        """What the answer was at a time, in seconds since 1970. Raises :class:`~protocol.errors.Refused` (FORGOTTEN)
        where that is not kept any more."""
        wire = normal_text(identifier)
        reply = await self._ask_authority(Op.AS_OF, wire, at)
        return self._answer(wire, reply.status, reply.payload, reply)

    async def history(self, identifier: str) -> AsyncGenerator[Record, None]:
        """The versions of a record that are kept, the newest first, without what this reader may not see."""
        wire = normal_text(identifier)
        before: int | None = None
        while True:
            reply = self._require_ok(await self._ask_authority(Op.HISTORY, wire, before, MAX_LIST))
            match reply.payload:
                case (tuple(bodies), bool(more)) if all(type(body) is bytes for body in bodies) and (
                    bodies or not more
                ):
                    records = list(map(decode_body, bodies))
                case _:
                    raise MessageError(BAD_REPLY, operation="history")
            for record in records:
                if before is not None and record.version >= before:
                    raise MessageError(BAD_REPLY, operation="history")
                before = record.version
                yield record
            if not more:
                return

    async def list_page(
        self, prefix: str, cursor: bytes | None = None, limit: int = MAX_LIST
    ) -> tuple[list[str], bytes | None]:
        """A page of the identifiers registered below a prefix, and the cursor of the next page (None at the end). A
        series comes as one entry, its pattern (``protocol.series``)."""
        reply = self._require_ok(await self._ask(Op.LIST, normal_prefix_text(prefix), cursor, limit))
        match reply.payload:
            case (tuple(items), (None | bytes()) as next_cursor):
                return [_name(item) for item in items], next_cursor
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

    @abstractmethod
    def _answer(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> AnyAnswer:
        """What was answered, of one identifier."""

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
                case (int(status), payload):
                    answers.append(await self._item(wire, status, payload, reply))
                case _:
                    raise MessageError(BAD_REPLY, operation="resolve-many")
        return answers

    async def _resolve_what_can_be(self, identifiers: Sequence[str]) -> list[AnyAnswer | Unanswered]:
        """A batch; where one of it is at fault, each is asked for by itself."""
        try:
            return list(await self._resolve_batch(identifiers))
        except (IdentifierError, Refused, Unresolved) as error:
            if not concerns_identifier(error):
                raise
        asking = [asyncio.create_task(self.resolve_one(identifier)) for identifier in identifiers]
        try:
            return [await one for one in asking]
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _item(self, identifier: bytes, status: int, payload: object, reply: UnprovenReply) -> AnyAnswer:
        """The answer for an item of a resolve-many that has no body."""
        if status == Status.TRUNCATED:
            return await self.resolve(identifier.decode())
        return self._answer(identifier, status, payload, reply)

    def _until(self) -> float:
        """When the time of a call that begins now is over, by the loop's clock."""
        return asyncio.get_running_loop().time() + self._timeout

    async def _ask_authority(self, op: Op, wire: bytes, *arguments: object) -> UnprovenReply:
        """Ask what only an authoritative server answers."""
        return await self._ask(op, wire, *arguments)

    async def _ask(self, op: Op, *arguments: object, until: float | None = None) -> UnprovenReply:
        reply, _ = await self._ask_with_chain(op, *arguments, until=until)
        return reply

    async def _ask_with_chain(
        self, op: Op, *arguments: object, until: float | None = None
    ) -> tuple[UnprovenReply, Chain | None]:
        """Ask until somebody answers, or until the time of the call is over where this is a part of one. What is left
        is divided among the attempts that are left, so that a server which hangs leaves some for the next. One whose
        answer does not hold is passed over, and told of where no other has answered. Raises
        :class:`BiaoshiError`."""
        loop = asyncio.get_running_loop()
        until = self._until() if until is None else until
        failure: Unreachable | Refused | None = None
        lies: dict[Address, NotVerified | MessageError] = {}
        for attempt in range(self._retries + 1):
            patience = (until - loop.time()) / (self._retries + 1 - attempt)
            server = self._next_server(loop.time())
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
                self._resting[server] = loop.time() + REST_S
                continue
            except (NotVerified, MessageError) as error:
                lies[server] = error
                if len(lies) == len(self._open):
                    raise
                self._resting[server] = loop.time() + REST_S
                continue
            except Unreachable as error:
                failure = error
                self._resting[server] = loop.time() + REST_S
                continue
            self._resting.pop(server, None)
            if Status.named(reply.status) not in BUSY:
                return reply, connection.chain
            failure = refusal(reply.status, reply.payload)
        for lie in lies.values():
            raise lie
        assert failure is not None
        raise failure

    def _next_server(self, now: float) -> Address:
        """The server whose turn it is; one that failed is passed over while it rests, if there is another."""
        for _ in self._servers:
            server = self._servers[self._turn % len(self._servers)]
            self._turn += 1
            rests_until = self._resting.get(server)
            if rests_until is None:
                return server
            if rests_until <= now:
                self._resting[server] = now + REST_S  # one call finds out whether it is back
                return server
        self._turn += 1  # all rest: each in its turn all the same
        return self._servers[self._turn % len(self._servers)]

    async def _connection(self, server: Address) -> StreamConnection:
        """The least busy usable connection to a server, opened where there are not enough."""
        async with self._opening[server]:
            connections = self._open[server] = [one for one in self._open[server] if one.usable]
            idle = min(connections, key=lambda connection: connection.load, default=None)
            if idle is not None and (not idle.load or len(connections) >= self._connections_each):
                return idle
            connection = await StreamConnection.open(server, self._verifier)
            try:
                await self._introduce(connection)
            except BaseException:
                connection.close()
                raise
            connections.append(connection)
            return connection

    async def _introduce(self, connection: StreamConnection) -> None:
        """Say who asks, where that is to be said."""

    @staticmethod
    def _require_ok(reply: UnprovenReply) -> UnprovenReply:
        if reply.status != Status.OK:
            raise refusal(reply.status, reply.payload)
        return reply


def _name(item: object) -> str:
    """An identifier, or the pattern of a series, in a list."""
    match item:
        case bytes(name) | (bytes(name), int()):
            return name.decode()
    raise MessageError(BAD_REPLY, operation="list")


Result = TypeVar("Result")


async def _stream(
    identifiers: Iterable[str] | AsyncIterable[str],
    resolve: Callable[[Sequence[str]], Coroutine[Any, Any, list[Result]]],
) -> AsyncGenerator[Result, None]:
    """What ``resolve`` gives for each batch, in order, several batches at once."""
    pending: deque[asyncio.Task[list[Result]]] = deque()
    try:
        async for batch in _batches(identifiers, MANY_AT_ONCE):
            pending.append(asyncio.create_task(resolve(batch)))
            if len(pending) >= WINDOW:
                for result in await pending.popleft():
                    yield result
        while pending:
            for result in await pending.popleft():
                yield result
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)  # what failed with the first is not told again


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
