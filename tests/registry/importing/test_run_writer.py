from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import SettingsError
from registry.importing import Tuning, rules, run_writer
from registry.importing.run_writer import RunWriter
from registry.importing.sorting import Run, element_of, read_sorted, write_run

TUNING = Tuning(block_rows=16)


def elements() -> list[bytes]:
    return [element_of(b"88/%d" % (number * 37 % 101), number, b"v") for number in range(200)]


def slow(handle: int, elements: list[bytes], tuning: Tuning) -> None:
    time.sleep(60)


def full(handle: int, elements: list[bytes], tuning: Tuning) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def exhausted(handle: int, elements: list[bytes], tuning: Tuning) -> None:
    raise MemoryError


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    made = RunWriter(tmp_path, TUNING)
    yield made
    made.close()


def finish(writer: RunWriter) -> Run | None:
    return asyncio.run(writer.finish())


def child_of(writer: RunWriter) -> int:
    assert writer._child is not None
    return writer._child.pid


def test_a_run_is_the_same_whoever_writes_it(writer: RunWriter, tmp_path: Path) -> None:
    here = write_run(tmp_path, "here", elements(), TUNING)
    writer.begin("there", elements())
    there = finish(writer)
    assert there is not None
    assert there == Run("there", here.rows, here.size)
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    assert [one for part in read_sorted(tmp_path, [there], b"", TUNING) for one in part] == sorted(elements())
    assert finish(writer) is None
    assert sorted(os.listdir(tmp_path)) == ["here", "there"]


def test_runs_one_after_the_other(writer: RunWriter) -> None:
    for number in range(5):
        writer.begin(f"run-{number}", elements())
        run = finish(writer)
        assert run is not None
        assert run.name == f"run-{number}"


def test_a_run_does_not_count_before_it_is_finished(writer: RunWriter, tmp_path: Path) -> None:
    writer.begin("run", elements())
    os.waitid(os.P_PID, child_of(writer), os.WEXITED | os.WNOWAIT)
    assert os.listdir(tmp_path) == ["run.tmp"]
    finish(writer)
    assert os.listdir(tmp_path) == ["run"]


def test_the_process_is_killed(writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "write_elements", slow)
    writer.begin("run", elements())
    os.kill(child_of(writer), signal.SIGKILL)
    with pytest.raises(SettingsError) as caught:
        finish(writer)
    assert caught.value.rule is rules.SORTER_ENDED
    assert caught.value.details == {"signal": 9}
    assert os.listdir(tmp_path) == []


def test_what_the_system_says_in_the_process_is_said_here(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "write_elements", full)
    writer.begin("run", elements())
    with pytest.raises(OSError, match="No space left") as caught:
        finish(writer)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_the_process_fails_in_another_way(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "write_elements", exhausted)
    writer.begin("run", elements())
    with pytest.raises(SettingsError) as caught:
        finish(writer)
    assert caught.value.rule is rules.SORTER_ENDED


def test_giving_up_ends_the_process(writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "write_elements", slow)
    writer.begin("run", elements())
    child = child_of(writer)
    writer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert os.listdir(tmp_path) == []


def test_the_process_keeps_nothing_open_but_its_file(
    writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above all not the lock of the work directory: an import that was killed can be run again at once."""
    monkeypatch.setattr(run_writer, "write_elements", slow)
    with (tmp_path / "lock").open("wb"):
        writer.begin("run", elements())
        place = Path(f"/proc/{child_of(writer)}/fd")
        deadline = time.monotonic() + 10
        while (found := held(place)) != {str(tmp_path / "run.tmp")} and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found == {str(tmp_path / "run.tmp")}


def held(place: Path) -> set[str]:
    """What a process has open beside its standard streams."""
    return {os.readlink(entry) for entry in place.iterdir() if int(entry.name) > 2}


def test_no_room_for_another_process(writer: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    writer.begin("run", elements())
    run = finish(writer)
    assert run is not None
    assert [one for part in read_sorted(tmp_path, [run], b"", TUNING) for one in part] == sorted(elements())


def test_a_directory_that_is_gone(writer: RunWriter, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        writer.begin("run", elements())
    tmp_path.mkdir()
