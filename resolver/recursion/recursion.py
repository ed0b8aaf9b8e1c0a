"""Iteration and cache together: what becomes of a question that is not in the cache.

Identical questions are asked once, however many wait. What is popular is fetched before it expires. Where a zone's
servers are all down, the answer that was last had from them is given, marked as such, up to a stated age. Delegations
on which answers rest are checked with the parent when their time is over; what was revoked takes its answers with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgpack

from protocol.errors import BiaoshiError
from protocol.exchange import Evidence
from protocol.messages import failure_payload
from protocol.status import Status
from resolver.recursion.cache import Cache, Entry
from resolver.recursion.delegations import Known
from resolver.recursion.iteration import Failed, Iteration, Resolved
from resolver.recursion.walk import REVOKED, Step

Parts = tuple[bytes, bytes, bytes, bytes]
"""The first four fields of a cache's :data:`~resolver.recursion.cache.Entry`."""

MAX_ASKING: Final = 10_000
"""Different questions that are being asked at one time; more are answered OVERLOADED. A question takes about 20 kB."""

MAX_PREFETCHING: Final = 100
"""Questions that may be asked when another is asked ahead of its time: prefetching is for quiet moments."""

MAX_CHECKING: Final = 20
"""Delegations that are checked at one time."""

CHECK_SECONDS: Final = 30
"""Where the servers of a parent do not answer, it is asked this often about its delegations..."""

STALE_SECONDS: Final = 30
"""... and a zone's about an identifier whose stale answer is given meanwhile, as RFC 8767 (section 5) has it."""

FAILURE_SECONDS: Final = 2
"""How long a failure is remembered: RFC 9520 wants at least one second, and people try again soon."""

_HEAD: Final = b"\x93\xcf"
_RID_END: Final = 10
_OVERLOADED: Final = msgpack.packb(int(Status.OVERLOADED)) + b"\xc0"
_INTERNAL: Final = msgpack.packb(int(Status.INTERNAL)) + b"\xc0"
OVERLOADED: Final[Parts] = (_OVERLOADED, _OVERLOADED, b"", b"")
INTERNAL: Final[Parts] = (_INTERNAL, _INTERNAL, b"", b"")


