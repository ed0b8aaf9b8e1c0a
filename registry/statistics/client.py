"""Clients of the desk: the child that reports, and whoever reads the sums."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from protocol.errors import MessageError
from protocol.exchange import Reply
from protocol.limits import MAX_LIST
from protocol.messages import Op
from protocol.reports import Report, encode_report, proof_bytes
from protocol.signatures import SigningKey
from protocol.statements import read_online_key
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.replies import BAD_REPLY
from registry.statistics.desk import Wanted

FOR_EVER = (1 << 63) - 1


class ReportClient(RegistryClient):
    """A connection on which an online key has proven that it speaks for its zone. ``statement`` is the zone's word for
    the key."""

    def __init__(
        self, host: str, port: int, *, anchor: TrustAnchor, key: SigningKey, statement: bytes, timeout: float = 60.0
    ) -> None:
        super().__init__(host, port, anchor=anchor, key=key, timeout=timeout)
        self._online = key
        self._statement = statement

    async def _authenticate(self) -> tuple[str, ...]:
        chain = await self._ask(Op.CHAIN)
        assert isinstance(chain, Reply)
        nonce = (await self._ask(Op.REPORTER, self._statement)).payload
        if not isinstance(nonce, bytes):
            raise MessageError(BAD_REPLY, operation="reporter")
        zone = read_online_key(self._statement).claim.zone
        proof = self._online.sign(proof_bytes(chain.proof.zone.prefix, zone, nonce))
        await self._ask(Op.PROVE_REPORTER, proof)
        return ()

    async def deliver(self, report: Report) -> None:
        """Have a report kept. Returns when it is, be it now or since earlier. Raises
        :class:`~protocol.errors.BiaoshiError`."""
        await self._ask(Op.REPORT, encode_report(report))


class ZoneSums(NamedTuple):
    """What a node knows of a zone from its reports: ``sequence`` 0 where there never was one. ``end`` is the end of the
    last hour told; times are in seconds since 1970."""

    zone: str
    delegated: bool
    sequence: int
    start: int
    end: int
    received: int
    missing: int
    registered: int
    enterprises: int
    industries: dict[str, int]
    counts: dict[str, int]


class HourSums(NamedTuple):
    """One hour of a zone, or several that were merged: ``first`` is below ``sequence`` then."""

    start: int
    end: int
    first: int
    sequence: int
    received: int
    registered: int
    industries: dict[str, int]
    counts: dict[str, int]


class StatisticsClient(RegistryClient):
    """A connection of a key that may write the whole zone: it reads the sums."""

    now: int = 0
    """The node's clock at its last answer, in seconds since 1970."""
    period: int = 0
    """Seconds of an hour at the node."""

    async def zones(self) -> list[ZoneSums]:
        """The node's own zone, and all that it has delegated."""
        rows = [row async for row in self._rows(Wanted.ZONES)]
        return [_zone(row) for row in rows]

    async def hours(self, zone: str, since: int = 0, until: int = FOR_EVER) -> list[HourSums]:
        """The hours of a zone that began from ``since`` on and before ``until``."""
        return [_hour(row) async for row in self._rows(Wanted.HOURS, zone, since, until)]

    async def enterprises(self, zone: str) -> dict[str, int]:
        """What the enterprises of a zone have registered, as of the last report."""
        rows = [row async for row in self._rows(Wanted.ENTERPRISES, zone)]
        return dict(_enterprise(row) for row in rows)

    async def _rows(
        self, wanted: Wanted, zone: str = "", since: int = 0, until: int = FOR_EVER
    ) -> AsyncIterator[object]:
        cursor: bytes | None = None
        while True:
            reply = await self._ask(Op.STATISTICS, int(wanted), zone.encode(), since, until, cursor, MAX_LIST)
            match reply.payload:
                case (tuple(rows), (None | bytes()) as cursor, int(now), int(period)):
                    self.now, self.period = now, period
                    for row in rows:
                        yield row
                case _:
                    raise MessageError(BAD_REPLY, operation="statistics")
            if cursor is None:
                return


def _zone(row: object) -> ZoneSums:
    match row:
        case (bytes(zone), bool(delegated), *numbers, dict(industries), dict(counts)) if _integers(numbers, 7):
            return ZoneSums._make((zone.decode(), delegated, *numbers, _table(industries), _table(counts)))
    raise MessageError(BAD_REPLY, operation="statistics")


def _hour(row: object) -> HourSums:
    match row:
        case (*numbers, dict(industries), dict(counts)) if _integers(numbers, 6):
            return HourSums._make((*numbers, _table(industries), _table(counts)))
    raise MessageError(BAD_REPLY, operation="statistics")


def _enterprise(row: object) -> tuple[str, int]:
    match row:
        case (bytes(enterprise), int(count)):
            return enterprise.decode(), count
    raise MessageError(BAD_REPLY, operation="statistics")


def _integers(numbers: list[object], count: int) -> bool:
    return len(numbers) == count and all(type(number) is int for number in numbers)


def _table(raw: dict[object, object]) -> dict[str, int]:
    table = {}
    for name, count in raw.items():
        if not isinstance(name, bytes) or not isinstance(count, int):
            raise MessageError(BAD_REPLY, operation="statistics")
        table[name.decode("utf-8", "replace")] = count
    return table
