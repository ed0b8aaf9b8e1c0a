"""Series in the embedded backend: finding the series of a member, and keeping counts right.

A reader remembers the shapes of a prefix's series and, shape by shape, those series that were asked for, in order of
their members; so a member that nobody has asked for yet costs one or two looks into the store, and any other a search
in a short list. All is forgotten when any series has changed, which the row of their prefix tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

import lmdb

from protocol.members import Members
from protocol.records import Head, split_body
from protocol.series import DECIMAL, Series, check_digit
from protocol.status import Status
from registry.store.lmdb.codec import WITHDRAWN
from registry.store.lmdb.layout import NUMBER_BYTES, PrefixRow, Tables
from registry.store.series import MAX_SHAPES, SERIES, is_series, read_series, series_of, shape_end

MAX_KNOWN: Final = 10_000
"""Series remembered: some ten megabytes. Where there are more, all are forgotten and read anew."""

_STEPS: Final = 16
"""Records that are stepped over before the next member is looked for: a search costs as much as these steps."""

_BEHIND: Final = b"\xff"
"""Behind whatever begins alike: no byte of UTF-8 is as great."""


class _Shape:
    """The series of one shape of one prefix. ``base`` is what their keys begin with; keys of members have ``length``
    bytes, of which those before ``end`` decide which series it may be."""

    def __init__(self, base: bytes, series: Series) -> None:
        self.base = base
        self.begin = NUMBER_BYTES + len(series.head)
        self.end = self.begin + series.width
        self.length = NUMBER_BYTES + series.length
        self.checked = series.checked
        self.tail = series.tail
        self.alphabet = series.alphabet
        # Of the series that are known, in order: what their first and last members' keys begin with.
        self.firsts: list[bytes] = []
        self.lasts: list[bytes] = []
        self.known: list[Members] = []

    def fits(self, key: bytes) -> bool:
        """Whether a key of the right length, between two that fit, is a member's."""
        counter = key[self.begin : self.end]
        if not (counter.isdigit() if self.alphabet is DECIMAL else self.alphabet.has(counter)):
            return False
        return key.endswith(self.tail) and not (self.checked and key[self.end : self.end + 1] != check_digit(counter))

    def remember(self, first: bytes, last: bytes, members: Members) -> None:
        """Note a series that was read."""
        at = bisect_left(self.lasts, last)
        self.firsts.insert(at, first)
        self.lasts.insert(at, last)
        self.known.insert(at, members)


