"""Sorting more rows than fit in memory, on disk, with the work left to Python's own ``list.sort``.

A row is one ``bytes`` object, an *element*: ``identifier 0x00 row-number(8, big-endian) values``. No identifier holds
0x00, so the plain order of elements is that of the identifiers and, within one, of the rows in the file.

Elements are spilled as sorted *runs*. Reading back does not merge row by row. Sampled keys cut the range of all
elements into partitions of bounded size; a partition is the slice that each run has of it, joined and sorted,
which merges in C what is sorted in pieces already. Since row numbers are part of the key and unique, any number of
equal identifiers can be cut apart too.

A run file::

    block*    count(4) bytes(4) length(4)*count element*        all numbers little-endian
    sample*   the same form; an element of it: offset(8) rows(4) bytes(4) key of the first element of a block
    end       offset of the samples(8) number of sample blocks(4) magic(8)

Memory: one run while spilling, and the one before it in the process that writes it (``run_writer``). When reading
back: one partition, one block of each run, and briefly one key of each block. The last two grow with the file, by about
a thousandth of its size.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from protocol.errors import SettingsError
from registry.importing import rules
from registry.importing.options import Tuning

ROW_BYTES: Final = 8

_MAGIC: Final = b"bsrun\x00\x00\x01"
_BLOCK: Final = struct.Struct("<II")
_SAMPLE: Final = struct.Struct("<QII")
_END: Final = struct.Struct("<QI8s")
_READ_AHEAD: Final = 128 << 10
"""Bytes read for a block before its length is known; nearly always the whole block."""

_WRITE_BLOCKS: Final = 32
"""Blocks joined for one write."""


class Run(NamedTuple):
    """A finished run: file name, number of elements, and bytes of the file by which damage is noticed."""

    name: str
    rows: int
    size: int


def element_of(identifier: bytes, row: int, values: bytes) -> bytes:
    """One row as one ``bytes`` object."""
    return b"".join((identifier, b"\0", row.to_bytes(ROW_BYTES, "big"), values))


def key_of(element: bytes) -> bytes:
    """The part of an element by which it is ordered: identifier, 0x00 and row number."""
    return element[: element.index(0) + 1 + ROW_BYTES]


def row_of(element: bytes) -> int:
    """The row number of an element or key."""
    end = element.index(0) + 1
    return int.from_bytes(element[end : end + ROW_BYTES], "big")


def write_run(directory: Path, name: str, elements: list[bytes], tuning: Tuning) -> Run:
    """Sort ``elements`` in place and write them durably: the file is there whole or not at all."""
    temporary = temporary_of(directory, name)
    with temporary.open("wb", buffering=0) as file:
        write_elements(file.fileno(), elements, tuning)
    return publish_run(directory, name, len(elements))


def temporary_of(directory: Path, name: str) -> Path:
    """Where a run is until it is whole."""
    return directory / f"{name}.tmp"


def write_elements(handle: int, elements: list[bytes], tuning: Tuning) -> None:
    """Sort ``elements`` in place and write all of a run's file, durably, to an empty file that is open for writing."""
    elements.sort()
    samples: list[bytes] = []
    offset = 0
    parts: list[bytes] = []
    for block in _blocks(elements, tuning):
        data = _encode_block(block)
        samples.append(_SAMPLE.pack(offset, len(block), len(data)) + key_of(block[0]))
        parts.append(data)
        offset += len(data)
        if len(parts) >= _WRITE_BLOCKS:
            _write_all(handle, b"".join(parts))
            parts.clear()
    sample_blocks = [_encode_block(block) for block in _blocks(samples, tuning)]
    end = _END.pack(offset, len(sample_blocks), _MAGIC)
    _write_all(handle, b"".join((*parts, *sample_blocks, end)))
    os.fsync(handle)


def publish_run(directory: Path, name: str, rows: int) -> Run:
    """Give a run of ``rows`` elements, written and durable, its own name."""
    temporary = temporary_of(directory, name)
    size = temporary.stat().st_size
    temporary.replace(directory / name)
    sync_directory(directory)
    return Run(name, rows, size)


def read_sorted(directory: Path, runs: Sequence[Run], after: bytes, tuning: Tuning) -> Iterator[list[bytes]]:
    """All elements of ``runs`` whose key is beyond ``after`` (empty: all), in order, as lists of bounded size.

    Raises :class:`SettingsError` where a file is damaged or gone.
    """
    readers = [_Reader(directory / run.name, run.size) for run in runs]
    splitters = _prepare(readers, after, tuning)
    for end in [*splitters, None]:
        partition: list[bytes] = []
        for reader in readers:
            reader.take_below(end, partition)
        partition.sort()
        if partition:
            yield partition


