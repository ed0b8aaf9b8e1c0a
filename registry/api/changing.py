"""Changes of enterprises, identities and the like, carried out by the journal and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

import msgspec

from protocol.errors import BiaoshiError, InvalidInput
from protocol.limits import MAX_CURSOR_BYTES, MAX_LIST
from registry.accounts import Accounts
from registry.api import rules
from registry.api.routing import Answer
from registry.changes import Change

Result = TypeVar("Result")


class CursorQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which page of a list. `cursor` is that of the page before; a page has at most `limit` entries, and may be short,
    even empty, before the end."""

    cursor: Annotated[str, msgspec.Meta(max_length=MAX_CURSOR_BYTES)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST)] = 100

    @property
    def after(self) -> str | None:
        """Where the page begins. Raises :class:`InvalidInput`."""
        if len(self.cursor.encode()) > MAX_CURSOR_BYTES:
            raise InvalidInput(rules.BAD_CURSOR)
        return self.cursor or None


class Changing:
    """What subjects need to change something: ``accounts``, and ``clock``, which gives seconds since 1970."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float]) -> None:
        self.accounts = accounts
        self._clock = clock

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock())

    async def carry_out(self, change: Change[Result]) -> Result:
        """Have a change carried out, which was made in this turn; its result once it is durable. Raises
        :class:`BiaoshiError`."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def done(answer: object) -> None:
            if not future.done():  # whoever waited has gone
                future.set_result(answer)

        self.accounts.carry_out(change, done)
        answer = await future
        if isinstance(answer, BiaoshiError):
            raise answer
        return cast(Result, answer)

    async def answer(self, change: Change[Any], status: int = 200) -> Answer:
        """The same as what a handler gives: 204 where there is nothing to show."""
        shown = await self.carry_out(change)
        return Answer(204, None) if shown is None else Answer(status, shown)
