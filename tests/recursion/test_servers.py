"""The choice among servers: the fastest that lives, the others now and then, the dead ones seldom."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.address import Address
from resolver.recursion.servers import (
    FIRST_PATIENCE_S,
    FIRST_REST_S,
    LONGEST_PATIENCE_S,
    LONGEST_REST_S,
    MAX_SERVERS,
    SHORTEST_PATIENCE_S,
    Servers,
)

ZONE = "88.118"
NEAR, FAR, OTHER = (Address(f"127.0.0.{number}", 26_410) for number in (1, 2, 3))
ALL = (NEAR, FAR, OTHER)


def chosen(servers: Servers, now: float = 0.0, tried: tuple[Address, ...] = ()) -> Address:
    """The server that is to be asked."""
    choice = servers.choose(ZONE, ALL, tried, now)
    assert choice is not None
    assert choice.server is not None
    return choice.server


def test_each_new_server_is_tried_then_the_fastest_is_kept_to() -> None:
    servers = Servers()
    trips = {NEAR: 0.002, FAR: 0.080, OTHER: 0.020}
    first = []
    for _ in range(3):
        server = chosen(servers)
        servers.answered(ZONE, server, trips[server])
        first.append(server)
    assert set(first) == set(ALL)
    asked = []
    for _ in range(400):
        server = chosen(servers)
        servers.answered(ZONE, server, trips[server])
        asked.append(server)
    assert asked.count(NEAR) > 380
    assert asked.count(OTHER) >= 2, "the others get a chance now and then"
    assert asked.count(FAR) >= 1


def test_a_server_that_became_slow_is_left() -> None:
    servers = Servers()
    for server, trip in ((NEAR, 0.002), (FAR, 0.010), (OTHER, 0.010)):
        servers.answered(ZONE, server, trip)
    assert chosen(servers) == NEAR
    for _ in range(5):
        servers.answered(ZONE, NEAR, 0.2)
    assert chosen(servers) != NEAR


def test_those_tried_are_not_chosen_again() -> None:
    servers = Servers()
    assert chosen(servers, tried=(NEAR, FAR)) == OTHER
    assert servers.choose(ZONE, ALL, ALL, 0.0) is None
    assert servers.choose(ZONE, (), (), 0.0) is None


def test_a_dead_server_rests_for_longer_and_longer() -> None:
    servers = Servers()
    rests, now = [], 100.0
    for _ in range(12):
        servers.failed(ZONE, NEAR, now, "refused")
        choice = servers.choose(ZONE, (NEAR,), (), now)
        assert choice is not None
        assert choice.server is None
        rests.append(choice.wait)
        now += choice.wait
        assert servers.choose(ZONE, (NEAR,), (), now).server == NEAR  # type: ignore[union-attr]
    assert rests[0] == FIRST_REST_S
    assert all(later == min(LONGEST_REST_S, 2 * earlier) for earlier, later in itertools.pairwise(rests))
    assert rests[-1] == LONGEST_REST_S
    assert servers.why(ZONE, NEAR) == "refused"
    servers.answered(ZONE, NEAR, 0.001)
    assert chosen(servers, now) == NEAR, "recovered: as good as new"
    servers.failed(ZONE, NEAR, now, "refused")
    assert servers.choose(ZONE, (NEAR,), (), now).wait == FIRST_REST_S  # type: ignore[union-attr]


def test_many_questions_that_fail_together_count_once() -> None:
    servers = Servers()
    for _ in range(100):
        servers.failed(ZONE, NEAR, 0.0, "lost")
    assert servers.choose(ZONE, (NEAR,), (), 0.0).wait == FIRST_REST_S  # type: ignore[union-attr]


def test_one_question_finds_out_whether_a_server_is_back() -> None:
    servers = Servers()
    servers.failed(ZONE, NEAR, 0.0, "lost")
    now = FIRST_REST_S
    assert servers.choose(ZONE, (NEAR,), (), now).server == NEAR  # type: ignore[union-attr]
    others = servers.choose(ZONE, (NEAR,), (), now)
    assert others is not None
    assert others.server is None
    assert 0 < others.wait <= LONGEST_PATIENCE_S
    servers.answered(ZONE, NEAR, 0.001)
    assert servers.choose(ZONE, (NEAR,), (), now).server == NEAR  # type: ignore[union-attr]


def test_a_living_server_comes_before_one_that_has_failed() -> None:
    servers = Servers()
    servers.answered(ZONE, NEAR, 0.001)
    servers.answered(ZONE, FAR, 0.5)
    servers.failed(ZONE, NEAR, 0.0, "lost")
    servers.failed(ZONE, OTHER, 0.0, "lost")
    assert chosen(servers, 0.1) == FAR
    assert chosen(servers, 10.0) == FAR, "also when the rest of the other is over"


def test_whether_it_is_back_is_found_out_beside_anothers_answer() -> None:
    servers = Servers()
    servers.answered(ZONE, FAR, 0.5)
    servers.failed(ZONE, NEAR, 0.0, "lost")
    assert servers.returning(ZONE, ALL, FAR, FIRST_REST_S - 0.01) is None, "it rests"
    now = FIRST_REST_S
    returning = servers.returning(ZONE, ALL, FAR, now)
    assert returning is not None
    assert returning[0] == NEAR
    assert servers.returning(ZONE, ALL, FAR, now) is None, "one question finds out"
    servers.failed(ZONE, NEAR, now, "lost")
    assert servers.returning(ZONE, ALL, FAR, now + FIRST_REST_S) is None, "it rests for longer"
    now += 2 * FIRST_REST_S
    assert servers.returning(ZONE, ALL, NEAR, now) is None, "it is asked anyway"
    assert servers.returning(ZONE, ALL, FAR, now) is not None
    servers.back(ZONE, NEAR)
    assert servers.returning(ZONE, ALL, FAR, now) is None
    assert chosen(servers, now) == NEAR, "as good as new"


def test_a_server_that_was_hardly_waited_for_rests_briefly_however_often() -> None:
    servers = Servers()
    now = 0.0
    for _ in range(5):
        servers.failed(ZONE, NEAR, now, "silent", hasty=True)
        choice = servers.choose(ZONE, (NEAR,), (), now)
        assert choice is not None
        assert (choice.server, choice.wait) == (None, FIRST_REST_S)
        now += FIRST_REST_S
        assert servers.choose(ZONE, (NEAR, FAR), (), now).server == FAR  # type: ignore[union-attr]
        assert servers.choose(ZONE, (NEAR,), (), now).server == NEAR  # type: ignore[union-attr]
    servers.failed(ZONE, NEAR, now, "refused")
    assert servers.choose(ZONE, (NEAR,), (), now).wait == 2 * FIRST_REST_S  # type: ignore[union-attr]


def test_zones_do_not_share_their_experience() -> None:
    servers = Servers()
    servers.failed(ZONE, NEAR, 0.0, "lame")
    choice = servers.choose("88.119", (NEAR,), (), 0.0)
    assert choice is not None
    assert choice.server == NEAR


@given(st.lists(st.floats(0.0, 30.0), max_size=20))
def test_patience_has_bounds(trips: list[float]) -> None:
    servers = Servers()
    for trip in trips:
        servers.answered(ZONE, NEAR, trip)
    choice = servers.choose(ZONE, (NEAR,), (), 0.0)
    assert choice is not None
    if trips:
        assert SHORTEST_PATIENCE_S <= choice.patience <= LONGEST_PATIENCE_S
    else:
        assert choice.patience == FIRST_PATIENCE_S


def test_the_table_is_bounded() -> None:
    servers = Servers()
    for number in range(MAX_SERVERS + 10):
        servers.answered(ZONE, Address("host", number), 0.5)
    assert len(servers._known) == MAX_SERVERS


class Choosing(RuleBasedStateMachine):
    """Against the plain words: never one that rests, always one where one does not; failures heal by an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.servers = Servers()
        self.now = 1_000.0
        self.rests: dict[Address, float] = {}
        self.failures = dict.fromkeys(ALL, 0)
        self.probed: set[Address] = set()

    @rule(server=st.sampled_from(ALL))
    def fails(self, server: Address) -> None:
        self.servers.failed(ZONE, server, self.now, "")
        if self.now < self.rests.get(server, 0.0) and server not in self.probed:
            return  # told already
        self.probed.discard(server)
        self.rests[server] = self.now + min(LONGEST_REST_S, FIRST_REST_S * 2 ** self.failures[server])
        self.failures[server] += 1

    @rule(server=st.sampled_from(ALL), seconds=st.floats(0.0001, 2.0))
    def answers(self, server: Address, seconds: float) -> None:
        self.servers.answered(ZONE, server, seconds)
        self.rests.pop(server, None)
        self.probed.discard(server)
        self.failures[server] = 0

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(tried=st.sets(st.sampled_from(ALL)))
    def choose(self, tried: set[Address]) -> None:
        choice = self.servers.choose(ZONE, ALL, tried, self.now)
        left = [server for server in ALL if server not in tried]
        awake = [server for server in left if self.rests.get(server, 0.0) <= self.now]
        if not left:
            assert choice is None
            return
        assert choice is not None
        if not awake:
            assert choice.server is None
            assert choice.wait == min(self.rests[server] for server in left) - self.now > 0
            return
        assert choice.server in awake
        assert choice.server is not None
        healthy = [server for server in awake if not self.failures[server]]
        if healthy:
            assert choice.server in healthy
        elif self.failures[choice.server]:
            self.rests[choice.server] = self.now + choice.patience
            self.probed.add(choice.server)

    @invariant()
    def reasons_are_known(self) -> None:
        for server in self.rests:
            assert self.servers.why(ZONE, server) == ""


TestChoosing = Choosing.TestCase
TestChoosing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