class Recursion:
    """Answers questions that the cache cannot. ``seconds`` is how long one may take."""

    def __init__(self, iteration: Iteration, cache: Cache, seconds: float) -> None:
        self.iteration = iteration
        self.cache = cache
        self._seconds = seconds
        self._waiting: dict[bytes, list[Callable[[Parts], None]]] = {}
        self._stale_until: dict[bytes, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking = 0

    @property
    def top(self) -> str:
        """The anchor's zone: what lies outside is not asked for."""
        return self.iteration.delegations.top

    @property
    def asking(self) -> int:
        """Questions that are being asked."""
        return len(self._waiting)

    def ask(self, key: bytes, then: Callable[[Parts], None]) -> None:
        """Have ``then`` called with the answer for ``key`` (normal form), now or later."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            self.cache.counters.misses += 1
            waiting.append(then)
            return
        now = self.iteration.now()
        stale = self._known_as_stale(key, now)
        if stale is not None:
            then(stale)
            return
        self.cache.counters.misses += 1
        if len(self._waiting) >= MAX_ASKING:
            then(OVERLOADED)
            return
        self._waiting[key] = [then]
        self._start(self._resolve(key))

    def trace(self, key: bytes, then: Callable[[list[Step]], None]) -> None:
        """Have ``then`` called with the steps that lead to the answer for ``key``, which is asked for where it is not
        in
        the cache."""
        entry = self.cache.find(key)
        now = self.iteration.now()
        if entry is not None:
            self.cache.counters.hits += 1
            zones = self.iteration.delegations
            known = zones.closest(key.partition(b"/")[0].decode(), now, overdue=True)
            zone = known.claim.child if known else zones.top
            then([Step(zone, "", True, 0.0, f"in the cache for another {entry[4] - now} s")])
        elif len(self._tasks) >= MAX_ASKING:  # the traces among them, of which each is asked by itself
            then([])
        else:
            self.cache.counters.misses += 1
            self._start(self._trace(key, then))

    def sweep(self) -> bool:
        """To be called once a second; whether the cache has more to look at."""
        now = self.iteration.now()
        due = self.cache.sweep(now)
        for key in due.popular:
            if len(self._waiting) < MAX_PREFETCHING and key not in self._waiting:
                self.cache.counters.prefetches += 1
                self._waiting[key] = []
                self._start(self._resolve(key))
        if self._stale_until and not due.more:
            self._stale_until = {key: until for key, until in self._stale_until.items() if until > now}
        checks, gone = self.iteration.delegations.due(now, CHECK_SECONDS)
        self._drop(gone)
        for known in checks[: MAX_CHECKING - self._checking]:
            self._checking += 1
            self._start(self._check(known))
        return due.more

    async def settle(self, seconds: float) -> None:
        """Wait until nothing is asked any more, for ``seconds`` at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """End what is still going on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.iteration.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What goes on in the background ----------------------------------------------------------------

    async def _resolve(self, key: bytes) -> None:
        parts = INTERNAL
        try:
            parts = await self._parts(key)
        finally:
            for then in self._waiting.pop(key):
                then(parts)

    async def _parts(self, key: bytes) -> Parts:
        """The answer, fresh or stale, or the failure; remembered."""
        last = self.cache.find_stale(key, self.iteration.now())
        try:
            resolved = await self.iteration.resolve(key, self._seconds, hurry=last is not None)
        except Failed as failed:
            self._drop(failed.dropped)
            return self._failed(key, failed)
        self._drop(resolved.dropped)
        return self._remember(key, resolved)

    def _remember(self, key: bytes, resolved: Resolved) -> Parts:
        parts, now = answer_parts(resolved.evidence, resolved.answer.status), self.iteration.now()
        self.cache.put(key, parts, resolved.answer.ttl, now)
        self._stale_until.pop(key, None)
        self.iteration.delegations.used(resolved.answer.proof.zone.prefix, now + resolved.answer.ttl)
        return parts

    def _failed(self, key: bytes, error: Failed) -> Parts:
        now = self.iteration.now()
        if error.rule is not REVOKED and self.cache.find_stale(key, now) is not None:
            self._stale_until[key] = now + STALE_SECONDS
            stale = self._known_as_stale(key, now)
            if stale is not None:
                return stale
        parts = failure_parts(error)
        if self.cache.find(key) is None:  # where it was only fetched ahead of time, the answer still holds
            self.cache.put_briefly(key, parts, FAILURE_SECONDS, now)
        return parts

    def _known_as_stale(self, key: bytes, now: int) -> Parts | None:
        """The stale answer, while it is given without asking again."""
        if self._stale_until.get(key, 0) <= now:
            return None
        entry = self.cache.find_stale(key, now)
        if entry is None:
            return None
        self.cache.counters.stale += 1
        return stale_parts(entry, now)

    async def _trace(self, key: bytes, then: Callable[[list[Step]], None]) -> None:
        steps: list[Step] = []
        try:
            resolved = await self.iteration.resolve(key, self._seconds)
            steps = resolved.steps
            self._drop(resolved.dropped)
            self._remember(key, resolved)
        except Failed as failed:
            self._drop(failed.dropped)
            steps = [*failed.steps, Step("", "", False, 0.0, failed.message())]
        finally:
            then(steps)

    async def _check(self, known: Known) -> None:
        try:
            self._drop(await self.iteration.check(known, self._seconds))
        finally:
            self._checking -= 1

    def _drop(self, zones: list[str]) -> None:
        if zones:
            self.cache.drop_below(zones)


def answer_parts(evidence: Evidence, status: Status) -> Parts:
    """What the cache keeps of an answer: plain, and with its evidence in three parts."""
    response = evidence.response
    before = bytes((Status.OK, 0x93)) + msgpack.packb(evidence.request)
    end: bytes = msgpack.packb(evidence.seal)
    header = _binary_header(len(response))
    if response.startswith(_HEAD) and response.startswith(msgpack.packb(int(status)), _RID_END):
        plain = response[_RID_END:]
        return plain, before + header + response[:_RID_END], plain, end
    # Another writer's way to encode rid or status: the evidence stays as it is, and the plain answer is written anew.
    _, _, payload = msgpack.unpackb(response, raw=True, use_list=False)
    plain = msgpack.packb(int(status)) + msgpack.packb(payload)
    return plain, before + header + response, b"", end


def stale_parts(entry: Entry, now: int) -> Parts:
    """A kept answer as a stale one: its evidence, marked; plain, with its age in seconds."""
    plain, head, body, end, expires, ttl, _ = entry
    mark = bytes((Status.STALE,))
    age = max(0, now - expires + ttl)
    return mark + b"\x93" + plain + msgpack.packb(age), mark + head[1:], body, end


def failure_parts(error: BiaoshiError) -> Parts:
    """An error in place of an answer; with proof it is the same, since there is nothing to prove."""
    plain = msgpack.packb(int(error.status)) + msgpack.packb(failure_payload(error))
    return plain, plain, b"", b""


def _binary_header(length: int) -> bytes:
    packed: bytes = msgpack.packb(bytes(length))
    return packed[: len(packed) - length]
