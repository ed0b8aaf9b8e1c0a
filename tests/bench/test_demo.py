"""The demonstration, with fewer products: every step is carried out, and one that goes wrong ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench import demo
from tests.e2e.nodes import free_base

ROOT = Path(__file__).parents[2]


def test_demonstration() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import bench.demo as demo; demo.ROWS, demo.CHECKED = 2_000, 50; "
         "of = demo.province_demo; of.ROWS = 1_500; "
         f"of.PLAN = of.PLAN.replace('127.87.0.0', '{free_base()}'); demo.main()"],  # 'make demo' may be running
        capture_output=True, text=True, check=False, timeout=100, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "2,000 rows: 2,000 registered", "✔ verified", "50 identifiers", "all right, all verified", "no such identifier",
        "one bit changed: refused", "node stopped, store closed cleanly", "2,000 registered", "营业执照与申请名称不符",
        "the identifier is suspended", "anybody: a name and no drawing", "more, all right",
        "sealed by the node custody", "restored: ", "up again as process", "ten nodes stopped",
        "Everything was stopped and removed",
    ):  # fmt: skip
        assert said in done.stdout, said
    assert "Traceback" not in done.stdout + done.stderr


def test_a_step_that_goes_wrong_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Path] = []

    def go_wrong(directory: Path) -> None:
        made.append(directory)
        (directory / "node").mkdir()
        raise demo.DemoFailed("an answer was wrong")

    monkeypatch.setattr(demo, "_demonstrate", go_wrong)
    monkeypatch.setattr(demo, "console", Console())
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "✘ an answer was wrong" in said
    assert "Done in" not in said
    assert not made[0].exists()
