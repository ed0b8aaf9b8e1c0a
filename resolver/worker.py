"""A serving process: ``python -m resolver.worker CONFIG PORT``.

Several of them share the node's address (SO_REUSEPORT) and its store, which they only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from pathlib import Path

from config.keyfiles import BadKeyFile, read_identity
from config.load import BadConfiguration, load_settings
from config.process import bind, run, say_ready, set_up_log, settle_collector, software, stop_event
from config.settings import Settings
from protocol.errors import BiaoshiError
from protocol.identifiers import normal_zone_text
from protocol.node import NodeFacts, check_own_key
from protocol.signatures import SigningKey
from protocol.trust import Chain
from protocol.turn import Turn
from registry.store.lmdb.reader import LmdbReader
from resolver.answering import Answerer
from resolver.tcp import IDLE_SECONDS, Connections
from resolver.udp import DatagramDoor

BACKLOG = 1_024
"""Connections that the kernel holds for a busy worker."""

DRAIN_SECONDS = 5.0
"""How long a stopping worker waits for clients to take what was answered."""


async def serve(settings: Settings, port: int) -> None:
    """Answer on ``port`` until SIGTERM."""
    log = set_up_log(settings.log, "resolver")
    stop = stop_event()
    identity = read_identity(settings)
    key = SigningKey(identity.seed)
    zone = normal_zone_text(settings.node.prefix)
    check_own_key(identity.statement, key.public, zone, int(time.time()))
    reader = LmdbReader(settings.store_path)
    loop = asyncio.get_running_loop()
    turn = Turn(key, loop.call_soon, _now_ms, reader.rest)
    facts = NodeFacts(
        role=settings.node.role,
        zone=zone,
        software=software(),
        chain=Chain(identity.delegations, (identity.statement,)),
        listing=settings.resolver.listing,
    )
    answerer = Answerer(reader, facts)
    connections = Connections(answerer, turn, loop, unsealed=settings.resolver.unsealed)
    host = settings.resolver.host
    server = await loop.create_server(connections.accept, sock=bind(host, port, socket.SOCK_STREAM), backlog=BACKLOG)
    datagrams = bind(host, port, socket.SOCK_DGRAM)
    loop.add_reader(datagrams.fileno(), DatagramDoor(datagrams, answerer, key, reader).on_readable)
    sweeper = asyncio.create_task(_sweep(connections))
    log.info("serving", host=host, port=port, zone=facts.zone)
    settle_collector()
    say_ready()
    await stop.wait()
    log.info("stopping", connections=len(connections.open))
    server.close()
    loop.remove_reader(datagrams.fileno())
    datagrams.close()
    connections.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await connections.empty.wait()
    sweeper.cancel()
    reader.close()


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


def main() -> None:
    """Entry point of the process."""
    config, port = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), int(port)))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"resolver: {error}") from None


if __name__ == "__main__":
    main()
