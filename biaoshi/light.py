"""A light node: registry, resolver and upkeep in one process, on one event loop.

For machines on which many small nodes run together, as in ``biaoshi topology``: a node takes one process instead of
three. LMDB opens a store once in a process, so the resolver reads through the store that the registry writes: one
snapshot for each batch instead of one for each turn. Nothing here restarts what dies; whoever started the process does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import structlog

from biaoshi.supervisor import noted, reserve, reserve_api
from biaoshi.upkeep import Upkeep
from config.process import set_up_log, settle_collector, stop_at_end_of, stop_event
from config.settings import Settings
from protocol.identifiers import normal_zone_text
from protocol.node import OwnKeys
from registry.server import open_registry
from resolver.recursion import worker as recursion
from resolver.worker import open_doors, read_own_keys, take_up_renewed_keys

TakeUp = Callable[[OwnKeys], None]
"""Has a part of the node seal by these keys from now on."""


async def serve_light(settings: Settings, up: Callable[[], None] = lambda: None, lifeline: int | None = None) -> None:
    """Run a node until SIGTERM or SIGINT. ``up`` is called when it serves; ``lifeline`` is a file descriptor of
    which whoever started the process has the other end: the node stops when that is closed. Raises
    :class:`~protocol.errors.BiaoshiError`, :class:`~config.keyfiles.BadKeyFile`, :class:`OSError` where it cannot
    start."""
    log = set_up_log(settings.log, settings.node.name)
    stop = stop_event()
    if lifeline is not None:
        stop_at_end_of(lifeline, stop)
    zone = normal_zone_text(settings.node.prefix)
    own = read_own_keys(settings, zone)
    resolver, registry = settings.resolver, settings.registry
    recursive = settings.node.role == "recursive"
    with ExitStack() as reserved:
        resolver_port = reserve(reserved, resolver.host, resolver.port, datagrams=True)
        registry_port = 0 if recursive else reserve(reserved, registry.host, registry.port, datagrams=False)
        api_port = reserve_api(reserved, settings)
        serving = (
            _recursive(settings, own, resolver_port, log)
            if recursive
            else _authoritative(settings, zone, own, resolver_port, registry_port, api_port, log)
        )
        async with serving as take_up:
            renew = take_up_renewed_keys(settings, zone, take_up, log)
            upkeep = Upkeep(settings, zone, (registry.host, registry_port), renew, log)
            keeping = asyncio.create_task(upkeep.run())
            try:
                with noted(settings, resolver_port, registry_port, {"node": os.getpid()}, api_port=api_port):
                    settle_collector()
                    up()
                    await stop.wait()
            finally:
                keeping.cancel()
    log.info("node has stopped")


@asynccontextmanager
async def _authoritative(
    settings: Settings,
    zone: str,
    own: OwnKeys,
    resolver_port: int,
    registry_port: int,
    api_port: int,
    log: structlog.stdlib.BoundLogger,
) -> AsyncIterator[TakeUp]:
    """Both doors of a node with a zone; at the end the readers' is closed first, as nothing new is to be shown then."""
    async with (
        open_registry(settings, zone, own, registry_port, log, api_port) as registry,
        open_doors(settings, zone, own, registry.store, resolver_port, log) as doors,
    ):

        def take_up(renewed: OwnKeys) -> None:
            registry.take_up(renewed)
            doors.take_up(renewed)

        yield take_up


@asynccontextmanager
async def _recursive(
    settings: Settings, own: OwnKeys, port: int, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[TakeUp]:
    async with recursion.open_doors(settings, own, port, log) as doors:
        yield doors.take_up
