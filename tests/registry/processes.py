"""Starting real processes from tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@contextlib.contextmanager
def running(script: str | Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process of a script file of the repository, killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def expect_line(process: subprocess.Popen[str]) -> str:
    """The next line of a process's output; fails with its errors where it has ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate(timeout=30)
        raise AssertionError(f"the process ended with {process.returncode}: {errors}")
    return line.strip()
