"""One zone followed, over real connections in one process: what comes, when it goes on, when it must not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest
import structlog

from protocol.errors import Refused, StoreError
from protocol.node import NodeFacts
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, OnlineKey, window
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor, Zone
from registry.client import RegistryClient
from registry.followers import NO_FOLLOWER
from registry.following import follower as follower_module
from registry.following import progress as progress_module
from registry.following.follower import Follower, Keeper
from registry.following.progress import State
from registry.putback import PUT_BACK
from registry.store.feed import FeedPage
from registry.store.interface import STORE_FULL, Store
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from resolver.answering import Answerer
from tests.registry.following.zones import (
    OTHER_FOLLOWER,
    WRITER,
    ZONE,
    Registry,
    serving,
    until,
)
from tests.registry.store.builders import ascending, check_agreement, delegate, everything, put, withdraw
from tests.registry.store.test_copying import check_same, history

LOG: Final = structlog.get_logger()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(progress_module, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(progress_module, "DIVERGED_PAUSE_S", 0.02)


@contextlib.asynccontextmanager
async def following(
    copy: Store,
    *connect: Callable[[], RegistryClient],
    zone: str = ZONE,
    identity: Keeper | None = None,
    **options: Any,
) -> AsyncIterator[Follower]:
    """A follower that runs."""
    follower = Follower(zone, copy, list(connect), identity, LOG, **options)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await follower.settle()


def level(source: Store, copy: Store) -> Callable[[], bool]:
    """Whether a copy is where its source is."""
    return lambda: copy.standing()[:2] == source.standing()[:2]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


Stores = tuple[LmdbStore, LmdbStore]


@pytest.fixture
def stores(tmp_path: Path) -> Any:
    made = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    yield made
    for store in made:
        store.close()


def test_a_copy_comes_and_goes_on(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        history(source)
        async with serving(source) as zone, following(copy, zone.client()) as follower:
            await until(level(source, copy))
            check_same(source, copy)
            await until(lambda: zone.followers.status(source.counts().changes, 0.0)["behind_one"] == 0)
            async with zone.client(WRITER)() as writer:
                await writer.write([put(f"{ZONE}.1/{number}") for number in range(50)])
                await writer.write(ascending(f"{ZONE}.2", range(2_000)))
                await writer.write([withdraw(f"{ZONE}.1/7"), put(f"{ZONE}.2/N000009")])
            await until(level(source, copy))
            check_same(source, copy)
            await until(lambda: follower.progress.copied == source.counts().changes)
            assert (follower.progress.state, follower.progress.behind) == (State.FOLLOWING, 0)
            assert zone.connections == 2, "one connection all the time"

    run(main())


def test_a_zone_that_is_away(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        history(source)
        zone = Registry(source)
        await zone.start()
        async with following(copy, zone.client()) as follower:
            await until(level(source, copy))
            await zone.stop()
            await until(lambda: follower.progress.state is State.UNREACHABLE)
            assert "registry" in follower.progress.trouble
            for number in range(300):
                source.apply([put(f"{ZONE}.7/{number % 90}")], 9)
            source.bulk_load(ascending(f"{ZONE}.8", range(7_000)), 9)
            await zone.start()
            await until(level(source, copy))
            assert follower.progress.trouble == ""
        await zone.stop()
        zone.close()
        check_same(source, copy)

    run(main())


def test_a_second_server(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        history(source)
        async with serving(source) as zone:
            nobody = Registry(source)
            async with following(copy, nobody.client(), zone.client()):
                await until(level(source, copy))
            nobody.close()

    run(main())


def statement(key: SigningKey, child: str, serial: int = 1) -> bytes:
    """A delegation by the zone 88."""
    address = Address("127.0.0.1", 26_410, 26_410)
    return Delegation("88", child, serial, *window(int(time.time()), 1), (key.public,), (address,)).sign(key)


def test_a_copy_of_a_copy_and_a_standby_of_the_top(tmp_path: Path) -> None:
    """System records come along: a standby of a top node refers to the same zones."""
    source, copy, further = (LmdbStore(tmp_path / name) for name in ("source", "copy", "further"))
    key = SigningKey(b"t" * 32)

    async def main() -> None:
        top: dict[str, Any] = {"zone": "88", "zone_key": key}
        anchor = TrustAnchor("88", key.public)
        source.apply([delegate("88.118", statement(key, "88.118")), put("88.1/x")], 1)
        async with (
            serving(source, **top) as zone,
            serving(copy, **top) as standby,
            following(copy, zone.client(anchor=anchor), zone="88", news=lambda: standby.door.polls.news()),
            following(further, standby.client(anchor=anchor), zone="88"),
        ):
            await until(level(source, further))
            for child, serial in (("88.119", 1), ("88.118", 2)):
                source.apply([delegate(child, statement(key, child, serial))], 2)
                zone.door.polls.news()
                await until(level(source, further))

    run(main())
    for one in (copy, further):
        check_same(source, one)
        assert [one.cut(prefix) for prefix in ("88.118.7", "88.119", "88.1")] == [
            source.cut(prefix) for prefix in ("88.118.7", "88.119", "88.1")
        ]
        answerer = Answerer(one, NodeFacts("custody", "88", "test/1", Chain((), (b"online",))))
        assert msgpack.unpackb(answerer.one((1, 5, b"88.118/x")))[1] == Status.REFERRAL
    for one in (source, copy, further):
        one.close()


def test_pruned_beyond_it_the_copy_begins_again(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        history(source)
        async with serving(source) as zone:
            async with following(copy, zone.client()):
                await until(level(source, copy))
            for number in range(20):
                source.apply([put(f"{ZONE}.1/{number % 7}", None)], 9)
            source.apply([put("88.2/N000003"), put(f"{ZONE}.9/x")], 9)
            source.apply([put(f"{ZONE}.9/y")], 9)
            source.prune(source.standing().end.number)
            async with following(copy, zone.client()) as follower:
                await until(level(source, copy))
                await until(lambda: follower.progress.state is State.FOLLOWING)
        check_same(source, copy)

    run(main())


def test_a_zone_that_was_put_back(tmp_path: Path) -> None:
    """The copy stays as it is, and says so; the zone takes no more writes. Restored, it is followed on."""
    source, copy = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    history(source)
    source.snapshot(tmp_path / "backup")

    async def main() -> None:
        async with serving(source) as zone, following(copy, zone.client()):
            async with zone.client(WRITER)() as writer:
                await writer.write([put(f"{ZONE}.1/later")])
            await until(level(source, copy))
        source.close()
        backup = LmdbStore(tmp_path / "backup")
        backup.apply([put(f"{ZONE}.1/{number}") for number in range(9)], 9)
        before = everything(copy)
        async with serving(backup) as zone, following(copy, zone.client()) as follower:
            await until(lambda: follower.progress.state is State.DIVERGED)
            assert follower.progress.concerns == ["following.diverged"]
            assert "biaoshi restore" in follower.progress.trouble
            async with zone.client(WRITER)() as writer:
                with pytest.raises(Refused) as caught:
                    await writer.write([put(f"{ZONE}.1/x")])
            assert (caught.value.rule, caught.value.status) == (PUT_BACK, Status.DIVERGED)
            assert zone.put_back.status() == {"put_back": "one"}
        assert everything(copy) == before
        backup.close()
        shutil.rmtree(tmp_path / "backup")
        copy.snapshot(tmp_path / "backup")
        restored = LmdbStore(tmp_path / "backup")
        restored.inherit(copy.standing().seen)
        async with serving(restored) as zone, following(copy, zone.client()) as follower:
            async with zone.client(WRITER)() as writer:
                await until(lambda: follower.progress.state is State.FOLLOWING)
                await writer.write([put(f"{ZONE}.1/x")])
            await until(level(restored, copy))
        check_same(restored, copy)
        restored.close()
        copy.close()

    run(main())


def test_another_zone_is_not_followed(stores: Stores) -> None:
    """Also where it lies below the same anchor's key."""
    source, copy = stores

    async def main() -> None:
        history(source)
        async with serving(source) as zone, following(copy, zone.client(), zone="88.119") as follower:
            await until(lambda: "88.119" in follower.progress.trouble)
        stranger = TrustAnchor(ZONE, SigningKey(b"x" * 32).public)
        async with serving(source) as zone, following(copy, zone.client(anchor=stranger)) as follower:
            await until(lambda: bool(follower.progress.trouble))
            assert follower.progress.state is State.UNREACHABLE
        assert copy.counts().changes == 0

    run(main())


