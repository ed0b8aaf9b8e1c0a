"""A recursive node before a top, a secondary and an enterprise: warm from its cache, and cold through all three."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.dataset import write_uniform_csv
from bench.node import SERVER_CORE, Node, biaoshi, generate
from bench.report import Figure, figure

SEED: Final = 20_250_087

WARM: Final = {
    "recursive_50x64": (),
    "recursive_proof_50x64": ("--proof",),
}


class Extent(NamedTuple):
    """How much is measured: records that the cache holds, seconds of each load, rounds, cold resolutions of each."""

    records: int
    seconds: float
    rounds: int
    cold: int


FULL: Final = Extent(100_000, 3.0, 5, 100)
QUICK: Final = Extent(5_000, 1.0, 2, 30)


class Province(NamedTuple):
    """Running nodes; ``anchor`` is the top's."""

    anchor: Path
    top: Node
    recursive: Node


@contextmanager
def province(work: Path, records: int) -> Iterator[Province]:
    """Three authorities, delegated from the top down, the enterprise's records loaded, and a recursive node; all on the
    server's core."""
    with ExitStack() as stack:
        zones = (("top", "88"), ("secondary", "88.118"), ("enterprise", "88.118.32001"))
        top, secondary, enterprise = (
            stack.enter_context(Node(work / role, SERVER_CORE, role, "--prefix", prefix)) for role, prefix in zones
        )
        for parent, child, prefix in ((top, secondary, "88.118"), (secondary, enterprise, "88.118.32001")):
            _delegate(parent, child, prefix, top.anchor, work / "request")
        file = work / "recursion.csv"
        write_uniform_csv(file, records, SEED)
        enterprise.load(file)
        file.unlink()
        options = ("--anchor", str(top.anchor), "--root", top.address("resolver"))
        recursive = stack.enter_context(Node(work / "recursive", SERVER_CORE, "recursive", *options))
        yield Province(top.anchor, top, recursive)


def _delegate(parent: Node, child: Node, prefix: str, anchor: Path, request: Path) -> None:
    config = ("--config", str(child.directory / "biaoshi.toml"))
    for command in (
        ("request", *config, "--address", child.address("resolver"), "--out", str(request)),
        ("issue", str(request), "--node", str(parent.directory)),
        ("fetch", *config, "--parent", parent.address("registry"), "--anchor", str(anchor)),
    ):
        subprocess.run(biaoshi("delegate", *command), check=True, stdout=subprocess.DEVNULL)
    request.unlink()


def measure_recursion(work: Path, extent: Extent) -> list[Figure]:
    """The figures of the recursive node."""
    runs: dict[str, list[float]] = {}
    with province(work, extent.records) as nodes:
        target = ("--port", str(nodes.recursive.port("resolver")), "--anchor", str(nodes.anchor),
                  "--own-anchor", str(nodes.recursive.anchor), "--records", str(extent.records))  # fmt: skip
        generate("bench.relaying", *target, "--warm")
        for turn in range(extent.rounds):
            for name, load in WARM.items():
                report = generate(
                    "bench.relaying", *target, *load, "--seconds", str(extent.seconds), "--seed", str(turn)
                )
                runs.setdefault(name, []).append(report["per_second"])
            report = generate("bench.relaying", "--port", str(nodes.top.port("resolver")), "--anchor",
                              str(nodes.anchor), "--records", str(extent.records), "--cold", str(extent.cold),
                              "--seed", str(turn))  # fmt: skip
            runs.setdefault("recursive_cold_ms", []).append(report["median_ms"])
    units = {"recursive_cold_ms": "ms"}
    return [figure(name, units.get(name, "1/s"), values) for name, values in runs.items()]
