"""How a demonstration tells what it does: steps, commands as a person would type them, what must be right."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console

from protocol.status import Exit

console: Final = Console(highlight=False)


class DemoFailed(Exception):
    """A step of the demonstration did not do what it should."""


def step(number: int, english: str, chinese: str) -> None:
    """Say what comes now."""
    console.print(f"\n[bold cyan]{number}[/bold cyan]  [bold]{english}[/bold]  [dim]{chinese}[/dim]")


def command(*arguments: str, quiet: bool = False, env: Mapping[str, str] | None = None) -> str:
    """Run a command as a person would, and show it, and what it says unless ``quiet``; gives its standard output."""
    shown = shlex.join(arguments)
    console.print(f"   $ biaoshi {shown}", style="yellow", markup=False, soft_wrap=True)
    result = subprocess.run(
        [sys.executable, "-m", "biaoshi.cli", *arguments], check=False, text=True, env=os.environ | (env or {}),
        stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
    )  # fmt: skip
    if result.returncode:
        raise DemoFailed(f"'biaoshi {shown}' ended with exit code {result.returncode}\n{result.stdout or ''}")
    return result.stdout or ""


def refused(code: Exit, *arguments: str) -> None:
    """Run a command that is to end with this exit code, and show what it says."""
    shown = shlex.join(arguments)
    console.print(f"   $ biaoshi {shown}", style="yellow", markup=False, soft_wrap=True)
    result = subprocess.run(
        [sys.executable, "-m", "biaoshi.cli", *arguments], check=False, text=True, capture_output=True
    )
    if result.returncode != code:
        raise DemoFailed(f"'biaoshi {shown}' ended with exit code {result.returncode}, not {code}\n{result.stderr}")
    console.print((result.stdout + result.stderr).rstrip(), markup=False, soft_wrap=True)


def expect(right: bool, otherwise: str) -> None:
    """Raise :class:`DemoFailed`, saying ``otherwise``, where something is not right."""
    if not right:
        raise DemoFailed(otherwise)