def sync_directory(directory: Path) -> None:
    """Make new and renamed names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Sample(NamedTuple):
    key: bytes
    offset: int
    rows: int
    size: int  # bytes of the block


class _Reader:
    """The unread rest of one run. Opens the file for each block, so that any number of runs can be read."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self._offset = 0
        self._end = 0
        self._ready: list[bytes] = []  # decoded, beyond the last partition

    def samples(self) -> Iterator[_Sample]:
        """First key, place and size of each block; learns on the way where the blocks end."""
        with self._open() as handle:
            if os.fstat(handle).st_size != self._size:
                raise self._damaged()
            offset, count, magic = _END.unpack(self._read(handle, self._size - _END.size, _END.size))
            if magic != _MAGIC:
                raise self._damaged()
            self._end = offset
            for _ in range(count):
                elements, offset = self._block(handle, offset)
                for element in elements:
                    yield _Sample(element[_SAMPLE.size :], *_SAMPLE.unpack_from(element))

    def start(self, offset: int, after: bytes) -> None:
        """Begin with the block at ``offset``, leaving out what is not beyond the key ``after``."""
        self._offset = offset
        if after and offset < self._end:
            self._fill()
            # No key is the beginning of another, so an element that continues ``after`` is that element itself.
            self._ready = [element for element in self._ready if element > after and not element.startswith(after)]

    def take_below(self, end: bytes | None, into: list[bytes]) -> None:
        """Move the elements below ``end`` (None: all) to ``into``."""
        while True:
            ready = self._ready
            if ready:
                if end is not None and ready[-1] >= end:
                    cut = bisect_left(ready, end)
                    into += ready[:cut]
                    self._ready = ready[cut:]
                    return
                into += ready
                self._ready = []
            if self._offset >= self._end:
                return
            self._fill()

    def _fill(self) -> None:
        with self._open() as handle:
            self._ready, self._offset = self._block(handle, self._offset)

    def _block(self, handle: int, offset: int) -> tuple[list[bytes], int]:
        head = os.pread(handle, _READ_AHEAD, offset)
        if len(head) < _BLOCK.size:
            raise self._damaged()
        count, size = _BLOCK.unpack_from(head)
        begin = _BLOCK.size + 4 * count
        whole = begin + size
        if not count or offset + whole > self._size:
            raise self._damaged()
        if len(head) < whole:
            head += self._read(handle, offset + len(head), whole - len(head))
        ends = list(accumulate(struct.unpack_from(f"<{count}I", head, _BLOCK.size), initial=begin))
        if ends[-1] != whole:
            raise self._damaged()
        return [head[first:last] for first, last in pairwise(ends)], offset + whole

    def _read(self, handle: int, offset: int, size: int) -> bytes:
        parts = []
        while size > 0:
            part = os.pread(handle, size, offset)
            if not part or offset < 0:
                raise self._damaged()
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    @contextmanager
    def _open(self) -> Iterator[int]:
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            raise self._damaged() from None
        try:
            yield handle
        finally:
            os.close(handle)

    def _damaged(self) -> SettingsError:
        return SettingsError(rules.DAMAGED, path=str(self.path))


def _prepare(readers: Sequence[_Reader], after: bytes, tuning: Tuning) -> list[bytes]:
    """Set every reader to its first block that matters; the keys at which partitions end, in order.

    A partition holds the blocks that begin in it, and of each run at most one that began before: its size is bounded
    by the limits and one block of each run.
    """
    samples: list[_Sample] = []
    for reader in readers:
        own = list(reader.samples())
        # The block before the first that begins beyond ``after`` may end beyond it.
        first = max(0, bisect_right(own, after, key=lambda sample: sample.key) - 1) if after else 0
        reader.start(own[first].offset if own else 0, after)
        samples += own[first:]
    samples.sort()
    splitters: list[bytes] = []
    rows = size = 0
    for sample in samples:
        if rows and (rows + sample.rows > tuning.partition_rows or size + sample.size > tuning.partition_bytes):
            splitters.append(sample.key)
            rows = size = 0
        rows += sample.rows
        size += sample.size
    return splitters


def _blocks(elements: Sequence[bytes], tuning: Tuning) -> Iterator[Sequence[bytes]]:
    """Cut a list into blocks within both limits, at least one element each."""
    begin, rows = 0, tuning.block_rows
    while begin < len(elements):
        block = elements[begin : begin + rows]
        if sum(map(len, block)) > tuning.block_bytes and len(block) > 1:
            ends = list(accumulate(map(len, block)))
            block = block[: max(1, bisect_right(ends, tuning.block_bytes))]
        yield block
        begin += len(block)


def _encode_block(block: Sequence[bytes]) -> bytes:
    data = b"".join(block)
    return b"".join((_BLOCK.pack(len(block), len(data)), struct.pack(f"<{len(block)}I", *map(len, block)), data))


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
