"""A small province of real processes: made, resolved through, hurt, stopped, started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from biaoshi.topology.samples import sample
from config.keyfiles import read_anchor
from protocol.errors import NotVerified
from protocol.receipts import verify_receipt
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import SyncClient
from tests.e2e.nodes import CLEAN, Outcome, children, free_base, run

WAIT_SECONDS = 60.0
RECORDS = 20
ENTERPRISES = ("88.101.20001", "88.102.20002", "88.101.20003")
SECONDARIES = ("88.101", "88.102")
ZH = {"BIAOSHI_LANG": "zh"}


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Province:
    """A province run by the command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "province"
        self.config = directory / "small.toml"
        self.base = free_base()
        self.config.write_text(
            f'[province]\nname = "Small"\nsecondaries = 2\nenterprises = 3\nrecords = {RECORDS}\n'
            f'[network]\nbase = "{self.base}"\n',
            "utf-8",
        )
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def up(self, *options: object) -> None:
        """Start it and wait until it says that it is up."""
        before = len(self.said())
        with self._log.open("ab") as log:
            words = ["topology", "up", "--dir", str(self.directory), *map(str, options)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "biaoshi.cli", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=CLEAN, start_new_session=True,
            )  # fmt: skip
        wait(lambda: "stop " in self.said()[before:] or self._process.poll() is not None)  # type: ignore[union-attr]
        assert self._process.poll() is None, self.said()

    def said(self) -> str:
        return self._log.read_text("utf-8") if self._log.exists() else ""

    def run(self, *arguments: object, **options: Any) -> Outcome:
        return run("topology", *arguments, "--dir", self.directory, **options)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What ``status`` shows, by name."""
        return {one["name"]: one for one in self.run("status", "--json").lines()}

    def interrupt(self, number: signal.Signals) -> int:
        """Signal the process that runs the nodes and wait for its end; its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(WAIT_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def anchor(self) -> TrustAnchor:
        """The top's, which is all that clients have."""
        return TrustAnchor.parse(*read_anchor(self.directory / "top/anchor.toml"))

    def client(self, last: str = "0.11") -> SyncClient:
        """A client of the node at the address that ends so, by default the recursive node."""
        return SyncClient(f"{self.base.removesuffix('.0.0')}.{last}:26410", anchor=self.anchor, timeout=20.0)

    def close(self) -> None:
        if self._process is not None:
            self.interrupt(signal.SIGTERM)


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    one = Province(tmp_path)
    try:
        yield one
    finally:
        one.close()


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_province(province: Province) -> None:
    province.up("--config", province.config)
    assert "88.101.20003/P0000000000000: ok, verified" in province.said()
    wait(lambda: province.nodes()["custody"]["answers"])  # as soon as its copies are whole
    shown = province.nodes()
    below = [*[f"secondary-{one}" for one in SECONDARIES], *[f"enterprise-{one}" for one in ENTERPRISES]]
    assert list(shown) == ["top", *below, "custody", "recursive-1"]
    assert [one["records"] for one in shown.values()] == [0, *[RECORDS] * 5, 2 * RECORDS, 0]
    for one in shown.values():
        assert one["answers"]
        assert one["state"] == "serving"
        assert one["restarts"] == 0
        assert one["memory"] > 1 << 20
    pids = [one["pid"] for one in shown.values()]
    assert sorted(pids) == sorted(children(province.pid)), "one process a node"
    assert len(children(shown["custody"]["pid"])) == 2, "one that follows, one that answers"
    for env, words in ((None, ("address", "serving", "8 of 8 answer")), (ZH, ("地址", "服务中", "8/8 有应答"))):
        table = province.run("status", env=env)
        assert table.code == 0
        for word in words:
            assert word in table.out

    _resolve_across(province)
    _kill_one(province)

    again = province.run("up")
    assert again.code == Exit.SETTINGS
    assert "runs already" in again.err
    assert (
        run(
            "register", "88.101.20001/NEW", "-v", "URL=u", "--node", province.directory / "enterprise-88.101.20001"
        ).code
        == 0
    )

    pids = _processes(province)
    down = province.run("down")
    assert down.code == 0, down.err
    assert "has stopped" in down.out
    assert gone(pids)
    assert province.run("status").code == Exit.UNREACHABLE
    assert "没有正在运行" in province.run("down", env=ZH).out
    assert "Traceback" not in province.said()
    for log in province.directory.glob("*/log"):
        said = log.read_text("utf-8")
        assert "Traceback" not in said
        if log.parent.name != "custody":  # which says so when the nodes that it follows stop before it does
            assert "warning" not in said, said

    # On the same directory, with the plan that is there: the same keys, and what was registered meanwhile.
    anchor = province.anchor
    province.up()
    assert "0 of them made" in province.said()
    assert province.anchor == anchor
    with province.client() as client:
        assert client.resolve("88.101.20001/NEW").url == "u"
    pids = _processes(province)
    assert province.interrupt(signal.SIGINT) == 0, "Ctrl-C"
    assert gone(pids)


def _processes(province: Province) -> list[int]:
    """All that run, the custody node's own included."""
    nodes = children(province.pid)
    return [*nodes, *(child for node in nodes for child in children(node))]


def _resolve_across(province: Province) -> None:
    """All samples of all nodes through the recursive node, and from others, verified from the top's anchor alone."""
    prefixes = (*ENTERPRISES, *(f"{one}.20000" for one in SECONDARIES))
    samples = [sample(prefix, number) for number in range(RECORDS) for prefix in prefixes]
    with province.client() as client:
        answers = list(client.resolve_many(one.identifier for one in samples))
        assert [answer.url for answer in answers] == [one.url for one in samples]
        assert {answer.proof.zone.prefix for answer in answers} == {*ENTERPRISES, *SECONDARIES}
        absent = client.resolve("88.102.20002/none")
        assert absent.status is Status.NOT_FOUND
        assert absent.proof.zone.prefix == "88.102.20002"
        _, receipt = client.receipt(samples[0].identifier)
    assert verify_receipt(receipt, province.anchor).answer.url == samples[0].url
    for last in ("0.1", "1.1", "2.1", "2.3"):  # the top, its secondary, itself, another enterprise of that secondary
        with province.client(last) as client:
            assert client.resolve(samples[0].identifier).url == samples[0].url
    stranger = TrustAnchor(province.anchor.prefix, _other_key(province))
    address = f"{province.base.removesuffix('.0.0')}.0.11:26410"
    with SyncClient(address, anchor=stranger) as client, pytest.raises(NotVerified):
        client.resolve(samples[0].identifier)


def _other_key(province: Province) -> Any:
    return TrustAnchor.parse(*read_anchor(province.directory / "recursive-1/anchor.toml")).key


def _kill_one(province: Province) -> None:
    """A node's process is killed: it is there again, and its status says so."""
    name = "enterprise-88.102.20002"
    before = province.nodes()[name]["pid"]
    os.kill(before, signal.SIGKILL)
    wait(lambda: (one := province.nodes()[name])["answers"] and one["restarts"] == 1)
    after = province.nodes()[name]
    assert after["pid"] != before
    assert after["state"] == "serving"
    assert "node died" in province.said()
    with province.client("2.2") as client:
        assert client.resolve(sample("88.102.20002", 1).identifier).found
    # One that hangs is there, and does not answer.
    os.kill(after["pid"], signal.SIGSTOP)
    try:
        status = province.run("status")
        assert status.code == Exit.UNREACHABLE
        assert "does not answer" in status.out
        assert "7 of 8 answer" in status.out
    finally:
        os.kill(after["pid"], signal.SIGCONT)


def test_a_secondary_that_dies_for_good(province: Province) -> None:
    """Machine, disk and all: its zone is answered by the custody node, and gets its store back from there."""
    province.up("--config", province.config)
    wait(lambda: province.nodes()["custody"]["answers"])
    name, zone, hosted = "secondary-88.102", "88.102", "88.102.20000"
    lost, fresh = province.directory.with_name("lost"), province.directory.with_name("fresh")
    (province.directory / name).rename(lost)  # before it is started again
    dead = province.nodes()[name]["pid"]
    os.kill(dead, signal.SIGKILL)
    wait(lambda: gone([dead]))

    with province.client() as client:
        for number in range(RECORDS):
            one = sample(hosted, number)
            answer = client.resolve(one.identifier)
            assert answer.url == one.url
            assert (answer.proof.zone.prefix, answer.proof.key.node) == (zone, "custody")
        absent = client.resolve(f"{hosted}/none")
        assert (absent.status, absent.proof.key.node) == (Status.NOT_FOUND, "custody")
        below = client.resolve(sample("88.102.20002", 3).identifier)  # by the referral in the copy
        assert (below.found, below.proof.key.node) == (True, "enterprise-88.102.20002")
        _, receipt = client.receipt(sample(hosted, 0).identifier)
    assert verify_receipt(receipt, province.anchor).answer.found
    status = province.run("status")
    assert status.code == Exit.UNREACHABLE
    assert "7 of 8 answer" in status.out
    shown = run("status", "--node", province.directory / "custody").out
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("88.")] == [
        ["88.101", "following"], ["88.102", "unreachable"]
    ]  # fmt: skip

    shutil.copytree(lost, fresh, ignore=shutil.ignore_patterns("store", "counters", "run.json", "log"))
    host, port = json.loads((province.directory / "custody/run.json").read_text("utf-8"))["zones"][zone]["registry"]
    restored = run("restore", "--server", f"{host}:{port}", "--config", fresh / "biaoshi.toml")
    assert restored.code == 0, restored.err
    assert f"{RECORDS} registered" in restored.out
    fresh.rename(province.directory / name)
    wait(lambda: (one := province.nodes()[name])["answers"] and one["records"] == RECORDS)
    with province.client("1.2") as client:
        answers = list(client.resolve_many(sample(hosted, number).identifier for number in range(RECORDS)))
        assert {answer.proof.key.node for answer in answers} == {name}
        assert [answer.url for answer in answers] == [sample(hosted, number).url for number in range(RECORDS)]
    # It takes writes, and the copy goes on from where it was.
    registered = run("register", f"{hosted}/NEW", "-v", "URL=u", "--node", province.directory / name)
    assert registered.code == 0, registered.err
    wait(lambda: province.nodes()["custody"]["records"] == 2 * RECORDS + 1)
    assert province.run("down").code == 0
    assert "Traceback" not in province.said()
    for log in province.directory.glob("*/log"):
        assert "Traceback" not in log.read_text("utf-8")
        assert "DIVERGED" not in log.read_text("utf-8")


