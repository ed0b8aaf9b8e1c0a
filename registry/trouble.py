"""What the log says while a store cannot be written, as with a full disk: whoever writes is told each time, the
operator now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from protocol.errors import StoreError

AGAIN_SECONDS: Final = 60.0
"""How often it is said anew: seldom enough for a log on the same disk."""


class Trouble:
    """Tells ``log`` of failed transactions and of their end. ``clock`` is in seconds and only goes forward."""

    def __init__(self, log: structlog.stdlib.BoundLogger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._said_at: float | None = None
        self._failures = 0

    def failed(self, error: StoreError) -> None:
        """A transaction has come to nothing."""
        self._failures += 1
        now = self._clock()
        if self._said_at is None or now - self._said_at >= AGAIN_SECONDS:
            self._said_at = now
            self._log.error("nothing can be written", reason=str(error), failures=self._failures)

    def over(self) -> None:
        """A transaction has succeeded."""
        if self._failures:
            self._log.info("the store is written again", failures=self._failures)
            self._said_at, self._failures = None, 0
