"""Which prefixes can be given. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import Refused, Rule
from protocol.identifiers import covers
from protocol.status import Status

FIRST_NUMBER: Final = 1
NUMBER_DIGITS: Final = 5
"""Digits of the numbers that are given out in order: the field's enterprise prefixes have five."""

OUTSIDE: Final = Rule(
    "prefix.outside",
    Status.BAD_REQUEST,
    "'{prefix}' does not lie below this node's zone '{zone}'",
    "“{prefix}”不在本节点区域“{zone}”之下",
)
TAKEN: Final = Rule(
    "prefix.taken",
    Status.EXISTS,
    "'{prefix}' cannot be given: '{other}' was given already",
    "“{prefix}”不能分配：“{other}”已分配",
)
DELEGATED: Final = Rule(
    "prefix.delegated",
    Status.EXISTS,
    "'{prefix}' cannot be given: '{other}' is delegated to another node",
    "“{prefix}”不能分配：“{other}”已授权给其他节点",
)
NO_NUMBERS: Final = Rule(
    "prefix.no-numbers",
    Status.CONFLICT,
    "there is no free prefix of {digits} digits below '{zone}' any more; ask for one by name",
    "“{zone}”之下已没有 {digits} 位的空闲前缀，请指定前缀",
)

Near = Callable[[str], str | None]
"""Gives a prefix at, above or below the one it is asked about; None where there is none."""


def check_free(zone: str, prefix: str, allotted: Near, delegated: Near) -> None:
    """See that ``prefix`` (normal form) can be given. Raises :class:`Refused`."""
    if prefix == zone or not covers(zone, prefix):
        raise Refused(OUTSIDE, OUTSIDE.status, prefix=prefix, zone=zone)
    other = allotted(prefix)
    if other is not None:
        raise Refused(TAKEN, TAKEN.status, prefix=prefix, other=other)
    other = delegated(prefix)
    if other is not None:
        raise Refused(DELEGATED, DELEGATED.status, prefix=prefix, other=other)


def next_free(zone: str, start: int, digits: int, allotted: Near, delegated: Near) -> tuple[str, int]:
    """The next number from ``start`` on whose prefix can be given, and that prefix. Raises :class:`Refused`."""
    number = start
    while number < 10**digits:
        prefix = f"{zone}.{number:0{digits}d}" if zone else f"{number:0{digits}d}"
        if allotted(prefix) is None and delegated(prefix) is None:
            return prefix, number
        number += 1
    raise Refused(NO_NUMBERS, NO_NUMBERS.status, digits=digits, zone=zone)
