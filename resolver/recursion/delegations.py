"""Which zones are known, who serves them, and for how long that may be believed.

A verified referral may be used for as long as it said, at most ``DELEGATION_TTL_SECONDS``; then the parent is to be
asked again. Where nobody can be asked, an *overdue* one is still there, for as long as its statement is valid and stale
answers are permitted. Prefixes are in normal form; times in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from protocol.statements import Delegation

KNOWN_BYTES: Final = 3_000
"""What a zone that is known is taken to cost: its delegation, the chain that its servers show, how fast they are."""

MAX_DELEGATIONS: Final = 10_000
"""Delegations remembered where nothing else is said: 30 MB. Where more come, the tenth of them that was noted
longest ago is dropped, with all that rests on it."""


@dataclass(slots=True)
class Known:
    """A delegation that was verified. ``until`` is when its parent is to be asked again, ``checked`` when that was last
    done or tried, ``used_until`` when the last of the answers that rest on it ends."""

    claim: Delegation
    until: int
    checked: int
    used_until: int = 0


class Delegations:
    """The delegations below the anchor's zone ``top``, at most ``most`` of them."""

    def __init__(self, top: str, stale_seconds: int, most: int = MAX_DELEGATIONS) -> None:
        self.top = top
        self._most = most
        self._stale_seconds = stale_seconds
        self._known: dict[str, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, child: str) -> Known | None:
        """What is known of just this zone."""
        return self._known.get(child)

    def closest(self, prefix: str, now: int, *, overdue: bool = False) -> Known | None:
        """The lowest known zone that covers ``prefix``; None where that is the anchor's. ``overdue`` permits those
        whose time is over."""
        for above in at_and_above(prefix):
            known = self._known.get(above)
            if known is not None and now <= self._until(known, overdue):
                return known
        return None

    def chain(self, zone: str) -> list[str]:
        """The zones from the anchor's down to one that is known."""
        above: list[str] = []
        while zone != self.top and (known := self._known.get(zone)) is not None:
            above.append(zone)
            zone = known.claim.parent
        return [self.top, *reversed(above)]

    def note(self, claim: Delegation, ttl: int, now: int) -> list[str]:
        """Remember a delegation, just verified, for ``ttl`` seconds. Gives the zones whose answers are to be dropped:
        for
        want of room, because the child has other keys now, or because the delegation was renewed."""
        dropped: list[str] = []
        known = self._known.get(claim.child)
        if known is not None and not set(known.claim.keys) <= set(claim.keys):
            dropped += self.drop(claim.child)
            known = None
        elif known is not None and claim.not_before > known.claim.not_before:
            dropped.append(claim.child)  # a seal from before the new delegation does not hold under it
        if known is None and len(self._known) >= self._most:
            dropped += self._drop(set(islice(self._known, max(1, self._most // 10))))
        until = now + ttl
        self._known.pop(claim.child, None)  # noted last: at the end
        self._known[claim.child] = Known(claim, until, now, known.used_until if known else 0)
        return dropped

    def used(self, zone: str, until: int) -> None:
        """Note that an answer of ``zone`` is kept until then, which rests on all delegations above it."""
        while (known := self._known.get(zone)) is not None:
            if known.used_until < until:
                known.used_until = until
            zone = known.claim.parent

    def drop(self, child: str) -> list[str]:
        """Forget a zone and all below it; gives those that were known."""
        return self._drop({child}) if child in self._known else []

    def _drop(self, children: set[str]) -> list[str]:
        gone = [zone for zone in self._known if not children.isdisjoint(at_and_above(zone))]
        for zone in gone:
            del self._known[zone]
        return gone

    def revoked_by(self, zone: str, prefix: str) -> str | None:
        """Where ``zone`` has answered itself for ``prefix``: its child that was known to cover that prefix and thus has
        been revoked."""
        for above in at_and_above(prefix):
            known = self._known.get(above)
            if known is not None and known.claim.parent == zone:
                return above
        return None

    def due(self, now: int, pause: int) -> tuple[list[Known], list[str]]:
        """Those whose time is over while answers rest on them, and that were not checked for ``pause`` seconds: their
        parents are to be asked. Beside them, the zones whose time was over for good, which are dropped."""
        over = [child for child, known in self._known.items() if now > self._until(known, True)]
        gone = [zone for child in over for zone in self.drop(child)]
        return [
            known
            for known in self._known.values()
            if known.until <= now < known.used_until and now >= known.checked + pause
        ], gone

    def _until(self, known: Known, overdue: bool) -> int:
        return min(known.claim.not_after, known.until + self._stale_seconds) if overdue else known.until


def at_and_above(prefix: str) -> Iterator[str]:
    """A prefix and those above it, from the lowest up."""
    while prefix:
        yield prefix
        prefix = prefix.rpartition(".")[0]
