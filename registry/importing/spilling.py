"""The sorting phase: read the source, map its rows, spill them as sorted runs, with a checkpoint after each run.

While a run is sorted and written by another process, the rows of the next are read here. A run counts only when it is
durable; its checkpoint then says what was true when its last row had been read, whatever has been read since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Protocol, TypeVar

from protocol.errors import InvalidInput
from registry.importing.account import Account
from registry.importing.batch_mapping import BatchMapping
from registry.importing.csv_source import CsvSource
from registry.importing.mapping import TableMapping
from registry.importing.options import Tuning
from registry.importing.run_writer import RunWriter
from registry.importing.sorting import ROW_BYTES, write_run
from registry.importing.sources import BATCH_ROWS, Position, Source
from registry.importing.state import LOADING, JobState, own_files, run_name

Payload = TypeVar("Payload")
Payload_contra = TypeVar("Payload_contra", contravariant=True)

Reading = Iterator[tuple[int, list[bytes]]]
"""Some rows at a time: the number of the last one, and the elements of those that can be used. What has been refused
when it is given stands at or before that row."""


class Mapping(Protocol[Payload_contra]):
    """Makes a record of what a source gives for one row."""

    @property
    def convert(self) -> Callable[[Payload_contra], tuple[bytes, bytes]]:
        """Identifier in normal form and encoded values; raises :class:`InvalidInput`."""

    def shown(self, payload: Payload_contra, /) -> str:
        """The identifier of a refused row."""

    def is_blank(self, payload: Payload_contra, /) -> bool:
        """Whether there is nothing in the row."""


def read_rows(account: Account, source: Source[Payload], mapping: Mapping[Payload], tuning: Tuning) -> Reading:
    """Read ``source`` from where the account is to its end. Rows of earlier runs are passed over unmapped."""
    rows = source.rows(account.refuse, account.state.row)
    while batch := list(islice(rows, min(BATCH_ROWS, tuning.run_rows))):
        yield batch[-1][0], _map_each(account, mapping, batch)


def read_batches(account: Account, source: CsvSource, mapping: TableMapping, tuning: Tuning) -> Reading:
    """The same for CSV, several times as fast where rows are ordinary."""
    together = BatchMapping(mapping)
    for first, rows in source.batches(account.refuse, account.state.row, min(BATCH_ROWS, tuning.run_rows)):
        elements = together.elements(first, rows)
        if elements is None:
            elements = _map_each(account, mapping, enumerate(rows, first))
        yield first + len(rows) - 1, elements


def _map_each(account: Account, mapping: Mapping[Payload], rows: Iterable[tuple[int, Payload]]) -> list[bytes]:
    convert = mapping.convert
    elements: list[bytes] = []
    add, join = elements.append, b"".join
    for row, payload in rows:
        try:
            identifier, values = convert(payload)
        except InvalidInput as fault:
            if not mapping.is_blank(payload):
                account.refuse(row, mapping.shown(payload), fault)
            continue
        # As sorting.element_of does; a call for each row would be felt.
        add(join((identifier, b"\0", row.to_bytes(ROW_BYTES, "big"), values)))
    return elements


async def spill(account: Account, reading: Reading, position: Callable[[], Position], tuning: Tuning) -> None:
    """Spill all that is read. ``position`` is for the progress bar.

    Raises :class:`SettingsError` where files fail; the account then still stands at its last checkpoint.
    """
    state = account.state
    elements: list[bytes] = []
    size = 0
    with closing(_Runs(account, tuning)) as runs:
        for row, more in reading:
            elements += more
            size += sum(map(len, more))
            state.row = row
            if size >= tuning.run_bytes or len(elements) >= tuning.run_rows:
                await runs.add(elements)
                elements, size = [], 0
            account.tell(position(), state.spilled + len(elements) + state.refused)
            # A connection may have to be kept alive in the meantime.
            await asyncio.sleep(0)
        await runs.settle()
    if elements:  # nothing is left to be read meanwhile
        state.spilled += len(elements)
        with own_files(account.directory):
            state.runs.append(write_run(account.directory, run_name(len(state.runs)), elements, tuning))
    state.phase = LOADING
    state.rows = state.spilled + state.refused
    account.checkpoint()


class _Runs:
    """The runs of a job, of which the last may be under way."""

    def __init__(self, account: Account, tuning: Tuning) -> None:
        self._account = account
        self._writer = RunWriter(account.directory, tuning)
        self._mark: JobState | None = None

    async def add(self, elements: list[bytes]) -> None:
        """Begin a run, after the one before."""
        await self.settle()
        account = self._account
        account.state.spilled += len(elements)
        self._mark = account.mark()
        with own_files(account.directory):
            self._writer.begin(run_name(len(account.state.runs)), elements)

    async def settle(self) -> None:
        """Wait for the run that is under way and note it durably."""
        account = self._account
        with own_files(account.directory):
            run = await self._writer.finish()
        if run is not None and self._mark is not None:
            account.state.runs.append(run)
            self._mark.runs.append(run)
            account.checkpoint(self._mark)
            self._mark = None

    def close(self) -> None:
        """Give up a run that is under way; it is made again when the import continues."""
        with own_files(self._account.directory):
            self._writer.close()
