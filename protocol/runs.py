"""Runs: ordinary resolves of one length, one behind the other, read by columns.

A client that pipelines sends the same few bytes around each identifier, and a factory's identifiers mostly have one
length. Then the bytes of many requests form a table, which is checked and taken apart column by column, with a handful
of calls for any number of requests::

    93 01 cf ‹rid 8› c4 ‹length› ‹identifier›                                    resolve, plain
    94 01 cf ‹rid 8› c4 ‹length› ‹identifier› 02                                 resolve with the flag PROOF
    95 01 cf ‹rid 8› c4 ‹length› ‹identifier› 00|02 c4|c5 ‹length› ‹padding›       either, padded for UDP

Whatever does not have this shape is no run, and goes the ordinary way through ``framing``; what does decodes there to
the very same requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from protocol.messages import Ask, Op

_PLAIN: Final = bytes((0x93, Op.RESOLVE, 0xCF))
_FLAGGED: Final = bytes((0x94, Op.RESOLVE, 0xCF))
_PADDED: Final = bytes((0x95, Op.RESOLVE, 0xCF))
_FLAGS: Final = frozenset((Ask.NOTHING, Ask.PROOF))
_HEAD: Final = 13
"""Bytes before the identifier."""

_LEAST: Final = _HEAD + 1
_BIN8: Final = 0xC4
_BIN16: Final = 0xC5

MAX_SHAPES: Final = 4_096
"""Shapes remembered: every length of an identifier with some paddings. Half a megabyte. Where there are more, all are
forgotten and made anew, in two microseconds each: a stranger who sends ever new ones slows nobody down for good."""


class Run(NamedTuple):
    """A run taken apart. ``echoes`` are the rids as they were encoded, nine bytes each: a response repeats them.
    ``flags`` are those of every request: none, or PROOF."""

    echoes: tuple[bytes, ...]
    identifiers: tuple[bytes, ...]
    flags: int


class _Shape(NamedTuple):
    """Where a request of one shape has bytes that are the same in all: their places, and what takes a run apart."""

    size: int
    flags: int
    fixed: tuple[int, ...]
    take: Callable[[bytes], Iterator[tuple[bytes, bytes]]]


_shapes: dict[tuple[int, int, int, int], _Shape] = {}


def read_run(data: bytes, most: int) -> Run | None:
    """The requests in ``data``, at most ``most``, where they form a run from the first byte to the last; else None."""
    length = len(data)
    if length < _LEAST or data[11] != _BIN8:
        return None
    shape = _shape_of(data)
    if shape is None:
        return None
    size = shape.size
    if length == size:
        n = 1
    else:
        n, rest = divmod(length, size)
        if rest or not 0 < n <= most:
            return None
        for at in shape.fixed:
            if data[at::size] != data[at : at + 1] * n:
                return None
    echoes, identifiers = zip(*shape.take(data), strict=True)
    return Run(echoes, identifiers, shape.flags)


def read_single(data: bytes) -> tuple[bytes, bytes] | None:
    """Echo and identifier where ``data`` is exactly one plain resolve; else None. Half the cost of a run of one."""
    if len(data) >= _LEAST and data[:3] == _PLAIN and data[11] == _BIN8 and len(data) == _HEAD + data[12]:
        return data[2:11], data[_HEAD:]
    return None


def _shape_of(data: bytes) -> _Shape | None:
    """The shape of the first request in ``data``."""
    begin, length = data[:3], data[12]
    if begin == _PLAIN:
        return _shapes.get((length, 0, 0, 0)) or _remember(length, 0, 0, 0)
    after = _HEAD + length
    if begin == _FLAGGED and len(data) > after and data[after] == Ask.PROOF:
        return _shapes.get((length, 1, 1, Ask.PROOF)) or _remember(length, 1, 1, Ask.PROOF)
    if begin != _PADDED or len(data) < after + 3 or data[after] not in _FLAGS:
        return None
    if data[after + 1] == _BIN8:
        behind, header = 3 + data[after + 2], 3
    elif data[after + 1] == _BIN16 and len(data) > after + 3:
        behind, header = 4 + (data[after + 2] << 8 | data[after + 3]), 4
    else:
        return None
    flags = data[after]
    return _shapes.get((length, behind, header, flags)) or _remember(length, behind, header, flags)


def _remember(length: int, behind: int, header: int, flags: int) -> _Shape | None:
    """Make a shape: ``behind`` bytes follow the identifier, the first ``header`` of them fixed."""
    if not length:
        return None
    if len(_shapes) >= MAX_SHAPES:
        _shapes.clear()
    after = _HEAD + length
    take = Struct(f"2x9s2x{length}s{behind}x").iter_unpack
    shape = _Shape(after + behind, int(flags), (0, 1, 2, 11, 12, *range(after, after + header)), take)
    _shapes[length, behind, header, flags] = shape
    return shape
