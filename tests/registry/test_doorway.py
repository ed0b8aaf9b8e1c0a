"""The registry's door on both event loops: strangers who hold connections keep no writer out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator

import pytest

import registry.doorway
from config.process import bind
from protocol.framing import MessageStream
from protocol.messages import Op, Response, encode_request, read_response
from protocol.seals import is_seal
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.turn import Sink, Turn
from registry.committer import Committer
from registry.doorway import STRANGER_SECONDS, Doorway
from registry.followers import Followers
from registry.putback import PutBack
from registry.rights import challenge_bytes
from registry.session import Session
from registry.store.memory import MemoryStore
from tests.registry.store.builders import values
from tests.registry.test_session import FACTS, OWNER, RIGHTS, ZONE
from tests.resolver.servers import LOOPS, run

BOTH = pytest.mark.parametrize("loop", LOOPS)
MOST = 5


class Peer:
    """A connection that verifies nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._stream = MessageStream()
        self._taken: deque[object] = deque()

    async def ask(self, op: Op, *arguments: object) -> Response:
        """One request and its response, or the last word."""
        self.writer.write(encode_request(op, 7, *arguments))
        return await self.next()

    async def next(self) -> Response:
        """The next response."""
        while True:
            self._taken += (message for message, _ in self._stream.take_each())
            while self._taken:
                message = self._taken.popleft()
                if not is_seal(message):
                    return read_response(message)
            data = await self.reader.read(65_536)
            assert data, "closed"
            self._stream.feed(data)

    async def prove(self) -> None:
        """Prove the owner's key."""
        nonce = (await self.ask(Op.AUTHENTICATE, 1, OWNER.public.raw)).payload
        assert isinstance(nonce, bytes)
        assert (await self.ask(Op.PROVE, OWNER.sign(challenge_bytes(ZONE, nonce)))).status == Status.OK

    async def is_open(self) -> bool:
        """Whether it is answered."""
        try:
            return (await self.ask(Op.PING)).status == Status.OK
        except (AssertionError, OSError):
            return False


class Door:
    """A doorway on loopback."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        store = MemoryStore()
        turn = Turn(SigningKey(bytes(32)), self.loop.call_soon, lambda: 1, store.rest)
        self.committer = Committer(store, self.loop.call_soon_threadsafe, lambda: 50)
        self.doorway = Doorway(
            turn, store, self.committer.submit, lambda: Session(store, FACTS, RIGHTS, dict), Followers({}), PutBack(),
            self.loop,
        )  # fmt: skip
        self.peers: list[Peer] = []

    async def open(self, count: int = 1) -> list[Peer]:
        """More connections."""
        new = [Peer(*await asyncio.open_connection("127.0.0.1", self.port)) for _ in range(count)]
        self.peers += new
        await asyncio.sleep(0.05)
        return new

    def pass_time(self, seconds: float) -> None:
        """As if what was heard had been heard longer ago."""
        for connection in self.doorway.open:
            connection.heard -= seconds

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Door]:
        """Listen until the end of the block."""
        sock = bind("127.0.0.1", 0, socket.SOCK_STREAM)
        self.port = sock.getsockname()[1]
        server = await self.loop.create_server(self.doorway.accept, sock=sock)
        try:
            yield self
        finally:
            server.close()
            for connection in list(self.doorway.open):
                connection.abort()
            for peer in self.peers:
                peer.writer.close()
            await self.doorway.empty.wait()
            await asyncio.to_thread(self.committer.stop)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.doorway, "MAX_CONNECTIONS", MOST)


@BOTH
def test_a_writer_gets_in_where_strangers_hold_all_connections(loop: str) -> None:
    async def main() -> None:
        async with Door().serving() as door:
            strangers = await door.open(MOST)
            door.pass_time(1.0)
            assert all([await stranger.is_open() for stranger in strangers[1:]])
            [writer] = await door.open()
            await writer.prove()
            write = (f"{ZONE}/x".encode(), None, values("v"))
            assert (await writer.ask(Op.WRITE, [write])).payload == ((0, 1, True),)
            assert not await strangers[0].is_open()  # it had been silent for longest
            assert all([await stranger.is_open() for stranger in strangers[1:]])
            assert len(door.doorway.open) == MOST

    run(main(), loop)


@BOTH
def test_where_all_are_writers_one_more_is_refused(loop: str) -> None:
    async def main() -> None:
        async with Door().serving() as door:
            writers = await door.open(MOST)
            for writer in writers:
                await writer.prove()
            [late] = await door.open()
            assert await late.ask(Op.PING) == (0, Status.OVERLOADED, None)
            assert all([await writer.is_open() for writer in writers])

    run(main(), loop)


@BOTH
def test_silent_strangers_are_swept_and_writers_stay(loop: str) -> None:
    async def main() -> None:
        async with Door().serving() as door:
            silent, slow, busy, writer = await door.open(4)
            await writer.prove()
            door.pass_time(STRANGER_SECONDS + 1)
            slow.writer.write(encode_request(Op.PING, 1)[:5])  # never a whole request
            await slow.writer.drain()
            assert await busy.is_open()
            await asyncio.sleep(0.05)
            door.doorway.sweep()
            assert [await peer.is_open() for peer in (silent, slow, busy, writer)] == [False, False, True, True]

    run(main(), loop)


@BOTH
def test_who_asks_much_at_once_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(registry.doorway, "TURN_SECONDS", 0.0)  # one request in a turn
    many = 3_000

    async def main() -> None:
        async with Door().serving() as door:
            greedy, other = await door.open(2)
            greedy.writer.write(encode_request(Op.CHAIN, 8) * many)
            await greedy.writer.drain()
            assert await other.is_open()
            assert len(door.doorway.shares) == 1  # what the greedy one has asked is not all answered yet
            assert [(await greedy.next()).status for _ in range(many)] == [Status.OK] * many

    run(main(), loop)


@BOTH
def test_answers_of_one_turn_are_bounded(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(registry.doorway, "TURN_SECONDS", 60.0)
    monkeypatch.setattr(registry.doorway, "TURN_BYTES", 2_000)
    many = 300

    async def main() -> None:
        async with Door().serving() as door:
            sent: list[int] = []
            turn = door.doorway.turn
            add, flush = turn.add, turn.flush

            def noted(sink: Sink, n: int, requests: bytes, responses: bytes) -> None:
                sent.append(len(responses))
                add(sink, n, requests, responses)

            monkeypatch.setattr(turn, "add", noted)
            [greedy] = await door.open()
            largest = 0

            def measured() -> None:
                nonlocal largest
                largest = max(largest, sum(sent))
                sent.clear()
                flush()

            monkeypatch.setattr(turn, "flush", measured)
            greedy.writer.write(encode_request(Op.CHAIN, 8) * many)
            answers = [await greedy.next() for _ in range(many)]
            assert [answer.status for answer in answers] == [Status.OK] * many
            assert 2_000 < largest < 4_000

    run(main(), loop)
