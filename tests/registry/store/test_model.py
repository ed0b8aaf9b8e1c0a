"""The LMDB backend against a model that is one dictionary, through whatever sequence of calls."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol.records import State, Value, decode_body, encode_values, split_body
from protocol.referrals import Cut
from protocol.status import Status
from registry.store.allotments import CLOSURES, Stage
from registry.store.history import DEFAULT, Policy, policy_write
from registry.store.lmdb import writer
from registry.store.lmdb.cache import SHARDS
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.system import DELEGATIONS, TEMPLATES, is_system
from registry.store.templates import stored_template, template_identifier, template_write
from registry.store.writes import ABSENT, ANY, Outcome, Write
from tests.registry.store.builders import (
    ADMIN_ONLY,
    allot,
    answered,
    delegate,
    everything,
    follow,
    machine,
    noise,
    product,
    revoke,
    template,
    templated,
    values,
)

PREFIXES: Final = ("88.118", "88.118.1", "88.118.10", "88.1180", "88.118-A", "88.É")
SUFFIXES: Final = ("1", "10", "2", "a", "A", "a/b", "z" * 400)

SECRET: Final = encode_values(
    [Value(1, "URL", b"https://example.com/"), Value(2, "COST", b"9", permissions=ADMIN_ONLY)]
)
CONTENTS: Final = (
    values("a"), values("b"), product(1), machine(1), noise(1, 3_000), SECRET,
    templated("a"), templated("b"), templated("a", version=2),
)  # fmt: skip

identifiers = st.builds(lambda prefix, suffix: f"{prefix}/{suffix}".encode(), st.sampled_from(PREFIXES),
                        st.sampled_from(SUFFIXES))  # fmt: skip
contents = st.sampled_from(CONTENTS)
compares = st.sampled_from([ANY, ABSENT, "now", "before", "after"])
limits = st.sampled_from([1, 2, 3, 10, 64, 1_000])


class Known(NamedTuple):
    """What the model knows of a record; ``content`` is None for a withdrawn one."""

    version: int
    content: bytes | None
    time: int


class StoreMachine(RuleBasedStateMachine):
    """Every rule calls the store, and does the same to the dictionary in its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="store-"))
        self.store = LmdbStore(self.directory)
        self.remembering = self.open_remembering()
        self.model: dict[bytes, Known] = {}
        self.earlier: dict[bytes, list[Known]] = {}
        self.policies: dict[str, Policy] = {}
        self.stages: dict[str, Stage] = {}
        self.changes = 0
        self.now = 1_000
        self.cursor: bytes | None = None
        self.replica: dict[bytes, bytes] = {}

    def open_remembering(self) -> LmdbReader:
        """A reader with a cache, of which a shard has room for a body or two."""
        return LmdbReader(self.directory, self.store._tables, cache_bytes=SHARDS * 700)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    @initialize(some=st.booleans())
    def begin(self, some: bool) -> None:
        for prefix in PREFIXES:
            for version in (1, 2):
                self.write_system(template_write(template(prefix, version), ABSENT))
        if some:
            self.load(sorted({f"{prefix}/{suffix}".encode() for prefix in PREFIXES for suffix in SUFFIXES}), product(1))

    # Writing --------------------------------------------------------------------------------------

    def expect(self, write: Write) -> Outcome:
        """What the model says to a write, and does."""
        known = self.model.get(write.identifier)
        version = known.version if known else 0
        active = known is not None and known.content is not None
        if known is None and (write.values is None or write.compare):
            return Outcome(Status.NOT_FOUND, 0, changed=False)
        if known is not None and known.content == write.values:
            return Outcome(Status.OK, version, changed=False)
        if active and write.values is not None and write.compare == ABSENT:
            return Outcome(Status.EXISTS, version, changed=False)
        fits = write.compare in (ANY, version) or (write.compare == ABSENT and not active)
        if not fits:
            return Outcome(Status.CONFLICT, version, changed=False)
        if known is not None and not is_system(write.identifier):
            self.keep(write.identifier, known)
        self.model[write.identifier] = Known(version + 1, write.values, self.now)
        self.changes += 1
        return Outcome(Status.OK, version + 1, changed=True)

    def keep(self, identifier: bytes, known: Known) -> None:
        prefix = identifier.partition(b"/")[0].decode()
        above = [one for one in self.policies if f"{prefix}.".startswith(f"{one}.")]
        policy = self.policies[max(above, key=len)] if above else DEFAULT
        kept = [known, *self.earlier.get(identifier, [])][: policy.versions]
        gave_way = [self.now, *(one.time for one in kept)]
        old = self.now - policy.days * 86_400
        self.earlier[identifier] = [one for one, until in zip(kept, gave_way, strict=False) if until >= old]

    def wish(self, identifier: bytes, compare: int | str | None, content: bytes | None) -> Write:
        known = self.model.get(identifier)
        version = known.version if known else 0
        number = {"now": version, "before": max(version - 1, 0), "after": version + 1}
        wanted = number[compare] if isinstance(compare, str) else compare
        return Write(identifier, wanted, content, restricted=content is SECRET)

    def load(self, names: list[bytes], content: bytes) -> None:
        writes = [self.wish(name, ANY, content) for name in names]
        self.now += 1
        assert self.store.bulk_load(writes, self.now) == [self.expect(write) for write in writes]

    @rule(wishes=st.lists(st.tuples(identifiers, compares, contents | st.none()), max_size=8))
    def apply(self, wishes: list[tuple[bytes, int | str | None, bytes | None]]) -> None:
        writes = [self.wish(*wish) for wish in wishes]
        self.now += 1
        assert self.store.apply(writes, self.now) == [self.expect(write) for write in writes]

    @rule(wish=st.tuples(identifiers, compares, contents))
    def register(self, wish: tuple[bytes, int | str | None, bytes]) -> None:
        self.apply([wish])

    @rule(child=st.sampled_from(["88", *PREFIXES]), number=st.integers(0, 2))
    def delegate(self, child: str, number: int) -> None:
        self.write_system(delegate(child, b"%d" % number))

    @rule(child=st.sampled_from(["88", *PREFIXES]))
    def revoke(self, child: str) -> None:
        self.write_system(revoke(child))

    @rule(prefix=st.sampled_from(PREFIXES[:3]), version=st.integers(1, 2), index=st.sampled_from([2000, 2001, 2003]))
    def disable_an_item(self, prefix: str, version: int, index: int) -> None:
        """Of the template as it is; answers stay the same."""
        _, known = stored_template(self.store.find(template_identifier(prefix, version)))
        assert known is not None
        self.write_system(template_write(known.disable([index]), ANY))

    @rule(prefix=st.sampled_from(PREFIXES[:3]), version=st.integers(1, 3), number=st.integers(0, 2))
    def replace_a_template(self, prefix: str, version: int, number: int) -> None:
        """No desk does so, but a copy that was put back may: whoever remembered answers has to forget them."""
        self.write_system(template_write(template(prefix, version, f"{number}/{{suffix}}"), ANY))

    @rule(prefix=st.sampled_from(["88", *PREFIXES[:3]]), policy=st.none() | st.builds(
        Policy, versions=st.integers(0, 3), days=st.sampled_from([1, 30])))  # fmt: skip
    def choose_a_policy(self, prefix: str, policy: Policy | None) -> None:
        if policy is None and prefix not in self.policies:
            return  # there is nothing to withdraw
        self.write_system(policy_write(prefix, policy))
        if policy is None:
            del self.policies[prefix]
        else:
            self.policies[prefix] = policy

    @rule(days=st.sampled_from([1, 20, 40]))
    def let_time_pass(self, days: int) -> None:
        self.now += days * 86_400

    @rule(prefix=st.sampled_from(PREFIXES), name=st.sampled_from(["a", "b"]), limit=limits)
    def search(self, prefix: str, name: str, limit: int) -> None:
        having = {templated(name), templated(name, version=2)}
        expected = sorted(
            identifier for identifier, known in self.model.items()
            if identifier.startswith(f"{prefix}/".encode()) and known.content in having
        )  # fmt: skip
        found: list[bytes] = []
        page = self.store.search(prefix, 2_000, name.encode(), None, limit)
        while page.cursor is not None:
            assert len(page.entries) == limit
            found += [entry.identifier for entry in page.entries]
            page = self.store.search(prefix, 2_000, name.encode(), page.cursor, limit)
        assert [*found, *(entry.identifier for entry in page.entries)] == expected

    @rule(identifier=identifiers)
    def look_back(self, identifier: bytes) -> None:
        known = self.model.get(identifier)
        expected = [] if known is None else [known, *self.earlier.get(identifier, [])]
        heads = list(map(split_body, self.store.history(identifier)))
        assert [(head.version, head.time, head.values) for head in heads] == [
            (one.version, one.time, one.content or b"\x90") for one in expected
        ]
        hidden = self.cut_above(identifier) or self.closed_above(identifier)
        if heads and known is not None and known.content is not None and not hidden:
            assert self.store.shown(identifier, self.store.history(identifier)[0]) == self.store.get(identifier)

    @rule(prefix=st.sampled_from(PREFIXES), stage=st.sampled_from([Stage.HOSTED, Stage.SUSPENDED, Stage.CLOSED]))
    def allot(self, prefix: str, stage: Stage) -> None:
        self.write_system(allot(prefix, stage))
        self.stages[prefix] = stage

    def write_system(self, write: Write) -> None:
        self.now += 1
        assert self.store.apply([write], self.now) == [self.expect(write)]

    @rule(identifier=identifiers, compare=compares)
    def withdraw(self, identifier: bytes, compare: int | str | None) -> None:
        self.apply([(identifier, compare, None)])

    @rule(wishes=st.dictionaries(identifiers, st.tuples(compares, contents | st.none()), max_size=30))
    def bulk_load(self, wishes: dict[bytes, tuple[int | str | None, bytes | None]]) -> None:
        writes = [self.wish(name, *wishes[name]) for name in sorted(wishes)]
        self.now += 1
        assert self.store.bulk_load(writes, self.now) == [self.expect(write) for write in writes]

    @rule(
        prefix=st.sampled_from(PREFIXES[:3]),
        start=st.integers(0, 60),
        count=st.sampled_from([1, 20, 70]),
        make=st.sampled_from([product, machine]),
    )
    def bulk_load_run(self, prefix: str, start: int, count: int, make: object) -> None:
        """A run of registrations, long enough for a dictionary."""
        assert callable(make)
        names = [f"{prefix}/N{number:04d}".encode() for number in range(start, start + count)]
        writes = [Write(name, ANY, make(number), restricted=False) for number, name in enumerate(names)]
        self.now += 1
        assert self.store.bulk_load(writes, self.now) == [self.expect(write) for write in writes]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = LmdbStore(self.directory)
        self.remembering = self.open_remembering()

    # Reading --------------------------------------------------------------------------------------

    def is_right(self, identifier: bytes, body: bytes | None) -> bool:
        known = self.model.get(identifier)
        if known is None or body is None:
            return known is None and body is None
        state = State.WITHDRAWN if known.content is None else State.ACTIVE
        return split_body(body) == (known.version, state, known.time, known.content or b"\x90")

    @rule(wanted=st.lists(identifiers, max_size=10), lower=st.booleans())
    def read(self, wanted: list[bytes], lower: bool) -> None:
        asked = [one.replace(b"88.118-A", b"88.118-a") if lower else one for one in wanted]
        for name, public in zip(wanted, self.store.get_many(asked), strict=True):
            assert self.is_right(name, self.store.find(name))
            known = self.model.get(name)
            if known is None or known.content is None or self.cut_above(name) or self.closed_above(name):
                assert public is None
                continue
            assert public is not None
            assert decode_body(public) == answered(name, self.store.find(name) or b"", self.templates())

    def templates(self) -> dict[bytes, bytes]:
        """The bodies of all templates."""
        return everything(self.store, TEMPLATES.decode())

    def closed_above(self, identifier: bytes) -> Status | None:
        """What the highest allotment above that is suspended or closed has to say."""
        prefix = identifier.partition(b"/")[0].decode() + "."
        above = [one for one in self.stages if prefix.startswith(one + ".") and self.stages[one] is not Stage.HOSTED]
        return None if not above else CLOSURES[self.stages[min(above, key=len)]]

    def cut_above(self, identifier: bytes) -> str | None:
        """The shortest prefix of the identifier's that is delegated."""
        prefix = identifier.partition(b"/")[0].decode()
        delegations = [(name, known) for name, known in self.model.items() if name.startswith(DELEGATIONS)]
        children = [name[12:].decode() for name, known in delegations if known.content]
        above = [child for child in children if child == prefix or prefix.startswith(child + ".")]
        return min(above, key=len, default=None)

    @rule(identifier=identifiers)
    def find_the_cut(self, identifier: bytes) -> None:
        cut = self.store.cut(identifier.partition(b"/")[0].decode())
        closure = self.closed_above(identifier)
        assert self.store.closure(identifier.partition(b"/")[0].decode()) == closure
        child = None if closure is not None else self.cut_above(identifier)
        if child is None or cut is None:
            assert child is cut is None
            return
        known = self.model[b"\x01delegation/" + child.encode()]
        assert cut == Cut(child, known.version, decode_body(self.store.find(b"\x01delegation/" + child.encode()) or b"")
                          .values[0].data)  # fmt: skip

    @rule(prefix=st.sampled_from(["", "88", "88.11", *PREFIXES]), limit=limits)
    def scan(self, prefix: str, limit: int) -> None:
        found = everything(self.store, prefix, limit)
        below = [one.split(b"/", 1) for one in self.model]
        within = [(name.decode(), suffix) for name, suffix in below]
        wanted = [one for one in within if not prefix or one[0] == prefix or one[0].startswith(prefix + ".")]
        order = sorted((name.encode(), suffix) for name, suffix in wanted)
        assert list(found) == [b"/".join(one) for one in order]
        assert all(self.is_right(name, body) for name, body in found.items())

    @rule(limit=limits)
    def follow_a_page(self, limit: int) -> None:
        page = self.store.feed(self.cursor, limit)
        assert len(page.entries) <= limit
        assert all(self.is_right(*entry) for entry in page.entries)
        self.replica.update(page.entries)
        self.cursor = page.cursor

    @rule(limit=limits)
    def follow_to_the_end(self, limit: int) -> None:
        self.cursor = follow(self.store, self.replica, self.cursor, limit)
        assert self.replica.keys() == self.model.keys()
        assert all(self.is_right(name, body) for name, body in self.replica.items())

    @precondition(lambda self: self.changes)
    @rule(limit=limits)
    def follow_from_the_beginning(self, limit: int) -> None:
        self.cursor, self.replica = None, {}
        self.follow_to_the_end(limit)

    @invariant()
    def a_cache_changes_nothing(self) -> None:
        """Asked for everything after every step, some of it twice, some alone, and for what is not there."""
        asked = sorted({*self.model, b"88.118/none"}) * 2
        expected = self.store.get_many(asked)
        self.remembering.rest()
        assert self.remembering.get_many(asked) == expected
        assert [self.remembering.get(identifier) for identifier in asked[:5]] == expected[:5]
        self.remembering.rest()

    @invariant()
    def counts_are_right(self) -> None:
        active: dict[str, int] = {}
        for name, known in self.model.items():
            prefix = name.partition(b"/")[0].decode()
            if not is_system(name):
                active[prefix] = active.get(prefix, 0) + (known.content is not None)
        assert self.store.counts()[:2] == (active, self.changes)


@pytest.mark.parametrize("least_sample", [50, 1_000])
def test_store_behaves_as_the_model(monkeypatch: pytest.MonkeyPatch, least_sample: int) -> None:
    """With dictionaries from loads of fifty, so that they come and go within an example; and without."""
    monkeypatch.setattr(writer, "LEAST_SAMPLE", least_sample)
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
