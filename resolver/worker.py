"""A serving process: ``python -m resolver.worker CONFIG PORT``.

Several of them share the node's address (SO_REUSEPORT) and its store, which they only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from functools import partial
from pathlib import Path

import structlog

from config.keyfiles import BadKeyFile, read_identity
from config.load import BadConfiguration, load_settings
from config.process import bind, on_hangup, run, say_ready, set_up_log, settle_collector, software, stop_event
from config.settings import Settings
from protocol.errors import BiaoshiError
from protocol.identifiers import normal_zone_text
from protocol.node import NodeFacts, OwnKeys, own_keys
from protocol.turn import Turn
from registry.store.counters import CounterFile
from registry.store.lmdb.reader import LmdbReader
from resolver.answering import Answerer
from resolver.tcp import IDLE_SECONDS, Connections, count_bundles
from resolver.udp import DatagramDoor

BACKLOG = 1_024
"""Connections that the kernel holds for a busy worker."""

DRAIN_SECONDS = 5.0
"""How long a stopping worker waits for clients to take what was answered."""


async def serve(settings: Settings, port: int) -> None:
    """Answer on ``port`` until SIGTERM."""
    log = set_up_log(settings.log, "resolver")
    stop = stop_event()
    zone = normal_zone_text(settings.node.prefix)
    own = read_own_keys(settings, zone)
    reader = LmdbReader(settings.store_path)
    loop = asyncio.get_running_loop()
    tally = CounterFile(settings.counters_path).tally  # held as long as the process lives
    turn = Turn(own.key, loop.call_soon, _now_ms, reader.rest, partial(count_bundles, tally))
    facts = NodeFacts(
        role=settings.node.role,
        zone=zone,
        software=software(),
        chain=own.chain,
        listing=settings.resolver.listing,
        own=own,
    )
    answerer = Answerer(reader, facts, tally=tally)
    connections = Connections(answerer, turn, loop, unsealed=settings.resolver.unsealed, tally=tally)
    host = settings.resolver.host
    server = await loop.create_server(connections.accept, sock=bind(host, port, socket.SOCK_STREAM), backlog=BACKLOG)
    datagrams = bind(host, port, socket.SOCK_DGRAM)
    door = DatagramDoor(datagrams, answerer, own.key, reader.rest, tally)
    loop.add_reader(datagrams.fileno(), door.on_readable)
    take_up_renewed_keys(settings, zone, turn, door, facts, log)
    sweeper = asyncio.create_task(sweep_connections(connections))
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


def read_own_keys(settings: Settings, zone: str) -> OwnKeys:
    """The keys that ``[keys]`` names, judged as of now."""
    identity = read_identity(settings)
    return own_keys(zone, *identity, now=int(time.time()))


def take_up_renewed_keys(
    settings: Settings,
    zone: str,
    turn: Turn,
    door: DatagramDoor,
    facts: NodeFacts,
    log: structlog.stdlib.BoundLogger,
) -> None:
    """At SIGHUP, seal by the keys that the files have then."""

    def take_up() -> None:
        try:
            renewed = read_own_keys(load_settings(settings.file_path), zone)
        except (BiaoshiError, BadConfiguration, BadKeyFile) as error:
            log.warning("renewed keys cannot be used; those in use stay", reason=str(error))
            return
        turn.key = door.key = renewed.key
        facts.take_up(renewed)

    on_hangup(take_up)


async def sweep_connections(connections: Connections) -> None:
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