def test_a_zone_that_turns_into_another(stores: Stores) -> None:
    """A sister zone, whose chain the anchor vouches for just as well, speaks for itself alone."""
    source, copy = stores
    top, one, other = (SigningKey(bytes([number]) * 32) for number in (21, 22, 23))

    def chain(child: str, zone_key: SigningKey) -> Chain:
        address = Address("127.0.0.1", 26_410, 26_410)
        validity = window(int(time.time()), 1)
        delegation = Delegation("88", child, 1, *validity, (zone_key.public,), (address,)).sign(top)
        return Chain((delegation,), (OnlineKey(child, "node", zone_key.public, *validity).sign(zone_key),))

    async def main() -> None:
        history(source)
        async with serving(source) as zone:
            zone.facts.chain, zone.turn.key = chain(ZONE, one), one
            async with following(copy, zone.client(anchor=TrustAnchor("88", top.public))) as follower:
                await until(level(source, copy))
                before = copy.standing().end
                zone.facts.chain, zone.turn.key = chain("88.119", other), other
                source.apply([put(f"{ZONE}.1/forged")], 9)
                zone.door.polls.news()
                await until(lambda: "88.119" in follower.progress.trouble)
                assert copy.standing().end == before

    run(main())


def test_a_key_that_may_not_follow(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        async with (
            serving(source) as zone,
            following(copy, zone.client(SigningKey(b"x" * 32))) as follower,
        ):
            await until(lambda: "[[registry" in follower.progress.trouble)

    run(main())


def test_a_full_disk_is_tried_again(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy = stores
    fails = 3
    taken = copy.copy

    def full(page: FeedPage) -> None:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise StoreError(STORE_FULL, reason="full")
        taken(page)

    monkeypatch.setattr(copy, "copy", full)

    async def main() -> None:
        history(source)
        async with serving(source) as zone, following(copy, zone.client()) as follower:
            await until(lambda: "full" in follower.progress.trouble or fails < 0)
            await until(level(source, copy))
        check_same(source, copy)

    run(main())


def test_wherever_it_is_cut_off_nothing_is_lost_or_doubled(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages, and a new follower every few of them, while the source changes."""
    source, copy = stores
    monkeypatch.setattr(follower_module, "MAX_CHANGES", 37)

    async def main() -> None:
        history(source)
        async with serving(source) as zone:
            for turn in range(25):
                async with following(copy, zone.client()) as follower:
                    before = follower.progress.copied
                    source.apply([put(f"{ZONE}.1/{turn % 7}", None), put(f"{ZONE}.3/{turn}")], turn)
                    source.bulk_load(ascending(f"{ZONE}.5", range(turn * 30, turn * 30 + 30)), turn)
                    zone.door.polls.news()
                    await until(
                        lambda f=follower, b=before: f.progress.copied > b + 37 or level(source, copy)()  # type: ignore[misc]
                    )
            async with following(copy, zone.client()):
                await until(level(source, copy))
        check_same(source, copy)

    run(main())


def test_the_copys_own_feed_is_pruned(stores: Stores) -> None:
    source, copy = stores

    async def main() -> None:
        for number in range(60):
            source.apply([put(f"{ZONE}.1/{number}")], 9)
        async with serving(source) as zone, following(copy, zone.client(), keep=20):
            await until(level(source, copy))
            await until(lambda: copy.changes(None, 1).parts[0].bounds is not None)
        check_agreement(copy)

    run(main())


# Confirmation ----------------------------------------------------------------------------------------


def test_what_is_acknowledged_is_at_the_follower(tmp_path: Path) -> None:
    """Whatever the moment at which the disk of the zone is lost."""
    source, copy = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    acknowledged: set[bytes] = set()

    async def write(zone: Registry, name: str) -> None:
        async with zone.client(WRITER)() as writer:
            for number in range(100_000):
                batch = [put(f"{ZONE}.{name}/{number}-{i}") for i in range(number % 5 + 1)]
                outcomes = await writer.write(batch)
                assert {outcome.status for outcome in outcomes} == {Status.OK}
                acknowledged.update(one.identifier for one in batch)

    async def main() -> None:
        async with serving(source, confirm=True) as zone, following(copy, zone.client()):
            await until(lambda: zone.followers.status(0, 0.0)["behind_one"] == 0)
            writers = [asyncio.create_task(write(zone, str(number))) for number in range(5)]
            await until(lambda: len(acknowledged) > 700)
            held = set(everything(copy))  # what would be left if the disk were gone now
            assert acknowledged <= held
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)

    run(main())
    source.close()
    copy.close()


def test_without_a_follower_nothing_is_written(tmp_path: Path) -> None:
    source, copy = MemoryStore(), MemoryStore()

    async def main() -> None:
        async with serving(source, confirm=True) as zone, zone.client(WRITER)() as writer:
            with pytest.raises(Refused) as caught:
                await writer.write([put(f"{ZONE}.1/x")])
            assert caught.value.rule is NO_FOLLOWER
            assert everything(source) == {}
            async with following(copy, zone.client(OTHER_FOLLOWER)):
                await until(lambda: zone.followers.status(0, 0.0)["behind_two"] == 0)
                assert (await writer.write([put(f"{ZONE}.1/x")]))[0].changed
            assert everything(copy) == everything(source)

    run(main())


# Chain and statement ---------------------------------------------------------------------------------


class Kept:
    """Notes what the zone gives."""

    def __init__(self) -> None:
        self.chains: list[tuple[bytes, ...]] = []
        self.statements: list[tuple[bytes, str]] = []

    def take_chain(self, delegations: tuple[bytes, ...]) -> bool:
        self.chains.append(delegations)
        return True

    def take_statement(self, statement: bytes, zone: Zone, now: int) -> bool:
        self.statements.append((statement, zone.prefix))
        return True


def test_statements_are_taken_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "FIRST_REFRESH_SECONDS", 0.05)
    kept = Kept()

    async def main() -> None:
        async with serving(MemoryStore()) as zone, following(MemoryStore(), zone.client(), identity=kept):
            await until(lambda: len(kept.chains) > 1)
            assert not kept.statements
            zone.rights.vouched = {"one": b"statement", "two": b"another's"}
            await until(lambda: kept.statements == [(b"statement", ZONE)])

    run(main())
    assert set(kept.chains) == {()}
