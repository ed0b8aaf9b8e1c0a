"""Any one node of a province killed, stopped or cut off under load: no wrong answer, and no zone with a second address
goes without one for longer than is stated. Then all is as before, without a hand."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from resolver.recursion.servers import FAILOVER_SECONDS
from tests.faults.load import ZONES, Asked, Load, Who, as_before, everybody
from tests.faults.province import ENTERPRISES, SECONDARIES, Province
from tests.faults.proxies import fair
from tests.long import SHARE, chance, share
from tests.resolver.lines import bad_weather

RECORDS: Final = 5_000
SLACK_SECONDS: Final = 2.0
"""By how much an answer may be later on a machine that has no time."""

ALL: Final = (
    "top",
    "custody",
    *(f"secondary-{one}" for one in SECONDARIES),
    *(f"enterprise-{one}" for one in ENTERPRISES),
)


class Fault(NamedTuple):
    """What happens to a node, and how that ends."""

    begin: Callable[[Province, str], None]
    end: Callable[[Province, str], None]


FAULTS: Final = {
    "killed": Fault(lambda province, name: province.signal(name, signal.SIGKILL), lambda province, name: None),
    "lost": Fault(Province.lose, Province.give_back),
    "stopped": Fault(
        lambda province, name: province.signal(name, signal.SIGSTOP),
        lambda province, name: province.signal(name, signal.SIGCONT),
    ),
    "cut off": Fault(Province.cut, Province.heal),
    "upstream": Fault(lambda province, name: province.cut(*ALL), lambda province, name: province.heal(*ALL)),
}


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """One for all tests of this file: each leaves it as it was."""
    made = Province(tmp_path_factory.mktemp("ten"), RECORDS)
    yield made
    made.close()


def may_fail(name: str, fault: str) -> Callable[[Asked], bool]:
    """What may be without an answer meanwhile: what has no other address."""
    if fault == "upstream":
        return lambda asked: True
    if name == "recursive-1":
        return lambda asked: asked.client == "recursive"
    if name.startswith("enterprise-"):
        return lambda asked: asked.zone == name.removeprefix("enterprise-")
    return lambda asked: False


async def hurt(province: Province, name: str, fault: str, seconds: float, seed: int) -> str:
    """Do it under load; what happened, for people."""
    load = Load(province, seed)
    work = FAULTS[fault]
    async with load.running(everybody(province)):
        await asyncio.sleep(1.0)
        begin = time.monotonic()
        await asyncio.to_thread(work.begin, province, name)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(work.end, province, name)
        ended = time.monotonic()
        normal = await as_before(province, load, ended, name)
        await asyncio.sleep(0.5)
    told = load.told()
    judge(load, may_fail(name, fault), begin, ended + normal, told)
    return f"{name} {fault} for {seconds:.1f} s: normal after {normal:.1f} s; {told}"


def judge(load: Load, permitted: Callable[[Asked], bool], begin: float, end: float, told: str) -> None:
    """Nothing failed but what was permitted, while it was; nothing with two addresses took longer than is stated."""
    for asked in load.asked:
        if permitted(asked):
            assert asked.error is None or begin <= asked.at <= end, told
        else:
            assert asked.error is None, told
            assert asked.seconds < FAILOVER_SECONDS + SLACK_SECONDS, told
    assert {one.client for one in load.between(0, begin)} >= {"recursive", "from the top"}, told


@pytest.mark.parametrize(("name", "fault"), [
    ("secondary-88.101", "stopped"), ("secondary-88.102", "killed"), ("enterprise-88.103.20003", "cut off"),
    ("custody", "cut off"),
])  # fmt: skip
def test_a_node_that_fails_for_a_moment(province: Province, name: str, fault: str) -> None:
    print(asyncio.run(hurt(province, name, fault, 2.0, 7)))


def by_datagram(province: Province) -> list[Who]:
    """Clients that ask by datagram: an authority and its custody node, and the recursive node, believing it."""
    zone = SECONDARIES[0]
    both = [province.address(f"secondary-{zone}"), province.door(zone)]
    return [
        *[Who("both by datagram", [zone], both, udp=True)] * 2,
        *[Who("recursive by datagram", ZONES, [province.recursive], udp=True, trusting=True)] * 2,
    ]


async def in_bad_weather(province: Province, seconds: float, loss: float, seed: int) -> str:
    """Resolve by datagrams that are lost, doubled, damaged and late; what became of them."""
    copies = bad_weather(seed, loss)
    became: Counter[str] = Counter()

    def weather(data: bytes) -> list[tuple[bytes, float]]:
        arrives = copies(data)
        became["lost" if not arrives else "doubled" if len(arrives) > 1 else "passed"] += 1
        became["damaged"] += sum(copy != data for copy, _ in arrives)
        return arrives

    lines = [
        line for name in (f"secondary-{SECONDARIES[0]}", "custody", "recursive-1") for line in province.lines[name]
    ]
    load = Load(province, seed)
    for line in lines:
        line.weather = weather
    try:
        async with load.running(by_datagram(province)):
            await asyncio.sleep(seconds)
    finally:
        for line in lines:
            line.weather = fair
    assert not [asked for asked in load.asked if asked.error], load.told()
    assert {asked.client for asked in load.asked} == {"both by datagram", "recursive by datagram"}
    assert all(became[what] for what in ("lost", "doubled", "damaged", "passed")), became
    return f"{dict(became)}; {load.told()}"


def test_datagrams_in_bad_weather(province: Province) -> None:
    print(asyncio.run(in_bad_weather(province, 2.0, 0.2, 3)))


@pytest.mark.long
@pytest.mark.parametrize("loss", [0.05, 0.2, 0.4])
def test_datagrams_in_all_weathers(province: Province, loss: float) -> None:
    print(asyncio.run(in_bad_weather(province, share(60, 5), loss, chance().getrandbits(32))))


@pytest.mark.long
@pytest.mark.parametrize("fault", ["killed", "lost", "stopped", "cut off"])
@pytest.mark.parametrize("kind", ["top", "custody", "secondary", "enterprise", "recursive"])
def test_any_node_fails(province: Province, kind: str, fault: str) -> None:
    draw = chance()
    for _ in range(share(2)):
        name = draw.choice([one for one in province.nodes if one.startswith(kind)])
        print(asyncio.run(hurt(province, name, fault, draw.uniform(2, 4 + 12 * SHARE), draw.getrandbits(32))))


@pytest.mark.long
def test_the_recursive_node_is_cut_off_from_all(province: Province) -> None:
    draw = chance()
    for _ in range(share(2)):
        print(asyncio.run(hurt(province, "", "upstream", draw.uniform(2, 4 + 12 * SHARE), draw.getrandbits(32))))
