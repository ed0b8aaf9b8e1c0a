"""A recursive node before a top, a secondary and an enterprise node, all made and run by the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.keyfiles import read_anchor
from protocol.answers import Answer
from protocol.errors import Refused, Unreachable
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import Client
from tests.e2e.nodes import Node, Outcome, change, children, run
from tests.e2e.test_delegation import Tree, eventually

PUMP = "88.118.32001/P1"
SHORT = "88.118.32001/short"
HOSTED = "88.118.5/S1"
ZH = {"BIAOSHI_LANG": "zh"}


class RecursiveNode(Node):
    """A recursive node, made and run by the command."""

    def __init__(self, directory: Path, host: str, anchor: Path, *roots: str) -> None:
        self.directory = directory
        self.prefix = ""
        self.config = directory / "biaoshi.toml"
        self.log = directory.with_name(directory.name + ".log")
        named = [word for root in roots for word in ("--root", root)]
        self.made = run("init", "recursive", "--anchor", anchor, *named, "--dir", directory, "--port", 0)
        assert self.made.code == 0, self.made.err
        change(self.config, "host", f'"{host}"')
        self._process = None


class Province(Tree):
    """The tree with a recursive node."""

    recursive: RecursiveNode

    def begin(self) -> None:
        """Start all, delegate, register."""
        self.start()
        for node in self.nodes:  # so that they are found again after a restart
            change(node.config, "port", node.address("resolver").rpartition(":")[2])
        for node in self.nodes:
            text = node.config.read_text("utf-8")
            head, _, tail = text.partition("[registry]")
            port = node.address("registry").rpartition(":")[2]
            resolver_port = node.address("resolver").rpartition(":")[2]
            node.config.write_text(head + "[registry]" + tail.replace(f"port = {resolver_port}", f"port = {port}", 1))
        self.delegate(self.top, self.secondary)
        self.delegate(self.secondary, self.enterprise)
        for node, name, more in (
            (self.enterprise, PUMP, ()), (self.enterprise, SHORT, ("--ttl", 1)), (self.secondary, HOSTED, ()),
        ):  # fmt: skip
            done = node.run("register", name, "-v", f"URL=https://example.cn/{name[-2:]}", *more)
            assert done.code == 0, done.err
        where = self.top.directory.with_name("recursive")
        self.recursive = RecursiveNode(where, "127.0.0.7", self.anchor, self.top.address("resolver"))
        self.recursive.start()

    def resolve(self, *arguments: object, anchor: Path | None = None, **options: object) -> Outcome:
        """Resolve through the recursive node, with the top's anchor alone."""
        server = self.recursive.address("resolver")
        return run("resolve", *arguments, "--server", server, "--anchor", anchor or self.anchor, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """One for all tests: each leaves it with everything running, and asks for names of its own where the cache would
    know too much."""
    made = Province(tmp_path_factory.mktemp("province"), "127.0.0.7")
    made.begin()
    yield made
    for node in (made.recursive, *made.nodes):
        assert node.stop() == 0, node.said()
        assert "Traceback" not in node.said()
        assert "exception was never retrieved" not in node.said()


def test_one_address_and_one_key(province: Province, tmp_path: Path) -> None:
    """What a supply-chain application has; every kind of answer, with receipts that hold elsewhere."""
    outcome = province.resolve(PUMP, HOSTED, "--json")
    assert outcome.code == 0, outcome.err
    pump, hosted = outcome.lines()
    assert pump["values"][0]["data"] == "https://example.cn/P1"
    assert pump["proof"]["zone"] == "88.118.32001"
    assert hosted["proof"]["zone"] == "88.118"
    for name in ("88.118.32001/none", "88.7/none"):
        assert province.resolve(name).code == Exit.NOT_FOUND
    assert province.resolve("99/none").code == Exit.NOT_FOUND
    assert province.resolve("no-slash").code == Exit.BAD_INPUT
    assert province.resolve(PUMP, "--udp").code == 0

    receipt = tmp_path / "pump.receipt"
    assert province.resolve(PUMP, "--receipt", receipt).code == 0
    verified = run("verify", receipt, "--anchor", province.anchor)
    assert verified.code == 0
    assert "zone 88.118.32001" in verified.out
    assert run("verify", receipt, "--anchor", province.recursive.directory / "anchor.toml").code == Exit.NOT_VERIFIED

    # From the top itself, from a sibling's node, and with the recursive node's own anchor.
    for address in (node.address("resolver") for node in province.nodes):
        answered = run("resolve", PUMP, "--server", address, "--anchor", province.anchor)
        assert answered.code == 0, answered.err
    trusting = province.recursive.run("resolve", PUMP)
    assert trusting.code == 0
    assert "zone (root)" in trusting.out
    # An anchor of somebody else: nothing is believed.
    assert province.resolve(PUMP, anchor=_stranger(tmp_path)).code == Exit.NOT_VERIFIED

    shown = json.loads(province.recursive.run("status", "--json").out)
    assert shown["role"] == "recursive"
    assert shown["hits"] > 0
    assert shown["misses"] > 0
    assert "缓存命中" in province.recursive.run("status", env=ZH).out


def _stranger(directory: Path) -> Path:
    made = run("init", "top", "--prefix", "88", "--dir", directory / "stranger")
    assert made.code == 0
    return directory / "stranger/anchor.toml"


def test_the_steps(province: Province) -> None:
    """Cold, warm, in Chinese, and without a recursive node."""
    assert province.recursive.stop() == 0  # so that it knows nothing
    province.recursive.start()
    cold = province.resolve("88.118.32001/cold", "--trace").err
    for zone, node in (("88", province.top), ("88.118", province.secondary), ("88.118.32001", province.enterprise)):
        assert f"{zone:<16} {node.address('resolver')}" in cold
    assert "what the recursive node" in cold
    assert "verified on this machine" in cold
    assert "88.118 → 88.118.32001" in cold
    assert "not_found" in cold
    warm = province.resolve("88.118.32001/cold", "--trace").err
    assert "from cache" in warm
    assert province.enterprise.address("resolver") not in warm
    chinese = province.resolve("88.118.32001/cold", "--trace", env=ZH).err
    assert "缓存" in chinese
    assert "本机验证" in chinese
    top = province.top.address("resolver")
    itself = run("resolve", PUMP, "--server", top, "--anchor", province.anchor, "--trace").err
    assert "recursive" not in itself
    assert f"88.118.32001     {province.enterprise.address('resolver')}" in itself


def test_an_enterprise_that_dies_hangs_and_comes_back(province: Province) -> None:
    assert province.resolve(SHORT, PUMP).code == 0
    # It hangs: known answers are given, also the one whose time is over, marked.
    hung = [province.enterprise.process("resolver"), province.enterprise.pid]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert province.resolve(PUMP).code == 0
        eventually(lambda: "stale" in province.resolve(SHORT).out)
        stale = province.resolve(SHORT, "--json").lines()[0]
        assert stale["stale"] is True
        assert stale["age"] >= 1
        assert stale["proof"]["zone"] == "88.118.32001"
        unknown = province.resolve("88.118.32001/P2")
        assert unknown.code == Exit.UNREACHABLE
        assert "88.118.32001 [" in unknown.err
        assert province.resolve(HOSTED, "88.118.5/none").code == Exit.NOT_FOUND, "others are served"
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: province.resolve("88.118.32001/P2").code == Exit.NOT_FOUND)
    eventually(lambda: "stale" not in province.resolve(SHORT).out)
    # It dies, and is started again at the same address.
    for pid in children(province.enterprise.pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: province.resolve("88.118.32001/P3").code == Exit.NOT_FOUND)


