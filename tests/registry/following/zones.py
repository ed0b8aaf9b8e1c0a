"""A zone's registry in this process, on loopback, that followers can be sent to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from config.process import bind
from protocol.node import NodeFacts
from protocol.signatures import SigningKey
from protocol.statements import OnlineKey, window
from protocol.trust import Chain, TrustAnchor
from protocol.turn import Turn
from registry.client import RegistryClient
from registry.committer import Committer
from registry.doorway import Doorway
from registry.followers import Followers
from registry.putback import PutBack
from registry.rights import Rights
from registry.session import Session
from registry.store.interface import Store

HOST: Final = "127.0.0.31"
ZONE: Final = "88.118"
ZONE_KEY: Final = SigningKey(b"z" * 32)
ONLINE: Final = SigningKey(b"o" * 32)
WRITER: Final = SigningKey(b"w" * 32)
FOLLOWER: Final = SigningKey(b"f" * 32)
OTHER_FOLLOWER: Final = SigningKey(b"g" * 32)
ANCHOR: Final = TrustAnchor(ZONE, ZONE_KEY.public)


class Registry:
    """The registry of a zone over a store; it listens between :meth:`start` and :meth:`stop` on one port."""

    def __init__(
        self, store: Store, *, zone: str = ZONE, zone_key: SigningKey = ZONE_KEY, confirm: bool = False
    ) -> None:
        self.store = store
        self.zone = zone
        self.followers = Followers({FOLLOWER.public: "one", OTHER_FOLLOWER.public: "two"}, must_confirm=confirm)
        self.rights = Rights({WRITER.public: [zone]}, zone, [zone_key.public], self.followers)
        self.put_back = PutBack()
        statement = OnlineKey(zone, "node", ONLINE.public, *window(int(time.time()), 1)).sign(zone_key)
        self.facts = NodeFacts("secondary", zone, "test/1", Chain((), (statement,)))
        self._reserved = bind(HOST, 0, socket.SOCK_STREAM)
        self.port: int = self._reserved.getsockname()[1]
        self.connections = 0

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        turn = self.turn = Turn(ONLINE, loop.call_soon, lambda: time.time_ns() // 1_000_000, self.store.rest)
        self.committer = Committer(
            self.store, loop.call_soon_threadsafe, lambda: int(time.time()), lambda: self.door.polls.news()
        )
        self.door = Doorway(turn, self.store, self.committer.submit, self._session, self.followers, self.put_back, loop)
        self._server = await loop.create_server(self.door.accept, sock=bind(HOST, self.port, socket.SOCK_STREAM))
        self._ticking = asyncio.create_task(self._tick())

    def _session(self) -> Session:
        self.connections += 1
        return Session(self.store, self.facts, self.rights, dict)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self.door.tick()

    async def stop(self) -> None:
        """Listen no more, and drop everybody."""
        self._ticking.cancel()
        self._server.close()
        for connection in list(self.door.open):
            connection.abort()
        await asyncio.to_thread(self.committer.stop)
        await self.door.empty.wait()

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def client(self, key: SigningKey | None = FOLLOWER, anchor: TrustAnchor = ANCHOR) -> Callable[[], RegistryClient]:
        """What connects here."""
        return partial(RegistryClient, HOST, self.port, anchor=anchor, key=key, timeout=30.0)


@contextlib.asynccontextmanager
async def serving(store: Store, **options: object) -> AsyncIterator[Registry]:
    """A registry that listens."""
    registry = Registry(store, **options)  # type: ignore[arg-type]
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()
        registry.close()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to come true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of stores, which tell nobody
            await asyncio.sleep(0.005)
