"""Reports that wait to be sent: in order, durable, bounded.

A spool is a value; every change gives the next spool and the writes that make the store agree with it. Rows have slots
that are used again, so that years of reports leave no trail of withdrawn records.

Only the first report is ever sent, so only it may be known at the other end already. All behind it were never
sent and may be merged: where there are too many, the oldest hours behind the first become one (their additions summed,
their levels superseded by the newer), which then stands for the numbers of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count, islice
from typing import Final, NamedTuple

import msgspec

from protocol.reports import Report, encode_report, read_report
from registry.statistics.hours import Place, encode_place, read_place
from registry.store.interface import Entry
from registry.store.system import child_of, read_system, system_write
from registry.store.writes import Write

STATISTICS: Final = b"\x01statistics"
_STATE: Final = "state"
_SPOOL: Final = "spool-"
_REPORT: Final = "REPORT"
_PIECES: Final = ("PLACE", "PLACE-2")
_PIECE_BYTES: Final = 16_384

SPOOL_REPORTS: Final = 2_048
"""Reports that may wait: twelve weeks of hours of a node with some hundred enterprises. Up to 32 MB."""


class Kept(NamedTuple):
    """A report and the slot in which it waits."""

    slot: int
    report: Report


class Spool(NamedTuple):
    """The reports that wait, oldest first."""

    kept: tuple[Kept, ...] = ()

    @property
    def head(self) -> Kept | None:
        """The report to be sent next."""
        return self.kept[0] if self.kept else None


class Change(NamedTuple):
    """The spool after a change, the writes by which the store agrees with it, and the hours that were lost as such:
    merged into others, or dropped since they had been told before."""

    spool: Spool
    writes: list[Write]
    gone: list[Report]


def write_place(place: Place) -> Write:
    """The write that keeps a place."""
    raw = encode_place(place)
    pieces = {
        name: raw[i * _PIECE_BYTES : (i + 1) * _PIECE_BYTES]
        for i, name in enumerate(_PIECES)
        if i * _PIECE_BYTES < len(raw)
    }
    return system_write(STATISTICS, _STATE, pieces)


def load(entries: Iterable[Entry]) -> tuple[Place | None, Change]:
    """Place and spool from the rows under ``STATISTICS``; the change cleans away what a write that was broken off has
    left. Raises :class:`~protocol.errors.StoreError`."""
    place: Place | None = None
    found: list[Kept] = []
    for entry in entries:
        name = child_of(entry.identifier)
        _, contents = read_system(entry.body)
        if contents is None:
            continue
        if name == _STATE:
            place = read_place(b"".join(contents.get(piece, b"") for piece in _PIECES))
        elif name.startswith(_SPOOL):
            found.append(Kept(int(name.removeprefix(_SPOOL)), read_report(contents[_REPORT])))
    found.sort(key=lambda kept: kept.report.sequence)
    kept: list[Kept] = []
    stale: list[Kept] = []
    least = place.sequence if place else 1
    for one in reversed(found):  # a merged report stands before, and for, those of its numbers
        if one.report.sequence < least:
            kept.append(one)
            least = one.report.first
        else:
            stale.append(one)
    return place, Change(Spool(tuple(reversed(kept))), [_withdraw(one) for one in stale], [])


def add(spool: Spool, reports: list[Report], limit: int = SPOOL_REPORTS) -> Change:
    """Put reports behind the others; where that makes more than ``limit``, oldest hours are merged. With less than
    three hours there is nothing to merge, and the limit is not kept."""
    kept = list(spool.kept)
    writes: list[Write] = []
    gone: list[Report] = []
    while len(kept) + len(reports) > limit:
        hours = _hours(kept)
        if len(hours) < 3:
            break
        older, newer = hours[1], hours[2]
        merged = Kept(newer[0].slot, merge(older[0].report, newer[0].report))
        writes += [_put(merged), *map(_withdraw, older)]
        gone.append(older[0].report)
        kept[len(hours[0]) : len(hours[0]) + len(older) + 1] = [merged]
    taken = {one.slot for one in kept}
    slots = islice((slot for slot in count() if slot not in taken), len(reports))
    fresh = [Kept(slot, report) for slot, report in zip(slots, reports, strict=True)]
    return Change(Spool((*kept, *fresh)), [*writes, *map(_put, fresh)], gone)


def remove_head(spool: Spool) -> Change:
    """Without the first report, which has arrived."""
    head, *others = spool.kept
    return Change(Spool(tuple(others)), [_withdraw(head)], [])


def renumber(spool: Spool, place: Place, last: int, end: int) -> tuple[Place, Change]:
    """Go on behind the number ``last``, which the other end has seen before with another content: this store was put
    back to an earlier state, or begun anew. Hours that were told then, up to ``end``, are dropped."""
    old = [one for one in spool.kept if one.report.end <= end]
    new = [one for one in spool.kept if one.report.end > end]
    kept = [
        Kept(one.slot, msgspec.structs.replace(one.report, first=number, sequence=number))
        for number, one in enumerate(new, start=last + 1)
    ]
    place = msgspec.structs.replace(place, sequence=last + 1 + len(kept))
    writes = [*map(_withdraw, old), *map(_put, kept), write_place(place)]
    return place, Change(Spool(tuple(kept)), writes, [one.report for one in old])


def merge(older: Report, newer: Report) -> Report:
    """One report for two: additions summed, levels as of the newer."""
    counts = {
        name: older.counts.get(name, 0) + newer.counts.get(name, 0)
        for name in dict.fromkeys(chain(older.counts, newer.counts))
    }
    start = min(older.start, newer.start)
    return msgspec.structs.replace(newer, start=start, first=older.first, counts=counts)


def _hours(kept: list[Kept]) -> list[list[Kept]]:
    """The reports by hour: each begins with its part 0, the first with what is left of it."""
    hours: list[list[Kept]] = []
    for one in kept:
        if not hours or one.report.part == 0:
            hours.append([])
        hours[-1].append(one)
    return hours


def _put(one: Kept) -> Write:
    return system_write(STATISTICS, f"{_SPOOL}{one.slot}", {_REPORT: encode_report(one.report)})


def _withdraw(one: Kept) -> Write:
    return system_write(STATISTICS, f"{_SPOOL}{one.slot}", None)