class SeriesIndex:
    """The series that a transaction sees. ``whole`` opens a stored body, given with its identifier."""

    def __init__(self, tables: Tables, whole: Callable[[bytes, bytes], bytes]) -> None:
        self._tables = tables
        self._whole = whole
        self._txn: lmdb.Transaction[bytes] | None = None
        self._number = b""
        self._shapes: dict[bytes, dict[int, list[_Shape]]] = {}
        self._known = 0
        self.any = False
        """Whether there is any series: where there is none, nothing needs to be looked for."""

    def take(self, txn: lmdb.Transaction[bytes], number: bytes | None) -> None:
        """Look into this transaction from now on; ``number`` is that of the series' own prefix, None where the store
        has
        none."""
        self._txn = txn
        self.any = number is not None
        self._number = number or b""

    def forget(self) -> None:
        """Read all anew, as series have changed."""
        self._shapes.clear()
        self._known = 0

    def members(self, key: bytes) -> Members | None:
        """The series that has the member with this key."""
        number = key[:NUMBER_BYTES]
        shapes = self._shapes.get(number)
        if shapes is None:
            shapes = self._shapes[number] = self._read_shapes(number)
        for shape in shapes.get(len(key), ()):
            stem = key[: shape.end]
            at = bisect_left(shape.lasts, stem)
            if at < len(shape.lasts) and shape.firsts[at] <= stem:
                if shape.fits(key):
                    return shape.known[at]
            elif shape.fits(key) and (found := self._read(shape, stem)) is not None:
                return found
        return None

    def public(self, key: bytes) -> bytes | None:
        """The body that anybody may see, of a member of an active series."""
        members = self.members(key)
        return members.public(key[NUMBER_BYTES:]) if members is not None and members.active else None

    def whole(self, key: bytes) -> bytes | None:
        """The whole body of a member."""
        members = self.members(key)
        return None if members is None else members.whole(key[NUMBER_BYTES:])

    def fill(self, keys: list[bytes], found: list[bytes | None], bodies: list[bytes | None]) -> None:
        """Give ``bodies`` those of members, where nothing was ``found``."""
        for at, stored in enumerate(found):
            if stored is None:
                bodies[at] = self.public(keys[at])

    def in_the_way_of(self, series: Series, number: bytes) -> str | None:
        """What stands in the way of registering a series: the pattern of one that has a member in common with it, or
        a member that has a record. ``number`` is that of its prefix."""
        for base in self._bases(number):
            other = self._meeting(series, base)
            if other is not None:
                return str(other)
        record = next(self.records_in(series, number), None)
        return None if record is None else f"{series.prefix}/{record[NUMBER_BYTES:].decode()}"

    def has_room(self, series: Series, number: bytes) -> bool:
        """Whether its prefix may have a series of this shape."""
        bases = self._bases(number)
        return len(bases) < MAX_SHAPES or any(base.endswith(b"/" + series.shape) for base in bases)

    def records_in(self, series: Series, number: bytes) -> Iterator[bytes]:
        """The keys of members that have records of their own. Goes from one record to the next, and past many that are
        no member's at once."""
        assert self._txn is not None
        last, tail = number + series.member(series.count - 1), series.tail
        others = 0  # one behind the other that are no member's
        with self._txn.cursor(self._tables.records) as records:
            found = records.set_range(number + series.member(0))
            while found and (key := records.key()) <= last:
                if key.endswith(tail) and series.place(key[NUMBER_BYTES:]) is not None:
                    others = 0
                    yield key
                else:
                    others += 1
                if others < _STEPS:
                    found = records.next()
                else:
                    others = 0
                    n = series.next_place(key[NUMBER_BYTES:])
                    found = n < series.count and records.set_range(number + series.member(n))

    def any_between(self, first: bytes, last: bytes) -> bool:
        """Whether members of a series may stand from key to key of one prefix."""
        for base in self._bases(first[:NUMBER_BYTES]):
            found = self._first(base, first[NUMBER_BYTES:][: _stem_length(base)])
            if found is not None and found.member(0) <= last[NUMBER_BYTES:]:
                return True
        return False

    def is_replaced(self, key: bytes) -> bool:
        """Whether a changed key is that of a series which members may have been read of: it has changed since it was
        registered."""
        assert self._txn is not None
        if not self.any or not key.startswith(self._number):
            return False
        stored = self._txn.get(key, db=self._tables.records)
        return stored is None or self._kept(key, stored).version > 1

    def _bases(self, number: bytes) -> list[bytes]:
        """What the keys of a prefix's series begin with, shape by shape."""
        if not self.any:
            return []
        return [shape.base for shapes in self._read_shapes(number).values() for shape in shapes]

    def _first(self, base: bytes, stem: bytes) -> Series | None:
        """The first series of a shape whose last member is not less than what begins with ``stem``, a suffix."""
        assert self._txn is not None
        with self._txn.cursor(self._tables.records) as records:
            if records.set_range(base + stem) and records.key().startswith(base):
                return self._series(records.key())
        return None

    def _meeting(self, series: Series, base: bytes) -> Series | None:
        """One of some shape that has a member in common with a series. Goes from one that might to the next."""
        n = 0
        while n < series.count:
            other = self._first(base, series.member(n)[: _stem_length(base)])
            if other is None or other.length != series.length or other.member(0) > series.member(series.count - 1):
                return None
            if other.meets(series):
                return other
            n = max(n + 1, series.next_place(other.member(other.count - 1)))
        return None

    def _read_shapes(self, number: bytes) -> dict[int, list[_Shape]]:
        assert self._txn is not None
        prefix = self._txn.get(number, db=self._tables.numbers)
        shapes: dict[int, list[_Shape]] = {}
        if prefix is None:
            return shapes
        begin = self._number + prefix + b"/"
        seek = begin
        with self._txn.cursor(self._tables.records) as records:
            while records.set_range(seek) and records.key().startswith(begin):
                key = records.key()
                base = key[: len(begin) + shape_end(key[len(begin) :])]
                shape = _Shape(base, self._series(key))
                shapes.setdefault(shape.length, []).append(shape)
                seek = base + _BEHIND
        return shapes

    def _read(self, shape: _Shape, stem: bytes) -> Members | None:
        """The series of a shape that has members beginning so, remembered."""
        assert self._txn is not None
        with self._txn.cursor(self._tables.records) as records:
            if not records.set_range(shape.base + stem[NUMBER_BYTES:]) or not records.key().startswith(shape.base):
                return None
            key, stored = records.item()
        series = self._series(key)
        first, last = (stem[:NUMBER_BYTES] + series.member(n) for n in (0, series.count - 1))
        if first[: shape.end] > stem:
            return None
        members = Members(series, self._kept(key, stored))
        if self._known >= MAX_KNOWN:
            self.forget()
        else:
            self._known += 1
            shape.remember(first[: shape.end], last[: shape.end], members)
        return members

    def _kept(self, key: bytes, stored: bytes) -> Head:
        return split_body(self._whole(b"/".join((SERIES, key[NUMBER_BYTES:])), stored))

    @staticmethod
    def _series(key: bytes) -> Series:
        prefix, _, rest = key[NUMBER_BYTES:].partition(b"/")
        return read_series(prefix, rest)


