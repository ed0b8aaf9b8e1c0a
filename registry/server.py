"""The registry process: ``python -m registry.server CONFIG PORT``.

The only process of a node that writes. It speaks the native protocol on TCP; its answers are sealed like the
resolver's. A connection may have ``IN_FLIGHT`` batches waiting for the disk; its further requests wait in the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple, cast

import structlog

from config.keyfiles import BadKeyFile, read_identity
from config.load import BadConfiguration, load_settings
from config.process import bind, on_hangup, run, say_ready, set_up_log, settle_collector, software, stop_event
from config.settings import Settings
from protocol.errors import BiaoshiError, MessageError
from protocol.framing import MessageStream
from protocol.identifiers import normal_zone_text
from protocol.messages import encode_failure, encode_response
from protocol.node import NodeFacts, OwnKeys, own_keys
from protocol.signatures import PublicKey
from protocol.status import Status
from protocol.turn import Turn
from registry.committer import Committer
from registry.delegating import Parent
from registry.delegations import Delegations, SystemBatch
from registry.rights import Rights
from registry.session import Batch, Session
from registry.statistics.starting import start_statistics
from registry.store.lmdb.writer import LmdbStore
from registry.store.recent import RecentCounts
from registry.store.writes import Outcome

IN_FLIGHT: Final = 16
"""Write requests of one connection that may wait for the disk: at most 16 MiB."""

UNREAD_BYTES: Final = 4 << 20
"""Bytes of answers that may wait for a client to read them."""

UNREAD_SECONDS: Final = 30.0
"""How long they may wait before the client is dropped."""

MAX_CONNECTIONS: Final = 1_000
"""Connections at one time. Writers are few; each may hold up to 16 MiB. Where there are as many, the stranger that has
been silent for longest makes room for the next, so that strangers keep no writer out."""

STRANGER_SECONDS: Final = 60.0
"""How long a connection on which no writer's key was proven may go without a whole request. What strangers ask for
takes no time in between; a writer may be silent while it sorts a large import."""

DRAIN_SECONDS: Final = 5.0
"""How long a stopping registry waits for clients to take what was answered."""

STALE_READERS_SECONDS: Final = 10.0
"""How often slots of dead readers are freed."""


class Doorway:
    """What the registry's connections share."""

    def __init__(
        self, turn: Turn, committer: Committer, new_session: Callable[[], Session], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.turn = turn
        self.committer = committer
        self.new_session = new_session
        self.loop = loop
        self.open: set[Connection] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def enter(self, connection: Connection) -> None:
        """Note a connection that is open."""
        self.open.add(connection)
        self.empty.clear()

    def leave(self, connection: Connection) -> None:
        """Note a connection that is closed."""
        self.open.discard(connection)
        if not self.open:
            self.empty.set()

    def accept(self) -> Connection:
        """A new connection, for ``loop.create_server``."""
        return Connection(self)

    def sweep(self) -> None:
        """Drop clients that have not read for ``UNREAD_SECONDS``, and strangers that are silent."""
        now = self.loop.time()
        for connection in list(self.open):
            unread = connection.blocked_since and now - connection.blocked_since > UNREAD_SECONDS
            if unread or (connection.is_stranger and now - connection.heard > STRANGER_SECONDS):
                connection.abort()

    def has_room(self) -> bool:
        """Whether one more may come in; a stranger is dropped for it where need be."""
        if len(self.open) < MAX_CONNECTIONS:
            return True
        silent = min((one for one in self.open if one.is_stranger), key=lambda one: one.heard, default=None)
        if silent is None:
            return False
        silent.abort()
        self.leave(silent)
        return True


class Connection(asyncio.Protocol):
    """One writer."""

    _transport: asyncio.Transport

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self._session = doorway.new_session()
        self._stream = MessageStream()
        self._in_flight = 0
        self._closing = False
        self.blocked_since = 0.0
        self.heard = doorway.loop.time()  # when the last whole request came

    @property
    def is_stranger(self) -> bool:
        """Whether no writer's key was proven here, and nothing waits for the disk."""
        return not self._session.proven and not self._in_flight

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._transport = transport
        if not self._doorway.has_room():
            transport.write(encode_response(0, Status.OVERLOADED, None))
            transport.close()
            return
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._doorway.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._doorway.leave(self)

    def pause_writing(self) -> None:
        self.blocked_since = self._doorway.loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked_since = 0.0
        self._transport.resume_reading()
        self._work()

    def data_received(self, data: bytes) -> None:
        try:
            self._stream.feed(data)
        except MessageError as error:
            self._fail(error)
            return
        self._work()

    def send(self, data: bytes) -> None:
        """Take a sealed bundle of this connection, at the end of the turn."""
        if not self._transport.is_closing():
            self._transport.write(data)
        if self._closing and not self._in_flight:
            self._transport.close()

    def close_when_done(self) -> None:
        """Take no more requests; close when those taken are answered."""
        self._closing = True
        if not self._in_flight:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _work(self) -> None:
        """Take requests while the client reads and not too many batches wait for the disk."""
        while self._in_flight < IN_FLIGHT and not self.blocked_since and not self._closing:
            try:
                messages, wire = self._stream.take(1)
            except MessageError as error:
                self._fail(error)
                return
            if not messages:
                self._transport.resume_reading()
                return
            self.heard = self._doorway.loop.time()
            answer = self._session.answer(messages[0])
            if isinstance(answer, bytes):
                self._doorway.turn.add(self, 1, wire, answer)
            else:
                self._commit(answer, wire)
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _commit(self, batch: Batch | SystemBatch, wire: bytes) -> None:
        self._in_flight += 1

        def done(result: list[Outcome] | BiaoshiError) -> None:
            self._in_flight -= 1
            self._doorway.turn.add(self, 1, wire, batch.response(result))
            if not self._transport.is_closing():
                self._work()

        self._doorway.committer.submit(batch.writes, done)

    def _fail(self, error: MessageError) -> None:
        self._doorway.turn.flush()
        self._transport.write(encode_failure(0, error))
        self._transport.close()


class OpenRegistry(NamedTuple):
    """A registry that serves: the store that it writes, and how to have it take up renewed keys."""

    store: LmdbStore
    take_up: Callable[[OwnKeys], None]


async def serve(settings: Settings, port: int) -> None:
    """Answer on ``port`` until SIGTERM."""
    log = set_up_log(settings.log, "registry")
    stop = stop_event()
    zone = normal_zone_text(settings.node.prefix)
    async with open_registry(settings, zone, _own_keys(settings, zone), port, log) as registry:

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
    settings: Settings, zone: str, own: OwnKeys, port: int, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[OpenRegistry]:
    """Answer on ``port`` until the end of the block. Raises :class:`OSError`, :class:`~protocol.errors.StoreError`,
    :class:`~protocol.errors.SettingsError`, :class:`BadKeyFile`."""
    store = LmdbStore(settings.store_path)
    store.clear_stale_readers()
    loop = asyncio.get_running_loop()
    turn = Turn(own.key, loop.call_soon, lambda: time.time_ns() // 1_000_000, store.rest)
    threading.excepthook = _end_with_committer
    committer = Committer(store, loop.call_soon_threadsafe, lambda: int(time.time()))
    facts = NodeFacts(settings.node.role, zone, software(), own.chain, own=own)
    writers = {
        PublicKey.parse(writer.key): [normal_zone_text(prefix) for prefix in writer.prefixes]
        for writer in settings.registry.writers
    }
    rights = Rights(writers, zone, own.zone_keys)
    delegations = Delegations(store, Parent.of(zone, own), time.time)
    started = time.monotonic()

    recent_counts = RecentCounts(store.counts)

    def status() -> dict[str, object]:
        counts = recent_counts()
        return {
            "role": facts.role, "zone": zone, "software": facts.software, "registered": sum(counts.active.values()),
            "prefixes": len(counts.active), "changes": counts.changes, "store_bytes": counts.bytes_used,
            "uptime_s": int(time.monotonic() - started), "worker": os.getpid(), **facts.status(int(time.time())),
        }  # fmt: skip

    period = settings.statistics.period

    def take_up(renewed: OwnKeys) -> None:
        turn.key = renewed.key
        facts.take_up(renewed)
        rights.take_up(renewed.zone_keys)
        delegations.parent = Parent.of(zone, renewed)

    doorway = Doorway(turn, committer, lambda: Session(store, facts, rights, status, delegations, period=period), loop)
    host = settings.registry.host
    server = await loop.create_server(doorway.accept, sock=bind(host, port, socket.SOCK_STREAM))
    sweeper = asyncio.create_task(_sweep(doorway, store))
    log.info("serving", host=host, port=port, zone=zone, writers=len(settings.registry.writers))
    stop_statistics = start_statistics(
        settings, zone, store, committer, lambda: (turn.key, facts.chain.online_keys[0]), log
    )
    try:
        yield OpenRegistry(store, take_up)
    finally:
        log.info("stopping", connections=len(doorway.open))
        server.close()
        for connection in list(doorway.open):
            connection.close_when_done()
        await stop_statistics()
        await asyncio.to_thread(committer.stop)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await doorway.empty.wait()
        sweeper.cancel()
        store.close()


def _own_keys(settings: Settings, zone: str) -> OwnKeys:
    """The keys that ``[keys]`` names, judged as of now."""
    identity = read_identity(settings)
    return own_keys(zone, *identity, now=int(time.time()))


def _end_with_committer(failure: threading.ExceptHookArgs) -> None:
    """A writing thread that died takes its process along: writers must not wait for ever, and the supervisor starts the
    registry again."""
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    os._exit(1)


async def _sweep(doorway: Doorway, store: LmdbStore) -> None:
    while True:
        await asyncio.sleep(STALE_READERS_SECONDS)
        doorway.sweep()
        store.clear_stale_readers()


def main() -> None:
    """Entry point of the process."""
    config, port = sys.argv[1:]
    try:
        run(serve(load_settings(Path(config)), int(port)))
    except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
        raise SystemExit(f"registry: {error}") from None


if __name__ == "__main__":
    main()
