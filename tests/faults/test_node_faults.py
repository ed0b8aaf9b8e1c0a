"""A real node whose processes are killed: it comes back, nothing is lost, no answer is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.keyfiles import read_anchor
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import SyncClient
from tests.conftest import MakeNode
from tests.e2e.nodes import CLEAN, Node, children, run

ROWS = 100_000


def until(true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def has(node: Node, process: str, other_than: int) -> bool:
    """Whether the node has such a process again."""
    try:
        return node.process(process) != other_than
    except (ValueError, OSError):
        return False


def client(node: Node) -> SyncClient:
    anchor = TrustAnchor.parse(*read_anchor(node.directory / "anchor.toml"))
    return SyncClient(node.address("resolver"), anchor=anchor, timeout=20.0, retries=8)


def write_rows(path: Path, count: int) -> list[str]:
    names = [f"88.118.1/P{i:07d}" for i in range(count)]
    lines = "".join(f"{name},https://example.com/{name[9:]},泵\n" for name in names)
    path.write_text("identifier,URL,NAME\n" + lines, "utf-8")
    return names


def test_killed_resolver_comes_back_and_no_answer_is_wrong(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node("127.0.0.4")
    node.start()
    names = write_rows(tmp_path / "rows.csv", 500)
    assert node.run("import", tmp_path / "rows.csv").code == 0
    with client(node) as resolving:
        for _ in range(3):
            victim = node.process("resolver.worker")
            os.kill(victim, signal.SIGKILL)
            for answer, name in zip(resolving.resolve_many(names), names, strict=True):
                assert (answer.identifier, answer.url) == (name, f"https://example.com/{name[9:]}")
            assert resolving.resolve("88.118.1/absent").status is Status.NOT_FOUND
            until(lambda victim=victim: has(node, "resolver.worker", victim), "the restart")  # type: ignore[misc]
    assert node.said().count("process died") == 3
    assert node.stop() == 0


def test_with_two_workers_one_goes_on(make_node: MakeNode) -> None:
    node = make_node("127.0.0.5", workers=2)
    node.start()
    assert node.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    victim, other = [pid for pid in children(node.pid) if pid != node.process("registry.server")]
    os.kill(victim, signal.SIGKILL)
    with client(node) as resolving:
        assert {resolving.resolve("88.118.1/x").url for _ in range(50)} == {"u"}
    until(lambda: len(children(node.pid)) == 3, "the restart")
    assert other in children(node.pid)


def test_a_node_that_stops_while_a_worker_is_started_again_leaves_none(make_node: MakeNode) -> None:
    node = make_node("127.0.0.5")
    for _ in range(3):
        node.start()
        worker = node.process("resolver.worker")
        supervisor = node.pid
        os.kill(worker, signal.SIGKILL)
        while worker in children(supervisor):
            pass
        while len(children(supervisor)) < 2:  # at the very moment at which the new one is there
            pass
        assert node.stop() == 0
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_of(node, path)]


def _is_of(node: Node, path: Path) -> bool:
    try:
        return str(node.config).encode() in path.read_bytes()
    except OSError:  # it has ended meanwhile
        return False


def test_killed_registry_in_an_import_loses_and_doubles_nothing(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node("127.0.0.6")
    node.start()
    file = tmp_path / "rows.csv"
    names = write_rows(file, ROWS)
    command = [sys.executable, "-m", "biaoshi.cli", "import", str(file), "--node", str(node.directory)]
    killed = 0
    for third in range(3):
        victim = node.process("registry.server")
        mark = sorted(names)[third * ROWS // 3]  # rows go in by this order: an import under way has this one soon
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=CLEAN) as importing:
            with client(node) as resolving:
                while importing.poll() is None and not resolving.resolve(mark).found:
                    time.sleep(0.001)
            if importing.poll() is None:
                os.kill(victim, signal.SIGKILL)
            assert importing.stdout is not None
            said = importing.stdout.read().decode()
            code = importing.wait()
        assert "Traceback" not in said
        if code == 0:
            break
        killed += 1
        assert code == Exit.UNREACHABLE, said
        until(lambda victim=victim: has(node, "registry.server", victim), "the restart")  # type: ignore[misc]
        until(lambda: node.run("export", "88.118.2").code == 0, "the registry's return")
    assert killed
    done = node.run("import", file)
    assert done.code == 0, done
    count = 0
    with client(node) as resolving:
        for answer, name in zip(resolving.resolve_many(names), names, strict=True):
            assert (answer.identifier, answer.url) == (name, f"https://example.com/{name[9:]}")
            assert answer.require().version == 1
            count += 1
        assert resolving.status()["registered"] == count == ROWS


def test_a_restart_that_fails_is_tried_again(make_node: MakeNode) -> None:
    node = make_node("127.0.0.7")
    node.start()
    hidden = node.config.with_suffix(".hidden")
    node.config.rename(hidden)
    victim = node.process("resolver.worker")
    os.kill(victim, signal.SIGKILL)
    until(lambda: node.said().count("process died") >= 2, "the second attempt")
    hidden.rename(node.config)
    until(lambda: has(node, "resolver.worker", victim), "the restart")
    until(lambda: node.run("status").code == 0, "the service")
    assert "Traceback" not in node.said()
    assert node.stop() == 0


def test_stop_while_a_process_cannot_be_started(make_node: MakeNode) -> None:
    node = make_node("127.0.0.8")
    node.start()
    node.config.unlink()
    os.kill(node.process("registry.server"), signal.SIGKILL)
    until(lambda: node.said().count("process died") >= 2, "the second attempt")
    assert node.stop() == 0
    assert not (node.directory / "run.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_node_in_order(make_node: MakeNode, number: signal.Signals) -> None:
    node = make_node("127.0.0.9")
    node.start()
    assert node.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    pids = children(node.pid)
    assert len(pids) == 2
    with client(node) as resolving:
        assert resolving.resolve("88.118.1/x").url == "u"
        os.kill(node.pid, number)
        begin = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begin < 5, "an idle client does not hold it up"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not (node.directory / "run.json").exists()
    assert "Traceback" not in node.said()
    assert "node has stopped" in node.said()
    node.start()
    assert node.run("resolve", "88.118.1/x").code == 0


def test_two_nodes_on_one_store_are_refused(make_node: MakeNode) -> None:
    one, two = make_node("127.0.0.10"), make_node("127.0.0.10")
    one.start()
    text = two.config.read_text("utf-8")
    two.config.write_text(text.replace('data = "store"', f'data = "{one.directory / "store"}"'), "utf-8")
    refused = run("serve", "--config", two.config)
    assert refused.code == Exit.SETTINGS
    assert str(one.directory / "store") in refused.err
    assert one.run("register", "88.118.1/x", "-v", "URL=u").code == 0
    assert one.run("resolve", "88.118.1/x").code == 0


def test_a_killed_supervisor_leaves_nobody_behind(make_node: MakeNode) -> None:
    """Its processes see the end of its pipe and stop; the same node can be started again at once."""
    node = make_node()
    node.start()
    left = children(node.pid)
    assert len(left) == 2
    os.kill(node.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "the end of the processes")
    node.stop()
    (node.directory / "run.json").unlink()
    node.start()
    assert node.run("register", "88.118.7/again", "-v", "NAME=x").code == 0


def test_a_second_node_on_the_same_store_is_refused_and_the_first_goes_on(make_node: MakeNode) -> None:
    node = make_node()
    node.start()
    before = (node.directory / "run.json").read_bytes()
    second = run("serve", "--config", node.config)
    assert second.code == Exit.SETTINGS
    assert (node.directory / "run.json").read_bytes() == before
    assert node.run("register", "88.118.7/still", "-v", "NAME=x").code == 0


def test_a_node_that_has_lost_its_store_denies_nothing(make_node: MakeNode) -> None:
    """It does not start, rather than sign that nothing is registered."""
    node = make_node()
    (node.directory / "store").rename(node.directory / "lost")
    started = run("serve", "--config", node.config)
    assert started.code == Exit.SETTINGS
    assert "biaoshi restore" in started.err
    assert not (node.directory / "store").exists()
    (node.directory / "lost").rename(node.directory / "store")
    node.start()
