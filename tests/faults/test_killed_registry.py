"""The registry process killed over and over while clients write: what it acknowledged is there, once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from config.keyfiles import read_anchor, read_secret
from config.process import bind
from protocol.errors import BiaoshiError
from protocol.records import State, Value, decode_body, encode_values
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.writes import ABSENT, ANY, Outcome, Write
from tests.conftest import MakeNode
from tests.e2e.nodes import CLEAN, Node
from tests.long import chance, share
from tests.registry.store.builders import check_agreement

HOST: Final = "127.0.0.13"
KILLS: Final = share(60, 5)
LOADERS: Final = 2
"""Clients that register many at a time."""
CLIENTS: Final = 8
"""Those, and others that register, update and withdraw a few at a time."""


class Known(NamedTuple):
    """A record as its writer knows it: the version that was acknowledged, and the text; None where it is withdrawn."""

    version: int
    text: str | None


class Registry:
    """A registry process on one address, killed and started again."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reserved = bind(HOST, 0, socket.SOCK_STREAM)  # bound and not listening: the port stays ours
        self.port: int = self._reserved.getsockname()[1]
        self._log = (node.directory / "registry.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "registry.server", str(self._node.config), str(self.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, env=CLEAN,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.said()

    def end(self, number: signal.Signals) -> int:
        """Send it a signal that ends it; how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None:
            self.end(signal.SIGKILL)
        self._reserved.close()
        self._log.close()

    def said(self) -> str:
        """All that it has logged."""
        return (self._node.directory / "registry.log").read_text("utf-8")


@pytest.fixture
def registry(make_node: MakeNode) -> Iterator[Registry]:
    node = make_node(HOST)
    one = Registry(node)
    yield one
    one.close()


class Writer:
    """A client with a prefix of its own, so that it knows what must be there. What it got no answer to it sends again,
    which is always safe, until it has one."""

    def __init__(self, number: int, node: Node, port: int, draw: random.Random) -> None:
        self.prefix = f"88.118.{number}"
        self.known: dict[bytes, Known] = {}
        self.acknowledged = self.repeated = 0
        self._loader = number < LOADERS
        self._node, self._port, self._draw = node, port, draw
        self._made = 0

    async def work(self, stop: asyncio.Event) -> None:
        """Write until told to stop, and until all that was begun has its answer."""
        anchor = TrustAnchor.parse(*read_anchor(self._node.directory / "anchor.toml"))
        key = SigningKey(read_secret(self._node.directory / "keys/writer.pem"))
        batch: list[tuple[Write, Known]] = []
        while not stop.is_set() or batch:
            # It was killed, and will be back; or this client goes away itself while its writes are carried out.
            with contextlib.suppress(BiaoshiError, TimeoutError):
                async with RegistryClient(HOST, self._port, anchor=anchor, key=key, timeout=20.0) as client:
                    while not stop.is_set() or batch:
                        self.repeated += bool(batch)
                        batch = batch or self._choose()
                        async with asyncio.timeout(0.001 if self._draw.random() < 0.05 else 30.0):
                            outcomes = await client.write([write for write, _ in batch])
                        self._settle(batch, outcomes)
                        batch = []
            await asyncio.sleep(0.01)

    def _settle(self, batch: list[tuple[Write, Known]], outcomes: list[Outcome]) -> None:
        for (write, after), outcome in zip(batch, outcomes, strict=True):
            # The version is the next one also where the write had been carried out before the answer was lost.
            assert (outcome.status, outcome.version) == (Status.OK, after.version), (write, after, outcome)
            self.known[write.identifier] = after
            self.acknowledged += 1

    def _choose(self) -> list[tuple[Write, Known]]:
        if self._loader:
            return [self._register() for _ in range(self._draw.choice([20, 500, 2_000]))]
        count = self._draw.randrange(1, 20)
        there = self._draw.sample(sorted(self.known), min(count, len(self.known)))
        return [self._register() for _ in range(count)] + [self._change(one) for one in there]

    def _register(self) -> tuple[Write, Known]:
        self._made += 1
        name = f"{self.prefix}/N{self._made:08d}".encode()
        return self._write(name, ABSENT, Known(1, f"new {self._made}"))

    def _change(self, name: bytes) -> tuple[Write, Known]:
        version, text = self.known[name]
        gone = text is not None and self._draw.random() < 0.2
        after = Known(version + 1, None if gone else f"changed {version}")
        # A withdrawn record is registered anew whatever is compared, as the one rule says (registry.store.decide).
        return self._write(name, self._draw.choice([ANY, version]), after)

    @staticmethod
    def _write(name: bytes, compare: int | None, after: Known) -> tuple[Write, Known]:
        values = None if after.text is None else encode_values([Value(1, "TEXT", after.text.encode())])
        return Write(name, compare, values, restricted=False), after


def check(records: dict[bytes, bytes], writers: list[Writer], *, whole: bool) -> None:
    """Everything that was acknowledged is there; when nothing is under way (``whole``), it is all that is there."""
    known = {name: one for writer in writers for name, one in writer.known.items()}
    assert known.keys() <= records.keys()
    assert not whole or known.keys() == records.keys()
    for name, (version, text) in known.items():
        record = decode_body(records[name])
        if record.version == version:
            assert record.state is (State.WITHDRAWN if text is None else State.ACTIVE)
            assert [value.text for value in record.values] == ([] if text is None else [text])
        else:  # a change that was carried out and whose answer was lost
            assert not whole
            assert record.version == version + 1


@pytest.mark.long
def test_registry_killed_while_clients_write(registry: Registry) -> None:
    draw = chance()
    node = registry._node
    writers = [Writer(number, node, registry.port, random.Random(draw.random())) for number in range(CLIENTS)]
    reader = LmdbReader(node.directory / "store")

    async def main() -> None:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(writer.work(stop)) for writer in writers]
        for kill in range(KILLS):
            await asyncio.to_thread(registry.start)
            before = sum(writer.acknowledged for writer in writers)
            await asyncio.sleep(draw.uniform(0.02, 0.8))
            while sum(writer.acknowledged for writer in writers) == before:
                await asyncio.sleep(0.005)
                assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
            assert await asyncio.to_thread(registry.end, signal.SIGKILL) == -signal.SIGKILL
            if kill % 10 == 0:  # as it lies on the disk, with what was under way
                await asyncio.sleep(0)
                reader.rest()
                check(check_agreement(reader), writers, whole=False)
        await asyncio.to_thread(registry.start)
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)

    asyncio.run(main())
    reader.close()
    assert registry.end(signal.SIGTERM) == 0
    assert "Traceback" not in registry.said()
    assert sum(writer.repeated for writer in writers) > KILLS, "answers were lost"
    store = LmdbStore(node.directory / "store")
    records = check_agreement(store)
    check(records, writers, whole=True)
    assert store.counts().changes >= sum(version for writer in writers for version, _ in writer.known.values())
    store.close()
    print(f"{sum(writer.acknowledged for writer in writers):,} writes acknowledged, {len(records):,} records")
