"""Followers: what each has, which writes wait for that, who waits for news, when the feed is pruned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.errors import BiaoshiError, Refused, StoreError
from protocol.framing import split
from protocol.messages import Response, read_response
from protocol.seals import is_seal
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.turn import Turn
from registry.committer import Committer
from registry.feeding import Poll, Question, read_page
from registry.followers import (
    ACKNOWLEDGE_SECONDS,
    MAX_UNCONFIRMED_BYTES,
    NO_FOLLOWER,
    NOT_CONFIRMED,
    THERE_SECONDS,
    TOO_FAR_BEHIND,
    Followers,
)
from registry.polls import MAX_POLLS, Polls
from registry.pruning import FeedPruner
from registry.putback import PUT_BACK, PutBack, has_all_of
from registry.store.feed import BEGINNING, Position
from registry.store.interface import STORE_FULL, flat
from registry.store.memory import MemoryStore
from tests.registry.store.builders import put

ONE, TWO = (SigningKey(bytes([number]) * 32) for number in (1, 2))
KEYS: Final = {ONE.public: "one", TWO.public: "two"}


class Settled:
    """What became of writes that waited."""

    def __init__(self) -> None:
        self.of: dict[str, BiaoshiError | None] = {}

    def as_(self, name: str) -> Callable[[BiaoshiError | None], None]:
        def settle(error: BiaoshiError | None) -> None:
            assert name not in self.of, "once"
            self.of[name] = error

        return settle


# Confirmations ---------------------------------------------------------------------------------------


def test_a_write_waits_for_the_first_follower_that_has_it() -> None:
    followers, settled = Followers(KEYS, must_confirm=True), Settled()
    followers.heard("one", 3, 0.0)
    followers.wait(3, 10, 0.0, settled.as_("there already"))
    followers.wait(5, 10, 0.0, settled.as_("five"))
    followers.wait(8, 10, 0.0, settled.as_("eight"))
    assert settled.of == {"there already": None}
    followers.heard("two", 4, 1.0)
    followers.heard("one", 7, 1.0)
    assert settled.of == {"there already": None, "five": None}
    followers.heard("two", 8, 1.0)
    assert settled.of["eight"] is None
    assert followers.waiting == 0


def test_a_write_that_nobody_confirms_is_not_known() -> None:
    followers, settled = Followers(KEYS, must_confirm=True), Settled()
    followers.wait(5, 10, 100.0, settled.as_("early"))
    followers.wait(6, 10, 101.0, settled.as_("late"))
    followers.expire(100.0 + ACKNOWLEDGE_SECONDS)
    early = settled.of["early"]
    assert early is not None
    assert (early.rule, early.status) == (NOT_CONFIRMED, Status.UNKNOWN)
    assert "late" not in settled.of
    followers.give_up()
    assert settled.of["late"] is not None


def test_nothing_is_written_while_no_follower_is_there() -> None:
    followers = Followers(KEYS, must_confirm=True)
    with pytest.raises(Refused) as caught:
        followers.check_there(0.0)
    assert (caught.value.rule, caught.value.status) == (NO_FOLLOWER, Status.OVERLOADED)
    followers.polling("one", 1, 0.0)
    followers.check_there(1_000.0)  # its question waits here
    followers.polling("one", -1, 1_000.0)
    followers.check_there(1_000.0 + THERE_SECONDS)
    with pytest.raises(Refused):
        followers.check_there(1_001.0 + THERE_SECONDS)


def test_what_waits_is_bounded() -> None:
    followers, settled = Followers(KEYS, must_confirm=True), Settled()
    followers.heard("one", 0, 0.0)
    followers.wait(1, MAX_UNCONFIRMED_BYTES + 1, 0.0, settled.as_("large"))
    with pytest.raises(Refused) as caught:
        followers.check_there(0.0)
    assert caught.value.rule is TOO_FAR_BEHIND
    followers.heard("one", 1, 0.0)
    followers.check_there(0.0)


def test_how_far_each_is_behind() -> None:
    followers = Followers(KEYS)
    unheard = {"behind_two": -1, "seconds_behind_two": -1}
    assert followers.status(7, 90.0) == {"behind_one": -1, "seconds_behind_one": -1, **unheard}
    followers.heard("one", 5, 100.0)
    assert followers.status(7, 130.5) == {"behind_one": 2, "seconds_behind_one": 30, **unheard}
    followers.heard("one", 7, 140.0)
    assert followers.status(7, 150.0) == {"behind_one": 0, "seconds_behind_one": 0, **unheard}
    followers.polling("one", 1, 160.0)
    assert followers.status(7, 170.0) == {"behind_one": 0, "seconds_behind_one": 0, **unheard}
    followers.polling("one", -1, 180.0)
    assert followers.status(8, 195.0) == {"behind_one": 1, "seconds_behind_one": 15, **unheard}
    followers.heard("one", 5, 200.0)
    assert followers.least_held is None
    followers.heard("two", 6, 0.0)
    assert followers.least_held == 5


class ConfirmationMachine(RuleBasedStateMachine):
    """Writes of one zone and two followers against a list: each write is settled once, well when one of them has it,
    badly when its time is up first."""

    def __init__(self) -> None:
        super().__init__()
        self.followers, self.settled = Followers(KEYS, must_confirm=True), Settled()
        self.now = 0.0
        self.number = 0
        self.held = {"one": -1, "two": -1}
        self.open: dict[str, tuple[int, float]] = {}
        self.expected: dict[str, bool] = {}

    @rule(count=st.integers(0, 3))
    def write(self, count: int) -> None:
        self.number += count
        name = str(len(self.open) + len(self.expected))
        self.followers.wait(self.number, 1, self.now, self.settled.as_(name))
        self.open[name] = (self.number, self.now + ACKNOWLEDGE_SECONDS)
        self.close()

    @rule(name=st.sampled_from(["one", "two"]), share=st.floats(0, 1))
    def hear(self, name: str, share: float) -> None:
        held = int(self.number * share)
        self.followers.heard(name, held, self.now)
        self.held[name] = held
        self.close()

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for name, (_, until) in list(self.open.items()):
            if until <= self.now:
                del self.open[name]
                self.expected[name] = False
        self.followers.expire(self.now)

    def close(self) -> None:
        for name, (number, _) in list(self.open.items()):
            if number <= max(self.held.values()):
                del self.open[name]
                self.expected[name] = True

    @invariant()
    def agreed(self) -> None:
        assert {name: error is None for name, error in self.settled.of.items()} == self.expected
        assert self.followers.waiting == len(self.open)


TestConfirmations = ConfirmationMachine.TestCase


# Questions that wait ---------------------------------------------------------------------------------


class Door:
    """The questions of a registry's door, with what was sent to each connection."""

    def __init__(self) -> None:
        self.store, self.now = MemoryStore(), 0.0
        self.followers, self.put_back = Followers(KEYS, must_confirm=True), PutBack()
        self.turn = Turn(ONE, lambda _: None, lambda: 0, lambda: None)
        self.polls = Polls(self.turn, self.followers, self.put_back, lambda: self.now)

    def flush(self) -> None:
        self.turn.flush()


