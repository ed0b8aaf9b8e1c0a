"""A store's counts as they lately were, for STATUS, which anybody may ask as often as they like."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from registry.store.interface import Counts

RECENT_SECONDS: Final = 1.0
"""How old the counts in a status may be, at least: they are summed over all prefixes, which must not be had at every
request."""

REST: Final = 50
"""How many times as long as a sum has taken it is given: with 200,000 prefixes that is 0.3 s, and 15."""


class RecentCounts:
    """Gives ``take()``, or what that gave lately. ``clock`` gives seconds."""

    def __init__(self, take: Callable[[], Counts], clock: Callable[[], float] = time.monotonic) -> None:
        self._take = take
        self._clock = clock
        self._counts: Counts | None = None
        self._until = 0.0

    def __call__(self) -> Counts:
        """Raises what ``take`` does."""
        begun = self._clock()
        if self._counts is None or begun > self._until:
            self._counts = self._take()
            ended = self._clock()
            self._until = ended + max(RECENT_SECONDS, REST * (ended - begun))
        return self._counts
