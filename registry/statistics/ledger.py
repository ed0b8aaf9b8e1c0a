"""What a node keeps of the reports about a zone: rows, and the writes that change them. Pure.

The row of the zone is the one that counts: it has the last number and the sums, and is written under a compare. A
report whose number is above it is carried out, whatever else is there already; so a write that was broken off is made
good by the reporter's next attempt, also where a store is atomic by single rows only.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple, TypeVar

import msgspec

from protocol.errors import Rule, StoreError
from protocol.reports import Report, encode_report
from protocol.status import Status
from registry.statistics.rules import is_new
from registry.store.system import read_system, system_identifier, system_write
from registry.store.writes import ABSENT, Write

REPORTERS: Final = b"\x01reporter"
_DATA: Final = "DATA"

MAX_NAMES: Final = 128
"""Counters summed by name for one zone; further names go to ``other``. There are 15."""

OTHER: Final = "other"

BAD_ROW: Final = Rule(
    "statistics.bad-row",
    Status.STORE_FAILED,
    "a stored row of the statistics of '{zone}' is damaged: {reason}",
    "“{zone}”的统计存储已损坏：{reason}",
)


class Sums(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a zone: the last report, and all together. ``missing`` are numbers that never came."""

    sequence: int = 0
    start: int = 0
    end: int = 0
    received: int = 0
    missing: int = 0
    registered: int = 0
    enterprises: int = 0
    industries: dict[str, int] = {}  # msgspec copies it
    counts: dict[str, int] = {}
    parts: int = 1
    enterprises_so_far: int = 0


class Hour(msgspec.Struct, array_like=True, frozen=True):
    """One report as it is kept, without its enterprises; ``digest`` is SHA-256 of all of it."""

    start: int
    end: int
    first: int
    sequence: int
    part: int
    received: int
    registered: int
    industries: dict[str, int]
    counts: dict[str, int]
    digest: bytes


class Slice(msgspec.Struct, array_like=True, frozen=True):
    """Some enterprises with what they have registered, as of one report."""

    sequence: int
    enterprises: dict[str, int]


class Row(NamedTuple):
    """The sums of a zone, and the version of the record that holds them."""

    version: int
    sums: Sums


def hours_prefix(zone: str) -> bytes:
    """The system prefix of a zone's hours. The colon at its end keeps those of zones below apart."""
    return b"\x01hour:" + zone.encode() + b":"


def enterprises_prefix(zone: str) -> bytes:
    """The system prefix of what a zone's enterprises have registered."""
    return b"\x01enterprises:" + zone.encode() + b":"


def find_row(find: Callable[[bytes], bytes | None], zone: str) -> Row:
    """The sums of a zone; ``find`` is a store's. Raises :class:`StoreError`."""
    version, contents = read_system(find(system_identifier(REPORTERS, zone)))
    return Row(version, decode(Sums, contents, zone) if contents else Sums())


def enter(find: Callable[[bytes], bytes | None], report: Report, now: int) -> list[Write]:
    """The writes that keep a report, the last of them under a compare; none for a duplicate. Raises
    :class:`~protocol.errors.Refused` by rules 7 and 8."""
    zone, digest = report.zone, sha256(encode_report(report)).digest()
    version, sums = find_row(find, zone)
    prefix, name = hours_prefix(zone), f"{report.start:019d}/{report.sequence:019d}"
    _, kept = read_system(find(system_identifier(prefix, name)))
    same = kept is not None and decode(Hour, kept, zone).digest == digest
    if not is_new(report, sums.sequence, sums.end, kept=same):
        return []
    hour = Hour(
        report.start, report.end, report.first, report.sequence, report.part, now,
        report.registered, report.industries, report.counts, digest,
    )  # fmt: skip
    return [
        _write(prefix, name, hour),
        _write(enterprises_prefix(zone), f"{report.part:06d}", Slice(report.sequence, report.enterprises)),
        _write(REPORTERS, zone, add(sums, report, now), version or ABSENT),
    ]


def add(sums: Sums, report: Report, now: int) -> Sums:
    """The sums with a new report."""
    counts = dict(sums.counts)
    for name, added in report.counts.items():
        if name not in counts and len(counts) >= MAX_NAMES:
            name = OTHER
        counts[name] = counts.get(name, 0) + added
    so_far = len(report.enterprises) + (sums.enterprises_so_far if report.part else 0)
    return Sums(
        report.sequence, report.start, report.end, now, sums.missing + max(0, report.first - sums.sequence - 1),
        report.registered, so_far if report.part == report.parts - 1 else sums.enterprises,
        report.industries if report.part == 0 else sums.industries, counts, report.parts, so_far,
    )  # fmt: skip


Kept = TypeVar("Kept", Sums, Hour, Slice)
_encode: Final = msgspec.msgpack.Encoder().encode


def decode(kind: type[Kept], contents: dict[str, bytes], zone: str) -> Kept:
    """Read a row of the statistics of ``zone``. Raises :class:`StoreError`."""
    try:
        return msgspec.msgpack.decode(contents[_DATA], type=kind)
    except (KeyError, msgspec.DecodeError) as error:
        raise StoreError(BAD_ROW, zone=zone, reason=str(error)) from None


def _write(prefix: bytes, name: str, row: Sums | Hour | Slice, compare: int | None = None) -> Write:
    return system_write(prefix, name, {_DATA: _encode(row)}, compare)
