"""A real top and a real secondary whose hours have a second: processes are killed, acknowledgements lost. Each hour is
in the sums exactly once, in order."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from config.keyfiles import read_anchor, read_secret
from protocol.signatures import SigningKey
from protocol.statements import Delegation
from protocol.trust import TrustAnchor
from registry.store.lmdb.writer import LmdbStore
from registry.store.system import DELEGATIONS, system_write
from resolver.client import SyncClient
from tests.conftest import MakeNode
from tests.e2e.nodes import Node, change
from tests.faults.test_node_faults import has, until

PERIOD = 1


def delegate(top: Node, child: Node) -> None:
    """Put the delegation of the child into the store of the top, which does not run yet."""
    key = SigningKey(read_secret(child.directory / "keys/zone.pem")).public
    now = int(time.time())
    claim = Delegation(top.prefix, child.prefix, 1, now - 100, now + 86_400, (key,), ())
    statement = claim.sign(SigningKey(read_secret(top.directory / "keys/zone.pem")))
    store = LmdbStore(top.directory / "store")
    store.apply([system_write(DELEGATIONS, child.prefix, {"DELEGATION": statement})], now)
    store.close()


def report_to(child: Node, top: Node, address: str) -> None:
    """Have a child report to an address of the top."""
    shutil.copy(top.directory / "anchor.toml", child.directory / "top-anchor.toml")
    change(child.config, "report_to", f'"{address}"')
    text = child.config.read_text("utf-8").replace('anchor = "anchor.toml"', 'anchor = "top-anchor.toml"')
    child.config.write_text(text, "utf-8")


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def province(make_node: MakeNode) -> tuple[Node, Node]:
    """A top and a secondary that know each other, not started; hours of a second. The top keeps its port."""
    top, child = make_node("127.0.0.21", prefix="88", role="top"), make_node("127.0.0.22")
    delegate(top, child)
    port = free_port("127.0.0.21")
    text = top.config.read_text("utf-8")
    before, registry, after = text.partition("\n[registry]\n")
    top.config.write_text(before + registry + after.replace("port = 0", f"port = {port}", 1), "utf-8")
    for node in (top, child):
        change(node.config, "period", str(PERIOD))
    text = child.config.read_text("utf-8")
    child.config.write_text(
        text.replace("\n[log]\n", '\n[statistics.industries]\n"88.118.1" = "C34"\n\n[log]\n'), "utf-8"
    )
    report_to(child, top, f"127.0.0.21:{port}")
    return top, child


def shown(top: Node, *arguments: object) -> dict[str, Any]:
    outcome = top.run("status", "--top", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    [line] = outcome.lines()
    return line


def secondary(top: Node) -> dict[str, Any]:
    [own, zone] = shown(top)["zones"]
    assert own["zone"] == "88"
    assert zone["zone"] == "88.118"
    return zone


def resolve(child: Node, times: int, identifier: str = "88.118.1/x") -> int:
    """Resolve something so many times; how often that was."""
    anchor = TrustAnchor.parse(*read_anchor(child.directory / "anchor.toml"))
    with SyncClient(child.address("resolver"), anchor=anchor, timeout=20.0, retries=8) as client:
        for _ in range(times):
            client.resolve(identifier)
    return times


def counted(top: Node) -> int:
    return int(secondary(top)["counts"].get("resolved.ok", 0))


def check_hours(top: Node, resolved: int) -> list[dict[str, Any]]:
    """Every number once and in order, none missing, and hours that add up."""
    zone = secondary(top)
    assert zone["missing"] == 0
    hours = shown(top, "--zone", "88.118", "--hours", 100_000)["hours"]
    numbers = [hour["sequence"] for hour in hours]
    assert numbers == sorted(set(numbers))
    assert [hour["first"] for hour in hours] == [1, *[number + 1 for number in numbers[:-1]]]
    assert sum(hour["counts"].get("resolved.ok", 0) for hour in hours) == resolved
    starts = [hour["start"] for hour in hours]
    assert starts == sorted(set(starts))
    return hours


def test_a_secondary_is_seen_at_the_top(province: tuple[Node, Node]) -> None:
    top, child = province
    top.start()
    assert secondary(top)["sequence"] == 0
    assert secondary(top)["late"]
    never = top.run("status", "--top")
    assert "never" in never.out
    child.start()
    for name in ("88.118.1/x", "88.118.2/y", "88.118.2/z"):
        assert child.run("register", name, "-v", "URL=u").code == 0
    done = resolve(child, 30)
    resolve(child, 5, "88.118.1/absent")
    until(lambda: counted(top) == done, "the report")
    until(lambda: secondary(top)["counts"].get("resolved.not_found") == 5, "the report")
    zone = secondary(top)
    assert (zone["registered"], zone["enterprises"]) == (3, 2)
    assert zone["industries"] == {"C34": 1, "": 2}
    assert shown(top, "--zone", "88.118")["enterprises"] == {"88.118.1": 1, "88.118.2": 2}
    assert zone["counts"]["tcp.requests"] >= 35
    table = top.run("status", "--top", env={"BIAOSHI_LANG": "zh"})
    assert "区域" in table.out
    assert "C34" in table.out
    check_hours(top, done)
    assert resolve(top, 1, "88.5/x") == 1
    until(lambda: shown(top)["zones"][0]["counts"].get("resolved.not_found") == 1, "the top's own hour")
    assert child.run("status", "--zone", "88.118").code == 2
    writer = child.run("status", "--top")  # any node may be asked; this one has no children
    assert [line for line in writer.out.splitlines() if line.startswith("88.118")]


def test_the_top_is_killed_and_comes_back(province: tuple[Node, Node]) -> None:
    top, child = province
    top.start()
    child.start()
    assert child.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    done = resolve(child, 10)
    until(lambda: counted(top) == done, "the first report")
    for _ in range(2):
        victim = top.process("registry.server")
        os.kill(victim, signal.SIGKILL)
        done += resolve(child, 10)
        until(lambda victim=victim: has(top, "registry.server", victim), "the restart")  # type: ignore[misc]
    until(lambda: top.run("status", "--top").code == 0, "the top's return")
    until(lambda: counted(top) == done, "the reports")
    assert top.stop() == 0
    done += resolve(child, 10)
    until(lambda: child.said().count("reports could not be sent") >= 2, "attempts while the top is down")
    top.start()
    until(lambda: counted(top) == done, "the reports of the time without a top")
    check_hours(top, done)
    assert "Traceback" not in child.said() + top.said()


def test_the_secondary_is_killed_between_keeping_and_sending(province: tuple[Node, Node]) -> None:
    top, child = province
    child.start()  # the top is down: hours are kept and wait
    assert child.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    done = 0
    for process in ("registry.server", "resolver.worker", "registry.server"):
        done += resolve(child, 10)
        tries = child.said().count("reports could not be sent")
        until(lambda tries=tries: child.said().count("reports could not be sent") > tries, "an attempt")  # type: ignore[misc]
        victim = child.process(process)
        os.kill(victim, signal.SIGKILL)
        until(lambda process=process, victim=victim: has(child, process, victim), "the restart")  # type: ignore[misc]
    done += resolve(child, 10)
    top.start()
    until(lambda: counted(top) == done, "the reports")
    check_hours(top, done)
    assert "Traceback" not in child.said() + top.said()


class Proxy:
    """Hands on bytes between a child and the top, and loses what comes back while ``deaf`` is set, then cuts."""

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server((host, 0))
        self.port: int = self._server.getsockname()[1]
        self.lose_after: int | None = None
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with contextlib.suppress(OSError):
                    upstream = socket.create_connection(self._target)
                    state = {"requests": 0}
                    threading.Thread(target=self._up, args=(client, upstream, state), daemon=True).start()
                    threading.Thread(target=self._down, args=(client, upstream, state), daemon=True).start()

    def _up(self, client: socket.socket, upstream: socket.socket, state: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                state["requests"] += 1
                upstream.sendall(data)
        _close(client, upstream)

    def _down(self, client: socket.socket, upstream: socket.socket, state: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65_536):
                if self.lose_after is not None and state["requests"] > self.lose_after:
                    self.lost += 1
                    break
                client.sendall(data)
        _close(client, upstream)

    def close(self) -> None:
        _close(self._server)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@pytest.fixture
def proxy(province: tuple[Node, Node]) -> Iterator[Proxy]:
    _, child = province
    text = child.config.read_text("utf-8")
    port = int(text.partition('report_to = "127.0.0.21:')[2].partition('"')[0])
    made = Proxy("127.0.0.23", ("127.0.0.21", port))
    change(child.config, "report_to", f'"127.0.0.23:{made.port}"')
    yield made
    made.close()


REQUESTS_BEFORE_A_REPORT = 3  # chain, reporter, prove reporter


def test_acknowledgements_are_lost(province: tuple[Node, Node], proxy: Proxy) -> None:
    top, child = province
    top.start()
    child.start()
    assert child.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    done = resolve(child, 10)
    until(lambda: counted(top) == done, "the first report")
    proxy.lose_after = REQUESTS_BEFORE_A_REPORT
    done += resolve(child, 10)
    until(lambda: proxy.lost >= 3, "lost acknowledgements")
    until(lambda: counted(top) == done or proxy.lost >= 6, "a report whose acknowledgement was lost")
    before = secondary(top)["sequence"]
    proxy.lose_after = None
    done += resolve(child, 10)
    until(lambda: counted(top) == done, "the reports")
    assert secondary(top)["sequence"] > before
    assert len(check_hours(top, done)) >= 3
    assert "Traceback" not in child.said() + top.said()
