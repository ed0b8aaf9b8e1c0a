"""The second half of ``make demo``: a province in small, from the top node down to the factories.

One top node, three secondaries, four enterprises with nodes of their own, the custody node with copies of what the
secondaries have, one recursive node, each at an address of its own on loopback. An application knows one address, the
recursive node's, and one key, the top's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.dataset import HEADERS, Row, rows, write_csv
from bench.telling import DemoFailed, command, console, expect, step
from protocol.status import Status
from resolver.client import SyncClient, load_anchor

ROWS: Final = 30_000
SEED: Final = 32
START_SECONDS: Final = 60.0
RETURN_SECONDS: Final = 30.0
NOT_IN_THE_SAFE: Final = ("store", "counters", "run.json", "log")
"""What a node has made on its machine; the rest, its configuration and its keys, an operator keeps elsewhere too."""

PLAN: Final = """[province]
name = "demonstration"
top = "88"
secondaries = 3
enterprises = 4
custody = 1
first_secondary = 118
first_enterprise = 32001
records = 0

[network]
base = "127.87.0.0"
"""

FACTORIES: Final = {
    # prefix in the sample data: prefix here, the node that has it, what is made there
    "88.118.32001": ("88.118.32001", "enterprise-88.118.32001", "pumps"),
    "88.118.32017": ("88.119.32002", "enterprise-88.119.32002", "valves"),
    "88.118.0042": ("88.120.32003", "enterprise-88.120.32003", "machines"),
    "88.118.32060230017": ("88.118.32004", "enterprise-88.118.32004", "household"),
    "88.118.8": ("88.118.8", "secondary-88.118", "cables"),
    "88.118.32560": ("88.120.32560", "secondary-88.120", "logistics"),
}
"""Whose files go in: four enterprises with nodes of their own, two that a secondary hosts."""


def demonstrate(directory: Path, first: int) -> None:
    """Run it below ``directory``; ``first`` is the number of the first step. Raises :class:`DemoFailed`,
    :class:`~protocol.errors.BiaoshiError`."""
    console.print()
    console.rule("[bold]A province — top, secondaries, enterprises, custody, one recursive node")
    place = directory / "province"
    plan = directory / "province.toml"
    plan.write_text(PLAN, "utf-8")

    step(first, "Start ten nodes: keys, delegations from the top down, all on this machine", "启动小型省级部署")
    with _province(plan, place) as nodes:
        _tell_nodes(nodes)

        step(first + 1, f"Files of {len(FACTORIES)} factories go in, each into its own node", "导入各工厂的产品文件")
        samples, kept_back = _import_files(directory, place)
        _wait_for_copies(place)

        step(first + 2, "Any product, from one address and the top's key, verified", "跨节点解析，逐级验证")
        top, door = place / "top" / "anchor.toml", _address(nodes["recursive-1"])
        name = samples["88.118.32001"][0].identifier
        command("resolve", name, "--server", door, "--anchor", str(top), "--trace")
        with SyncClient(door, anchor=load_anchor(top), timeout=20) as client:
            _compare(client, [row for some in samples.values() for row in some])
            absent = client.resolve("88.119.32002/NOBODY-MADE-THIS")
            expect(absent.status is Status.NOT_FOUND, "the absent identifier was found")
            console.print(f"   {absent.identifier}: {absent.status.sentence()}, proven by {absent.proof.key.node}")

            step(
                first + 3,
                "A secondary loses its machine, disk and all; custody answers in its place",
                "一个二级节点连同磁盘一起丢失，由托管节点代为应答",
            )
            node, prefix = nodes["secondary-88.120"], "88.120.32560"
            records = _seen(place)[node["name"]]["records"]
            lost = _lose(node, place, directory)
            asked = (samples[prefix][0], *samples["88.120.32003"][:2])
            _answered_on(client, asked, kept_back[prefix])
            command("resolve", kept_back[prefix].identifier, "--server", door, "--anchor", str(top), "--trace")

            step(first + 4, "Its store is rebuilt from custody; it is up again", "从托管节点恢复其数据，重新启动")
            _restore(node, place, directory, lost)
            _wait_until_back(node, place, [*samples[prefix], kept_back[prefix]], records)

        step(first + 5, "Stop them all", "停止全部节点")
    console.print("   ten nodes stopped")


@contextlib.contextmanager
def _province(plan: Path, place: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """A running province's nodes by name, as ``topology status`` shows them."""
    console.print(f"   $ biaoshi topology up --config {plan} --dir {place}", style="yellow", soft_wrap=True)
    said = place.with_name("province.log")
    arguments = ["topology", "up", "--config", str(plan), "--dir", str(place)]
    begin = time.monotonic()
    with said.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "biaoshi.cli", *arguments], stdout=log, stderr=log, start_new_session=True
        )
    try:
        while b" is up after" not in said.read_bytes():
            if process.poll() is not None or time.monotonic() > begin + START_SECONDS:
                raise DemoFailed("the province did not start:\n" + said.read_text("utf-8"))
            time.sleep(0.05)
        console.print(f"   up after {time.monotonic() - begin:.1f} s", style="dim")
        yield _seen(place)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(START_SECONDS)
    expect(code == 0, f"the province ended with exit code {code}")


