"""The load on the JSON API, against a node: what it counts is there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.api_load import LoadFailed, hello, make_lines, register, upload
from tests.conftest import MakeNode
from tests.e2e.nodes import change

ROOT = Path(__file__).parents[2]


def test_what_is_counted_is_registered(make_node: MakeNode) -> None:
    node = make_node("127.0.0.1")
    change(node.config, "enabled", "true")
    node.start()
    url = json.loads((node.directory / "run.json").read_text("utf-8"))["api"]
    port = int(url.rpartition(":")[2])
    token = node.run("api", "token").out.strip()
    count, seconds = asyncio.run(register(port, token, clients=3, seconds=0.3, tag="a"))
    assert count >= 3
    assert seconds >= 0.3
    assert len(node.run("list", "88.118.7").out.split()) == count
    assert asyncio.run(upload(port, token, make_lines(range(300)), 300)) > 0
    report = load("import", "--port", port, "--node", node.directory, "--rows", 200, "--begin", 300, "--shuffled")
    assert report["count"] == 200
    assert report["per_second"] == pytest.approx(report["count"] / report["seconds"])
    assert len(node.run("list", "88.118.32001").out.split()) == 500
    assert asyncio.run(hello(port, clients=2, seconds=0.1))[0] >= 2
    with pytest.raises(LoadFailed):  # the same again is no new registration
        asyncio.run(upload(port, token, make_lines(range(10)), 10))
    with pytest.raises(LoadFailed):
        asyncio.run(register(port, token, clients=1, seconds=0.2, tag="a"))


def load(*arguments: Any) -> dict[str, Any]:
    """What the generator prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.api_load", *map(str, arguments)],
        capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_yardstick_says_hello() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.hello"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert asyncio.run(hello(port, clients=2, seconds=0.1))[0] >= 2
        process.stdin.close()
        assert process.wait(20) == 0
