"""UDP lines that do what they are told: they lose, double, delay, damage, forge, or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

from protocol.messages import Op
from tests.resolver.servers import Server

Way = Callable[["Line", bytes], None]


def through(line: Line, data: bytes) -> None:
    """Pass a question on."""
    line.to_server(data)


def back(line: Line, data: bytes) -> None:
    """Pass an answer on."""
    line.to_client(data)


def nowhere(line: Line, data: bytes) -> None:
    """Lose it."""


class Line(asyncio.DatagramProtocol):
    """A proxy between a client and a server. ``there`` says what becomes of the client's datagrams, ``here`` of the
    server's; each may call :meth:`to_server` and :meth:`to_client`, or not."""

    def __init__(self, server: Server | None, there: Way, here: Way) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = None if server is None else (server.host, server.port)
        self._client: tuple[str, int] | None = None
        self.clients: set[tuple[str, int]] = set()
        self.there = there
        self.here = here
        self.asked: list[bytes] = []
        """What the client has sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not to be checked with isinstance: asyncio's own did not have the base class before Python 3.13.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._server:
            self.here(self, data)
        else:
            self._client = addr
            self.clients.add(addr)
            self.asked.append(data)
            self.there(self, data)

    def to_server(self, data: bytes, delay: float = 0.0) -> None:
        """Send to the server, in ``delay`` seconds."""
        self._loop.call_later(delay, self._send, data, self._server)

    def to_client(self, data: bytes, delay: float = 0.0) -> None:
        """Send to the client, in ``delay`` seconds."""
        self._loop.call_later(delay, self._send, data, self._client)

    def count(self, op: Op) -> int:
        """How often the client has asked for an operation."""
        return sum(data[1] == op for data in self.asked)

    @property
    def address(self) -> str:
        """``host:port``. Nobody listens there for TCP."""
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def close(self) -> None:
        """Let the address go."""
        self._transport.close()

    def _send(self, data: bytes, target: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, target)


@contextlib.asynccontextmanager
async def a_line(server: Server | None, there: Way = through, here: Way = back) -> AsyncIterator[Line]:
    """A line to a server, or to nobody."""
    loop = asyncio.get_running_loop()
    _, line = await loop.create_datagram_endpoint(lambda: Line(server, there, here), local_addr=("127.0.0.1", 0))
    try:
        yield line
    finally:
        line.close()


MOST_DELAY_S: Final = 0.02


def bad_weather(seed: int, loss: float, damage: float = 0.1) -> Callable[[bytes], list[tuple[bytes, float]]]:
    """What becomes of a datagram: copies with their delays. Some are lost, some doubled, some damaged (one bit), and
    the order changes."""
    source = random.Random(seed)

    def copies(data: bytes) -> list[tuple[bytes, float]]:
        sent = []
        for _ in range(source.choice([1, 1, 2])):
            if source.random() < loss:
                continue
            copy = data
            if source.random() < damage:
                at = source.randrange(len(data))
                copy = data[:at] + bytes((data[at] ^ 1 << source.randrange(8),)) + data[at + 1 :]
            sent.append((copy, source.random() * MOST_DELAY_S))
        return sent

    return copies


def bad(seed: int, loss: float, damage: float = 0.1) -> dict[str, Way]:
    """Both ways of a line under bad weather."""
    copies = bad_weather(seed, loss, damage)

    def there(line: Line, data: bytes) -> None:
        for copy, delay in copies(data):
            line.to_server(copy, delay)

    def here(line: Line, data: bytes) -> None:
        for copy, delay in copies(data):
            line.to_client(copy, delay)

    return {"there": there, "here": here}
