"""The writers' client: authenticate, write, read whole records, follow the feed.

Its answers are verified from the trust anchor like a resolver's. Used by the commands and by the importer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Self

from protocol.challenges import NOT_PROVEN
from protocol.errors import BiaoshiError, MessageError, NotVerified, Refused, Rule, Unreachable
from protocol.exchange import Exchange, Reply, UnprovenReply, read_chain
from protocol.kept import Kept, decode_kept
from protocol.limits import MAX_LIST
from protocol.messages import RESOLVERS_PORT, Op, refusal
from protocol.signatures import PublicKey, SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor, Verifier, Zone
from registry import putback, session  # noqa: F401  whose rules say what was refused
from registry.codes import asking_bytes
from registry.feeding import read_page
from registry.replies import BAD_REPLY, ListedRecord, WriteResult, read_listed, read_outcomes, read_result, write_item
from registry.rights import challenge_bytes
from registry.store.feed import FeedPage
from registry.store.writes import Outcome, Write

READ_BYTES: Final = 262_144

CONNECT_SECONDS: Final = 5.0
"""How long a connection may take to open. TCP itself would go on for two minutes, asking ever more seldom: who follows
a zone behind a broken line would find out up to a minute late that it is whole again."""

NO_CONNECTION: Final = Rule(
    "registry.no-connection",
    Status.UNREACHABLE,
    "no connection to the registry at {server}: {reason}. Is the node running, and is the address right?",
    "无法连接位于 {server} 的注册服务：{reason}。请确认节点正在运行且地址正确",
)
LOST: Final = Rule(
    "registry.connection-lost",
    Status.UNREACHABLE,
    "the connection to the registry was closed; whether the last writes were carried out is not known. "
    "Sending them again is safe",
    "与注册服务的连接已中断，最后一批写入的结果未知，可安全地重新发送",
)
TIMED_OUT: Final = Rule(
    "registry.timed-out",
    Status.UNREACHABLE,
    "the registry did not answer within {seconds} s; sending the same again is safe",
    "注册服务在 {seconds} 秒内没有应答，可安全地重新发送",
)
OTHER_ZONE: Final = Rule(
    "registry.other-zone",
    Status.NOT_VERIFIED,
    "this registry speaks for the zone '{zone}', not for '{expected}'",
    "该注册服务代表的是区域“{zone}”，而不是“{expected}”",
)


class RegistryClient:
    """One connection to a registry, authenticated unless ``key`` is None. Requests may be sent at the same time from
    several tasks."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        anchor: TrustAnchor | Verifier,
        key: SigningKey | None,
        timeout: float = 60.0,
        at_copy: bool = False,
    ) -> None:
        """``at_copy``: the key is one of the zone, and the registry a copy's, which must not learn to write with it."""
        self._host = host
        self._port = port
        # Several connections may share what is verified.
        verifier = anchor if isinstance(anchor, Verifier) else Verifier(anchor)
        self._key = key
        self._timeout = timeout
        self._at_copy = at_copy
        self._exchange = Exchange(verifier, random.getrandbits(63))
        self._waiting: dict[int, asyncio.Future[UnprovenReply]] = {}
        self._failure: BiaoshiError | None = None
        self.prefixes: tuple[str, ...] = ()
        """The prefixes below which the key may write."""
        self.zone = Zone("", (), 0, 0, ())
        """The registry's zone, as verified; empty until the connection is there."""

    async def __aenter__(self) -> Self:
        """Connect, verify the node, authenticate. Raises :class:`BiaoshiError`."""
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self._timeout)):
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:  # TimeoutError is one
            server = f"{self._host}:{self._port}"
            raise Unreachable(
                NO_CONNECTION, server=server, reason=error.strerror or str(error) or "no answer"
            ) from error
        self._receiving = asyncio.create_task(self._receive())
        try:
            self.prefixes = await self._authenticate()
        except BaseException:
            await self.close()
            raise
        return self

    async def _authenticate(self) -> tuple[str, ...]:
        """Verify who the node is, prove our key to it, and get the prefixes below which it may write."""
        chain = await self._ask(Op.CHAIN)
        assert isinstance(chain, Reply)
        self.zone = chain.proof.zone
        if self._key is None:
            return ()
        public = self._key.public
        nonce = (await self._ask(Op.AUTHENTICATE, public.algorithm, public.raw)).payload
        if not isinstance(nonce, bytes):
            raise MessageError(BAD_REPLY, operation="authenticate")
        proof = self._key.sign(challenge_bytes(chain.proof.zone.prefix, nonce, at_copy=self._at_copy))
        try:
            granted = (await self._ask(Op.PROVE, proof)).payload
        except Refused as error:
            if error.rule is NOT_PROVEN:  # which only a resolver says: there readers prove themselves
                raise MessageError(RESOLVERS_PORT, op=int(Op.PROVE)) from None
            raise
        if not isinstance(granted, tuple):
            raise MessageError(BAD_REPLY, operation="prove")
        return tuple(prefix.decode() for prefix in granted)

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        self._receiving.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Carry out writes: one outcome each. Raises :class:`BiaoshiError` where it is not known what became of
        them, or nothing was done."""
        # The registry finds out by itself what is restricted: the last element of a write stays here.
        results = await self._write([write[:3] for write in writes])
        outcomes = read_outcomes(results)
        if outcomes is None:  # some were refused: each is looked at
            each = map(read_result, results)
            outcomes = [Outcome(result.status, result.version, result.changed) for result in each]
        return outcomes

    async def write_each(self, writes: Sequence[Write]) -> list[WriteResult]:
        """The same, with the reason for each that was refused."""
        return [read_result(result) for result in await self._write(list(map(write_item, writes)))]

    async def write_series(self, writes: Sequence[Write]) -> list[WriteResult]:
        """The same for series: their patterns stand for identifiers."""
        return [read_result(result) for result in await self._write(list(map(write_item, writes)), Op.SERIES)]

    async def _write(self, writes: Sequence[tuple[object, ...]], op: Op = Op.WRITE) -> tuple[object, ...]:
        results = (await self._ask(op, writes)).payload
        if not isinstance(results, tuple) or len(results) != len(writes):
            raise MessageError(BAD_REPLY, operation="write")
        return results

    async def fetch(self, identifiers: Sequence[bytes]) -> list[Kept | None]:
        """Whole records as they are kept, restricted values included; None where there never was one."""
        payload = (await self._ask(Op.FETCH, list(identifiers))).payload
        if not isinstance(payload, tuple):
            raise MessageError(BAD_REPLY, operation="fetch")
        return [decode_kept(body) if isinstance(body, bytes) else None for body in payload]

    def records(self, prefix: str) -> AsyncIterator[ListedRecord]:
        """All series and records of a prefix and those below it as they are kept, the series first, withdrawn ones
        included."""
        return self._pages(Op.RECORDS, prefix.encode())

    def series(self, prefix: str) -> AsyncIterator[ListedRecord]:
        """All series of a prefix and those below it; of a pattern this one, where it ever was registered."""
        return self._pages(Op.SERIES_OF, prefix.encode())

    def search(self, prefix: str, item: int, data: bytes) -> AsyncIterator[ListedRecord]:
        """The active records of just this prefix that have ``data`` in an indexed item of their template, as they are
        kept."""
        return self._pages(Op.SEARCH, prefix.encode(), item, data)

    async def _pages(self, op: Op, *arguments: object) -> AsyncIterator[ListedRecord]:
        cursor: bytes | None = None
        while True:
            payload = (await self._ask(op, *arguments, cursor, MAX_LIST)).payload
            match payload:
                case (tuple(items), (None | bytes()) as next_cursor):
                    for item in items:
                        yield read_listed(item)
                case _:
                    raise MessageError(BAD_REPLY, operation=op.name.lower())
            if next_cursor is None:
                return
            cursor = next_cursor

    async def changes(
        self, cursor: bytes | None, limit: int, *, wait_ms: int = 0, held: int = 0, seen: bytes | None = None
    ) -> FeedPage:
        """A page of the change feed behind ``cursor``, within ``wait_ms``, sealed by the zone that was met at the
        beginning. A follower says how many changes it has ``held`` on its disk, and up to where it has ``seen`` the
        feed."""
        reply = await self._ask(Op.CHANGES, cursor, limit, wait_ms, held, seen)
        assert isinstance(reply, Reply)
        if reply.proof.zone.prefix != self.zone.prefix:  # a chain shown later may be another zone's
            raise NotVerified(OTHER_ZONE, zone=reply.proof.zone.prefix, expected=self.zone.prefix)
        return read_page(reply.payload)

    async def vouched(self) -> bytes | None:
        """The zone's statement for the online key of the follower that asks; None where there is none. Not verified."""
        payload = (await self._ask(Op.VOUCHED)).payload
        if not isinstance(payload, bytes | None):
            raise MessageError(BAD_REPLY, operation="vouched")
        return payload

    async def status(self) -> dict[str, str | int]:
        """What the registry says of itself."""
        payload = (await self._ask(Op.STATUS)).payload
        if not isinstance(payload, dict):
            raise MessageError(BAD_REPLY, operation="status")
        return {name.decode(): value.decode() if isinstance(value, bytes) else value for name, value in payload.items()}

    async def chain(self) -> tuple[bytes, ...]:
        """The delegations from the anchor's zone (or from above it) down to the registry's own, verified as of now."""
        reply = await self._ask(Op.CHAIN)
        assert isinstance(reply, Reply)
        self.zone = reply.proof.zone
        return read_chain(reply.payload).delegations

    # Delegations ----------------------------------------------------------------------------------

    async def chain_to(self, child: str) -> tuple[bytes, ...]:
        """The delegations from the anchor's zone down to a child of the registry's zone, as the registry shows them:
        not verified. Raises :class:`~protocol.errors.Refused` where it is not delegated."""
        return read_chain((await self._ask(Op.CHAIN, b"", child.encode())).payload).delegations

    async def delegate(self, statement: bytes) -> int:
        """Store a signed delegation; its serial."""
        return self._number("delegate", await self._ask(Op.DELEGATE, statement))

    async def revoke(self, child: str, serial: int | None = None) -> int:
        """Revoke the delegation of a child, only with this serial where one is given; the serial of the revocation."""
        return self._number("revoke", await self._ask(Op.REVOKE, child.encode(), serial))

    async def delegation(self, child: str) -> tuple[int, bytes | None]:
        """Serial of a child's last delegation (0: never one) and its statement (None: revoked)."""
        found, _ = self._delegations(await self._ask(Op.DELEGATIONS, child.encode(), None, 1))
        return found[0][1:] if found else (0, None)

    async def delegations(self) -> AsyncIterator[tuple[str, int, bytes | None]]:
        """All children that have or had a delegation, with serial and statement (None: revoked)."""
        cursor: bytes | None = None
        while True:
            found, cursor = self._delegations(await self._ask(Op.DELEGATIONS, None, cursor, MAX_LIST))
            for one in found:
                yield one
            if cursor is None:
                return

    async def make_code(self, child: str, key: PublicKey, hours: int) -> int:
        """Let a child ask for its delegation with the one-time code that ``key`` was made of (``registry.codes``);
        until when, in seconds since 1970."""
        return self._number("code", await self._ask(Op.CODE, child.encode(), key.algorithm, key.raw, hours))

    async def request(self, statement: bytes, code: SigningKey | None) -> None:
        """Hand in a signed request for a delegation: with the key of a one-time code, or without where the present
        delegation names the key that signed it."""
        await self._ask(Op.REQUEST, statement, code.sign(asking_bytes(statement)) if code else None)

    async def requests(self) -> AsyncIterator[bytes]:
        """The requests that wait for the zone key."""
        cursor: bytes | None = None
        while True:
            match (await self._ask(Op.REQUESTS, cursor, MAX_LIST)).payload:
                case (tuple(statements), (None | bytes()) as cursor) if all(type(one) is bytes for one in statements):
                    for statement in statements:
                        yield statement
                case _:
                    raise MessageError(BAD_REPLY, operation="requests")
            if cursor is None:
                return

    @staticmethod
    def _number(operation: str, reply: UnprovenReply) -> int:
        if type(reply.payload) is not int:
            raise MessageError(BAD_REPLY, operation=operation)
        return reply.payload

    @staticmethod
    def _delegations(reply: UnprovenReply) -> tuple[list[tuple[str, int, bytes | None]], bytes | None]:
        found: list[tuple[str, int, bytes | None]] = []
        match reply.payload:
            case (tuple(items), (None | bytes()) as cursor):
                for item in items:
                    match item:
                        case (bytes(child), int(serial), (None | bytes()) as statement):
                            found.append((child.decode(), serial, statement))
                        case _:
                            raise MessageError(BAD_REPLY, operation="delegations")
                return found, cursor
        raise MessageError(BAD_REPLY, operation="delegations")

    async def _ask(self, op: Op, *arguments: object) -> UnprovenReply:
        if self._failure is not None:
            raise self._failure
        rid, wire = self._exchange.ask(op, *arguments)
        future: asyncio.Future[UnprovenReply] = asyncio.get_running_loop().create_future()
        self._waiting[rid] = future
        self._writer.write(wire)
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
                reply = await future
        except TimeoutError:
            raise Unreachable(TIMED_OUT, seconds=self._timeout) from None
        except OSError as error:
            raise Unreachable(LOST) from error
        finally:
            self._waiting.pop(rid, None)
        if reply.status != Status.OK:
            raise refusal(reply.status, reply.payload)
        return reply

    async def _receive(self) -> None:
        """Settle replies as they come, until the connection ends."""
        failure: BiaoshiError = Unreachable(LOST)
        try:
            while data := await self._reader.read(READ_BYTES):
                for reply in self._exchange.receive(data, time.time_ns() // 1_000_000):
                    future = self._waiting.pop(reply.rid, None)
                    if future is not None and not future.done():
                        future.set_result(reply)
                if self._exchange.wants_chain:
                    self._writer.write(self._exchange.ask(Op.CHAIN)[1])
        except BiaoshiError as error:
            failure = error
        except OSError:
            pass
        self._failure = failure
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(failure)
