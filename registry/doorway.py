"""The connections of a registry: requests in, sealed answers out.

A connection may have ``IN_FLIGHT`` batches waiting for the disk, or for a follower; its further requests wait in the
kernel. What is answered at once shares ``TURN_SECONDS`` of a turn, and one connection gets at most ``TURN_BYTES`` in
it; what does not fit queues up, a connection behind the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from protocol.errors import BiaoshiError, MessageError
from protocol.framing import MessageStream
from protocol.messages import encode_failure, encode_response
from protocol.shares import Shares
from protocol.status import Status
from protocol.turn import Turn
from registry.acknowledging import Acknowledging, Submit
from registry.delegations import SystemBatch
from registry.feeding import Poll
from registry.followers import Followers
from registry.polls import Polls
from registry.putback import PutBack
from registry.session import Batch, Session
from registry.store.interface import Reader
from registry.store.writes import Outcome

IN_FLIGHT: Final = 16
"""Write requests of one connection that may wait for the disk: at most 16 MiB."""

TURN_SECONDS: Final = 0.02
"""Seconds from the first request of a turn until further ones wait for the next. The dearest requests, a batch of
10,000 writes or a page of a megabyte, take longer than this by themselves, so a turn has one of them."""

TURN_BYTES: Final = 2 << 20
"""Bytes of answers after which a connection waits for the next turn: two pages of the greatest size."""

UNREAD_BYTES: Final = 4 << 20
"""Bytes of answers that may wait for a client to read them."""

UNREAD_SECONDS: Final = 30.0
"""How long they may wait before the client is dropped."""

MAX_CONNECTIONS: Final = 1_000
"""Connections at one time. Writers are few; each may hold up to 16 MiB. Where there are as many, the stranger that has
been silent for longest makes room for the next, so that strangers keep no writer out."""

STRANGER_SECONDS: Final = 60.0
"""How long a connection on which no key was proven may go without a whole request. What strangers ask for takes no time
in between; a writer may be silent while it sorts a large import."""


class Doorway:
    """What a registry's connections share."""

    def __init__(
        self,
        turn: Turn,
        store: Reader,
        submit: Submit,
        new_session: Callable[[], Session],
        followers: Followers,
        put_back: PutBack,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.turn = turn
        self.acknowledging = Acknowledging(submit, store, followers, put_back, loop.time)
        self.new_session = new_session
        self.followers = followers
        self.polls = Polls(turn, followers, put_back, loop.time)
        self.loop = loop
        self.open: set[Connection] = set()
        self.empty = asyncio.Event()
        self.empty.set()
        self.shares = Shares(TURN_SECONDS, loop.call_soon, time.perf_counter)

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

    def tick(self) -> None:
        """Answer those who have waited long enough, for news or for a follower; to be called about twice a second."""
        self.polls.expire()
        self.followers.expire(self.loop.time())

    def close(self) -> None:
        """Answer those who wait for news, and close each connection once all that it was taken is answered."""
        self.polls.end()
        self.turn.flush()
        for connection in list(self.open):
            connection.close_when_done()

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
        self._pending = 0  # bytes of answers that wait for the end of the turn
        self._queued = False
        self._closing = False
        self.blocked_since = 0.0
        self.heard = doorway.loop.time()  # when the last whole request came

    @property
    def is_stranger(self) -> bool:
        """Whether no key was proven here, and nothing waits for the disk."""
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
        self._doorway.polls.drop(self)
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
        self._pending = 0
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

    def go_on(self) -> None:
        """Take the requests that had to wait for this turn."""
        self._queued = False
        if not self._transport.is_closing():
            self._work()

    def _work(self) -> None:
        """Take requests while the client reads, the turn has room and not too many batches wait for the disk."""
        while self._in_flight < IN_FLIGHT and not self.blocked_since and not self._closing and not self._queued:
            if self._pending > TURN_BYTES or not self._doorway.shares.has_time():
                self._queued = True
                self._doorway.shares.queue(self)
                break
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
                self._pending += len(answer)
                self._doorway.turn.add(self, 1, wire, answer)
            elif isinstance(answer, Poll):
                self._doorway.polls.ask(self, answer, wire)
            else:
                self._commit(answer, wire)
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _commit(self, batch: Batch | SystemBatch, wire: bytes) -> None:
        acknowledging = self._doorway.acknowledging
        try:
            acknowledging.check()
        except BiaoshiError as error:
            self._doorway.turn.add(self, 1, wire, batch.response(error))
            return
        self._in_flight += 1
        acknowledging.carry_out(batch.writes, len(wire), partial(self._carried_out, batch, wire))

    def _carried_out(self, batch: Batch | SystemBatch, wire: bytes, result: list[Outcome] | BiaoshiError) -> None:
        """A batch is where it has to be, or could not be carried out, or that is not known."""
        self._answer(wire, batch.response(result))

    def _answer(self, wire: bytes, response: bytes) -> None:
        self._in_flight -= 1
        self._pending += len(response)
        self._doorway.turn.add(self, 1, wire, response)
        if not self._transport.is_closing():
            self._work()

    def _fail(self, error: MessageError) -> None:
        self._doorway.turn.flush()
        self._transport.write(encode_failure(0, error))
        self._transport.close()
