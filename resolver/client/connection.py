"""The client's sockets: thin shells around :class:`~protocol.exchange.Exchange`."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final, cast

from protocol.address import Address
from protocol.errors import BiaoshiError, Rule, Unreachable
from protocol.exchange import Exchange, UnprovenReply
from protocol.limits import PROTOCOL_VERSION, UDP_REQUEST_BYTES
from protocol.messages import MAX_RID, Ask, Op
from protocol.status import Status
from protocol.trust import Chain, Verifier

NO_CONNECTION: Final = Rule(
    "client.no-connection",
    Status.UNREACHABLE,
    "no connection to {server}: {reason}. Is the node running, and is the address right?",
    "无法连接 {server}：{reason}。请确认节点正在运行且地址正确",
)
LOST: Final = Rule(
    "client.connection-lost",
    Status.UNREACHABLE,
    "the connection to {server} was closed before the answer came",
    "在收到应答之前，与 {server} 的连接已关闭",
)


CHAIN_PAUSE_S: Final = 0.05
"""Seconds between two requests for the chain over UDP."""


def now_ms() -> int:
    """The clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class _Asking:
    """What both transports share: futures by rid, and the chain on demand."""

    def __init__(self, server: Address, verifier: Verifier | None) -> None:
        self.server = server
        self.exchange = Exchange(verifier, random.getrandbits(64) & MAX_RID)
        self._waiting: dict[int, asyncio.Future[UnprovenReply]] = {}
        self._failure: BiaoshiError | None = None

    @property
    def usable(self) -> bool:
        """Whether requests may still be sent."""
        return self._failure is None

    @property
    def chain(self) -> Chain | None:
        """The chain that the node showed, once it was verified."""
        return self.exchange.chain

    @property
    def load(self) -> int:
        """Requests that wait for their answer."""
        return len(self._waiting)

    def ask(self, op: Op, *arguments: object) -> asyncio.Future[UnprovenReply]:
        """Send a request; the future gives its verified reply or raises :class:`BiaoshiError`."""
        future: asyncio.Future[UnprovenReply] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            future.set_exception(self._failure)
            return future
        rid, wire = self.exchange.ask(op, *arguments)
        self._waiting[rid] = future
        future.add_done_callback(lambda done: self._over(rid, done))
        self._send(wire)
        return future

    def _over(self, rid: int, done: asyncio.Future[UnprovenReply]) -> None:
        """A request is settled, or nobody waits for it any more."""
        self._waiting.pop(rid, None)

    def _send(self, wire: bytes) -> None:
        raise NotImplementedError

    def _settle(self, replies: list[UnprovenReply]) -> None:
        for reply in replies:
            future = self._waiting.pop(reply.rid, None)
            if future is not None and not future.done():
                future.set_result(reply)

    def _fail(self, error: BiaoshiError) -> None:
        if self._failure is None:
            self._failure = error
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(self._failure)


class StreamConnection(_Asking, asyncio.Protocol):
    """A TCP connection."""

    _transport: asyncio.Transport

    @classmethod
    async def open(cls, server: Address, verifier: Verifier | None) -> StreamConnection:
        """Connect and ask for the chain. Raises :class:`Unreachable`."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: cls(server, verifier), server.host, server.port)
        except OSError as error:
            raise Unreachable(NO_CONNECTION, server=str(server), reason=error.strerror or str(error)) from error
        if verifier is None:
            connection._forget(connection.ask(Op.HELLO, PROTOCOL_VERSION, int(Ask.UNSEALED)))
        else:
            connection._forget(connection.ask(Op.CHAIN))
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._settle(self.exchange.receive(data, now_ms()))
        except BiaoshiError as error:
            self._fail(error)
            self._transport.abort()
            return
        if self.exchange.wants_chain:
            self._forget(self.ask(Op.CHAIN))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Unreachable(LOST, server=str(self.server)))

    def close(self) -> None:
        """Close; what waits fails."""
        self._fail(Unreachable(LOST, server=str(self.server)))
        self._transport.close()

    def _send(self, wire: bytes) -> None:
        self._transport.write(wire)

    @staticmethod
    def _forget(future: asyncio.Future[UnprovenReply]) -> None:
        """Nobody waits for this reply: its failure is everybody's, and told there."""
        future.add_done_callback(lambda done: done.cancelled() or done.exception())


class DatagramConnection(_Asking, asyncio.DatagramProtocol):
    """A UDP socket connected to one server. Replies may get lost: whoever asks sets a time-out and asks again."""

    _transport: asyncio.DatagramTransport
    _chain_asked: asyncio.Future[UnprovenReply] | None = None
    _chain_again = 0.0

    @classmethod
    async def open(cls, server: Address, verifier: Verifier) -> DatagramConnection:
        """Open the socket; whether anybody is there shows with the first reply. Raises :class:`Unreachable`."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_datagram_endpoint(
                lambda: cls(server, verifier), remote_addr=(server.host, server.port)
            )
        except OSError as error:
            raise Unreachable(NO_CONNECTION, server=str(server), reason=error.strerror or str(error)) from error
        return connection

    def ask_resolve(self, identifier: bytes) -> asyncio.Future[UnprovenReply]:
        """Resolve, with padding that leaves room for the answer."""
        # Array, op, rid, string head, flags and padding head take 18 bytes.
        return self.ask(Op.RESOLVE, identifier, 0, bytes(max(0, UDP_REQUEST_BYTES - 18 - len(identifier))))

    def _over(self, rid: int, done: asyncio.Future[UnprovenReply]) -> None:
        super()._over(rid, done)
        if done.cancelled():  # lost, perhaps: unlike on a stream, no later seal needs its question
            self.exchange.forget(rid)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.DatagramTransport, transport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            self._settle(self.exchange.receive_datagram(data, now_ms()))
        except BiaoshiError:
            return  # forged, damaged or a duplicate: the true answer may still come
        if self.exchange.drop_aside():
            self._want_chain()

    def _want_chain(self) -> None:
        """Ask for the chain, again where the last such request seems lost; answers under an unknown key are not kept
        meanwhile, since whoever waits for one asks again."""
        now = asyncio.get_running_loop().time()
        if now >= self._chain_again:
            self._chain_again = now + CHAIN_PAUSE_S
            if self._chain_asked is not None:
                self._chain_asked.cancel()
            self._chain_asked = self.ask(Op.CHAIN, bytes(UDP_REQUEST_BYTES - 14))

    def error_received(self, exc: Exception) -> None:
        self._fail(Unreachable(NO_CONNECTION, server=str(self.server), reason=str(exc)))

    def close(self) -> None:
        """Close; what waits fails."""
        self._fail(Unreachable(LOST, server=str(self.server)))
        self._transport.close()

    def _send(self, wire: bytes) -> None:
        self._transport.sendto(wire)
