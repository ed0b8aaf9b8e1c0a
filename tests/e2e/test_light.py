"""A light node, made and run by the command: everything that a node does, in one process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.keyfiles import read_anchor
from protocol.status import Exit
from protocol.trust import TrustAnchor
from resolver.client import Client
from tests.e2e.nodes import Node, change, children, run
from tests.e2e.test_delegation import eventually


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "light", host="127.0.0.9")
    change(node.config, "processes", '"light"')
    node.start()
    try:
        yield node
    finally:
        node.stop()


def test_one_process_registers_and_resolves(light: Node) -> None:
    assert children(light.pid) == []
    registered = light.run("register", "88.118.32001/P1", "-v", "URL=https://example.cn/1")
    assert registered.code == 0, registered.err
    for transport in ((), ("--udp",)):
        answered = light.run("resolve", "88.118.32001/P1", *transport)
        assert answered.code == 0, answered.err
        assert "verified" in answered.out
    assert light.run("resolve", "88.118.32001/P2").code == Exit.NOT_FOUND
    assert light.run("delete", "88.118.32001/P1").code == 0
    assert "withdrawn" in light.run("resolve", "88.118.32001/P1").out
    assert light.run("list", "88.118.32001").out == ""
    shown = light.run("status").out
    assert str(light.pid) in shown
    assert light.stop() == 0
    assert "Traceback" not in light.said()
    assert not (light.directory / "run.json").exists()


def test_renewed_keys_are_taken_up_by_both_doors(light: Node) -> None:
    def key() -> str:
        return light.run("resolve", "88.118.32001/P1").out.rpartition("online key ")[2]

    before = key()
    assert before
    assert run("renew", "--config", light.config).code == 0
    eventually(lambda: key() != before)
    assert light.run("register", "88.118.32001/P2", "-v", "URL=u").code == 0
    os.kill(light.pid, signal.SIGHUP)  # harmless
    assert light.run("resolve", "88.118.32001/P2").code == 0


def test_answers_while_it_writes(light: Node) -> None:
    """Reads through the store that is being written: what was acknowledged is there, and the map may grow meanwhile."""
    csv = light.directory / "rows.csv"
    csv.write_text(
        "identifier,URL\n" + "".join(f"88.118.32001/P{i:06d},https://example.cn/{i}\n" for i in range(30_000))
    )

    async def asked() -> int:
        anchor = TrustAnchor.parse(*read_anchor(light.directory / "anchor.toml"))
        importing = asyncio.create_task(asyncio.to_thread(light.run, "import", csv))
        turns = 0
        async with Client(light.address("resolver"), anchor=anchor, timeout=20) as client:
            found = 0
            while not importing.done():
                names = [f"88.118.32001/P{i:06d}" for i in range(0, 30_000, 300)]
                now = [answer.found async for answer in client.resolve_many(names)]
                assert sum(now) >= found, "nothing that was there is gone"
                found = sum(now)
                turns += 1
            assert (await importing).code == 0
            assert all([answer.found async for answer in client.resolve_many(names)])
        return turns

    assert asyncio.run(asked()) > 0


def test_a_port_that_somebody_has(light: Node, tmp_path: Path) -> None:
    other = Node(tmp_path / "other", host="127.0.0.9")
    change(other.config, "processes", '"light"')
    text = other.config.read_text("utf-8")
    port = light.address("resolver").rpartition(":")[2]
    other.config.write_text(text.replace("port = 0", f"port = {port}", 1), "utf-8")
    with pytest.raises(AssertionError, match="Is another node running there"):
        other.start()