class SeriesWork(ABC):
    """What a write transaction does about series: members for whoever writes to one, refusals, counts."""

    _txn: lmdb.Transaction[bytes]
    _tables: Tables
    _rows: dict[bytes, PrefixRow]
    _series_known: SeriesIndex

    @abstractmethod
    def _row(self, prefix: bytes) -> PrefixRow | None:
        """What is known of a prefix."""

    @abstractmethod
    def _new_row(self, prefix: bytes) -> PrefixRow:
        """A prefix that the store did not have."""

    @property
    def _series(self) -> SeriesIndex:
        row = self._row(SERIES)
        self._series_known.take(self._txn, row.number.to_bytes(NUMBER_BYTES, "big") if row else None)
        return self._series_known

    def _member_head(self, key: bytes) -> Head | None:
        """What a member answers that has no record of its own."""
        series = self._series
        body = series.whole(key) if series.any else None
        return None if body is None else split_body(body)

    def _recount(self, row: PrefixRow, key: bytes, before: bytes | None, shown: bool | None) -> None:
        """Bring the counts up to date where a record is put in place of a stored one (None: there is none), or is taken
        away (``shown`` is None). Where there is none, a series may speak."""
        series = self._series
        members = series.members(key) if series.any and (before is None or shown is None) else None
        spoken_for = members is not None and members.active
        was_shown = spoken_for if before is None else before[-1] != WITHDRAWN
        is_shown = spoken_for if shown is None else shown
        change = is_shown - was_shown
        row.active += change
        if row is self._rows.get(SERIES):
            self._series_known.forget()
            prefix, _, rest = key[NUMBER_BYTES:].partition(b"/")
            series_row = self._row(prefix) or self._new_row(prefix)
            series_row.changes += 1
            if change:
                counted = read_series(prefix, rest)
                number = series_row.number.to_bytes(NUMBER_BYTES, "big")
                own = sum(1 for _ in self._series.records_in(counted, number))
                series_row.active += change * (counted.count - own)

    def _refusal(self, identifier: bytes) -> Status | None:
        """Why a series may not be registered, where this is the identifier of one: something stands in its way, or its
        prefix has too many shapes."""
        if not is_series(identifier):
            return None
        series = series_of(identifier)
        row = self._row(series.prefix.encode())
        if row is None:
            return None
        number, index = row.number.to_bytes(NUMBER_BYTES, "big"), self._series
        if not index.has_room(series, number):
            return Status.TOO_LARGE
        return None if index.in_the_way_of(series, number) is None else Status.EXISTS

    def _series_between(self, row: PrefixRow, first: bytes, last: bytes) -> bool:
        """Whether members of a series may stand from key to key, or these are themselves series: then each record is
        to be looked at by itself."""
        series = self._series
        return series.any and (row is self._rows.get(SERIES) or series.any_between(first, last))


def _stem_length(base: bytes) -> int:
    """Bytes of a member's suffix up to the end of its counter, by the shape at the end of ``base``."""
    shape = base[NUMBER_BYTES:].partition(b"/")[2]
    return int(shape[:3], 16) + int(shape[3:5], 16)
