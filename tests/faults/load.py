"""Load on a province: clients of every sort that ask without pause, and verify every answer by what was registered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from biaoshi.topology.samples import sample
from protocol.answers import Answer
from protocol.errors import BiaoshiError, Refused, Unreachable, Unresolved
from protocol.status import Status
from resolver.client import Client
from tests.faults.province import ENTERPRISES, SECONDARIES, Province

PAUSE_S: Final = 0.01
"""Between two questions of one client: the machine is to have time for the nodes."""

ZONES: Final = (*SECONDARIES, *ENTERPRISES)


def hosted(zone: str) -> str:
    """The prefix whose sample records a node has."""
    return f"{zone}.20000" if zone in SECONDARIES else zone


class Who(NamedTuple):
    """A client: what it is called, for which zones it asks, whom, and by what. ``trusting``: it believes the recursive
    node."""

    name: str
    zones: Sequence[str]
    servers: Sequence[str]
    udp: bool = False
    trusting: bool = False


def everybody(province: Province) -> list[Who]:
    """Clients of every sort."""
    address, door = province.address, province.door
    both = {zone: (address(f"secondary-{zone}"), door(zone)) for zone in SECONDARIES}
    return [
        *[Who("recursive", ZONES, [province.recursive])] * 2,
        Who("from the top", ZONES, [address("top")]),
        *(Who(f"both of {zone}", [zone], servers) for zone, servers in both.items()),
        Who("by datagram", SECONDARIES[:1], both[SECONDARIES[0]], udp=True),
    ]


class Asked(NamedTuple):
    """One question: who asked, for which zone, when it was answered (seconds of the steady clock) and how long it took;
    the node that sealed the answer, or why there is none."""

    client: str
    zone: str
    at: float
    seconds: float
    by: str
    error: BiaoshiError | None


class Load:
    """Clients of a province. A wrong answer ends the test; what is not answered is kept."""

    def __init__(self, province: Province, seed: int) -> None:
        self._province = province
        self._draw = random.Random(seed)
        self._stop = False
        self.asked: list[Asked] = []
        self.waits_for: object = None
        """What the test waits for, for whoever reads why it failed."""

    @contextlib.asynccontextmanager
    async def running(self, clients: Sequence[Who]) -> AsyncIterator[None]:
        """While the block runs."""
        asking = [asyncio.create_task(self._ask(who)) for who in clients]
        try:
            yield
        finally:
            self._stop = True
            for failure in await asyncio.gather(*asking, return_exceptions=True):
                if failure is not None:
                    raise failure  # a wrong answer, whatever else went wrong

    async def _ask(self, who: Who) -> None:
        anchor = self._province.anchor_of("recursive-1") if who.trusting else self._province.anchor
        async with Client(who.servers, anchor=anchor, udp=who.udp) as client:
            while not self._stop:
                await self._ask_one(client, who, self._draw.choice(who.zones))
                await asyncio.sleep(PAUSE_S)

    async def _ask_one(self, client: Client, who: Who, zone: str) -> None:
        number = self._draw.randrange(self._province.records)
        present = self._draw.random() < 0.5
        wanted = sample(hosted(zone), number)
        # What is absent was never asked for before, so that no cache has it.
        identifier = wanted.identifier if present else f"{wanted.identifier}-{self._draw.getrandbits(60)}"
        begin = time.monotonic()
        error: BiaoshiError | None = None
        by = ""
        try:
            answer = await client.resolve(identifier)
        except (Refused, Unreachable, Unresolved) as refusal:
            error = refusal
        else:
            check(answer, identifier, wanted.url if present else None, "" if who.trusting else zone)
            by = answer.proof.key.node
        now = time.monotonic()
        self.asked.append(Asked(who.name, zone, now, now - begin, by, error))

    def between(self, since: float, until: float = float("inf")) -> list[Asked]:
        """The questions that were asked and answered in that time."""
        return [one for one in self.asked if since <= one.at - one.seconds and one.at < until]

    def told(self) -> str:
        """What happened, for whoever reads why a test failed."""
        failed = Counter((one.client, one.zone, str(one.error)[:160]) for one in self.asked if one.error)
        slow = sorted(self.asked, key=lambda one: -one.seconds)[:5]
        lines = [
            f"{len(self.asked)} asked; waited for {self.waits_for or 'nothing'}",
            *(f"{count} × {what}" for what, count in failed.items()),
        ]
        return "\n".join([*lines, *(f"{one.seconds:.2f} s: {one}" for one in slow)])


def check(answer: Answer, identifier: str, url: str | None, zone: str) -> None:
    """An answer is what was registered, by the zone that has it."""
    assert answer.identifier == identifier, answer
    assert (answer.status, answer.url) == (Status.NOT_FOUND if url is None else Status.OK, url), answer
    assert answer.proof.zone.prefix == zone, answer


NORMAL_SECONDS: Final = 45.0
"""Within this a node that is back does its work again: what failed rests for 30 s at most (LONGEST_REST_S), and a
process that died often is started every 10 s."""


async def as_before(province: Province, load: Load, since: float, hurt: str) -> float:
    """Wait until every zone is answered for again, whichever way one asks, the node that was ``hurt`` is among those
    that answer, and the copies are level; the seconds that it took."""
    ways = ("recursive", "from the top")
    wanted = {(client, zone) for client in ways for zone in ZONES}
    if hurt.startswith(("secondary-", "enterprise-")):
        wanted |= {(client, hurt) for client in ways}
    wanted |= {(f"both of {one}", by) for one in SECONDARIES for by in (f"secondary-{one}", "custody")}
    async with asyncio.timeout(NORMAL_SECONDS):
        while missing := wanted - {
            (one.client, what) for one in load.between(since) if not one.error for what in (one.zone, one.by)
        }:
            await asyncio.sleep(0.1)
            load.waits_for = missing
        while not await asyncio.to_thread(lambda: province.followed() and province.answers(hurt)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return time.monotonic() - since
