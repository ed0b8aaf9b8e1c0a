"""What the resolver workers count, in memory-mapped files that the registry process reads.

Each worker has one file below ``counters/`` of the node's directory and writes nothing else. It holds its file by a
lock, which the kernel lets go when the worker ends, however it ends; so a worker that is started in its place takes the
file up and goes on counting. What a worker counted is in the file at once: the pages belong to the kernel.

====== ========= ================================================================================================
offset bytes     content
====== ========= ================================================================================================
0      16        ``biaoshi counts 1``
16     8         the file's name, drawn at random when it was made: counters of another name have begun anew
24     8         how many counters follow
32     8 each    the counters in the order of ``NAMES``
====== ========= ================================================================================================

Integers are unsigned, 64 bits, in the machine's order. New counters are added at the end; their numbers never change.
Files are not synchronised to the disk: after a loss of power a counter may stand lower than it once was.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, Protocol

from protocol.errors import Rule, StoreError
from protocol.status import Status

STATUSES: Final = (
    Status.OK, Status.NOT_FOUND, Status.WITHDRAWN, Status.NOT_RESPONSIBLE, Status.REFERRAL, Status.BAD_IDENTIFIER,
)  # fmt: skip
"""Outcomes of resolving one identifier that were told apart from the beginning; ``SUSPENDED`` came later, and whatever
else is counted as ``resolved.other``."""

RESOLVED: Final = "resolved."
NAMES: Final = (
    *(f"{RESOLVED}{status.label}" for status in STATUSES), f"{RESOLVED}other",
    "tcp.requests", "tcp.bundles", "tcp.bytes", "tcp.connections", "tcp.dropped",
    "udp.requests", "udp.bytes", "udp.dropped",
    f"{RESOLVED}{Status.SUSPENDED.label}",
)  # fmt: skip
"""The counters by number. ``resolved`` counts identifiers, also those of a list; ``requests`` counts messages that were
answered, of any operation; ``bytes`` those of the answers, over TCP without their seals; ``dropped`` connections that
were refused or cut, and datagrams without an answer."""

OK: Final = 0
OTHER: Final = len(STATUSES)
TCP_REQUESTS, TCP_BUNDLES, TCP_BYTES, TCP_CONNECTIONS, TCP_DROPPED = range(OTHER + 1, OTHER + 6)
UDP_REQUESTS, UDP_BYTES, UDP_DROPPED = range(OTHER + 6, OTHER + 9)

SUSPENDED: Final = UDP_DROPPED + 1

_NUMBERS: Final = {int(status): number for number, status in enumerate(STATUSES)} | {int(Status.SUSPENDED): SUSPENDED}

MAX_FILES: Final = 256
"""Files of one node: as many as it may have workers."""

_MAGIC: Final = b"biaoshi counts 1"
_HEAD: Final = Struct("=16s8sQ")
_FILE_BYTES: Final = 4_096
"""One page: room for 508 counters."""

MAX_COUNTERS: Final = (_FILE_BYTES - _HEAD.size) // 8

NO_COUNTERS: Final = Rule(
    "counters.cannot-be-kept",
    Status.STORE_FAILED,
    "the counters below {path} cannot be kept: {reason}",
    "无法在 {path} 下保存计数：{reason}",
)


class Tally(Protocol):
    """Where things are counted: integers by number. A list will do; a worker has one that outlives it."""

    def __getitem__(self, number: int, /) -> int: ...

    def __setitem__(self, number: int, value: int, /) -> None: ...


def new_tally() -> Tally:
    """Counters that nobody else sees."""
    return [0] * len(NAMES)


def number_of(status: int) -> int:
    """The number of the counter for an identifier that was answered with ``status``."""
    return _NUMBERS.get(status, OTHER)


class Reading(NamedTuple):
    """What one file says: its name, and its counters by number."""

    source: bytes
    values: tuple[int, ...]


class CounterFile:
    """A worker's counters: :attr:`tally` is written, and is in the file. Raises :class:`StoreError`."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = _first_free(directory)
            try:
                _prepare(self._file)
                self._map = mmap.mmap(self._file, _FILE_BYTES)
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            raise StoreError(NO_COUNTERS, path=str(directory), reason=error.strerror or str(error)) from error
        self._bytes = memoryview(self._map)
        self._view = self._bytes[_HEAD.size :].cast("Q")
        self.tally: Tally = self._view

    def close(self) -> None:
        """Leave the file to the next worker."""
        self._view.release()
        self._bytes.release()
        self._map.close()
        os.close(self._file)


def read_counters(directory: Path) -> list[Reading]:
    """What all workers of a node have counted, those included that do not run now."""
    readings = []
    for path in _paths(directory):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(NO_COUNTERS, path=str(directory), reason=error.strerror or str(error)) from error
        reading = _read(raw)
        if reading is not None:
            readings.append(reading)
    return readings


def _read(raw: bytes) -> Reading | None:
    """None for a file that is not yet, or not, one of counters: its worker makes it one before it counts."""
    if len(raw) != _FILE_BYTES:
        return None
    magic, source, count = _HEAD.unpack_from(raw)
    if magic != _MAGIC or count > MAX_COUNTERS:
        return None
    end = _HEAD.size + 8 * count
    return Reading(source, tuple(memoryview(raw)[_HEAD.size : end].cast("Q")))


def _paths(directory: Path) -> Iterator[Path]:
    return (directory / f"worker-{number}" for number in range(1, MAX_FILES + 1))


def _first_free(directory: Path) -> int:
    for path in _paths(directory):
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return file
    raise StoreError(NO_COUNTERS, path=str(directory), reason=f"{MAX_FILES} workers count there already")


def _prepare(file: int) -> None:
    """Make an empty or damaged file one of counters, and see that it has all that this version counts."""
    reading = _read(os.pread(file, _FILE_BYTES, 0))
    if reading is None:
        os.ftruncate(file, 0)
        os.ftruncate(file, _FILE_BYTES)
        os.pwrite(file, _HEAD.pack(_MAGIC, os.urandom(8), len(NAMES)), 0)
    elif len(reading.values) < len(NAMES):
        os.pwrite(file, len(NAMES).to_bytes(8, sys.byteorder), _HEAD.size - 8)