def _seen(place: Path) -> dict[str, dict[str, Any]]:
    shown = subprocess.run(
        [sys.executable, "-m", "biaoshi.cli", "topology", "status", "--json", "--dir", str(place)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return {node["name"]: node for node in map(json.loads, shown.stdout.splitlines())}


def _address(node: dict[str, Any]) -> str:
    address: str = node["address"]
    return address


def _tell_nodes(nodes: dict[str, dict[str, Any]]) -> None:
    for node in nodes.values():
        console.print(f"   {node['role']:<11} {node['prefix'] or '-':<13} {node['address']}")


def _import_files(directory: Path, place: Path) -> tuple[dict[str, list[Row]], dict[str, Row]]:
    """Write each factory's file, import it into its node; some rows of each by prefix, to be asked for, and one of each
    that is not asked for with them."""
    made: dict[str, list[Row]] = {prefix: [] for prefix in FACTORIES}
    for row in rows(ROWS, SEED):
        prefix, _, suffix = row.identifier.partition("/")
        made[prefix].append(row._replace(identifier=f"{FACTORIES[prefix][0]}/{suffix}"))
    samples: dict[str, list[Row]] = {}
    kept_back: dict[str, Row] = {}
    for before, (prefix, node, what) in FACTORIES.items():
        file = directory / f"{what}.csv"
        write_csv(file, iter(made[before]), HEADERS["zh" if what == "cables" else "en"])
        command("import", str(file), "--node", str(place / node), quiet=True)
        console.print(f"     {len(made[before]):,} {what} of {prefix}", style="dim")
        samples[prefix] = list(islice(made[before], 1, None, max(1, len(made[before]) // 100)))
        kept_back[prefix] = made[before][0]
    return samples, kept_back


def _compare(client: SyncClient, sample: list[Row]) -> None:
    begin = time.perf_counter()
    answers = list(client.resolve_many(row.identifier for row in sample))
    taken = time.perf_counter() - begin
    for row, answer in zip(sample, answers, strict=True):
        expect(answer.url == row.url, f"{row.identifier} resolved to {answer.url}")
    zones = sorted({answer.proof.zone.prefix for answer in answers})
    console.print(
        f"   {len(sample):,} more, all right, in {taken * 1000:.0f} ms, sealed by {', '.join(zones)}", style="green"
    )


def _wait_for_copies(place: Path) -> None:
    """Wait until the custody node has what the secondaries have."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        seen = _seen(place)
        there = sum(node["records"] for node in seen.values() if node["role"] == "secondary")
        if seen["custody"]["answers"] and seen["custody"]["records"] == there:
            break
        expect(time.monotonic() < deadline, "the custody node has not copied the secondaries")
        time.sleep(0.2)
    command("status", "--node", str(place / "custody"))


def _lose(node: dict[str, Any], place: Path, directory: Path) -> Path:
    """Take a node its machine: all that it has is gone, and so it cannot be started again; where it is moved to."""
    lost = directory / "lost"
    os.rename(place / node["name"], lost)  # first, as it is started again at once
    os.kill(node["pid"], signal.SIGKILL)
    console.print(f"   {node['name']} (process {node['pid']}) is dead, its directory gone", style="red")
    return lost


def _answered_on(client: SyncClient, asked: Iterable[Row], never_asked: Row) -> None:
    """What was asked before, the enterprise below, and what only the dead node and custody have."""
    for row in asked:
        expect(client.resolve(row.identifier).url == row.url, f"{row.identifier} is not answered any more")
    begin = time.perf_counter()
    answer = client.resolve(never_asked.identifier)
    taken = time.perf_counter() - begin
    expect(answer.url == never_asked.url, f"{never_asked.identifier} resolved to {answer.url}")
    sealer = answer.proof.key.node
    expect(sealer == "custody", f"{never_asked.identifier} was sealed by {sealer}")
    console.print(
        f"   {answer.identifier}, never asked before: verified from the top in {taken * 1000:.0f} ms, "
        f"for {answer.proof.zone.prefix}, sealed by the node {sealer}",
        style="green", soft_wrap=True,
    )  # fmt: skip


def _restore(node: dict[str, Any], place: Path, directory: Path, lost: Path) -> None:
    """What an operator does: a new machine with configuration and keys from the safe, the store from custody. The new
    node takes its place when it is whole, for it is started at once there."""
    fresh = directory / "new-machine"
    shutil.copytree(lost, fresh, ignore=shutil.ignore_patterns(*NOT_IN_THE_SAFE))
    console.print("   a new machine, with configuration and keys from the safe", style="dim")
    doors = json.loads((place / "custody" / "run.json").read_text("utf-8"))["zones"]
    host, port = doors[node["prefix"]]["registry"]
    command("restore", "--server", f"{host}:{port}", "--config", str(fresh / "biaoshi.toml"))
    os.rename(fresh, place / node["name"])


def _wait_until_back(node: dict[str, Any], place: Path, hosted: list[Row], records: int) -> None:
    """The node is started again, with as many records as it had."""
    deadline = time.monotonic() + RETURN_SECONDS
    while not ((now := _seen(place).get(node["name"])) and now["answers"] and now["pid"] != node["pid"]):
        expect(time.monotonic() < deadline, f"{node['name']} did not come back")
        time.sleep(0.2)
    expect(now["records"] == records, f"{node['name']} came back with {now['records']:,} of {records:,} records")
    with SyncClient(_address(now), anchor=load_anchor(place / node["name"] / "anchor.toml"), timeout=20) as direct:
        _compare(direct, hosted)
    console.print(f"   up again as process {now['pid']}, with all of its {records:,} records", style="green")
