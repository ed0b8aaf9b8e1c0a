"""Writes of API calls on their way: checked and permitted as natively, carried out with everybody's, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from protocol.errors import BiaoshiError, Refused
from protocol.messages import failure_payload
from protocol.status import Status
from registry.acknowledging import Acknowledging
from registry.api.items import SeriesItem, WriteItem, not_carried_out, refusal_of
from registry.api.routing import Call
from registry.gate import Barrier, Gate
from registry.intake import Intake, read_writes
from registry.rights import OTHER_PREFIX, permits
from registry.series.desk import SeriesDesk
from registry.store.callers.permissions import Caller, Operation, where, within
from registry.store.interface import Store
from registry.store.series import is_series, series_of
from registry.store.writes import Outcome, Write
from registry.templates.checking import Checkers

Result = list[Outcome] | BiaoshiError


def name_of(write: Write) -> str:
    """The identifier, or the pattern of the series, that a write is about."""
    return str(series_of(write.identifier)) if is_series(write.identifier) else write.identifier.decode()


class Writing:
    """What writes need: the store, for what is delegated; ``barrier``, what is in the way of writing, whoever asks;
    ``checkers``, the templates that are followed; and where they are carried out. ``clock`` gives seconds since
    1970."""

    def __init__(
        self,
        store: Store,
        acknowledging: Acknowledging,
        barrier: Barrier,
        checkers: Checkers,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self._acknowledging = acknowledging
        self._barrier = barrier
        self.checkers = checkers
        self._clock = clock

    def check(self, items: Sequence[WriteItem | SeriesItem], caller: Caller, below: str | None = None) -> Intake:
        """The writes that ``items`` are, coming from ``caller`` and, where it is given, to lie ``below`` one prefix;
        and which are refused."""
        prefixes = where(caller, Operation.RECORD_WRITE, int(self._clock()))
        if below is not None:
            prefixes = within(prefixes, (below,))
        if SeriesItem not in set(map(type, items)):
            return read_writes(items, prefixes, self.store.cut, self._barrier, self.checkers.check)
        writes, refused = list[Write](), dict[int, object]()
        desk = self.series(caller)
        for i, item in enumerate(items):
            if isinstance(item, SeriesItem):
                try:
                    write = desk.read(tuple(item))
                    if not permits(prefixes, series_of(write.identifier).prefix):
                        raise Refused(OTHER_PREFIX, OTHER_PREFIX.status, prefix=series_of(write.identifier).prefix)
                    writes.append(write)
                except BiaoshiError as error:
                    refused[i] = (int(error.status), failure_payload(error), False)
                continue
            one = read_writes([item], prefixes, self.store.cut, self._barrier, self.checkers.check)
            writes += one.writes
            if one.refused:
                refused[i] = one.refused[0]
        return Intake(writes, refused)

    def series(self, caller: Caller) -> SeriesDesk:
        """What reads series that a caller writes."""
        return SeriesDesk(self.store, self.checkers, self.gate(caller))

    def failure(self, write: Write, outcome: Outcome, caller: Caller) -> BiaoshiError | None:
        """The error that an outcome of a write is; None for OK."""
        if outcome.status is Status.OK:
            return None
        found = self.series(caller).refusal(write, outcome) if is_series(write.identifier) else None
        return found or not_carried_out(name_of(write), outcome)

    def check_open(self) -> None:
        """Raise :class:`BiaoshiError` where nothing may be written now."""
        self._acknowledging.check()

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
        intake = self.check([item], call.caller)
        if intake.refused:
            raise refusal_of(intake.refused[0])
        result = await self.begin(intake.writes, len(call.raw))
        if isinstance(result, BiaoshiError):
            raise result
        return result[0]

    def gate(self, caller: Caller) -> Gate:
        """What lets a caller through."""
        return Gate(lambda: caller, self._barrier, self._clock)
