"""What a node tells its parent of an hour: reports.

::

    report = [zone, start, end, first, sequence, part, parts, registered, {enterprise: n}, {industry: n}, {counter: n}]

``start`` is when the hour began, ``end`` when it was counted, in seconds since 1970 UTC. Reports of a zone are
numbered from 1 by ``sequence``; one into which older ones were merged stands for all from ``first`` to ``sequence``. An
hour with more enterprises than fit one report has several ``parts``, numbered from 0.

``registered`` and, by enterprise and by industry, its parts are levels: active records at ``end``. The counters are
additions: what was counted since the report before. Industries and counters are in part 0 alone.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from protocol.errors import MessageError, Rule
from protocol.limits import MAX_PREFIX_BYTES, MAX_REPORT_BYTES
from protocol.status import Status

MALFORMED: Final = Rule(
    "report.malformed",
    Status.BAD_REQUEST,
    "these bytes are no report: {reason}",
    "字节内容不是合法的统计报告：{reason}",
)

REPORT_CONTEXT: Final = b"biaoshi report 1\x00"
NONCE_BYTES: Final = 32
"""Bytes of the challenge that a reporter signs."""

MAX_INDUSTRIES: Final = 128
"""Industries in one report: GB/T 4754 has 20 sections with 97 divisions."""

MAX_COUNTERS: Final = 64
"""Counters in one report."""

_Prefix = Annotated[str, msgspec.Meta(max_length=MAX_PREFIX_BYTES)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
_Code = Annotated[str, msgspec.Meta(max_length=8)]
_Name = Annotated[str, msgspec.Meta(pattern="^[a-z_.]{1,32}$")]


class Report(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One report, or one part of one."""

    zone: _Prefix
    start: _Count
    end: _Count
    first: _Number
    sequence: _Number
    part: _Count
    parts: _Number
    registered: _Count
    enterprises: dict[_Prefix, _Count]
    industries: Annotated[dict[_Code, _Count], msgspec.Meta(max_length=MAX_INDUSTRIES)]
    counts: Annotated[dict[_Name, _Count], msgspec.Meta(max_length=MAX_COUNTERS)]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode


def encode_report(report: Report) -> bytes:
    """The bytes of a report."""
    return _encode(report)


def read_report(raw: bytes) -> Report:
    """Read a report. Raises :class:`MessageError`."""
    if len(raw) > MAX_REPORT_BYTES:
        raise MessageError(MALFORMED, reason=f"longer than {MAX_REPORT_BYTES} bytes")
    try:
        report = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(MALFORMED, reason=str(error)) from None
    if report.first > report.sequence or report.part >= report.parts or report.start > report.end:
        raise MessageError(MALFORMED, reason="its numbers or times do not fit together")
    return report


def proof_bytes(receiver: str, zone: str, nonce: bytes) -> bytes:
    """What an online key of ``zone`` signs to report to the node of zone ``receiver``: context, length and name of both
    zones, nonce. So no node can pass on the challenge of another."""
    names = (receiver.encode(), zone.encode())
    return REPORT_CONTEXT + b"".join(bytes((len(name),)) + name for name in names) + nonce
