"""The doors of a serving process: TCP and UDP at one port, from binding to the last client that took its answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from config.process import bind
from config.settings import ResolverSettings
from protocol.node import NodeFacts, OwnKeys
from protocol.turn import Turn
from registry.store.counters import Tally
from resolver.answering import Answering
from resolver.readers import Readers
from resolver.tcp import IDLE_SECONDS, Connections, count_bundles
from resolver.udp import DatagramDoor

BACKLOG: Final = 1_024
"""Connections that the kernel holds for a busy worker."""

DRAIN_SECONDS: Final = 5.0
"""How long a stopping worker waits for clients to take what was answered."""


class Doors:
    """Open doors, behind which ``answerer`` answers under the keys of ``own``.

    ``at_end`` is called whenever what was ready has been answered; ``tally``, where there is one, counts outcomes;
    ``readers``, where there are any, may prove who they are.
    Use :meth:`open`; then :meth:`refuse` and :meth:`close`, in this order.
    """

    def __init__(
        self,
        answerer: Answering,
        facts: NodeFacts,
        own: OwnKeys,
        settings: ResolverSettings,
        at_end: Callable[[], None],
        tally: Tally | None,
        readers: Readers | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._answerer = answerer
        self._facts = facts
        self._host = settings.host
        self._at_end = at_end
        self._tally = tally
        self._readers = readers
        count = None if tally is None else partial(count_bundles, tally)
        self._turn = Turn(own.key, self._loop.call_soon, _now_ms, at_end, count)
        self._connections = Connections(
            answerer, self._turn, self._loop, unsealed=settings.unsealed, readers=readers, tally=tally
        )

    @classmethod
    async def open(
        cls,
        answerer: Answering,
        facts: NodeFacts,
        own: OwnKeys,
        settings: ResolverSettings,
        port: int,
        at_end: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
        readers: Readers | None = None,
    ) -> Self:
        """Answer on ``port``. Raises :class:`OSError` where it cannot be had."""
        doors = cls(answerer, facts, own, settings, at_end, tally, readers)
        await doors._open(port)
        return doors

    async def _open(self, port: int) -> None:
        stream = bind(self._host, port, socket.SOCK_STREAM)
        self._server = await self._loop.create_server(self._connections.accept, sock=stream, backlog=BACKLOG)
        self._datagrams = bind(self._host, port, socket.SOCK_DGRAM)
        self._door = DatagramDoor(self._datagrams, self._answerer, self._turn.key, self._at_end, self._tally)
        self._loop.add_reader(self._datagrams.fileno(), self._door.on_readable)
        self._sweeper = asyncio.create_task(_sweep(self._connections))

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections.open)

    def take_up(self, own: OwnKeys) -> None:
        """Seal by these keys from now on, and show them."""
        self._turn.key = self._door.key = own.key
        self._facts.take_up(own)
        if self._readers is not None:
            self._readers.take_up(own.zone_keys)

    def refuse(self) -> None:
        """Take no more connections and datagrams; what is open is answered on."""
        self._server.close()
        self._loop.remove_reader(self._datagrams.fileno())

    async def close(self) -> None:
        """Close once clients have taken what was answered, or ``DRAIN_SECONDS`` later."""
        self._datagrams.close()
        self._connections.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._connections.empty.wait()
        finally:
            self._sweeper.cancel()


async def _sweep(connections: Connections) -> None:
    """Look once a second for clients that overstay."""
    idle_at = connections.loop.time() + IDLE_SECONDS
    while True:
        await asyncio.sleep(1.0)
        now = connections.loop.time()
        connections.sweep(now)
        if now >= idle_at:
            connections.sweep_idle()
            idle_at = now + IDLE_SECONDS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