class Sink:
    """A connection."""

    def __init__(self) -> None:
        self.sent: list[Response] = []

    def send(self, data: bytes) -> None:
        self.sent += [read_response(message) for message, _ in split(data) if not is_seal(message)]


def poll(door: Door, question: Question, rid: int = 1, follower: str | None = "one") -> Poll:
    return Poll(rid, question, door.store, follower)


def test_a_question_waits_for_news() -> None:
    door, sink, other = Door(), Sink(), Sink()
    door.polls.ask(sink, poll(door, Question(None, 10, 1_000)), b"")
    door.polls.ask(other, poll(door, Question(None, 10, 1_000), follower=None), b"")
    door.flush()
    assert sink.sent == other.sent == []
    door.store.apply([put("88.118/a")], 1)
    door.polls.news()
    door.flush()
    for one in (sink, other):
        [response] = one.sent
        assert [entry.identifier for entry in flat(read_page(response.payload)).entries] == [b"88.118/a"]
    door.polls.news()
    door.flush()
    assert len(sink.sent) == 1


def test_a_question_is_answered_when_its_time_is_up() -> None:
    door, sink = Door(), Sink()
    door.polls.ask(sink, poll(door, Question(None, 10, 1_000)), b"")
    door.now = 0.9
    door.polls.expire()
    door.flush()
    assert not sink.sent
    door.now = 1.0
    door.polls.expire()
    door.flush()
    assert read_page(sink.sent[0].payload).parts == []


def test_a_door_that_closes_answers_all_that_wait() -> None:
    door, sink = Door(), Sink()
    door.polls.ask(sink, poll(door, Question(None, 10, 1_000)), b"")
    door.polls.end()
    door.flush()
    assert [response.status for response in sink.sent] == [Status.OK]


