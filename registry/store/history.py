"""Earlier versions of records: how many are kept, and what stood at some time.

``\\x01policy/‹prefix›`` says how many earlier versions of a record of this prefix, and of those below it, are kept and
for how long; the nearest one at or above a prefix holds. A version is let go when the record changes again, so a
record that does not change keeps what it has. Copies keep the versions that they have taken: of changes that came
together while they were away, the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Final

import msgspec

from protocol.errors import Refused, Rule
from protocol.records import split_body
from protocol.status import Status
from registry.store.system import POLICIES, at_and_above, read_system, system_identifier, system_write
from registry.store.writes import ANY, Write

MAX_VERSIONS: Final = 100
"""Earlier versions of one record. Each change goes through their keys."""

MAX_DAYS: Final = 36_500
"""Days for which an earlier version may be kept: a hundred years."""

FORGOTTEN: Final = Rule(
    "history.forgotten",
    Status.FORGOTTEN,
    "what {identifier} was then is not kept any more",
    "{identifier} 当时的内容已不再保存",
)

_DAY_SECONDS: Final = 86_400
_DATA: Final = "POLICY"


class Policy(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How many earlier versions of a record are kept, and for how many days after they gave way to the next."""

    versions: Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSIONS)] = 8
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] = 3_650


DEFAULT: Final = Policy()
NONE: Final = Policy(versions=0)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Policy).decode


def policy_write(prefix: str, policy: Policy | None, compare: int | None = ANY) -> Write:
    """The write that keeps the policy of a prefix; None: that of the prefix above holds again."""
    return system_write(POLICIES, prefix, None if policy is None else {_DATA: _encode(policy)}, compare)


def find_policy(find: Callable[[bytes], bytes | None], prefix: str) -> Policy:
    """The policy that holds for a prefix (normal form). ``find`` is a store's."""
    for above in reversed(list(at_and_above(prefix))):
        _, contents = read_system(find(system_identifier(POLICIES, above)))
        if contents is not None:
            return _decode(contents[_DATA])
    return DEFAULT


def how_many(policy: Policy, count: int, time_of: Callable[[int], int], now: int) -> int:
    """How many of ``count`` earlier versions stay, the newest of which gives way at ``now``. ``time_of`` gives the time
    of one, in seconds, by its place from the newest, which is 0."""
    staying = min(count, policy.versions)
    while staying > 1 and time_of(staying - 2) < now - policy.days * _DAY_SECONDS:
        staying -= 1  # it gave way when the one before it in place came
    return staying


def as_of(identifier: bytes, bodies: Iterable[bytes], at: int) -> bytes | None:
    """Of a record's bodies, the newest first, the one that stood at a time, in seconds; None where there was none yet.
    Raises :class:`Refused` where it is not kept any more."""
    version = 1
    for body in bodies:
        head = split_body(body)
        if head.time <= at:
            return body
        version = head.version
    if version > 1:
        raise Refused(FORGOTTEN, FORGOTTEN.status, identifier=identifier.decode("utf-8", "replace"))
    return None
