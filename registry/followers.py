"""Who follows the zone's feed, how far each has it on its own disk, and the writes that wait for that.

No sockets and no clock: ``now`` is seconds on any clock that only goes forward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from protocol.errors import BiaoshiError, Refused, Rule
from protocol.signatures import PublicKey
from protocol.status import Status

ACKNOWLEDGE_SECONDS: Final = 10.0
"""How long a write waits for a follower to confirm it: several round trips and commits of one that is only slow. After
that its writer is told that the outcome is not known."""

THERE_SECONDS: Final = 10.0
"""How long after its last question a follower counts as being there: it may be writing a page to its disk."""

MAX_UNCONFIRMED_BYTES: Final = 256 << 20
"""Bytes of requests and answers that wait for a confirmation, in all; further writes are refused meanwhile."""

NOT_CONFIRMED: Final = Rule(
    "registry.not-confirmed",
    Status.UNKNOWN,
    "written here, but no follower has confirmed it within {seconds} s; sending the same again is safe",
    "已在本节点写入，但 {seconds} 秒内没有跟随者确认，可安全地重新发送",
)
NO_FOLLOWER: Final = Rule(
    "registry.no-follower",
    Status.OVERLOADED,
    "nothing was written: this node acknowledges what a custody node has, and none is following now. Try later",
    "未写入任何内容：本节点仅在托管节点收到后才确认，而目前没有托管节点在跟随，请稍后再试",
)
TOO_FAR_BEHIND: Final = Rule(
    "registry.followers-behind",
    Status.OVERLOADED,
    "nothing was written: {bytes} bytes wait for a follower to confirm them already. Try later",
    "未写入任何内容：已有 {bytes} 字节在等待跟随者确认，请稍后再试",
)

Settle = Callable[[BiaoshiError | None], None]
"""Called once: with None where a follower has it, otherwise with the error that says it is not known."""


class _Waiting(NamedTuple):
    number: int
    until: float
    size: int
    settle: Settle


class _Follower:
    """One follower as it was last heard of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = -1
        """Changes that it has on its disk; -1 while it has not said."""
        self.asked_at = float("-inf")
        self.polls = 0
        self.level_at: float | None = None
        """When it was last known to have all that there is, which is while it waits for news; until it has waited once,
        when it was first heard of."""


class Followers:
    """The keys that may follow, and what is known of each. ``must_confirm``: writes wait for one of them."""

    def __init__(self, keys: Mapping[PublicKey, str], *, must_confirm: bool = False) -> None:
        self._keys: dict[PublicKey, str] = {}
        self._known: dict[str, _Follower] = {}
        self.admit(keys)
        self.must_confirm = must_confirm
        self._waiting: deque[_Waiting] = deque()
        self._unconfirmed = 0

    def admit(self, keys: Mapping[PublicKey, str]) -> None:
        """Have these keys follow from now on, and no others."""
        self._keys = dict(keys)
        for name in keys.values():
            self._known.setdefault(name, _Follower(name))

    def name(self, key: PublicKey) -> str | None:
        """The follower that has a key, None where it is none's."""
        return self._keys.get(key)

    def heard(self, name: str, held: int, now: float) -> None:
        """A follower has asked, and has so many changes on its disk: settle the writes that waited for these."""
        follower = self._known[name]
        follower.asked_at = now
        follower.held = held  # less than before where it has lost its copy and begun anew
        if follower.level_at is None:
            follower.level_at = now
        while self._waiting and self._waiting[0].number <= held:
            self._settle(self._waiting.popleft(), None)

    def polling(self, name: str, difference: int, now: float) -> None:
        """A question of a follower has begun to wait for news, or waits no more."""
        follower = self._known[name]
        follower.polls += difference
        follower.asked_at = follower.level_at = now

    def check_there(self, now: float) -> None:
        """Whether a write may be carried out: a follower is there, and not too much waits for it. Raises
        :class:`Refused`."""
        if not any(one.polls or now - one.asked_at <= THERE_SECONDS for one in self._known.values()):
            raise Refused(NO_FOLLOWER, NO_FOLLOWER.status)
        if self._unconfirmed > MAX_UNCONFIRMED_BYTES:
            raise Refused(TOO_FAR_BEHIND, TOO_FAR_BEHIND.status, bytes=self._unconfirmed)

    def wait(self, number: int, size: int, now: float, settle: Settle) -> None:
        """Settle once a follower has ``number`` changes, or it has taken too long; ``size`` bytes wait with it."""
        if number <= max((one.held for one in self._known.values()), default=-1):
            settle(None)
            return
        self._unconfirmed += size
        self._waiting.append(_Waiting(number, now + ACKNOWLEDGE_SECONDS, size, settle))

    def expire(self, now: float) -> None:
        """Give up on writes that have waited too long; to be called about once a second."""
        while self._waiting and self._waiting[0].until <= now:
            error = Refused(NOT_CONFIRMED, NOT_CONFIRMED.status, seconds=ACKNOWLEDGE_SECONDS)
            self._settle(self._waiting.popleft(), error)

    def give_up(self) -> None:
        """The node goes down: what waits is not known."""
        self.expire(float("inf"))

    @property
    def waiting(self) -> int:
        """Writes that wait."""
        return len(self._waiting)

    @property
    def least_held(self) -> int | None:
        """How many changes every follower has; None while one of them has not said, or there is none."""
        least = min((one.held for one in self._known.values()), default=-1)
        return None if least < 0 else least

    def status(self, changes: int, now: float) -> dict[str, object]:
        """For STATUS: how many changes each follower is behind, and for how many seconds; -1 while it has not been
        heard of."""
        shown: dict[str, object] = {}
        for name in dict.fromkeys(self._keys.values()):
            follower = self._known[name]
            behind, seconds = -1, -1
            if follower.held >= 0 and follower.level_at is not None:
                behind = max(0, changes - follower.held)
                seconds = int(now - follower.level_at) if behind else 0
            shown |= {f"behind_{name}": behind, f"seconds_behind_{name}": seconds}
        return shown

    def _settle(self, waiting: _Waiting, error: BiaoshiError | None) -> None:
        self._unconfirmed -= waiting.size
        waiting.settle(error)
