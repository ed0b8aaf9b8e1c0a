"""The change feed: what is in it, where a follower stands, and how a page of it is made. The same for all backends.

Changes are numbered from 0. An *entry* covers some of them, one behind the other: records that changed one by one, or
a *range*, every record from one identifier to another that a bulk load wrote. Entries say which record changed, not
how: a page gives each record as it is at that moment, and a later entry comes for each later change, so whoever
applies pages in order ends with the same records.

Each transaction draws eight random bytes, the *mark* of all its entries. An entry with that mark exists in one history
only, so who knows number and mark of the last change it has knows whether a feed is the one it followed: a store that
was put back to an earlier state has another mark there, or nothing, also after it has gone forward again.

::

    cursor = number of the next change (8) ‖ mark of what comes before it (8)
           | number of a range's first change (8) ‖ its mark (8) ‖ last identifier taken from it

The bodies in a page are those of the moment when it was made, so a copy that has not caught up has some that belong to
later changes. It remembers the ``head`` of the feed at that moment as ``seen``: a store that was put back to
somewhere between the copy's end and what it has seen is not the one it copied, either.

A feed may be *pruned*: up to some number its entries give way to one range for each prefix, with a mark of their own.
Who has nothing yet can still begin at the beginning; who stands somewhere below that number has to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from protocol.errors import Rule, StoreError
from protocol.status import Status

MARK_BYTES: Final = 8
NO_MARK: Final = bytes(MARK_BYTES)
"""The mark of what comes before the first change."""

_NUMBER_BYTES: Final = 8
_HEAD_BYTES: Final = _NUMBER_BYTES + MARK_BYTES

ROOM_BYTES: Final = 900_000
"""Bytes of identifiers and bodies in one page: with the largest record behind them they still fit one message."""

BAD_CURSOR: Final = Rule(
    "store.bad-cursor",
    Status.BAD_REQUEST,
    "this cursor was not given out by this node; begin without one",
    "该游标不是本节点给出的，请不带游标重新开始",
)
DIVERGED: Final = Rule(
    "feed.diverged",
    Status.DIVERGED,
    "change {number} here is not the one that was followed: this store was put back to an earlier state, or is another "
    "one. Restore it from a copy that has more ('biaoshi restore'), or have the copy begin anew",
    "此处的第 {number} 条变更与所跟随的不同：本存储曾被回退到更早的状态，或并非同一存储。"
    "请从更完整的副本恢复（biaoshi restore），或让副本重新开始",
)
PRUNED: Final = Rule(
    "feed.pruned",
    Status.PRUNED,
    "the feed was pruned below change {pruned} and no longer tells what came behind {number}; "
    "begin anew, without a cursor",
    "变更流在第 {pruned} 条以下已被修剪，无法再给出第 {number} 条之后的内容，请不带游标重新开始",
)
GAP: Final = Rule(
    "feed.gap",
    Status.BAD_REQUEST,
    "a page of changes begins at {number} where the copy goes on at {expected}",
    "变更页从第 {number} 条开始，而副本应从第 {expected} 条继续",
)


def draw_mark() -> bytes:
    """The mark of a new transaction."""
    return os.urandom(MARK_BYTES)


class Position(NamedTuple):
    """Where a follower stands: ``number`` changes are behind it, the last of them with this ``mark``; or it is inside
    the range that begins with change ``number``, behind the identifier ``inside``."""

    number: int
    mark: bytes
    inside: bytes = b""

    def cursor(self) -> bytes:
        """The bytes by which a follower comes back here."""
        return self.number.to_bytes(_NUMBER_BYTES, "big") + self.mark + self.inside


BEGINNING: Final = Position(0, NO_MARK)


def read_cursor(cursor: bytes | None) -> Position:
    """The position that a cursor names; None is the beginning. Raises :class:`StoreError` where it is none."""
    if cursor is None:
        return BEGINNING
    if len(cursor) < _HEAD_BYTES:
        raise StoreError(BAD_CURSOR)
    number = int.from_bytes(cursor[:_NUMBER_BYTES], "big")
    return Position(number, cursor[_NUMBER_BYTES:_HEAD_BYTES], cursor[_HEAD_BYTES:])


class Part(NamedTuple):
    """What a page has of one entry.

    ``number`` is the first change, ``size`` how many there are; of a range always all, with its first and last
    identifier as ``bounds``. ``records`` are identifiers with bodies, None for a body that came earlier in the same
    page. A page may end inside a range: its cursor says so, and the next page goes on with the same range.
    """

    number: int
    mark: bytes
    size: int
    bounds: tuple[bytes, bytes] | None
    records: list[tuple[bytes, bytes | None]]


class FeedPage(NamedTuple):
    """A page of the feed. ``cursor`` continues it; ``more`` says whether there is more now; ``head`` is the cursor at
    the end of the feed when the page was made."""

    parts: list[Part]
    cursor: bytes
    more: bool
    head: bytes


class FeedEntry(NamedTuple):
    """An entry as a backend keeps it; ``bounds`` are those of a range, ``keys`` is the backend's own."""

    number: int
    mark: bytes
    size: int
    bounds: tuple[bytes, bytes] | None
    keys: list[bytes]


