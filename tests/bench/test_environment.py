"""What is told of the machine."""

from __future__ import annotations

import json
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from bench import environment
from bench.environment import LIBRARIES, describe, fsync_ms, steal_seconds


def test_the_machine_is_described(tmp_path: Path) -> None:
    found = describe(tmp_path)
    assert json.loads(json.dumps(found))["libraries"] == {name: version(name) for name in LIBRARIES}
    assert abs(time.time() - time.mktime(time.strptime(found["date"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 100
    assert found["cores"] >= 1
    assert 0.1 < found["memory_gib"] < 100_000
    assert found["disk_free_gib"] >= 0
    assert re.match(r"3\.\d+\.\d+.* of /", found["python"])
    assert found["kernel"]
    assert found["cpu"]
    assert len(found["load_average"]) == 3
    assert found["steal_seconds"] >= 0


def test_steal_is_the_eighth_figure_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 800 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    monkeypatch.setattr(environment, "Path", lambda _: tmp_path / "stat")
    monkeypatch.setattr(environment.os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    assert steal_seconds() == 8.0


def test_cpu_of_a_machine_that_does_not_name_it(tmp_path: Path) -> None:
    """ARM's kernels do not."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 243.75\nmodel name extra\t: no\n")
    assert environment._first_value(tmp_path / "cpuinfo", "model name") == "unknown"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: CPU: fast\nmodel name\t: other\n")
    assert environment._first_value(tmp_path / "cpuinfo", "model name") == "CPU: fast"


def test_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment._commit() == "unknown", "an unpacked archive has none"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment._commit() == "unknown", "nor is there always a git"
    done = subprocess.CompletedProcess([], 0, "abc1234-dirty\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert environment._commit() == "abc1234-dirty"


def test_how_long_the_disk_takes(tmp_path: Path) -> None:
    taken = fsync_ms(tmp_path, times=40)
    assert len(taken) == 19, "twenty parts, without the ends"
    assert all(one > 0 for one in taken)
    assert taken == sorted(taken)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fails_leaves_no_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(environment.os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        fsync_ms(tmp_path)
    assert not list(tmp_path.iterdir())
