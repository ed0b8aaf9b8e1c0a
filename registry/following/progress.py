"""How far a copy is: what STATUS and the log say of it. No sockets and no clock; ``now`` is seconds on any clock that
only goes forward."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from protocol.errors import BiaoshiError, Rule
from protocol.status import Status
from registry.store.feed import Position
from registry.store.interface import Standing

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
"""Pauses between attempts to reach a zone double from the first to the longest."""

DIVERGED_PAUSE_S: Final = 10.0
"""Pause before a zone that was put back is asked again, whether its store was restored."""

DIVERGES: Final = Rule(
    "following.diverged",
    Status.DIVERGED,
    "the zone '{zone}' was put back to an earlier state, or its registry has another store: this copy has changes that "
    "are not there, and follows no more. Restore the zone from here ('biaoshi restore' on its node); or, to give those "
    "changes up, have the copy begin anew with 'biaoshi custody again {zone}'",
    "区域“{zone}”曾被回退到更早的状态，或其注册服务使用了另一存储：本副本持有那里没有的变更，已停止跟随。"
    "请从本副本恢复该区域（在其节点上运行 biaoshi restore）；"
    "若放弃这些变更，请用 biaoshi custody again {zone} 重新开始",
)


class State(StrEnum):
    """What a copy is doing."""

    COPYING = "copying"
    """It has not been at the end of the feed yet, and is not served."""
    FOLLOWING = "following"
    UNREACHABLE = "unreachable"
    """The zone's registry cannot be followed now; ``trouble`` says why."""
    DIVERGED = "diverged"


class Progress:
    """The progress of one copy, from where its store ``stands``."""

    def __init__(self, zone: str, stands: Standing, now: float) -> None:
        self.zone = zone
        self.state = State.FOLLOWING if stands.whole else State.COPYING
        self.trouble = ""
        """Why it does not follow now, for a person."""
        self.copied = 0
        """Changes taken over since the process began."""
        self.whole = stands.whole
        """Whether it has once been at the end, and so may be served."""
        self._end = stands.end.number
        self._head = stands.seen.number
        self._level_at = now
        """When it was last known to have all that there is."""
        self._connected = False
        self._pause = FIRST_PAUSE_S

    def taken(self, stands: Standing, head: Position, now: float) -> None:
        """A page was taken over, or had nothing new; the feed ended at ``head`` when it was made."""
        self.copied += max(0, stands.end.number - self._end)
        self.whole = self.whole or stands.whole
        self._end, self._head = stands.end.number, head.number
        self._connected, self._pause, self.trouble = True, FIRST_PAUSE_S, ""
        self.state = State.FOLLOWING if self.whole else State.COPYING
        if self._end >= self._head and stands.inside is None:
            self._level_at = now

    def lost(self, error: BiaoshiError) -> tuple[bool, float]:
        """The zone cannot be followed now: whether that is news, and for how many seconds to pause."""
        new = self.trouble != str(error)
        self.state, self.trouble, self._connected = State.UNREACHABLE, str(error), False
        pause = self._pause
        self._pause = min(2 * pause, LONGEST_PAUSE_S)
        return new, pause

    def diverged(self) -> tuple[bool, float]:
        """The zone was put back: whether that is news, and for how many seconds to pause."""
        new = self.state is not State.DIVERGED
        self.state, self._connected = State.DIVERGED, False
        self.trouble = DIVERGES.en.format(zone=self.zone)
        return new, DIVERGED_PAUSE_S

    @property
    def behind(self) -> int:
        """Changes that the zone is known to have and the copy has not."""
        return max(0, self._head - self._end)

    def behind_seconds(self, now: float) -> int:
        """Since when the copy is not known to have everything: 0 while it is connected and level."""
        level = self._connected and self._end >= self._head
        return 0 if level else int(now - self._level_at)

    def status(self, now: float) -> dict[str, object]:
        """For STATUS."""
        shown: dict[str, object] = {
            "state": str(self.state), "whole": int(self.whole), "behind": self.behind,
            "behind_s": self.behind_seconds(now), "copied": self.copied,
        }  # fmt: skip
        if self.trouble:
            shown["trouble"] = self.trouble
        return shown

    @property
    def concerns(self) -> list[str]:
        """Names of what a person should see to."""
        return [DIVERGES.name] if self.state is State.DIVERGED else []