def test_nodes_do_not_outlive_the_process_that_runs_them(province: Province) -> None:
    province.up("--config", province.config, "--enterprises", 0)
    pids = _processes(province)
    assert len(pids) == 7
    province.interrupt(signal.SIGKILL)
    wait(lambda: gone(pids))
    assert province.run("status").code == Exit.UNREACHABLE
    assert "nothing runs" in province.run("down").out
    province.up()


def test_a_node_that_cannot_start_stops_all(province: Province) -> None:
    taken = f"{province.base.removesuffix('.0.0')}.1.2"
    with socket.create_server((taken, 26_410)):
        refused = province.run("up", "--config", province.config)
    assert refused.code == Exit.SETTINGS
    assert "secondary-88.102 did not start" in refused.err
    assert f"{taken} port 26410" in refused.err
    assert "nothing runs" in province.run("down").out
    province.up()


def test_what_is_said_of_wrong_ways(province: Province, tmp_path: Path) -> None:
    for command in ("up", "down", "status"):
        refused = province.run(command)
        assert refused.code == Exit.SETTINGS
        assert "there is no province" in refused.err
    assert "没有省级部署" in province.run("down", env=ZH).err
    missing = province.run("up", "--config", tmp_path / "none.toml")
    assert missing.code == Exit.SETTINGS
    assert "cannot be read" in missing.err
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[province]\nname = "P"\nsecondary = 4\n', "utf-8")
    assert "secondary" in province.run("up", "--config", wrong).err
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("dear", "utf-8")
    refused = run("topology", "up", "--config", province.config, "--dir", full)
    assert refused.code == Exit.SETTINGS
    assert "not empty" in refused.err
    assert [one.name for one in full.iterdir()] == ["letter.txt"]
    for command in ("up", "down", "status"):
        helped = run("topology", command, "--help")
        assert helped.code == 0
        assert "Example" in helped.out
        assert "退出码" in helped.out
