"""Redis beside us: the same keys with values of 190 bytes, one core, no persistence, its own load generator."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from bench.dataset import uniform_identifier
from bench.node import GENERATOR_CORE, SERVER_CORE, BenchFailed, pinned

VALUE: Final = b"v" * 190
KEY: Final = "88.118.32001/P0__rand_int__"
"""redis-benchmark puts twelve random digits there: the uniform identifiers."""


def available() -> str | None:
    """Why Redis cannot be measured; None where it can. Debian's package is installed where that is possible."""
    if shutil.which("redis-server") and shutil.which("redis-benchmark"):
        return None
    if shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "redis-server"], check=False, capture_output=True)
    if shutil.which("redis-server") and shutil.which("redis-benchmark"):
        return None
    return "redis-server is not installed: apt-get install redis-server"


class Redis:
    """A Redis server of our own on a free port."""

    def __init__(self, directory: Path, records: int) -> None:
        self._directory = directory
        self._records = records
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self._process = subprocess.Popen(
            pinned(SERVER_CORE, ["redis-server", "--port", self._port, *options]), stdout=subprocess.DEVNULL
        )
        try:
            self._wait()
            self._load()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        for _ in range(100):
            if self._command("ping").strip() == b"PONG":
                return
            time.sleep(0.05)
        raise BenchFailed("redis-server did not start")

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._directory, ignore_errors=True)

    def get(self, pipeline: int, requests: int) -> float:
        """GET from 50 connections: keys a second."""
        return self._measure(pipeline, requests, ["GET", KEY])

    def mget(self, keys: int, requests: int) -> float:
        """MGET of many keys from 50 connections: keys a second."""
        return keys * self._measure(1, requests, ["MGET", *[KEY] * keys])

    def _measure(self, pipeline: int, requests: int, command: list[str]) -> float:
        arguments = ["redis-benchmark", "-p", self._port, "-c", "50", "-P", str(pipeline), "-n", str(requests),
                     "-r", str(self._records), "--csv", *command]  # fmt: skip
        result = subprocess.run(pinned(GENERATOR_CORE, arguments), check=True, capture_output=True, text=True)
        return requests_per_second(result.stdout)

    def _load(self) -> None:
        """All keys through the mass-insertion pipe."""
        pipe = subprocess.Popen(
            ["redis-cli", "-p", self._port, "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert pipe.stdin is not None
        for first in range(0, self._records, 10_000):
            block = range(first, min(first + 10_000, self._records))
            keys = [uniform_identifier(i).encode() for i in block]
            pipe.stdin.write(
                b"".join([b"*3\r\n$3\r\nSET\r\n$27\r\n%b\r\n$190\r\n%b\r\n" % (key, VALUE) for key in keys])
            )
        pipe.stdin.close()
        pipe.wait()
        if self._command("dbsize").strip() != str(self._records).encode():
            raise BenchFailed("redis-server did not take all keys")

    def _command(self, *words: str) -> bytes:
        return subprocess.run(["redis-cli", "-p", self._port, *words], check=False, capture_output=True).stdout


def requests_per_second(output: str) -> float:
    """The rate in what ``redis-benchmark --csv`` prints: a header line, then one for the test."""
    rows = list(csv.reader(output.splitlines()))
    if len(rows) >= 2 and rows[0][1:2] == ["rps"]:
        return float(rows[1][1])
    raise BenchFailed(f"redis-benchmark said: {output}")
