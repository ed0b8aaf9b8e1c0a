"""The client's TCP connection: a thin shell around :class:`~protocol.exchange.Exchange`."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final, cast

from protocol.address import Address
from protocol.errors import BiaoshiError, Rule, Unreachable
from protocol.exchange import Exchange, UnprovenReply
from protocol.limits import PROTOCOL_VERSION
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


def now_ms() -> int:
    """The clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class StreamConnection(asyncio.Protocol):
    """A TCP connection: futures by rid, and the chain on demand."""

    _transport: asyncio.Transport

    def __init__(self, server: Address, verifier: Verifier | None) -> None:
        self.server = server
        self.exchange = Exchange(verifier, random.getrandbits(64) & MAX_RID)
        self._waiting: dict[int, asyncio.Future[UnprovenReply]] = {}
        self._failure: BiaoshiError | None = None
        self._unsent: list[bytes] = []

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

    @property
    def usable(self) -> bool:
        """Whether requests may still be sent."""
        return self._failure is None

    @property
    def peer(self) -> str:
        """The IP address at the other end; empty where there is nobody any more."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

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
        future.add_done_callback(lambda _: self._waiting.pop(rid, None))  # settled, or nobody waits for it any more
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(wire)
        return future

    def _send(self) -> None:
        """Send what was asked in this turn of the loop: one call, and the node answers it under one signature."""
        wires, self._unsent = self._unsent, []
        if self._failure is None:
            self._transport.write(b"".join(wires))

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

    @staticmethod
    def _forget(future: asyncio.Future[UnprovenReply]) -> None:
        """Nobody waits for this reply: its failure is everybody's, and told there."""
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
