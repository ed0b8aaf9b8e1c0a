"""A follower that copies a zone from the beginning of its feed: changes a second, the registry on one core and the
follower on the other. Once a feed of single changes, once one of bulk loads.

``python -m bench.following`` is the follower: it prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import uvloop

from bench.dataset import write_uniform_csv
from bench.node import SERVER_CORE, BenchFailed, Node, generate
from bench.report import Figure, figure
from config.keyfiles import read_anchor, read_secret
from protocol.records import encode_plain_values
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.committer import BULK_LEAST
from registry.following.follower import Follower
from registry.store.lmdb.writer import LmdbStore
from registry.store.writes import ANY, Write

SEED: Final = 20_250_088
IN_FLIGHT: Final = 8
"""Batches under way while the feed of single changes is made."""


class Extent(NamedTuple):
    """How much is measured: changes in each feed, rounds."""

    changes: int
    rounds: int


FULL: Final = Extent(500_000, 5)
QUICK: Final = Extent(60_000, 2)


def measure_following(work: Path, extent: Extent) -> list[Figure]:
    """The figures of a follower."""
    runs: dict[str, list[float]] = {"follower_changes_per_s": [], "follower_bulk_changes_per_s": []}
    with Node(work / "single", SERVER_CORE) as single, Node(work / "bulk", SERVER_CORE) as bulk:
        asyncio.run(_register_one_by_one(single, extent.changes))
        file = work / "following.csv"
        write_uniform_csv(file, extent.changes, SEED)
        bulk.load(file)
        file.unlink()
        for _ in range(extent.rounds):
            for name, node in zip(runs, (single, bulk), strict=True):
                report = generate(
                    "bench.following", "--port", str(node.port("registry")), "--node", str(node.directory),
                    "--copy", str(work / "copy"), "--changes", str(extent.changes),
                )  # fmt: skip
                runs[name].append(report["per_second"])
    return [figure(name, "1/s", values) for name, values in runs.items()]


async def _register_one_by_one(node: Node, count: int) -> None:
    """Fill the feed with single changes, in batches too small to be bulk loads."""
    anchor, key = _keys(node.directory)
    values = encode_plain_values([(1, "URL", b"https://example.com/p/1"), (2, "TEXT", b"Hydraulic pump")])
    names = (b"88.118.7/%08d" % number for number in range(count))
    async with RegistryClient("127.0.0.1", node.port("registry"), anchor=anchor, key=key) as client:

        async def work() -> None:
            while batch := list(_writes(names, values)):
                await client.write(batch)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def _writes(names: Iterator[bytes], values: bytes) -> Iterator[Write]:
    return (Write(name, ANY, values) for name in islice(names, BULK_LEAST - 1))


def _keys(directory: Path) -> tuple[TrustAnchor, SigningKey]:
    anchor = TrustAnchor.parse(*read_anchor(directory / "anchor.toml"))
    return anchor, SigningKey(read_secret(directory / "keys/writer.pem"))


async def follow(port: int, node: Path, copy: Path, changes: int) -> float:
    """Copy a zone with so many changes; how many seconds it took, from the connection to the last durable page."""
    anchor, key = _keys(node)
    shutil.rmtree(copy, ignore_errors=True)
    store = LmdbStore(copy)
    level = asyncio.Event()

    def news() -> None:
        if store.standing().end.number >= changes:
            level.set()

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    connect = partial(RegistryClient, "127.0.0.1", port, anchor=anchor, key=key)
    follower = Follower("88.118", store, [connect], None, structlog.get_logger(), news=news)
    begin = time.perf_counter()
    task = asyncio.create_task(follower.run())
    done = asyncio.create_task(level.wait())
    await asyncio.wait([task, done], timeout=600.0, return_when=asyncio.FIRST_COMPLETED)
    elapsed = time.perf_counter() - begin
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await follower.settle()
    registered = sum(store.counts().active.values())
    store.close()
    shutil.rmtree(copy)
    if registered != changes:
        raise BenchFailed(f"{changes} are registered, the copy has {registered}")
    return elapsed


def main() -> None:
    """Entry point of the follower."""
    parser = argparse.ArgumentParser(description="Copy a zone of a node of this machine; prints JSON.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--node", type=Path, required=True)
    parser.add_argument("--copy", type=Path, required=True)
    parser.add_argument("--changes", type=int, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        elapsed = runner.run(follow(options.port, options.node, options.copy, options.changes))
    print(json.dumps({"changes": options.changes, "seconds": elapsed, "per_second": options.changes / elapsed}))


if __name__ == "__main__":
    main()
