"""Prefixes: the steps of their lives, and how much history their records keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from protocol.identifiers import normal_prefix
from registry.api.changing import Changing, CursorQuery
from registry.api.routing import Answer, Call, Handler, Route
from registry.changes import Change
from registry.enterprises.bodies import AllotmentView, Transfer, Why
from registry.policies import Policies, PolicyView
from registry.store.callers.permissions import Caller
from registry.store.history import Days, Policy, Versions


class PrefixesShown(msgspec.Struct):
    """Prefixes that were given to enterprises. `cursor` continues the list, null at its end."""

    prefixes: list[AllotmentView]
    cursor: str | None


class PolicyInput(msgspec.Struct, forbid_unknown_fields=True):
    """How many earlier versions of a record are kept, and for how many days after they gave way to the next."""

    versions: Versions
    days: Days


class PrefixesDesk:
    """The operations."""

    def __init__(self, changing: Changing, policies: Policies) -> None:
        self._changing = changing
        self._policies = policies

    async def list(self, call: Call, body: None) -> Answer:
        """A page of all."""
        query: CursorQuery = call.query
        service = self._changing.accounts.enterprises
        return Answer(
            200, PrefixesShown(*service.allotments(call.caller, query.after, query.limit, self._changing.now))
        )

    async def get(self, call: Call, body: None) -> Answer:
        """One of them."""
        service = self._changing.accounts.enterprises
        return Answer(200, service.allotment(call.caller, prefix_of(call), self._changing.now))

    def step(self, take: Callable[[Caller, str, int], Change[Any]]) -> Handler:
        """The handler of a step that needs no more to be said."""

        async def handle(call: Call, body: None) -> Answer:
            return await self._changing.answer(take(call.caller, prefix_of(call), self._changing.now))

        return handle

    def told_step(self, take: Callable[[Caller, str, Any, int], Change[Any]]) -> Handler:
        """The handler of a step that is told why."""

        async def handle(call: Call, body: Any) -> Answer:
            return await self._changing.answer(take(call.caller, prefix_of(call), body, self._changing.now))

        return handle

    async def policy(self, call: Call, body: None) -> Answer:
        """The policy that holds."""
        return Answer(200, self._policies.policy(call.caller, prefix_of(call), self._changing.now))

    async def set_policy(self, call: Call, body: PolicyInput) -> Answer:
        """Set it."""
        policy = Policy(body.versions, body.days)
        change = self._policies.change(call.caller, prefix_of(call), policy, self._changing.now)
        return await self._changing.answer(change)

    async def clear_policy(self, call: Call, body: None) -> Answer:
        """Take it away: that of the prefix above holds again."""
        change = self._policies.change(call.caller, prefix_of(call), None, self._changing.now)
        return await self._changing.answer(change)


def prefix_of(call: Call) -> str:
    """The prefix in a path, in normal form. Raises :class:`~protocol.errors.IdentifierError`."""
    return normal_prefix(call.parameters["prefix"]).decode()


def routes(changing: Changing, policies: Policies) -> list[Route]:
    """The routes of this subject."""
    desk, service = PrefixesDesk(changing, policies), changing.accounts.enterprises
    one = "/api/v1/prefixes/{prefix}"
    shown, policy = {200: AllotmentView}, {200: PolicyView}
    return [
        Route("GET", "/api/v1/prefixes", "list_prefixes", "List the prefixes that were given", desk.list,
              {200: PrefixesShown}, query=CursorQuery),
        Route("GET", one, "get_prefix", "Get a prefix that was given", desk.get, shown),
        Route("POST", one + "/host", "host_prefix", "Serve a prefix from this node", desk.step(service.host), shown),
        Route("POST", one + "/delegate", "delegate_prefix", "Note that a prefix is served by the enterprise's own node",
              desk.step(service.delegate), shown),
        Route("POST", one + "/suspend", "suspend_prefix", "Have everything below a prefix answer 'suspended'",
              desk.told_step(service.suspend), shown, body=Why),
        Route("POST", one + "/resume", "resume_prefix", "Have a suspended prefix be as it was",
              desk.told_step(service.resume), shown, body=Why),
        Route("POST", one + "/close", "close_prefix", "Have everything below a prefix answer 'withdrawn', for good",
              desk.told_step(service.close_prefix), shown, body=Why),
        Route("POST", one + "/transfer", "transfer_prefix", "Begin to move a prefix to another node",
              desk.told_step(service.transfer), shown, body=Transfer),
        Route("POST", one + "/arrive", "arrive_prefix", "End a move", desk.step(service.arrive), shown),
        Route("GET", one + "/policy", "get_policy", "How much history the records of a prefix keep", desk.policy,
              policy),
        Route("PUT", one + "/policy", "set_policy", "Say how much history they keep", desk.set_policy, policy,
              body=PolicyInput),
        Route("DELETE", one + "/policy", "clear_policy", "Have the policy of the prefix above hold again",
              desk.clear_policy, policy),
    ]  # fmt: skip
