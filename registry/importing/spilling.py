"""The sorting phase: read the source, map its rows, spill them as sorted runs, with a checkpoint after each run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol, TypeVar

from protocol.errors import InvalidInput
from registry.importing.account import Account
from registry.importing.options import Tuning
from registry.importing.sorting import ROW_BYTES, write_run
from registry.importing.sources import Source
from registry.importing.state import LOADING, own_files, run_name

Payload = TypeVar("Payload")
Payload_contra = TypeVar("Payload_contra", contravariant=True)

_CHUNK_ROWS: Final = 512
"""Rows between two looks at size and clock."""


class Mapping(Protocol[Payload_contra]):
    """Makes a record of what a source gives for one row."""

    @property
    def convert(self) -> Callable[[Payload_contra], tuple[bytes, bytes]]:
        """Identifier in normal form and encoded values; raises :class:`InvalidInput`."""

    def shown(self, payload: Payload_contra, /) -> str:
        """The identifier of a refused row."""

    def is_blank(self, payload: Payload_contra, /) -> bool:
        """Whether there is nothing in the row."""


async def spill(account: Account, source: Source[Payload], mapping: Mapping[Payload], tuning: Tuning) -> None:
    """Read ``source`` from where the account is to its end. Rows of earlier runs are passed over unmapped.

    Raises :class:`SettingsError` where files fail; the account then still stands at its last checkpoint.
    """
    state = account.state
    convert = mapping.convert
    elements: list[bytes] = []
    add, join = elements.append, b"".join
    size, row = 0, state.row
    rows = source.rows(account.refuse, row)
    chunk = min(_CHUNK_ROWS, tuning.run_rows)
    ended = False
    while not ended:
        begin, before = len(elements), row
        for row, payload in islice(rows, chunk):
            try:
                identifier, values = convert(payload)
            except InvalidInput as fault:
                if not mapping.is_blank(payload):
                    account.refuse(row, mapping.shown(payload), fault)
                continue
            # As sorting.element_of does; a call for each row would be felt.
            add(join((identifier, b"\0", row.to_bytes(ROW_BYTES, "big"), values)))
        ended = row == before
        size += sum(map(len, elements[begin:]))
        if ended or size >= tuning.run_bytes or len(elements) >= tuning.run_rows:
            if elements:
                with own_files(account.directory):
                    state.runs.append(write_run(account.directory, run_name(len(state.runs)), elements, tuning))
            state.spilled += len(elements)
            state.row = row
            if ended:
                state.phase = LOADING
                state.rows = state.spilled + state.refused
            account.checkpoint()
            elements.clear()
            size = 0
        account.tell(source.position(), state.spilled + len(elements) + state.refused)
        # A connection may have to be kept alive in the meantime.
        await asyncio.sleep(0)
