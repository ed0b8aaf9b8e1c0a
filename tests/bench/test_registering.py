"""The load of single registrations, against a node: what it counts is there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.registering import register
from protocol.errors import BiaoshiError
from tests.conftest import MakeNode

ROOT = Path(__file__).parents[2]
CLIENTS = ("a-0", "a-1", "a-2", "b-0", "b-1")


def test_what_is_counted_is_registered(make_node: MakeNode) -> None:
    node = make_node("127.0.0.1")
    node.start()
    port = int(node.address("registry").rpartition(":")[2])
    count, seconds = asyncio.run(register(port, node.directory, clients=3, seconds=0.3, tag="a"))
    assert count >= 3
    assert seconds >= 0.3
    done = subprocess.run(
        [sys.executable, "-m", "bench.registering", "--port", str(port), "--node", str(node.directory),
         "--clients", "2", "--seconds", "0.2", "--tag", "b"],
        capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["per_second"] == pytest.approx(report["registered"] / report["seconds"])
    names = node.run("list", "88.118.7").out.split()
    assert len(names) == count + report["registered"]
    assert {name.rpartition("-")[0] for name in names} == {f"88.118.7/{one}" for one in CLIENTS}

    with pytest.raises(SystemExit, match=r"88\.118\.7/a-"):  # the same again is no new registration
        asyncio.run(register(port, node.directory, clients=1, seconds=0.2, tag="a"))
    node.stop()
    with pytest.raises(BiaoshiError):
        asyncio.run(register(port, node.directory, clients=1, seconds=0.2, tag="c"))
