"""Questions for changes that wait for news."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from protocol.errors import BiaoshiError
from protocol.messages import encode_failure
from protocol.turn import Sink, Turn
from registry.feeding import Poll
from registry.followers import Followers
from registry.putback import PutBack
from registry.store.feed import DIVERGED

MAX_POLLS: Final = 4
"""Questions of one connection that may wait; a further one is answered at once. A follower has one."""


class _Waiting(NamedTuple):
    sink: Sink
    poll: Poll
    wire: bytes
    until: float


class Polls:
    """The questions of one door that wait. ``clock`` is in seconds and only goes forward."""

    def __init__(self, turn: Turn, followers: Followers, put_back: PutBack, clock: Callable[[], float]) -> None:
        self._turn = turn
        self._followers = followers
        self._put_back = put_back
        self._clock = clock
        self._waiting: list[_Waiting] = []

    def ask(self, sink: Sink, poll: Poll, wire: bytes) -> None:
        """Answer a question now, or once there is news or its time is up."""
        now = self._clock()
        full = sum(one.sink is sink for one in self._waiting) >= MAX_POLLS
        asked = _Waiting(sink, poll, wire, now + poll.question.wait_ms / 1000)
        try:
            response = poll.response(final=full or not poll.question.wait_ms)
        except BiaoshiError as error:
            if poll.follower is not None and error.rule is DIVERGED:
                self._put_back.has_more(poll.follower)
            self._turn.add(sink, 1, wire, encode_failure(poll.rid, error))
            return
        if poll.follower is not None:  # only one that follows this very feed confirms anything
            self._put_back.agrees(poll.follower)
            self._followers.heard(poll.follower, poll.question.held, now)
        if response is not None:
            self._turn.add(sink, 1, wire, response)
            return
        self._waiting.append(asked)
        self._count(asked, 1)

    def news(self) -> None:
        """Something was written: answer those who waited for it."""
        if self._waiting:
            self._look(lambda one: False)

    def expire(self) -> None:
        """Answer those whose time is up; to be called about twice a second."""
        now = self._clock()
        if any(one.until <= now for one in self._waiting):
            self._look(lambda one: one.until <= now)

    def end(self) -> None:
        """Answer all that wait."""
        self._look(lambda one: True)

    def drop(self, sink: Sink) -> None:
        """Forget the questions of a connection that is gone."""
        for one in [one for one in self._waiting if one.sink is sink]:
            self._waiting.remove(one)
            self._count(one, -1)

    def _look(self, final: Callable[[_Waiting], bool]) -> None:
        still: list[_Waiting] = []
        for one in self._waiting:
            try:
                response = one.poll.response(final=final(one))
            except BiaoshiError as error:
                response = encode_failure(one.poll.rid, error)
            if response is None:
                still.append(one)
            else:
                self._count(one, -1)
                self._turn.add(one.sink, 1, one.wire, response)
        self._waiting = still

    def _count(self, one: _Waiting, difference: int) -> None:
        if one.poll.follower is not None:
            self._followers.polling(one.poll.follower, difference, self._clock())
