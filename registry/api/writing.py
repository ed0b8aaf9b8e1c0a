"""Writes of API calls on their way: checked and permitted as natively, carried out with everybody's, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from protocol.errors import BiaoshiError, Refused
from registry.acknowledging import Acknowledging
from registry.api.items import WriteItem, refusal_of
from registry.api.routing import Call
from registry.intake import Intake, read_writes
from registry.rights import OTHER_PREFIX, permits
from registry.store.interface import Store
from registry.store.writes import Outcome, Write

Result = list[Outcome] | BiaoshiError


class Writing:
    """What writes need: the store, for what is delegated, and where they are carried out."""

    def __init__(self, store: Store, acknowledging: Acknowledging) -> None:
        self.store = store
        self._acknowledging = acknowledging

    def check(self, items: Sequence[WriteItem], prefixes: tuple[str, ...]) -> Intake:
        """The writes that ``items`` are for one who may write below ``prefixes``, and which are refused."""
        return read_writes(items, prefixes, self.store.cut)

    def begin(self, writes: Sequence[Write], size: int) -> asyncio.Future[Result]:
        """Have writes carried out, which hold ``size`` bytes; what became of them, once that may be said. Raises
        :class:`BiaoshiError` where nothing may be written now."""
        self._acknowledging.check()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result) -> None:
            if not future.done():  # whoever waited has gone
                future.set_result(result)

        self._acknowledging.carry_out(writes, size, done)
        return future

    async def one(self, call: Call, item: WriteItem) -> Outcome:
        """Carry out a single write. Raises :class:`BiaoshiError`."""
        intake = self.check([item], call.caller.prefixes)
        if intake.refused:
            raise refusal_of(intake.refused[0])
        result = await self.begin(intake.writes, len(call.raw))
        if isinstance(result, BiaoshiError):
            raise result
        return result[0]


def require_right(call: Call, prefix: str) -> None:
    """Whether a caller may see and write what is below ``prefix`` (normal form). Raises :class:`Refused`."""
    if not permits(call.caller.prefixes, prefix):
        raise Refused(OTHER_PREFIX, OTHER_PREFIX.status, prefix=prefix)
