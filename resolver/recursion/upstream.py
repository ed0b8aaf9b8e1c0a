"""Connections to authorities: one to each server, pipelined, every answer verified, with the chains that they show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from protocol.address import Address
from protocol.errors import BiaoshiError, Rule, Unreachable
from protocol.exchange import Reply, UnprovenReply
from protocol.limits import MAX_ONLINE_KEYS
from protocol.messages import Op
from protocol.statements import read_online_key
from protocol.status import Status
from protocol.trust import Chain, Verifier
from resolver.recursion.delegations import at_and_above

LATE: Final = Rule(
    "recursion.late",
    Status.UNREACHABLE,
    "no answer from {server} within {seconds} s",
    "{server} 在 {seconds} 秒内没有应答",
)

NO_HOST: Final = Rule(
    "recursion.no-host",
    Status.UNREACHABLE,
    "{server} is no host that could be looked up",
    "{server} 不是可以查询的主机名",
)

MAX_CONNECTIONS: Final = 500
"""Connections kept open; the one used longest ago is closed where another is needed. A node's limit of open files is
mostly 1,024."""


CONNECT_SECONDS: Final = 5.0
"""How long a connection may take to open, for whoever asks next; who waits for it waits less."""


class Connection(Protocol):
    """A connection to a server, as the client has it: every reply that it gives is verified."""

    @property
    def usable(self) -> bool:
        """Whether requests may still be sent."""
        ...

    @property
    def chain(self) -> Chain | None:
        """The chain that the server showed."""
        ...

    def ask(self, op: Op, *arguments: object) -> asyncio.Future[UnprovenReply]:
        """Send a request."""
        ...

    def close(self) -> None:
        """Close; what waits fails."""
        ...


Open = Callable[[Address, Verifier], Awaitable[Connection]]
"""Opens a connection. Raises :class:`~protocol.errors.Unreachable`."""


class Chains:
    """The chains of the zones that were met: what a client needs to verify their answers. The servers of a zone have an
    online key each, and what they sealed is kept for longer than they use it; so the keys that were shown add up."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, tuple[tuple[bytes, ...], dict[bytes, bytes]]] = {}

    def note(self, zone: str, chain: Chain) -> None:
        """Remember a verified chain."""
        _, keys = self._known.pop(zone, ((), {}))
        for statement in chain.online_keys:
            key_id = read_online_key(statement).claim.key.id
            keys.pop(key_id, None)
            keys[key_id] = statement
        while len(keys) > MAX_ONLINE_KEYS:
            del keys[next(iter(keys))]
        if len(self._known) >= self._most + 1:  # the anchor's own zone beside them
            del self._known[next(iter(self._known))]
        self._known[zone] = (chain.delegations, keys)

    def closest(self, prefix: str) -> Chain | None:
        """The chain of the lowest zone that covers ``prefix``, of those that were met."""
        for zone in (*at_and_above(prefix), ""):
            if zone in self._known:
                delegations, keys = self._known[zone]
                return Chain(delegations, tuple(keys.values()))
        return None


class Upstream:
    """Asks servers, over connections that ``open_`` makes. All share one verifier; the chains of at most ``most`` zones
    are remembered."""

    def __init__(self, verifier: Verifier, open_: Open, most: int) -> None:
        self.verifier = verifier
        self._connect = open_
        self.chains = Chains(most)
        self._open: dict[Address, Connection] = {}
        self._opening: dict[Address, asyncio.Task[Connection]] = {}
        self._learnt: dict[Address, Chain] = {}
        self._heard: dict[Address, float] = {}  # when a server has last answered anything

    async def ask(self, server: Address, patience: float, seconds: float, op: Op, *arguments: object) -> Reply:
        """The verified reply of ``server``, within ``seconds``. A server that answers nobody for
        ``patience`` seconds is given up; one that is only busy is waited for. Raises
        :class:`~protocol.errors.BiaoshiError`: unreachable, silent, not verified, not understood; and
        :class:`TimeoutError` where time is over and the server lives."""
        until = time.monotonic() + seconds
        try:
            async with asyncio.timeout(min(seconds, patience)):
                connection = await self._connection(server)
        except TimeoutError:
            raise Unreachable(LATE, server=str(server), seconds=round(patience, 2)) from None
        asked = connection.ask(op, *arguments)
        try:
            await self._wait(server, asked, patience, until)
            reply = asked.result()
        except BiaoshiError:
            self._close(server, connection)
            raise
        finally:
            asked.cancel()
        self._heard[server] = time.monotonic()
        assert isinstance(reply, Reply)
        self._learn(server, connection)
        return reply

    async def _wait(
        self,
        server: Address,
        asked: asyncio.Future[UnprovenReply],
        patience: float,
        until: float,
    ) -> None:
        clock = time.monotonic
        quiet_since = clock()
        while not asked.done():
            left = min(quiet_since + patience, until) - clock()
            if left > 0:
                await asyncio.wait([asked], timeout=left)
                continue
            heard = self._heard.get(server, 0.0)  # of other questions
            if heard <= quiet_since:
                # It hangs: whatever else waits for it is better asked anew.
                raise Unreachable(LATE, server=str(server), seconds=round(patience, 2))
            if clock() >= until:
                raise TimeoutError
            quiet_since = heard

    def close(self) -> None:
        """Close all connections."""
        for opening in self._opening.values():
            opening.cancel()
        for server, connection in list(self._open.items()):
            self._close(server, connection)

    async def _connection(self, server: Address) -> Connection:
        connection = self._open.pop(server, None)
        if connection is None or not connection.usable:
            opening = self._opening.get(server)
            if opening is None:
                opening = self._opening[server] = asyncio.create_task(self._connect_within(server))
                opening.add_done_callback(lambda done: self._opened(server, done))
            return await asyncio.shield(opening)  # who waits no longer does not end it for the others
        self._keep(server, connection)
        return connection

    async def _connect_within(self, server: Address) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect(server, self.verifier)
        except TimeoutError:
            raise Unreachable(LATE, server=str(server), seconds=CONNECT_SECONDS) from None
        except UnicodeError:  # from the look-up of names: an empty label, or one that is too long
            raise Unreachable(NO_HOST, server=str(server)) from None

    def _opened(self, server: Address, done: asyncio.Task[Connection]) -> None:
        del self._opening[server]
        if not done.cancelled() and done.exception() is None:
            self._keep(server, done.result())

    def _keep(self, server: Address, connection: Connection) -> None:
        """Put a connection where the one used last stands."""
        self._open[server] = connection
        if len(self._open) > MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            self._close(oldest, self._open[oldest])

    def _close(self, server: Address, connection: Connection) -> None:
        connection.close()
        if self._open.get(server) is connection:
            del self._open[server]
        self._learnt.pop(server, None)
        self._heard.pop(server, None)

    def _learn(self, server: Address, connection: Connection) -> None:
        """Remember the chain that a server shows, verified, once for each that it shows."""
        chain = connection.chain
        if chain is not None and self._learnt.get(server) is not chain:
            zone = self.verifier.learn(chain, time.time_ns() // 1_000_000)
            self._learnt[server] = chain
            self.chains.note(zone.prefix, chain)
