"""The parent's side of the wire: reports of children are taken in, and the sums are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.identifiers import normal_zone_text
from protocol.limits import MAX_LIST
from protocol.messages import BAD_ARGUMENTS, Op, encode_failure, encode_response, is_page
from protocol.reports import NONCE_BYTES, proof_bytes, read_report
from protocol.signatures import PublicKey
from protocol.statements import read_online_key
from protocol.status import Status
from registry.delegations import SystemBatch
from registry.statistics.ledger import REPORTERS, Hour, Slice, decode, enter, enterprises_prefix, find_row, hours_prefix
from registry.statistics.rules import NO_PROOF, NOT_PROVEN, OTHER_ZONE, check_delegation, check_key
from registry.store.interface import Store
from registry.store.system import DELEGATIONS, child_of, read_system, system_identifier
from registry.store.writes import Outcome

MAX_SLICES: Final = 64
"""Slices of enterprises in one page, 12 kB each, so that a page fits a message."""

MAX_ROWS: Final = 100
"""Zones or hours in one page, which may have 8 kB each."""

MEANWHILE: Final = Rule(
    "report.meanwhile",
    Status.OVERLOADED,
    "another report of '{zone}' was taken in at the same time; send this one again",
    "“{zone}”的另一份统计报告正在处理，请重新发送",
)
WHOLE_ZONE: Final = Rule(
    "statistics.whole-zone",
    Status.NOT_PERMITTED,
    "the statistics are for administrators and auditors of the zone '{zone}'",
    "统计数据只对区域“{zone}”的管理员和审核员开放",
)


class Wanted(IntEnum):
    """What a STATISTICS request asks for."""

    ZONES = 0
    HOURS = 1
    ENTERPRISES = 2


class Desk:
    """Statistics on one connection. ``may_read`` says whether its caller may see the sums; ``clock`` gives seconds
    since 1970; an hour of this node has ``period`` seconds."""

    def __init__(
        self, store: Store, zone: str, may_read: Callable[[], bool], clock: Callable[[], float], period: int
    ) -> None:
        self._store = store
        self._zone = zone
        self._may_read = may_read
        self._clock = clock
        self._period = period
        self._shown: PublicKey | None = None
        self._named = ""
        self._nonce = b""
        self._proven: str | None = None
        self.operations: dict[int, Callable[[int, tuple[object, ...]], bytes | SystemBatch]] = {
            Op.REPORTER: self._reporter,
            Op.PROVE_REPORTER: self._prove,
            Op.REPORT: self._report,
            Op.STATISTICS: self._statistics,
        }

    # Reports in -----------------------------------------------------------------------------------

    def _reporter(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(statement),):
                shown = read_online_key(statement)
            case _:
                reason = "expected [40, rid, online key's statement]"
                raise MessageError(BAD_ARGUMENTS, operation="reporter", reason=reason)
        zone = shown.claim.zone
        self._proven = None
        self._shown = check_key(shown, self._delegation(zone), int(self._clock()))
        self._named, self._nonce = zone, os.urandom(NONCE_BYTES)
        return encode_response(rid, Status.OK, self._nonce)

    def _prove(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(signature),):
                pass
            case _:
                reason = "expected [41, rid, signature]"
                raise MessageError(BAD_ARGUMENTS, operation="prove reporter", reason=reason)
        key, self._shown = self._shown, None  # a challenge serves once
        if key is None or not key.verifies(signature, proof_bytes(self._zone, self._named, self._nonce)):
            raise Refused(NO_PROOF, Status.NOT_AUTHENTICATED)
        self._proven = self._named
        return encode_response(rid, Status.OK, self._proven)

    def _report(self, rid: int, arguments: tuple[object, ...]) -> bytes | SystemBatch:
        match arguments:
            case (bytes(raw),):
                report = read_report(raw)
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="report", reason="expected [42, rid, report]")
        if self._proven is None:
            raise Refused(NOT_PROVEN, Status.NOT_AUTHENTICATED)
        if report.zone != self._proven:
            raise Refused(OTHER_ZONE, Status.NOT_PERMITTED, zone=report.zone, proven=self._proven)
        now = int(self._clock())
        check_delegation(report.zone, self._delegation(report.zone), now)  # it may have been revoked meanwhile
        writes = enter(self._store.find, report, now)
        if not writes:
            return encode_response(rid, Status.OK, [report.sequence, False])

        def answer(result: Sequence[Outcome] | BiaoshiError) -> bytes:
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            if result[-1].status is not Status.OK:  # that of the sums
                return encode_failure(rid, Refused(MEANWHILE, Status.OVERLOADED, zone=report.zone))
            return encode_response(rid, Status.OK, [report.sequence, True])

        return SystemBatch(writes, answer)

    def _delegation(self, zone: str) -> bytes | None:
        contents = read_system(self._store.find(system_identifier(DELEGATIONS, zone)))[1]
        return contents["DELEGATION"] if contents else None

    # Sums out -------------------------------------------------------------------------------------

    def _statistics(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        if not self._may_read():
            raise Refused(WHOLE_ZONE, Status.NOT_PERMITTED, zone=self._zone)
        match arguments:
            case (int(wanted), bytes(raw_zone), int(since), int(until), (None | bytes()) as cursor, int(limit)) if (
                type(wanted) is int and wanted in set(Wanted) and is_page(cursor, limit)
            ):
                zone = normal_zone_text(raw_zone.decode("utf-8", "surrogateescape"))
            case _:
                reason = f"expected [43, rid, wanted, zone, since, until, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="statistics", reason=reason)
        if wanted == Wanted.ZONES:
            rows, following = self._zones(cursor, min(limit, MAX_ROWS))
        elif wanted == Wanted.HOURS:
            rows, following = self._hours(zone, since, until, cursor, min(limit, MAX_ROWS))
        else:
            rows, following = self._enterprises(zone, cursor, min(limit, MAX_SLICES))
        return encode_response(rid, Status.OK, [rows, following, int(self._clock()), self._period])

    def _zones(self, cursor: bytes | None, limit: int) -> tuple[list[object], bytes | None]:
        """This node's own zone first, then all that it has delegated, and those that it once had which reported."""
        rows = [self._zone_row(self._zone, delegated=True)] if cursor is None else []
        page = self._store.scan(DELEGATIONS.decode(), cursor, limit)
        for entry in page.entries:
            delegated = read_system(entry.body)[1] is not None
            zone = child_of(entry.identifier)
            if delegated or self._store.find(system_identifier(REPORTERS, zone)) is not None:
                rows.append(self._zone_row(zone, delegated=delegated))
        return rows, page.cursor

    def _zone_row(self, zone: str, *, delegated: bool) -> object:
        sums = find_row(self._store.find, zone).sums
        return [
            zone, delegated, sums.sequence, sums.start, sums.end, sums.received, sums.missing,
            sums.registered, sums.enterprises, sums.industries, sums.counts,
        ]  # fmt: skip

    def _hours(
        self, zone: str, since: int, until: int, cursor: bytes | None, limit: int
    ) -> tuple[list[object], bytes | None]:
        page = self._store.scan(hours_prefix(zone).decode(), cursor, limit)
        contents = [read_system(entry.body)[1] for entry in page.entries]
        hours = [decode(Hour, one, zone) for one in contents if one is not None]
        return [
            [
                hour.start,
                hour.end,
                hour.first,
                hour.sequence,
                hour.received,
                hour.registered,
                hour.industries,
                hour.counts,
            ]
            for hour in hours
            if hour.part == 0 and since <= hour.start < until
        ], page.cursor

    def _enterprises(self, zone: str, cursor: bytes | None, limit: int) -> tuple[list[object], bytes | None]:
        parts = find_row(self._store.find, zone).sums.parts
        page = self._store.scan(enterprises_prefix(zone).decode(), cursor, limit)
        rows: list[object] = []
        for entry in page.entries:
            contents = read_system(entry.body)[1]
            if contents is not None and int(child_of(entry.identifier)) < parts:
                rows += decode(Slice, contents, zone).enterprises.items()
        return rows, page.cursor
