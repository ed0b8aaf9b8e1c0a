"""The writer's half of minting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from protocol.errors import MessageError
from protocol.limits import MAX_LIST, MAX_MINTED
from protocol.messages import Op
from registry.client import RegistryClient
from registry.replies import BAD_REPLY


class RuleSeen(NamedTuple):
    """A rule as a node shows it: how many numbers it has passed, and how many are left."""

    prefix: str
    name: str
    text: str
    zone: str
    minted: int
    left: int


class MintingClient(RegistryClient):
    """A connection that sets rules and mints."""

    async def set_rule(self, prefix: str, name: str, text: str, zone: str) -> int:
        """Make a rule, or change one that has minted nothing; the version of its record."""
        return self._number(
            "rule", await self._ask(Op.RULE, prefix.encode(), name.encode(), text.encode(), zone.encode())
        )

    async def rules(self, prefix: str) -> AsyncIterator[RuleSeen]:
        """The rules of a prefix and those below it."""
        cursor: bytes | None = None
        while True:
            match (await self._ask(Op.RULES, prefix.encode(), cursor, MAX_LIST)).payload:
                case (tuple(items), (None | bytes()) as cursor):
                    for item in items:
                        yield _read_rule(item)
                case _:
                    raise MessageError(BAD_REPLY, operation="rules")
            if cursor is None:
                return

    async def mint(self, prefix: str, name: str, count: int, values: bytes | None = None) -> AsyncIterator[list[str]]:
        """The next ``count`` identifiers of a rule, registered with ``values`` where there are any, in blocks as they
        are reserved. Nobody else is given them, whatever becomes of this connection. Raises
        :class:`~protocol.errors.BiaoshiError`: what came before is reserved and given."""
        while count > 0:
            reply = await self._ask(Op.MINT, prefix.encode(), name.encode(), min(count, MAX_MINTED), values)
            match reply.payload:
                case (tuple(raw), int()) if all(type(one) is bytes for one in raw):
                    count -= len(raw)
                    yield [one.decode() for one in raw]
                case _:
                    raise MessageError(BAD_REPLY, operation="mint")


def _read_rule(item: object) -> RuleSeen:
    match item:
        case (bytes(prefix), bytes(name), bytes(text), bytes(zone), int(minted), int(left)):
            return RuleSeen(prefix.decode(), name.decode(), text.decode(), zone.decode(), minted, left)
    raise MessageError(BAD_REPLY, operation="rules")
