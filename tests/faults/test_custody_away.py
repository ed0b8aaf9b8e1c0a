"""A custody node that is away for an hour of changes comes back, and has the same records, one for one."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from protocol.status import Status
from registry.client import RegistryClient
from registry.store.writes import Write
from tests.faults.province import SECONDARIES, Province, until
from tests.long import chance, share
from tests.registry.store.builders import ascending, everything, noise, product, put, withdraw

KEEP: Final = 1_000
"""Changes that a feed keeps behind its follower: few, so that it is pruned."""

TOLD_PRUNED: Final = "feed was pruned; beginning again"


@pytest.fixture
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """Ten nodes, whose secondaries keep little of their feeds."""
    made = Province(tmp_path_factory.mktemp("ten"), records=100, keep=KEEP)
    yield made
    made.close()


async def change(province: Province, zone: str, singles: int, bulk: int, draw: random.Random) -> None:
    """Changes as factories make them: a few at a time, registered, changed, withdrawn and registered again; and many
    ascending ones at once, beside those that are there and over them."""

    async def write(registry: RegistryClient, writes: list[Write]) -> None:
        outcomes = await registry.write(writes)
        assert {outcome.status for outcome in outcomes} <= {Status.OK, Status.NOT_FOUND}, outcomes

    async def single(registry: RegistryClient, count: int) -> None:
        for _ in range(count):
            name = f"{zone}.{draw.randrange(1, 4)}/{draw.randrange(singles)}"
            content = draw.choice([product(draw.randrange(9)), noise(draw.randrange(99), 40)])
            await write(registry, [withdraw(name) if draw.random() < 0.2 else put(name, content)])

    async with province.registry(f"secondary-{zone}") as registry:
        begin = 0
        for size in (bulk // 2, bulk - bulk // 2):
            for first in range(begin, begin + size, 5_000):
                numbers = range(first, min(first + 5_000, begin + size))
                await write(registry, ascending(f"{zone}.{draw.randrange(5, 7)}", numbers))
            await asyncio.gather(*(single(registry, singles // 40) for _ in range(20)))
            begin += size // 2  # half of the next go over what is there


def changes(province: Province, zone: str) -> int:
    """How many changes the zone has made, ever."""
    with closing(province.store(f"secondary-{zone}")) as reader:
        return reader.counts().changes


def level(province: Province, zone: str) -> None:
    """Wait until the copy is where the zone is; then it has the same."""

    def end(name: str) -> object:
        with closing(province.store(name)) as reader:
            return reader.standing().end

    until(lambda: end(zone) == end(f"secondary-{zone}"), f"the copy of {zone} is level")
    with closing(province.store(zone)) as copy, closing(province.store(f"secondary-{zone}")) as source:
        assert everything(copy) == everything(source)
    until(province.followed, "the node says so")


def custody_said(province: Province) -> str:
    return (province.directory / "custody/log").read_text("utf-8")


def test_an_hour_away(province: Province) -> None:
    """Killed, and back with its disk; the zone's node is not spared either."""
    draw = random.Random(4)
    zone, other = SECONDARIES[:2]
    province.lose("custody")
    before = changes(province, zone)
    asyncio.run(change(province, zone, 1_000, 12_000, draw))
    asyncio.run(change(province, other, 400, 0, draw))
    [shown] = province.status(f"secondary-{zone}")
    assert shown["behind_custody"] > 10_000
    until(lambda: province.status(f"secondary-{zone}")[0]["seconds_behind_custody"] >= 1, "seconds go by")
    province.signal(f"secondary-{zone}", signal.SIGKILL)
    assert changes(province, zone) - before > 10_000
    province.give_back("custody")
    for one in (zone, other):
        level(province, one)
    assert TOLD_PRUNED not in custody_said(province), "what it has not taken is kept for it"


@pytest.mark.long
def test_back_with_an_older_disk(province: Province) -> None:
    """From before what the zone's feed keeps: it begins again over what it has."""
    draw = chance()
    zone = SECONDARIES[0]
    old = province.directory.with_name("old")
    province.lose("custody")
    shutil.copytree(province.lost("custody") / "store", old)
    province.give_back("custody")
    asyncio.run(change(province, zone, share(2_000, 400), share(40_000, 4_000), draw))
    level(province, zone)
    until(lambda: "feed pruned" in (province.directory / f"secondary-{zone}/log").read_text("utf-8"), "pruning")
    province.lose("custody")
    shutil.rmtree(province.lost("custody") / "store")
    shutil.copytree(old, province.lost("custody") / "store")
    asyncio.run(change(province, zone, 200, 2_000, draw))
    province.give_back("custody")
    for one in SECONDARIES:
        level(province, one)
    assert TOLD_PRUNED in custody_said(province)
    assert "DIVERGED" not in custody_said(province)


@pytest.mark.long
@pytest.mark.parametrize("how", ["lost", "stopped", "cut off"])
def test_long_away(province: Province, how: str) -> None:
    """Tens of thousands of changes in each zone."""
    draw = chance()
    away, back = {
        "lost": (lambda: province.lose("custody"), lambda: province.give_back("custody")),
        "stopped": (
            lambda: province.signal("custody", signal.SIGSTOP), lambda: province.signal("custody", signal.SIGCONT),
        ),
        "cut off": (
            lambda: province.cut(*(f"secondary-{one}" for one in SECONDARIES)),
            lambda: province.heal(*(f"secondary-{one}" for one in SECONDARIES)),
        ),
    }[how]  # fmt: skip
    away()
    for zone in SECONDARIES:
        asyncio.run(change(province, zone, share(10_000, 400), share(60_000, 6_000), draw))
    back()
    for zone in SECONDARIES:
        level(province, zone)
