"""Figures, their targets, and how they are shown and kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table


class Target(NamedTuple):
    """What a figure is to reach: at least, or at most where ``most`` is set."""

    value: float
    most: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure reaches it."""
        return value <= self.value if self.most else value >= self.value


class Figure(NamedTuple):
    """The median of several runs, with the lowest and the highest."""

    name: str
    value: float
    unit: str
    low: float
    high: float


TARGETS: Final = {
    "tcp_50x64": Target(500_000),
    "tcp_50x16": Target(330_000),
    "tcp_50x1": Target(80_000),
    "udp_16x16": Target(110_000),
    "many_100": Target(600_000),
    "sealed_over_unsealed": Target(0.85),
    "tcp_50x64_over_redis_p32": Target(1.0),
    "many_100_over_redis_mget100": Target(1.0),
    "templated_bytes_per_record": Target(90, most=True),
    "members_over_plain": Target(0.66),
    "series_register_ms": Target(100, most=True),
    "recursive_50x64": Target(250_000),
    "recursive_cold_ms": Target(3.0, most=True),
    "follower_changes_per_s": Target(50_000),
    "follower_bulk_changes_per_s": Target(50_000),
    "import_rows_per_s": Target(120_000),
    "bytes_per_record": Target(75, most=True),
    "register_single_per_s": Target(5_000),
}


def figure(name: str, unit: str, runs: Sequence[float]) -> Figure:
    """The figure of some runs."""
    return Figure(name, statistics.median(runs), unit, min(runs), max(runs))


def write(figures: Sequence[Figure], environment: dict[str, Any], directory: Path) -> None:
    """Write ``bench.json``, the list of figures, and ``bench-environment.json`` beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    listed = [one._asdict() for one in figures]
    (directory / "bench.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    (directory / "bench-environment.json").write_text(json.dumps(environment, indent=1) + "\n", "utf-8")


def show(figures: Sequence[Figure], environment: dict[str, Any], targets: bool) -> None:
    """Print the table; ``targets`` says whether these sizes are the ones that targets are for."""
    console = Console(width=110)
    table = Table(title=f"{environment['cpu']}, {environment['cores']} cores, {environment['commit']}")
    for heading in ("", "median", "low – high", "unit", "target", ""):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for one in figures:
        target = TARGETS.get(one.name) if targets else None
        aim = f"{'≤' if target.most else '≥'} {_shown(target.value)}" if target else ""
        met = ("[green]met[/green]" if target.met(one.value) else "[red]missed[/red]") if target else ""
        table.add_row(one.name, _shown(one.value), f"{_shown(one.low)} – {_shown(one.high)}", one.unit, aim, met)
    console.print(table)
    if not targets:
        console.print("Quick run on small sizes: no figure to compare with the targets.")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
