"""What every backend offers.

A backend keeps *bodies* (``protocol.records``) under identifiers in normal form, and a feed of changes. Business
rules need no more than that one record is changed atomically under a compare; a backend may offer more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from protocol.errors import Rule
from protocol.referrals import Cut
from protocol.series import Series
from protocol.status import Status
from registry.store.feed import FeedPage, Position
from registry.store.writes import Outcome, Write

STORE_FULL: Final = Rule(
    "store.full",
    Status.STORE_FULL,
    "the disk of the store is full ({reason}); nothing of this batch was written. Free space, then send it again",
    "存储所在磁盘已满（{reason}），本批未写入任何内容。请释放空间后重新发送",
)
STORE_FAILED: Final = Rule(
    "store.failed",
    Status.STORE_FAILED,
    "the store at {path} cannot be used: {reason}",
    "位于 {path} 的存储无法使用：{reason}",
)
DAMAGED: Final = Rule(
    "store.damaged",
    Status.STORE_FAILED,
    "the stored record of {identifier} is damaged: {reason}",
    "标识 {identifier} 的存储记录已损坏：{reason}",
)


class Entry(NamedTuple):
    """A record under its identifier (normal form, UTF-8); ``body`` is as it is kept (``protocol.kept``): whole,
    restricted values included."""

    identifier: bytes
    body: bytes


class Page(NamedTuple):
    """A part of a list. ``cursor`` continues it; None at the end."""

    entries: list[Entry]
    cursor: bytes | None


class ChangePage(NamedTuple):
    """A part of the change feed, oldest first: the records as they are now, each after its change. ``cursor``
    continues it, also at the end; ``more`` says whether there is more now."""

    entries: list[Entry]
    cursor: bytes
    more: bool


def flat(page: FeedPage) -> ChangePage:
    """The records in a page of the feed, each once."""
    records = (record for part in page.parts for record in part.records)
    entries = [Entry(identifier, body) for identifier, body in records if body is not None]
    return ChangePage(entries, page.cursor, page.more)


class Standing(NamedTuple):
    """Where a store stands: at the ``end`` of its feed. A copy may have begun to take a further range, and is then
    ``inside`` of it; and it has ``seen`` the feed it copies up to some point at or behind its end. It is ``whole`` once
    it has been at the end of that feed: until then it lacks records that the zone has."""

    end: Position
    inside: Position | None
    seen: Position
    whole: bool


class Counts(NamedTuple):
    """How much is stored: active records by prefix, system prefixes left out and a series for as many as it has
    members; changes ever made; bytes in use on disk
    (0: not on disk)."""

    active: dict[str, int]
    changes: int
    bytes_used: int


class Reader(Protocol):
    """The reading side. Reads see everything that was acknowledged before the last :meth:`rest`. Members of a series
    are
    seen by :meth:`get_many`, :meth:`get` and :meth:`find`; the others see the one record of their series.

    System records (``system``) are seen by :meth:`find`, :meth:`scan` and :meth:`feed` alone."""

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        """The public bodies of active records, in order, those that follow a template expanded; None for any other
        identifier, be it absent, withdrawn, malformed, or at or below a prefix that is delegated, suspended or closed.
        Identifiers need not be in
        normal form."""
        ...

    def get(self, identifier: bytes) -> bytes | None:
        """The same for one identifier."""
        ...

    def find(self, identifier: bytes) -> bytes | None:
        """The whole body under an identifier in normal form as it is kept, active or not; None where there is none. A
        member of a series (``series``) that has no record has the series' body, filled in."""
        ...

    def search(self, prefix: str, item: int, data: bytes, cursor: bytes | None, limit: int) -> Page:
        """Up to ``limit`` active records of just this prefix that have ``data`` in an indexed item of their template
        (``searching``), ordered by suffix. A copy need not find them. Raises :class:`~protocol.errors.StoreError` for a
        cursor that is not ours."""
        ...

    def history(self, identifier: bytes) -> list[bytes]:
        """What :meth:`find` gives, and behind it the bodies that the record had before, as many as are kept
        (``history``), the newest first."""
        ...

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        """What anybody may see of an active body that is or was kept under an identifier in normal form. Raises
        :class:`~protocol.errors.StoreError` where the template that it follows is not there."""
        ...

    def expanded(self, identifier: bytes, body: bytes) -> bytes:
        """The same with the values that are not for everybody."""
        ...

    def marks(self, prefixes: Sequence[bytes]) -> object:
        """What is equal at two times only where no record of these system prefixes has changed in between."""
        ...

    def cut(self, prefix: str) -> Cut | None:
        """The highest delegated prefix at or above ``prefix`` (normal form); None where none is, and where there is a
        closure: nobody is referred from there."""
        ...

    def closure(self, prefix: str) -> Status | None:
        """Why nobody is answered below ``prefix`` (normal form): SUSPENDED or WITHDRAWN where it, or one above, is
        suspended or closed (``allotments``); None otherwise."""
        ...

    def in_the_way_of(self, series: Series) -> str | None:
        """What stands in the way of registering a series: the pattern of one that has a member in common with it, or a
        member that has a record of its own; None where nothing does."""
        ...

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        """Up to ``limit`` records of a prefix and those below it, ordered by prefix and suffix, withdrawn ones
        and those below delegated prefixes included, and below the empty prefix those of system prefixes, too. Raises
        :class:`~protocol.errors.StoreError` for a cursor that is not ours."""
        ...

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        """Changes after ``cursor`` (None: from the beginning). A record that changed several times since may be
        given once, as it is now: who applies the pages in order ends with the same records."""
        ...

    def changes(self, cursor: bytes | None, limit: int, seen: bytes | None = None) -> FeedPage:
        """The same as parts of the feed's entries, from which a copy can be made (:meth:`Store.copy`), for one that has
        ``seen`` the feed up to there. Raises :class:`~protocol.errors.StoreError` for a cursor of another feed, and
        for one from where the feed was pruned."""
        ...

    def standing(self) -> Standing:
        """Where the store stands, for whoever follows or copies."""
        ...

    def counts(self) -> Counts:
        """How much is stored."""
        ...

    def rest(self) -> None:
        """Let go of the snapshot; the next read takes a new one. To be called between bursts of reads, as a
        snapshot that is held keeps freed space from being used again."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Store(Reader, Protocol):
    """Reading and writing. What returns is durable."""

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        """Carry out writes in order, at ``now`` (seconds), in one durable step: all that succeed, or none where
        :class:`~protocol.errors.StoreError` is raised."""
        ...

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        """The same for many writes whose identifiers strictly ascend: faster, and denser on disk. Loading
        again what was loaded changes nothing, so a load can be taken up at any point."""
        ...

    def copy(self, page: FeedPage) -> None:
        """Take over a page of the feed that this store is a copy of, in one durable step: bodies byte for byte, changes
        under their numbers and marks. What it has already changes nothing. Raises
        :class:`~protocol.errors.StoreError` for a page that does not follow what is here."""
        ...

    def abandon(self) -> None:
        """Give up the range that a copy is inside of, with the records it has taken from it."""
        ...

    def restart(self) -> None:
        """Have a copy begin again at the beginning of the feed, as what it has of it was pruned there. The records
        stay; where they meet older ones, the feed was put back as well, and :meth:`copy` raises."""
        ...

    def index(self, records: Sequence[Entry]) -> None:
        """Put records that stand into the index, which a copy does not keep."""
        ...

    def inherit(self, seen: Position) -> None:
        """End the making of this store from a copy that had ``seen`` the lost feed up to there. Where that is behind
        the end, the copy had bodies of changes that are lost: all that stands is then noted as changed once more,
        for whoever followed the lost feed."""
        ...

    def prune(self, number: int) -> int:
        """Let the entries of the feed that end below change ``number`` give way to ranges over everything that stands
        now, a bounded many at a time; returns the number below which the feed is pruned. Followers that stand there or
        behind go on as before, others have to begin anew."""
        ...

    def snapshot(self, target: Path) -> None:
        """Copy the store, as of one moment, into the empty directory ``target``, compacted."""
        ...
