"""Delegations through the commands, with real nodes: top, secondary, enterprise; and keys that change under load."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.keyfiles import read_anchor
from protocol.errors import Refused
from protocol.limits import MAX_CODE_ATTEMPTS
from protocol.messages import Op
from protocol.receipts import verify_receipt
from protocol.referrals import read_referral
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from registry.codes import format_code
from resolver.client import Client
from tests.e2e.nodes import Node, Outcome, change, run

ZH = {"BIAOSHI_LANG": "zh"}
PATIENCE_S = 120.0


pytestmark = pytest.mark.timeout(600)  # dozens of commands, each a process, on whatever machine


class Tree:
    """A top, a secondary and an enterprise node, each running."""

    def __init__(self, directory: Path, host: str) -> None:
        self.top = Node(directory / "top", host, "88", "top")
        self.secondary = Node(directory / "secondary", host, "88.118", "secondary")
        self.enterprise = Node(directory / "enterprise", host, "88.118.32001", "enterprise")
        self.nodes = (self.top, self.secondary, self.enterprise)

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    @property
    def anchor(self) -> Path:
        """Where trust begins."""
        return self.top.directory / "anchor.toml"

    def delegate(self, parent: Node, child: Node, *more: object) -> None:
        """Ask with a code, issue, fetch, and wait until the child shows it."""
        asked = ask(parent, child, self.anchor, *more)
        assert asked.code == 0, asked.err
        issued = parent.run("delegate", "issue", child.prefix)
        assert issued.code == 0, issued.err
        fetched = fetch(child, self.anchor)
        assert fetched.code == 0, fetched.err
        eventually(lambda: child.run("status").code == 0)


def ask(parent: Node, child: Node, anchor: Path, *more: object) -> Outcome:
    made = parent.run("delegate", "code", child.prefix, "--hours", 1)
    assert made.code == 0, made.err
    return run("delegate", "ask", "--config", child.config, "--parent", parent.address("registry"), "--anchor", anchor,
               "--code", made.out.split()[0], "--address", child.address("resolver"), *more)  # fmt: skip


def fetch(child: Node, anchor: Path, *more: object) -> Outcome:
    return run("delegate", "fetch", "--config", child.config, "--anchor", anchor, *more)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.2)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path, "127.0.0.6")
    yield made
    for node in made.nodes:
        assert node.stop() == 0, node.said()
        assert "Traceback" not in node.said()


def referred(node: Node, identifier: str, anchor: Path) -> str:
    """The prefix to which a node refers for an identifier; the status where it does not."""

    async def asked() -> str:
        async with Client(node.address("resolver"), anchor=TrustAnchor.parse(*read_anchor(anchor))) as client:
            reply = await client._ask(Op.RESOLVE, identifier.encode())
            if reply.status != Status.REFERRAL:
                return Status.named(reply.status).label
            verifier, proof = client._verifier, reply.proof  # type: ignore[attr-defined]
            statement = read_referral(reply.payload).statement
            claim = verifier.refer(proof, statement, identifier.partition("/")[0], time.time_ns() // 1_000_000)
            assert len(claim.addresses) >= 1
            return claim.child

    return asyncio.run(asked())


def test_from_the_top_down(tree: Tree, tmp_path: Path) -> None:
    tree.start()
    top, secondary, enterprise = tree.nodes
    pump = "88.118.32001/P1"

    # The secondary by a request file, with several addresses.
    request = tmp_path / "secondary.request"
    asked = run("delegate", "request", "--config", secondary.config, "--out", request,
                "--address", secondary.address("resolver"), "--address", "[2001:db8::5]:26410/0,tls")  # fmt: skip
    assert asked.code == 0, asked.err
    assert "[2001:db8::5]:26410/0,tls" in asked.out
    issued = top.run("delegate", "issue", request, "--days", 30)
    assert issued.code == 0, issued.err
    assert "88.118  serial 1" in issued.out
    assert "[2001:db8::5]:26410/0,tls" in issued.out
    assert referred(top, "88.118.1/x", tree.anchor) == "88.118"
    own = fetch(secondary, secondary.directory / "anchor.toml", "--parent", top.address("registry"))
    assert own.code == Exit.SETTINGS, "its own anchor proves nothing"
    fetched = fetch(secondary, tree.anchor, "--parent", top.address("registry"))
    assert fetched.code == 0, fetched.err
    assert fetch(secondary, tree.anchor).out.endswith("as it was\n"), "the parent is remembered"
    old_anchor = tmp_path / "old.toml"
    old_anchor.write_text((enterprise.directory / "anchor.toml").read_text("utf-8"), "utf-8")

    # The enterprise over the network, with a code.
    assert secondary.run("register", pump, "-v", "NAME=hosted").code == 0, "the running node has it when fetch returns"
    eventually(lambda: secondary.run("resolve", pump).code == 0)
    tree.delegate(secondary, enterprise)
    assert "88.118.32001  serial 1" in secondary.run("delegate", "list").out
    assert secondary.run("delegate", "requests").out == ""
    assert enterprise.run("register", pump, "-v", "NAME=own").code == 0

    # What each answers, and from where it is verified.
    shown = enterprise.run("resolve", pump, "--trace")
    assert shown.code == 0, shown.err
    assert re.findall(r"delegation +(\S+) → (\S+),", shown.err) == [("88", "88.118"), ("88.118", "88.118.32001")]
    assert run("resolve", pump, "--server", enterprise.address("resolver"), "--anchor", old_anchor).code == 0
    receipt = tmp_path / "pump.receipt"
    assert enterprise.run("resolve", pump, "--receipt", receipt).code == 0
    assert run("verify", receipt, "--anchor", tree.anchor).code == 0
    assert referred(secondary, pump, tree.anchor) == "88.118.32001"
    assert referred(secondary, "88.118.32001.7/x", tree.anchor) == "88.118.32001"
    assert referred(top, pump, tree.anchor) == "88.118"
    followed = secondary.run("resolve", pump)  # the client goes on by itself to where the referral leads
    assert (followed.code, "own" in followed.out) == (0, True)
    for node, identifier in ((secondary, "88.119.1/x"), (enterprise, "88.118.32002/x"), (enterprise, "88.118/x")):
        assert referred(node, identifier, tree.anchor) == "not_responsible"

    # Revoked: the parent answers again, and the child is told.
    revoked = secondary.run("delegate", "revoke", enterprise.prefix)
    assert (revoked.code, revoked.out) == (0, "88.118.32001  revoked, serial 2\n")
    shown = secondary.run("resolve", pump)
    assert (shown.code, "hosted" in shown.out) == (0, True)
    assert "serial 2  revoked" in secondary.run("delegate", "list").out
    refused = fetch(enterprise, tree.anchor)
    assert refused.code == Exit.NOT_FOUND
    assert "does not delegate" in refused.err
    assert "没有授权" in run("delegate", "fetch", "--config", enterprise.config, env=ZH).err

    # And again: the serial has gone on.
    tree.delegate(secondary, enterprise)
    assert "serial 3" in secondary.run("delegate", "list").out
    renewed = secondary.run("delegate", "renew", enterprise.prefix)
    assert "serial 4" in renewed.out
    assert secondary.run("delegate", "renew", "--due").out == ""


def test_what_is_refused(tree: Tree, tmp_path: Path) -> None:
    for node in (tree.top, tree.secondary):
        node.start()
    top, secondary = tree.top, tree.secondary
    for prefix, code in (("88", Exit.BAD_INPUT), ("89.1", Exit.BAD_INPUT), ("88..1", Exit.BAD_INPUT)):
        assert top.run("delegate", "code", prefix).code == code
    assert top.run("delegate", "issue", "88.118").code == Exit.NOT_FOUND
    assert top.run("delegate", "renew", "88.118").code == Exit.NOT_FOUND
    assert top.run("delegate", "revoke", "88.118").code == Exit.NOT_FOUND
    assert top.run("delegate", "renew").code == Exit.USAGE
    base = ("delegate", "ask", "--config", secondary.config, "--anchor", tree.anchor, "--address", "10.0.0.5:26410")
    assert run(*base).code == Exit.SETTINGS, "no parent"
    base = (*base, "--parent", top.address("registry"))
    assert run(*base).code == Exit.NOT_PERMITTED, "no code, and not delegated yet"
    assert run(*base, "--code", "AAAA").code == Exit.BAD_INPUT
    assert run(*base, "--address", "10.0.0.5:x", "--code", format_code(bytes(10))).code == Exit.SETTINGS
    made = top.run("delegate", "code", "88.118").out.split()[0]
    wrong = run(*base, "--code", format_code(bytes(10)))
    assert wrong.code == Exit.NOT_PERMITTED
    assert "not the code" in wrong.err
    assert run(*base, "--code", made, "--zone-key", top.directory / "keys/zone.pem").code == Exit.SETTINGS
    assert run(*base, "--code", made).code == 0
    assert run(*base, "--code", made, "--address", "10.0.0.6:1").code == Exit.NOT_PERMITTED, "a code serves once"
    assert MAX_CODE_ATTEMPTS > 2
    strange = top.run("delegate", "issue", "88.118", "--zone-key", secondary.directory / "keys/zone.pem")
    assert strange.code == Exit.NOT_PERMITTED
    assert top.run("delegate", "issue", top.config).code != 0, "no request file"
    before = top.run("delegate", "issue", "88.118", "--registry", secondary.address("registry"))
    assert before.code == Exit.NOT_VERIFIED, "another zone's registry"
    assert top.run("delegate", "issue", "88.118").code == 0
    outside = tmp_path / "outside.request"
    assert (
        run("delegate", "request", "--config", tree.enterprise.config, "--address", "a:1", "--out", outside).code == 0
    )
    below = top.run("delegate", "issue", outside)
    assert below.code == Exit.NOT_FOUND
    assert "'88.118.32001' lies below '88.118', which is delegated" in below.err


def test_help_has_examples() -> None:
    for name in ("request", "ask", "fetch", "code", "requests", "issue", "renew", "revoke", "list"):
        shown = run("delegate", name, "--help")
        assert shown.code == 0
        assert "Example" in shown.out


# Keys that change under load ----------------------------------------------------------------------------


class Load:
    """Clients that ask all the time, over TCP, over UDP, and each time on a new connection; every answer verified."""

    def __init__(self, address: str, anchor: TrustAnchor, names: list[str]) -> None:
        self.address = address
        self.anchor = anchor
        self.names = names
        self.answers = 0
        self.keys: set[bytes] = set()
        self.delegations: set[int] = set()
        self._ended = asyncio.Event()

    async def run(self, rounds: int, delegations: int) -> None:
        """Ask until so many online keys and delegations have been seen; any failure ends it."""
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            for task in (self._steadily(False), self._steadily(True), self._anew(), self._many(), self._receipts()):
                group.create_task(task)
            group.create_task(self._watch(rounds, delegations))

    async def _watch(self, keys: int, delegations: int) -> None:
        while len(self.keys) < keys or len(self.delegations) < delegations:  # noqa: ASYNC110  others fill these
            await asyncio.sleep(0.1)
        self._ended.set()

    def _note(self, answer: object) -> None:
        assert answer.found  # type: ignore[attr-defined]
        proof = answer.proof  # type: ignore[attr-defined]
        self.answers += 1
        self.keys.add(proof.key.key.id)
        self.delegations.add(proof.zone.delegations[-1].serial if proof.zone.delegations else 0)

    def _client(self, **options: object) -> Client:
        return Client(self.address, anchor=self.anchor, timeout=30.0, **options)  # type: ignore[arg-type]

    async def _steadily(self, udp: bool) -> None:
        async with self._client(udp=udp, connections=2) as client:
            while not self._ended.is_set():
                for answer in await asyncio.gather(*(client.resolve(name) for name in self.names[:8])):
                    self._note(answer)
                await asyncio.sleep(0.005)

    async def _anew(self) -> None:
        while not self._ended.is_set():
            async with self._client() as client:
                self._note(await client.resolve(self.names[0]))
            await asyncio.sleep(0.02)

    async def _many(self) -> None:
        async with self._client() as client:
            while not self._ended.is_set():
                async for answer in client.resolve_many(self.names):
                    self._note(answer)
                await asyncio.sleep(0.05)

    async def _receipts(self) -> None:
        async with self._client(connections=2) as client:
            while not self._ended.is_set():
                answer, receipt = await client.receipt(self.names[0])
                self._note(answer)
                assert verify_receipt(receipt, self.anchor).answer.found
                await asyncio.sleep(0.1)


def test_no_answer_is_missed_while_keys_and_delegations_are_renewed(tree: Tree) -> None:
    """Online keys and delegations valid for half a minute: each is renewed again and again under load."""
    top, secondary, _ = tree.nodes
    days = f"{30 / 86_400:.8f}"
    for node in (top, secondary):
        change(node.config, "online_days", days)
        change(node.config, "delegation_days", days)
        change(node.config, "workers", "2")
        assert run("renew", "--config", node.config, "--days", days).code == 0
        node.start()
    names = [f"88.118.1/{number}" for number in range(50)]
    file = secondary.directory / "products.csv"
    file.write_text("identifier,NAME\n" + "".join(f"{name},x\n" for name in names), "utf-8")
    assert secondary.run("import", file).code == 0
    assert ask(top, secondary, tree.anchor).code == 0
    issued = top.run("delegate", "issue", "88.118", "--days", days)
    assert issued.code == 0, issued.err
    assert fetch(secondary, tree.anchor).code == 0
    eventually(lambda: secondary.run("status").code == 0)
    load = Load(secondary.address("resolver"), TrustAnchor.parse(*read_anchor(tree.anchor)), names)
    asyncio.run(load.run(2, 2))
    assert load.answers > 500
    assert "renewed keys cannot be used" not in secondary.said()
    assert "could not be" not in secondary.said()


def test_a_zone_whose_key_is_elsewhere_is_warned(tree: Tree, tmp_path: Path) -> None:
    secondary = tree.secondary
    (secondary.directory / "keys/zone.pem").rename(tmp_path / "usb.pem")
    days = f"{45 / 86_400:.8f}"
    assert run("renew", "--config", secondary.config, "--days", days, "--zone-key", tmp_path / "usb.pem").code == 0
    secondary.start()
    eventually(lambda: "! the online key ends in 0 days" in secondary.run("status").out)
    assert "在线密钥将在 0 天后到期" in secondary.run("status", env=ZH).out
    assert run("renew", "--config", secondary.config, "--zone-key", tmp_path / "usb.pem").code == 0
    eventually(lambda: "!" not in secondary.run("status").out)
    assert secondary.said().count("keys taken up") >= 1


def test_a_refusal_is_an_error_of_the_client(tree: Tree) -> None:
    tree.top.start()

    async def main() -> None:
        anchor = TrustAnchor.parse(*read_anchor(tree.anchor))
        async with Client(tree.top.address("resolver"), anchor=anchor) as client:
            with pytest.raises(Refused):
                await client.resolve("89/x")
            assert not (await client.resolve("88/x")).found

    asyncio.run(main())
