"""The following process of a custody node: ``python -m registry.following.process CONFIG PORTS``, a port for each zone.

The only process that writes the node's copies. Zones do not wait for each other; what goes wrong with one stays with
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from config.keyfiles import BadKeyFile, read_anchor, read_secret
from config.load import BadConfiguration, load_settings
from config.process import on_hangup, run, say_ready, set_up_log, settle_collector, stop_event, stop_with_supervisor
from config.settings import Settings, ZoneSettings
from protocol.address import parse_address
from protocol.errors import BiaoshiError
from protocol.limits import DEFAULT_PORT
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor, Verifier
from registry.client import RegistryClient
from registry.following.door import CopyDoor
from registry.following.follower import Follower
from registry.following.identity import Identity
from registry.store.lmdb.writer import LmdbStore

TICK_SECONDS: Final = 0.5
"""How often doors are looked at."""

STALE_READERS_SECONDS: Final = 10.0
"""How often slots of dead readers are freed."""


class Copy(NamedTuple):
    """One zone that is followed."""

    store: LmdbStore
    follower: Follower
    door: CopyDoor


async def serve(settings: Settings, ports: Sequence[int]) -> None:
    """Follow all zones until SIGTERM."""
    log = set_up_log(settings.log, "following")
    stop = stop_event()
    stop_with_supervisor(stop)
    copies = [open_copy(settings, zone, port, log) for zone, port in zip(settings.zones, ports, strict=True)]
    tasks: list[asyncio.Task[None]] = [asyncio.create_task(copy.follower.run()) for copy in copies]
    tasks += [asyncio.create_task(_tick(copies)), asyncio.create_task(_clear(copies))]

    def take_up() -> None:
        for copy in copies:
            copy.door.take_up()

    on_hangup(take_up)
    settle_collector()
    say_ready()
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in tasks if task.done()]
    log.info("stopping", zones=len(copies))
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(copy.follower.settle() for copy in copies))
    await asyncio.gather(*(copy.door.close() for copy in copies))
    for copy in copies:
        copy.store.close()
    for task in ended:
        task.result()  # what was not expected ends the process, which the supervisor starts again


def open_copy(settings: Settings, zone: ZoneSettings, port: int, log: structlog.stdlib.BoundLogger) -> Copy:
    """Open the copy of a zone, to be followed and to be given on at ``port``. Raises
    :class:`~protocol.errors.BiaoshiError`, :class:`BadKeyFile`."""
    view = settings.copy_of(zone)
    anchor = TrustAnchor.parse(*read_anchor(settings.path(zone.anchor)))
    key = SigningKey(read_secret(settings.path(zone.key)))
    store = LmdbStore(view.store_path)
    store.clear_stale_readers()
    identity = Identity(view, anchor)
    doors: list[CopyDoor] = []
    follower = Follower(
        view.node.prefix, store, connections(zone.servers, anchor, key), identity, log,
        news=lambda: doors[0].news(), keep=settings.registry.keep,
    )  # fmt: skip
    doors.append(CopyDoor(view, port, store, identity, lambda: follower.progress, log))
    return Copy(store, follower, doors[0])


def connections(
    servers: Sequence[str], anchor: TrustAnchor, key: SigningKey, timeout: float = 60.0
) -> list[Callable[[], RegistryClient]]:
    """What connects to each server of a zone; they share what they verify. Raises
    :class:`~protocol.errors.SettingsError`."""
    verifier = Verifier(anchor)
    addresses = [parse_address(server, DEFAULT_PORT + 1) for server in servers]
    return [
        partial(RegistryClient, address.host, address.port, anchor=verifier, key=key, timeout=timeout)
        for address in addresses
    ]


async def _tick(copies: Sequence[Copy]) -> None:
    while True:
        for copy in copies:
            await copy.door.look()
            copy.door.tick()
        await asyncio.sleep(TICK_SECONDS)


async def _clear(copies: Sequence[Copy]) -> None:
    while True:
        await asyncio.sleep(STALE_READERS_SECONDS)
        for copy in copies:
            copy.store.clear_stale_readers()


def main() -> None:
    """Entry point of the process."""
    config, ports = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), [int(port) for port in ports.split(",") if port]))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"following: {error}") from None


if __name__ == "__main__":
    main()
