"""A node that runs while a demonstration needs it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.telling import DemoFailed, console

START_SECONDS: Final = 60.0
"""How long a node may take to start, and to stop."""


@contextlib.contextmanager
def running(node: Path) -> Iterator[dict[str, str]]:
    """A running node's addresses; it is stopped at the end, and must have stopped cleanly."""
    config = node / "biaoshi.toml"
    console.print(f"   $ biaoshi serve --config {config}", style="yellow", soft_wrap=True)
    with (node / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "biaoshi.cli", "serve", "--config", str(config)], stderr=log, start_new_session=True
        )
    try:
        run = node / "run.json"
        deadline = time.monotonic() + START_SECONDS
        while not run.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed("the node did not start:\n" + (node / "log").read_text("utf-8"))
            time.sleep(0.02)
        noted = json.loads(run.read_text("utf-8"))
        doors = {side: f"{noted[side][0]}:{noted[side][1]}" for side in ("resolver", "registry")}
        yield doors | ({"api": noted["api"]} if "api" in noted else {})
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(START_SECONDS)
    if code:
        raise DemoFailed(f"the node ended with exit code {code}")
