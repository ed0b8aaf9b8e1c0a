"""A real node for a benchmark: made and started by the ordinary commands, on loopback, stopped at the end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

SERVER_CORE: Final = "0"
GENERATOR_CORE: Final = "1"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0


class BenchFailed(Exception):
    """A benchmark could not be carried out, or something answered wrongly."""


def biaoshi(*arguments: str) -> list[str]:
    """The command line of a ``biaoshi`` command."""
    return [sys.executable, "-m", "biaoshi.cli", *arguments]


class Node:
    """A node in ``directory``, a secondary for 88.118 unless another role and zone are given; ``core`` pins all its
    processes."""

    def __init__(self, directory: Path, core: str | None, role: str = "secondary", *options: str) -> None:
        self.directory = directory
        self.anchor = directory / "anchor.toml"
        self._core = core
        self._make = ("init", role, *(options or ("--prefix", "88.118")))
        self._process: subprocess.Popen[bytes] | None = None
        self._run: dict[str, Any] = {}

    def __enter__(self) -> Self:
        shutil.rmtree(self.directory, ignore_errors=True)
        arguments = biaoshi(*self._make, "--dir", str(self.directory), "--port", "0")
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        config = self.directory / "biaoshi.toml"
        # Sealed and unsealed answers are compared on one node.
        config.write_text(re.sub(r"(?m)^unsealed = false", "unsealed = true", config.read_text("utf-8")), "utf-8")
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                pinned(self._core, biaoshi("serve", "--config", str(config))), stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        run = self.directory / "run.json"
        while not run.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "log").read_text("utf-8")
                self.__exit__()
                raise BenchFailed("the node did not start:\n" + said)
            time.sleep(0.05)
        self._run = json.loads(run.read_text("utf-8"))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)

    def port(self, side: str) -> int:
        """The port of ``resolver`` or ``registry``."""
        port: int = self._run[side][1]
        return port

    def address(self, side: str) -> str:
        """``host:port`` of ``resolver`` or ``registry``."""
        return f"127.0.0.1:{self.port(side)}"

    def load(self, file: Path) -> None:
        """Import a file, quietly."""
        run(biaoshi("import", str(file), "--node", str(self.directory)))

    def status(self) -> dict[str, Any]:
        """What the node says of itself."""
        time.sleep(1.1)  # counts in a status are up to a second old
        arguments = biaoshi("status", "--json", "--node", str(self.directory))
        shown: dict[str, Any] = json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)
        return shown


def run(command: Sequence[str]) -> None:
    """Run a command, quietly. Raises :class:`BenchFailed`."""
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise BenchFailed(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


def pinned(core: str | None, command: Sequence[str]) -> list[str]:
    """A command line that runs on one core."""
    return ["taskset", "-c", core, *command] if core else list(command)


def generate(module: str, *arguments: str, on_server_core: bool = False) -> dict[str, Any]:
    """Run a load generator on the generator's core and give what it reports. Raises :class:`BenchFailed`."""
    core = SERVER_CORE if on_server_core else GENERATOR_CORE
    command = pinned(core, [sys.executable, "-m", module, *arguments])
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise BenchFailed(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return report
