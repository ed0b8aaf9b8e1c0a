"""What the benchmark computes itself, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import node, run
from bench.node import BenchFailed, generate, pinned
from bench.report import Figure


def test_a_ratio_is_taken_round_by_round() -> None:
    """A machine that drifts treats both sides of a pair alike; the medians of the sides would not."""
    runs = {"one": [10.0, 20.0, 90.0], "other": [10.0, 40.0, 30.0]}
    assert run._ratio("r", runs, "one", "other") == Figure("r", 1.0, "ratio", 0.5, 3.0)
    with pytest.raises(ValueError, match="longer"):
        run._ratio("r", {"one": [1.0], "other": [1.0, 2.0]}, "one", "other")


def test_time_and_memory_of_a_command() -> None:
    seconds, peak = run._timed([sys.executable, "-c", "x = bytearray(200 << 20); import time; time.sleep(0.3)"])
    assert seconds >= 0.3
    assert peak > 200


def test_a_command_that_fails_fails_the_benchmark() -> None:
    with pytest.raises(BenchFailed, match="ended with 3"):
        run._timed([sys.executable, "-c", "raise SystemExit(3)"])


def test_pinned() -> None:
    assert pinned("1", ["a", "b"]) == ["taskset", "-c", "1", "a", "b"]
    assert pinned(None, ["a", "b"]) == ["a", "b"]


def test_a_generator_that_fails_fails_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said, and the command line to try by hand."""
    monkeypatch.setattr(node, "GENERATOR_CORE", None)
    with pytest.raises(BenchFailed) as raised:
        generate("bench.generator", "--port", "1")
    assert "--anchor" in str(raised.value)
    assert f"{sys.executable} -m bench.generator --port 1" in str(raised.value)


def test_a_generator_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "GENERATOR_CORE", None)
    done = subprocess.CompletedProcess([], 0, 'something else\n{"per_second": 5}\n', "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert generate("bench.generator") == {"per_second": 5}


def test_a_node_that_does_not_start_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "START_SECONDS", 0.0)
    late = node.Node(tmp_path / "node", None)
    with pytest.raises(BenchFailed, match="did not start"):
        late.__enter__()
    assert late._process is not None
    assert late._process.poll() is not None
    assert not (tmp_path / "node").exists()
