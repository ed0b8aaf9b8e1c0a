"""An import into a real node, killed over and over at any moment: in the end everything is there, and once."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from protocol.records import State, decode_body
from protocol.status import Exit
from registry.store.lmdb.reader import LmdbReader
from tests.conftest import MakeNode
from tests.e2e.nodes import CLEAN, Node
from tests.long import chance, share
from tests.registry.store.builders import everything

ROUNDS = share(30, 3)
MOST_ROWS = share(300_000, 3_000)


class Products(NamedTuple):
    """A file, the records that it must become, and the numbers of the rows that must be refused."""

    file: Path
    records: dict[bytes, str]
    refused: list[int]


def products(directory: Path, prefix: str, count: int, draw: random.Random) -> Products:
    """Rows in no order; now and then a fault, or a row that was there before."""
    records: dict[bytes, str] = {}
    refused: list[int] = []
    numbers = list(range(count))
    draw.shuffle(numbers)
    file = directory / f"{prefix}.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("identifier,URL,TEXT\n")
        for row, number in enumerate(numbers, start=2):
            kind = draw.random()
            if kind < 0.001:
                refused.append(row)
                out.write(f"{prefix}/,https://example.com/{number},no suffix\n")
            elif kind < 0.002 and records:
                refused.append(row)
                out.write(f"{next(iter(records)).decode()},https://example.com/other,there already\n")
            else:
                records[f"{prefix}/P{number:07d}".encode()] = f"https://example.com/{number}"
                out.write(f"{prefix}/P{number:07d},https://example.com/{number},泵 {number % 89}\n")
    return Products(file, records, refused)


def start(node: Node, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "biaoshi.cli", "import", str(file), "--node", str(node.directory)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=CLEAN,
    )  # fmt: skip


@pytest.mark.long
def test_killed_at_any_moment_over_and_over(make_node: MakeNode, tmp_path: Path) -> None:
    draw = chance()
    node = make_node("127.0.0.12")
    node.start()
    reader = LmdbReader(node.directory / "store")
    killed = registered = 0
    seconds_a_row = 1 / 20_000
    for turn in range(ROUNDS):
        prefix = f"88.118.{turn}"
        made = products(tmp_path, prefix, draw.randrange(1, MOST_ROWS), draw)
        rows = len(made.records) + len(made.refused)
        for _ in range(draw.randrange(1, 6)):
            process = start(node, made.file)
            # An import needs a moment to begin; what it has done before the last kill it need not do again.
            time.sleep(0.3 + draw.random() * (0.5 + rows * seconds_a_row))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        begin = time.monotonic()
        done = node.run("import", made.file, timeout=600)
        assert done.code == (Exit.PARTLY_REFUSED if made.refused else Exit.OK), done
        assert f"{rows:,} rows" in done.out
        assert f"{len(made.refused):,} refused" in done.out
        if rows > 10_000:
            seconds_a_row = max(seconds_a_row, (time.monotonic() - begin) / rows)
        reader.rest()
        check(reader, prefix, made)
        registered += len(made.records)
        assert reader.counts().changes == registered, "each was written once"
        assert not made.file.with_name(made.file.name + ".import").exists()
        made.file.unlink()
    reader.close()
    assert killed >= ROUNDS, "most imports were killed before they were done"
    assert "Traceback" not in node.said()
    assert node.stop() == 0


def check(reader: LmdbReader, prefix: str, made: Products) -> None:
    """Exactly the good rows are there, each once and as it was in the file; exactly the others are in the report."""
    found = everything(reader, prefix, 10_000)
    assert found.keys() == made.records.keys()
    for identifier, body in found.items():
        record = decode_body(body)
        url = record.find("URL")
        assert url is not None
        assert (record.version, record.state, url.text) == (1, State.ACTIVE, made.records[identifier])
    assert reader.counts().active[prefix] == len(made.records)
    report = made.file.with_name(made.file.name + ".refused.csv")
    if made.refused:
        with report.open(encoding="utf-8-sig", newline="") as file:
            assert [int(line[0]) for line in list(csv.reader(file))[1:]] == made.refused
        report.unlink()
    assert not report.exists()
