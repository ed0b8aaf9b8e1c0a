"""Followers and copies of a store that is now and then put back, against a model: which commit made which change.

A cursor is good while the change before it (or the range it stands in) was made by the same commit as when it was given
out; whoever holds another is told. A copy that is not told ends with the records of the store, byte for byte.
"""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from protocol.errors import StoreError
from registry.store.feed import DIVERGED, read_cursor
from registry.store.lmdb.writer import LmdbStore
from tests.registry.store.builders import ascending, check_agreement, everything, product, put, withdraw

LIMITS: Final = st.sampled_from([1, 2, 5, 30, 1_000])


class Given(NamedTuple):
    """A cursor that was given out, what its holder has, and which commit made what it rests on."""

    cursor: bytes
    replica: dict[bytes, bytes]
    made_by: int


class FollowingMachine(RuleBasedStateMachine):
    """One store that changes and is put back; cursors of all times; one copy."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="following-"))
        self.numbers = count()
        self.store = LmdbStore(self.directory / "store")
        self.copy = LmdbStore(self.directory / "copy")
        self.made_by: list[int] = []
        """By number of the change, the commit that made it."""
        self.given: list[Given] = []
        self.kept: tuple[Path, list[int]] | None = None
        self.copy_seen = 0
        """The commit of the last change that the copy knows of; 0 for none."""

    def teardown(self) -> None:
        self.store.close()
        self.copy.close()
        shutil.rmtree(self.directory)

    def made(self) -> None:
        """Note the changes of a commit."""
        commit = next(self.numbers) + 1
        changes = self.store.counts().changes
        self.made_by += [commit] * (changes - len(self.made_by))

    # The store ------------------------------------------------------------------------------------

    @rule(names=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=70), number=st.integers(0, 9))
    def register(self, names: list[str], number: int) -> None:
        self.store.apply([put(f"88.1/{name}", product(number + i)) for i, name in enumerate(names)], 1)
        self.made()

    @rule(name=st.sampled_from("abcdef"))
    def withdraw(self, name: str) -> None:
        self.store.apply([withdraw(f"88.1/{name}")], 1)
        self.made()

    @rule(prefix=st.sampled_from(["88.2", "88.3"]), start=st.integers(0, 100), length=st.sampled_from([1, 3, 40]))
    def load(self, prefix: str, start: int, length: int) -> None:
        self.store.bulk_load(ascending(prefix, range(start, start + length)), 1)
        self.made()

    @rule()
    def keep(self) -> None:
        target = self.directory / f"kept-{next(self.numbers)}"
        self.store.snapshot(target)
        self.kept = (target, list(self.made_by))

    @precondition(lambda self: self.kept)
    @rule()
    def put_back(self) -> None:
        assert self.kept is not None
        target, self.made_by = self.kept[0], list(self.kept[1])
        self.store.close()
        shutil.rmtree(self.directory / "store")
        shutil.copytree(target, self.directory / "store")
        self.store = LmdbStore(self.directory / "store")

    # Followers ------------------------------------------------------------------------------------

    def rests_on(self, cursor: bytes) -> int:
        """The commit that made what a cursor rests on, as it is now: 0 for the beginning, -1 for none."""
        at = read_cursor(cursor)
        change = at.number if at.inside else at.number - 1
        if change < 0:
            return 0
        return self.made_by[change] if change < len(self.made_by) else -1

    @rule(limit=LIMITS)
    def begin(self, limit: int) -> None:
        page = self.store.feed(None, limit)
        self.given.append(Given(page.cursor, dict(page.entries), self.rests_on(page.cursor)))

    @precondition(lambda self: self.given)
    @rule(data=st.data(), limit=LIMITS, whole=st.booleans())
    def go_on(self, data: st.DataObject, limit: int, whole: bool) -> None:
        cursor, replica, made_by = data.draw(st.sampled_from(self.given))
        replica = dict(replica)
        if self.rests_on(cursor) != made_by:
            with pytest.raises(StoreError) as caught:
                self.store.feed(cursor, limit)
            assert caught.value.rule is DIVERGED
            return
        more = True
        while more:
            page = self.store.feed(cursor, limit)
            replica.update(page.entries)
            cursor, more = page.cursor, page.more and whole
        self.given.append(Given(cursor, replica, self.rests_on(cursor)))

    # The copy -------------------------------------------------------------------------------------

    @rule(limit=LIMITS, pages=st.integers(1, 30))
    def follow(self, limit: int, pages: int) -> None:
        standing = self.copy.standing()
        good = self.copy_seen == 0 or self.copy_seen in self.made_by
        for _ in range(pages):
            standing = self.copy.standing()
            at = standing.inside or standing.end
            if not good:
                with pytest.raises(StoreError) as caught:
                    self.store.changes(at.cursor(), limit, standing.seen.cursor())
                assert caught.value.rule is DIVERGED
                return
            page = self.store.changes(at.cursor(), limit, standing.seen.cursor())
            self.copy.copy(page)
            self.copy_seen = self.made_by[-1] if self.made_by else 0
            if not page.more:
                assert everything(self.copy) == everything(self.store)
                assert self.copy.counts()[:2] == self.store.counts()[:2]
                check_agreement(self.copy)
                return

    @rule()
    def copy_anew(self) -> None:
        self.copy.close()
        shutil.rmtree(self.directory / "copy")
        self.copy = LmdbStore(self.directory / "copy")
        self.copy_seen = 0


def test_followers_are_right_or_told() -> None:
    run_state_machine_as_test(
        FollowingMachine,
        settings=settings(
            max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
