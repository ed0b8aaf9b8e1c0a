"""Wrong attempts to prove a credential: counted by who tries and by whom it is about, and slowed down. Pure: ``now`` is
seconds on any clock that only goes forward."""

from __future__ import annotations

import math
from typing import Final

from protocol.errors import Refused, Rule
from protocol.status import Status

FREE: Final = 5
"""Wrong attempts before the first wait: a person mistypes."""

FIRST_WAIT_SECONDS: Final = 2.0
"""The first wait; each further wrong attempt doubles it."""

LONGEST_WAIT_SECONDS: Final = 900.0
"""A quarter of an hour: nobody is locked out for good by a stranger's attempts."""

FORGOTTEN_SECONDS: Final = 3_600.0
"""After an hour without a wrong attempt all is forgotten."""

MAX_REMEMBERED: Final = 100_000
"""Names remembered: ten megabytes. The oldest give way."""

TOO_MANY: Final = Rule(
    "identity.too-many-attempts",
    Status.TOO_MANY_ATTEMPTS,
    "too many wrong attempts for '{name}'; try again in {seconds} s",
    "“{name}”的错误尝试过多，请在 {seconds} 秒后重试",
)


class Attempts:
    """Wrong attempts by name: of an identity, of an address."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}  # how many, and when the last was; oldest first

    def check(self, name: str, now: float) -> None:
        """Raise :class:`Refused` while ``name`` has to wait."""
        count, last = self._known(name, now)
        wait = last + _wait(count) - now
        if count >= FREE and wait > 0:
            raise Refused(TOO_MANY, TOO_MANY.status, name=name, seconds=math.ceil(wait))

    def wrong(self, name: str, now: float) -> None:
        """Note a wrong attempt."""
        count, _ = self._known(name, now)
        self._wrong.pop(name, None)
        self._wrong[name] = (count + 1, now)
        while len(self._wrong) > MAX_REMEMBERED:
            del self._wrong[next(iter(self._wrong))]

    def right(self, name: str) -> None:
        """Forget the wrong attempts of a name that has proven itself."""
        self._wrong.pop(name, None)

    def _known(self, name: str, now: float) -> tuple[int, float]:
        count, last = self._wrong.get(name, (0, now))
        return (0, now) if now - last > FORGOTTEN_SECONDS else (count, last)


def _wait(count: int) -> float:
    return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(count - FREE, 30))