def test_the_worker_of_the_recursive_node_dies(province: Province) -> None:
    assert province.resolve(PUMP).code == 0
    os.kill(province.recursive.process("resolver"), signal.SIGKILL)
    eventually(lambda: province.resolve(PUMP).code == 0)


def test_a_program_that_goes_on_while_nodes_come_and_go(province: Province) -> None:
    """Thousands of questions through a recursive node whose workers and authorities are killed in between: each answer
    that comes is verified, and at the end all come."""

    async def asked() -> int:
        anchor = TrustAnchor.parse(*read_anchor(province.anchor))
        address = province.recursive.address("resolver")
        right = 0
        async with Client(address, anchor=anchor, timeout=20, retries=8) as client:
            for turn in range(6):
                if turn == 2:
                    os.kill(province.recursive.process("resolver"), signal.SIGKILL)
                if turn == 4:
                    os.kill(province.enterprise.process("resolver"), signal.SIGKILL)
                    await asyncio.sleep(0.5)
                names = [PUMP, HOSTED, *[f"88.118.32001/{turn}-{number}" for number in range(300)]]
                answers = await _patiently(client, names)
                assert [answer.identifier for answer in answers] == names
                assert [answer.found for answer in answers] == [True, True, *[False] * 300]
                right += len(answers)
        return right

    assert asyncio.run(asked()) == 6 * 302


async def _patiently(client: Client, names: list[str]) -> list[Answer]:
    """The answers, as soon as the zone is served again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return [answer async for answer in client.resolve_many(names)]
        except Refused as error:
            if error.status is not Status.UNRESOLVED:
                raise
        except Unreachable:
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


def test_wrong_ways_to_make_one(tmp_path: Path) -> None:
    made = run("init", "top", "--prefix", "88", "--dir", tmp_path / "top")
    assert made.code == 0
    anchor = tmp_path / "top/anchor.toml"
    where = tmp_path / "recursive"
    for wrong in (
        ("--anchor", anchor), ("--root", "127.0.0.1"), ("--anchor", anchor, "--root", "127.0.0.1", "--prefix", "88"),
    ):  # fmt: skip
        assert run("init", "recursive", *wrong, "--dir", where).code == Exit.USAGE
    assert run("init", "recursive", "--anchor", anchor, "--root", "a:b", "--dir", where).code == Exit.SETTINGS
    assert run("init", "recursive", "--anchor", tmp_path / "none", "--root", "a", "--dir", where).code == Exit.SETTINGS
    assert run("init", "secondary", "--dir", where).code == Exit.USAGE
    good = run("init", "recursive", "--anchor", anchor, "--root", "a", "--root", "b:1", "--dir", where, env=ZH)
    assert good.code == 0
    assert "递归节点已创建" in good.out
    assert 'roots = ["a:26410", "b:1"]' in (where / "biaoshi.toml").read_text("utf-8")
    change(where / "biaoshi.toml", "prefix", '"88"')
    change(where / "biaoshi.toml", "roots", "[]")
    change(where / "biaoshi.toml", "cache_bytes", "7")
    refused = run("serve", "--config", where / "biaoshi.toml")
    assert refused.code == Exit.SETTINGS
    for option in ("node.prefix", "recursion.roots", "recursion.cache_bytes"):
        assert option in refused.err
