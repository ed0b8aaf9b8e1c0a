"""The store when its process is killed or its disk is full. As a script, the processes that meet with that."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import lmdb
import pytest

from protocol.errors import StoreError
from protocol.records import State, split_body
from registry.store.interface import STORE_FULL, Store
from registry.store.lmdb import writer
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.writes import ANY, Write
from tests.registry.processes import expect_line, running
from tests.registry.store.builders import ascending, check_agreement, everything, noise, product, put, withdraw

SCRIPT: Final = Path(__file__)
ROUNDS: Final = 8
SMALL_MAP: Final = 1 << 20


def carry_out(store: Store, number: int) -> None:
    """The batch of a number, always the same: now a bulk load, now registrations, updates and withdrawals."""
    draw = random.Random(number)
    if number % 3 == 0:
        count = 1_100 if number % 30 == 0 else draw.randrange(1, 300)
        store.bulk_load(ascending(f"88.{number % 4}", range(number * 2_000, number * 2_000 + count)), number)
    elif number % 3 == 1:
        names = sorted(draw.sample(range(400), 60))
        store.bulk_load([put(f"88.9/{name:03d}", product(draw.randrange(1_000))) for name in names], number)
    else:
        writes: list[Write] = []
        for _ in range(draw.randrange(1, 120)):
            name = f"88.9/{draw.randrange(400):03d}"
            content = noise(draw.randrange(1_000), draw.choice([20, 300, 3_000]))
            writes.append(withdraw(name) if draw.random() < 0.3 else Write(name.encode(), ANY, content, True))
        store.apply(writes, number)


# Killed ----------------------------------------------------------------------------------------------


def write_until_killed(path: Path, start: int) -> None:
    """Carry out batch after batch from ``start`` on, and say after each that it is done."""
    vars(writer)["LEAST_ROOM_BYTES"] = 0  # the map is full now and then
    store = LmdbStore(path, map_bytes=SMALL_MAP)
    for number in range(start, sys.maxsize):
        carry_out(store, number)
        os.write(1, b"%d\n" % number)


def kill_and_read(path: Path, start: int, seconds: float) -> int:
    """Run the writer, kill it so long after its first word; how many batches were acknowledged, all in all."""
    with running(SCRIPT, "write", path, start) as process:
        done = int(expect_line(process)) + 1
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        output = process.stdout.read()  # not communicate, which passes over what was read ahead with the first line
        assert process.wait() == -signal.SIGKILL
        return done + output.count("\n")


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """And what was not is there whole or not at all."""
    draw = random.Random(20_231_124)
    path = tmp_path / "store"
    model = MemoryStore()
    begun = 0
    for _ in range(ROUNDS):
        acknowledged = kill_and_read(path, begun, draw.uniform(0, 0.2))
        assert acknowledged > begun
        store = LmdbStore(path)
        found = check_agreement(store)
        while begun < acknowledged:
            carry_out(model, begun)
            begun += 1
        if found != everything(model):  # the one that was being written may have become durable
            carry_out(model, begun)
            begun += 1
        assert found == everything(model)
        assert store.counts()[:2] == model.counts()[:2]
        active = sum(split_body(body).state is State.ACTIVE for body in found.values())
        assert sum(store.counts().active.values()) == active
        store.close()
    assert begun > 5 * ROUNDS, "there was something to lose"


def test_killed_while_the_store_is_made(tmp_path: Path) -> None:
    draw = random.Random(3)
    path = tmp_path / "store"
    for _ in range(5):
        with running(SCRIPT, "write", path, 0) as process:
            deadline = time.monotonic() + 20
            while not (path / "writer.lock").exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.01))
            process.kill()
            process.wait()
        store = LmdbStore(path)
        check_agreement(store)
        store.close()
        LmdbReader(path).close()
        for file in path.iterdir():
            file.unlink()


# Disk full -------------------------------------------------------------------------------------------


def limit_file_size(size: int) -> None:
    """Let no file of this process grow beyond ``size``; -1 for as large as it likes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def large(seed: int) -> list[Write]:
    """Half a megabyte of registrations and updates."""
    return [put(f"88.5/{number:04d}", noise(seed + number, 1_000)) for number in range(500)]


def fill_the_disk(path: Path) -> None:
    """Write where there is no room, in every way; then where there is room again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = LmdbStore(path)
    for number in range(9):
        carry_out(store, number)
    store.apply(large(0)[:20], 1)
    before, counts = check_agreement(store), store.counts()[:2]
    attempts: list[Callable[[], object]] = [
        lambda: store.apply(large(1), 100),
        lambda: store.bulk_load(large(1), 100),
        lambda: store.bulk_load(ascending("88.7", range(20_000)), 100),
    ]
    for room in (0, 1, 100, 4_095, 4_096, 70_000, 200_001):
        for attempt in attempts:
            limit_file_size((path / "data.mdb").stat().st_size + room)
            error = failure(attempt)
            assert error.rule is STORE_FULL, (room, error)
            assert check_agreement(store) == before
            assert store.counts()[:2] == counts
            limit_file_size(-1)
    for room in (0, 4_096, 20 * 4_096):
        limit_file_size(room)
        error = failure(lambda room=room: store.snapshot(path.parent / f"copy-{room}"))  # type: ignore[misc]
        assert error.rule is STORE_FULL, (room, error)
    limit_file_size((path / "data.mdb").stat().st_size)
    store.close()
    store = LmdbStore(path)  # as after a restart of the node, still without room
    assert check_agreement(store) == before
    assert failure(lambda: store.apply(large(1), 100)).rule is STORE_FULL
    limit_file_size(-1)
    assert all(outcome.changed for outcome in store.apply(large(1), 101)), "the same store writes again"
    assert all(outcome.changed for outcome in store.bulk_load(ascending("88.7", range(20_000)), 102))
    assert len(check_agreement(store)) == len(before) + 480 + 20_000
    store.close()
    print("went well", flush=True)


def failure(attempt: Callable[[], object]) -> StoreError:
    """What an attempt fails with."""
    try:
        attempt()
    except StoreError as error:
        return error
    raise AssertionError("it should have failed")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with running(SCRIPT, "full", tmp_path / "store") as process:
        assert expect_line(process) == "went well"
        assert process.wait(timeout=30) == 0
    store = LmdbStore(tmp_path / "store")
    check_agreement(store)
    store.close()


def test_an_error_of_the_disk_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine tells of both as an input/output error; only one goes away when space is freed."""
    store = LmdbStore(tmp_path)
    store.apply([put("88.1/x")], 1)

    def fail(work: object) -> None:
        raise lmdb.Error("mdb_txn_commit: Input/output error")

    monkeypatch.setattr(writer._Work, "finish", fail)
    error = failure(lambda: store.apply([put("88.1/y")], 2))
    assert error.rule.name == "store.failed"
    monkeypatch.undo()
    assert store.apply([put("88.1/y")], 3)[0].changed
    assert len(check_agreement(store)) == 2
    store.close()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write_until_killed(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        fill_the_disk(Path(sys.argv[2]))
