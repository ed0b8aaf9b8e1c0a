"""Group commit: what shares a transaction, who is told what, and in which order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from protocol.errors import StoreError
from protocol.status import Status
from registry.committer import BULK_LEAST, GROUP_MOST, Committer
from registry.store.interface import STORE_FULL
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.writes import ABSENT, Outcome, Write
from tests.registry.store.builders import ascending, check_agreement, everything, put, values, versions

SECONDS: Final = 10.0
"""After which a test gives up waiting."""

Result = list[Outcome] | StoreError


class HeldStore(MemoryStore):
    """A store whose disk is slow: each call waits until the test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[bytes], int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.failure: StoreError | None = None

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        self._wait("apply", writes, now)
        return super().apply(writes, now)

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        self._wait("bulk_load", writes, now)
        return MemoryStore.apply(self, writes, now)

    def _wait(self, call: str, writes: Sequence[Write], now: int) -> None:
        self.calls.append((call, [write.identifier for write in writes], now))
        self.entered.release()
        assert self.gate.acquire(timeout=SECONDS)
        if self.failure is not None:
            raise self.failure


class Bench:
    """A committer between a held store and an event loop that the test turns."""

    def __init__(self, store: HeldStore) -> None:
        self.store = store
        self.turns: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.clock = iter(range(100, 10_000))
        self.failures: list[StoreError] = []
        self.committer = Committer(
            store, self.turns.put, lambda: next(self.clock), failed=lambda error: self.failures.append(error)
        )
        self.told: list[tuple[str, Result]] = []

    def submit(self, name: str, writes: Sequence[Write]) -> None:
        self.committer.submit(writes, lambda result: self.told.append((name, result)))

    def hold(self, name: str = "first") -> None:
        """Submit a batch and wait until the store is busy with it."""
        self.submit(name, [put(f"88.0/{name}")])
        assert self.store.entered.acquire(timeout=SECONDS)

    def let_go(self, calls: int = 1) -> None:
        """Let the store finish so many calls and turn the loop once for each."""
        self.store.gate.release(calls)
        for _ in range(calls):
            self.turns.get(timeout=SECONDS)()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(HeldStore())
    yield made
    made.store.gate.release(1_000)
    made.committer.stop()


def test_a_batch_is_carried_out_and_told(bench: Bench) -> None:
    bench.hold()
    assert bench.told == []
    bench.let_go()
    assert bench.told == [("first", [Outcome(Status.OK, 1, changed=True)])]
    assert bench.store.calls == [("apply", [b"88.0/first"], 100)]


def test_done_is_called_by_the_loop_only(bench: Bench) -> None:
    by: list[int] = []
    bench.committer.submit([put("88.1/x")], lambda result: by.append(threading.get_ident()))
    bench.let_go()
    assert by == [threading.get_ident()]


def test_batches_that_wait_share_one_transaction(bench: Bench) -> None:
    bench.hold()
    batches = {
        "a": [put("88.1/x", values("1"), ABSENT), put("88.1/y")],
        "b": [put("88.1/x", values("2"), ABSENT)],
        "none": [],
        "c": [put("88.1/x", values("3"), 1), put("88.1/z", None, 9), put("88.1/x", values("4"))],
    }
    for name, writes in batches.items():
        bench.submit(name, writes)
    bench.let_go(2)
    order = [write.identifier for writes in batches.values() for write in writes]
    assert bench.store.calls == [("apply", [b"88.0/first"], 100), ("apply", order, 101)]
    assert bench.told[1:] == [
        ("a", [Outcome(Status.OK, 1, changed=True), Outcome(Status.OK, 1, changed=True)]),
        ("b", [Outcome(Status.EXISTS, 1, changed=False)]),
        ("none", []),
        (
            "c",
            [
                Outcome(Status.OK, 2, changed=True),
                Outcome(Status.NOT_FOUND, 0, changed=False),
                Outcome(Status.OK, 3, changed=True),
            ],
        ),
    ]


def test_each_group_is_told_before_the_next_is_done(bench: Bench) -> None:
    bench.hold("a")
    bench.submit("b", [put("88.1/b")])
    bench.let_go()
    assert [name for name, _ in bench.told] == ["a"]
    bench.let_go()
    assert [name for name, _ in bench.told] == ["a", "b"]


def test_an_error_of_the_store_is_told_to_every_batch_of_the_group(bench: Bench) -> None:
    bench.hold()
    for name in "abc":
        bench.submit(name, [put(f"88.1/{name}")])
    bench.let_go()
    assert bench.store.entered.acquire(timeout=SECONDS)
    error = StoreError(STORE_FULL, reason="no space")
    bench.store.failure = error
    bench.let_go()
    assert bench.told[1:] == [("a", error), ("b", error), ("c", error)]
    assert bench.failures == [error], "one transaction"
    bench.store.failure = None
    bench.submit("d", [put("88.1/d")])
    bench.let_go()
    assert bench.told[-1] == ("d", [Outcome(Status.OK, 1, changed=True)])
    assert bench.store.find(b"88.1/a") is None


def test_an_error_of_a_bulk_load_is_told_to_it_alone(bench: Bench) -> None:
    bench.hold()
    bench.submit("bulk", ascending("88.1", range(BULK_LEAST)))
    bench.submit("small", [put("88.2/x")])
    bench.let_go()
    assert bench.store.entered.acquire(timeout=SECONDS)
    bench.store.failure = error = StoreError(STORE_FULL, reason="no space")
    bench.let_go()
    assert bench.store.entered.acquire(timeout=SECONDS)
    bench.store.failure = None
    bench.let_go()
    assert bench.told[1:] == [("bulk", error), ("small", [Outcome(Status.OK, 1, changed=True)])]


