"""TCP connections: requests in, sealed bundles out, and bounds for those who do not read.

A connection is answered as far as its client reads: when ``UNREAD_BYTES`` of answers wait, its requests wait too,
unread in the kernel once ``protocol.limits`` allows no more; a client that lets them wait longer than
``UNREAD_SECONDS`` is dropped. One connection gets at most ``TURN_BYTES`` of answers in a turn (and the rest of the
slice it was in), then the others have theirs. Plain resolves are answered as they come in; all else shares
``CARE_SECONDS`` of a turn, and what does not fit queues up, a connection behind the other.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from protocol import limits
from protocol.errors import MessageError
from protocol.framing import MessageStream, split
from protocol.messages import MAX_RID, Ask, Op, encode_failure, encode_response
from protocol.runs import read_run, read_single
from protocol.shares import Shares
from protocol.status import Status
from protocol.turn import Turn
from registry.store.counters import (
    TCP_BUNDLES,
    TCP_BYTES,
    TCP_CONNECTIONS,
    TCP_DROPPED,
    TCP_REQUESTS,
    Tally,
    new_tally,
)
from resolver.answering import Answering
from resolver.authenticating import AUTHENTICATING, Authentication
from resolver.readers import Readers

SLICE: Final = 256
"""Requests answered at once. With records of the greatest size their answers take 8 MiB, which bounds what a
connection can hold beyond ``UNREAD_BYTES``; larger slices were no faster."""

TURN_BYTES: Final = 262_144
"""Bytes of answers after which a connection waits for the next turn."""

CARE_SECONDS: Final = 0.005
"""Seconds from the first request of a turn that is no plain resolve until further ones have to wait for the next turn.
A resolve-many of a thousand unknown identifiers is 6 ms of work: whatever others ask, a plain resolve waits for no
more than this and one of these."""

UNREAD_BYTES: Final = 1_048_576
"""Bytes of answers that may wait for a client to read them."""

UNREAD_SECONDS: Final = 30.0
"""How long they may wait before the client is dropped."""

IDLE_SECONDS: Final = 900.0
"""How long a connection may go without a whole request. Clients in the field keep idle ones for 600 s."""

MAX_CONNECTIONS: Final = 10_000
"""Connections of one worker. An idle one takes about 30 kB."""


def count_bundles(tally: Tally, counts: list[int], responses: list[bytes]) -> None:
    """Count the bundles of a turn, each given by its number of responses and their bytes: once for all of them, since
    an addition for each would be felt by clients that do not pipeline."""
    tally[TCP_REQUESTS] += sum(counts)
    tally[TCP_BUNDLES] += len(counts)
    tally[TCP_BYTES] += sum(map(len, responses))


class Connections:
    """The connections of a worker, and the sweep that drops those that overstay."""

    def __init__(
        self,
        answerer: Answering,
        turn: Turn,
        loop: asyncio.AbstractEventLoop,
        *,
        unsealed: bool,
        readers: Readers | None = None,
        tally: Tally | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``readers`` are those who may prove who they are, None where nobody may. ``clock`` is for ``shares``: what is
        no plain resolve has its share of a turn."""
        self.answerer = answerer
        self.readers = readers
        self.turn = turn
        self.loop = loop
        self.unsealed_allowed = unsealed
        self.tally = new_tally() if tally is None else tally
        self.open: set[Connection] = set()
        self.blocked: dict[Connection, float] = {}
        self.closing = False
        self.empty = asyncio.Event()
        self.empty.set()
        self.shares = Shares(CARE_SECONDS, loop.call_soon, clock)

    def enter(self, connection: Connection) -> None:
        """Note a connection that is open."""
        self.tally[TCP_CONNECTIONS] += 1
        self.open.add(connection)
        self.empty.clear()

    def leave(self, connection: Connection) -> None:
        """Note a connection that is closed."""
        self.open.discard(connection)
        self.blocked.pop(connection, None)
        if not self.open:
            self.empty.set()

    def accept(self) -> Connection:
        """A new connection, for ``loop.create_server``."""
        return Connection(self)

    def sweep(self, now: float) -> None:
        """Drop clients that do not read; to be called about once a second with the loop's time."""
        for connection in [one for one, since in self.blocked.items() if now - since > UNREAD_SECONDS]:
            connection.abort()

    def sweep_idle(self) -> None:
        """Drop connections that were silent since the last call; to be called every ``IDLE_SECONDS``."""
        for connection in list(self.open):
            if not connection.active and connection not in self.blocked:
                connection.abort()
            connection.active = False

    def close(self) -> None:
        """Refuse new connections and close those that are open, once what they asked is answered."""
        self.closing = True
        self.loop.call_soon(self._close_all)

    def _close_all(self) -> None:
        self.turn.flush()
        for connection in list(self.open):
            connection.close()


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_all",
        "_answerer",
        "_authentication",
        "_backlog",
        "_ended",
        "_most",
        "_paused",
        "_pending",
        "_scheduled",
        "_sealed",
        "_stream",
        "_transport",
        "active",
        "waiting",
    )

    _transport: asyncio.Transport

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._answerer = connections.answerer  # everybody's, until a reader has proven itself
        self._authentication: Authentication | None = None
        self._stream = MessageStream()
        self._backlog: deque[tuple[object, bytes]] = deque()
        self._most = SLICE
        self._pending = 0  # bytes of answers that wait for the end of the turn
        self._paused = False  # by the transport: the client does not read
        self._scheduled = False
        self._ended = False
        self._sealed = True
        self.active = True
        self.waiting = 0  # requests that are answered later

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._transport = transport
        if self._all.closing or len(self._all.open) >= MAX_CONNECTIONS:
            self._all.tally[TCP_DROPPED] += 1
            status = Status.SHUTTING_DOWN if self._all.closing else Status.OVERLOADED
            transport.write(encode_response(0, status, None))
            transport.close()
            return
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._all.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        self._backlog.clear()

    def data_received(self, data: bytes) -> None:
        if self._answer_run(data):
            return
        try:
            self._stream.feed(data)
            if not self._scheduled:
                self._work()
        except MessageError as error:
            self._fail(error)

    def eof_received(self) -> bool:
        self._ended = True
        return self._is_owed()

    def pause_writing(self) -> None:
        self._paused = True
        self._all.blocked[self] = self._all.loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._all.blocked.pop(self, None)
        self._transport.resume_reading()
        self._schedule()

    def send(self, data: bytes) -> None:
        """Take a sealed bundle of this connection, at the end of the turn."""
        self._pending = 0
        self._transport.write(data)
        if self._ended:
            self._all.loop.call_soon(self._close_when_done)  # there may be more bundles for it in this turn

    def give_later(self, wire: bytes, response: bytes) -> None:
        """Take the response to a request that could not be answered at once."""
        if not self._transport.is_closing():
            self._give(1, wire, response)

    def close(self) -> None:
        """Close after what has been answered."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._all.tally[TCP_DROPPED] += 1
        self._transport.abort()

    def _is_owed(self) -> bool:
        """Whether answers are still to come for what the client has sent."""
        return self._scheduled or self._paused or bool(self._pending or self.waiting or self._backlog)

    def _close_when_done(self) -> None:
        if not self._is_owed():
            self._transport.close()

    # Work -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Answer what has come, as far as this turn and the client's reading allow."""
        while not self._paused:
            if self._pending > TURN_BYTES or not self._all.shares.has_time():
                self._schedule()
                return
            if self._backlog:
                self._answer_one(*self._backlog.popleft())
            elif not self._answer_slice():
                return

    def _answer_run(self, data: bytes) -> bool:
        """Answer what came in one read where it is plain resolves of one length and nothing else; False, and nothing
        done, where it is not. Nearly all that is read is so, and costs half of what the careful way takes."""
        if self._scheduled or self._paused or self._backlog or self._stream.more or self._pending > TURN_BYTES:
            return False
        answerer = self._answerer
        single = read_single(data)
        if single is not None:
            response = answerer.single(*single)
            if response is None:
                return False
            self._give(1, data, response)
            return True
        run = read_run(data, SLICE)
        parts = answerer.run(run) if run is not None else None
        if run is None or parts is None:
            return False
        self._give(len(run.echoes), data, b"".join(parts))
        return True

    def _answer_slice(self) -> bool:
        """Take and answer the next requests; False where no further one is complete."""
        messages, wire = self._stream.take(self._most)
        if not messages:
            return False
        parts = self._answerer.plain(messages)
        if parts is not None:
            self._most = SLICE
            self._give(len(messages), wire, b"".join(parts))
        else:
            pairs = [(messages[0], wire)] if len(messages) == 1 else split(wire)
            wires, responses, rest = self._answerer.apart(pairs, self)
            if responses:
                self._give(len(responses), b"".join(wires), b"".join(responses))
            # Where there is something particular: one at a time from here on, until ordinary resolves come again.
            self._most = 1 if rest else SLICE
            self._backlog.extend(rest)
        return self._stream.more or bool(self._backlog)

    def _answer_one(self, message: object, wire: bytes) -> None:
        """Answer one request in a bundle of its own."""
        if self._answerer.later(message, wire, self):
            return
        response = self._answerer.one(message)
        match message:
            case (int(op), *_) if op in AUTHENTICATING and self._all.readers is not None:
                response = self._authenticate(self._all.readers, message)
            case (Op.HELLO, int(rid), limits.PROTOCOL_VERSION, int(flags)) if (
                flags & Ask.UNSEALED and 0 <= rid <= MAX_RID
            ):
                if self._all.unsealed_allowed:
                    self._sealed = False
                else:
                    response = encode_response(rid, Status.NOT_PERMITTED, None)
        self._give(1, wire, response)

    def _authenticate(self, readers: Readers, message: object) -> bytes:
        """Have the other end prove who it is; whatever is asked from then on is answered to it."""
        if self._authentication is None:
            peer = self._transport.get_extra_info("peername")  # None where it was gone as soon as it had come
            self._authentication = Authentication(readers, peer[0] if peer else "")
        response = self._authentication.answer(message, self._all.turn.key.public)
        self._answerer = self._authentication.answerer or self._all.answerer
        return response

    def _give(self, n: int, requests: bytes, responses: bytes) -> None:
        self.active = True  # here: who sends a byte now and then, and never a whole request, is silent
        self._pending += len(responses)
        if self._sealed:
            self._all.turn.add(self, n, requests, responses)
        else:
            self._all.turn.begin()
            count_bundles(self._all.tally, [n], [responses])
            self.send(responses)

    def _schedule(self) -> None:
        """Go on in a later turn."""
        if not self._scheduled:
            self._scheduled = True
            self._transport.pause_reading()
            self._all.shares.queue(self)

    def go_on(self) -> None:
        """Answer what has waited."""
        self._scheduled = False
        if self._transport.is_closing():
            return
        try:
            self._work()
        except MessageError as error:
            self._fail(error)
        if not self._scheduled and not self._paused:
            self._transport.resume_reading()
        if self._ended:
            self._close_when_done()

    def _fail(self, error: MessageError) -> None:
        """What comes from this client cannot be understood any more: say so and close."""
        self._all.tally[TCP_DROPPED] += 1
        self._all.turn.flush()  # answers made before the fault go out first
        self._transport.write(encode_failure(0, error))
        self._transport.close()
