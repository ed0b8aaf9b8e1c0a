"""Counter readings become reports: every addition in exactly one, whatever clocks and counters do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StoreError
from protocol.limits import MAX_REPORT_BYTES
from protocol.reports import encode_report, read_report
from registry.statistics.hours import (
    MAX_SOURCES,
    Place,
    begin,
    by_enterprise,
    by_industry,
    close,
    counted_since,
    encode_place,
    follow_clock,
    is_due,
    read_place,
)
from registry.store.counters import NAMES, Reading

A, B = b"file-a..", b"file-b.."


def reading(source: bytes, *values: int) -> Reading:
    return Reading(source, (*values, *[0] * (len(NAMES) - len(values))))


def test_what_was_counted_before_the_first_look_is_told() -> None:
    assert counted_since({}, [reading(A, 3, 0, 1), reading(B, 4)]) == {"resolved.ok": 7, "resolved.withdrawn": 1}


@pytest.mark.parametrize(
    ("before", "now", "counted"),
    [
        ({A: [5]}, [reading(A, 8)], {"resolved.ok": 3}),
        ({A: [5]}, [reading(A, 5)], {}),
        ({A: [5]}, [reading(A, 2)], {}),  # a loss of power took what was told already
        ({A: [5]}, [reading(B, 2)], {"resolved.ok": 2}),  # the file was made anew
        ({A: [5]}, [reading(A, 5, 7)], {"resolved.not_found": 7}),  # a newer version counts more
        ({A: [5, 1]}, [reading(A, 9, 0), reading(B, 1)], {"resolved.ok": 5}),
        ({A: [5]}, [], {}),
    ],
)
def test_what_was_added(before: dict[bytes, list[int]], now: list[Reading], counted: dict[str, int]) -> None:
    assert counted_since(before, now) == counted


def test_a_counter_of_a_newer_version_is_left_out() -> None:
    assert counted_since({}, [Reading(A, (1,) * (len(NAMES) + 5))]) == dict.fromkeys(NAMES, 1)


def test_an_hour_is_closed_when_it_is_over() -> None:
    place = begin(7_205, 3_600)
    assert place == Place(1, 7_200, {})
    assert not is_due(place, 10_799, 3_600)
    assert is_due(place, 10_800, 3_600)
    after, [report] = close(place, "88.118", 10_801, 3_600, [reading(A, 3)], {"88.118.1": 9, "88.118.2": 1},
                            {"88.118.1": "C34"})  # fmt: skip
    assert (report.zone, report.start, report.end) == ("88.118", 7_200, 10_801)
    assert (report.first, report.sequence, report.part, report.parts) == (1, 1, 0, 1)
    assert (report.registered, report.enterprises) == (10, {"88.118.1": 9, "88.118.2": 1})
    assert (report.industries, report.counts) == ({"C34": 9, "": 1}, {"resolved.ok": 3})
    assert after == Place(2, 10_800, {A: list(reading(A, 3).values)})
    assert not is_due(after, 10_801, 3_600)


def test_hours_in_which_the_node_did_not_run_have_no_report() -> None:
    after, reports = close(begin(0, 3_600), "88", 36_000, 3_600, [], {}, {})
    assert [(report.start, report.end) for report in reports] == [(0, 36_000)]
    assert after.opened == 36_000


def test_a_clock_that_is_put_back_reopens_an_earlier_hour() -> None:
    place = Place(5, 36_000, {})
    assert follow_clock(place, 36_100, 3_600) == place
    assert follow_clock(place, 40_000, 3_600) == place
    back = follow_clock(place, 7_300, 3_600)
    assert back == Place(5, 7_200, {})
    assert not is_due(back, 7_300, 3_600)
    assert is_due(back, 10_800, 3_600)


def test_files_that_are_gone_are_remembered_while_there_is_room() -> None:
    place = Place(1, 0, {A: [5]})
    after, _ = close(place, "88", 3_600, 3_600, [reading(B, 1)], {}, {})
    assert after.read == {B: list(reading(B, 1).values), A: [5]}
    _, [report] = close(after, "88", 7_200, 3_600, [reading(A, 6), reading(B, 1)], {}, {})
    assert report.counts == {"resolved.ok": 1}
    many = {bytes([i]) * 8: [1 << 40] * len(NAMES) for i in range(MAX_SOURCES)}
    after, _ = close(Place(1, 0, many), "88", 3_600, 3_600, [reading(A, 1)], {}, {})
    assert A in after.read
    assert len(encode_place(after)) <= 32_768 - 1_024
    assert read_place(encode_place(after)) == after


def test_a_damaged_place_is_said() -> None:
    with pytest.raises(StoreError, match="damaged"):
        read_place(b"\x93\x00\x00\x80")


@pytest.mark.parametrize(
    ("zone", "enterprises"),
    [
        ("88.118", {"88.118.1": 11, "88.118.2": 3, "88.118": 7}),
        ("88", {"88.118": 21, "88.1180": 5, "88": 2}),
        ("", {"88": 28, "99": 1}),
        ("88.118.1", {"88.118.1": 1, "88.118.1.5": 10}),
    ],
)
def test_by_enterprise(zone: str, enterprises: dict[str, int]) -> None:
    active = {
        "88.118.1": 1, "88.118.1.5": 10, "88.118.2": 3, "88.118.3": 0, "88.118": 7, "88.1180": 5, "88": 2, "99.1": 1,
    }  # fmt: skip
    assert by_enterprise(active, zone) == enterprises


def test_by_industry() -> None:
    assert by_industry({"1": 2, "2": 3, "3": 4}, {"1": "C34", "3": "C34", "9": "A01"}) == {"C34": 6, "": 3}


@given(st.dictionaries(st.text("0123456789é", min_size=1, max_size=50), st.integers(0, 1 << 50), max_size=2_000))
def test_parts_fit_and_have_every_enterprise_once(enterprises: dict[str, int]) -> None:
    place, reports = close(Place(7, 0, {}), "8" * 64, 3_600, 3_600, [reading(A, *[1 << 62] * len(NAMES))],
                           enterprises, {})  # fmt: skip
    found: list[tuple[str, int]] = []
    for i, report in enumerate(reports):
        assert len(encode_report(report)) <= MAX_REPORT_BYTES
        assert (report.sequence, report.first, report.part, report.parts) == (7 + i, 7 + i, i, len(reports))
        assert report.counts == (dict.fromkeys(NAMES, 1 << 62) if i == 0 else {})
        found += report.enterprises.items()
        assert read_report(encode_report(report)) == report
    assert found == sorted(enterprises.items())
    assert place.sequence == 7 + len(reports)
