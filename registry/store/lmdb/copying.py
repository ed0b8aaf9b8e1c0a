"""Taking over pages of a foreign feed: one transaction's work, the same as for writes but for what it is given.

A copy is at any moment a beginning of the feed it copies, under the same numbers and marks; so the place to go on from
is its own end, and it can itself be followed and restored from. A range that did not fit one page is *open* until its
last page: its records are there, its entry is not.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from protocol.errors import StoreError
from protocol.records import split_body
from registry.store.feed import DIVERGED, GAP, NO_MARK, FeedPage, Part, Position, read_cursor
from registry.store.lmdb.codec import WITHDRAWN_TAG, kind_of
from registry.store.lmdb.feed import KEYS_AN_ENTRY, change_key, entry_at, keys_entry, prune_entries, range_entry
from registry.store.lmdb.layout import NUMBER_BYTES, Meta, OpenRange, PrefixRow
from registry.store.lmdb.searching import IndexingWork
from registry.store.lmdb.series import SeriesWork

ABANDONED_AT_ONCE: Final = 10_000
"""Records of an open range that one transaction takes away."""


class CopyingWork(SeriesWork, IndexingWork):
    """The half of a write transaction that takes over pages; ``writer`` has the other half."""

    _meta: Meta

    @abstractmethod
    def _choose_dictionary(self, row: PrefixRow, bodies: list[bytes]) -> None:
        """See that a prefix has a dictionary that fits."""

    @abstractmethod
    def _any_between(self, first: bytes, last: bytes) -> bool:
        """Whether a record stands from key to key."""

    @abstractmethod
    def _put_all(self, keys: list[bytes], stored: list[bytes]) -> None:
        """Put ascending records where none stand."""

    @abstractmethod
    def _note(self, entry: bytes, count: int, mark: bytes) -> None:
        """Put an entry behind the feed."""

    def copy(self, page: FeedPage) -> None:
        """Take over a page. Raises :class:`StoreError` where it does not follow what is here."""
        after = read_cursor(page.cursor)
        if page.parts and (page.parts[-1].number < self._meta.next_change or self._is_inside(after)):
            self._check_known(page.parts)
            return
        is_open = bool(after.inside)
        for i, part in enumerate(page.parts):
            if part.number != self._meta.next_change:
                raise StoreError(GAP, number=part.number, expected=self._meta.next_change)
            if part.bounds is None:
                self._copy_keys(part)
            else:
                self._copy_range(part, part.bounds, is_open=is_open and i == len(page.parts) - 1)
        head = read_cursor(page.head)
        if head.number > self._meta.seen[0]:
            self._meta.seen = head[:2]
        if self._meta.next_change == head.number and not is_open:
            self._meta.whole, self._meta.again = True, False

    def _is_inside(self, at: Position) -> bool:
        """Whether the copy stands at just this place inside a range."""
        begun, suffix = self._meta.open, at.inside.partition(b"/")[2]
        return begun is not None and (begun.number, begun.mark, begun.last[NUMBER_BYTES:]) == (*at[:2], suffix)

    def _check_known(self, parts: list[Part]) -> None:
        """A page that was taken already: see that it was this one."""
        with self._txn.cursor(self._tables.changes) as entries:
            for part in parts:
                if part.number == self._meta.next_change:
                    continue  # the open range, compared by the caller
                found = entry_at(entries, part.number)
                if found is None or found[1][1] != part.mark:
                    raise StoreError(DIVERGED, number=part.number)

    # Records --------------------------------------------------------------------------------------

    def _copy_keys(self, part: Part) -> None:
        if self._meta.open is not None:
            raise StoreError(GAP, number=part.number, expected=self._meta.next_change)
        keys: list[bytes] = []
        for identifier, body in part.records:
            prefix, _, suffix = identifier.partition(b"/")
            row = self._row(prefix) or self._new_row(prefix)
            key = row.number.to_bytes(NUMBER_BYTES, "big") + suffix
            keys.append(key)
            row.changes += 1
            if body is not None:
                self._copy_one(prefix, row, key, body)
        for start in range(0, len(keys), KEYS_AN_ENTRY):
            some = keys[start : start + KEYS_AN_ENTRY]
            self._note(keys_entry(part.mark, some), len(some), part.mark)

    def _copy_one(self, prefix: bytes, row: PrefixRow, key: bytes, body: bytes) -> None:
        before = self._txn.get(key)
        kind = kind_of(body)
        if before is not None:
            there, given = split_body(self._codec.whole(before)), split_body(body)
            if self._meta.again and there.version > given.version:  # versions never go back but with their store
                raise StoreError(DIVERGED, number=self._meta.next_change)
            if there.version < given.version:
                self._keep(prefix, key, there.version, before, given.time)
        self._recount(row, key, before, kind != WITHDRAWN_TAG)
        self._txn.put(key, self._codec.store(body, row.dictionary, kind))

    def _copy_range(self, part: Part, bounds: tuple[bytes, bytes], *, is_open: bool) -> None:
        prefix = bounds[0].partition(b"/")[0]
        row = self._row(prefix) or self._new_row(prefix)
        number = row.number.to_bytes(NUMBER_BYTES, "big")
        cut = len(prefix) + 1
        first, last = (number + bound[cut:] for bound in bounds)
        begun = self._meta.open
        if begun is not None and (begun.number, begun.mark) != (part.number, part.mark):
            raise StoreError(GAP, number=part.number, expected=begun.number)
        fresh = begun is None or begun.fresh
        keys = [number + identifier[cut:] for identifier, _ in part.records]
        bodies = [body for _, body in part.records if body is not None]
        if keys:
            # From where the last page ended, so that nothing can hide between two pages.
            start = begun.last + b"\x00" if begun else first
            if not self._any_between(start, keys[-1]) and not self._series_between(row, start, keys[-1]):
                self._load(row, keys, bodies)
            else:
                fresh = False
                for key, body in zip(keys, bodies, strict=True):
                    self._copy_one(prefix, row, key, body)
        row.changes += len(keys)
        if is_open:
            self._meta.open = OpenRange(part.number, part.mark, first, keys[-1], fresh)
        else:
            self._meta.open = None
            self._note(range_entry(part.mark, first, last, part.size), part.size, part.mark)

    def _load(self, row: PrefixRow, keys: list[bytes], bodies: list[bytes]) -> None:
        """Ascending records where none stand, against a dictionary of their own."""
        self._choose_dictionary(row, bodies)
        stored = self._codec.store_many(bodies, row.dictionary)
        kinds = list(map(kind_of, bodies))
        self._put_all(keys, [one + kind for one, kind in zip(stored, kinds, strict=True)])
        row.active += len(keys) - kinds.count(WITHDRAWN_TAG)

    def abandon(self) -> bool:
        """Take away what an open range has brought, some of it; whether there is more. Raises :class:`StoreError` where
        it cannot be told from what stood there before."""
        begun = self._meta.open
        if begun is None:
            return False
        if not begun.fresh:
            raise StoreError(DIVERGED, number=begun.number)
        row = self._row(self._txn.get(begun.first[:NUMBER_BYTES], b"", db=self._tables.numbers))
        assert row is not None
        with self._txn.cursor() as records:
            more = records.set_key(begun.last)
            for _ in range(ABANDONED_AT_ONCE):
                if not more:
                    break
                self._recount(row, records.key(), records.value(), None)
                row.changes -= 1
                records.delete()
                # Behind the last record there is nothing to stand on.
                more = (records.prev() if records.key() else records.last()) and records.key() >= begun.first
            begun.last = records.key() if more else b""
        if not more:
            self._meta.open = None
        return more

    def restart(self) -> None:
        """Forget the feed and keep the records."""
        self._txn.drop(self._tables.changes, delete=False)
        meta = self._meta
        meta.next_change, meta.mark, meta.open = 0, NO_MARK, None
        meta.seen, meta.pruning, meta.again = (0, NO_MARK), (0, NO_MARK, NO_MARK), True

    # The end --------------------------------------------------------------------------------------

    def inherit(self, seen: Position, mark: bytes) -> None:
        """Note what the copy had seen that this store was made from, and all that stands as changed once more."""
        self._meta.inherited = seen[:2]
        if seen.number > self._meta.next_change:
            for first, last, _ in self._everything():
                self._note(range_entry(mark, first, last, 1), 1, mark)

    def prune(self, number: int, mark: bytes) -> int:
        """Put ranges over everything in place of the entries that end below change ``number``."""
        ranges = self._everything()
        pruned = self._meta.pruning[0]
        with self._txn.cursor(self._tables.changes) as entries:
            end, before = prune_entries(entries, pruned, number, least=len(ranges))
        if end == pruned:
            return pruned
        start = 0
        for left, (first, last, changes) in zip(range(len(ranges) - 1, -1, -1), ranges, strict=True):
            # Each at least one, all together as many as before.
            count = min(changes, end - start - left) if left else end - start
            self._txn.put(change_key(start), range_entry(mark, first, last, count), db=self._tables.changes)
            start += count
        self._meta.pruning = (end, mark, before)
        return end

    def _everything(self) -> list[tuple[bytes, bytes, int]]:
        """For each prefix with records its first and last key, and how often they changed."""
        found: list[tuple[bytes, bytes, int]] = []
        with self._txn.cursor(self._tables.numbers) as numbers, self._txn.cursor() as records:
            for number, prefix in numbers:
                if not (records.set_range(number) and records.key().startswith(number)):
                    continue
                first = records.key()
                behind = (int.from_bytes(number, "big") + 1).to_bytes(NUMBER_BYTES, "big")
                if not (records.prev() if records.set_range(behind) else records.last()):
                    continue
                row = self._row(prefix)
                found.append((first, records.key(), row.changes if row else 1))
        return found
