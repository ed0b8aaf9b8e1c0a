"""The command and real nodes, as a person would use them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e.commands import run_forked

START_SECONDS: Final = 40.0
STOP_SECONDS: Final = 30.0

CLEAN: Final = {
    name: value for name, value in os.environ.items() if not name.startswith(("BIAOSHI_", "LC_", "LANG", "PYTEST_"))
} | {"LANG": "C.UTF-8", "COLUMNS": "200", "NO_COLOR": "1"}
"""The environment of every command: nothing of the developer's own settings."""


class Outcome(NamedTuple):
    """What a command has said and its exit code."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects of standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(
    *arguments: object,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
) -> Outcome:
    """Run ``biaoshi`` with these arguments; it never shows a traceback, whatever happens."""
    words = [os.fsencode(_text(argument)) for argument in arguments]
    given = stdin.encode() if isinstance(stdin, str) else stdin
    environment = {**CLEAN, **(env or {})}
    if env and any(name.startswith(("LC_", "PYTHON")) for name in env):
        # Python itself reads these when it starts.
        done = subprocess.run(
            [sys.executable, "-m", "biaoshi.cli", *words],
            input=given, capture_output=True, env=environment, cwd=cwd, timeout=timeout, check=False,
        )  # fmt: skip
        code, said, told = done.returncode, done.stdout, done.stderr
    else:
        code, said, told = run_forked(words, given, environment, cwd, timeout)
    out, err = said.decode("utf-8", "replace"), told.decode("utf-8", "replace")
    assert "Traceback" not in out + err, err
    return Outcome(code, out, err)


def _text(argument: object) -> str:
    return argument if isinstance(argument, str) else str(argument)


def change(config: Path, option: str, value: str) -> None:
    """Put another value (TOML) behind an option of a configuration file."""
    text, count = re.subn(rf"(?m)^{option} = .*$", f"{option} = {value}", config.read_text("utf-8"))
    assert count
    config.write_text(text, "utf-8")


class Node:
    """A node made and run by the command in a directory of its own, on free ports of one loopback address."""

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        prefix: str = "88.118",
        role: str = "secondary",
        workers: int = 1,
    ) -> None:
        self.directory = directory
        self.prefix = prefix
        self.config = directory / "biaoshi.toml"
        self.log = directory.with_name(directory.name + ".log")
        made = run("init", role, "--prefix", prefix, "--dir", directory, "--port", 0)
        assert made.code == 0, made.err
        change(self.config, "host", f'"{host}"')
        change(self.config, "workers", str(workers))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is up."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "biaoshi.cli", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=CLEAN,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not (self.directory / "run.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError("the node did not start:\n" + self.said())
            time.sleep(0.02)

    def stop(self) -> int:
        """Ask it to stop, and make it; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for child in children(process.pid):
                os.kill(child, signal.SIGKILL)
            process.kill()
            process.wait()
            raise AssertionError("the node did not stop:\n" + self.said()) from None

    @property
    def pid(self) -> int:
        """The supervisor's process number."""
        assert self._process is not None
        return self._process.pid

    def process(self, name: str) -> int:
        """The number of a process of the node as it is now: ``registry`` or ``resolver``."""
        [pid] = [pid for pid in children(self.pid) if name in _command_line(pid)]
        return pid

    def address(self, side: str) -> str:
        """``host:port`` of the resolver or the registry."""
        host, port = json.loads((self.directory / "run.json").read_text("utf-8"))[side]
        return f"{host}:{port}"

    def said(self) -> str:
        """All that the node has logged."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def run(self, *arguments: object, **options: Any) -> Outcome:
        """Run a command with ``--node`` of this node."""
        return run(*arguments, "--node", self.directory, **options)


_held_bases: list[socket.socket] = []


def free_base() -> str:
    """A loopback network on which nobody serves at the usual port, and which no other test process takes while this one
    lives: a socket beside that port is the sign."""
    for number in range(100, 250):
        first = f"127.{number}.0.1"
        try:
            sign = socket.create_server((first, 26_409))
        except OSError:
            continue
        try:
            socket.create_server((first, 26_410)).close()
        except OSError:
            sign.close()
            continue
        _held_bases.append(sign)
        return f"127.{number}.0.0"
    raise AssertionError("all networks are taken")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(child) for child in listed.split()]


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
