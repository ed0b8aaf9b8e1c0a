"""Rules in the store: system records under ``\\x01counter/‹prefix›/‹rule›``, with the number that comes next."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from protocol.errors import Rule, StoreError
from protocol.status import Status
from registry.minting.rules import MintRule
from registry.store.system import child_of, read_system, system_identifier, system_write
from registry.store.writes import Write

COUNTERS: Final = b"\x01counter"
_TYPE: Final = "RULE"
_FORMAT: Final = 1

DAMAGED: Final = Rule(
    "minting.damaged",
    Status.STORE_FAILED,
    "the stored rule '{rule}' is damaged: {reason}",
    "存储的规则“{rule}”已损坏：{reason}",
)


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    format: Annotated[int, msgspec.Meta(ge=_FORMAT, le=_FORMAT)]
    text: str
    zone: str
    following: Annotated[int, msgspec.Meta(ge=0)]


class KeptRule(msgspec.Struct, frozen=True):
    """A rule as of ``version`` of its record; ``following`` is the place in its series of the next number."""

    rule: MintRule
    version: int
    following: int


def rule_identifier(prefix: str, name: str) -> bytes:
    """Where the record of a rule stands."""
    return system_identifier(COUNTERS, f"{prefix}/{name}")


def rule_write(rule: MintRule, following: int, compare: int | None) -> Write:
    """The write that keeps a rule with its next number."""
    raw = msgspec.msgpack.encode(_Stored(_FORMAT, rule.text, rule.zone, following))
    return system_write(COUNTERS, f"{rule.prefix}/{rule.name}", {_TYPE: raw}, compare)


def read_rule(identifier: bytes, body: bytes | None) -> KeptRule | None:
    """The rule in a record, None where there is none. Raises :class:`StoreError`."""
    version, contents = read_system(body)
    if contents is None:
        return None
    prefix, _, name = child_of(identifier).partition("/")
    try:
        stored = msgspec.msgpack.decode(contents[_TYPE], type=_Stored)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreError(DAMAGED, rule=f"{prefix}/{name}", reason=str(error)) from None
    return KeptRule(MintRule(prefix, name, stored.text, stored.zone), version, stored.following)
