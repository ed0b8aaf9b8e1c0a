"""The door of a copy: who may follow it, what it says, when it opens; and the zone that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from biaoshi.custody.making import add_zone, custody_settings, make_custody
from biaoshi.custody.vouching import vouch
from config.keyfiles import AnchorFile, write_anchor
from config.load import load_settings, put_option
from config.process import bind
from protocol.address import Address
from protocol.errors import NotVerified, Refused
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor, Zone
from registry.client import RegistryClient
from registry.following import asking as asking_module
from registry.following.asking import Asking, ends_of_copy
from registry.following.door import CopyDoor
from registry.following.identity import Identity
from registry.following.progress import Progress
from registry.putback import PutBack
from registry.store.interface import Store, flat
from registry.store.memory import MemoryStore
from tests.registry.following.zones import ANCHOR, FOLLOWER, HOST, ZONE, ZONE_KEY
from tests.registry.store.builders import everything, put
from tests.registry.store.test_copying import take

NOW: Final = int(time.time())
LOG: Final = structlog.get_logger()


def free_port() -> int:
    with closing(bind(HOST, 0, socket.SOCK_STREAM)) as one:
        port: int = one.getsockname()[1]
        return port


class Copied:
    """A custody node's copy of the zone, its files, and its door."""

    def __init__(self, directory: Path, store: Store) -> None:
        config = make_custody(directory / "custody")
        put_option(config, "registry.host", f'"{HOST}"')
        text = config.read_text("utf-8")
        follower = f'[[registry.followers]]\nname = "other"\nkey = "{FOLLOWER.public}"\n'
        config.write_text(text.replace("\n[log]\n", f"\n{follower}\n[log]\n"), "utf-8")
        write_anchor(directory / "anchor.toml", AnchorFile(ZONE, str(ZONE_KEY.public)))
        prepared = add_zone(custody_settings(config), ZONE, ["127.0.0.1:1"], directory / "anchor.toml", 0)
        self.online = prepared.request.online
        settings = load_settings(config)
        self.view = settings.copy_of(settings.zones[0])
        self.identity = Identity(self.view, ANCHOR)
        self.port = free_port()
        self.progress = Progress(ZONE, store.standing(), 0.0)
        self.door = CopyDoor(self.view, self.port, store, self.identity, lambda: self.progress, LOG)

    def vouch(self, key: SigningKey = ZONE_KEY, zone: str = ZONE, days: float = 1.0) -> bytes:
        """A statement for its online key."""
        return vouch(zone, "custody-1", self.online, key, NOW, days)

    def client(self, key: SigningKey | None, *, at_copy: bool | None = None) -> RegistryClient:
        own = key is ZONE_KEY if at_copy is None else at_copy
        return RegistryClient(HOST, self.port, anchor=ANCHOR, key=key, at_copy=own)


@contextlib.asynccontextmanager
async def opened(copied: Copied) -> AsyncIterator[Copied]:
    """The copy with its door open."""
    assert copied.identity.take_statement(copied.vouch(), Zone(ZONE, (ZONE_KEY.public,), 0, 1 << 62, ()), NOW)
    await copied.door.look()
    try:
        yield copied
    finally:
        await copied.door.close()


def source_and_copy() -> tuple[MemoryStore, MemoryStore]:
    source, copy = MemoryStore(), MemoryStore()
    source.apply([put(f"{ZONE}.1/{number}") for number in range(30)], 1)
    take(source, copy)
    return source, copy


def test_followers_and_the_zone_itself_may_follow(tmp_path: Path) -> None:
    source, copy = source_and_copy()

    async def main() -> None:
        async with opened(Copied(tmp_path, copy)) as copied:
            for key in (FOLLOWER, ZONE_KEY):
                async with copied.client(key) as client:
                    page = await client.changes(None, 1_000)
                    assert dict(flat(page).entries) == everything(source)
                    with pytest.raises(Refused) as caught:
                        await client.write([put(f"{ZONE}.1/x")])
                    assert caught.value.status == Status.NOT_PERMITTED
            with pytest.raises(Refused):
                await copied.client(SigningKey(b"x" * 32)).__aenter__()
            # What the zone's registry would take is not asked for here, so that it cannot be passed on.
            with pytest.raises(Refused) as caught:
                await copied.client(ZONE_KEY, at_copy=False).__aenter__()
            assert caught.value.status == Status.NOT_AUTHENTICATED
            async with copied.client(None) as client:
                status = await client.status()
            said = (status["role"], status["zone"], status["state"], status["whole"])
            assert said == ("custody", ZONE, "following", 1)
            assert status["behind_other"] == 30, "it has asked, and confirmed nothing"
            assert "behind_(zone)" not in status
        assert everything(copy) == everything(source)

    asyncio.run(main())


def test_the_door_opens_when_the_zone_has_vouched(tmp_path: Path) -> None:
    _, copy = source_and_copy()
    copied = Copied(tmp_path, copy)
    zone = Zone(ZONE, (ZONE_KEY.public,), 0, 1 << 62, ())

    async def main() -> None:
        await copied.door.look()
        copied.door.take_up()
        copied.door.tick()
        copied.door.news()
        await copied.door.close()  # nothing is open yet
        for wrong in (copied.vouch(SigningKey(b"x" * 32)), copied.vouch(zone="88.119"), copied.vouch(days=-1)):
            with pytest.raises(NotVerified):
                copied.identity.take_statement(wrong, zone, NOW + 10)
        other = vouch(ZONE, "custody-1", str(FOLLOWER.public), ZONE_KEY, NOW, 1.0)
        with pytest.raises(NotVerified):
            copied.identity.take_statement(other, zone, NOW)
        async with opened(copied):
            assert not copied.identity.take_statement(copied.vouch(), zone, NOW), "it is there already"
            longer = copied.vouch(days=9.0)
            assert copied.identity.take_statement(longer, zone, NOW)
            copied.door.take_up()
            async with copied.client(None) as client:
                ends = (await client.status())["online_key_ends"]
            assert ends == NOW + 9 * 86_400

    asyncio.run(main())


def test_the_zone_asks_its_copies_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking_module, "AGAIN_SECONDS", 0.05)
    source, copy = source_and_copy()
    backup = MemoryStore()
    backup.copy(source.changes(None, 10))

    async def main() -> None:
        async with opened(Copied(tmp_path, copy)) as copied:
            address = Address(HOST, copied.port)
            ask = partial(Asking, [str(address)], lambda: ANCHOR)
            assert await ends_of_copy(address, ANCHOR, 5.0) == (copy.standing().end, copy.standing().seen)

            put_back = PutBack()
            asking = ask(source, put_back, LOG)
            await asking.first()
            put_back.check()
            await asking.run()  # which has nobody to ask any more

            asking = ask(backup, put_back, LOG)
            await asking.first()
            with pytest.raises(Refused) as caught:
                put_back.check()
            assert str(address) in str(caught.value)
            task = asyncio.create_task(asking.run())
            backup.copy(source.changes(backup.standing().end.cursor(), 1_000))
            await asyncio.wait_for(task, 30)
            put_back.check()

            stranger = TrustAnchor(ZONE, SigningKey(b"x" * 32).public)
            unheard = Asking([str(address), f"{HOST}:1"], lambda: stranger, source, put_back, LOG)
            await unheard.first()
            put_back.check()

    asyncio.run(main())


def test_without_copies_nobody_is_asked() -> None:
    def never() -> Any:
        raise AssertionError

    async def main() -> None:
        asking = Asking([], never, MemoryStore(), PutBack(), LOG)
        await asking.first()
        await asking.run()

    asyncio.run(main())
