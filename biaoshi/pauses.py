"""How long a process that died waits before it is started again. Pure."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0
"""Pauses grow from the first to the longest while a process keeps dying..."""

STEADY_SECONDS: Final = 60.0
"""... and begin anew once it has lived this long."""


class Pauses:
    """The pauses of one process."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_S

    def after(self, lived: float) -> float:
        """Seconds to wait when it has died after so many seconds."""
        if lived > STEADY_SECONDS:
            self._next = FIRST_PAUSE_S
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE_S)
        return pause
