"""A secondary and its custody node, as their operators run them: killed, restored, put back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from config.keyfiles import read_anchor, read_secret
from config.load import put_option
from config.process import bind
from protocol.errors import BiaoshiError
from protocol.signatures import SigningKey
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.store.feed import Position
from registry.store.lmdb.reader import LmdbReader
from registry.store.writes import Write
from resolver.client import SyncClient
from tests.e2e.nodes import Node, Outcome, children, run
from tests.registry.store.builders import ascending, everything, put

HOST: Final = "127.0.0.41"
SECONDS: Final = 90.0


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


class Custody(Node):
    """A custody node."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "biaoshi.toml"
        self.log = directory.with_name(directory.name + ".log")
        assert run("init", "custody", "--dir", directory).code == 0
        for option in ("resolver.host", "registry.host"):
            put_option(self.config, option, f'"{HOST}"')
        self._process = None

    def door(self, zone: str, side: str) -> str:
        """``host:port`` of a zone's door."""
        host, port = json.loads((self.directory / "run.json").read_text("utf-8"))["zones"][zone][side]
        return f"{host}:{port}"

    def copy(self) -> dict[str, Any]:
        """What ``status`` says of the one copy."""
        [shown] = self.run("status", "--json").lines()
        return shown


class Place:
    """A top node, a secondary that it delegates to, and a custody node for the secondary."""

    def __init__(self, directory: Path) -> None:
        ports = []
        for _ in range(4):
            with closing(bind(HOST, 0, socket.SOCK_STREAM)) as one:
                ports.append(one.getsockname()[1])
        self.secondary_port, self.registry_port, self.copy_port, self.copy_registry_port = ports
        self.top = Node(directory / "top", HOST, "88", "top")
        self.secondary = Node(directory / "secondary", HOST)
        put_option(self.secondary.config, "resolver.port", str(self.secondary_port))
        put_option(self.secondary.config, "registry.port", str(self.registry_port))
        put_option(self.secondary.config, "registry.custody", f'["{HOST}:{self.copy_registry_port}"]')
        self.custody = Custody(directory / "custody")
        self.anchor = self.secondary.directory / "anchor.toml"
        self.own_anchor = TrustAnchor.parse(*read_anchor(self.anchor))
        self.key = SigningKey(read_secret(self.secondary.directory / "keys/writer.pem"))

    def add(self) -> None:
        """Prepare the zone, by the words of ``custody add``."""
        registry = f"{HOST}:{self.registry_port}"
        added = run("custody", "add", "88.118", "--server", registry, "--anchor", self.anchor,
                    "--port", self.copy_port, "--config", self.custody.config)  # fmt: skip
        assert added.code == 0, added.err
        text = self.custody.config.read_text("utf-8")
        text = text.replace(f"registry_port = {self.copy_port + 1}", f"registry_port = {self.copy_registry_port}")
        self.custody.config.write_text(text, "utf-8")
        entry = added.out[added.out.index("[[registry.followers]]") :]
        config = self.secondary.config.read_text("utf-8").replace("\n[statistics]\n", f"\n{entry}\n[statistics]\n")
        self.secondary.config.write_text(config, "utf-8")

    def follow(self) -> None:
        """Have the zone followed."""
        self.add()
        self.secondary.start()
        self.custody.start()

    def when_followed(self) -> None:
        """Wait until the copy is whole and its door is open."""
        until(lambda: self.custody.copy().get("state") == "following", "the copy follows")

    def delegate(self) -> None:
        """The top delegates the zone to its node, and behind that to the custody node."""
        self.top.start()
        request = self.top.directory / "request"
        for command in (
            ("request", "--config", self.secondary.config, "--address", f"{HOST}:{self.secondary_port}",
             "--address", f"{HOST}:{self.copy_port}", "--out", request),
            ("issue", request, "--node", self.top.directory),
            ("fetch", "--config", self.secondary.config, "--parent", self.top.address("registry"),
             "--anchor", self.top.directory / "anchor.toml"),
        ):  # fmt: skip
            done = run("delegate", *command)
            assert done.code == 0, done.err

    def write(self, writes: list[Write]) -> None:
        """Register at the secondary."""

        async def main() -> None:
            async with RegistryClient(HOST, self.registry_port, anchor=self.own_anchor, key=self.key) as client:
                outcomes = await client.write(writes)
                assert {outcome.status for outcome in outcomes} == {Status.OK}

        asyncio.run(main())

    def store(self, node: Node) -> dict[bytes, bytes]:
        """All records of a node, the copy's of the custody node."""
        path = node.directory / ("store/zones/88.118" if node is self.custody else "store")
        with closing(LmdbReader(path)) as reader:
            return everything(reader)

    def end(self, node: Node) -> Position:
        """Where a node's feed ends, that of the copy of the custody node."""
        path = node.directory / ("store/zones/88.118" if node is self.custody else "store")
        with closing(LmdbReader(path)) as reader:
            return reader.standing().end

    def level(self) -> None:
        """Wait until the copy is where the secondary is: then it has the same records, and no change twice."""
        until(lambda: self.end(self.custody) == self.end(self.secondary), "the copy is level")
        assert self.store(self.custody) == self.store(self.secondary)

    def resolve(self, name: str) -> str:
        """Resolve from the top down; the node that sealed the answer."""
        anchor = TrustAnchor.parse(*read_anchor(self.top.directory / "anchor.toml"))
        with SyncClient(self.top.address("resolver"), anchor=anchor, timeout=30.0, retries=8) as client:
            answer = client.resolve(name)
        assert answer.found, answer
        assert answer.proof.zone.prefix == "88.118"
        return answer.proof.key.node

    def answers_with_its_chain(self) -> bool:
        """Whether the custody node shows the delegation of the zone by now."""
        anchor = TrustAnchor.parse(*read_anchor(self.top.directory / "anchor.toml"))
        with contextlib.suppress(BiaoshiError), SyncClient(f"{HOST}:{self.copy_port}", anchor=anchor) as client:
            return client.resolve("88.118.1/N000007").found
        return False

    def kill_secondary(self) -> None:
        """All of it, at one moment."""
        supervisor = self.secondary.pid
        for pid in [supervisor, *children(supervisor)]:
            os.kill(pid, signal.SIGKILL)
        assert self.secondary._process is not None
        self.secondary._process.wait()
        self.secondary._process = None
        (self.secondary.directory / "run.json").unlink()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for node in (made.custody, made.secondary, made.top):
        node.stop()
        assert "Traceback" not in node.said()


