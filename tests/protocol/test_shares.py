"""How connections share a turn."""

from __future__ import annotations

from collections.abc import Callable

from protocol.shares import Shares


class House:
    """A loop whose turns are made by hand; each piece of work takes a second."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []
        self.shares = Shares(seconds, self.soon.append, lambda: self.now)
        self.done: list[str] = []

    def turn(self) -> None:
        """What the loop does in one turn."""
        ready, self.soon[:] = list(self.soon), []
        for one in ready:
            one()


class Greedy:
    """A connection that has ``left`` pieces of work."""

    def __init__(self, house: House, name: str, left: int) -> None:
        self.house, self.name, self.left = house, name, left

    def go_on(self) -> None:
        while self.left:
            if not self.house.shares.has_time():
                self.house.shares.queue(self)
                return
            self.left -= 1
            self.house.now += 1.0
            self.house.done.append(self.name)


def test_the_first_of_a_turn_always_has_time() -> None:
    house = House(0.0)
    for _ in range(3):
        assert house.shares.has_time()
        assert not house.shares.has_time()
        house.turn()


def test_who_waits_goes_on_behind_those_who_waited_before() -> None:
    house = House(2.0)
    for name in "ab":
        Greedy(house, name, 4).go_on()
    assert (house.done, len(house.shares)) == (["a", "a"], 2)
    for _ in range(20):
        house.turn()
    assert sorted(house.done) == ["a"] * 4 + ["b"] * 4
    assert house.done[2] == "a"
    assert "b" in house.done[2:5]
    assert len(house.shares) == 0
    house.turn()
    assert house.soon == []
