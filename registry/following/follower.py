"""Following one zone: ask for what is new, verify it, have it taken over, and go on after whatever happens.

Each page comes sealed by the zone and is verified before it is looked at; the store takes it over with the place to go
on from in one transaction, so nothing is lost or doubled wherever this ends. While a page is written to the disk the
next is under way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final, Protocol, TypeVar

import structlog

from config.keyfiles import BadKeyFile
from protocol.errors import BiaoshiError, NotVerified, Refused, Rule, StoreError
from protocol.limits import MAX_CHANGES
from protocol.status import Status
from protocol.trust import Zone
from registry.client import OTHER_ZONE, RegistryClient
from registry.following.progress import DIVERGES, Progress
from registry.store.feed import DIVERGED, PRUNED, FeedPage, Position, read_cursor
from registry.store.interface import Store

WAIT_MS: Final = 20_000
"""How long a question waits for news."""

REFRESH_SECONDS: Final = 10.0
"""How often chain and statement are asked for anew: how soon a new delegation is shown by those who answer."""

FIRST_REFRESH_SECONDS: Final = 2.0
"""The same while there is no statement yet."""

LEAST_PRUNED: Final = 10
"""The copy's own feed is pruned when a tenth of what it keeps could go."""

NO_STATEMENT: Final = Rule(
    "following.no-statement",
    Status.SETTINGS,
    "the zone '{zone}' has not vouched for this node's online key {key}: list it there under [[registry.followers]], "
    "online; where the zone's key is not on that node, sign with 'biaoshi vouch'",
    "区域“{zone}”尚未为本节点的在线密钥 {key} 签发声明：请在其 [[registry.followers]] 的 online 中列出该公钥；"
    "若区域私钥不在该节点上，请用 biaoshi vouch 签发",
)

Result = TypeVar("Result")


class Keeper(Protocol):
    """Takes what the zone gives this node to answer with."""

    def take_chain(self, delegations: tuple[bytes, ...]) -> bool: ...

    def take_statement(self, statement: bytes, zone: Zone, now: int) -> bool: ...


class Follower:
    """Keeps ``store`` a copy of the zone ``zone``. ``connect`` gives a connection to each of its servers in turn;
    ``identity`` is None for a copy that answers nobody; ``news`` is called when a page was taken over; ``keep`` is how
    many changes the copy's own feed keeps."""

    def __init__(
        self,
        zone: str,
        store: Store,
        connect: list[Callable[[], RegistryClient]],
        identity: Keeper | None,
        log: structlog.stdlib.BoundLogger,
        *,
        news: Callable[[], None] = lambda: None,
        keep: int = 10_000_000,
    ) -> None:
        self._zone = zone
        self._store = store
        self._servers = cycle(connect)
        self._identity = identity
        self._log = log.bind(zone=zone)
        self._news = news
        self._keep = keep
        self._pruned = 0
        self._refresh_at = 0.0
        self._writing: asyncio.Future[Any] | None = None
        self.progress = Progress(zone, store.standing(), time.monotonic())

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            client = next(self._servers)()
            pause = 0.0
            try:
                async with client:
                    await self._follow(client)
            except BiaoshiError as error:
                pause = await self._after(error)
            await asyncio.sleep(pause * random.uniform(0.75, 1.0))

    async def settle(self) -> None:
        """After a cancellation: wait for what is being written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _after(self, error: BiaoshiError) -> float:
        """What to do after an error: seconds to pause."""
        try:
            if error.rule is PRUNED:
                await self._work(self._store.restart)
                self._log.warning("the zone's feed was pruned; beginning again with what is here", reason=str(error))
                return 0.0
            if error.rule is DIVERGED:
                if self._store.standing().inside is not None and await self._abandoned():
                    return 0.0
                new, pause = self.progress.diverged()
                if new:
                    self._log.error("DIVERGED: " + DIVERGES.en.format(zone=self._zone), reason=str(error))
                return pause
        except StoreError as failure:
            error = failure
        new, pause = self.progress.lost(error)
        if new:
            self._log.warning("the zone cannot be followed now", reason=str(error), rule=error.rule.name)
        return pause

    async def _abandoned(self) -> bool:
        """Give up an open range: a zone that was restored from another copy may have lost it. Whether that was done."""
        try:
            await self._work(self._store.abandon)
        except StoreError as error:
            if error.rule is not DIVERGED:
                raise
            return False
        return True

    async def _follow(self, client: RegistryClient) -> None:
        self._check_zone(client)
        self._refresh_at = 0.0
        await self._refresh(client)
        standing = self._store.standing()
        held = standing.end.number
        cursor = (standing.inside or standing.end).cursor()
        page = await client.changes(cursor, MAX_CHANGES, held=held, seen=standing.seen.cursor())
        self._log.info("following", behind=read_cursor(page.head).number - held)
        while True:
            # While this page is written to the disk the next is under way.
            coming = asyncio.create_task(self._next(client, page, held, 0)) if page.more else None
            try:
                held = await self._take(page)
                await self._refresh(client)
                self._check_zone(client)  # which may have shown another chain
                page = await (coming or self._next(client, page, held, self._wait_ms))
            finally:
                if coming is not None:
                    coming.cancel()
                    coming.add_done_callback(_forget)

    def _check_zone(self, client: RegistryClient) -> None:
        if client.zone.prefix != self._zone:
            raise NotVerified(OTHER_ZONE, zone=client.zone.prefix, expected=self._zone)

    @staticmethod
    async def _next(client: RegistryClient, page: FeedPage, held: int, wait_ms: int) -> FeedPage:
        return await client.changes(page.cursor, MAX_CHANGES, wait_ms=wait_ms, held=held, seen=page.head)

    async def _take(self, page: FeedPage) -> int:
        """Take over a page: how many changes are held then."""
        if page.parts or not self.progress.whole:
            await self._work(self._store.copy, page)
        standing = self._store.standing()
        self.progress.taken(standing, read_cursor(page.head), time.monotonic())
        if page.parts:
            self._news()
            await self._prune(standing.end)
        return standing.end.number

    async def _prune(self, end: Position) -> None:
        below = end.number - self._keep
        if below - self._pruned > self._keep // LEAST_PRUNED:
            self._pruned = max(below, await self._work(self._store.prune, below))

    @property
    def _wait_ms(self) -> int:
        return max(100, min(WAIT_MS, int(1_000 * (self._refresh_at - time.monotonic()))))

    async def _refresh(self, client: RegistryClient) -> None:
        """Take along chain and statement, where it is time."""
        now = time.monotonic()
        if self._identity is None or now < self._refresh_at:
            return
        self._refresh_at = now + REFRESH_SECONDS
        try:
            if self._identity.take_chain(await client.chain()):
                self._log.info("chain of the zone taken up")
            statement = await client.vouched()
            if statement is None:
                self._refresh_at = now + FIRST_REFRESH_SECONDS
            elif self._identity.take_statement(statement, client.zone, int(time.time())):
                self._log.info("statement for the online key taken up")
        except (NotVerified, Refused, BadKeyFile) as error:
            # The copy goes on; what it answers with has time.
            self._log.warning("chain or statement of the zone could not be taken up", reason=str(error))

    async def _work(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Work on the store, which waits for the disk, on a thread. A cancellation leaves it to :meth:`settle`."""
        writing = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        self._writing = writing
        return await asyncio.shield(writing)


def _forget(task: asyncio.Task[FeedPage]) -> None:
    """Whatever became of a question that is not waited for any more."""
    if not task.cancelled():
        task.exception()
