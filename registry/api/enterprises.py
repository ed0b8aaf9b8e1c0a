"""Enterprises: who applied, what became of it, and their prefixes."""

from __future__ import annotations

import msgspec

from registry.api.changing import Changing, CursorQuery
from registry.api.routing import Answer, Call, Route, text_of
from registry.enterprises.bodies import Allot, AllotmentView, Application, Contact, EnterpriseView, Why


class EnterprisesShown(msgspec.Struct):
    """Enterprises in the order of their credit codes. `cursor` continues the list, null at its end."""

    enterprises: list[EnterpriseView]
    cursor: str | None


class EnterprisesDesk:
    """The operations."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing
        self._service = changing.accounts.enterprises

    async def apply(self, call: Call, body: Application) -> Answer:
        """Take an application."""
        return await self._changing.answer(self._service.apply(call.caller, body, self._changing.now), 201)

    async def list(self, call: Call, body: None) -> Answer:
        """A page of all."""
        query: CursorQuery = call.query
        shown = self._service.enterprises(call.caller, query.after, query.limit, self._changing.now)
        return Answer(200, EnterprisesShown(*shown))

    async def get(self, call: Call, body: None) -> Answer:
        """One of them."""
        return Answer(200, self._service.enterprise(call.caller, text_of(call, "code"), self._changing.now))

    async def approve(self, call: Call, body: None) -> Answer:
        """Accept an application."""
        change = self._service.approve(call.caller, text_of(call, "code"), self._changing.now)
        return await self._changing.answer(change)

    async def refuse(self, call: Call, body: Why) -> Answer:
        """Turn one down."""
        change = self._service.refuse(call.caller, text_of(call, "code"), body, self._changing.now)
        return await self._changing.answer(change)

    async def close(self, call: Call, body: Why) -> Answer:
        """End with one that has no open prefix any more."""
        change = self._service.close(call.caller, text_of(call, "code"), body, self._changing.now)
        return await self._changing.answer(change)

    async def change_contact(self, call: Call, body: Contact) -> Answer:
        """Replace the contact."""
        change = self._service.change_contact(call.caller, text_of(call, "code"), body, self._changing.now)
        return await self._changing.answer(change)

    async def allot(self, call: Call, body: Allot) -> Answer:
        """Give a prefix."""
        change = self._service.allot(call.caller, text_of(call, "code"), body, self._changing.now)
        return await self._changing.answer(change, 201)


def routes(changing: Changing) -> list[Route]:
    """The routes of this subject."""
    desk = EnterprisesDesk(changing)
    every, one = "/api/v1/enterprises", "/api/v1/enterprises/{code}"
    shown = {200: EnterpriseView}
    return [
        Route("POST", every, "apply", "Apply for an organisation", desk.apply, {201: EnterpriseView}, body=Application),
        Route("GET", every, "list_enterprises", "List enterprises", desk.list, {200: EnterprisesShown},
              query=CursorQuery),
        Route("GET", one, "get_enterprise", "Get an enterprise", desk.get, shown),
        Route("POST", one + "/approve", "approve_enterprise", "Accept an application", desk.approve, shown),
        Route("POST", one + "/refuse", "refuse_enterprise", "Turn an application down, with the reason", desk.refuse,
              shown, body=Why),
        Route("POST", one + "/close", "close_enterprise", "End with an enterprise whose prefixes are closed",
              desk.close, shown, body=Why),
        Route("PUT", one + "/contact", "change_contact", "Replace the contact of an enterprise", desk.change_contact,
              shown, body=Contact),
        Route("POST", one + "/prefixes", "allot_prefix", "Give an enterprise a prefix", desk.allot,
              {201: AllotmentView}, body=Allot),
    ]  # fmt: skip
