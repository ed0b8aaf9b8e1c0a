"""Kinds of registrations beside each other: records of their own, records that follow a template, members of a series.

The same identifiers and values each time, but for the prefix; random ones are asked for at 50 connections x 64.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.dataset import uniform_row, write_uniform_csv
from bench.node import SERVER_CORE, BenchFailed, Node, biaoshi, generate, run
from bench.report import Figure, figure
from config.keyfiles import read_anchor, read_secret
from protocol.records import encode_plain_values
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.store.writes import ABSENT, Write

SERIES_PREFIX: Final = "88.118.32003"
MEMBERS: Final = 1_000_000_000
SEED: Final = 20_250_086

TEMPLATE: Final = """\
prefix = "88.118.32001"
name = "pump"

[[items]]
index = 2000
name = "URL"
type = "url"
required = true

[[items]]
index = 2001
name = "TEXT"
max_length = 80
"""


class Sizes(NamedTuple):
    """How large it is."""

    records: int
    seconds: float
    rounds: int


FULL: Final = Sizes(1_000_000, 3.0, 5)
QUICK: Final = Sizes(100_000, 1.0, 2)


def measure_kinds(work: Path, sizes: Sizes) -> list[Figure]:
    """Lookups of each kind, bytes of records that follow a template, and how long a series takes to register."""
    file = work / "uniform.csv"
    write_uniform_csv(file, sizes.records, SEED)
    runs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        plain = stack.enter_context(Node(work / "plain", SERVER_CORE))
        plain.load(file)
        templated = stack.enter_context(Node(work / "templated", SERVER_CORE))
        _load_templated(templated, file, work / "template.toml")
        stored = templated.status()
        if stored["registered"] != sizes.records:
            raise BenchFailed(f"{stored['registered']} records follow the template, not {sizes.records}")
        took = asyncio.run(_register_series(plain, sizes.rounds))
        loads = {
            "plain_50x64": (plain, sizes.records, "88.118.32001"),
            "templated_50x64": (templated, sizes.records, "88.118.32001"),
            "members_50x64": (plain, sizes.records, SERIES_PREFIX),
            "members_of_a_billion_50x64": (plain, MEMBERS, SERIES_PREFIX),
        }
        for turn in range(sizes.rounds):
            for name, (node, records, prefix) in loads.items():
                report = generate(
                    "bench.generator", "--port", str(node.port("resolver")), "--anchor", str(node.anchor),
                    "--records", str(records), "--prefix", prefix, "--seconds", str(sizes.seconds), "--seed", str(turn),
                )  # fmt: skip
                runs.setdefault(name, []).append(report["per_second"])
    figures = [figure(name, "1/s", values) for name, values in runs.items()]
    for ratio, name in (
        ("templated_over_plain", "templated_50x64"),
        ("members_over_plain", "members_50x64"),
        ("members_of_a_billion_over_plain", "members_of_a_billion_50x64"),
    ):
        ratios = [one / other for one, other in zip(runs[name], runs["plain_50x64"], strict=True)]
        figures.append(figure(ratio, "ratio", ratios))
    figures.append(figure("templated_bytes_per_record", "bytes", [stored["store_bytes"] / sizes.records]))
    figures.append(figure("series_register_ms", "ms", took))
    return figures


def _load_templated(node: Node, file: Path, template: Path) -> None:
    template.write_text(TEMPLATE, "utf-8")
    for arguments in (("template", "put", str(template)), ("import", str(file), "--template", "88.118.32001/1")):
        run(biaoshi(*arguments, "--node", str(node.directory)))


async def _register_series(node: Node, times: int) -> list[float]:
    """Milliseconds to register series of a thousand million members, one behind the other, each durably."""
    url, text = uniform_row(0)[1:]
    page = url.rpartition("/")[0] + "/{suffix}"
    values = encode_plain_values([(1, "URL", page.encode()), (2, "TEXT", text.encode())])
    anchor = TrustAnchor.parse(*read_anchor(node.anchor))
    key = SigningKey(read_secret(node.directory / "keys/writer.pem"))
    took: list[float] = []
    async with RegistryClient("127.0.0.1", node.port("registry"), anchor=anchor, key=key) as client:
        for number in range(times):
            first, last = number * MEMBERS, (number + 1) * MEMBERS - 1
            pattern = f"{SERIES_PREFIX}/P{{{first:013d}..{last:013d}}}".encode()
            begin = time.perf_counter()
            [result] = await client.write_series([Write(pattern, ABSENT, values)])
            took.append(1_000 * (time.perf_counter() - begin))
            if result.status is not Status.OK or not result.changed:
                raise BenchFailed(f"{pattern!r}: {result}")
    return took
