"""Identities, their credentials, and groups."""

from __future__ import annotations

import asyncio

import msgspec

from registry.api.changing import Changing, CursorQuery
from registry.api.prefixes import prefix_of
from registry.api.routing import Answer, Call, Route, text_of
from registry.identities.bodies import (
    ChangeIdentity,
    CredentialView,
    GroupView,
    IdentityView,
    IssuedToken,
    NewGroup,
    NewIdentity,
    NewKey,
    NewPassword,
    NewToken,
)
from registry.identities.secrets import hash_password
from registry.identities.service import Identities


class IdentitiesShown(msgspec.Struct):
    """Identities named directly below a prefix, without their credentials. `cursor` continues the list, null at its
    end."""

    identities: list[IdentityView]
    cursor: str | None


class IdentitiesDesk:
    """The operations."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing
        self._service: Identities = changing.accounts.identities
        self._hashing = asyncio.Lock()

    async def create(self, call: Call, body: NewIdentity) -> Answer:
        """Make an identity."""
        return await self._changing.answer(self._service.create(call.caller, body, self._changing.now), 201)

    async def list(self, call: Call, body: None) -> Answer:
        """A page of those of a prefix."""
        query: CursorQuery = call.query
        shown = self._service.identities(
            call.caller, prefix_of(call), query.after, query.limit, self._changing.now
        )  # fmt: skip
        return Answer(200, IdentitiesShown(*shown))

    async def get(self, call: Call, body: None) -> Answer:
        """One with its credentials."""
        return Answer(200, self._service.identity(call.caller, text_of(call, "identifier"), self._changing.now))

    async def change(self, call: Call, body: ChangeIdentity) -> Answer:
        """Change roles or title, disable it or let it act again."""
        change = self._service.change(call.caller, text_of(call, "identifier"), body, self._changing.now)
        return await self._changing.answer(change)

    async def set_password(self, call: Call, body: NewPassword) -> Answer:
        """Let it prove itself by a password at doors that know nothing better, or take that away."""
        name = text_of(call, "identifier")
        self._service.set_password(call.caller, name, b"", self._changing.now)  # whether they may, before any work
        kept = b""
        if body.password is not None:
            async with self._hashing:  # one at a time: each takes a tenth of a second and 32 MiB
                kept = await asyncio.to_thread(hash_password, body.password)
        change = self._service.set_password(call.ask_again(), name, kept, self._changing.now)
        return await self._changing.answer(change)

    async def issue_token(self, call: Call, body: NewToken) -> Answer:
        """A token, shown this once."""
        change = self._service.issue_token(call.caller, text_of(call, "identifier"), body, self._changing.now)
        return await self._changing.answer(change, 201)

    async def add_key(self, call: Call, body: NewKey) -> Answer:
        """Let a public key speak for it."""
        change = self._service.add_key(call.caller, text_of(call, "identifier"), body, self._changing.now)
        return await self._changing.answer(change, 201)

    async def revoke(self, call: Call, body: None) -> Answer:
        """Put a token or key out of use."""
        name, credential = text_of(call, "identifier"), text_of(call, "credential")
        return await self._changing.answer(self._service.revoke(call.caller, name, credential, self._changing.now))

    async def put_group(self, call: Call, body: NewGroup) -> Answer:
        """Make a group, or replace its members."""
        change = self._service.put_group(call.caller, text_of(call, "identifier"), body, self._changing.now)
        return await self._changing.answer(change)

    async def group(self, call: Call, body: None) -> Answer:
        """One group."""
        return Answer(200, self._service.group(call.caller, text_of(call, "identifier"), self._changing.now))

    async def delete_group(self, call: Call, body: None) -> Answer:
        """Take it away."""
        change = self._service.delete_group(call.caller, text_of(call, "identifier"), self._changing.now)
        return await self._changing.answer(change)


def routes(changing: Changing) -> list[Route]:
    """The routes of this subject."""
    desk = IdentitiesDesk(changing)
    one, group = "/api/v1/identities/{identifier}", "/api/v1/groups/{identifier}"
    shown = {200: IdentityView}
    return [
        Route("POST", "/api/v1/identities", "create_identity", "Make an identity", desk.create, {201: IdentityView},
              body=NewIdentity),
        Route("GET", "/api/v1/prefixes/{prefix}/identities", "list_identities", "List the identities of a prefix",
              desk.list, {200: IdentitiesShown}, query=CursorQuery),
        Route("GET", one, "get_identity", "Get an identity with its credentials", desk.get, shown),
        Route("PATCH", one, "change_identity", "Change roles or title of an identity, or disable it", desk.change,
              shown, body=ChangeIdentity),
        Route("PUT", "/api/v1/passwords/{identifier}", "set_password",
              "Set the password of an identity, or take it away", desk.set_password, shown, body=NewPassword),
        Route("POST", "/api/v1/tokens/{identifier}", "issue_token", "Issue a token, shown this once", desk.issue_token,
              {201: IssuedToken}, body=NewToken),
        Route("POST", "/api/v1/keys/{identifier}", "add_key", "Let a public key speak for an identity", desk.add_key,
              {201: CredentialView}, body=NewKey),
        Route("DELETE", "/api/v1/credentials/{credential}/{identifier}", "revoke_credential",
              "Put a token or key of an identity out of use, at once", desk.revoke, shown),
        Route("PUT", group, "put_group", "Make a group, or replace its members", desk.put_group, {200: GroupView},
              body=NewGroup),
        Route("GET", group, "get_group", "Get a group", desk.group, {200: GroupView}),
        Route("DELETE", group, "delete_group", "Take a group away", desk.delete_group, {204: None}),
    ]  # fmt: skip