def restore(place: Place, *source: object) -> Outcome:
    return run("restore", *source, "--config", place.secondary.config)


def test_a_zone_lives_on_in_custody(place: Place) -> None:
    place.follow()
    place.delegate()
    draw = random.Random(1)
    place.write(ascending("88.118.1", range(3_000)))

    # The follower is killed wherever it is; nothing is lost or doubled.
    for turn in range(3):
        place.write([put(f"88.118.2/{turn}-{number}") for number in range(200)])
        place.write(ascending("88.118.3", range(turn * 4_000, turn * 4_000 + 4_000)))
        time.sleep(draw.uniform(0, 0.2))
        victim = place.custody.process("registry.following")
        os.kill(victim, signal.SIGKILL)
        until(lambda gone=victim: runs_again(place.custody, gone), "it is started again")  # type: ignore[misc]
    place.level()
    place.when_followed()
    assert place.resolve("88.118.1/N000007") == "secondary-88.118"

    until(place.answers_with_its_chain, "the copy shows the zone's chain")

    # The secondary is gone with its disk: clients come here, and the zone gets its store back.
    before = place.store(place.secondary)
    backup = place.secondary.directory / "backup"
    place.kill_secondary()
    shutil.move(place.secondary.directory / "store", backup)
    assert place.resolve("88.118.3/N011999") == "custody-1"
    done = restore(place, "--server", f"{HOST}:{place.copy_registry_port}")
    assert done.code == 0, done.err
    assert f"{len([one for one in before if not one.startswith(bytes([1]))]):,} registered" in done.out
    place.secondary.start()
    assert place.store(place.secondary) == before
    place.write([put("88.118.4/after"), put("88.118.2/0-0", b"\x91\x93\x01\xa1T\xc4\x01x")])
    place.level()
    copy = place.custody.copy()
    assert (copy["state"], copy["behind"]) == ("following", 0)

    # An old backup is noticed at the start: no write, and both sides say so.
    assert place.secondary.stop() == 0
    shutil.rmtree(place.secondary.directory / "store")
    shutil.move(backup, place.secondary.directory / "store")
    place.secondary.start()
    refused = place.secondary.run("register", "88.118.4/x", "-v", "URL=x")
    assert refused.code == Exit.CONFLICT
    assert "biaoshi restore" in refused.err
    assert "PUT BACK" in place.secondary.said()
    assert "put back to an earlier state" in place.secondary.run("status").out
    # Nor does it deny what was registered since: nobody is answered by it; the custody node has all.
    until(lambda: "NOT ANSWERING" in place.secondary.said(), "the worker shuts its doors")
    alone = place.secondary.run("resolve", "88.118.4/after")
    assert alone.code == Exit.UNREACHABLE, alone.out
    assert place.resolve("88.118.4/after") == "custody-1"
    until(lambda: "DIVERGED" in place.custody.said(), "the custody node says so")
    shown = place.custody.run("status").out
    assert "DIVERGED" in shown
    assert "custody again" in shown
    assert place.store(place.secondary).keys() < place.store(place.custody).keys()

    # From the directory it comes back as well.
    assert place.secondary.stop() == 0
    done = restore(place, "--from", place.custody.directory / "store/zones/88.118")
    assert done.code == 0, done.err
    assert "store.before-1" in done.out
    place.secondary.start()
    assert place.secondary.run("register", "88.118.4/x", "-v", "URL=x").code == 0
    assert place.secondary.run("resolve", "88.118.4/after").code == 0
    place.level()

    # The other way: the old state is to count. The copy begins anew, and the node answers again by itself.
    assert place.secondary.stop() == 0
    shutil.rmtree(place.secondary.directory / "store")
    shutil.move(place.secondary.directory / "store.before-1", place.secondary.directory / "store")
    place.secondary.start()
    assert place.secondary.run("resolve", "88.118.3/N011999").code == Exit.UNREACHABLE
    assert place.custody.stop() == 0
    done = run("custody", "again", "88.118", "--config", place.custody.config)
    assert done.code == 0, done.err
    place.custody.start()
    until(lambda: place.secondary.run("resolve", "88.118.3/N011999").code == 0, "it answers again")
    assert place.secondary.run("resolve", "88.118.4/after").code == Exit.NOT_FOUND
    assert place.secondary.run("register", "88.118.4/x", "-v", "URL=x").code == 0
    place.level()


