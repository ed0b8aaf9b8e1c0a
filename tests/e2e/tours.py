"""The READMEs as programs: their commands with the output that they show, carried out in a directory of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.e2e.nodes import CLEAN, START_SECONDS, STOP_SECONDS

ROOT: Final = Path(__file__).parents[2]

VARIES: Final = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "‹time›",
    r"\b[0-9a-f]{16}\b": "‹key id›",
    r"\d+\.\d (s|秒)": r"‹seconds› \1",
    r"[\d,]+ (rows/s|行/秒)": r"‹rate› \1",
}
"""What is another on each run, and what stands for it in a comparison."""


class Step(NamedTuple):
    """A command, and the lines that are shown below it."""

    command: str
    shown: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """The commands of a document, ``$ …`` in its code blocks, in their order."""
    found: list[Step] = []
    for block in re.findall(r"(?ms)^```\n(.*?)^```$", text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            lines = part.splitlines()
            end = next(i for i, line in enumerate(lines) if not line.endswith(("\\", "|"))) + 1
            found.append(Step("\n".join(lines[:end]), tuple(lines[end:])))
    return found


def programs(text: str) -> list[str]:
    """The Python programs of a document."""
    return re.findall(r"(?ms)^```python\n(.*?)^```$", text)


def alike(line: str) -> str:
    """A line with what varies put away."""
    for pattern, name in VARIES.items():
        line = re.sub(pattern, name, line)
    return line


class Tour:
    """Carries steps out one after the other, as somebody would who types them in."""

    def __init__(self, directory: Path, language: str) -> None:
        self.directory = directory
        self.environment = {
            **CLEAN,
            "BIAOSHI_LANG": language,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self._serving: subprocess.Popen[bytes] | None = None

    def take(self, step: Step) -> list[str]:
        """Carry out a step; the lines that it says."""
        command = step.command
        if found := re.fullmatch(r"export (\w+)=(\S+)", command):
            self.environment[found[1]] = found[2]
            return []
        if command.endswith("&"):
            self._serve(command.removesuffix("&").split())
            return []
        if command.startswith("biaoshi init"):
            command += " --port 0"  # the usual ports may be in use where the tests run
        done = subprocess.run(
            ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=self.directory, env=self.environment, timeout=60, check=False,
        )  # fmt: skip
        return [line for line in done.stdout.decode().splitlines() if "━" not in line]  # nor how far an import is

    def _serve(self, command: list[str]) -> None:
        assert self._serving is None
        with (self.directory / "log").open("wb") as log:
            self._serving = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, env=self.environment,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not list(self.directory.glob("*/run.json")):
            assert self._serving.poll() is None, (self.directory / "log").read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def run(self, program: str) -> list[str]:
        """Run a Python program that asks the default address: here it is the node's own."""
        [run] = self.directory.glob("*/run.json")
        host, port = json.loads(run.read_text("utf-8"))["resolver"]
        assert "127.0.0.1:26410" in program
        done = subprocess.run(
            [sys.executable, "-c", program.replace("127.0.0.1:26410", f"{host}:{port}")],
            capture_output=True, cwd=self.directory, env=self.environment, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()

    def stop(self) -> int:
        """Stop the node."""
        if self._serving is None:
            return 0
        self._serving.send_signal(signal.SIGTERM)
        return self._serving.wait(STOP_SECONDS)
