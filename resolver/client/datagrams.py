"""Resolving by datagram through the servers of a zone: whom to ask, when to ask again, when to leave it to TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Final

from protocol.address import Address
from protocol.errors import Unreachable
from protocol.exchange import UnprovenReply
from protocol.status import Status
from protocol.trust import Verifier
from resolver.client.datagram import DatagramConnection, Question
from resolver.client.pace import pause

UDP_SHARE: Final = 0.5
"""Of a call's time, the part after which it is left to TCP: what a network lets through by neither should show in
time for the other."""

UDP_REST_S: Final = 30.0
"""Seconds for which TCP is asked at once where it answers and UDP, for as long, did not: some networks let no
datagram through, and every call would wait for them first."""


class Datagrams:
    """Sockets to all addresses of all servers, opened with the first question."""

    def __init__(self, servers: Sequence[Address], verifier: Verifier) -> None:
        self._servers = servers
        self._verifier = verifier
        self._connections: dict[Address, DatagramConnection] = {}
        self._complete = False
        self._opening = asyncio.Lock()
        self._first = 0
        self._heard = float("-inf")
        self._rest_until = float("-inf")

    def close(self) -> None:
        """Close all sockets."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._complete = False

    async def ask(self, question: Question, retries: int, timeout: float) -> UnprovenReply | None:
        """The reply, which may be a refusal; None where TCP is to be asked: the answer does not fit, or nobody gave
        one. ``timeout`` is in seconds for the whole call, of which this takes ``UDP_SHARE`` at most."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._rest_until:
            return None
        until = now + timeout * UDP_SHARE
        first = self._first
        for attempt in range(retries + 1):
            connections = await self._open(until)
            left = until - loop.time()
            if not connections or left <= 0:
                break
            count = len(connections)
            index = (first + attempt) % count
            rounds, turn = divmod(attempt, count)
            connection = connections[index]
            connection.ask(question)
            # What is left is divided too, so that all repetitions have room.
            patience = min(connection.round_trips.patience(rounds), left / (retries + 1 - attempt))
            await question.wait(patience)
            if question.turned_away and turn == count - 1 and attempt < retries:
                await question.wait(min(pause(rounds), patience), patient=True)
            if question.reply is not None:
                self._heard = loop.time()
                return None if question.reply.status == Status.TRUNCATED else question.reply
            if self._first % count == index:
                self._first = index + 1  # the next question begins with another
        if question.busy is None:
            # This machine may have got another address since, or the servers.
            self._complete = False
        return question.busy

    def tcp_answered(self, question: Question) -> None:
        """Take note that TCP had the answer to a question that was asked here."""
        now = asyncio.get_running_loop().time()
        if question.silent and now - self._heard > UDP_REST_S:
            self._rest_until = now + UDP_REST_S

    async def _open(self, until: float) -> list[DatagramConnection]:
        """Usable connections to all addresses to which there is a way."""
        if not self._usable():
            try:
                async with asyncio.timeout_at(until), self._opening:
                    if not self._usable():
                        await self._open_all()
            except TimeoutError:
                return []
        return list(self._connections.values())

    def _usable(self) -> bool:
        return self._complete and all(one.usable for one in self._connections.values())

    async def _open_all(self) -> None:
        """Look names up, and open new sockets but where somebody waits for an answer."""
        self._complete = False
        addresses = await self._addresses()
        for address, connection in list(self._connections.items()):
            if address not in addresses or not connection.usable or not connection.load:
                connection.close()
                del self._connections[address]
        for address in addresses:
            if address not in self._connections:
                try:
                    self._connections[address] = await DatagramConnection.open(address, self._verifier)
                except Unreachable:
                    continue  # as where there is no IPv6; if there is no way to any, TCP will say so
        self._complete = True

    async def _addresses(self) -> list[Address]:
        """All numeric addresses: the first of each server, then the others. TCP tries them by itself; a socket for
        datagrams would stay with the first, which may be one where nobody listens."""
        loop = asyncio.get_running_loop()
        found: list[list[Address]] = []
        for server in self._servers:
            try:
                infos = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
            except OSError:
                continue  # no such name; TCP will say so
            found.append([Address(str(info[4][0]), server.port) for info in infos])
        return list(dict.fromkeys(one for one in chain(*zip_longest(*found)) if one is not None))
