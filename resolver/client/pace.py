"""When to ask again: how long an answer is waited for, how long a repetition is put off. No sockets, no clock."""

from __future__ import annotations

from typing import Final

from protocol.status import Status

FIRST_PAUSE_S: Final = 0.05
"""Seconds before the first repetition of what was refused; each further one waits twice as long."""

FIRST_PATIENCE_S: Final = 0.5
"""Seconds after which a datagram counts as lost while nothing is known of the way: above most round trips on
earth, and half of what RFC 6298 takes, since what is asked twice does no harm here."""

LEAST_PATIENCE_S: Final = 0.1
"""Seconds that are waited even on the fastest way: a server, or this program, may be busy for a moment. TCP on
Linux waits 200 ms there."""

MOST_PATIENCE_S: Final = 4.0
"""Seconds beyond which no experience makes one wait for a datagram at first: nearly all of a call's usual time."""

MOST_DOUBLINGS: Final = 16
"""Times that a wait is doubled: the time of a call ends far earlier, and numbers stay small however often one asks."""

BUSY: Final = frozenset({Status.OVERLOADED, Status.SHUTTING_DOWN})
"""Refusals for now: another server may say otherwise, and so may this one in a moment."""


def pause(repetition: int) -> float:
    """Seconds to wait before a repetition, counted from 0, of what was refused."""
    return _doubled(FIRST_PAUSE_S, repetition)


class RoundTrips:
    """What the answers of one server have shown of the way to it: smoothed round trip and variation, as RFC 6298,
    section 2, has them for TCP."""

    __slots__ = ("_smoothed", "_variation")

    def __init__(self) -> None:
        self._smoothed: float | None = None
        self._variation = 0.0

    def add(self, seconds: float) -> None:
        """Take note of a round trip: from when a datagram was sent to its own answer, never to that of another."""
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8

    def patience(self, repetition: int = 0) -> float:
        """Seconds after which a datagram counts as lost: twice as long with each repetition, so that those who ask do
        not fill a line which loses because it is full."""
        patience = FIRST_PATIENCE_S
        if self._smoothed is not None:
            patience = min(max(self._smoothed + 4 * self._variation, LEAST_PATIENCE_S), MOST_PATIENCE_S)
        return _doubled(patience, repetition)


def _doubled(seconds: float, times: int) -> float:
    return float(seconds * 2 ** min(times, MOST_DOUBLINGS))
