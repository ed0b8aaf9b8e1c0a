"""From counter readings to reports. Pure: the clock, the counters and the store's counts are arguments.

A node is always within one open hour. When the clock shows a later one, what was counted since the last reading makes
the open hour's report and the later hour is opened; so every addition to a counter is in exactly one report, and an
hour in which the node did not run has none. A clock that is put back reopens an earlier hour: that hour then has two
reports, of which the second has what came later. The place is kept in the store together with the reports, in one
step, and the counters outlive their workers (``registry.store.counters``): a restart loses and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from protocol.errors import Rule, StoreError
from protocol.identifiers import covers
from protocol.limits import MAX_DATA_BYTES
from protocol.reports import Report
from protocol.status import Status
from registry.store.counters import NAMES, Reading

UNKNOWN_INDUSTRY: Final = ""

ENTERPRISES_BYTES: Final = 12_000
"""Bytes of enterprises in one report, so that it stays below ``MAX_REPORT_BYTES`` with all else that is in it."""

MAX_SOURCES: Final = 256
"""Counter files whose last reading is remembered: as many as there can be. Those that are gone are remembered as long
as there is room, should they come back."""

_COUNT_BYTES: Final = 9
_STATE_BYTES: Final = 2 * MAX_DATA_BYTES - 1_024
"""Bytes of a place: it is kept in two values of one record."""

BAD_STATE: Final = Rule(
    "statistics.bad-state",
    Status.STORE_FAILED,
    "the stored place of the statistics is damaged: {reason}",
    "存储中的统计进度已损坏：{reason}",
)


class Place(msgspec.Struct, array_like=True, frozen=True):
    """How far a node has reported: the number of the next report, the start of the open hour, the counters as of
    the last report by file."""

    sequence: Annotated[int, msgspec.Meta(ge=1)]
    opened: Annotated[int, msgspec.Meta(ge=0)]
    read: dict[bytes, list[int]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Place).decode


def encode_place(place: Place) -> bytes:
    """The bytes of a place."""
    return _encode(place)


def read_place(raw: bytes) -> Place:
    """Read a place. Raises :class:`StoreError`."""
    try:
        return _decode(raw)
    except msgspec.DecodeError as error:
        raise StoreError(BAD_STATE, reason=str(error)) from None


def start_of(now: int, period: int) -> int:
    """The start of the hour in which ``now`` is; an hour has ``period`` seconds."""
    return now - now % period


def begin(now: int, period: int) -> Place:
    """The place of a node that has never reported: whatever its counters show is still to be told."""
    return Place(1, start_of(now, period), {})


def follow_clock(place: Place, now: int, period: int) -> Place:
    """The same place, with an earlier hour open where the clock was put back."""
    return msgspec.structs.replace(place, opened=min(place.opened, start_of(now, period)))


def is_due(place: Place, now: int, period: int) -> bool:
    """Whether the open hour is over."""
    return start_of(now, period) > place.opened


def close(
    place: Place,
    zone: str,
    now: int,
    period: int,
    readings: Sequence[Reading],
    enterprises: Mapping[str, int],
    industries: Mapping[str, str],
) -> tuple[Place, list[Report]]:
    """Close the open hour: the next place, and the hour's report, in parts where its enterprises want it.
    ``enterprises`` are active records (:func:`by_enterprise`), ``industries`` the configured codes by prefix."""
    parts = list(_slices(enterprises))
    registered = sum(enterprises.values())
    codes = by_industry(enterprises, industries)
    counts = counted_since(place.read, readings)
    reports = [
        Report(
            zone, place.opened, max(now, place.opened), place.sequence + i, place.sequence + i, i, len(parts),
            registered, part, codes if i == 0 else {}, counts if i == 0 else {},
        )
        for i, part in enumerate(parts)
    ]  # fmt: skip
    read = _remember(place.read, readings)
    return Place(place.sequence + len(parts), start_of(now, period), read), reports


def counted_since(before: Mapping[bytes, Sequence[int]], readings: Sequence[Reading]) -> dict[str, int]:
    """What was added since the counters were read before, by name, without those that stand still. A file that was not
    there before began at zero; a counter that stands lower than before has lost what was told already."""
    counts: dict[str, int] = {}
    for source, values in readings:
        earlier = before.get(source, ())
        for number, (name, value) in enumerate(zip(NAMES, values, strict=False)):
            added = value - (earlier[number] if number < len(earlier) else 0)
            if added > 0:
                counts[name] = counts.get(name, 0) + added
    return counts


def _remember(before: Mapping[bytes, list[int]], readings: Sequence[Reading]) -> dict[bytes, list[int]]:
    """The counters as read now, and those of files that are not to be seen just now, as long as there is room."""
    read = {source: list(values) for source, values in readings}
    room = _STATE_BYTES - sum(map(_place_bytes, read.values()))
    for source, values in before.items():
        if source not in read and len(read) < MAX_SOURCES and _place_bytes(values) <= room:
            read[source] = values
            room -= _place_bytes(values)
    return read


def _place_bytes(values: Sequence[int]) -> int:
    return 16 + sum(1 if value < 0x80 else 5 if value < 1 << 32 else 9 for value in values)


def by_enterprise(active: Mapping[str, int], zone: str) -> dict[str, int]:
    """Active records by the prefix one level below the zone; what stands under the zone's own prefix, under that."""
    found: dict[str, int] = {}
    skip = len(zone) + 1 if zone else 0
    for prefix, count in active.items():
        if count and covers(zone, prefix):
            end = prefix.find(".", skip)
            enterprise = prefix if end < 0 else prefix[:end]
            found[enterprise] = found.get(enterprise, 0) + count
    return found


def by_industry(enterprises: Mapping[str, int], industries: Mapping[str, str]) -> dict[str, int]:
    """Active records by industry; those of enterprises without a code under ``UNKNOWN_INDUSTRY``."""
    found: dict[str, int] = {}
    for enterprise, count in enterprises.items():
        code = industries.get(enterprise, UNKNOWN_INDUSTRY)
        found[code] = found.get(code, 0) + count
    return found


def _slices(enterprises: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The enterprises in order, as many at a time as fit a report; one empty slice where there are none."""
    part: dict[str, int] = {}
    room = ENTERPRISES_BYTES
    for enterprise in sorted(enterprises):
        need = len(enterprise.encode()) + 2 + _COUNT_BYTES
        if need > room:
            yield part
            part, room = {}, ENTERPRISES_BYTES
        part[enterprise] = enterprises[enterprise]
        room -= need
    yield part
