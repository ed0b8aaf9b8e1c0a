"""Prefixes that were given to enterprises, as far as answering depends on them.

An allotment is a system record under its prefix (``system``). Below one that is *suspended* or *closed* nobody is
answered, whatever is registered there, and nobody is referred elsewhere: the status says which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from protocol.errors import Rule, StoreError
from protocol.status import Status
from registry.store.system import at_and_above, read_system, system_identifier

ALLOTMENTS: Final = b"\x01allotment"
DATA: Final = "DATA"
"""The type of the value that holds a structured system record, in MessagePack."""

BAD_ALLOTMENT: Final = Rule(
    "store.bad-allotment",
    Status.STORE_FAILED,
    "the stored allotment of '{prefix}' is damaged: {reason}",
    "“{prefix}”的前缀分配记录已损坏：{reason}",
)


class Stage(IntEnum):
    """How an allotted prefix stands. Numbers are stored."""

    ALLOTTED = 0
    """Given, and not yet opened: nothing may be registered."""
    HOSTED = 1
    """Served by this node."""
    DELEGATED = 2
    """Served by the enterprise's own node."""
    SUSPENDED = 3
    CLOSED = 4
    TRANSFERRING = 5
    """On its way to another node: still served here, and no longer written to."""
    TRANSFERRED = 6
    """Served by another node, which has its records; those that are still here are cut off."""


CLOSURES: Final = {Stage.SUSPENDED: Status.SUSPENDED, Stage.CLOSED: Status.WITHDRAWN}
"""What is answered below a prefix that stands so."""


class _Head(msgspec.Struct, array_like=True):
    """What every allotment begins with."""

    format: int
    stage: Stage


_decode: Final = msgspec.msgpack.Decoder(_Head).decode


def find_closure(find: Callable[[bytes], bytes | None], prefix: str) -> Status | None:
    """What stands in the way of answering below ``prefix`` (normal form): SUSPENDED or WITHDRAWN; None where nothing
    does. ``find`` is a store's. Raises :class:`StoreError`."""
    for above in at_and_above(prefix):
        stage = find_stage(find, above)
        if stage in CLOSURES:
            return CLOSURES[stage]
    return None


def find_stage(find: Callable[[bytes], bytes | None], prefix: str) -> Stage | None:
    """How a prefix stands; None where it is not allotted. Raises :class:`StoreError`."""
    _, contents = read_system(find(system_identifier(ALLOTMENTS, prefix)))
    if contents is None:
        return None
    try:
        return _decode(contents[DATA]).stage
    except (KeyError, msgspec.DecodeError) as error:
        raise StoreError(BAD_ALLOTMENT, prefix=prefix, reason=str(error)) from None