def test_what_custody_acknowledged_survives_the_disk(place: Place) -> None:
    """The secondary and its disk are gone at the very moment: all that was acknowledged is there again."""
    put_option(place.secondary.config, "registry.acknowledge", '"custody"')
    place.follow()
    acknowledged: set[bytes] = set()

    async def write(number: int) -> None:
        async with RegistryClient(HOST, place.registry_port, anchor=place.own_anchor, key=place.key) as client:
            for count in range(100_000):
                batch = [put(f"88.118.{number}/{count}-{i}") for i in range(count % 4 + 1)]
                outcomes = await client.write(batch)
                assert {outcome.status for outcome in outcomes} == {Status.OK}
                acknowledged.update(one.identifier for one in batch)

    async def main() -> None:
        writers = [asyncio.create_task(write(number)) for number in range(8)]
        async with asyncio.timeout(SECONDS):
            while len(acknowledged) < 500:  # noqa: ASYNC110 - writers, which tell nobody
                await asyncio.sleep(0.01)
        place.kill_secondary()
        await asyncio.gather(*writers, return_exceptions=True)

    place.when_followed()
    asyncio.run(main())
    shutil.rmtree(place.secondary.directory / "store")
    assert restore(place, "--server", f"{HOST}:{place.copy_registry_port}").code == 0
    assert acknowledged <= place.store(place.secondary).keys()


def test_a_zone_key_that_is_elsewhere(place: Place, tmp_path: Path) -> None:
    """A statement by files, without a connection; and for what is not for this zone, or not by it."""
    shutil.move(place.secondary.directory / "keys/zone.pem", tmp_path / "zone.pem")
    place.add()
    request = place.custody.directory / "keys/zones/88.118/vouch.request"
    answer = tmp_path / "answer"
    signed = run("vouch", request, "--config", place.secondary.config, "--zone-key", tmp_path / "zone.pem",
                 "--out", answer)  # fmt: skip
    assert signed.code == 0, signed.err
    assert signed.out.startswith(str(answer))
    assert "[[registry.followers]]" not in signed.out, "it is listed already"
    foreign = run("vouch", request, "--config", place.top.config)
    assert foreign.code == Exit.SETTINGS
    assert "for the zone" in foreign.err
    other_key = run("vouch", request, "--config", place.secondary.config, "--zone-key",
                    place.top.directory / "keys/zone.pem")  # fmt: skip
    assert other_key.code == Exit.SETTINGS

    def accept(path: Path) -> Outcome:
        return run("custody", "accept", path, "--config", place.custody.config)

    statement = place.custody.directory / "keys/zones/88.118/online.statement"
    assert accept(place.secondary.directory / "keys/online.statement").code == Exit.NOT_VERIFIED
    assert not statement.exists()
    taken = accept(answer)
    assert taken.code == 0, taken.err
    assert statement.read_bytes() == answer.read_bytes()
    listed = run("vouch", "--config", place.secondary.config, "--zone-key", tmp_path / "zone.pem")
    assert listed.code == 0
    assert (place.secondary.directory / "keys/followers/custody-1.statement").exists()
    shown = place.custody.run("status", env={"BIAOSHI_LANG": "zh"})
    assert "88.118" in shown.out
    assert "无法连接" in shown.out


def runs_again(node: Node, other_than: int) -> bool:
    try:
        return node.process("registry.following") != other_than
    except (ValueError, OSError):
        return False
