"""The machine on which a benchmark ran, as far as it can be told."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

LIBRARIES: Final = ("uvloop", "msgpack", "msgspec", "lmdb", "zstandard", "pynacl")


def describe(directory: Path) -> dict[str, Any]:
    """CPU, memory, kernel, disk, versions, commit, load."""
    disk = os.statvfs(directory)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _first_value(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "disk_free_gib": round(disk.f_bavail * disk.f_frsize / 2**30, 1),
        # Which build: a distribution's is compiled with profile-guided optimisation, worth a fifth of all figures.
        "python": f"{platform.python_version()} of {sys.base_prefix}",
        "libraries": {name: version(name) for name in LIBRARIES},
        "commit": _commit(),
        "load_average": os.getloadavg(),
        "steal_seconds": steal_seconds(),
    }


def steal_seconds() -> float:
    """Seconds of processor time since boot that the hypervisor gave to others."""
    fields = Path("/proc/stat").read_text("ascii").splitlines()[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def fsync_ms(directory: Path, times: int = 200) -> list[float]:
    """How long it takes to make 4 KiB durable, in milliseconds, one figure per try."""
    taken: list[float] = []
    path = directory / "fsync-probe"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(times):
            os.write(descriptor, bytes(4096))
            begin = time.perf_counter()
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - begin) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.quantiles(taken, n=20)  # without the extremes of a shared machine


def _first_value(path: Path, name: str) -> str:
    for line in path.read_text("utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:  # a machine without git
        return "unknown"
    return result.stdout.strip() or "unknown"
