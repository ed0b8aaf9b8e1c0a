"""Enterprises and identities in a registry as it runs: its committer, its store, and a worker that reads beside it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import structlog

from biaoshi.making import make_node
from config.keyfiles import read_anchor, read_identity
from config.load import load_settings
from config.settings import FollowerSettings, Settings
from protocol.errors import BiaoshiError, Refused
from protocol.node import own_keys
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.accounts import Accounts
from registry.audit.export import verify
from registry.changes import Change
from registry.enterprises.bodies import Allot
from registry.identities.bodies import NewIdentity, NewToken
from registry.server import OpenRegistry, open_registry
from registry.store.callers.permissions import Role
from registry.store.lmdb.reader import LmdbReader
from tests.e2e.nodes import change as change_option
from tests.registry.house import ADMINISTRATOR, AUDITOR, WHY, ZONE, application, code
from tests.registry.store.builders import put
from tests.resolver.servers import run

LOG = structlog.stdlib.get_logger()


def made(directory: Path, **options: str) -> Settings:
    """A node's settings, with options of its configuration changed."""
    config = make_node("secondary", ZONE, directory, port=0)
    for option, value in options.items():
        change_option(config, option, value)
    return load_settings(config)


def opened(settings: Settings) -> AbstractAsyncContextManager[OpenRegistry]:
    """Its registry, as the process opens it."""
    own = own_keys(ZONE, *read_identity(settings), now=int(time.time()))
    return open_registry(settings, ZONE, own, 0, LOG)


async def do(accounts: Accounts, change: Change[Any]) -> Any:
    """Have a change carried out; its result, or the error."""
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    accounts.carry_out(change, answer.set_result)
    result = await answer
    if isinstance(result, BiaoshiError):
        raise result
    return result


async def hosted(registry: OpenRegistry, number: int, now: int) -> str:
    accounts = registry.accounts
    await do(accounts, accounts.enterprises.apply(ADMINISTRATOR, application(number), now))
    await do(accounts, accounts.enterprises.approve(AUDITOR, code(number), now))
    given = await do(accounts, accounts.enterprises.allot(ADMINISTRATOR, code(number), Allot(), now))
    await do(accounts, accounts.enterprises.host(ADMINISTRATOR, given.prefix, now))
    return str(given.prefix)


def test_a_worker_takes_a_suspension_up_with_its_next_answer(tmp_path: Path) -> None:
    settings = made(tmp_path / "node")
    now = int(time.time())

    async def main() -> None:
        async with opened(settings) as registry:
            accounts = registry.accounts
            prefix = await hosted(registry, 1, now)
            name = f"{prefix}/P1".encode()
            await asyncio.to_thread(registry.store.apply, [put(name.decode())], now)
            reader = LmdbReader(settings.store_path, registry.store._tables, cache_bytes=1 << 20)
            for _ in range(3):
                assert reader.get(name) is not None
                await do(accounts, accounts.enterprises.suspend(ADMINISTRATOR, prefix, WHY, now))
                reader.rest()
                assert (reader.get(name), reader.get_many([name]), reader.closure(prefix)) == (
                    None, [None], Status.SUSPENDED,
                )  # fmt: skip
                await do(accounts, accounts.enterprises.resume(ADMINISTRATOR, prefix, WHY, now))
                reader.rest()
            reader.close()

    run(main())


def test_many_at_once_and_over_a_restart(tmp_path: Path) -> None:
    """Each is told its own result, the log has all of them in one chain, and what was issued is good afterwards."""
    settings = made(tmp_path / "node", digits="3", first_number="7")
    now = int(time.time())
    secrets: dict[str, str] = {}

    async def first() -> None:
        async with opened(settings) as registry:
            accounts = registry.accounts
            prefix = await hosted(registry, 1, now)
            assert prefix == f"{ZONE}.007"
            names = [f"{prefix}/U.{number}" for number in range(200)]
            bodies = [NewIdentity(name=name, roles=[Role.ENTERPRISE_WRITER]) for name in names]
            made_ = await asyncio.gather(
                *(do(accounts, accounts.identities.create(ADMINISTRATOR, body, now)) for body in bodies)
            )
            assert [view.name for view in made_] == names
            for name in names[:20]:
                issued = await do(accounts, accounts.identities.issue_token(ADMINISTRATOR, name, NewToken(), now))
                secrets[name] = issued.secret
            twice = [do(accounts, accounts.enterprises.suspend(ADMINISTRATOR, prefix, WHY, now)) for _ in range(2)]
            one, other = await asyncio.gather(*twice, return_exceptions=True)
            assert one.stage == "suspended"
            assert isinstance(other, Refused)

    async def second() -> None:
        async with opened(settings) as registry:
            accounts = registry.accounts
            for name, secret in secrets.items():
                assert accounts.directory.by_token(secret, "127.0.0.1", now).name == name
            lines = list(accounts.audit.export(AUDITOR, now))
            anchor = TrustAnchor.parse(*read_anchor(settings.path("anchor.toml")))
            assert verify(lines, anchor).entries == 5 + 200 + 20 + 1
            assert await hosted(registry, 2, now) == f"{ZONE}.008"

    run(first())
    run(second())


def test_nothing_is_changed_where_a_follower_must_have_it_and_none_is_there(tmp_path: Path) -> None:
    settings = made(tmp_path / "node")
    follower = FollowerSettings(name="custody-1", key=str(SigningKey(b"f" * 32).public))
    settings.registry.followers.append(follower)
    settings.registry.acknowledge = "custody"
    now = int(time.time())

    async def main() -> None:
        async with opened(settings) as registry:
            accounts = registry.accounts
            before = registry.store.standing().end
            for _ in range(2):
                with pytest.raises(BiaoshiError) as caught:
                    await do(accounts, accounts.enterprises.apply(ADMINISTRATOR, application(), now))
                assert caught.value.rule.name == "registry.no-follower"
            assert registry.store.standing().end == before

    run(main())
