"""Figures: their medians, their targets, the two files, the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import api, following, kinds, recursion, report, run
from bench.report import TARGETS, Figure, Target, figure, show, write

ENVIRONMENT = {
    "cpu": "A CPU",
    "cores": 2,
    "commit": "abc1234",
    "load_average": (0.5, 0.25),
    "libraries": {"x": "1"},
}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([5.0], (5.0, 5.0, 5.0)),
        ([9.0, 1.0, 5.0], (5.0, 1.0, 9.0)),
        ([1.0, 2.0, 4.0, 9.0], (3.0, 1.0, 9.0)),
    ],
)
def test_a_figure_is_the_median_with_lowest_and_highest(runs: list[float], expected: tuple[float, ...]) -> None:
    assert figure("name", "1/s", runs) == Figure("name", expected[0], "1/s", *expected[1:])


def test_a_figure_of_no_runs_is_none() -> None:
    with pytest.raises(ValueError, match="data"):
        figure("name", "1/s", [])


def test_targets_are_met_from_the_right_side() -> None:
    assert [Target(10).met(value) for value in (9.9, 10, 11)] == [False, True, True]
    assert [Target(10, most=True).met(value) for value in (9.9, 10, 11)] == [True, True, False]


def test_every_target_belongs_to_a_figure_that_is_measured() -> None:
    modules = (run, recursion, following, api, kinds)
    source = "".join(Path(str(module.__file__)).read_text("utf-8") for module in modules)
    for name in TARGETS:
        assert name in run.LOADS or f'"{name}"' in source, name


def test_the_files(tmp_path: Path) -> None:
    figures = [figure("tcp_50x64", "1/s", [400_000.0, 410_000.0, 405_000.5]), figure("fsync_ms", "ms", [0.15])]
    write(figures, ENVIRONMENT, tmp_path / "build/deeper")
    listed = json.loads((tmp_path / "build/deeper/bench.json").read_text("utf-8"))
    assert listed == [
        {"name": "tcp_50x64", "value": 405_000.5, "unit": "1/s", "low": 400_000.0, "high": 410_000.0},
        {"name": "fsync_ms", "value": 0.15, "unit": "ms", "low": 0.15, "high": 0.15},
    ]
    environment = json.loads((tmp_path / "build/deeper/bench-environment.json").read_text("utf-8"))
    assert environment == {**ENVIRONMENT, "load_average": [0.5, 0.25]}
    write(figures[:1], {}, tmp_path / "build/deeper")
    assert len(json.loads((tmp_path / "build/deeper/bench.json").read_text("utf-8"))) == 1, "written anew, not added to"


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [
        figure("tcp_50x64", "1/s", [TARGETS["tcp_50x64"].value + 1_000]),
        figure("udp_16x16", "1/s", [7.0]),
        figure("bytes_per_record", "bytes", [50.4]),
        figure("fsync_ms", "ms", [0.1, 0.15, 0.2]),
    ]
    show(figures, ENVIRONMENT, targets=True)
    said = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in said.splitlines() if line.count("│") > 3}
    assert "A CPU, 2 cores, abc1234" in said
    assert "501,000" in rows["tcp_50x64"]
    assert "≥ 500,000" in rows["tcp_50x64"]
    assert "met" in rows["tcp_50x64"]
    assert "missed" in rows["udp_16x16"]
    assert "≤ 75" in rows["bytes_per_record"]
    assert "met" in rows["bytes_per_record"]
    assert "0.1 – 0.2" in rows["fsync_ms"]
    assert not {"met", "missed"} & set(rows["fsync_ms"].split())


def test_a_quick_run_is_compared_with_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show([figure("udp_16x16", "1/s", [7.0])], ENVIRONMENT, targets=False)
    said = capsys.readouterr().out
    assert "missed" not in said
    assert "110,000" not in said
    assert "Quick run" in said


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "0.123"), (7.0, "7"), (99.96, "100"), (100.4, "100"), (1_234_567.8, "1,234,568")]
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert report._shown(value) == shown
