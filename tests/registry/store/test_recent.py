"""Counts that were lately had."""

from __future__ import annotations

from registry.store.interface import Counts
from registry.store.recent import RECENT_SECONDS, REST, RecentCounts


def test_counts_are_taken_anew_as_seldom_as_they_are_dear() -> None:
    now, taken, cost = 100.0, 0, 0.0

    def take() -> Counts:
        nonlocal now, taken
        now += cost
        taken += 1
        return Counts({"88": taken}, taken, 0)

    recent = RecentCounts(take, lambda: now)
    assert recent().changes == recent().changes == 1
    now += RECENT_SECONDS
    assert recent().changes == 1
    now += 0.01
    cost = 0.3
    assert recent().changes == 2
    now += REST * cost - 0.01
    assert recent().changes == 2
    now += 0.02
    assert recent().changes == 3