def test_a_connection_has_few_questions_that_wait() -> None:
    door, sink = Door(), Sink()
    for rid in range(MAX_POLLS + 1):
        door.polls.ask(sink, poll(door, Question(None, 10, 1_000), rid), b"")
    door.flush()
    assert [response.rid for response in sink.sent] == [MAX_POLLS]


def test_a_follower_is_there_while_its_question_waits() -> None:
    door, sink = Door(), Sink()
    door.polls.ask(sink, poll(door, Question(None, 10, 30_000)), b"")
    door.now = 29.0
    door.followers.check_there(door.now)
    door.polls.drop(sink)
    door.followers.check_there(door.now + THERE_SECONDS)
    with pytest.raises(Refused):
        door.followers.check_there(door.now + THERE_SECONDS + 1)


def test_only_who_follows_this_very_feed_confirms() -> None:
    door, sink, settled = Door(), Sink(), Settled()
    door.store.apply([put("88.118/a")], 1)
    door.followers.wait(1, 1, 0.0, settled.as_("a"))
    foreign = Position(1, b"anothers").cursor()
    door.polls.ask(sink, poll(door, Question(foreign, 10, 0, 1)), b"")
    door.flush()
    assert sink.sent[0].status == Status.DIVERGED
    assert not settled.of
    door.polls.ask(sink, poll(door, Question(door.store.standing().end.cursor(), 10, 0, 1), 2), b"")
    assert settled.of == {"a": None}


# Put back --------------------------------------------------------------------------------------------


def test_a_follower_that_has_more_stops_the_writes() -> None:
    door, sink = Door(), Sink()
    door.put_back.check()
    door.polls.ask(sink, poll(door, Question(Position(1, b"anothers").cursor(), 10)), b"")
    with pytest.raises(Refused) as caught:
        door.put_back.check()
    assert (caught.value.rule, caught.value.status) == (PUT_BACK, Status.DIVERGED)
    assert "one" in str(caught.value)
    assert door.put_back.status() == {"put_back": "one"}
    door.polls.ask(sink, poll(door, Question(None, 10), 2), b"")  # it has begun anew
    door.put_back.check()
    assert door.put_back.status() == {}


def test_a_writer_with_a_strange_cursor_stops_nothing() -> None:
    door, sink = Door(), Sink()
    door.polls.ask(sink, poll(door, Question(Position(1, b"anothers").cursor(), 10), follower=None), b"")
    door.put_back.check()


def test_whether_a_store_has_all_of_a_copy() -> None:
    store = MemoryStore()
    assert has_all_of(store, BEGINNING, BEGINNING)
    store.apply([put("88.118/a")], 1)
    early = store.standing().end
    store.apply([put("88.118/b")], 1)
    late = store.standing().end
    assert has_all_of(store, early, late)
    assert has_all_of(store, BEGINNING, late)
    backup = MemoryStore()
    backup.copy(store.changes(None, 1))
    assert not has_all_of(backup, late, late)
    assert not has_all_of(backup, early, late), "the copy had seen more than it has"
    assert has_all_of(backup, early, early)


# Pruning ---------------------------------------------------------------------------------------------


class Now(Committer):
    """Does at once what is to be done between two transactions."""

    def __init__(self) -> None:
        """No thread."""

    def do(self, work: Callable[[], object]) -> None:
        work()


def filled(count: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(count):
        store.apply([put(f"88.118/{number}")], 1)
    return store


def test_the_feed_is_pruned_below_what_all_followers_have() -> None:
    store, followers = filled(100), Followers(KEYS)
    pruner = FeedPruner(store, Now(), followers, 20, structlog.get_logger())
    pruner.look()
    followers.heard("one", 90, 0.0)
    pruner.look()
    cursor = store.changes(None, 5).cursor
    store.changes(cursor, 5)  # nobody has heard of the other
    followers.heard("two", 80, 0.0)
    pruner.look()
    with pytest.raises(StoreError, match="pruned below change 60"):
        store.changes(cursor, 5)
    followers.heard("two", 81, 0.0)
    pruner.look()
    with pytest.raises(StoreError, match="pruned below change 60"):
        store.changes(cursor, 5)  # it is not worth it yet


def test_a_full_disk_is_tried_again() -> None:
    class Full(MemoryStore):
        tries = 0

        def prune(self, number: int) -> int:
            self.tries += 1
            raise StoreError(STORE_FULL, reason="full")

    store, followers = Full(), Followers({ONE.public: "one"})
    followers.heard("one", 90, 0.0)
    pruner = FeedPruner(store, Now(), followers, 20, structlog.get_logger())
    pruner.look()
    pruner.look()
    assert store.tries == 2
