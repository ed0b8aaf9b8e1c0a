"""Which node is started, ended or waited for: examples, and a random life compared with a simple model."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from biaoshi.pauses import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_SECONDS, Pauses
from biaoshi.topology.keeping import ALIVE, GRACE_SECONDS, START_SECONDS, Keeping, State

WAVES = (("top",), ("s1", "s2"), (), ("e1", "e2", "e3"), ("recursive",))
NAMES = [name for wave in WAVES for name in wave]


def brought_up() -> Keeping:
    """A province of which all nodes serve, since second 5."""
    keeping = Keeping(WAVES)
    while not keeping.up:
        for name in keeping.to_start(5.0):
            keeping.started(name, 5.0)
            keeping.serves(name, 5.0)
    return keeping


# Pauses ----------------------------------------------------------------------------------------------


def test_pauses_grow_and_begin_anew() -> None:
    pauses = Pauses()
    taken = [pauses.after(1.0) for _ in range(12)]
    assert taken[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert taken == sorted(taken)
    assert taken[-1] == LONGEST_PAUSE_S
    assert pauses.after(STEADY_SECONDS + 1) == FIRST_PAUSE_S
    assert pauses.after(STEADY_SECONDS) == 2 * FIRST_PAUSE_S


# Start -----------------------------------------------------------------------------------------------


def test_parents_serve_before_children_start() -> None:
    keeping = Keeping(WAVES)
    begun = []
    while not keeping.up:
        names = keeping.to_start(0.0)
        begun.append(tuple(names))
        for name in names:
            keeping.started(name, 0.0)
        assert keeping.to_start(0.0) == [], "none is started twice"
        for name in names:
            keeping.serves(name, 0.0)
    assert begun == [wave for wave in WAVES if wave]


def test_a_wave_waits_for_the_last_of_the_one_before() -> None:
    keeping = Keeping((("a", "b"), ("c",)))
    for name in keeping.to_start(0.0):
        keeping.started(name, 0.0)
    keeping.serves("a", 1.0)
    assert keeping.to_start(1.0) == []
    keeping.serves("b", 2.0)
    assert keeping.to_start(2.0) == ["c"]
    assert not keeping.up


def test_no_nodes_are_up_at_once() -> None:
    assert Keeping(()).up
    assert Keeping(((), ())).up


def test_one_that_dies_before_all_serve_has_failed() -> None:
    keeping = Keeping((("a", "b"), ("c",)))
    for name in ("a", "b"):
        keeping.started(name, 0.0)
    keeping.serves("a", 1.0)
    keeping.died("a", 2.0)
    keeping.died("b", 3.0)
    assert keeping.failed == "a", "the first that did"
    assert keeping.to_start(1_000.0) == []
    assert keeping.stop(4.0) == []
    assert keeping.ended


def test_one_that_does_not_serve_in_time_is_ended() -> None:
    keeping = Keeping((("a",),))
    keeping.started("a", 1.0)
    assert keeping.next_due() == 1.0 + START_SECONDS
    assert keeping.to_kill(START_SECONDS) == []
    assert keeping.to_kill(1.0 + START_SECONDS) == ["a"]


# Life ------------------------------------------------------------------------------------------------


def test_one_that_dies_is_started_again_after_a_pause() -> None:
    keeping = brought_up()
    keeping.died("e2", 10.0)
    assert keeping.failed is None
    assert keeping.to_start(10.0) == []
    due = keeping.next_due()
    assert due == 10.0 + FIRST_PAUSE_S
    assert keeping.to_start(due) == ["e2"]
    keeping.started("e2", due)
    keeping.died("e2", due + 1.0)
    assert keeping.next_due() == due + 1.0 + 2 * FIRST_PAUSE_S
    assert keeping.nodes["e2"].restarts == 2
    assert keeping.up


def test_a_late_word_of_a_process_that_died_is_nothing() -> None:
    keeping = brought_up()
    keeping.died("e2", 10.0)
    keeping.serves("e2", 10.0)
    assert keeping.nodes["e2"].state is State.DIED


# End -------------------------------------------------------------------------------------------------


def test_all_are_asked_to_end_and_then_made_to() -> None:
    keeping = brought_up()
    keeping.died("e2", 10.0)
    assert set(keeping.stop(11.0)) == set(NAMES) - {"e2"}
    assert keeping.nodes["e2"].state is State.STOPPED
    assert not keeping.ended
    assert keeping.to_start(1_000.0) == []
    assert keeping.next_due() == 11.0 + GRACE_SECONDS
    assert set(keeping.to_kill(11.0 + GRACE_SECONDS)) == set(NAMES) - {"e2"}
    for name in NAMES:
        if name != "e2":
            keeping.died(name, 12.0)
    assert keeping.ended
    assert keeping.next_due() is None


class Province(RuleBasedStateMachine):
    """A model that only knows which processes there are."""

    def __init__(self) -> None:
        super().__init__()
        self.keeping = Keeping(WAVES)
        self.now = 0.0
        self.processes: dict[str, bool] = {}  # whether they serve
        self.served: set[str] = set()
        self.stopping = False

    @rule(seconds=st.sampled_from([0.01, 0.2, 3.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for name in self.keeping.to_kill(self.now):
            assert name in self.processes
            assert self.stopping or not self.processes[name], "one that serves is left alone"

    @rule()
    def start(self) -> None:
        for name in self.keeping.to_start(self.now):
            assert name not in self.processes
            assert not self.stopping
            self.processes[name] = False
            self.keeping.started(name, self.now)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def say_ready(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.processes)))
        if not self.stopping:
            self.processes[name] = True
            self.served.add(name)
        self.keeping.serves(name, self.now)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.processes)))
        del self.processes[name]
        self.keeping.died(name, self.now)

    @precondition(lambda self: not self.stopping)
    @rule()
    def stop(self) -> None:
        assert set(self.keeping.stop(self.now)) == set(self.processes)
        self.stopping = True

    @invariant()
    def knows_its_processes(self) -> None:
        alive = {name for name, node in self.keeping.nodes.items() if node.state in ALIVE}
        assert alive == set(self.processes)
        assert self.keeping.up == (self.served == set(NAMES))
        assert self.keeping.ended == (self.stopping and not self.processes)

    @invariant()
    def children_come_after_parents(self) -> None:
        for earlier, later in pairwise(WAVES):
            if set(later) & self.served:
                assert set(earlier) <= self.served

    @invariant()
    def never_sleeps_over_something_to_do(self) -> None:
        """Whoever is to be started later is due, unless all is over."""
        dead = [node for node in self.keeping.nodes.values() if node.state is State.DIED]
        if dead and not self.stopping:
            due = self.keeping.next_due()
            assert due is not None
            assert due <= min(node.due for node in dead)


Province.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestProvince = Province.TestCase
