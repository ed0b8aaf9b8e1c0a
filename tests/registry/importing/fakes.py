"""A registry in memory that decides like the real one, and files to import."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.status import Status
from registry.importing import ImportOptions, Summary, Tuning, run_import
from registry.store.writes import ABSENT, Outcome, Write

TINY = Tuning(
    batch_rows=7,
    batch_bytes=2_000,
    in_flight=3,
    run_rows=20,
    run_bytes=4_000,
    block_rows=4,
    block_bytes=600,
    partition_rows=16,
    partition_bytes=3_000,
    checkpoint_seconds=0.0,
)


class FakeRegistry:
    """Keeps values by identifier. ``before`` is called with the number of the batch, from 1, before it is written."""

    def __init__(self, before: Callable[[int], None] | None = None) -> None:
        self.records: dict[bytes, bytes] = {}
        self.batches: list[int] = []
        self.most_under_way = 0
        self._under_way = 0
        self.before = before

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self.batches.append(len(writes))
        number = len(self.batches)
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            # Answers come in another order than the questions.
            for _ in range(number % 4):
                await asyncio.sleep(0)
            if self.before is not None:
                self.before(number)
            return [self._decide(write) for write in writes]
        finally:
            self._under_way -= 1

    async def write_series(self, writes: Sequence[Write]) -> list[tuple[Status, int, bool, object]]:
        return [(*outcome, None) for outcome in await self.write(writes)]

    def _decide(self, write: Write) -> Outcome:
        there = self.records.get(write.identifier)
        assert write.values is not None
        if there == write.values:
            return Outcome(Status.OK, 1, False)
        if there is not None and write.compare == ABSENT:
            return Outcome(Status.EXISTS, 1, False)
        self.records[write.identifier] = write.values
        return Outcome(Status.OK, 1, True)


def importing(
    path: Path,
    registry: FakeRegistry | None,
    options: ImportOptions | None = None,
    tuning: Tuning = TINY,
    **more: object,
) -> Summary:
    """Run one import to its end."""
    return asyncio.run(run_import(path, registry, options, tuning=tuning, **more))  # type: ignore[arg-type]


def read_report(path: Path | None) -> list[list[str]]:
    """The refused rows of a report, below its header and what it says of the columns."""
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [line for line in list(csv.reader(file))[1:] if line[3] != "import.mapped"]


def mixed_rows(count: int) -> list[str]:
    """CSV lines, header included: mostly good rows in no order, with every sort of fault and duplicate."""
    lines = ["identifier,URL,TEXT"]
    for number in range(2, count + 2):
        place = number * 7_919 % 10_007
        good = f"88.118.1/P{place:06d},https://example.com/{place},pump {place}"
        fault = {
            11: f"88.118.1/B{place}",
            23: f"no-slash-{place},https://example.com/,x",
            31: f'88.118.1/Q{place},"never closed,x',
            43: f"88.118.1/E{place},,",
            53: "88.118.1/SAME,https://example.com/same,same",
            61: f"88.118.1/SAME,https://example.com/other,{place}",
        }
        lines.append(next((text for step, text in fault.items() if number % step == 0), good))
    return lines


def write_lines(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> Path:
    """Write lines as spreadsheet programs do, with CR LF."""
    path.write_bytes("".join(line + "\r\n" for line in lines).encode(encoding))
    return path
