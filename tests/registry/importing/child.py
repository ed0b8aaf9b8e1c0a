"""An import in a process of its own, to be killed: ``child.py FILE DATABASE``. Says ``begun`` and ``done``."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from random import random

from protocol.status import Status
from registry.importing import Tuning, run_import
from registry.store.writes import Outcome, Write

KILLABLE = Tuning(
    batch_rows=40,
    in_flight=4,
    run_rows=300,
    block_rows=32,
    partition_rows=250,
    checkpoint_seconds=0.01,
)


class Database:
    """A registry in SQLite: a batch is committed before it is answered."""

    def __init__(self, path: str) -> None:
        self._base = sqlite3.connect(path)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("CREATE TABLE IF NOT EXISTS records (identifier BLOB PRIMARY KEY, content BLOB)")

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        await asyncio.sleep(random() / 500)
        with self._base:
            outcomes = [self._decide(write) for write in writes]
        await asyncio.sleep(random() / 500)
        return outcomes

    def _decide(self, write: Write) -> Outcome:
        there = self._base.execute("SELECT content FROM records WHERE identifier = ?", (write.identifier,)).fetchone()
        if there is None:
            self._base.execute("INSERT INTO records VALUES (?, ?)", (write.identifier, write.values))
            return Outcome(Status.OK, 1, True)
        return Outcome(Status.OK if there[0] == write.values else Status.EXISTS, 1, False)


if __name__ == "__main__":
    print("begun", flush=True)
    summary = asyncio.run(run_import(Path(sys.argv[1]), Database(sys.argv[2]), tuning=KILLABLE))
    print("done", *summary[:4], flush=True)
