"""What is where on disk.

Tables (LMDB named databases):

``records``       prefix number (3 bytes, big endian) ‖ suffix → stored body (``codec``)
``prefixes``      prefix → number, active records, dictionary in use, changes ever made below it
``numbers``       prefix number → prefix
``dictionaries``  number (2 bytes) → the dictionary's bytes
``changes``       number of the entry's first change (8 bytes) → entry (``feed``)
``meta``          format, next numbers, where the feed ends and how far it was pruned
``data_index``    prefix number ‖ item ‖ hash of its data ‖ suffix → nothing (``searching``)
``history``       a record's key ‖ which version → the stored body that it had (``history``)

Records of one prefix lie together, ordered by suffix; three bytes stand for the prefix, which saves ten bytes a
record in the field's identifiers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import lmdb
import msgspec
import zstandard

from protocol.errors import Rule, StoreError
from protocol.status import Status
from registry.store.feed import NO_MARK
from registry.store.interface import STORE_FAILED, STORE_FULL

FORMAT: Final = 2
"""2: marks in the feed."""

OTHER_FORMAT: Final = Rule(
    "store.other-format",
    Status.STORE_FAILED,
    "the store at {path} has format {found}; this program reads format {known}. Use the program version that wrote it",
    "位于 {path} 的存储格式为 {found}，本程序只支持格式 {known}，请使用写入该存储的程序版本",
)
IN_USE: Final = Rule(
    "store.in-use",
    Status.STORE_FAILED,
    "another process writes to the store at {path}; a store has one registry process",
    "另一进程正在写入位于 {path} 的存储，一个存储只能有一个注册进程",
)
NOT_THERE: Final = Rule(
    "store.not-there",
    Status.STORE_FAILED,
    "there is no store at {path}; 'biaoshi restore' brings a lost one back, 'biaoshi init' makes a new node",
    "{path} 处没有存储：丢失的存储可用 biaoshi restore 从托管节点恢复，新节点请用 biaoshi init 创建",
)

NUMBER_BYTES: Final = 3
NO_PREFIX: Final = b"\xff\xff\xff"
"""The prefix number that is never given out: looking below it finds nothing."""

MAX_PREFIXES: Final = 0xFFFFFE
"""Prefixes in one store: three bytes, less the one above."""

MAX_KEY_BYTES: Final = 511
"""LMDB's limit."""

MAX_READERS: Final = 512
"""Slots for reading processes; a worker takes one."""

FIRST_MAP_BYTES: Final = 1 << 30
"""The map of a new store: address space, not disk. It doubles by itself (``writer``)."""

_PROBE_BYTES: Final = 1 << 20


class PrefixRow(msgspec.Struct, array_like=True):
    """What the store knows of a prefix. ``expected`` is the mean size of a stored body when the dictionary was made:
    when bodies come out much larger, it is time for a new one. ``changes`` counts every change of one of its records:
    a row that is as it was says that nothing below has changed."""

    number: int
    active: int = 0
    dictionary: int = 0
    expected: float = 0.0
    changes: int = 0


class OpenRange(msgspec.Struct, array_like=True):
    """A range that a copy has begun to take: its first change, its mark, the first key in it and the last one that was
    taken. ``fresh``: nothing stood there before."""

    number: int
    mark: bytes
    first: bytes
    last: bytes
    fresh: bool


class Meta(msgspec.Struct, array_like=True):
    """Counters of the store, and where its feed stands: ``mark`` is that of the last change, ``pruning`` is
    :class:`registry.store.feed.Pruning`, ``seen`` and ``inherited`` are numbers with marks (``feed.Position``).
    ``whole``: a copy that has been at the end; ``again``: one that has begun again and is not there yet."""

    format: int = FORMAT
    next_prefix: int = 1
    next_dictionary: int = 1
    next_change: int = 0
    mark: bytes = NO_MARK
    open: OpenRange | None = None
    seen: tuple[int, bytes] = (0, NO_MARK)
    inherited: tuple[int, bytes] = (0, NO_MARK)
    pruning: tuple[int, bytes, bytes] = (0, NO_MARK, NO_MARK)
    whole: bool = False
    again: bool = False


