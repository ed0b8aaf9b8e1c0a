"""A serving process: ``python -m resolver.worker CONFIG PORT``.

Several of them share the node's address (SO_REUSEPORT) and its store, which they only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import structlog

from config.keyfiles import BadKeyFile, read_identity
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
from protocol.identifiers import normal_zone_text
from protocol.node import NodeFacts, OwnKeys, own_keys
from protocol.signatures import PublicKey
from registry.store.counters import CounterFile
from registry.store.interface import Reader
from registry.store.lmdb.reader import LmdbReader
from registry.store.notice import PutBackNotice
from resolver.answering import Answerer
from resolver.authority import Authority
from resolver.doors import Doors
from resolver.readers import Readers


async def serve(settings: Settings, port: int) -> None:
    """Answer on ``port`` until SIGTERM."""
    log = set_up_log(settings.log, "resolver")
    stop = stop_event()
    stop_with_supervisor(stop)
    zone = normal_zone_text(settings.node.prefix)
    own = read_own_keys(settings, zone)
    cache_bytes = settings.resolver.cache_bytes // settings.resolver.workers
    reader = LmdbReader(settings.store_path, cache_bytes=cache_bytes)
    async with open_doors(settings, zone, own, reader, port, log) as doors:
        take_up_renewed_keys(settings, zone, doors.take_up, log)
        settle_collector()
        say_ready()
        await stop.wait()
    reader.close()


@contextlib.asynccontextmanager
async def open_doors(
    settings: Settings, zone: str, own: OwnKeys, reader: Reader, port: int, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[Authority]:
    """Answer for an authoritative node, from what ``reader`` sees, until the end of the block; not while its store is
    known to be put back. Raises :class:`OSError`, :class:`~protocol.errors.StoreError`."""
    tally = CounterFile(settings.counters_path).tally  # held as long as the process lives
    facts = NodeFacts(
        role=settings.node.role,
        zone=zone,
        software=software(),
        chain=own.chain,
        listing=settings.resolver.listing,
        own=own,
    )
    answerer = Answerer(reader, facts, tally=tally)
    readers = Readers(
        reader, facts, read_writers(settings), own.zone_keys,
        tokens_in_clear=settings.resolver.tokens_in_clear, tally=tally,
    )  # fmt: skip

    def open_them(own: OwnKeys) -> Awaitable[Doors]:
        return Doors.open(answerer, facts, own, settings.resolver, port, reader.rest, tally, readers)

    authority = Authority(open_them, own, PutBackNotice(settings.store_path), log)
    await authority.look()
    log.info("serving", host=settings.resolver.host, port=port, zone=zone)
    watching = asyncio.create_task(authority.watch())
    try:
        yield authority
    finally:
        log.info("stopping", connections=authority.connections)
        watching.cancel()
        await authority.close()


def read_writers(settings: Settings) -> dict[PublicKey, list[str]]:
    """The keys in ``[[registry.writers]]`` with their prefixes in normal form. Raises
    :class:`~protocol.errors.MessageError`, :class:`~protocol.errors.IdentifierError`."""
    return {
        PublicKey.parse(writer.key): [normal_zone_text(prefix) for prefix in writer.prefixes]
        for writer in settings.registry.writers
    }


def read_own_keys(settings: Settings, zone: str) -> OwnKeys:
    """The keys that ``[keys]`` names, judged as of now."""
    identity = read_identity(settings)
    return own_keys(zone, *identity, now=int(time.time()))


def take_up_renewed_keys(
    settings: Settings, zone: str, take_up: Callable[[OwnKeys], None], log: structlog.stdlib.BoundLogger
) -> Callable[[], None]:
    """At SIGHUP, have the keys taken up that the files have then. Gives what does so at once."""

    def renew() -> None:
        try:
            renewed = read_own_keys(load_settings(settings.file_path), zone)
        except (BiaoshiError, BadConfiguration, BadKeyFile) as error:
            log.warning("renewed keys cannot be used; those in use stay", reason=str(error))
            return
        take_up(renewed)

    on_hangup(renew)
    return renew


def main() -> None:
    """Entry point of the process."""
    config, port = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), int(port)))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"resolver: {error}") from None


if __name__ == "__main__":
    main()
