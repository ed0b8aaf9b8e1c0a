"""A resolver's parts in one process, on loopback: a zone, a store with records, the doors, a plain client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final

import uvloop

from config.process import bind
from protocol.answers import Answer, read_answer
from protocol.exchange import Exchange, Reply
from protocol.messages import Op
from protocol.node import NodeFacts
from protocol.records import DEFAULT_PERMISSIONS, Permission, Value, encode_values
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import OnlineKey
from protocol.trust import Chain, TrustAnchor, Verifier
from protocol.turn import Turn
from registry.store.memory import MemoryStore
from registry.store.writes import ANY, Write
from resolver.answering import Answerer
from resolver.readers import Readers
from resolver.tcp import Connections
from resolver.udp import DatagramDoor

ZONE: Final = "88.118"
ADMIN_ONLY: Final = DEFAULT_PERMISSIONS & ~Permission.PUBLIC_READ
NOW: Final = 1_700_000_000

LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(main: Coroutine[Any, Any, None], loop: str = "asyncio", seconds: float = 30.0) -> None:
    """Run a coroutine on one of the loops. What a callback raises makes the test fail."""
    unexpected: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unexpected.append(context))
        async with asyncio.timeout(seconds):
            await main

    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(watched())
    except BaseException as error:
        for one in unexpected:  # what failed in a callback may be why this failed
            error.add_note(f"in a callback: {one.get('message')}: {one.get('exception')!r}")
        raise
    # A connection cut while its handler ran tells asyncio of its own cancellation: that is no fault.
    assert not [one for one in unexpected if not isinstance(one.get("exception"), asyncio.CancelledError)]


class ZoneKeys:
    """The keys of a zone: one that signs statements, one that seals."""

    def __init__(self, zone: str = ZONE, seed: int = 1, node: str = "node-1") -> None:
        self.zone = zone
        self.key = SigningKey(bytes([seed]) * 32)
        self.anchor = TrustAnchor(zone, self.key.public)
        self.renew(seed + 100, node)

    def renew(self, seed: int, node: str = "node-1") -> None:
        """Take another online key."""
        self.online = SigningKey(bytes([seed]) * 32)
        now = int(time.time())
        claim = OnlineKey(self.zone, node, self.online.public, now - 3_600, now + 3_600)
        self.chain = Chain((), (claim.sign(self.key),))


def name(number: int) -> str:
    """An identifier that the filled store has."""
    return f"{ZONE}.{number % 3}/P{number:06d}"


def url(number: int) -> str:
    """The URL it has there."""
    return f"https://example.com/{number}"


def put(store: MemoryStore, identifier: str, *values: Value) -> None:
    """Register a record."""
    [outcome] = store.apply([Write(identifier.encode(), ANY, encode_values(values))], NOW)
    assert outcome.changed


def filled(count: int = 1_000, size: int = 0) -> MemoryStore:
    """A store with records; ``size`` is of a second value, in bytes."""
    store = MemoryStore()
    more = [Value(2, "TEXT", b"x" * size)] if size else []
    writes = [
        Write(name(i).encode(), ANY, encode_values([Value(1, "URL", url(i).encode()), *more])) for i in range(count)
    ]
    store.apply(writes, NOW)
    return store


def bind_both(host: str, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """Sockets for TCP and UDP on one port, one that is free for both where it is 0."""
    while True:
        stream = bind(host, port, socket.SOCK_STREAM)
        try:
            return stream, bind(host, stream.getsockname()[1], socket.SOCK_DGRAM)
        except OSError:
            stream.close()
            if port:
                raise


class Server:
    """What a worker process serves, within this one."""

    def __init__(
        self,
        store: MemoryStore,
        keys: ZoneKeys,
        *,
        unsealed: bool = False,
        role: str = "secondary",
        listing: bool = True,
        host: str = "127.0.0.1",
        writers: Mapping[PublicKey, list[str]] | None = None,
        tokens_in_clear: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.host = host
        self.keys = keys
        self.turns = 0
        self.clock_ms = 0
        self.facts = NodeFacts(role, keys.zone, "biaoshi/1", keys.chain, listing)
        self.answerer = Answerer(store, self.facts)
        self.turn = Turn(keys.online, loop.call_soon, self._now_ms, self._count_turn)
        self.readers = Readers(store, self.facts, writers or {}, [keys.key.public], tokens_in_clear=tokens_in_clear)
        self.connections = Connections(
            self.answerer, self.turn, loop, unsealed=unsealed, readers=self.readers, clock=clock
        )
        self.store = store
        self.accepted = 0
        self.port = 0

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_ms

    def _count_turn(self) -> None:
        self.turns += 1

    def _accept(self) -> asyncio.Protocol:
        self.accepted += 1
        return self.connections.accept()

    async def start(self, port: int = 0) -> None:
        """Listen on TCP and UDP."""
        loop = asyncio.get_running_loop()
        stream, self._datagrams = bind_both(self.host, port)
        self.port = stream.getsockname()[1]
        self._server = await loop.create_server(self._accept, sock=stream)
        self.door = DatagramDoor(self._datagrams, self.answerer, self.keys.online, self.store.rest)
        loop.add_reader(self._datagrams.fileno(), self.door.on_readable)

    async def stop(self) -> None:
        """Stop as a worker does."""
        self._server.close()
        asyncio.get_running_loop().remove_reader(self._datagrams.fileno())
        self._datagrams.close()
        self.connections.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.connections.empty.wait()
        for connection in list(self.connections.open):
            connection.abort()
        await self.connections.empty.wait()

    @property
    def address(self) -> str:
        """``host:port``, TCP and UDP."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def serving(
    store: MemoryStore | None = None, keys: ZoneKeys | None = None, **options: Any
) -> AsyncIterator[Server]:
    """A running server."""
    server = Server(store if store is not None else filled(), keys or ZoneKeys(), **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Peer:
    """A client that sends what it is told and verifies what comes."""

    def __init__(self, server: Server, *, sealed: bool = True, first_rid: int = 7) -> None:
        self.server = server
        self.exchange = Exchange(Verifier(server.keys.anchor) if sealed else None, first_rid)
        self.received = b""

    async def __aenter__(self) -> Peer:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        if self.exchange._verifier is not None:
            self.exchange._verifier.learn(self.server.keys.chain, self._now())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    @staticmethod
    def _now() -> int:
        return time.time_ns() // 1_000_000

    def resolve(self, identifier: str, *more: object) -> bytes:
        """The bytes of a resolve."""
        return self.exchange.ask(Op.RESOLVE, identifier.encode(), *more)[1]

    async def take(self, count: int) -> list[Reply]:
        """The next verified replies."""
        replies: list[Reply] = []
        while len(replies) < count:
            data = await self.reader.read(65_536)
            assert data, f"closed after {len(replies)} of {count} replies"
            self.received += data
            for reply in self.exchange.receive(data, self._now()):
                assert isinstance(reply, Reply)
                replies.append(reply)
        return replies

    async def ask(self, op: Op, *arguments: object) -> Reply:
        """One request and its reply."""
        self.writer.write(self.exchange.ask(op, *arguments)[1])
        [reply] = await self.take(1)
        return reply

    async def answer(self, identifier: str) -> Answer:
        """One identifier resolved."""
        reply = await self.ask(Op.RESOLVE, identifier.encode())
        return read_answer(identifier.encode(), reply.status, reply.payload, reply.proof)
