"""The registry process: ``python -m registry.server CONFIG PORT[,API-PORT]``.

The only process of a node that writes. It speaks the native protocol on TCP; its answers are sealed like the
resolver's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from config.keyfiles import BadKeyFile, read_anchor, read_identity, read_vouched
from config.load import BadConfiguration, load_settings
from config.process import (
    bind,
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
from protocol.trust import TrustAnchor
from protocol.turn import Turn
from registry.accounts import Accounts
from registry.audit.chain import Link
from registry.audit.export import SignedHead, sign_head
from registry.committer import Committer
from registry.delegating import Parent
from registry.delegations import Delegations
from registry.doorway import Doorway
from registry.followers import Followers, Settle
from registry.following.asking import Asking
from registry.minting.desk import Reserved
from registry.pruning import FeedPruner
from registry.putback import PutBack
from registry.rights import Rights
from registry.session import Session
from registry.statistics.starting import start_statistics
from registry.store.lmdb.layout import check_there
from registry.store.lmdb.writer import LmdbStore
from registry.store.notice import PutBackNotice
from registry.store.recent import RecentCounts
from registry.templates.checking import Checkers
from registry.trouble import Trouble

DRAIN_SECONDS: Final = 5.0
"""How long a stopping registry waits for clients to take what was answered."""

STALE_READERS_SECONDS: Final = 10.0
"""How often slots of dead readers are freed, and the feed is looked at for what can be pruned."""

TICK_SECONDS: Final = 0.5
"""How often those are looked at who have waited long enough."""


CHANGE_BYTES: Final = 1_024
"""What a change of an enterprise or identity is taken for while it waits for a follower."""


class OpenRegistry(NamedTuple):
    """A registry that serves: the store that it writes, how to have it take up renewed keys, and its enterprises and
    identities."""

    store: LmdbStore
    take_up: Callable[[OwnKeys], None]
    accounts: Accounts


async def serve(settings: Settings, port: int, api_port: int = 0) -> None:
    """Answer on ``port`` until SIGTERM; with the JSON API on ``api_port``, where it is to be served."""
    log = set_up_log(settings.log, "registry")
    stop = stop_event()
    stop_with_supervisor(stop)
    zone = normal_zone_text(settings.node.prefix)
    async with open_registry(settings, zone, _own_keys(settings, zone), port, log, api_port) as registry:

        def renew() -> None:
            try:
                renewed = _own_keys(load_settings(settings.file_path), zone)
            except (BiaoshiError, BadConfiguration, BadKeyFile) as error:
                log.warning("renewed keys cannot be used; those in use stay", reason=str(error))
                return
            registry.take_up(renewed)

        on_hangup(renew)
        settle_collector()
        say_ready()
        await stop.wait()


@contextlib.asynccontextmanager
async def open_registry(
    settings: Settings, zone: str, own: OwnKeys, port: int, log: structlog.stdlib.BoundLogger, api_port: int = 0
) -> AsyncIterator[OpenRegistry]:
    """Answer on ``port``, and over HTTP on ``api_port``, until the end of the block. Raises :class:`OSError`,
    :class:`~protocol.errors.StoreError`, :class:`~protocol.errors.SettingsError`, :class:`BadKeyFile`."""
    check_there(settings.store_path)
    store = LmdbStore(settings.store_path)
    store.clear_stale_readers()
    store.abandon()  # a copy that has become the zone itself ends with its last whole entry
    loop = asyncio.get_running_loop()
    turn = Turn(own.key, loop.call_soon, lambda: time.time_ns() // 1_000_000, store.rest)
    threading.excepthook = _end_with_committer
    trouble = Trouble(log, time.monotonic)

    def written() -> None:
        trouble.over()
        doorway.polls.news()

    committer = Committer(store, loop.call_soon_threadsafe, lambda: int(time.time()), written, trouble.failed)
    facts = NodeFacts(settings.node.role, zone, software(), own.chain, own=own)
    writers = {
        PublicKey.parse(writer.key): [normal_zone_text(prefix) for prefix in writer.prefixes]
        for writer in settings.registry.writers
    }
    followers = Followers(
        {PublicKey.parse(one.key): one.name for one in settings.registry.followers},
        must_confirm=settings.registry.acknowledge == "custody",
    )
    rights = Rights(writers, zone, own.zone_keys, followers)
    rights.vouched = read_vouched(settings)
    delegations = Delegations(store, Parent.of(zone, own), time.time)
    notice = PutBackNotice(settings.store_path)

    def say_put_back(who: Iterable[str]) -> None:
        try:
            notice.write(who)
        except OSError:
            log.exception("resolver workers cannot be told whether this store was put back")

    put_back = PutBack(say_put_back)

    def check_writing() -> None:
        put_back.check()
        if followers.must_confirm:
            followers.check_there(loop.time())

    def confirm(settle: Settle) -> None:
        if followers.must_confirm:
            followers.wait(store.standing().end.number, CHANGE_BYTES, loop.time(), settle)
        else:
            settle(None)

    def sign_log(end: Link) -> SignedHead:
        return sign_head(zone, end, int(time.time()), turn.key, facts.chain)

    accounts = Accounts(
        store, zone, rights, committer.submit, time.time, sign_log, check=check_writing, confirm=confirm,
        first=settings.enterprises.first_number, digits=settings.enterprises.digits,
    )  # fmt: skip
    asking = Asking(settings.registry.custody, lambda: _zone_anchor(settings, zone, own), store, put_back, log)
    await asking.first()
    if not put_back.status():
        say_put_back(())
    started = time.monotonic()

    recent_counts = RecentCounts(store.counts)

    def status() -> dict[str, object]:
        counts = recent_counts()
        return {
            "role": facts.role, "zone": zone, "software": facts.software, "registered": sum(counts.active.values()),
            "prefixes": len(counts.active), "changes": counts.changes, "store_bytes": counts.bytes_used,
            "uptime_s": int(time.monotonic() - started), "worker": os.getpid(), **facts.status(int(time.time())),
            **followers.status(counts.changes, loop.time()), **put_back.status(),
        }  # fmt: skip

    period = settings.statistics.period
    checkers = Checkers(store.find)
    reserved = Reserved()

    def take_up(renewed: OwnKeys) -> None:
        turn.key = renewed.key
        facts.take_up(renewed)
        rights.take_up(renewed.zone_keys)
        rights.vouched = read_vouched(settings)
        delegations.parent = Parent.of(zone, renewed)

    def new_session() -> Session:
        return Session(store, facts, rights, status, delegations, period=period, checkers=checkers, reserved=reserved)

    doorway = Doorway(turn, store, committer.submit, new_session, followers, put_back, loop)
    host = settings.registry.host
    server = await loop.create_server(doorway.accept, sock=bind(host, port, socket.SOCK_STREAM))
    pruner = FeedPruner(store, committer, followers, settings.registry.keep, log)
    chores = (_sweep(doorway, store, pruner), _tick(doorway), asking.run())
    tasks = [asyncio.create_task(chore) for chore in chores]
    log.info("serving", host=host, port=port, zone=zone, writers=len(settings.registry.writers))
    stop_statistics = start_statistics(
        settings, zone, store, committer, lambda: (turn.key, facts.chain.online_keys[0]), log
    )
    doors = contextlib.AsyncExitStack()
    try:
        accounts.journal.start()
        if settings.api.enabled:
            from registry.api.server import Services, open_api  # takes memory and time that other nodes need not spend

            services = Services(
                zone, facts.software, store, doorway.acknowledging, rights, status, accounts, checkers, reserved
            )
            await doors.enter_async_context(open_api(services, settings, api_port, log))
        yield OpenRegistry(store, take_up, accounts)
    finally:
        log.info("stopping", connections=len(doorway.open))
        server.close()
        doorway.close()
        await doors.aclose()
        accounts.journal.stop()
        await stop_statistics()
        await asyncio.to_thread(committer.stop)
        await asyncio.sleep(0)  # what the committer has handed over comes first
        followers.give_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await doorway.empty.wait()
        for task in tasks:
            task.cancel()
        store.close()


def _own_keys(settings: Settings, zone: str) -> OwnKeys:
    """The keys that ``[keys]`` names, judged as of now."""
    identity = read_identity(settings)
    return own_keys(zone, *identity, now=int(time.time()))


def _zone_anchor(settings: Settings, zone: str, own: OwnKeys) -> TrustAnchor:
    """The anchor by which those who answer for the zone are judged: its own keys, where they are known."""
    if own.zone_keys:
        return TrustAnchor(zone, *own.zone_keys[:2])
    return TrustAnchor.parse(*read_anchor(settings.path("anchor.toml")))


def _end_with_committer(failure: threading.ExceptHookArgs) -> None:
    """A writing thread that died takes its process along: writers must not wait for ever, and the supervisor starts the
    registry again."""
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    os._exit(1)


async def _sweep(doorway: Doorway, store: LmdbStore, pruner: FeedPruner) -> None:
    while True:
        await asyncio.sleep(STALE_READERS_SECONDS)
        doorway.sweep()
        store.clear_stale_readers()
        pruner.look()


async def _tick(doorway: Doorway) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        doorway.tick()


def main() -> None:
    """Entry point of the process."""
    config, ports = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), *map(int, ports.split(","))))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"registry: {error}") from None


if __name__ == "__main__":
    main()
