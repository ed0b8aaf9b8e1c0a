"""The registry process killed while two clients mint: what was given out was reserved, and comes once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Iterator

import pytest

from config.keyfiles import read_anchor, read_secret
from protocol.errors import BiaoshiError
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor
from registry.minting.client import MintingClient
from tests.conftest import MakeNode
from tests.e2e.nodes import Node
from tests.faults.test_killed_registry import HOST, Registry
from tests.long import share

KILLS = (3, pytest.param(share(40), marks=pytest.mark.long))
PREFIX = "88.118.7"


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    return make_node(HOST)


@pytest.fixture
def registry(node: Node) -> Iterator[Registry]:
    one = Registry(node)
    yield one
    one.close()


def client(node: Node, port: int) -> MintingClient:
    anchor = TrustAnchor.parse(*read_anchor(node.directory / "anchor.toml"))
    key = SigningKey(read_secret(node.directory / "keys" / "writer.pem"))
    return MintingClient(HOST, port, anchor=anchor, key=key, timeout=10.0)


async def mint(node: Node, port: int, stop: asyncio.Event, given: list[str]) -> None:
    """Mint until told to stop, whatever happens to the registry."""
    while not stop.is_set():
        with contextlib.suppress(BiaoshiError, OSError):
            async with client(node, port) as connection:
                while not stop.is_set():
                    async for identifiers in connection.mint(PREFIX, "r", random.randrange(1, 300)):
                        given += identifiers
        await asyncio.sleep(0.01)


async def kill_and_mint(node: Node, registry: Registry, kills: int) -> list[list[str]]:
    registry.start()
    async with client(node, registry.port) as connection:
        await connection.set_rule(PREFIX, "r", "B{0000000..9999999}", "UTC")
    given: list[list[str]] = [[], []]
    stop = asyncio.Event()
    clients = [asyncio.create_task(mint(node, registry.port, stop, mine)) for mine in given]
    for _ in range(kills):
        await asyncio.sleep(0.2 + random.random() / 5)
        await asyncio.to_thread(registry.end, signal.SIGKILL)
        await asyncio.to_thread(registry.start)
    stop.set()
    await asyncio.gather(*clients)
    return given


@pytest.mark.parametrize("kills", KILLS)
def test_what_was_minted_before_a_crash_is_not_minted_again(node: Node, registry: Registry, kills: int) -> None:
    given = asyncio.run(kill_and_mint(node, registry, kills))
    everything = [identifier for mine in given for identifier in mine]
    assert len(everything) > 500 * kills
    assert all(given)
    assert len(set(everything)) == len(everything)
    assert registry.end(signal.SIGTERM) == 0
