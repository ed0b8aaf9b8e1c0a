"""Redis beside us: what its tools print, what is said without it, and that it is always stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench import redis_peer
from bench.dataset import uniform_identifier
from bench.node import BenchFailed
from bench.redis_peer import KEY, Redis, available, requests_per_second

# Redis 7.0.15, as it printed this.
HEADER = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms",'
    '"p95_latency_ms","p99_latency_ms","max_latency_ms"\n'
)
GET = HEADER + '"GET k__rand_int__","29411.76","0.125","0.024","0.095","0.359","0.751","0.911"\n'
MGET = HEADER + '"MGET k__rand_int__ k__rand_int__","43478.26","0.075","0.024","0.071","0.127","0.295","0.559"\n'


@pytest.mark.parametrize(("output", "rate"), [(GET, 29_411.76), (MGET, 43_478.26)])
def test_the_rate(output: str, rate: float) -> None:
    assert requests_per_second(output) == rate


@pytest.mark.parametrize(
    "output",
    [
        "",
        HEADER,
        '"GET","29411.76"\n',
        "Could not connect to Redis at 127.0.0.1:1: Connection refused\n",
        "GET: rps=0.0 (overall: 0.0)\n\n",
        HEADER.replace("rps", "other") + '"GET","1.0"\n',
    ],
    ids=range(6),
)
def test_what_is_no_rate_fails_the_benchmark(output: str) -> None:
    with pytest.raises(BenchFailed, match="redis-benchmark said"):
        requests_per_second(output)


def test_keys_asked_for_are_the_keys_loaded() -> None:
    """The load generator of Redis puts twelve digits in."""
    for number in (0, 7, 999_999):
        assert KEY.replace("__rand_int__", f"{number:012d}") == uniform_identifier(number)
    assert len(KEY.replace("__rand_int__", "0" * 12)) == 27, "as it is written into the loading pipe"


# Without it ------------------------------------------------------------------------------------------


def programs(monkeypatch: pytest.MonkeyPatch, *there: str, installable: bool = False) -> list[list[str]]:
    """A machine with these programs; what is run on it."""
    present, ran = set(there), []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        if installable:
            present.update(("redis-server", "redis-benchmark"))
        return subprocess.CompletedProcess(command, 0 if installable else 100, b"", b"")

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in present else None)
    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_redis_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = programs(monkeypatch, "redis-server", "redis-benchmark", "apt-get")
    assert available() is None
    assert ran == []


@pytest.mark.parametrize("there", [(), ("redis-server",), ("redis-benchmark",), ("apt-get",)])
def test_without_redis_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]) -> None:
    ran = programs(monkeypatch, *there)
    assert available() == "redis-server is not installed: apt-get install redis-server"
    assert len(ran) == ("apt-get" in there)


def test_redis_is_installed_where_that_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = programs(monkeypatch, "apt-get", installable=True)
    assert available() is None
    assert ran == [["apt-get", "install", "-y", "-qq", "redis-server"]]


# With one that does as it is told --------------------------------------------------------------------


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs by the names of Redis's: a server that notes its process, answers, and a size that tests change."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {
        "redis-server": "echo $$ > pid; exec sleep 60",
        "redis-cli": 'case "$3" in ping) cat pong;; dbsize) cat size;; *) cat > in;; esac',
        "redis-benchmark": f"echo \"$@\" > asked; printf %s '{GET}'",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "pong").write_text("PONG\n")
    (tmp_path / "size").write_text("12345\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(redis_peer, "SERVER_CORE", None)
    monkeypatch.setattr(redis_peer, "GENERATOR_CORE", None)
    return tmp_path


def runs(pretended: Path) -> bool:
    """Whether the server still does."""
    deadline = time.monotonic() + 10
    while not (pretended / "pid").exists() or not (pretended / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Path(f"/proc/{int((pretended / 'pid').read_text())}").exists()


def test_measuring(pretended: Path) -> None:
    with Redis(pretended / "redis", 12_345) as redis:
        assert runs(pretended)
        assert redis.get(32, 1_000) == 29_411.76
        asked = (pretended / "asked").read_text().split()
        assert " ".join(asked[2:]) == f"-c 50 -P 32 -n 1000 -r 12345 --csv GET {KEY}"
        assert redis.mget(100, 50) == 100 * 29_411.76, "keys a second, not requests"
        asked = (pretended / "asked").read_text().split()
        assert asked[asked.index("MGET") + 1 :] == [KEY] * 100
    assert not runs(pretended)
    assert not (pretended / "redis").exists()
    loaded = (pretended / "in").read_bytes()
    assert loaded.startswith(b"*3\r\n$3\r\nSET\r\n$27\r\n88.118.32001/P0000000000000\r\n$190\r\nvvv")
    assert loaded.count(b"SET") == 12_345
    assert uniform_identifier(12_344).encode() in loaded


def test_a_server_that_took_too_few_keys(pretended: Path) -> None:
    (pretended / "size").write_text("12344\n")
    with pytest.raises(BenchFailed, match="did not take all keys"):
        Redis(pretended / "redis", 12_345).__enter__()
    assert not runs(pretended)


def test_a_server_that_never_answers(pretended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_peer.time, "sleep", lambda _: None)
    (pretended / "pong").write_text("")
    with pytest.raises(BenchFailed, match="did not start"):
        Redis(pretended / "redis", 1).__enter__()
    monkeypatch.undo()
    assert not runs(pretended)


# The real one ----------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (shutil.which("redis-server") and shutil.which("redis-benchmark")),
    reason="redis-server is not installed: apt-get install redis-server",
)
def test_a_real_redis_has_every_key_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is missing would be answered faster than one that is there."""
    monkeypatch.setattr(redis_peer, "SERVER_CORE", None)
    monkeypatch.setattr(redis_peer, "GENERATOR_CORE", None)
    with Redis(tmp_path / "redis", 2_000) as redis:
        assert redis.get(1, 500) > 0
        assert redis.get(32, 3_200) > 0
        assert redis.mget(100, 100) > 0
        stats = redis._command("info", "stats").decode()
    assert "keyspace_misses:0\r\n" in stats
    assert int(stats.partition("keyspace_hits:")[2].split()[0]) >= 500 + 3_200 + 10_000
