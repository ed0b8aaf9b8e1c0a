"""Which of a zone's servers is asked.

The fastest that lives: by a smoothed round-trip time, as TCP has it (RFC 6298), where one that was not asked yet counts
as fast, so that each is tried. Those passed over come a little nearer each time (as in BIND), so that a server that was
slow once, or was farther away, gets another chance after a few hundred questions. One that does not answer, or not as
it should, rests, at first briefly and then for longer, and then only one question at a time finds out whether it is
back: one that is asked beside another server's answer where there is one, so that nobody waits for it. All this is
remembered by zone: a machine may serve one zone well and another not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from protocol.address import Address

FIRST_GUESS_S: Final = 0.001
"""Round trip that a new server is taken to have: about the fastest there is outside of this machine."""

SMOOTHING: Final = 0.3
"""Weight of the newest measurement."""

APPROACH: Final = 0.98
"""By this a server comes nearer each time another is preferred: one ten times as far is tried after 115 questions."""

FIRST_REST_S: Final = 0.5
LONGEST_REST_S: Final = 30.0
"""How long a server that failed is left alone: the first time, and at most. So long after it is back at the latest it
is asked again."""

SHORTEST_PATIENCE_S: Final = 0.25
LONGEST_PATIENCE_S: Final = 1.0
"""How long one question waits for a silent server before it goes on to another: four times the usual round trip within
these bounds..."""

FIRST_PATIENCE_S: Final = 0.4
"""... and this, while that is not known."""

FAILOVER_SECONDS: Final = 2.0
"""What operators are told: within this, a zone with two addresses answers while one of them is dead, hangs or is cut
off. Who resolves from the top waits ``LONGEST_PATIENCE_S`` at most for the one that is silent, and a client that was
given both addresses a third of a call's usual five seconds."""

MAX_SERVERS: Final = 100_000
"""Servers remembered, 20 MB; the one that was used longest ago is forgotten."""


class Choice(NamedTuple):
    """Whom to ask, and after how many silent seconds to go on to another; ``last`` where there is none to go on to.
    ``wait`` is not 0 where all are resting: seconds until one may be tried; ``server`` is None then."""

    server: Address | None
    patience: float
    wait: float
    last: bool


class _Health:
    __slots__ = ("failures", "measured", "probed", "rests_until", "round_trip", "why")

    def __init__(self) -> None:
        self.round_trip = FIRST_GUESS_S
        self.measured = False
        self.failures = 0
        self.rests_until = 0.0
        self.why = ""
        self.probed = False  # one question finds out whether it is back


class Servers:
    """What is known of all servers that were asked. Times are seconds of one steady clock."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Address], _Health] = {}

    def choose(self, zone: str, candidates: Sequence[Address], tried: Collection[Address], now: float) -> Choice | None:
        """The best of a zone's ``candidates`` that is not among ``tried``; None where there is none left."""
        left = [server for server in candidates if server not in tried]
        if not left:
            return None
        health = {server: self._of(zone, server) for server in left}
        awake = [server for server in left if health[server].rests_until <= now]
        if not awake:
            return Choice(None, 0.0, min(one.rests_until for one in health.values()) - now, False)
        # Those that failed last come after those that did not; the first named wins among equals.
        best = min(awake, key=lambda server: (health[server].failures > 0, health[server].round_trip))
        for server in awake:
            if server != best:
                health[server].round_trip *= APPROACH
        chosen = health[best]
        patience = _patience(chosen)
        if chosen.failures:
            chosen.rests_until, chosen.probed = now + patience, True  # the others wait for what this question finds
        return Choice(best, patience, 0.0, len(awake) == 1)

    def returning(
        self, zone: str, candidates: Sequence[Address], chosen: Address, now: float
    ) -> tuple[Address, float] | None:
        """One of a zone's ``candidates`` that may be back, while ``chosen`` is asked, and for how many seconds it is to
        be waited for: the question is to be put to it, too, and :meth:`back` or :meth:`failed` to be told."""
        for server in candidates:
            health = self._of(zone, server)
            if health.failures and health.rests_until <= now and server != chosen:
                patience = _patience(health)
                health.rests_until, health.probed = now + patience, True
                return server, patience
        return None

    def answered(self, zone: str, server: Address, seconds: float) -> None:
        """A server has answered after ``seconds``, as it should."""
        health = self._of(zone, server)
        if health.measured:
            health.round_trip += SMOOTHING * (seconds - health.round_trip)
        else:
            health.round_trip, health.measured = seconds, True
        health.failures, health.rests_until, health.probed = 0, 0.0, False

    def back(self, zone: str, server: Address) -> None:
        """A server that had failed answers again: it counts as new, whatever it took in the moment in which it came
        back, and is tried with the next question."""
        self._known.pop((zone, server), None)

    def failed(self, zone: str, server: Address, now: float, why: str, *, hasty: bool = False) -> None:
        """A server has not answered, or not as it should. Where many questions waited for it, that counts once.
        ``hasty``: it was only silent for the patience that one has while there is another to go on to. It may just be
        busy, and be the one that lives: it rests briefly, however often."""
        health = self._of(zone, server)
        health.why = why
        if now < health.rests_until and not health.probed:
            return
        health.probed = False
        if hasty:
            health.rests_until, health.failures = now + FIRST_REST_S, max(1, health.failures)
            return
        health.rests_until = now + min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(health.failures, 16))
        health.failures += 1

    def rest(self, zone: str, candidates: Sequence[Address], now: float) -> float:
        """Seconds until the first of some servers may be tried."""
        return max(0.0, min(self._of(zone, server).rests_until for server in candidates) - now)

    def why(self, zone: str, server: Address) -> str:
        """What went wrong last with a server that rests."""
        return self._of(zone, server).why

    def _of(self, zone: str, server: Address) -> _Health:
        health = self._known.pop((zone, server), None)
        if health is None:
            if len(self._known) >= MAX_SERVERS:
                del self._known[next(iter(self._known))]
            health = _Health()
        self._known[zone, server] = health  # as the one used last
        return health


def _patience(health: _Health) -> float:
    if not health.measured:
        return FIRST_PATIENCE_S
    return min(LONGEST_PATIENCE_S, max(SHORTEST_PATIENCE_S, 4 * health.round_trip))
