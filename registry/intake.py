"""Writes as they come from a client: checked, permitted, or refused each with its reason.

A batch of ordinary writes is checked as a whole, with few calls per write; where anything is out of the ordinary each
is looked at by itself. Both ways accept the same writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from protocol.errors import BiaoshiError, MessageError, RecordError, Refused
from protocol.identifiers import normal
from protocol.kept import any_templated, is_templated
from protocol.limits import MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES
from protocol.messages import BAD_ARGUMENTS, failure_payload
from protocol.records import State, are_public, check_values, decode_values_of_all
from protocol.referrals import Cut
from protocol.status import Status
from protocol.templates import Problems
from registry.gate import Barrier
from registry.rights import DELEGATED, OTHER_PREFIX, permits
from registry.store.writes import RESUME, SUSPEND, Write

MAX_VERSION: Final = (1 << 63) - 1

_LEAST_QUICK: Final = 16
"""Writes in a batch before checking it as a whole is worth its own cost."""

# A line for each identifier that is ASCII and in normal form; the general rules are in protocol.identifiers.
# No possessive groups: before 3.11.5 Python took "88.1./x" for a match of (?:\.[^.]++)*+ (its issue 106052).
_SEGMENT: Final = rb"[^\x00-\x1f\x7f-\xff/.a-z]++"
_NORMAL_LINES: Final = re.compile(
    rb"(?:(?=[^/]{1,%d}/)%s(?:\.%s)*/[\x20-\x7e]++\n)*" % (MAX_PREFIX_BYTES, _SEGMENT, _SEGMENT)
)
_ALL_PUBLIC: Final = frozenset(bits for bits in range(16) if bits & 2)
_BYTES: Final = {bytes}
_COMPARES: Final = {int, type(None)}
_first_byte: Final = itemgetter(0)
_index_of: Final = attrgetter("index")
_permissions_of: Final = attrgetter("permissions")
_readers_of: Final = attrgetter("readers")

REFUSALS_BYTES: Final = 256 << 10
"""Bytes of sentences about items of records that break their template, in one answer: after so many it says only which
records do."""

CheckTemplated = Callable[[str, bytes], None]
"""Checks values of the second form, below a prefix, against its template (``registry.templates.checking``). Raises
:class:`BiaoshiError`."""

_SWITCHES: Final = {State.SUSPENDED: SUSPEND, State.ACTIVE: RESUME}

_MARK_BYTES: Final = 16
"""Bytes that a client would have to guess to have one record taken for another."""

_CACHED: Final = 256
"""Records looked at together: what is decoded of them stays in the processor's cache."""

_make_write: Final = partial(tuple.__new__, Write)  # what Write._make does, without its call


class Intake(NamedTuple):
    """A batch after checking: the writes to be carried out, and the refusals by their place in the batch."""

    writes: list[Write]
    refused: dict[int, object]


def read_writes(
    items: Sequence[object],
    prefixes: tuple[str, ...],
    cut: Callable[[str], Cut | None],
    barrier: Barrier,
    check_templated: CheckTemplated,
) -> Intake:
    """Check the items of a write request from a caller who may write below ``prefixes``. ``cut`` is a store's: where a
    prefix is delegated nobody would ever see what is registered here. What was there before may be withdrawn.
    ``barrier`` gives the reason for which nobody may write below a prefix, as it is suspended, say."""
    if len(items) >= _LEAST_QUICK:
        writes = _read_quickly(items, prefixes, cut, barrier, check_templated)
        if writes is not None:
            return Intake(writes, {})
    intake = Intake([], {})
    cut, barrier = cache(cut), cache(barrier)  # one look for all items of a prefix
    room = REFUSALS_BYTES
    for i, item in enumerate(items):
        try:
            write = read_write(item)
            prefix = write.identifier.partition(b"/")[0].decode()
            if not permits(prefixes, prefix):
                raise Refused(OTHER_PREFIX, Status.NOT_PERMITTED, prefix=prefix)
            refused = barrier(prefix)
            if refused is not None:
                raise refused
            delegated = None if write.values is None else cut(prefix)
            if delegated is not None:
                raise Refused(DELEGATED, DELEGATED.status, prefix=prefix, child=delegated.child)
            if write.values is not None and is_templated(write.values):
                check_templated(prefix, write.values)
            intake.writes.append(write)
        except Problems as error:
            shown = error if room > 0 else error.shortened()
            room -= len(str(error).encode()) + len(error.message("zh").encode())
            intake.refused[i] = (int(error.status), failure_payload(shown), False)
        except BiaoshiError as error:
            intake.refused[i] = (int(error.status), failure_payload(error), False)
    return intake


