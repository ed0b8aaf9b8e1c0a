"""The processes of a custody node: one that follows all zones, and the resolver workers. A change of the files by which
the node answers is taken up by all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from biaoshi.supervisor import Process, make_lifeline, noted, pids, reserve, running, take_up
from biaoshi.upkeep import Fingerprint, fingerprint
from config.process import set_up_log, stop_at_end_of, stop_event
from config.settings import Settings

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at."""


async def supervise_copies(
    settings: Settings, config: Path, up: Callable[[], None] = lambda: None, lifeline: int | None = None
) -> None:
    """Run a custody node until SIGTERM or SIGINT. ``up`` is called when its processes run; ``lifeline`` is a file
    descriptor of which whoever started this process has the other end: the node stops when that is closed. Raises
    :class:`~protocol.errors.SettingsError`."""
    log = set_up_log(settings.log, "supervisor")
    stop = stop_event()
    if lifeline is not None:
        stop_at_end_of(lifeline, stop)
    views = [settings.copy_of(zone) for zone in settings.zones]
    hosts = settings.resolver.host, settings.registry.host
    with contextlib.ExitStack() as reserved:
        doors = [reserve(reserved, hosts[0], view.resolver.port, datagrams=True) for view in views]
        registries = [reserve(reserved, hosts[1], view.registry.port, datagrams=False) for view in views]
        theirs = make_lifeline(reserved)
        following = [Process("following", "registry.following.process", config, _listed(registries), theirs, log)]
        readers = [
            Process(f"resolver-{i + 1}", "resolver.copies", config, _listed(doors), theirs, log)
            for i in range(settings.resolver.workers)
        ]
        processes = [*following, *readers]
        zones = {
            view.node.prefix: {"resolver": [hosts[0], door], "registry": [hosts[1], registry]}
            for view, door, registry in zip(views, doors, registries, strict=True)
        }
        async with running(following, readers):
            watching = asyncio.create_task(_watch_files(views, processes))
            try:
                with noted(settings, 0, 0, pids(processes), zones):
                    log.info("node is up", zones=list(zones), workers=settings.resolver.workers)
                    up()
                    await stop.wait()
                    log.info("node is stopping")
            finally:
                watching.cancel()
    log.info("node has stopped")


def _listed(ports: list[int]) -> str:
    return ",".join(map(str, ports))


async def _watch_files(views: list[Settings], processes: list[Process]) -> None:
    paths = [view.path(name) for view in views for name in (view.keys.statement, view.keys.delegations)]
    seen = _fingerprints(paths)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _fingerprints(paths)
        if now != seen:
            seen = now
            take_up(processes)


def _fingerprints(paths: list[Path]) -> list[Fingerprint | None]:
    return list(map(fingerprint, paths))
