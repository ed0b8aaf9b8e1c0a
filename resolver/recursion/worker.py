"""A serving process of a recursive node: ``python -m resolver.recursion.worker CONFIG PORT``.

Several of them share the node's address (SO_REUSEPORT); each has its own part of the memory and its own connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import Final

from config.keyfiles import BadKeyFile, read_anchor
from config.load import BadConfiguration, load_settings
from config.process import bind, run, say_ready, set_up_log, settle_collector, software, stop_event
from config.settings import Settings
from protocol.address import Address, parse_address
from protocol.errors import BiaoshiError
from protocol.node import NodeFacts
from protocol.trust import TrustAnchor, Verifier
from protocol.turn import Turn
from resolver.client.connection import StreamConnection
from resolver.recursion.answering import RecursiveAnswerer
from resolver.recursion.cache import Cache
from resolver.recursion.delegations import KNOWN_BYTES
from resolver.recursion.iteration import Iteration
from resolver.recursion.recursion import Recursion
from resolver.tcp import Connections
from resolver.udp import DatagramDoor
from resolver.worker import BACKLOG, DRAIN_SECONDS, read_own_keys, sweep_connections, take_up_renewed_keys

SETTLE_SECONDS: Final = 2.0
"""How long a stopping worker goes on asking for those who wait."""

ZONES_SHARE: Final = 8
"""An eighth of the memory is for delegations and chains, the rest for answers."""

SWEEP_SECONDS: Final = 1.0
"""How often the cache is swept: about so much later than its TTL an answer may be given."""


def check_recursion(settings: Settings) -> tuple[TrustAnchor, list[Address]]:
    """Anchor and roots of a recursive node. Raises :class:`BadKeyFile`, :class:`~protocol.errors.SettingsError`."""
    anchor = TrustAnchor.parse(*read_anchor(settings.path(settings.recursion.anchor)))
    return anchor, [parse_address(root) for root in settings.recursion.roots]


async def serve(settings: Settings, port: int) -> None:
    """Answer on ``port`` until SIGTERM."""
    log = set_up_log(settings.log, "resolver")
    stop = stop_event()
    own = read_own_keys(settings, "")
    anchor, roots = check_recursion(settings)
    options = settings.recursion
    memory = options.cache_bytes // settings.resolver.workers
    cache = Cache(memory - memory // ZONES_SHARE, options.stale_seconds)
    iteration = Iteration(
        Verifier(anchor),
        roots,
        StreamConnection.open,
        options.stale_seconds,
        most=memory // ZONES_SHARE // KNOWN_BYTES,
    )
    recursion = Recursion(iteration, cache, options.patience_seconds)
    facts = NodeFacts(settings.node.role, "", software(), own.chain, listing=False, own=own)
    answerer = RecursiveAnswerer(recursion, facts)
    loop = asyncio.get_running_loop()
    turn = Turn(own.key, loop.call_soon, lambda: time.time_ns() // 1_000_000, lambda: None)
    connections = Connections(answerer, turn, loop, unsealed=settings.resolver.unsealed)
    host = settings.resolver.host
    server = await loop.create_server(connections.accept, sock=bind(host, port, socket.SOCK_STREAM), backlog=BACKLOG)
    datagrams = bind(host, port, socket.SOCK_DGRAM)
    door = DatagramDoor(datagrams, answerer, own.key)
    loop.add_reader(datagrams.fileno(), door.on_readable)
    take_up_renewed_keys(settings, "", turn, door, facts, log)
    sweepers = [asyncio.create_task(sweep_connections(connections)), asyncio.create_task(sweep(recursion))]
    log.info("serving", host=host, port=port, anchor=anchor.prefix, roots=list(map(str, roots)))
    settle_collector()
    say_ready()
    await stop.wait()
    log.info("stopping", connections=len(connections.open), asking=recursion.asking)
    server.close()
    loop.remove_reader(datagrams.fileno())
    await recursion.settle(SETTLE_SECONDS)
    datagrams.close()
    connections.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await connections.empty.wait()
    for sweeper in sweepers:
        sweeper.cancel()
    await recursion.close()


async def sweep(recursion: Recursion) -> None:
    """Sweep the cache, a little at a time where much is due."""
    pause = 0.0
    while True:
        await asyncio.sleep(pause)
        pause = 0.0 if recursion.sweep() else SWEEP_SECONDS


def main() -> None:
    """Entry point of the process."""
    config, port = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), int(port)))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"resolver: {error}") from None


if __name__ == "__main__":
    main()
