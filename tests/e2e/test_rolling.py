"""Keys of zones and anchors replaced in steps, with real nodes, and no answer missed meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.keyfiles import read_anchor
from config.load import load_settings
from protocol.errors import BiaoshiError
from protocol.status import Exit
from protocol.trust import TrustAnchor
from resolver.client import Client
from tests.e2e.nodes import Node, run
from tests.e2e.test_delegation import Tree, ask, eventually, fetch

pytestmark = pytest.mark.timeout(600)  # dozens of commands, each a process, on whatever machine


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path, "127.0.0.7")
    yield made
    for node in made.nodes:
        assert node.stop() == 0, node.said()
        assert "Traceback" not in node.said()


class Asking:
    """Asks all the time, on one connection and on new ones, until told to stop; what goes wrong is kept."""

    def __init__(self, node: Node, anchor: TrustAnchor, identifier: str) -> None:
        self.answers = 0
        self.failure: BiaoshiError | None = None
        self._stop = threading.Event()
        asking = self._ask(node.address("resolver"), anchor, identifier)
        self._thread = threading.Thread(target=asyncio.run, args=(asking,))

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _ask(self, address: str, anchor: TrustAnchor, identifier: str) -> None:
        try:
            async with Client(address, anchor=anchor, timeout=30.0) as steady:
                while not self._stop.is_set():
                    async with Client(address, anchor=anchor, timeout=30.0) as fresh:
                        for client in (steady, fresh):
                            assert (await client.resolve(identifier)).found
                            self.answers += 1
                    await asyncio.sleep(0.01)
        except BiaoshiError as error:
            self.failure = error


def steps(node: Node) -> Callable[..., str]:
    """A step of the zone's key that succeeds: what it says."""

    def step(*arguments: object) -> str:
        done = run(*arguments, "--config", node.config)
        assert done.code == 0, done.err
        return done.out

    return step


def zone_keys(node: Node) -> list[str]:
    return load_settings(node.config).keys.zone


def again(parent: Node, child: Node, anchor: Path) -> None:
    """Ask without a code, as the parent knows the key; have it issued; fetch; wait until the child shows it."""
    asked = run("delegate", "ask", "--config", child.config, "--anchor", anchor, "--address", child.address("resolver"))
    assert asked.code == 0, asked.err
    issued = parent.run("delegate", "issue", child.prefix)
    assert issued.code == 0, issued.err
    assert fetch(child, anchor).code == 0
    eventually(lambda: child.run("status").code == 0)


def test_a_zone_changes_its_key(tree: Tree) -> None:
    tree.start()
    top, secondary, enterprise = tree.nodes
    tree.delegate(top, secondary)
    tree.delegate(secondary, enterprise)
    pump = "88.118.32001/P1"
    assert enterprise.run("register", pump, "-v", "NAME=x").code == 0
    step = steps(secondary)
    [old] = zone_keys(secondary)
    assert run("zone-key", "use", "--config", secondary.config).code == Exit.SETTINGS
    assert run("zone-key", "drop", "--config", secondary.config).code == Exit.SETTINGS
    with Asking(enterprise, TrustAnchor.parse(*read_anchor(tree.anchor)), pump) as asking:
        new = step("zone-key", "new").splitlines()[0]
        assert zone_keys(secondary) == [old, new]
        assert run("zone-key", "new", "--config", secondary.config).code == Exit.SETTINGS
        early = run("zone-key", "use", "--config", secondary.config)
        assert early.code == Exit.SETTINGS
        assert "does not name the new key yet" in early.err
        again(top, secondary, tree.anchor)
        assert run("zone-key", "drop", "--config", secondary.config).code == Exit.SETTINGS
        step("zone-key", "use")
        assert zone_keys(secondary) == [new, old]
        # The running node signs its child's delegation anew, and the child fetches it.
        eventually(lambda: "serial 2" in secondary.run("delegate", "list").out)
        assert fetch(enterprise, tree.anchor).code == 0
        eventually(lambda: "serial 2" in run("delegate", "fetch", "--config", enterprise.config).out)
        step("zone-key", "drop")
        assert zone_keys(secondary) == [new]
        again(top, secondary, tree.anchor)
        shown = top.run("delegate", "list").out
        assert shown.count("  ") == 4, "one key only: " + shown
        assert fetch(enterprise, tree.anchor).code == 0
        eventually(lambda: enterprise.run("resolve", pump).code == 0)
    assert asking.failure is None
    assert asking.answers > 50
    assert secondary.run("status").code == 0
    traced = enterprise.run("resolve", pump, "--trace")
    assert "88.118 → 88.118.32001, serial 2" in traced.err


def test_an_anchor_changes_its_key(tree: Tree, tmp_path: Path) -> None:
    top, secondary = tree.top, tree.secondary
    top.start()
    secondary.start()
    tree.delegate(top, secondary)
    product = "88.118.1/x"
    assert secondary.run("register", product, "-v", "NAME=x").code == 0
    held, missed, offline = (tmp_path / name for name in ("held.toml", "missed.toml", "offline.toml"))
    for copy in (held, missed, offline):
        shutil.copy(tree.anchor, copy)
    step = steps(top)
    [old] = zone_keys(top)
    assert run("anchor", "roll", "--config", top.config).code == Exit.SETTINGS
    new = step("zone-key", "new").splitlines()[0]
    early = run("zone-key", "use", "--config", top.config)
    assert early.code == Exit.SETTINGS
    assert "biaoshi anchor roll" in early.err
    nothing = run("anchor", "update", held, "--server", top.address("resolver"))
    assert nothing.code == Exit.NOT_VERIFIED, "nothing leads on yet"
    assert f"{old} -> {new}" in step("anchor", "roll", "--days", 30)
    assert read_anchor(tree.anchor) == ("88", old, new)

    def followed(copy: Path, *source: object) -> bool:
        done = run("anchor", "update", copy, *source)
        return done.code == 0 and read_anchor(copy) == ("88", old, new)

    eventually(lambda: followed(held, "--server", top.address("resolver")))
    assert followed(offline, top.directory / "keys/successions")
    assert followed(secondary.directory / "anchor.toml", "--server", top.address("resolver"))
    with Asking(secondary, TrustAnchor.parse(*read_anchor(held)), product) as asking:
        step("zone-key", "use")
        eventually(lambda: "serial 2" in top.run("delegate", "list").out)
        assert fetch(secondary, secondary.directory / "anchor.toml").code == 0
        eventually(lambda: run("resolve", product, "--server", secondary.address("resolver"), "--anchor", missed).code
                   == Exit.NOT_VERIFIED)  # fmt: skip
        for copy in (held, offline):
            done = run("resolve", product, "--server", secondary.address("resolver"), "--anchor", copy)
            assert done.code == 0, done.err
        step("zone-key", "drop")
    assert asking.failure is None
    assert asking.answers > 10
    assert followed(missed, "--server", top.address("resolver")), "also who has missed it follows"
    assert run("anchor", "update", missed).code == Exit.USAGE
    assert ask(top, secondary, held).code == 0


def test_help_has_examples() -> None:
    for command in ("zone-key new", "zone-key use", "zone-key drop", "anchor roll", "anchor update"):
        shown = run(*command.split(), "--help")
        assert shown.code == 0
        assert "Example" in shown.out
