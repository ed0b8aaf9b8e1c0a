"""What lets a request through: who asks, what that caller may do, and whether anybody may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import Refused
from protocol.status import Status
from registry.rights import OTHER_PREFIX
from registry.store.callers.permissions import Caller, Operation, allows

Barrier = Callable[[str], Refused | None]
"""Gives the reason for which nobody may write below a prefix, as it is suspended, say."""


class Gate:
    """The gate of one connection. ``caller`` gives who speaks there, as of now, and raises :class:`Refused` where
    nobody has proven anything; ``clock`` gives seconds since 1970."""

    def __init__(self, caller: Callable[[], Caller], barrier: Barrier, clock: Callable[[], float]) -> None:
        self.caller: Final = caller
        self._barrier = barrier
        self._clock = clock

    def allows(self, operation: Operation, prefix: str) -> bool:
        """Whether the caller may do something at a prefix (normal form)."""
        return allows(self.caller(), operation, prefix, int(self._clock()))

    def require(self, operation: Operation, prefix: str) -> None:
        """Raise :class:`Refused` where the caller may not do something at a prefix (normal form)."""
        if not self.allows(operation, prefix):
            raise Refused(OTHER_PREFIX, Status.NOT_PERMITTED, prefix=prefix)

    def require_open(self, operation: Operation, prefix: str) -> None:
        """The same for what changes something: raise also where nobody may."""
        self.require(operation, prefix)
        barred = self._barrier(prefix)
        if barred is not None:
            raise barred