class _Format(msgspec.Struct, array_like=True):
    """What every format of :class:`Meta` begins with."""

    format: int


encode: Final = msgspec.msgpack.Encoder().encode
decode_row: Final = msgspec.msgpack.Decoder(PrefixRow).decode
_decode_format: Final = msgspec.msgpack.Decoder(_Format).decode
decode_meta: Final = msgspec.msgpack.Decoder(Meta).decode
META_KEY: Final = b"store"


class Tables(NamedTuple):
    """An open environment and its tables."""

    env: lmdb.Environment
    records: lmdb._Database
    prefixes: lmdb._Database
    numbers: lmdb._Database
    dictionaries: lmdb._Database
    changes: lmdb._Database
    meta: lmdb._Database
    history: lmdb._Database
    data_index: lmdb._Database


def check_there(path: Path) -> None:
    """See that a store is in directory ``path``: a node whose store is lost must not deny all that it had. Raises
    :class:`StoreError`."""
    if not (path / "data.mdb").exists():
        raise StoreError(NOT_THERE, path=str(path))


def open_tables(path: Path, *, writable: bool, map_bytes: int = FIRST_MAP_BYTES) -> Tables:
    """Open the store in directory ``path``; a writable one is made where there is none. Raises
    :class:`StoreError`."""
    if not writable:
        check_there(path)
    with engine_errors(path):
        env = lmdb.open(
            str(path), map_size=map_bytes, max_dbs=8, max_readers=MAX_READERS, readonly=not writable,
            # Reads are random: what the kernel would read ahead is seldom what comes next.
            readahead=False, create=writable,
        )  # fmt: skip
        try:
            names = Tables._fields[1:]
            tables = Tables(env, *(env.open_db(name.encode(), create=writable) for name in names))
            _check_format(tables, path, writable)
        except BaseException:
            env.close()
            raise
    return tables


def lock(path: Path) -> int:
    """Hold the store as its one writer, until the file is closed or the process ends. Raises :class:`StoreError`."""
    with engine_errors(path):
        held = os.open(path / "writer.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise StoreError(IN_USE, path=str(path)) from None
    return held


def _check_format(tables: Tables, path: Path, writable: bool) -> None:
    with tables.env.begin(db=tables.meta, write=writable) as txn:
        raw = txn.get(META_KEY)
        if raw is None and writable:
            txn.put(META_KEY, encode(Meta()))
            return
    found = _decode_format(raw).format if raw else 0
    if found != FORMAT:
        raise StoreError(OTHER_FORMAT, path=str(path), found=found, known=FORMAT)


@contextmanager
def engine_errors(path: Path) -> Iterator[None]:
    """Turn the engine's exceptions into ours; they go no further than this."""
    try:
        yield
    except lmdb.DiskError as error:
        raise StoreError(STORE_FULL, reason=_reason(error)) from error
    except lmdb.Error as error:
        if any(sign in str(error) for sign in ("No space left", "File too large", "quota exceeded")):
            raise StoreError(STORE_FULL, reason=_reason(error)) from error
        if "Input/output error" in str(error) and _cannot_grow(path):
            raise StoreError(STORE_FULL, reason=os.strerror(errno.ENOSPC)) from error
        raise StoreError(STORE_FAILED, path=str(path), reason=_reason(error)) from error
    except (msgspec.DecodeError, zstandard.ZstdError) as error:  # a row of a table, a dictionary
        raise StoreError(STORE_FAILED, path=str(path), reason=str(error)) from error
    except OSError as error:
        raise StoreError(STORE_FAILED, path=str(path), reason=error.strerror or str(error)) from error


def _cannot_grow(path: Path) -> bool:
    """Whether there is no room behind the store's file. The engine tells of a write that a full disk cut short as of
    an input/output error; what was written of it lies behind the last page in use and does no harm."""
    try:
        with (path / "data.mdb").open("r+b") as file:
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, _PROBE_BYTES)
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    return False


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2]
