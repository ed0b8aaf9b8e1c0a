"""The sums as people and programs read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from registry.statistics.client import HourSums, ZoneSums
from registry.store.counters import RESOLVED

LATE_PERIODS: Final = 2
"""Hours without a report after which a zone is late: one is always open, and one may be under way."""


def resolved(counts: dict[str, int]) -> int:
    """Identifiers that were resolved, whatever the outcome."""
    return sum(count for name, count in counts.items() if name.startswith(RESOLVED))


def silent_s(zone: ZoneSums, now: int) -> int | None:
    """For how many seconds nothing is known of a zone; None where it never reported."""
    return max(0, now - zone.end) if zone.sequence else None


def is_late(zone: ZoneSums, now: int, period: int) -> bool:
    """Whether a report should have come."""
    silent = silent_s(zone, now)
    return zone.delegated and (silent is None or silent > LATE_PERIODS * period)


def totals(zones: Sequence[ZoneSums]) -> dict[str, Any]:
    """All zones together."""
    return {
        "registered": sum(zone.registered for zone in zones),
        "enterprises": sum(zone.enterprises for zone in zones),
        "resolved": sum(resolved(zone.counts) for zone in zones),
        "industries": _add(zone.industries for zone in zones),
        "counts": _add(zone.counts for zone in zones),
    }


def zones_json(zones: Sequence[ZoneSums], now: int, period: int) -> dict[str, Any]:
    """For ``json.dumps``."""
    return {
        "now": now,
        "period_s": period,
        "totals": totals(zones),
        "zones": [
            zone._asdict()
            | {"resolved": resolved(zone.counts), "silent_s": silent_s(zone, now), "late": is_late(zone, now, period)}
            for zone in zones
        ],
    }


def hours_json(zone: str, hours: Sequence[HourSums], enterprises: dict[str, int]) -> dict[str, Any]:
    """For ``json.dumps``."""
    shown = [hour._asdict() | {"resolved": resolved(hour.counts)} for hour in hours]
    return {"zone": zone, "hours": shown, "enterprises": enterprises}


ZONES_HEAD: Final = {
    "en": ("zone", "registered", "enterprises", "resolved", "found", "last hour until", "report"),
    "zh": ("区域", "已注册", "企业数", "解析次数", "解析成功", "最近时段截至", "上报"),
}
HOURS_HEAD: Final = {
    "en": ("hour", "until", "registered", "resolved", "found"),
    "zh": ("时段开始", "截至", "已注册", "解析次数", "解析成功"),
}
ENTERPRISES_HEAD: Final = {"en": ("enterprise", "registered"), "zh": ("企业", "已注册")}
INDUSTRIES_HEAD: Final = {"en": ("industry", "registered"), "zh": ("行业", "已注册")}
TOTAL: Final = {"en": "together", "zh": "合计"}
UNKNOWN: Final = {"en": "(not known)", "zh": "（未知）"}


def zone_rows(zones: Sequence[ZoneSums], now: int, period: int, language: str) -> list[tuple[str, ...]]:
    """The rows of the table of zones, the total last."""
    rows = [
        (
            zone.zone or "(root)", _number(zone.registered), _number(zone.enterprises), _number(resolved(zone.counts)),
            _number(zone.counts.get(f"{RESOLVED}ok", 0)), _moment(zone.end) if zone.sequence else "–",
            _state(zone, now, period, language),
        )
        for zone in zones
    ]  # fmt: skip
    together = totals(zones)
    found = together["counts"].get(f"{RESOLVED}ok", 0)
    numbers = map(_number, (together["registered"], together["enterprises"], together["resolved"], found))
    return [*rows, (TOTAL[language], *numbers, "", "")]


def hour_rows(hours: Sequence[HourSums]) -> list[tuple[str, ...]]:
    """The rows of the table of hours."""
    return [
        (
            _moment(hour.start), _moment(hour.end), _number(hour.registered), _number(resolved(hour.counts)),
            _number(hour.counts.get(f"{RESOLVED}ok", 0)),
        )
        for hour in hours
    ]  # fmt: skip


def count_rows(counts: dict[str, int], language: str) -> list[tuple[str, ...]]:
    """The rows of a table of counts, greatest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(name or UNKNOWN[language], _number(count)) for name, count in ordered]


def _state(zone: ZoneSums, now: int, period: int, language: str) -> str:
    """Revoked, on time, late or never there; and what is missing."""
    zh = language == "zh"
    silent = silent_s(zone, now)
    if not zone.delegated:
        state = "授权已撤销" if zh else "revoked"
    elif silent is None:
        state = "从未上报" if zh else "never"
    elif is_late(zone, now, period):
        state = f"迟报 {_span(silent)}" if zh else f"late, {_span(silent)} ago"
    else:
        state = "正常" if zh else "on time"
    if zone.missing:
        state += f"，缺 {zone.missing}" if zh else f", {zone.missing} missing"
    return state


def _add(tables: Any) -> dict[str, int]:
    together: dict[str, int] = {}
    for table in tables:
        for name, count in table.items():
            together[name] = together.get(name, 0) + count
    return together


def _span(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _number(count: int) -> str:
    return f"{count:,}"


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
