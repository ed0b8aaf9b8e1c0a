"""A whole province on this machine (``biaoshi topology``), resolved through its recursive node and from the top down.

``measure_province`` is a part of ``bench.run``; as a program, ``python -m bench.province --dir DIRECTORY``, this is the
load on a running province and prints one line of JSON: ``--warm`` resolves every record once; the default is the closed
loop of ``bench.generator`` at the recursive node, with the authorities' evidence in each answer, of which a share is
verified from the top's anchor; ``--cold N`` resolves N times from the top down, each time with nothing known.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.generator import run_streams
from bench.node import SERVER_CORE, START_SECONDS, STOP_SECONDS, BenchFailed, biaoshi, generate, pinned
from bench.relaying import Names, RelayChecker, plan, report_cold, report_streams, warm
from bench.report import Figure, figure
from biaoshi.making import ANCHOR_NAME
from biaoshi.topology.look import memory_of
from biaoshi.topology.place import noted, plan_there
from biaoshi.topology.plan import Network, Planned, Province, Topology, topology_text
from biaoshi.topology.plan import plan as planned
from biaoshi.topology.samples import sample
from config.keyfiles import read_anchor
from protocol.address import Address
from protocol.trust import TrustAnchor


class Extent(NamedTuple):
    """How large the province is, and how much is measured."""

    secondaries: int
    enterprises: int
    records: int
    seconds: float
    rounds: int
    cold: int


FULL: Final = Extent(40, 80, 1_000, 3.0, 5, 100)
QUICK: Final = Extent(4, 8, 250, 1.0, 2, 30)

BASE: Final = "127.89.0.0"
"""Not that of config/jiangsu.toml, which may be running."""

CONNECTIONS: Final = 50
IN_FLIGHT: Final = 64


@contextmanager
def running(directory: Path, extent: Extent) -> Iterator[None]:
    """A province, made and started by the command on the server's core, and stopped at the end."""
    counts = Province(
        name="bench", secondaries=extent.secondaries, enterprises=extent.enterprises, records=extent.records, custody=0
    )
    config = directory.with_name("province.toml")
    config.write_text(topology_text(Topology(province=counts, network=Network(base=BASE))), "utf-8")
    command = pinned(SERVER_CORE, biaoshi("topology", "up", "--config", str(config), "--dir", str(directory)))
    log = directory.with_name("province.log")
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        deadline = time.monotonic() + 2 * START_SECONDS
        while not ((run := noted(directory)) and run.up):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchFailed("the province did not start:\n" + log.read_text("utf-8"))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(2 * STOP_SECONDS)


def measure_province(work: Path, extent: Extent) -> list[Figure]:
    """The figures of a province: lookups at its recursive node, cold resolutions, seconds to its start, memory."""
    directory = work / "province"
    runs: dict[str, list[float]] = {}
    load = ("bench.province", "--dir", str(directory))
    begin = time.monotonic()
    with running(directory, extent):
        runs["province_up_s"] = [time.monotonic() - begin]
        generate(*load, "--warm")
        for turn in range(extent.rounds):
            report = generate(*load, "--seconds", str(extent.seconds), "--seed", str(turn))
            runs.setdefault("province_lookups_per_s", []).append(report["per_second"])
            report = generate(*load, "--cold", str(extent.cold), "--seed", str(turn))
            runs.setdefault("province_cold_ms", []).append(report["median_ms"])
        run = noted(directory)
        if run is None or any(node.restarts for node in run.nodes):
            raise BenchFailed("nodes of the province have died")
        runs["province_memory_mib"] = [sum(memory_of(node.pid) for node in run.nodes) / (1 << 20)]
    units = {"province_cold_ms": "ms", "province_up_s": "s", "province_memory_mib": "MiB"}
    return [figure(name, units.get(name, "1/s"), values) for name, values in runs.items()]


def sample_names(nodes: Sequence[Planned], records: int) -> Names:
    """The sample records of nodes."""

    def draw(random_: random.Random) -> str:
        return sample(random_.choice(nodes).samples, random_.randrange(records)).identifier

    def url(identifier: bytes) -> str:
        prefix, _, suffix = identifier.decode().partition("/")
        return sample(prefix, int(suffix.removeprefix("P"))).url

    def every() -> Iterator[str]:
        return (sample(node.samples, number).identifier for number in range(records) for node in nodes)

    return Names([node.prefix.encode() for node in nodes], draw, url, every)


def main() -> None:
    """Entry point: run one load on a running province and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the directory of a running province")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--cold", type=int, default=0, metavar="N")
    options = parser.parse_args()
    topology = plan_there(options.dir)
    nodes, records = planned(topology), topology.province.records
    if not records or not topology.province.recursives:
        parser.error("a province with sample records and a recursive node is needed")
    [top, *_], recursive = nodes, next(node for node in nodes if node.role == "recursive")
    anchor, own = (TrustAnchor.parse(*read_anchor(options.dir / one.name / ANCHOR_NAME)) for one in (top, recursive))
    names = sample_names([node for node in nodes if node.samples], records)
    if options.warm:
        count = asyncio.run(warm(f"{recursive.host}:{recursive.resolver_port}", anchor, names))
        print(json.dumps({"records": count}))
    elif options.cold:
        enterprises = sample_names([node for node in nodes if node.role == "enterprise"], records)
        report_cold(Address(top.host, top.resolver_port), anchor, enterprises, options.cold, options.seed)
    else:
        checker = RelayChecker(own, anchor, names)
        checker.learn(recursive.host, recursive.resolver_port)
        report_streams(*run_streams(
            recursive.host, recursive.resolver_port, plan(names, True, options.seed), checker, CONNECTIONS, IN_FLIGHT,
            options.seconds, options.seed,
        ))  # fmt: skip


if __name__ == "__main__":
    main()
