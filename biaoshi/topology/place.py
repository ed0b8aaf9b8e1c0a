"""The directory of a province: the plan it was made from, the lock of who runs it, and what its processes do now.

==================== ==================================================================================
``topology.toml``    the plan
``‹node›/``          a node, as ``biaoshi init`` makes it, and its ``log``
``province.lock``    held by the process that runs the nodes, whose number is in it
``province.json``    what that process knows of the nodes, written at each change
==================== ==================================================================================
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from biaoshi.making import CANNOT_WRITE, NOT_EMPTY
from biaoshi.topology.plan import Topology, read_topology, topology_text
from config.keyfiles import write_whole
from protocol.errors import Rule, SettingsError
from protocol.status import Status

TOPOLOGY_NAME: Final = "topology.toml"
LOG_NAME: Final = "log"

NO_TOPOLOGY: Final = Rule(
    "topology.not-there",
    Status.SETTINGS,
    "there is no province in {path}; make and start one with 'biaoshi topology up --config jiangsu.toml --dir {path}'",
    "{path} 中没有省级部署，请用 biaoshi topology up --config jiangsu.toml --dir {path} 创建并启动",
)
CANNOT_READ: Final = Rule(
    "topology.cannot-read", Status.SETTINGS, "{path} cannot be read: {reason}", "无法读取 {path}：{reason}"
)
RUNS_ALREADY: Final = Rule(
    "topology.runs-already",
    Status.SETTINGS,
    "the province in {path} runs already; 'biaoshi topology down --dir {path}' stops it",
    "{path} 中的省级部署已在运行，可用 biaoshi topology down --dir {path} 停止",
)

_LOCK: Final = "province.lock"
_RUN: Final = "province.json"


class NodeRun(msgspec.Struct):
    """One node of a running province: its process (0: none), what it does, since when (seconds since 1970), and how
    often it was started again."""

    name: str
    pid: int
    state: str
    since: float
    restarts: int


class ProvinceRun(msgspec.Struct):
    """What the process that runs a province knows of its nodes. ``up`` says whether all of them have served."""

    pid: int
    began: float
    up: bool
    nodes: list[NodeRun]


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ProvinceRun).decode


def open_place(directory: Path) -> None:
    """Make the directory, where it is not there. One with anything else than a province in it is left alone. Raises
    :class:`SettingsError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / TOPOLOGY_NAME).exists() and {one.name for one in directory.iterdir()} - {_LOCK}:
            raise SettingsError(NOT_EMPTY, path=str(directory))
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(directory), reason=error.strerror or str(error)) from error


def read_plan(path: Path) -> Topology:
    """The topology in a file. Raises :class:`SettingsError`."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SettingsError(CANNOT_READ, path=str(path), reason=reason) from None
    return read_topology(text, str(path))


def plan_there(directory: Path) -> Topology:
    """The plan that a province was made from. Raises :class:`SettingsError`."""
    if not (directory / TOPOLOGY_NAME).exists():
        raise SettingsError(NO_TOPOLOGY, path=str(directory))
    return read_plan(directory / TOPOLOGY_NAME)


def write_plan(directory: Path, topology: Topology) -> None:
    """Note the plan. Raises :class:`~config.keyfiles.BadKeyFile`."""
    write_whole(directory / TOPOLOGY_NAME, topology_text(topology).encode())


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Be the one process that makes and runs this province, until the end of the block. Raises
    :class:`SettingsError`."""
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(directory), reason=error.strerror or str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        (directory / _RUN).unlink(missing_ok=True)
        yield
        (directory / _RUN).unlink(missing_ok=True)
    except BlockingIOError:
        raise SettingsError(RUNS_ALREADY, path=str(directory)) from None
    finally:
        os.close(lock)


def runner(directory: Path) -> int:
    """The process that holds a province; 0 where none does."""
    try:
        with (directory / _LOCK).open("r+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or b"0")
    except OSError:  # never run
        return 0
    return 0


def note(directory: Path, run: ProvinceRun) -> None:
    """Write what the nodes do."""
    fresh = directory / f"{_RUN}.new"
    fresh.write_bytes(_encode(run))
    os.replace(fresh, directory / _RUN)


def noted(directory: Path) -> ProvinceRun | None:
    """What was written last; None where nothing runs."""
    if not runner(directory):
        return None
    try:
        return _decode((directory / _RUN).read_bytes())
    except FileNotFoundError:
        return None
