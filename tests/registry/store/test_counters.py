"""Counters in mapped files: seen at once by the reader, kept when a worker is killed, begun anew only when damaged."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from protocol.errors import StoreError
from protocol.status import Status
from registry.store import counters
from registry.store.counters import NAMES, OK, OTHER, TCP_BUNDLES, CounterFile, number_of, read_counters
from tests.registry.processes import expect_line, running


def test_what_is_counted_is_read_at_once(tmp_path: Path) -> None:
    file = CounterFile(tmp_path / "counters")
    file.tally[OK] += 3
    file.tally[len(NAMES) - 1] += 1 << 40
    [reading] = read_counters(tmp_path / "counters")
    assert reading.values == (3, *[0] * (len(NAMES) - 2), 1 << 40)
    file.close()
    assert read_counters(tmp_path / "counters") == [reading]


def test_nobody_has_counted(tmp_path: Path) -> None:
    assert read_counters(tmp_path / "counters") == []


def test_each_worker_has_its_own_and_the_next_goes_on(tmp_path: Path) -> None:
    one, two = CounterFile(tmp_path), CounterFile(tmp_path)
    one.tally[OK] += 1
    two.tally[OK] += 20
    first, second = read_counters(tmp_path)
    assert first.source != second.source
    one.close()
    three = CounterFile(tmp_path)
    three.tally[OK] += 300
    assert [reading.values[OK] for reading in read_counters(tmp_path)] == [301, 20]
    assert [reading.source for reading in read_counters(tmp_path)] == [first.source, second.source]
    two.close()
    three.close()


def test_counts_survive_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = Path(__file__).with_name("counting_process.py")
    for round_ in range(1, 4):
        with running(script, tmp_path) as process:
            assert expect_line(process) == "counted"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        [reading] = read_counters(tmp_path)
        assert reading.values[TCP_BUNDLES] == 1_000 * round_


def test_a_damaged_file_begins_anew_under_another_name(tmp_path: Path) -> None:
    CounterFile(tmp_path).close()
    [before] = read_counters(tmp_path)
    path = tmp_path / "worker-1"
    for damage in (b"", b"x" * 4_096, path.read_bytes()[:100]):
        path.write_bytes(damage)
        assert read_counters(tmp_path) == []
        file = CounterFile(tmp_path)
        file.tally[OK] += 1
        [after] = read_counters(tmp_path)
        assert after.source != before.source
        assert sum(after.values) == 1
        file.close()


def test_a_file_of_an_older_version_gets_the_new_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "NAMES", NAMES[:3])
    file = CounterFile(tmp_path)
    file.tally[2] += 7
    file.close()
    [old] = read_counters(tmp_path)
    assert old.values == (0, 0, 7)
    monkeypatch.undo()
    CounterFile(tmp_path).close()
    assert read_counters(tmp_path) == [(old.source, (0, 0, 7, *[0] * (len(NAMES) - 3)))]


def test_more_workers_than_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_FILES", 1)
    file = CounterFile(tmp_path)
    with pytest.raises(StoreError, match="workers count there already"):
        CounterFile(tmp_path)
    file.close()


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        CounterFile(tmp_path / "file" / "counters")


def test_statuses_have_their_numbers() -> None:
    assert NAMES[number_of(Status.OK)] == "resolved.ok"
    assert NAMES[number_of(103)] == "resolved.referral"
    assert number_of(Status.STORE_FAILED) == OTHER
    assert NAMES[OTHER] == "resolved.other"
    assert NAMES[counters.TCP_DROPPED] == "tcp.dropped"
    assert NAMES[counters.UDP_DROPPED] == "udp.dropped"
