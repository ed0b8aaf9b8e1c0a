"""Proxies before real nodes, by which a network is hurt: TCP and UDP, on a loop and a thread of their own.

A line that is *cut* is cut as a network is: datagrams are gone; what is on its way in a stream waits, as TCP would send
it again, and goes on when the line is whole again; who connects gets no answer at all. ``weather`` makes of each
datagram the copies that arrive, with their delays.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar, cast

import uvloop

Result = TypeVar("Result")
Where = tuple[str, int]
Weather = Callable[[bytes], Iterable[tuple[bytes, float]]]

SEEN_DATAGRAMS: Final = 1_000
"""Clients of one line whose datagrams are told apart; beyond, the first are forgotten."""


def fair(data: bytes) -> list[tuple[bytes, float]]:
    """Every datagram arrives, once and at once."""
    return [(data, 0.0)]


class Proxies:
    """The loop and the thread on which lines live."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._lines: list[Line] = []

    def line(self, stated: Where, real: Where, *, datagrams: bool = True) -> Line:
        """A line from the address that others know to the one where the node is."""
        line = Line(stated, real)
        self.do(line.open(datagrams))
        self._lines.append(line)
        return line

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something on the loop of the lines."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def cut(self, lines: Iterable[Line]) -> None:
        """Let nothing through."""
        for line in lines:
            self.do(line.cut())

    def heal(self, lines: Iterable[Line]) -> None:
        """Let everything through again."""
        for line in lines:
            self.do(line.heal())

    def close(self) -> None:
        """Close all lines and end the thread."""
        for line in self._lines:
            self.do(line.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Line:
    """One address, and what lies behind it. ``real`` may be changed: who connects from then on comes there."""

    def __init__(self, stated: Where, real: Where) -> None:
        self.stated = stated
        self.real = real
        self.weather: Weather = fair
        self.is_cut = False
        self.ends: set[_End] = set()
        self._fillers: list[socket.socket] = []
        self._datagrams: asyncio.DatagramTransport | None = None
        self.paths: dict[Where, asyncio.DatagramTransport] = {}

    async def open(self, datagrams: bool) -> None:
        """Listen."""
        self.loop = asyncio.get_running_loop()
        self._listening = socket.create_server(self.stated, backlog=200)
        self._listening.setblocking(False)
        self.loop.add_reader(self._listening, self._accept)
        if datagrams:
            made = await self.loop.create_datagram_endpoint(lambda: _Door(self), local_addr=self.stated)
            self._datagrams = made[0]

    async def cut(self) -> None:
        """Let nothing through."""
        self.is_cut = True
        for end in self.ends:
            end.hold()
        self.loop.remove_reader(self._listening)
        # A queue that is full: who connects now hears nothing, not even a refusal.
        self._listening.listen(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.stated)
            self._fillers.append(filler)

    async def heal(self) -> None:
        """Let everything through again."""
        self.is_cut = False
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._listening.listen(200)
        self.loop.add_reader(self._listening, self._accept)
        for end in self.ends:
            end.go_on()

    async def reset(self) -> None:
        """Break all connections."""
        for end in list(self.ends):
            end.transport.abort()

    async def close(self) -> None:
        """Let the address go."""
        self.loop.remove_reader(self._listening)
        self._listening.close()
        for filler in self._fillers:
            filler.close()
        await self.reset()
        for transport in (*self.paths.values(), self._datagrams):
            if transport is not None:
                transport.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self._listening.accept()
            sock.setblocking(False)
            self._keep(self.loop.create_task(self._connect(sock)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _connect(self, sock: socket.socket) -> None:
        """Connect both ends, or close the one that came."""
        try:
            _, there = await self.loop.create_connection(lambda: _End(self), *self.real)
        except OSError:
            sock.close()
            return
        _, here = await self.loop.connect_accepted_socket(lambda: _End(self), sock)
        there.meet(here)
        here.meet(there)

    def from_client(self, data: bytes, client: Where) -> None:
        """A client's datagram, on its way to the node."""
        if self.is_cut:
            return
        path = self.paths.get(client)
        if path is None:
            self._keep(self.loop.create_task(self._open_path(data, client)))
        else:
            self._send(path, data)

    def to_client(self, data: bytes, client: Where) -> None:
        """The node's answer."""
        if not self.is_cut and self._datagrams is not None:
            self._send(self._datagrams, data, client)

    async def _open_path(self, data: bytes, client: Where) -> None:
        made = await self.loop.create_datagram_endpoint(lambda: _Path(self, client), remote_addr=self.real)
        if len(self.paths) >= SEEN_DATAGRAMS:
            self.paths.pop(next(iter(self.paths))).close()
        self.paths[client] = made[0]
        self._send(made[0], data)

    def _send(self, transport: asyncio.DatagramTransport, data: bytes, client: Where | None = None) -> None:
        for copy, delay in self.weather(data):
            self.loop.call_later(delay, self._send_one, transport, copy, client)

    @staticmethod
    def _send_one(transport: asyncio.DatagramTransport, data: bytes, client: Where | None) -> None:
        if not transport.is_closing():
            transport.sendto(data, client)


class _End(asyncio.Protocol):
    """One end of a stream; what comes here goes on at the other."""

    transport: asyncio.Transport

    def __init__(self, line: Line) -> None:
        self._line = line
        self._other: _End | None = None
        self._held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._line.ends.add(self)

    def meet(self, other: _End) -> None:
        """Both are there."""
        self._other = other
        if not self._line.is_cut:
            self.go_on()

    def hold(self) -> None:
        """Take nothing more."""
        if self.transport.is_reading():
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Take what waits."""
        if self._other is None or self.transport.is_closing():
            return
        held, self._held = self._held, []
        self._other.transport.writelines(held)
        if not self.transport.is_reading():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._line.is_cut:
            self._held.append(data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.ends.discard(self)
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.close()


class _Door(asyncio.DatagramProtocol):
    """Where clients' datagrams come in."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def datagram_received(self, data: bytes, addr: Where) -> None:
        self._line.from_client(data, addr)


class _Path(asyncio.DatagramProtocol):
    """Where the node's answers for one client come in."""

    def __init__(self, line: Line, client: Where) -> None:
        self._line = line
        self._client = client

    def datagram_received(self, data: bytes, addr: Where) -> None:
        self._line.to_client(data, self._client)