def read_write(item: object) -> Write:
    """Check one item of a write request. Values that follow a template are still to be checked against it. Raises
    :class:`BiaoshiError` that says what is wrong with it."""
    raw, compare, values = read_item(item)
    identifier = normal(raw)
    if values is None:
        return Write(identifier, compare, None, restricted=False)
    if is_templated(values):
        return Write(identifier, compare, values, restricted=False)
    restricted = values in (SUSPEND, RESUME) or not all(value.public for value in check_values(values))
    return Write(identifier, compare, values, restricted)


def read_item(item: object) -> tuple[bytes, int | None, bytes | None]:
    """The parts of one item of a write request, of which only the shape is checked; what stands for the values becomes
    what a :class:`Write` has in their place. Raises :class:`MessageError`."""
    match item:
        case (bytes(raw), (None | int()) as compare, (None | bytes()) as values) if (
            _is_compare(compare) and values not in _SWITCHES.values()
        ):
            return raw, compare, values
        case (bytes(raw), (None | int()) as compare, int(state)) if (
            _is_compare(compare) and type(state) is int and state in _SWITCHES
        ):
            return raw, compare, _SWITCHES[State(state)]
    reason = "a write is [identifier, compare, values|nil|0|2]"
    raise MessageError(BAD_ARGUMENTS, operation="write", reason=reason)


def _is_compare(compare: int | None) -> bool:
    return compare is None or (type(compare) is int and 0 <= compare <= MAX_VERSION)


def _read_quickly(
    items: Sequence[object],
    prefixes: tuple[str, ...],
    cut: Callable[[str], Cut | None],
    barrier: Barrier,
    check_templated: CheckTemplated,
) -> list[Write] | None:
    """The writes of a batch in which all is as usual; None where something is not, or is not allowed."""
    try:
        identifiers, compares, values = zip(*items, strict=True)
    except (TypeError, ValueError):
        return None
    if set(map(type, identifiers)) != _BYTES or set(map(type, values)) != _BYTES:
        return None
    if not set(map(type, compares)) <= _COMPARES or not all(0 <= (one or 0) <= MAX_VERSION for one in set(compares)):
        return None
    if max(map(len, identifiers)) > MAX_IDENTIFIER_BYTES:
        return None
    # A line feed inside an identifier would make two lines of it, which the count shows.
    lines = b"\n".join((*identifiers, b""))
    if lines.count(b"\n") != len(identifiers) or _NORMAL_LINES.fullmatch(lines) is None:
        return None
    for prefix in map(bytes.decode, _prefixes(identifiers, lines)):
        if not permits(prefixes, prefix) or barrier(prefix) is not None or cut(prefix) is not None:
            return None
    try:
        if any_templated(values):
            restricted = list(map(partial(_restricted_or_templated, check_templated), identifiers, values))
        else:
            restricted = _restricted(values)
    except RecordError:
        return None
    return list(map(_make_write, zip(identifiers, compares, values, restricted, strict=True)))


def _prefixes(identifiers: Sequence[bytes], lines: bytes) -> set[bytes]:
    """The prefixes of ``identifiers``, which stand in ``lines`` one on each."""
    first = identifiers[0].partition(b"/")[0]
    if lines.count(b"\n" + first + b"/") == len(identifiers) - 1:
        return {first}
    return {identifier.partition(b"/")[0] for identifier in identifiers}


def _restricted(values: Sequence[bytes]) -> list[bool]:
    """Of each record whether some value is not for everybody. Raises :class:`RecordError` where one is not right."""
    restricted: list[bool] = []
    mark = os.urandom(_MARK_BYTES)
    for start in range(0, len(values), _CACHED):
        part = values[start : start + _CACHED]
        if _are_plain(part, mark):
            restricted += [False] * len(part)
        else:
            restricted += [not are_public(encoded) for encoded in part]
    return restricted


def _restricted_or_templated(check_templated: CheckTemplated, identifier: bytes, values: bytes) -> bool:
    """The same for one record, which may follow a template."""
    if is_templated(values):
        check_templated(identifier.partition(b"/")[0].decode(), values)
        return False
    return not are_public(values)


def _are_plain(values: Sequence[bytes], mark: bytes) -> bool:
    """Whether all records have the same indexes in the same order, none twice, and all their values are for everybody.
    Raises :class:`RecordError` where one is not right."""
    if not all(values) or len(set(map(_first_byte, values))) > 1:  # not all have as many values
        return False
    columns = list(zip(*decode_values_of_all(values, mark), strict=True))
    indexes = {column[0].index for column in columns}
    return len(indexes) == len(columns) and all(
        len(set(map(_index_of, column))) == 1
        and _ALL_PUBLIC.issuperset(map(_permissions_of, column))
        and not any(map(_readers_of, column))
        for column in columns
    )
