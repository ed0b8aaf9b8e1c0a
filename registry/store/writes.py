"""Writes and their outcomes: what a registration, update or withdrawal is, before and after the store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import lt
from typing import Final, NamedTuple

from protocol.status import Status

ANY: Final = None
"""Compare: write whatever is there."""

ABSENT: Final = 0
"""Compare: write only where no active record is. A version number above 0 asks for just that version."""


SUSPEND: Final = b"suspend"
"""In place of values: what is registered is kept and not shown, until it is resumed. No encoded values begin so."""

RESUME: Final = b"resume"
"""In place of values: what was suspended is shown again."""


class Write(NamedTuple):
    """One wish about one record.

    ``identifier`` is in normal form (UTF-8). ``compare`` is ``ANY``, ``ABSENT`` or a version. ``values`` are encoded
    and checked (``protocol.records``); None withdraws the record, ``SUSPEND`` and ``RESUME`` keep the
    values that it has. Where the wanted content is there already the write succeeds and changes nothing, so that
    sending it again is always safe. ``restricted`` says that some value may not be for everybody: True is always right,
    False makes reading faster and must be known from the values.
    """

    identifier: bytes
    compare: int | None
    values: bytes | None
    restricted: bool = True


class Outcome(NamedTuple):
    """What became of a write: OK, CONFLICT (another version is there), EXISTS (ABSENT was asked and other content
    is there), NOT_FOUND (nothing to withdraw or update) or WITHDRAWN (nothing to suspend or resume any more).
    ``version`` is the record's version now, 0 where there is none; ``changed`` is False where the wanted content was
    there already or the write failed."""

    status: Status
    version: int
    changed: bool


def ascend(identifiers: Sequence[bytes]) -> bool:
    """Whether each identifier is greater than the one before, as a bulk load wants them."""
    return all(map(lt, identifiers, islice(identifiers, 1, None)))
