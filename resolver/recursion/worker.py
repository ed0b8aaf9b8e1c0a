"""A serving process of a recursive node: ``python -m resolver.recursion.worker CONFIG PORT``.

Several of them share the node's address (SO_REUSEPORT); each has its own part of the memory and its own connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog

from config.keyfiles import BadKeyFile, read_anchor
from config.load import BadConfiguration, load_settings
from config.process import run, say_ready, set_up_log, settle_collector, software, stop_event, stop_with_supervisor
from config.settings import Settings
from protocol.address import Address, parse_address
from protocol.errors import BiaoshiError
from protocol.node import NodeFacts, OwnKeys
from protocol.trust import TrustAnchor, Verifier
from resolver.client.connection import StreamConnection
from resolver.doors import Doors
from resolver.recursion.answering import RecursiveAnswerer
from resolver.recursion.cache import Cache
from resolver.recursion.delegations import KNOWN_BYTES
from resolver.recursion.iteration import Iteration
from resolver.recursion.recursion import Recursion
from resolver.worker import read_own_keys, take_up_renewed_keys

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
    stop_with_supervisor(stop)
    own = read_own_keys(settings, "")
    async with open_doors(settings, own, port, log) as doors:
        take_up_renewed_keys(settings, "", doors.take_up, log)
        settle_collector()
        say_ready()
        await stop.wait()


@contextlib.asynccontextmanager
async def open_doors(
    settings: Settings, own: OwnKeys, port: int, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[Doors]:
    """Answer for a recursive node until the end of the block. Raises :class:`OSError`, :class:`BadKeyFile`,
    :class:`~protocol.errors.SettingsError`."""
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
    doors = await Doors.open(RecursiveAnswerer(recursion, facts), facts, own, settings.resolver, port)
    sweeper = asyncio.create_task(sweep(recursion))
    log.info("serving", host=settings.resolver.host, port=port, anchor=anchor.prefix, roots=list(map(str, roots)))
    try:
        yield doors
    finally:
        log.info("stopping", connections=doors.connections, asking=recursion.asking)
        doors.refuse()
        await recursion.settle(SETTLE_SECONDS)
        await doors.close()
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
