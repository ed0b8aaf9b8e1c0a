"""A tree of zones on loopback within one process, and a recursive node that resolves through it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from protocol.address import Address
from protocol.node import NodeFacts
from protocol.records import Value
from protocol.signatures import SigningKey
from protocol.statements import Address as Served
from protocol.statements import Delegation
from protocol.trust import Chain, TrustAnchor, Verifier
from protocol.turn import Turn
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from resolver.client.connection import StreamConnection
from resolver.recursion.answering import RecursiveAnswerer
from resolver.recursion.cache import Cache
from resolver.recursion.iteration import Iteration
from resolver.recursion.recursion import Recursion
from resolver.tcp import Connections
from resolver.udp import DatagramDoor
from tests.resolver.servers import NOW, Server, ZoneKeys, bind_both, put

TOP: Final = "88"
SECONDARY: Final = "88.118"
ENTERPRISE: Final = "88.118.32001"
PUMP: Final = f"{ENTERPRISE}/P1"


@dataclass
class ZoneHere:
    """A zone with its keys, its store and its servers."""

    keys: ZoneKeys
    store: MemoryStore = field(default_factory=MemoryStore)
    servers: list[Server] = field(default_factory=list)

    @property
    def addresses(self) -> tuple[Served, ...]:
        """Where it is served."""
        return tuple(Served("127.0.0.1", server.port, server.port) for server in self.servers)

    @property
    def server(self) -> Server:
        """Its first server."""
        return self.servers[0]


class Tree:
    """Zones top, secondary and enterprise; others may be added."""

    def __init__(self) -> None:
        self.zones: dict[str, ZoneHere] = {}
        self.serial = 0

    @property
    def anchor(self) -> TrustAnchor:
        """The top's."""
        return self.zones[TOP].keys.anchor

    @property
    def roots(self) -> list[Address]:
        """Addresses of the top."""
        return [Address("127.0.0.1", server.port) for server in self.zones[TOP].servers]

    async def add(self, zone: str, parent: str | None = None, servers: int = 1) -> ZoneHere:
        """A new zone, served, and delegated where it has a parent."""
        here = self.zones[zone] = ZoneHere(ZoneKeys(zone, len(self.zones) + 1, node=f"node-of-{zone}"))
        for _ in range(servers):
            server = Server(here.store, here.keys)
            await server.start()
            here.servers.append(server)
        if parent is not None:
            self.delegate(parent, zone)
        return here

    def delegate(
        self,
        parent: str,
        child: str,
        addresses: Sequence[Served] | None = None,
        *,
        until: int | None = None,
        key: SigningKey | None = None,
    ) -> Delegation:
        """Delegate a child, anew where it was; its servers show the new chain from now on."""
        above, below = self.zones[parent], self.zones[child]
        self.serial += 1
        now = int(time.time())
        where = tuple(below.addresses if addresses is None else addresses)
        keys = (key.public if key else below.keys.key.public,)
        end = now + 86_400 if until is None else until
        claim = Delegation(parent, child, self.serial, now - 60, end, keys, where)
        statement = claim.sign(above.keys.key)
        above.store.apply([system_write(DELEGATIONS, child, {"DELEGATION": statement})], NOW)
        self.show(below, (*above.keys.chain.delegations, statement))
        return claim

    def revoke(self, parent: str, child: str) -> None:
        """Take a delegation back; the child goes on showing its chain."""
        self.zones[parent].store.apply([system_write(DELEGATIONS, child, None)], NOW)

    def show(self, zone: ZoneHere, delegations: tuple[bytes, ...]) -> None:
        """Have a zone's servers show these delegations above their online key."""
        zone.keys.chain = Chain(delegations, zone.keys.chain.online_keys)
        for server in zone.servers:
            server.facts.chain = zone.keys.chain

    async def stop(self) -> None:
        """Stop all servers."""
        for zone in self.zones.values():
            for server in zone.servers:
                await server.stop()


@contextlib.asynccontextmanager
async def province(servers: int = 1) -> AsyncIterator[Tree]:
    """Top, secondary and enterprise, with a record in each of the two latter."""
    tree = Tree()
    try:
        await tree.add(TOP)
        await tree.add(SECONDARY, TOP)
        enterprise = await tree.add(ENTERPRISE, SECONDARY, servers)
        for number in range(100):
            put(enterprise.store, f"{ENTERPRISE}/P{number}", Value(1, "URL", f"https://example.cn/{number}".encode()))
        put(tree.zones[SECONDARY].store, f"{SECONDARY}.5/S1", Value(1, "URL", b"https://hosted.cn/1", ttl=60))
        yield tree
    finally:
        await tree.stop()


class RecursiveNode:
    """What the worker of a recursive node serves, within this process."""

    def __init__(self, anchor: TrustAnchor, roots: Sequence[Address], *, cache_bytes: int = 1 << 24,
                 stale_seconds: int = 86_400, patience: float = 5.0) -> None:  # fmt: skip
        loop = asyncio.get_running_loop()
        self.later = 0.0
        self.keys = ZoneKeys("", 90, node="recursive")
        self.iteration = Iteration(Verifier(anchor), roots, StreamConnection.open, stale_seconds, self._clock)
        self.cache = Cache(cache_bytes, stale_seconds)
        self.recursion = Recursion(self.iteration, self.cache, patience)
        facts = NodeFacts("recursive", "", "biaoshi/1", self.keys.chain, False)
        self.answerer = RecursiveAnswerer(self.recursion, facts)
        self.turn = Turn(self.keys.online, loop.call_soon, lambda: time.time_ns() // 1_000_000, lambda: None)
        self.connections = Connections(self.answerer, self.turn, loop, unsealed=True)
        self.port = 0

    def _clock(self) -> float:
        return time.time() + self.later

    async def pass_time(self, seconds: float) -> None:
        """Let the node believe that so much time has passed, as its sweep does it, and carry out what is due."""
        self.later += seconds
        while self.recursion.sweep():
            pass
        await self.recursion.settle(30.0)

    async def start(self) -> None:
        """Listen on TCP and UDP."""
        loop = asyncio.get_running_loop()
        stream, self._datagrams = bind_both("127.0.0.1")
        self.port = stream.getsockname()[1]
        self._server = await loop.create_server(self.connections.accept, sock=stream)
        door = DatagramDoor(self._datagrams, self.answerer, self.keys.online)
        loop.add_reader(self._datagrams.fileno(), door.on_readable)

    async def stop(self) -> None:
        """Stop as a worker does."""
        self._server.close()
        asyncio.get_running_loop().remove_reader(self._datagrams.fileno())
        self._datagrams.close()
        self.connections.close()
        await asyncio.sleep(0)
        for connection in list(self.connections.open):
            connection.abort()
        await self.connections.empty.wait()
        await self.recursion.close()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def recursive(tree: Tree, **options: float) -> AsyncIterator[RecursiveNode]:
    """A recursive node for a tree."""
    node = RecursiveNode(tree.anchor, tree.roots, **options)  # type: ignore[arg-type]
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
