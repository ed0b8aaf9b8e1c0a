"""The doors of an authoritative node: shut while its store is known to be behind a copy of it.

A store that was put back to an earlier state would deny what was registered since, and prove that. So nobody is
answered from it; clients go to the zone's further addresses, which have all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from protocol.node import OwnKeys
from registry.store.notice import PutBackNotice
from resolver.doors import Doors

LOOK_SECONDS: Final = 0.5
"""How often the registry's notice is looked for."""


class Authority:
    """Doors that ``open_doors`` opens under the keys of ``own``, while ``notice`` says nothing."""

    def __init__(
        self,
        open_doors: Callable[[OwnKeys], Awaitable[Doors]],
        own: OwnKeys,
        notice: PutBackNotice,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._open_doors = open_doors
        self._own = own
        self._notice = notice
        self._log = log
        self._doors: Doors | None = None
        self._said = ""

    @property
    def connections(self) -> int:
        """How many are open."""
        return 0 if self._doors is None else self._doors.connections

    def take_up(self, own: OwnKeys) -> None:
        """Seal by these keys from now on, and show them."""
        self._own = own
        if self._doors is not None:
            self._doors.take_up(own)

    async def look(self) -> None:
        """Open or shut, as the notice says. Raises :class:`OSError` where the port cannot be had, or the notice cannot
        be read."""
        who = self._notice.read()
        if who and self._doors is not None:
            await self.close()
        if not who and self._doors is None:
            self._doors = doors = await self._open_doors(self._own)
            doors.take_up(self._own)  # which may have been renewed meanwhile
        said = ", ".join(who)
        if said and said != self._said:
            self._log.error("NOT ANSWERING: this store was put back to an earlier state", copies=said)
        elif self._said and not said:
            self._log.info("answering again: this store has all that its copies have")
        self._said = said

    async def watch(self) -> None:
        """Go on looking."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except OSError as error:
                self._log.warning("the doors stay as they are", reason=str(error))

    async def close(self) -> None:
        """Answer what was asked, and close."""
        if self._doors is not None:
            doors, self._doors = self._doors, None
            doors.refuse()
            await doors.close()
