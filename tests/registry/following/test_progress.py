"""What is said of a copy: how far it is, and when it is asked again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Unreachable
from registry.client import LOST, TIMED_OUT
from registry.following.progress import DIVERGED_PAUSE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, Progress, State
from registry.store.feed import BEGINNING, Position
from registry.store.interface import Standing


def at(number: int, seen: int | None = None, *, whole: bool = True, inside: bool = False) -> Standing:
    """Where a store stands."""
    end = Position(number, b"mark")
    return Standing(end, end if inside else None, Position(number if seen is None else seen, b"mark"), whole)


def test_a_first_copy() -> None:
    progress = Progress("88.118", Standing(BEGINNING, None, BEGINNING, whole=False), 100.0)
    assert (progress.state, progress.whole) == (State.COPYING, False)
    progress.taken(at(600, 1_000, whole=False), Position(1_000, b"mark"), 101.0)
    assert (progress.state, progress.behind, progress.behind_seconds(103.0)) == (State.COPYING, 400, 3)
    progress.taken(at(1_000), Position(1_000, b"mark"), 104.0)
    assert (progress.state, progress.behind, progress.behind_seconds(150.0)) == (State.FOLLOWING, 0, 0)
    assert (progress.copied, progress.whole) == (1_000, True)


def test_behind_again() -> None:
    progress = Progress("88.118", at(10), 100.0)
    progress.taken(at(10), Position(10, b"mark"), 110.0)
    progress.taken(at(15, 40), Position(40, b"mark"), 120.0)
    assert (progress.state, progress.behind, progress.behind_seconds(121.0)) == (State.FOLLOWING, 25, 11)
    progress.taken(at(40, inside=True), Position(40, b"mark"), 122.0)
    progress.taken(at(40), Position(40, b"mark"), 123.0)
    assert progress.behind_seconds(200.0) == 0


def test_out_of_reach() -> None:
    progress = Progress("88.118", at(10), 100.0)
    progress.taken(at(10), Position(10, b"mark"), 110.0)
    assert progress.lost(Unreachable(LOST)) == (True, FIRST_PAUSE_S)
    assert progress.lost(Unreachable(LOST)) == (False, 2 * FIRST_PAUSE_S)
    assert progress.lost(Unreachable(TIMED_OUT, seconds=1))[0]
    for _ in range(20):
        progress.lost(Unreachable(LOST))
    assert progress.lost(Unreachable(LOST))[1] == LONGEST_PAUSE_S
    assert (progress.state, progress.behind_seconds(170.0)) == (State.UNREACHABLE, 60)
    assert str(progress.status(170.0)["trouble"]).startswith("the connection")
    progress.taken(at(11), Position(11, b"mark"), 180.0)
    assert "trouble" not in progress.status(180.0)
    assert progress.lost(Unreachable(LOST))[1] == FIRST_PAUSE_S


def test_diverged() -> None:
    progress = Progress("88.118", at(10), 100.0)
    assert progress.diverged() == (True, DIVERGED_PAUSE_S)
    assert progress.diverged() == (False, DIVERGED_PAUSE_S)
    assert progress.concerns == ["following.diverged"]
    assert progress.status(101.0)["state"] == "diverged"
    progress.taken(at(10), Position(10, b"mark"), 110.0)
    assert progress.concerns == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 9)), max_size=30))
def test_numbers_make_sense(pages: list[tuple[int, int, float]]) -> None:
    """Never negative, and what was copied is what the end has moved."""
    progress, number, head, now = Progress("88", at(0), 0.0), 0, 0, 0.0
    for step, news, seconds in pages:
        head += news
        number = min(head, number + step)
        now += seconds
        progress.taken(at(number, head), Position(head, b"mark"), now)
        assert (progress.copied, progress.behind) == (number, head - number)
        assert (progress.behind_seconds(now) == 0) or number < head
