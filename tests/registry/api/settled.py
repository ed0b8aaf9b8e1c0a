"""A served API with two enterprises and those who speak for them, by their tokens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from registry.store.callers.permissions import Role
from registry.store.memory import MemoryStore
from tests.registry.api.serving import Client, Serving, serving
from tests.registry.house import application, code

PUMPS: Final = "88.118.1"
"""The prefix of one enterprise, hosted."""
VALVES: Final = "88.118.2"
"""That of another."""
SHUT: Final = "88.118.3"
"""One that was suspended."""
FRESH: Final = "88.118.4"
"""One that was given and not yet opened."""
STAFF: Final = {"admin": Role.NODE_ADMINISTRATOR, "auditor": Role.AUDITOR}
MEMBERS: Final = {"boss": Role.ENTERPRISE_ADMINISTRATOR, "writer": Role.ENTERPRISE_WRITER, "reader": Role.READER}


def told(number: int, **changes: Any) -> dict[str, Any]:
    """The body of an application."""
    one = application(number)
    body = {name: getattr(one, name) for name in ("organisation", "nature", "credit_code", "section", "division")}
    return body | {"contact": {"name": "李工"}} | changes


class Town(dict[str, str]):
    """Tokens by who has them: ``admin``, ``auditor``, ``boss``, ``writer`` and ``reader`` of ``PUMPS``; ``foreign``,
    the administrator of ``VALVES``; ``narrow``, good for reading below one part of ``PUMPS``; ``brief``, for a day;
    ``revoked``; ``disabled``."""

    def __init__(self, api: Serving) -> None:
        super().__init__()
        self.api = api

    async def ask(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request by somebody, that succeeds; its content."""
        async with self.client(who) as client:
            reply = await client.ask(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            assert reply.status in (200, 201, 204), reply
            return reply.json if reply.body else None

    def client(self, who: str) -> Client:
        """A connection of somebody, to be entered."""
        return self.api.client(self[who])

    async def token(self, who: str, name: str, **scope: Any) -> str:
        """A token of an identity, issued by somebody."""
        issued = await self.ask(who, "POST", f"/api/v1/tokens/{name}", scope)
        secret: str = issued["secret"]
        return secret


@contextlib.asynccontextmanager
async def settled(store: MemoryStore | None = None) -> AsyncIterator[Town]:
    """Serve until the end of the block."""
    async with serving(store) as api:
        town = Town(api)
        town["owner"] = await api.token()
        for who, role in STAFF.items():
            await _identity(town, "owner", who, f"88.118/U.{who}", role)
        for number, prefix in enumerate((PUMPS, VALVES, SHUT, FRESH), start=1):
            await town.ask("admin", "POST", "/api/v1/enterprises", told(number))
            await town.ask("auditor", "POST", f"/api/v1/enterprises/{code(number)}/approve")
            await town.ask("admin", "POST", f"/api/v1/enterprises/{code(number)}/prefixes", {"prefix": prefix})
            if prefix != FRESH:
                await town.ask("admin", "POST", f"/api/v1/prefixes/{prefix}/host")
        await town.ask("admin", "POST", f"/api/v1/prefixes/{SHUT}/suspend", {"reason": "质量问题"})
        for who, role in MEMBERS.items():
            await _identity(town, "admin", who, f"{PUMPS}/U.{who}", role)
        await _identity(town, "admin", "foreign", f"{VALVES}/U.boss", Role.ENTERPRISE_ADMINISTRATOR)
        await _identity(town, "admin", "disabled", f"{PUMPS}/U.disabled", Role.ENTERPRISE_WRITER)
        await town.ask("boss", "PATCH", f"/api/v1/identities/{PUMPS}/U.disabled", {"disabled": True})
        narrow = {"prefixes": [f"{PUMPS}.7"], "operations": ["record.read"]}
        town["narrow"] = await town.token("writer", f"{PUMPS}/U.writer", **narrow)
        town["brief"] = await town.token("writer", f"{PUMPS}/U.writer", days=1)
        town["revoked"] = await town.token("writer", f"{PUMPS}/U.writer")
        shown = await town.ask("writer", "GET", f"/api/v1/identities/{PUMPS}/U.writer")
        last = shown["credentials"][-1]["id"]
        await town.ask("boss", "DELETE", f"/api/v1/credentials/{last}/{PUMPS}/U.writer")
        yield town


async def _identity(town: Town, by: str, who: str, name: str, role: Role) -> None:
    await town.ask(by, "POST", "/api/v1/identities", {"name": name, "roles": [role]})
    town[who] = await town.token(by, name)
