"""Group commit: writes of many connections share one durable transaction.

One thread writes. While it waits for the disk, further batches gather; the next transaction takes all of them.
A batch of many ascending registrations goes to the store's bulk path by itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from protocol.errors import StoreError
from registry.store.interface import Store
from registry.store.writes import Outcome, Write, ascend

BULK_LEAST: Final = 500
"""Writes in a batch before it may be a bulk load."""

GROUP_MOST: Final = 10_000
"""Writes in one transaction of small batches: about 50 ms of work, so that nobody waits long behind it."""

Done = Callable[[list[Outcome] | StoreError], None]


class _Batch(NamedTuple):
    writes: Sequence[Write]
    bulk: bool
    done: Done


class _Job(NamedTuple):
    """Work on the store that is no write of anybody."""

    work: Callable[[], object]


class Committer:
    """Writes batches to ``store`` on a thread of its own.

    ``call`` hands a function to the event loop from that thread (``loop.call_soon_threadsafe``); ``now`` is the clock
    in seconds since 1970; ``news`` is called on the event loop once what a transaction wrote is durable, ``failed``
    where it could not be written.
    """

    def __init__(
        self,
        store: Store,
        call: Callable[[Callable[[], None]], object],
        now: Callable[[], int],
        news: Callable[[], None] = lambda: None,
        failed: Callable[[StoreError], None] = lambda error: None,
    ) -> None:
        self._store = store
        self._call = call
        self._now = now
        self._news = news
        self._failed = failed
        self._waiting: deque[_Batch | _Job] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Have writes carried out; ``done`` is called on the event loop with their outcomes once they are durable, or
        with the error for which none of them was carried out."""
        with self._ready:
            self._waiting.append(_Batch(writes, _is_bulk(writes), done))
            self._ready.notify()

    def do(self, work: Callable[[], object]) -> None:
        """Have something done to the store between two transactions. It must not raise."""
        with self._ready:
            self._waiting.append(_Job(work))
            self._ready.notify()

    def stop(self) -> None:
        """Carry out what was submitted, then end the thread. Blocks until it is done."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                finished = self._commit(group)
                self._call(lambda finished=finished: self._deliver(finished))  # type: ignore[misc]

    def _next_group(self) -> list[_Batch] | None:
        """The batches of the next transaction, none where something else was done; None when it is time to end."""
        with self._ready:
            while not self._waiting and not self._stopping:
                self._ready.wait()
            if not self._waiting:
                return None
            group: list[_Batch] = []
            size = 0
            while self._waiting and size < GROUP_MOST:
                batch = self._waiting[0]
                if isinstance(batch, _Job) or (group and (batch.bulk or group[0].bulk)):
                    break
                self._waiting.popleft()
                group.append(batch)
                size += len(batch.writes)
            job = self._waiting.popleft() if not group else None
        if isinstance(job, _Job):
            job.work()
        return group

    def _deliver(self, finished: list[tuple[_Batch, list[Outcome] | StoreError]]) -> None:
        for batch, result in finished:
            batch.done(result)
        failure = finished[0][1]  # all of a transaction fail, or none
        if isinstance(failure, StoreError):
            self._failed(failure)
        else:
            self._news()

    def _commit(self, group: list[_Batch]) -> list[tuple[_Batch, list[Outcome] | StoreError]]:
        try:
            if group[0].bulk:
                return [(group[0], self._store.bulk_load(group[0].writes, self._now()))]
            outcomes = self._store.apply([write for batch in group for write in batch.writes], self._now())
        except StoreError as error:
            return [(batch, error) for batch in group]
        finished: list[tuple[_Batch, list[Outcome] | StoreError]] = []
        start = 0
        for batch in group:
            finished.append((batch, outcomes[start : start + len(batch.writes)]))
            start += len(batch.writes)
        return finished


def _is_bulk(writes: Sequence[Write]) -> bool:
    return len(writes) >= BULK_LEAST and ascend([write.identifier for write in writes])
