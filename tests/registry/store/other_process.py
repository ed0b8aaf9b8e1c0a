"""Another process at a store: ``python other_process.py continuously|hold|watch|write PATH [BATCHES SIZE]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from protocol.errors import StoreError
from registry.store.lmdb.layout import open_tables
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore

SMALL_MAP: int = 1 << 20


def name(batch: int, number: int) -> bytes:
    """The identifier of one record of a batch."""
    return b"88.1/%04d-%04d" % (batch, number)


def read_continuously(path: Path, batches: int, size: int) -> None:
    """Read everything over and over until all batches are there; each is there whole or not at all."""
    reader = LmdbReader(path, open_tables(path, writable=False, map_bytes=SMALL_MAP))
    wanted = [name(batch, number) for batch in range(batches) for number in range(size)]
    seen, rounds = 0, 0
    while seen < batches:
        bodies = reader.get_many(wanted)
        there = [sum(body is not None for body in bodies[i : i + size]) for i in range(0, len(bodies), size)]
        complete = there.count(size)
        assert there == [size] * complete + [0] * (batches - complete), there
        assert complete >= seen, "what was there stays there"
        assert all(body is None or len(body) > size for body in bodies)
        assert len(reader.scan("88.1", None, 7).entries) in (0, 7)
        seen, rounds = complete, rounds + 1
        reader.rest()
        if rounds == 1:
            print("reading", flush=True)
    print("saw all", rounds, flush=True)


def hold(path: Path) -> None:
    """Take a snapshot and keep it until killed."""
    reader = LmdbReader(path)
    reader.get_many([name(0, 0)])
    print("holding", flush=True)
    time.sleep(60)


def watch(path: Path) -> None:
    """Ask for a record over and over, and tell whenever it comes or goes."""
    reader = LmdbReader(path)
    seen: bool | None = None
    while True:
        there = reader.get_many([name(0, 0), b"88.1.1/x"])
        assert [body is not None for body in there] == [there[0] is not None] * 2
        assert (reader.cut("88.1.1") is None) == (there[0] is not None)
        if seen is not (there[0] is not None):
            seen = there[0] is not None
            print("there" if seen else "cut off", flush=True)
        reader.rest()
        time.sleep(0.001)


def write(path: Path) -> None:
    """Try to be the writer; say why not."""
    try:
        LmdbStore(path)
    except StoreError as error:
        print(error.rule.name, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(Path(sys.argv[2]))
    elif sys.argv[1] == "watch":
        watch(Path(sys.argv[2]))
    elif sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        read_continuously(Path(sys.argv[2]), *map(int, sys.argv[3:]))
