"""What the JSON API takes, on one core: bulk uploads, single registrations; beside it the least that aiohttp can do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.node import SERVER_CORE, Node, generate, pinned
from bench.report import Figure, figure


class Sizes(NamedTuple):
    """How large this part of a benchmark is."""

    rows: int
    seconds: float
    rounds: int


FULL: Final = Sizes(300_000, 3.0, 5)
QUICK: Final = Sizes(50_000, 1.0, 2)


def measure_api(work: Path, sizes: Sizes) -> list[Figure]:
    """Uploads in order and in random order, single registrations natively and over HTTP, and a hello, in turn."""
    runs: dict[str, list[float]] = {}
    with Node(work / "api-node", SERVER_CORE, "secondary", "--prefix", "88.118", "--api") as node, _hello() as hello:
        port = node.url("api").rpartition(":")[2]
        target = ("--port", port, "--node", str(node.directory))
        seconds = ("--seconds", str(sizes.seconds))
        for turn in range(sizes.rounds):
            begin = 2 * turn * sizes.rows
            extent = ("--rows", str(sizes.rows), "--begin", str(begin))
            shuffled = ("--rows", str(sizes.rows), "--begin", str(begin + sizes.rows), "--shuffled")
            native = (
                "--port",
                str(node.port("registry")),
                "--node",
                str(node.directory),
                *seconds,
                "--tag",
                f"n{turn}",
            )
            for name, module, arguments in (
                ("api_import_rows_per_s", "bench.api_load", ("import", *target, *extent)),
                ("api_import_shuffled_rows_per_s", "bench.api_load", ("import", *target, *shuffled)),
                ("api_register_single_per_s", "bench.api_load", ("register", *target, *seconds, "--tag", f"a{turn}")),
                ("native_register_single_per_s", "bench.registering", native),
                ("aiohttp_hello_per_s", "bench.api_load", ("hello", "--port", hello, *seconds)),
            ):
                runs.setdefault(name, []).append(generate(module, *arguments)["per_second"])
    figures = [figure(name, "1/s", values) for name, values in runs.items()]
    pairs = zip(runs["api_register_single_per_s"], runs["aiohttp_hello_per_s"], strict=True)
    return [*figures, figure("api_register_over_aiohttp_hello", "ratio", [one / other for one, other in pairs])]


@contextmanager
def _hello() -> Iterator[str]:
    """The port of a server that says hello, on the server's core."""
    command = pinned(SERVER_CORE, [sys.executable, "-m", "bench.hello"])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
