"""The start of a process: loop, log, signals, the word "ready", sockets."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
import uvloop

from config.process import OPEN_FILES, bind, run, say_ready, set_up_log, settle_collector, software, stop_event
from config.settings import LogSettings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("soft", "hard", "then"), [(100, 200, 200), (100, 20_000, OPEN_FILES), (15_000, 20_000, 15_000)]
)
def test_as_many_open_files_as_may_be_and_are_of_use(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, then: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, now: limits.append(now))

    async def main() -> None:
        assert limits[-1] == (then, hard)

    run(main())
    assert len(limits) == 1 + (soft != then)


# The loop and its end --------------------------------------------------------------------------------


@pytest.mark.parametrize(("chosen", "uses_uvloop"), [(None, True), ("asyncio", False), ("", True)])
def test_event_loop(monkeypatch: pytest.MonkeyPatch, chosen: str | None, uses_uvloop: bool) -> None:
    monkeypatch.delenv("BIAOSHI_LOOP", raising=False)
    if chosen is not None:
        monkeypatch.setenv("BIAOSHI_LOOP", chosen)
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())

    run(main())
    assert isinstance(loops[0], uvloop.Loop) is uses_uvloop
    assert loops[0].is_closed()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_sets_the_event(monkeypatch: pytest.MonkeyPatch, loop: str, number: signal.Signals) -> None:
    monkeypatch.setenv("BIAOSHI_LOOP", loop)

    async def main() -> None:
        event = stop_event()
        await asyncio.sleep(0)
        assert not event.is_set()
        for _ in range(3):  # an impatient operator does no more harm than a patient one
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                await event.wait()

    run(main())


def test_ready_is_one_line_and_comes_at_once() -> None:
    """Through a pipe, which buffers; the process goes on afterwards."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", "import config.process, os; config.process.say_ready(); os._exit(7)"],
        capture_output=True, text=True, timeout=60, check=False, env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("ready\n", 7), done.stderr


def test_ready_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that was killed does not take its processes along."""
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(io.FileIO(os.dup(writing), "w"), write_through=True) as broken:
        os.close(writing)
        monkeypatch.setattr(sys, "stdout", broken)
        say_ready()
        monkeypatch.undo()


def test_collector_is_settled() -> None:
    before = gc.get_threshold()
    try:
        settle_collector()
        assert gc.get_freeze_count() > 1_000
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled(), "cycles are still collected, only less often"
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_software_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert software() == f"biaoshi/{project['version']}"


# The log ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """What a test sets up is put back."""
    yield
    structlog.reset_defaults()


LEVELS = ("debug", "info", "warning", "error")


def say_all(settings: LogSettings) -> None:
    log = set_up_log(settings, "resolver")
    for level in LEVELS:
        getattr(log, level)(f"at {level}", port=5, name="泵")


@pytest.mark.parametrize("level", LEVELS)
def test_json_log(capsys: pytest.CaptureFixture[str], level: str) -> None:
    say_all(LogSettings(level=level, format="json"))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["level"] for line in lines] == list(LEVELS[LEVELS.index(level) :])
    for line in lines:
        assert set(line) == {"event", "level", "name", "port", "process", "timestamp"}
        assert (line["event"], line["process"], line["port"]) == (f"at {line['level']}", "resolver", 5)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
    assert "泵" in said, "people read it as well"


@pytest.mark.parametrize("level", LEVELS)
def test_text_log(capsys: pytest.CaptureFixture[str], level: str) -> None:
    say_all(LogSettings(level=level))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    lines = said.splitlines()
    assert len(lines) == len(LEVELS) - LEVELS.index(level)
    assert all("process=resolver" in line and "port=5" in line and "at " in line for line in lines)
    assert "\x1b" not in said, "no colours in a file"


def test_a_line_break_in_a_value_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(LogSettings(format="json"), "p").info("x", reason="one\ntwo")
    assert len(capsys.readouterr().err.splitlines()) == 1


# Sockets ---------------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])


@KINDS
def test_several_processes_share_an_address(kind: socket.SocketKind) -> None:
    with closing(bind("127.0.0.1", 0, kind)) as one:
        port = one.getsockname()[1]
        assert port
        assert not one.getblocking()
        if kind is socket.SOCK_STREAM:
            one.listen()
        with closing(bind("127.0.0.1", port, kind)) as two:
            assert two.getsockname() == one.getsockname()
            if kind is socket.SOCK_STREAM:
                two.listen()
            assert two.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT), "the kernel divides what comes in"


@KINDS
def test_both_families(kind: socket.SocketKind) -> None:
    with closing(bind("::1", 0, kind)) as sock:
        assert (sock.family, sock.getsockname()[0]) == (socket.AF_INET6, "::1")
    with closing(bind("localhost", 0, kind)) as sock:
        assert sock.getsockname()[0] in ("127.0.0.1", "::1")


@KINDS
@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours(kind: socket.SocketKind, host: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(OSError, match=r".+"):
        bind(host, 0, kind)
    gc.collect()
    assert not [one for one in recwarn if one.category is ResourceWarning], "the socket was closed"


@KINDS
def test_a_port_that_somebody_keeps_for_himself(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", other.getsockname()[1], kind)
