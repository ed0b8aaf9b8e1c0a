"""One question by datagram, and one UDP socket to one address."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Final, NamedTuple, cast

from protocol.address import Address
from protocol.errors import BiaoshiError, NotVerified, Unreachable
from protocol.exchange import Exchange, Reply, UnprovenReply
from protocol.limits import UDP_REQUEST_BYTES
from protocol.messages import MAX_RID, Op
from protocol.status import Status
from protocol.trust import UNKNOWN_KEY, Verifier
from resolver.client.connection import NO_CONNECTION, now_ms
from resolver.client.pace import BUSY, RoundTrips

CHAIN_PAUSE_S: Final = 0.05
"""Seconds after the first request for the chain before the next; after each one that waits for its answer, twice as
long."""

CHAIN_LIFE_S: Final = 5.0
"""Seconds that such a request waits, so that on a slow line too one of them is answered in time. There are never
more than eight, as the pauses grow."""

KEPT_DATAGRAMS: Final = 256
"""Datagrams under an unknown key that wait for the chain: 60 kB of usual ones. Strangers can push true ones out; these
are asked for again."""


class Question:
    """What one call wants to know. It may be asked in several datagrams, to several servers, and each of them stays
    open until the call ends: the first true answer to any settles it."""

    def __init__(self, identifier: bytes) -> None:
        self.identifier = identifier
        self.reply: UnprovenReply | None = None
        """The verified reply, or a TRUNCATED without proof as long as there is no other."""
        self.busy: Reply | None = None
        """A refusal for now, from whoever said so last."""
        self.turned_away = False
        """Whether whoever was asked last seems not to answer."""
        self._asked: list[tuple[DatagramConnection, int]] = []
        self._wake: asyncio.Future[None] | None = None
        self._patient = False

    @property
    def silent(self) -> bool:
        """Whether it was asked, and nobody has said anything."""
        return bool(self._asked) and self.reply is None and self.busy is None

    async def wait(self, seconds: float, *, patient: bool = False) -> None:
        """Return with the reply or when the time is over; unless ``patient``, also when turned away."""
        if self.reply is not None or (self.turned_away and not patient):
            return
        self._patient = patient
        self._wake = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._wake
        except TimeoutError:
            pass
        finally:
            self._wake = None

    def close(self) -> None:
        """The call is over: forget all its datagrams."""
        for connection, rid in self._asked:
            connection.forget(rid)
        self._asked.clear()

    def asked(self, connection: DatagramConnection, rid: int) -> None:
        """Take note of a datagram that is about to be sent."""
        self._asked.append((connection, rid))
        self.turned_away = False

    def settle(self, reply: UnprovenReply, connection: DatagramConnection) -> None:
        """Take a reply to one of the datagrams."""
        if isinstance(reply, Reply):
            if Status.named(reply.status) in BUSY:
                self.busy = reply
                self.turn_away(connection)
                return
            self.reply = reply
        elif self.reply is None:
            self.reply = reply
        self._awake()

    def turn_away(self, connection: DatagramConnection) -> None:
        """This server will not answer. It counts only where it was asked last: others may still answer."""
        if self._asked and self._asked[-1][0] is connection:
            self.turned_away = True
            if not self._patient:
                self._awake()

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class _Sent(NamedTuple):
    question: Question
    at: float


class DatagramConnection(asyncio.DatagramProtocol):
    """A UDP socket connected to one address. It never fails a question: datagrams get lost, and what a network
    reports of them proves nothing."""

    _transport: asyncio.DatagramTransport

    def __init__(self, address: Address, verifier: Verifier) -> None:
        self.address = address
        self.usable = True
        """Whether the socket is open."""
        self.exchange = Exchange(verifier, random.getrandbits(64) & MAX_RID)
        self.round_trips = RoundTrips()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, _Sent] = {}
        self._chains_asked: dict[int, float] = {}
        self._chain_again = 0.0
        self._chain_timer: asyncio.TimerHandle | None = None
        self._kept: deque[bytes] = deque(maxlen=KEPT_DATAGRAMS)

    @classmethod
    async def open(cls, address: Address, verifier: Verifier) -> DatagramConnection:
        """Open the socket; whether anybody is there shows with the first reply. Raises :class:`Unreachable` where
        there is no way at all."""
        try:
            _, connection = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(address, verifier), remote_addr=(address.host, address.port)
            )
        except OSError as error:
            raise Unreachable(NO_CONNECTION, server=str(address), reason=error.strerror or str(error)) from error
        return connection

    @property
    def load(self) -> int:
        """Datagrams whose calls go on."""
        return len(self._waiting)

    def ask(self, question: Question) -> None:
        """Send a question, once."""
        # A rid of its own for each time, so that it is known how long the answer took.
        rid, wire = self.exchange.ask(Op.RESOLVE, question.identifier, 0, _padding(question.identifier))
        self._waiting[rid] = _Sent(question, self._loop.time())
        question.asked(self, rid)
        self._send(wire)

    def forget(self, rid: int) -> None:
        """Nobody waits for this answer any more."""
        self._waiting.pop(rid, None)
        self.exchange.forget(rid)
        if not self._waiting:
            self._kept.clear()

    def close(self) -> None:
        """Close the socket; those who wait have to ask elsewhere."""
        if self.usable:
            self._transport.close()
            self._end()

    # What the loop calls ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's has the methods, not the base class

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._read(data):
            self._kept.append(data)
            self._want_chain()

    def error_received(self, exc: Exception) -> None:
        # Nobody there, no way, a buffer that is full: all may pass, and anybody can forge the first. So this is a
        # reason to ask elsewhere or again, and no more; the answer to what was asked may still come.
        self._turn_away()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # Answers ----------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> bool:
        """Take what a datagram answers; false where its key is unknown."""
        try:
            replies = self.exchange.receive_datagram(data, now_ms())
        except NotVerified as error:
            return error.rule is not UNKNOWN_KEY
        except BiaoshiError:
            return True  # forged, damaged or a duplicate: the true answer may still come
        for reply in replies:
            self._take(reply)
        return True

    def _take(self, reply: UnprovenReply) -> None:
        if reply.rid in self._chains_asked:
            self._take_chain(reply)
        elif (sent := self._waiting.get(reply.rid)) is not None:
            if isinstance(reply, Reply):
                del self._waiting[reply.rid]
                self.round_trips.add(self._loop.time() - sent.at)
            sent.question.settle(reply, self)

    def _take_chain(self, reply: UnprovenReply) -> None:
        if not isinstance(reply, Reply):  # it does not fit a datagram, and without it no answer can be verified
            for sent in list(self._waiting.values()):
                sent.question.settle(reply, self)
            return
        self._forget_chains(float("inf"))
        kept = list(self._kept)
        self._kept.clear()
        for data in kept:
            self._read(data)  # what this chain does not vouch for either is thrown away

    def _want_chain(self) -> None:
        """Have the chain asked for once the pause is over, and again as long as something waits for it."""
        if self._chain_timer is None:
            self._chain_timer = self._loop.call_at(self._chain_again, self._ask_chain)

    def _ask_chain(self) -> None:
        self._chain_timer = None
        if not self._kept:
            return
        now = self._loop.time()
        self._forget_chains(now - CHAIN_LIFE_S)
        self._chain_again = now + CHAIN_PAUSE_S * 2 ** len(self._chains_asked)
        rid, wire = self.exchange.ask(Op.CHAIN, bytes(UDP_REQUEST_BYTES - 14))  # 14: array, op, rid and head
        self._chains_asked[rid] = now
        self._send(wire)
        self._want_chain()

    def _forget_chains(self, before: float) -> None:
        for rid in [rid for rid, at in self._chains_asked.items() if at < before]:
            del self._chains_asked[rid]
            self.exchange.forget(rid)

    def _end(self) -> None:
        self.usable = False
        self._kept.clear()
        if self._chain_timer is not None:
            self._chain_timer.cancel()
        self._turn_away()

    def _turn_away(self) -> None:
        for sent in list(self._waiting.values()):
            sent.question.turn_away(self)

    def _send(self, wire: bytes) -> None:
        if self.usable:
            self._transport.sendto(wire)
        else:
            self._turn_away()


def _padding(identifier: bytes) -> bytes:
    """Zeros that bring a resolve to ``UDP_REQUEST_BYTES``."""
    # Array, op and rid; head and bytes of the identifier; flags. A head has 2 bytes up to 255 bytes, otherwise 3.
    room = UDP_REQUEST_BYTES - (11 + (2 if len(identifier) <= 255 else 3) + len(identifier) + 1)
    return bytes(max(0, room - 3 if room > 258 else room - 2))
