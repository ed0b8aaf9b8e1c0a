"""Reading with a key through the command, at a node in processes of its own: workers know what the registry knows."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest

from config.keyfiles import make_seed, write_secret
from config.load import load_settings
from protocol.errors import Refused
from protocol.status import Exit
from registry.store.lmdb.writer import LmdbStore
from resolver.client import Client, load_anchor
from resolver.readers import REVOKED
from tests.conftest import MakeNode
from tests.e2e.nodes import CLEAN, Node
from tests.resolver.readers_house import READS, RECORDS, ReadersHouse
from tests.resolver.servers import run
from tests.resolver.test_readers import revoke_key
from tests.resolver.test_reading import kinds


def test_values_that_are_not_for_everybody(node: Node, tmp_path: Path) -> None:
    name, writer = "88.118.71/P1", node.directory / "keys" / "writer.pem"
    assert node.run("register", name, "-v", "COST=9.5", "--restricted").code == 0
    [public] = node.run("resolve", "--json", name).lines()
    assert (public["status"], public["values"]) == ("ok", [])
    [whole] = node.run("resolve", "--json", name, "--key", writer).lines()
    assert [value["data"] for value in whole["values"]] == ["9.5"]
    [version] = node.run("history", "--json", name, "--key", writer).lines()
    assert [value["data"] for value in version["values"]] == ["9.5"]

    receipt = tmp_path / "p1.receipt"
    assert node.run("resolve", name, "--key", writer, "--receipt", receipt).code == 0
    [kept] = node.run("verify", "--json", receipt).lines()
    assert kept["values"] == whole["values"]

    stranger = tmp_path / "stranger.pem"
    write_secret(stranger, make_seed())
    refused = node.run("resolve", name, "--key", stranger)
    assert (refused.code, refused.out) == (Exit.NOT_PERMITTED, "")
    assert "proves nobody" in refused.err
    assert node.run("resolve", name, "--token", "bst_" + "a" * 43).code == Exit.NOT_PERMITTED
    assert node.run("resolve", name, "--key", writer, "--token", "x").code == Exit.BAD_INPUT
    assert node.run("resolve", name, "--key", writer, "--udp").code == Exit.USAGE
    assert node.run("resolve", name, "--key", tmp_path / "none.pem").code == Exit.SETTINGS


def test_what_is_revoked_ends_on_all_workers(make_node: MakeNode) -> None:
    """Workers in processes of their own, and open connections to each; this process is the registry that writes."""
    node = make_node()
    store = LmdbStore(load_settings(node.config).store_path)
    house = ReadersHouse(store, int(time.time()))
    anchor, name = load_anchor(node.directory / "anchor.toml"), RECORDS["templated"]

    async def main(ports: list[int]) -> None:
        servers = [f"127.0.0.3:{port}" for port in ports]
        key, token = house.keys["identity that is named"], house.tokens["token of a named identity"]
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(one, anchor=anchor, key=key)) for one in servers]
            for client in clients:
                assert kinds((await client.resolve(name)).record) == READS["identity that is named"]
            revoke_key(house)
            for client in clients:
                with pytest.raises(Refused) as caught:
                    await client.resolve(name)
                assert caught.value.rule is REVOKED
            shown = await stack.enter_async_context(Client(servers, anchor=anchor, token=token, connections=4))
            assert kinds((await shown.resolve(name)).record) == READS["identity that is named"]

    with ExitStack() as stack:
        ports = [free_port("127.0.0.3") for _ in range(2)]
        for port in ports:
            stack.enter_context(worker(node, port))
        run(main(ports))
    store.close()


@contextmanager
def worker(node: Node, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "resolver.worker", str(node.config), str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=CLEAN,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as held:
        port = held.getsockname()[1]
        assert isinstance(port, int)
        return port
