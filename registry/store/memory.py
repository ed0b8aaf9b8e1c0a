"""A backend of dictionaries: the model that the contract suite holds against, and a store for small tools."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

from protocol.errors import IdentifierError, StoreError
from protocol.identifiers import covers, normal
from protocol.kept import decode_kept
from protocol.members import Members
from protocol.records import State, split_body
from protocol.referrals import Cut
from protocol.series import Series
from protocol.status import Status
from registry.store.allotments import ALLOTMENTS, find_closure
from registry.store.decide import decide
from registry.store.feed import (
    BAD_CURSOR,
    DIVERGED,
    GAP,
    NO_MARK,
    FeedEntry,
    FeedPage,
    Part,
    Position,
    Pruning,
    draw_mark,
    order,
    read_cursor,
    read_feed,
)
from registry.store.history import find_policy, how_many
from registry.store.interface import STORE_FAILED, ChangePage, Counts, Entry, Page, Standing, flat
from registry.store.searching import Indexed, has_data, suffix_behind
from registry.store.series import MAX_SHAPES, SERIES, is_series, series_of, with_series
from registry.store.system import DELEGATIONS, TEMPLATES, find_cut, is_system
from registry.store.templates import Expanders
from registry.store.writes import Outcome, Write


class MemoryStore:
    """Records in a dictionary, their order in a sorted list, changes in a list of identifiers."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._ordered: list[tuple[bytes, bytes]] = []
        self._feed = _Feed(self)
        self._open: Position | None = None
        self._taken: list[bytes] = []  # from the open range
        self._fresh = True  # whether nothing stood in it before
        self._seen = Position(0, NO_MARK)
        self._whole = self._again = False
        self._earlier: dict[bytes, list[bytes]] = {}
        self._expanders = Expanders(self.find)
        self._indexed = Indexed(self.find)
        self._delegates = False  # whether there ever was a delegation
        self._allots = False  # the same of allotments
        self._series: dict[bytes, Series] = {}  # by the identifiers of their records

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(identifier) for identifier in identifiers]

    def get(self, identifier: bytes) -> bytes | None:
        try:
            wanted = normal(identifier)
        except IdentifierError:
            return None
        body = self.find(wanted)
        if body is None or split_body(body).state is not State.ACTIVE:
            return None
        prefix = wanted.partition(b"/")[0].decode()
        return None if self.cut(prefix) or self.closure(prefix) else self.shown(wanted, body)

    def find(self, identifier: bytes) -> bytes | None:
        body = self._bodies.get(identifier)
        if body is None and not is_system(identifier):
            prefix, _, suffix = identifier.partition(b"/")
            for name, series in self._series.items():
                if series.prefix.encode() == prefix and series.place(suffix) is not None:
                    return Members(series, split_body(self._bodies[name])).whole(suffix)
        return body

    def search(self, prefix: str, item: int, data: bytes, cursor: bytes | None, limit: int) -> Page:
        after, name = suffix_behind(prefix, cursor), prefix.encode()
        entries: list[Entry] = []
        for key_prefix, suffix in self._ordered:
            identifier = key_prefix + b"/" + suffix
            if key_prefix != name or suffix <= after or not has_data(self._bodies[identifier], item, data):
                continue
            if item not in self._indexed.items(name, decode_kept(self._bodies[identifier]).template):
                continue
            if len(entries) == limit:
                return Page(entries, entries[-1].identifier)
            entries.append(Entry(identifier, self._bodies[identifier]))
        return Page(entries, None)

    def index(self, records: Sequence[Entry]) -> None:
        """Nothing: all records are looked at."""

    def history(self, identifier: bytes) -> list[bytes]:
        own = self._own_history(identifier)
        prefix, _, suffix = identifier.partition(b"/")
        for name, series in self._series.items():
            if series.prefix.encode() == prefix and series.place(suffix) is not None:
                return with_series(own, series, self._own_history(name), suffix)
        return own

    def _own_history(self, identifier: bytes) -> list[bytes]:
        body = self._bodies.get(identifier)
        return [] if body is None else [body, *self._earlier.get(identifier, ())]

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        return self._expanders.shown(identifier, body)

    def expanded(self, identifier: bytes, body: bytes) -> bytes:
        return self._expanders.expanded(identifier, body)

    def marks(self, prefixes: Sequence[bytes]) -> object:
        return self._feed.head

    def cut(self, prefix: str) -> Cut | None:
        return find_cut(self.find, prefix) if self._delegates and self.closure(prefix) is None else None

    def closure(self, prefix: str) -> Status | None:
        return find_closure(self.find, prefix) if self._allots else None

    def in_the_way_of(self, series: Series) -> str | None:
        patterns = (str(one) for one in self._series.values() if one.meets(series))
        return next(patterns, None) or next((one.decode() for one in self._records_in(series)), None)

    def scan(self, prefix: str, cursor: bytes | None, limit: int) -> Page:
        start = 0
        if cursor is not None:
            if b"/" not in cursor:
                raise StoreError(BAD_CURSOR)
            start = bisect.bisect_right(self._ordered, order(cursor))
        entries: list[Entry] = []
        for key_prefix, suffix in self._ordered[start:]:
            if covers(prefix, key_prefix.decode()):
                if len(entries) == limit:
                    return Page(entries, entries[-1].identifier)
                identifier = key_prefix + b"/" + suffix
                entries.append(Entry(identifier, self._bodies[identifier]))
        return Page(entries, None)

    def feed(self, cursor: bytes | None, limit: int) -> ChangePage:
        return flat(self.changes(cursor, limit))

    def changes(self, cursor: bytes | None, limit: int, seen: bytes | None = None) -> FeedPage:
        return read_feed(self._feed, cursor, limit, seen)

    def standing(self) -> Standing:
        return Standing(self._feed.head, self._open, max(self._feed.head, self._seen), self._whole)

    def counts(self) -> Counts:
        active: dict[str, int] = {}
        for identifier, body in self._bodies.items():
            if is_system(identifier):
                continue
            prefix = identifier.partition(b"/")[0].decode()
            active[prefix] = active.get(prefix, 0) + (split_body(body).state is State.ACTIVE)
        for identifier, series in self._series.items():
            shown = split_body(self._bodies[identifier]).state is State.ACTIVE
            spoken_for = series.count - sum(1 for _ in self._records_in(series)) if shown else 0
            active[series.prefix] = active.get(series.prefix, 0) + spoken_for
        return Counts(active, self._feed.head.number, 0)

    def apply(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        changed: list[bytes] = []
        for write in writes:
            body = self.find(write.identifier)
            outcome, new_body = decide(write, split_body(body) if body else None, now)
            if body is None and new_body is not None and is_series(write.identifier):
                refusal = self._refusal(series_of(write.identifier))
                if refusal is not None:
                    outcome, new_body = Outcome(refusal, 0, changed=False), None
            if new_body is not None:
                self._put(write.identifier, new_body)
                changed.append(write.identifier)
            outcomes.append(outcome)
        if changed:
            self._feed.note(draw_mark(), len(changed), None, changed)
        return outcomes

    def bulk_load(self, writes: Sequence[Write], now: int) -> list[Outcome]:
        return self.apply(writes, now)

    def copy(self, page: FeedPage) -> None:
        head, after = self._feed.head, read_cursor(page.cursor)
        if page.parts and (page.parts[-1].number < head.number or self._open == after):
            for part in page.parts:
                if part.number < head.number and self._feed.covering(part.number).mark != part.mark:
                    raise StoreError(DIVERGED, number=part.number)
            return
        inside = bool(after.inside)
        self._check_order(page.parts)
        for part in page.parts:
            self._copy_part(part, is_open=inside and part is page.parts[-1])
        if inside:
            self._open = after
        self._seen = max(self._seen, read_cursor(page.head))
        if not inside and self._feed.head.number == read_cursor(page.head).number:
            self._whole, self._again = True, False

    def _check_order(self, parts: list[Part]) -> None:
        expected, mark = self._feed.head.number, self._open and self._open.mark
        for part in parts:
            if part.number != expected or (mark and (part.bounds is None or part.mark != mark)):
                raise StoreError(GAP, number=part.number, expected=expected)
            expected, mark = part.number + part.size, None

    def _copy_part(self, part: Part, *, is_open: bool) -> None:
        if self._open is None:
            self._taken, self._fresh = [], True
        for identifier, body in part.records:
            if body is not None:
                there = self._bodies.get(identifier)
                if self._again and there and split_body(there).version > split_body(body).version:
                    raise StoreError(DIVERGED, number=self._feed.head.number)
                self._fresh = self._fresh and there is None
                self._taken.append(identifier)
                self._put(identifier, body)
        if not is_open:
            self._open = None
            keys = [] if part.bounds else [identifier for identifier, _ in part.records]
            self._feed.note(part.mark, part.size, part.bounds, keys)

    def abandon(self) -> None:
        if self._open is None:
            return
        if not self._fresh:
            raise StoreError(DIVERGED, number=self._open.number)
        for identifier in self._taken:
            del self._bodies[identifier]
            self._series.pop(identifier, None)
            self._ordered.remove(order(identifier))
        self._open = None

    def restart(self) -> None:
        self._feed = _Feed(self)
        self._open, self._seen, self._again = None, Position(0, NO_MARK), True

    def inherit(self, seen: Position) -> None:
        self._feed.inherited = seen
        if seen.number > self._feed.head.number:
            mark = draw_mark()
            for bounds in self._everything():
                self._feed.note(mark, 1, bounds, [])

    def prune(self, number: int) -> int:
        return self._feed.prune(number, self._everything(), draw_mark())

    def _put(self, identifier: bytes, body: bytes) -> None:
        before = self._bodies.get(identifier)
        if before is None:
            bisect.insort(self._ordered, order(identifier))
        elif split_body(before).version < split_body(body).version:
            self._keep(identifier, before, split_body(body).time)
        self._bodies[identifier] = body
        if is_series(identifier):
            self._series[identifier] = series_of(identifier)
        self._delegates = self._delegates or identifier.startswith(DELEGATIONS)
        self._allots = self._allots or identifier.startswith(ALLOTMENTS)
        if identifier.startswith(TEMPLATES):
            self._expanders.refresh()

    def _keep(self, identifier: bytes, body: bytes, now: int) -> None:
        prefix = identifier.removeprefix(SERIES + b"/").partition(b"/")[0]
        if is_system(prefix):
            return
        policy = find_policy(self.find, prefix.decode())
        kept = [body, *self._earlier.get(identifier, ())]
        self._earlier[identifier] = kept[: how_many(policy, len(kept), lambda place: split_body(kept[place]).time, now)]

    def _records_in(self, series: Series) -> Iterator[bytes]:
        """The members that have records of their own."""
        for identifier in self._bodies:
            prefix, _, suffix = identifier.partition(b"/")
            if prefix == series.prefix.encode() and series.place(suffix) is not None:
                yield identifier

    def _refusal(self, series: Series) -> Status | None:
        """Why a series may not be registered."""
        shapes = {one.shape for one in self._series.values() if one.prefix == series.prefix} | {series.shape}
        if len(shapes) > MAX_SHAPES:
            return Status.TOO_LARGE
        return None if self.in_the_way_of(series) is None else Status.EXISTS

    def _everything(self) -> list[tuple[bytes, bytes]]:
        """First and last identifier of each prefix."""
        bounds: dict[bytes, tuple[bytes, bytes]] = {}
        for prefix, suffix in self._ordered:
            identifier = prefix + b"/" + suffix
            bounds[prefix] = (bounds[prefix][0] if prefix in bounds else identifier, identifier)
        return list(bounds.values())

    def between(self, first: bytes, last: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The records from one identifier to another, behind a third."""
        start = bisect.bisect_left(self._ordered, order(first))
        if after:
            start = bisect.bisect_right(self._ordered, order(after))
        for prefix, suffix in self._ordered[start : bisect.bisect_right(self._ordered, order(last))]:
            identifier = prefix + b"/" + suffix
            yield identifier, self._bodies[identifier]

    def snapshot(self, target: Path) -> None:
        raise StoreError(STORE_FAILED, path=str(target), reason="a store in memory has nothing to copy")

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


class _Feed:
    """The entries of a store's feed, in a list."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._entries: list[FeedEntry] = []
        self.pruning = Pruning()
        self.inherited = Position(0, NO_MARK)

    @property
    def head(self) -> Position:
        if not self._entries:
            return Position(0, NO_MARK)
        last = self._entries[-1]
        return Position(last.number + last.size, last.mark)

    def note(self, mark: bytes, size: int, bounds: tuple[bytes, bytes] | None, keys: list[bytes]) -> None:
        """Put an entry behind the others."""
        self._entries.append(FeedEntry(self.head.number, mark, size, bounds, keys))

    def covering(self, number: int) -> FeedEntry:
        return self._entries[bisect.bisect_right(self._entries, number, key=lambda entry: entry.number) - 1]

    def changed(self, entry: FeedEntry, skip: int) -> Iterator[tuple[bytes, bytes]]:
        for identifier in entry.keys[skip:]:
            body = self._store.find(identifier)
            assert body is not None
            yield identifier, body

    def standing(self, first: bytes, last: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._store.between(first, last, after)

    def prune(self, number: int, everything: list[tuple[bytes, bytes]], mark: bytes) -> int:
        """Put ranges in place of the entries that end below a change."""
        gone = [entry for entry in self._entries[:-1] if entry.number + entry.size <= number]
        end = gone[-1].number + gone[-1].size if gone else 0
        if end <= self.pruning.number or end < len(everything):
            return self.pruning.number
        self.pruning = Pruning(end, mark, gone[-1].mark)
        rest = self._entries[len(gone) :]
        self._entries = []
        for bounds in everything[:-1]:
            self.note(mark, 1, bounds, [])
        self.note(mark, end - len(self._entries), everything[-1], [])
        self._entries += rest
        return end
