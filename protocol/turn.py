"""One turn of the event loop: what it answered, sealed with one signature.

The first bundle of a turn has :meth:`Turn.flush` called once everything that is ready has been
read and answered. The signature is thus shared by all connections that were served meanwhile: under load by
thousands of answers, on an idle node by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey


class Sink(Protocol):
    """Where a sealed bundle goes."""

    def send(self, data: bytes) -> None:
        """Take the bytes of a bundle with its seal."""
        ...


class Turn:
    """Gathers the bundles of a turn.

    ``call_soon`` has a function called after everything that is ready now; ``now_ms`` is the clock, milliseconds since
    1970; ``at_end`` is called when a turn ends, and ``count`` with the bundles it seals: the number of responses and
    the bytes of each. ``key`` may be replaced at any time: what was answered and is not sealed yet is sealed with the
    new one.
    """

    def __init__(
        self,
        key: SigningKey,
        call_soon: Callable[[Callable[[], None]], object],
        now_ms: Callable[[], int],
        at_end: Callable[[], None],
        count: Callable[[list[int], list[bytes]], None] | None = None,
    ) -> None:
        self.key = key
        self._call_soon = call_soon
        self._now_ms = now_ms
        self._at_end = at_end
        self._count = count
        self._begun = False
        self._sinks: list[Sink] = []
        self._counts: list[int] = []
        self._leaves: list[bytes] = []
        self._responses: list[bytes] = []

    def add(self, sink: Sink, n: int, requests: bytes, responses: bytes) -> None:
        """Add a bundle: ``n`` responses, with the bytes of their requests in the same order."""
        self.begin()
        self._sinks.append(sink)
        self._counts.append(n)
        self._leaves.append(leaf(requests, responses))
        self._responses.append(responses)

    def begin(self) -> None:
        """Have the turn end after everything that is ready now, also where nothing was to be sealed."""
        if not self._begun:
            self._begun = True
            self._call_soon(self.flush)

    def flush(self) -> None:
        """End the turn: seal what was gathered and send it."""
        self._begun = False
        self._at_end()
        if not self._leaves:
            return
        sinks, responses = self._sinks, self._responses
        if self._count is not None:
            self._count(self._counts, responses)
        seals = seal_turn(self._counts, self._leaves, self.key, self._now_ms())
        self._sinks, self._counts, self._leaves, self._responses = [], [], [], []
        for sink, answer, seal in zip(sinks, responses, seals, strict=True):
            sink.send(answer + seal)
