"""Changes of what a zone keeps about enterprises and identities: what services give, before it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from registry.store.writes import Write

Result = TypeVar("Result", covariant=True)


class Event(NamedTuple):
    """What the audit log is to say of one write. ``write`` is its place among the writes of the change; ``version``
    that which the record has then."""

    actor: str
    action: str
    write: int
    version: int
    reason: str = ""
    details: Mapping[str, str] = {}


class Change(NamedTuple, Generic[Result]):
    """What becomes of a request that was allowed: ``writes`` of system records, in the order in which they rest on each
    other; ``events`` about them; and the ``result`` for who asked, once all of it is durable. Without writes there was
    nothing to do."""

    events: tuple[Event, ...]
    writes: tuple[Write, ...]
    result: Result