def test_a_bulk_load_goes_alone_and_in_its_turn(bench: Bench) -> None:
    bench.hold()
    bulk = ascending("88.1", range(BULK_LEAST))
    bench.submit("a", [put("88.2/a")])
    bench.submit("b", [put("88.2/b")])
    bench.submit("bulk", bulk)
    bench.submit("again", bulk)
    bench.submit("c", [put("88.2/c")])
    bench.submit("d", [put("88.2/d")])
    bench.let_go(5)
    assert [(call, names if len(names) < 5 else len(names)) for call, names, _ in bench.store.calls] == [
        ("apply", [b"88.0/first"]),
        ("apply", [b"88.2/a", b"88.2/b"]),
        ("bulk_load", BULK_LEAST),
        ("bulk_load", BULK_LEAST),
        ("apply", [b"88.2/c", b"88.2/d"]),
    ]
    assert [name for name, _ in bench.told] == ["first", "a", "b", "bulk", "again", "c", "d"]
    results = dict(bench.told)
    assert isinstance(results["bulk"], list)
    assert isinstance(results["again"], list)
    assert {outcome.changed for outcome in results["bulk"]} == {True}
    assert {outcome.changed for outcome in results["again"]} == {False}


NO_BULK: Final = {
    "too few": ascending("88.1", range(BULK_LEAST - 1)),
    "twice the same": [*ascending("88.1", range(BULK_LEAST)), *ascending("88.1", range(BULK_LEAST - 1, BULK_LEAST))],
    "descending": ascending("88.1", range(BULK_LEAST))[::-1],
    "one out of order": [*ascending("88.1", range(BULK_LEAST)), put("88.1/A")],
}


@pytest.mark.parametrize("kind", NO_BULK)
def test_what_does_not_ascend_is_no_bulk_load(bench: Bench, kind: str) -> None:
    bench.submit("batch", NO_BULK[kind])
    bench.let_go()
    assert [call for call, _, _ in bench.store.calls] == ["apply"]


def test_a_group_has_an_end(bench: Bench) -> None:
    """Nobody waits behind any number of others."""
    bench.hold()
    part = GROUP_MOST // 2 + 1
    for number in range(5):
        bench.submit(str(number), ascending(f"88.{number}", range(part))[::-1])
    bench.let_go(4)
    assert [len(names) for _, names, _ in bench.store.calls] == [1, 2 * part, 2 * part, part]
    assert [name for name, _ in bench.told] == ["first", *"01234"]


def test_stop_carries_out_what_was_submitted(bench: Bench) -> None:
    bench.hold()
    bench.submit("small", [put("88.1/x")])
    bench.submit("bulk", ascending("88.2", range(BULK_LEAST)))
    stopping = threading.Thread(target=bench.committer.stop)
    stopping.start()
    bench.store.gate.release(3)
    stopping.join(SECONDS)
    assert not stopping.is_alive()
    for _ in range(3):
        bench.turns.get(timeout=SECONDS)()
    assert [name for name, _ in bench.told] == ["first", "small", "bulk"]
    assert bench.turns.empty()
    assert bench.store.counts().changes == 2 + BULK_LEAST
    bench.committer.stop()  # again, by the fixture too: nothing to do


def test_stop_with_nothing_to_do() -> None:
    committer = Committer(MemoryStore(), lambda function: None, lambda: 0)
    committer.stop()


def test_writers_on_many_threads(tmp_path: Path) -> None:
    """With a true store: each is told the outcomes of its own writes, all of them durable."""
    store = LmdbStore(tmp_path)
    turns: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    committer = Committer(store, turns.put, lambda: 1)
    results: dict[tuple[int, int], Result] = {}

    def write(writer: int) -> None:
        for number in range(20):
            size = BULK_LEAST if number == 7 else writer + 1
            writes = [put(f"88.{writer}/{number:03d}-{i:04d}", None, ABSENT) for i in range(size)]
            committer.submit(writes, lambda result, number=number: results.update({(writer, number): result}))  # type: ignore[misc]

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.stop()
    while not turns.empty():
        turns.get()()
    assert len(results) == 120
    for (writer, number), result in results.items():
        assert isinstance(result, list)
        assert versions(result) == [1] * (BULK_LEAST if number == 7 else writer + 1)
    assert len(check_agreement(store)) == sum(map(len, results.values()))  # type: ignore[arg-type]
    store.close()


# Between transactions ---------------------------------------------------------------------------------


def test_other_work_is_done_between_two_transactions(bench: Bench) -> None:
    """In its turn, by the writing thread, and never in the midst of a group."""
    done: list[tuple[int, int]] = []
    bench.hold()
    bench.submit("a", [put("88.1/a")])
    bench.committer.do(lambda: done.append((threading.get_ident(), len(bench.store.calls))))
    bench.submit("b", [put("88.1/b")])
    bench.let_go(3)
    assert [names for _, names, _ in bench.store.calls] == [[b"88.0/first"], [b"88.1/a"], [b"88.1/b"]]
    [(thread, calls)] = done
    assert (thread != threading.get_ident(), calls) == (True, 2)


def test_other_work_is_done_before_the_end(bench: Bench) -> None:
    done: list[str] = []
    bench.committer.do(lambda: done.append("done"))
    bench.committer.stop()
    assert done == ["done"]


def test_news_come_once_it_is_durable_and_its_writer_told() -> None:
    store, turns = MemoryStore(), queue.SimpleQueue[Callable[[], None]]()
    said: list[str] = []
    committer = Committer(store, turns.put, lambda: 1, lambda: said.append(f"news of {len(everything(store))}"))
    committer.submit([put("88.1/a")], lambda _: said.append("told"))
    turns.get(timeout=SECONDS)()
    assert said == ["told", "news of 1"]
    committer.stop()
