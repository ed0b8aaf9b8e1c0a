"""The sums for people and programs."""

from __future__ import annotations

import pytest

from registry.statistics.client import HourSums, ZoneSums
from registry.statistics.show import count_rows, hour_rows, hours_json, is_late, silent_s, totals, zone_rows, zones_json

PERIOD = 3_600
NOW = 1_700_000_000
COUNTS = {"resolved.ok": 1_200, "resolved.not_found": 34, "tcp.requests": 99}


def zone(name: str, end: int, *, delegated: bool = True, missing: int = 0, sequence: int = 4) -> ZoneSums:
    return ZoneSums(name, delegated, sequence, end - PERIOD, end, end, missing, 1_000, 3, {"C34": 900, "": 100}, COUNTS)


ON_TIME, LATE = zone("88.118", NOW - 2 * PERIOD), zone("88.119", NOW - 2 * PERIOD - 1, missing=2)
NEVER = ZoneSums("88.120", True, 0, 0, 0, 0, 0, 0, 0, {}, {})
REVOKED = zone("88.121", NOW - 10 * PERIOD, delegated=False)
ALL = [ON_TIME, LATE, NEVER, REVOKED]


def test_who_is_late() -> None:
    assert [is_late(one, NOW, PERIOD) for one in ALL] == [False, True, True, False]
    assert [silent_s(one, NOW) for one in ALL] == [7_200, 7_201, None, 36_000]
    assert silent_s(zone("88", NOW + 50), NOW) == 0, "its clock is ahead"


def test_totals() -> None:
    together = totals(ALL)
    assert together["registered"] == 3_000
    assert together["resolved"] == 3 * 1_234
    assert together["industries"] == {"C34": 2_700, "": 300}
    assert together["counts"]["tcp.requests"] == 297


@pytest.mark.parametrize(
    ("language", "states", "last"),
    [
        ("en", ["on time", "late, 2 h ago, 2 missing", "never", "revoked"], "together"),
        ("zh", ["正常", "迟报 2 h，缺 2", "从未上报", "授权已撤销"], "合计"),
    ],
)
def test_the_table(language: str, states: list[str], last: str) -> None:
    rows = zone_rows(ALL, NOW, PERIOD, language)
    assert [row[-1] for row in rows[:-1]] == states
    assert rows[0][:5] == ("88.118", "1,000", "3", "1,234", "1,200")
    assert rows[-1] == (last, "3,000", "9", "3,702", "3,600", "", "")


def test_json() -> None:
    shown = zones_json(ALL, NOW, PERIOD)
    assert [one["late"] for one in shown["zones"]] == [False, True, True, False]
    assert shown["zones"][0]["counts"] == COUNTS
    hour = HourSums(0, 3_600, 1, 1, 3_601, 7, {"C34": 7}, COUNTS)
    assert hours_json("88.118", [hour], {"88.118.1": 7}) == {
        "zone": "88.118",
        "hours": [hour._asdict() | {"resolved": 1_234}],
        "enterprises": {"88.118.1": 7},
    }
    assert hour_rows([hour]) == [("1970-01-01 00:00:00 UTC", "1970-01-01 01:00:00 UTC", "7", "1,234", "1,200")]


def test_counts_greatest_first() -> None:
    assert count_rows({"A": 1, "": 5, "C34": 5}, "en") == [("(not known)", "5"), ("C34", "5"), ("A", "1")]
    assert count_rows({"": 1_000}, "zh") == [("（未知）", "1,000")]