class Pruning(NamedTuple):
    """How a feed was pruned: below change ``number`` it has ranges with ``mark``; the entry that ended there had the
    mark ``before``."""

    number: int = 0
    mark: bytes = NO_MARK
    before: bytes = NO_MARK


class Entries(Protocol):
    """What :func:`read_feed` needs of a backend, as of one moment."""

    @property
    def head(self) -> Position:
        """The end of the feed."""
        ...

    @property
    def inherited(self) -> Position:
        """What had been seen by the copy that this store was restored from."""
        ...

    @property
    def pruning(self) -> Pruning:
        """How the feed was pruned."""
        ...

    def covering(self, number: int) -> FeedEntry:
        """The entry that covers a change. Raises :class:`StoreError` where there is none."""
        ...

    def changed(self, entry: FeedEntry, skip: int) -> Iterator[tuple[bytes, bytes]]:
        """The records of an entry that is no range, in order, without the first ``skip``."""
        ...

    def standing(self, first: bytes, last: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The records that stand from ``first`` to ``last`` and, where it is not empty, behind ``after``."""
        ...


def read_feed(entries: Entries, cursor: bytes | None, limit: int, seen: bytes | None = None) -> FeedPage:
    """Up to ``limit`` records behind ``cursor``, of about ``ROOM_BYTES``, for a copy that has ``seen`` the feed up to
    there. Raises :class:`StoreError`: a cursor of another feed, or from where it was pruned."""
    at = locate(entries, read_cursor(cursor))
    if seen is not None and read_cursor(seen) != entries.inherited:
        locate(entries, read_cursor(seen))
    head = entries.head
    room = ROOM_BYTES
    parts: list[Part] = []
    given: set[bytes] = set()
    while at.number < head.number and limit > 0 and room > 0:
        entry = entries.covering(at.number)
        if entry.bounds is None:
            part, used = _take_changed(entries, entry, at.number, limit, room, given)
            at = Position(part.number + part.size, entry.mark)
        else:
            part, used, whole = _take_standing(entries, entry, at.inside, limit, room, given)
            if whole:
                at = Position(entry.number + entry.size, entry.mark)
            else:
                at = Position(entry.number, entry.mark, part.records[-1][0])
        parts.append(part)
        limit -= len(part.records)
        room -= used
    return FeedPage(parts, at.cursor(), at.number < head.number, head.cursor())


def locate(entries: Entries, at: Position) -> Position:
    """Check a position to be one of this feed. Raises :class:`StoreError` otherwise."""
    pruned = entries.pruning
    if at.number < pruned.number and at.mark != pruned.mark and at != BEGINNING:
        raise StoreError(PRUNED, number=at.number, pruned=pruned.number)
    if at.inside:
        entry = entries.covering(at.number) if at.number < entries.head.number else None
        if entry is not None and entry.bounds is not None and entry[:2] == at[:2]:
            first, last = entry.bounds
            if order(first) <= order(at.inside) <= order(last):
                return at
    elif at.number == 0:
        if at.mark == NO_MARK:
            return at
    elif at.number <= entries.head.number:
        entry = entries.covering(at.number - 1)
        if entry.mark == at.mark and (entry.bounds is None or entry.number + entry.size == at.number):
            return at
        if at.number == pruned.number and at.mark == pruned.before:
            return at
    raise StoreError(DIVERGED, number=max(at.number - 1, 0))


def order(identifier: bytes) -> tuple[bytes, bytes]:
    """What identifiers are ordered by: prefix, then suffix."""
    prefix, _, suffix = identifier.partition(b"/")
    return prefix, suffix


def _take_changed(
    entries: Entries, entry: FeedEntry, number: int, limit: int, room: int, given: set[bytes]
) -> tuple[Part, int]:
    """The part of an entry from change ``number`` on, and the bytes in it."""
    records: list[tuple[bytes, bytes | None]] = []
    used = 0
    for identifier, body in entries.changed(entry, number - entry.number):
        if identifier in given:
            records.append((identifier, None))
            used += len(identifier)
        else:
            given.add(identifier)
            records.append((identifier, body))
            used += len(identifier) + len(body)
        if len(records) >= limit or used >= room:
            break
    return Part(number, entry.mark, len(records), None, records), used


def _take_standing(
    entries: Entries, entry: FeedEntry, after: bytes, limit: int, room: int, given: set[bytes]
) -> tuple[Part, int, bool]:
    """Records of a range behind ``after``, the bytes in them, and whether these are all."""
    assert entry.bounds is not None
    records: list[tuple[bytes, bytes | None]] = []
    used = 0
    whole = True
    for identifier, body in entries.standing(*entry.bounds, after):
        if len(records) >= limit or used >= room:
            whole = False
            break
        records.append((identifier, body))
        used += len(identifier) + len(body)
    given.update(identifier for identifier, _ in records)
    return Part(entry.number, entry.mark, entry.size, entry.bounds, records), used, whole
