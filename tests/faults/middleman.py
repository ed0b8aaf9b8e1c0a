"""A man in the middle, between a client and a real node: he keeps what passes and answers what he likes.

He takes the client's requests one by one, has the node answer each, and gives the client what ``tell`` makes of that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from protocol.framing import MessageStream
from protocol.messages import Op
from protocol.seals import is_seal

READ_BYTES = 65_536


class Heard(NamedTuple):
    """A request and what the node has answered: the response and its seal."""

    op: int
    rid: int
    arguments: tuple[Any, ...]
    request: bytes
    response: bytes
    seal: bytes

    @property
    def truth(self) -> bytes:
        """What the node has sent."""
        return self.response + self.seal


Tell = Callable[[Heard], bytes]


def truth(heard: Heard) -> bytes:
    """Pass on what the node has answered."""
    return heard.truth


class MiddleMan:
    """Between clients and the node at ``real``."""

    def __init__(self, real: str) -> None:
        host, _, port = real.rpartition(":")
        self._real = host, int(port)
        self.tell: Tell = truth
        self.kept: dict[bytes, Heard] = {}
        """What was asked for by RESOLVE and answered, by identifier, while he told the truth."""
        self.handshake: Heard | None = None
        """The first CHAIN."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        from_node, to_node = await asyncio.open_connection(*self._real)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for message, wire in _messages(reader):
                to_node.write(wire)
                heard = await self._hear(message, wire, from_node)
                writer.write(self.tell(heard))
        for end in (writer, to_node):
            end.close()

    async def _hear(self, message: tuple[Any, ...], wire: bytes, from_node: asyncio.StreamReader) -> Heard:
        op, rid, *arguments = message
        parts: list[bytes] = []
        async for answer, answer_wire in _messages(from_node):
            parts.append(answer_wire)
            if is_seal(answer):
                break
        heard = Heard(op, rid, tuple(arguments), wire, *parts)
        if op == Op.RESOLVE and self.tell is truth:
            self.kept[arguments[0]] = heard
        elif op == Op.CHAIN and self.handshake is None:
            self.handshake = heard
        return heard


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[Any, bytes]]:
    stream = MessageStream()
    while data := await reader.read(READ_BYTES):
        stream.feed(data)
        for one in stream.take_each():
            yield one  # what is asked in lockstep comes one by one


@contextlib.asynccontextmanager
async def between(real: str) -> AsyncIterator[tuple[MiddleMan, str]]:
    """Him, and where clients ask him."""
    man = MiddleMan(real)
    server = await asyncio.start_server(man.handle, "127.0.0.1", 0)
    try:
        yield man, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
