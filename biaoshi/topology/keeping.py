"""Which node is to be started, ended or waited for. Decisions alone; ``now`` is in seconds of a steady clock.

Nodes start in waves, so that a child finds its parent: the next wave begins when all of those before have served. A
node that dies before the province is up has failed, and so has the start. Later it is started again, after a pause that
grows while it keeps dying. When the province is stopped all nodes are asked to end, and made to if they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from biaoshi.pauses import Pauses

START_SECONDS: Final = 60.0
"""How long a node may take to serve: many start at one time on few cores."""

GRACE_SECONDS: Final = 20.0
"""How long a node may take to end: longer than its own drain times, and many end at one time."""


class State(StrEnum):
    """What a node does."""

    WAITING = "waiting"
    STARTING = "starting"
    SERVING = "serving"
    DIED = "died"
    """It waits to be started again."""
    STOPPING = "stopping"
    STOPPED = "stopped"


ALIVE: Final = (State.STARTING, State.SERVING, State.STOPPING)
"""A process is there."""


class Kept:
    """What is known of one node."""

    def __init__(self, name: str, wave: int) -> None:
        self.name: Final = name
        self.wave: Final = wave
        self.state = State.WAITING
        self.since = 0.0
        self.restarts = 0
        self.pauses: Final = Pauses()
        self.due = 0.0
        self.has_served = False


class Keeping:
    """The nodes of a province, given as waves of their names. What happened is told by :meth:`started`, :meth:`serves`,
    :meth:`died` and :meth:`stop`; what is to be done is asked."""

    def __init__(self, waves: Sequence[Sequence[str]]) -> None:
        self.nodes: Final = {name: Kept(name, wave) for wave, names in enumerate(waves) for name in names}
        self.stopping = False
        self.failed: str | None = None
        """The node for which the province could not be started."""
        self._missing = [len(names) for names in waves]
        self._wave = 0
        self._end_wave()

    @property
    def up(self) -> bool:
        """Whether every node has served."""
        return self._wave == len(self._missing)

    @property
    def ended(self) -> bool:
        """Whether all was stopped, and no process is left."""
        return self.stopping and not any(node.state in ALIVE for node in self.nodes.values())

    # What happened --------------------------------------------------------------------------------

    def started(self, name: str, now: float) -> None:
        """A process was begun for the node."""
        self._enter(self.nodes[name], State.STARTING, now)

    def serves(self, name: str, now: float) -> None:
        """The node says that it serves."""
        node = self.nodes[name]
        if node.state is not State.STARTING:
            return
        self._enter(node, State.SERVING, now)
        if not node.has_served:
            node.has_served = True
            self._missing[node.wave] -= 1
            self._end_wave()

    def died(self, name: str, now: float) -> None:
        """Its process has ended."""
        node = self.nodes[name]
        lived = now - node.since
        if self.stopping:
            self._enter(node, State.STOPPED, now)
            return
        self._enter(node, State.DIED, now)
        node.restarts += 1
        node.due = now + node.pauses.after(lived)
        if not self.up and self.failed is None:
            self.failed = name

    def stop(self, now: float) -> list[str]:
        """The province is to stop: those that are to be asked to end."""
        self.stopping = True
        asked = [node.name for node in self.nodes.values() if node.state in (State.STARTING, State.SERVING)]
        for node in self.nodes.values():
            if node.state is not State.STOPPING:
                self._enter(node, State.STOPPING if node.state in ALIVE else State.STOPPED, now)
        return asked

    # What is to be done ---------------------------------------------------------------------------

    def to_start(self, now: float) -> list[str]:
        """Those to be started now."""
        if self.stopping or self.failed is not None:
            return []
        return [
            node.name
            for node in self.nodes.values()
            if (node.state is State.WAITING and node.wave <= self._wave)
            or (node.state is State.DIED and node.due <= now)
        ]

    def to_kill(self, now: float) -> list[str]:
        """Those whose time to start or to end is over."""
        return [node.name for node in self.nodes.values() if (over := _over(node)) is not None and over <= now]

    def next_due(self) -> float | None:
        """When there may be something to do, if nothing happens before."""
        due = [node.due for node in self.nodes.values() if node.state is State.DIED and not self.stopping]
        return min([*due, *filter(None, map(_over, self.nodes.values()))], default=None)

    def _enter(self, node: Kept, state: State, now: float) -> None:
        node.state, node.since = state, now

    def _end_wave(self) -> None:
        while self._wave < len(self._missing) and not self._missing[self._wave]:
            self._wave += 1


def _over(node: Kept) -> float | None:
    """When the node's patience ends."""
    if node.state is State.STARTING:
        return node.since + START_SECONDS
    return node.since + GRACE_SECONDS if node.state is State.STOPPING else None
