from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec

from tests.registry.importing.fakes import mixed_rows, write_lines

ROOT = Path(__file__).parents[3]
KILLS = 12


def start(path: Path, database: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("child.py")), str(path), str(database)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def finish(process: subprocess.Popen[str]) -> list[int]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return counts(output)


def counts(output: str) -> list[int]:
    return [int(count) for count in output.split()[1:]]


def seed(database: Path, rows: list[str]) -> None:
    base = sqlite3.connect(database)
    with base:
        base.execute("CREATE TABLE records (identifier BLOB PRIMARY KEY, content BLOB)")
        taken = {line.partition(",")[0].encode() for line in rows[5::97]}
        base.executemany("INSERT INTO records VALUES (?, ?)", [(identifier, b"other") for identifier in taken])
    base.close()


def contents(database: Path) -> list[tuple[bytes, bytes]]:
    base = sqlite3.connect(database)
    try:
        return base.execute("SELECT * FROM records ORDER BY identifier").fetchall()
    finally:
        base.close()


def test_killed_at_any_moment_and_run_again(tmp_path: Path) -> None:
    rows = mixed_rows(10_000)
    path = write_lines(tmp_path / "rows.csv", rows)
    report = tmp_path / "rows.csv.refused.csv"
    state = tmp_path / "rows.csv.import" / "biaoshi-import.state.json"
    calm, stormy = tmp_path / "calm.db", tmp_path / "stormy.db"
    seed(calm, rows)
    seed(stormy, rows)

    process = start(path, calm)
    began = time.monotonic()
    expected = finish(process)
    duration = time.monotonic() - began
    expected_report = report.read_bytes()
    report.unlink()

    chance = Random()
    phases = set()
    output = ""
    for _ in range(KILLS):
        process = start(path, stormy)
        time.sleep(chance.random() * duration / 3)
        process.kill()
        output = process.communicate(timeout=60)[0]
        if output:
            break  # it was done before it was killed
        if state.exists():
            phases.add(msgspec.json.decode(state.read_bytes())["phase"])
    assert phases
    found = counts(output) or finish(start(path, stormy))

    assert contents(stormy) == contents(calm)
    assert report.read_bytes() == expected_report
    rows_read, registered, unchanged, refused = found
    assert (rows_read, registered + unchanged, refused) == (expected[0], expected[1] + expected[2], expected[3])
    assert not (tmp_path / "rows.csv.import").exists()
