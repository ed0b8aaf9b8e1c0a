"""How long an answer is waited for."""

from __future__ import annotations

import pytest

from resolver.client.pace import FIRST_PATIENCE_S, LEAST_PATIENCE_S, MOST_PATIENCE_S, RoundTrips, pause


def after(*seconds: float) -> float:
    trips = RoundTrips()
    for one in seconds:
        trips.add(one)
    return trips.patience()


def test_before_anything_is_known() -> None:
    assert after() == FIRST_PATIENCE_S


def test_by_rfc_6298() -> None:
    assert after(0.2) == pytest.approx(0.2 + 4 * 0.1)
    variation = 0.1 * 3 / 4 + 0.1 / 4
    assert after(0.2, 0.3) == pytest.approx(0.2 * 7 / 8 + 0.3 / 8 + 4 * variation)


def test_a_steady_way_needs_little_more_than_a_round_trip() -> None:
    assert 0.2 <= after(*[0.2] * 50) < 0.21


def test_bounds() -> None:
    assert after(*[0.000_1] * 50) == LEAST_PATIENCE_S
    assert after(60.0) == MOST_PATIENCE_S


def test_it_follows_a_way_that_gets_slower_and_faster() -> None:
    assert after(*[0.1] * 20, 1.0) > 0.5
    assert after(*[1.0] * 20, *[0.1] * 60) < 0.2


def test_waits_double() -> None:
    assert [pause(i) / pause(0) for i in range(4)] == [1, 2, 4, 8]
    assert [RoundTrips().patience(i) / FIRST_PATIENCE_S for i in range(4)] == [1, 2, 4, 8]
    assert pause(10_000) < 10_000
