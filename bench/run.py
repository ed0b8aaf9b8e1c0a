"""``make bench``: the figures of a node, with Redis beside it, on one core for the server and one for the load.

The measurements are taken in turn, round after round, so that a machine that drifts treats all alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench import following, kinds, province, recursion, redis_peer
from bench.dataset import write_uniform_csv
from bench.environment import describe, fsync_ms, steal_seconds
from bench.node import SERVER_CORE, BenchFailed, Node, biaoshi, generate
from bench.report import Figure, figure, show, write

BUILD: Final = Path("build")
SEED: Final = 20_250_086


class Sizes(NamedTuple):
    """How large a benchmark is."""

    records: int
    seconds: float
    rounds: int
    import_rows: int
    redis_requests: int


FULL: Final = Sizes(1_000_000, 3.0, 5, 10_000_000, 400_000)
QUICK: Final = Sizes(100_000, 1.0, 2, 300_000, 100_000)

LOADS: Final = {
    "tcp_50x64": ("--connections", "50", "--in-flight", "64"),
    "unsealed_50x64": ("--connections", "50", "--in-flight", "64", "--unsealed"),
    "tcp_50x16": ("--connections", "50", "--in-flight", "16"),
    "tcp_50x1": ("--connections", "50", "--in-flight", "1"),
    "udp_16x16": ("--mode", "udp", "--connections", "16", "--in-flight", "16"),
    "many_100": ("--mode", "many", "--many", "100", "--connections", "50", "--in-flight", "1"),
}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    parser.add_argument(
        "--only", choices=["lookups", "kinds", "recursion", "province", "following", "import"], help="one part only"
    )
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    work = BUILD / "bench"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    environment = describe(work)
    begin, stolen = time.monotonic(), steal_seconds()
    figures: list[Figure] = []
    try:
        if options.only in (None, "lookups"):
            figures += measure_lookups(work, sizes)
        if options.only in (None, "recursion"):
            _say("a recursive node before three authorities")
            figures += recursion.measure_recursion(work, recursion.QUICK if options.quick else recursion.FULL)
        if options.only in (None, "province"):
            _say("a province of many nodes")
            figures += province.measure_province(work, province.QUICK if options.quick else province.FULL)
        if options.only in (None, "kinds"):
            _say("records, templates and series")
            figures += kinds.measure_kinds(work, kinds.QUICK if options.quick else kinds.FULL)
        if options.only in (None, "following"):
            _say("a follower that copies a zone")
            figures += following.measure_following(work, following.QUICK if options.quick else following.FULL)
        if options.only in (None, "import"):
            figures += measure_import(work, sizes)
    except BenchFailed as error:
        sys.exit(f"the benchmark failed: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    environment["seconds"] = round(time.monotonic() - begin, 1)
    environment["steal_seconds"] = round(steal_seconds() - stolen, 2)
    write(figures, environment, BUILD)
    show(figures, environment, targets=not options.quick)
    print(f"{BUILD / 'bench.json'} written; {environment['seconds']} s, of which stolen by the hypervisor "
          f"{environment['steal_seconds']} s")  # fmt: skip


def measure_lookups(work: Path, sizes: Sizes) -> list[Figure]:
    """Resolution and single registrations, and Redis, in turn."""
    file = work / "uniform.csv"
    write_uniform_csv(file, sizes.records, SEED)
    runs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        node = stack.enter_context(Node(work / "node", SERVER_CORE))
        _say(f"loading {sizes.records:,} records")
        node.load(file)
        file.unlink()
        missing = redis_peer.available()
        redis = None if missing else stack.enter_context(redis_peer.Redis(work / "redis", sizes.records))
        if missing:
            _say(f"without Redis: {missing}")
        target = ("--port", str(node.port("resolver")), "--anchor", str(node.anchor))
        extent = ("--records", str(sizes.records), "--seconds", str(sizes.seconds))
        for turn in range(sizes.rounds):
            _say(f"round {turn + 1} of {sizes.rounds}")
            for name, load in LOADS.items():
                report = generate("bench.generator", *target, *extent, *load, "--seed", str(turn))
                runs.setdefault(name, []).append(report["per_second"])
            able = generate("bench.yardstick", "--store", str(node.directory / "store"), "--seed", str(turn),
                            on_server_core=True)  # fmt: skip
            for name, per_second in able.items():
                runs.setdefault(name, []).append(per_second)
            if redis is not None:
                runs.setdefault("redis_p1", []).append(redis.get(1, sizes.redis_requests))
                runs.setdefault("redis_p32", []).append(redis.get(32, 4 * sizes.redis_requests))
                runs.setdefault("redis_mget100", []).append(redis.mget(100, sizes.redis_requests // 10))
            report = generate("bench.registering", "--port", str(node.port("registry")), "--node",
                              str(node.directory), "--seconds", str(sizes.seconds), "--tag", str(turn))  # fmt: skip
            runs.setdefault("register_single_per_s", []).append(report["per_second"])
    figures = [figure(name, "1/s", values) for name, values in runs.items()]
    figures += [
        _ratio("sealed_over_unsealed", runs, "tcp_50x64", "unsealed_50x64"),
        _ratio("tcp_50x64_over_machine_reads", runs, "tcp_50x64", "machine_reads_per_s"),
        _ratio("many_100_over_machine_reads", runs, "many_100", "machine_reads_per_s"),
        figure("fsync_ms", "ms", fsync_ms(work)),
    ]
    if redis is not None:
        figures += [
            _ratio("tcp_50x1_over_redis_p1", runs, "tcp_50x1", "redis_p1"),
            _ratio("tcp_50x64_over_redis_p32", runs, "tcp_50x64", "redis_p32"),
            _ratio("many_100_over_redis_mget100", runs, "many_100", "redis_mget100"),
        ]
    return figures


def measure_import(work: Path, sizes: Sizes) -> list[Figure]:
    """A file in random order, from CSV to durable, on both cores; its memory at a tenth of the size beside it."""
    figures: list[Figure] = []
    for rows, suffix in ((sizes.import_rows // 10, "_tenth"), (sizes.import_rows, "")):
        _say(f"importing {rows:,} rows")
        file = work / "import.csv"
        write_uniform_csv(file, rows, SEED)
        with Node(work / "import-node", None) as node:
            seconds, peak = _timed(biaoshi("import", str(file), "--node", str(node.directory)))
            status = node.status()
            if status["registered"] != rows:
                raise BenchFailed(f"{rows} rows were imported, {status['registered']} are registered")
        file.unlink()
        figures.append(figure(f"import_peak_mib{suffix}", "MiB", [peak]))
        if not suffix:
            figures.append(figure("import_rows_per_s", "1/s", [rows / seconds]))
            figures.append(figure("bytes_per_record", "bytes", [status["store_bytes"] / rows]))
    return figures


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a command that must succeed."""
    begin = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ])  # fmt: skip
    _, code, usage = os.wait4(process, 0)
    if code:
        raise BenchFailed(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(code)}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def _ratio(name: str, runs: dict[str, list[float]], above: str, below: str) -> Figure:
    """The ratio of two measurements, pair by pair."""
    return figure(name, "ratio", [one / other for one, other in zip(runs[above], runs[below], strict=True)])


def _say(text: str) -> None:
    print(f"  {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
