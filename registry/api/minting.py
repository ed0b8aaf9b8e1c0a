"""Rules of suffixes, and the next numbers of a rule: each given out once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from protocol.errors import BiaoshiError, Refused
from protocol.limits import MAX_MINTED, MAX_VALUES
from protocol.status import Status
from registry.api.pages import cursor_text, read_system_cursor
from registry.api.prefixes import prefix_of
from registry.api.records import PageQuery
from registry.api.replays import REPEATED
from registry.api.routing import Answer, Call, Route, text_of
from registry.api.writing import Writing
from registry.json_records import JsonValue, encode_json_values
from registry.minting.desk import CHANGED, MintDesk, Reserved
from registry.minting.kept import KeptRule

RULE_BYTES: Final = 1_024
"""What the record of a rule is taken for while it waits for a follower."""


class RuleInput(msgspec.Struct, forbid_unknown_fields=True):
    """A rule: the pattern of a series, in which `{date:%y%m}` stands for the day; its time zone, like `+08:00`."""

    text: Annotated[str, msgspec.Meta(max_length=1_000)]
    zone: Annotated[str, msgspec.Meta(max_length=100)] = "+08:00"


class RuleShown(msgspec.Struct):
    """A rule. `minted` numbers were given out, `left` are left today."""

    prefix: str
    name: str
    text: str
    zone: str
    minted: int
    left: int


class RulesShown(msgspec.Struct):
    """Rules of a prefix and those below it. `cursor` continues the list, null at its end."""

    rules: list[RuleShown]
    cursor: str | None


class MintInput(msgspec.Struct, forbid_unknown_fields=True):
    """How many numbers; with `values` they are registered in the same step, computed text filled in."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINTED)]
    values: Annotated[list[JsonValue], msgspec.Meta(max_length=MAX_VALUES)] | None = None


class MintedShown(msgspec.Struct):
    """Identifiers that nobody else is given, perhaps fewer than asked for; and how many the rule has left today."""

    identifiers: list[str]
    left: int


class MintingDesk:
    """The operations. ``reserved`` is what all doors together have minted (``registry.minting.desk``)."""

    def __init__(self, writing: Writing, clock: Callable[[], float], reserved: Reserved) -> None:
        self._writing = writing
        self._clock = clock
        self._reserved = reserved

    async def set_rule(self, call: Call, body: RuleInput) -> Answer:
        """Make a rule, or change one that has minted nothing."""
        desk, prefix, name = self._desk(call), prefix_of(call), text_of(call, "rule")
        self._writing.check_open()  # before the prefix is closed to other rules
        kept, write = desk.set_rule(prefix, name, body.text, body.zone)
        if write is not None:
            settled = self._writing.begin([write], RULE_BYTES)
            settled.add_done_callback(lambda _: desk.rule_settled(prefix))
            result = await asyncio.shield(settled)  # whoever waits may go; the write is on its way
            if isinstance(result, BiaoshiError):
                raise result
            if result[0].status is not Status.OK:
                raise Refused(CHANGED, CHANGED.status, name=name)
        return Answer(200, _shown(desk, kept))

    async def rules(self, call: Call, body: None) -> Answer:
        """A page of rules."""
        query: PageQuery = call.query
        desk = self._desk(call)
        found, following = desk.rules(prefix_of(call), read_system_cursor(query.cursor), query.limit)
        cursor = None if following is None else cursor_text(following)
        return Answer(200, RulesShown([_shown(desk, kept) for kept in found], cursor))

    async def mint(self, call: Call, body: MintInput) -> Answer:
        """The next numbers."""
        values = None if body.values is None else encode_json_values(body.values)
        self._writing.check_open()  # before numbers are reserved for nothing
        minted = self._desk(call).mint(prefix_of(call), text_of(call, "rule"), body.count, values)
        result = await self._writing.begin(minted.writes, len(call.raw) + RULE_BYTES)
        if isinstance(result, BiaoshiError):
            raise result
        return Answer(200, MintedShown([one.decode() for one in minted.given(result)], minted.left))

    def _desk(self, call: Call) -> MintDesk:
        return MintDesk(self._writing.store, self._writing.gate(call.caller), self._clock, self._reserved)


def _shown(desk: MintDesk, kept: KeptRule) -> RuleShown:
    rule = kept.rule
    return RuleShown(rule.prefix, rule.name, rule.text, rule.zone, kept.following, desk.left(kept))


def routes(writing: Writing, clock: Callable[[], float], reserved: Reserved) -> list[Route]:
    """The routes of this subject."""
    desk = MintingDesk(writing, clock, reserved)
    every = "/api/v1/prefixes/{prefix}/rules"
    return [
        Route("GET", every, "list_rules", "List the rules of suffixes of a prefix", desk.rules, {200: RulesShown},
              query=PageQuery),
        Route("PUT", every + "/{rule}", "set_rule", "Make a rule of suffixes", desk.set_rule, {200: RuleShown},
              body=RuleInput),
        Route("POST", every + "/{rule}/mint", "mint", "Get the next numbers of a rule, each given out once", desk.mint,
              {200: MintedShown}, body=MintInput, headers=(REPEATED,)),
    ]  # fmt: skip
