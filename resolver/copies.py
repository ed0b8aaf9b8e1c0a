"""A serving process of a custody node: ``python -m resolver.copies CONFIG PORTS``, a port for each zone.

One pair of doors for each zone, with the online key that the zone vouched for. A pair opens once there is a statement,
and once the copy has been whole: until then it would deny what the zone has.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from config.keyfiles import BadKeyFile
from config.load import BadConfiguration, load_settings
from config.process import (
    on_hangup,
    run,
    say_ready,
    set_up_log,
    settle_collector,
    software,
    stop_event,
    stop_with_supervisor,
)
from config.settings import Settings
from protocol.errors import BiaoshiError
from protocol.node import NodeFacts
from registry.store.counters import CounterFile, Tally
from registry.store.lmdb.reader import LmdbReader
from resolver.answering import Answerer
from resolver.doors import Doors
from resolver.readers import Readers
from resolver.worker import read_own_keys

LOOK_SECONDS: Final = 0.5
"""How often a zone that is not served yet is looked at."""


class Copy:
    """The doors of one zone; ``view`` are the settings of its copy, ``cache_bytes`` is for what was read lately."""

    def __init__(
        self, view: Settings, port: int, cache_bytes: int, tally: Tally, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._view = view
        self._zone = view.node.prefix
        self._port = port
        self._cache_bytes = cache_bytes
        self._tally = tally
        self._log = log.bind(zone=self._zone)
        self._reader: LmdbReader | None = None
        self._doors: Doors | None = None
        self._said = ""

    async def look(self) -> None:
        """Open the doors where it is time."""
        if self._doors is not None or not self._view.path(self._view.keys.statement).exists():
            return
        try:
            own = read_own_keys(self._view, self._zone)
            reader = self._reader = self._reader or LmdbReader(self._view.store_path, cache_bytes=self._cache_bytes)
            reader.rest()
            whole = reader.standing().whole
            reader.rest()
        except (BiaoshiError, BadKeyFile) as error:
            self._complain("this copy cannot be served", error)
            return
        if not whole:
            return
        facts = NodeFacts(
            role=self._view.node.role, zone=self._zone, software=software(), chain=own.chain,
            listing=self._view.resolver.listing, own=own,
        )  # fmt: skip
        answerer = Answerer(reader, facts, tally=self._tally)
        # Who may write at this node has nothing to do with the zone: its identities alone may prove who they are.
        readers = Readers(reader, facts, {}, (), tokens_in_clear=self._view.resolver.tokens_in_clear, tally=self._tally)
        self._doors = await Doors.open(
            answerer, facts, own, self._view.resolver, self._port, reader.rest, self._tally, readers
        )
        self._log.info("serving a copy", host=self._view.resolver.host, port=self._port)

    def take_up(self) -> None:
        """Seal by the keys that the files have now."""
        if self._doors is None:
            return
        try:
            self._doors.take_up(read_own_keys(self._view, self._zone))
        except (BiaoshiError, BadKeyFile) as error:
            self._complain("renewed keys cannot be used; those in use stay", error)

    async def close(self) -> None:
        """Answer what was asked, and close."""
        if self._doors is not None:
            self._doors.refuse()
            await self._doors.close()
        if self._reader is not None:
            self._reader.close()

    def _complain(self, what: str, error: Exception) -> None:
        if self._said != str(error):
            self._said = str(error)
            self._log.warning(what, reason=self._said)


async def serve(settings: Settings, ports: Sequence[int]) -> None:
    """Answer for all zones until SIGTERM."""
    log = set_up_log(settings.log, "resolver")
    stop = stop_event()
    stop_with_supervisor(stop)
    tally = CounterFile(settings.counters_path).tally  # held as long as the process lives
    views = map(settings.copy_of, settings.zones)
    cache_bytes = settings.resolver.cache_bytes // (settings.resolver.workers * max(1, len(ports)))
    copies = [Copy(view, port, cache_bytes, tally, log) for view, port in zip(views, ports, strict=True)]

    def take_up() -> None:
        for copy in copies:
            copy.take_up()

    on_hangup(take_up)
    for copy in copies:
        await copy.look()
    looking = asyncio.create_task(_look(copies))
    settle_collector()
    say_ready()
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, looking], return_when=asyncio.FIRST_COMPLETED)
    failed = looking.done()
    looking.cancel()
    await asyncio.gather(*(copy.close() for copy in copies))
    if failed:
        looking.result()  # a port that is taken, say; the supervisor starts this process again


async def _look(copies: Sequence[Copy]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for copy in copies:
            await copy.look()


def main() -> None:
    """Entry point of the process."""
    config, ports = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), [int(port) for port in ports.split(",") if port]))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"resolver: {error}") from None


if __name__ == "__main__":
    main()
