"""How connections share a turn of the event loop: those that ask for dear things wait for each other.

A turn has so many seconds for them. What does not fit queues up, a connection behind the other, and goes on in later
turns; between these the loop serves everybody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Waiting(Protocol):
    """A connection that has more to do."""

    def go_on(self) -> None:
        """Do more of it, in a new turn."""
        ...


class Shares:
    """``seconds`` of each turn, for all connections of a door together.

    ``call_soon`` has a function called in the next turn. ``clock`` gives seconds and only goes forward, also within a
    turn, which a loop's own time need not.
    """

    def __init__(
        self, seconds: float, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._call_soon = call_soon
        self._clock = clock
        self._until: float | None = None
        self._queue: deque[Waiting] = deque()
        self._goes_on = False

    def __len__(self) -> int:
        """How many wait for a later turn."""
        return len(self._queue)

    def has_time(self) -> bool:
        """Whether a further request may be answered in this turn; the first always may."""
        now = self._clock()
        if self._until is not None:
            return now < self._until
        self._until = now + self._seconds
        self._call_soon(self._end_turn)
        return True

    def queue(self, waiting: Waiting) -> None:
        """Have a connection go on in a later turn, behind those that wait already."""
        self._queue.append(waiting)
        if not self._goes_on:
            self._goes_on = True
            self._call_soon(self._go_on)

    def _end_turn(self) -> None:
        self._until = None

    def _go_on(self) -> None:
        for _ in range(len(self._queue)):
            self._queue.popleft().go_on()
            if not self.has_time():
                break
        self._goes_on = bool(self._queue)
        if self._goes_on:
            self._call_soon(self._go_on)
