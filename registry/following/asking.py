"""The zone's side of custody: at its start a node asks those who hold copies of its zone whether they have more.

A store that comes from an old backup would otherwise be found out only when a follower comes, and take writes until
then. A copy that cannot be reached is asked again until it answers, while the node serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from protocol.address import Address, parse_address
from protocol.errors import BiaoshiError, MessageError, NotVerified
from protocol.limits import DEFAULT_PORT
from protocol.trust import TrustAnchor
from registry.client import OTHER_ZONE, RegistryClient
from registry.putback import PutBack, has_all_of
from registry.replies import BAD_REPLY
from registry.store.feed import Position, read_cursor
from registry.store.interface import Reader

FIRST_SECONDS: Final = 3.0
"""How long the start of a node waits for the answers of those who hold copies."""

AGAIN_SECONDS: Final = 10.0
"""How often a copy that cannot be reached is asked again."""


async def ends_of_copy(address: Address, anchor: TrustAnchor, timeout: float) -> tuple[Position, Position]:
    """Where a copy of the anchor's zone ends, and up to where it has seen the zone's feed. Raises
    :class:`BiaoshiError`."""
    async with RegistryClient(address.host, address.port, anchor=anchor, key=None, timeout=timeout) as client:
        if client.zone.prefix != anchor.prefix:
            raise NotVerified(OTHER_ZONE, zone=client.zone.prefix, expected=anchor.prefix)
        return read_ends(await client.status())


def read_ends(status: Mapping[str, str | int]) -> tuple[Position, Position]:
    """The same from what STATUS of a copy says. Raises :class:`~protocol.errors.MessageError`,
    :class:`~protocol.errors.StoreError`."""
    try:
        end, seen = (bytes.fromhex(str(status.get(name, ""))) for name in ("end", "seen"))
    except ValueError:
        raise MessageError(BAD_REPLY, operation="status") from None
    return read_cursor(end), read_cursor(seen)


class Asking:
    """Asks the copies at ``addresses`` until each has said that it has no more, and tells ``put_back`` what they say.
    ``anchor`` gives that of the zone, where there is anybody to ask."""

    def __init__(
        self,
        addresses: Sequence[str],
        anchor: Callable[[], TrustAnchor],
        store: Reader,
        put_back: PutBack,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._open = [parse_address(address, DEFAULT_PORT + 1) for address in addresses]
        self._silent: set[Address] = set()
        self._anchor = anchor() if self._open else None
        self._store = store
        self._put_back = put_back
        self._log = log

    async def first(self) -> None:
        """Ask, for as long as the start may take."""
        await self._ask(FIRST_SECONDS)
        for address in self._silent:
            self._log.warning("a copy of this zone cannot be asked now whether it has more", copy=str(address))

    async def run(self) -> None:
        """Ask on: those who have not answered, and those who had more and may have begun anew."""
        while self._open:
            await asyncio.sleep(AGAIN_SECONDS)
            await self._ask(AGAIN_SECONDS)

    async def _ask(self, timeout: float) -> None:
        answered = await asyncio.gather(*(self._ask_one(address, timeout) for address in self._open))
        self._open = [address for address, done in zip(self._open, answered, strict=True) if not done]

    async def _ask_one(self, address: Address, timeout: float) -> bool:
        assert self._anchor is not None
        try:
            async with asyncio.timeout(timeout):
                end, seen = await ends_of_copy(address, self._anchor, timeout)
            if has_all_of(self._store, end, seen):
                self._log.info("this store has all that its copy has", copy=str(address), changes=end.number)
                self._put_back.agrees(str(address))
                return True
            if self._put_back.has_more(str(address)):
                self._log.error("PUT BACK: " + str(self._put_back.refusal), copy=str(address))
            self._silent.discard(address)
        except (BiaoshiError, TimeoutError) as error:
            self._silent.add(address)
            self._log.debug("a copy could not be asked", copy=str(address), reason=str(error))
        return False
