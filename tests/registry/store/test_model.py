"""The LMDB backend against a model that is one dictionary, through whatever sequence of calls."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

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

from protocol.records import State, Value, check_values, decode_body, encode_values, split_body
from protocol.referrals import Cut
from protocol.series import Series, parse_series
from protocol.status import Status
from registry.store.allotments import CLOSURES, Stage
from registry.store.history import DEFAULT, Policy, policy_write
from registry.store.lmdb import dictionaries
from registry.store.lmdb.cache import SHARDS
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.series import series_identifier
from registry.store.system import DELEGATIONS, TEMPLATES, is_system
from registry.store.templates import stored_template, template_identifier, template_write
from registry.store.writes import ABSENT, ANY, RESUME, SUSPEND, Outcome, Write
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

PATTERNS: Final = (
    "88.118/{0..9}", "88.118/1{0..3}", "88.118/1{2..5}", "88.118/{0E..1B;hex}x", "88.118/N{0010..0030}",
    "88.118/N001{8..B;hex}", "88.118.1/{1..4;gs1}", "88.118.1/3{4..9}", "88.118.1/a{0..2}b", "88.É/é{{{Y..Z;base36}}}",
)  # fmt: skip
"""Series of which some have members in common, with each other and with what is registered one by one."""

SERIES_CONTENTS: Final = (
    values("a"),
    values("https://example.com/{counter}?{{{suffix}}}"),
    encode_values([Value(1, "NAME", b"{identifier}"), Value(2, "COST", b"{prefix}", permissions=ADMIN_ONLY)]),
)

SERIES_OF: Final = {series_identifier(parse_series(pattern)): parse_series(pattern) for pattern in PATTERNS}
MEMBERS: Final = {
    f"{series.prefix}/".encode() + series.member(n): (record, series, n)
    for record, series in sorted(SERIES_OF.items(), reverse=True)
    for n in range(series.count)
}
"""One of the series of each member, for drawing members."""

identifiers = st.builds(lambda prefix, suffix: f"{prefix}/{suffix}".encode(), st.sampled_from(PREFIXES),
                        st.sampled_from(SUFFIXES)) | st.sampled_from(sorted(MEMBERS))  # fmt: skip
contents = st.sampled_from(CONTENTS)
compares = st.sampled_from([ANY, ABSENT, "now", "before", "after"])
limits = st.sampled_from([1, 2, 3, 10, 64, 1_000])


class Known(NamedTuple):
    """What the model knows of a record; ``content`` is None for a withdrawn one."""

    version: int
    content: bytes | None
    time: int
    suspended: bool = False

    @property
    def state(self) -> State:
        if self.content is None:
            return State.WITHDRAWN
        return State.SUSPENDED if self.suspended else State.ACTIVE


@cache
def filled(series: Series, n: int, content: bytes | None) -> bytes | None:
    """The content of a series for one member, in other words than the store's."""
    if content is None:
        return None
    suffix = series.member(n).decode()
    fields = {"prefix": series.prefix, "suffix": suffix, "identifier": f"{series.prefix}/{suffix}",
              "counter": series.alphabet.write(series.first + n, series.width).decode()}  # fmt: skip

    def data(value: Value) -> bytes:
        url = value.type == "URL"
        return value.text.format(**{name: quote(text) if url else text for name, text in fields.items()}).encode()

    return encode_values([
        Value(value.index, value.type, data(value), value.ttl, value.permissions, value.timestamp)
        for value in check_values(content)
    ])  # fmt: skip


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

    @initialize(some=st.booleans(), series=st.booleans())
    def begin(self, some: bool, series: bool) -> None:
        for prefix in PREFIXES:
            for version in (1, 2):
                self.write_system(template_write(template(prefix, version), ABSENT))
        if series:
            self.apply([(record, ANY, content) for record in SERIES_OF for content in SERIES_CONTENTS[1:2]])
        if some:
            self.load(sorted({f"{prefix}/{suffix}".encode() for prefix in PREFIXES for suffix in SUFFIXES}), product(1))

    # Writing --------------------------------------------------------------------------------------

    def expect(self, write: Write) -> Outcome:
        """What the model says to a write, and does."""
        known = self.seen(write.identifier)
        version = known.version if known else 0
        active = known is not None and known.content is not None
        if write.values in (SUSPEND, RESUME):
            return self.expect_switch(write, known)
        if known is None and (write.values is None or write.compare):
            return Outcome(Status.NOT_FOUND, 0, changed=False)
        if known is not None and known.content == write.values:
            return Outcome(Status.OK, version, changed=False)
        if active and write.values is not None and write.compare == ABSENT:
            return Outcome(Status.EXISTS, version, changed=False)
        fits = write.compare in (ANY, version) or (write.compare == ABSENT and not active)
        if not fits:
            return Outcome(Status.CONFLICT, version, changed=False)
        if known is None and write.identifier in SERIES_OF and self.meets_something(SERIES_OF[write.identifier]):
            return Outcome(Status.EXISTS, 0, changed=False)
        suspended = known is not None and known.suspended and write.values is not None
        self.keep(write.identifier)
        self.model[write.identifier] = Known(version + 1, write.values, self.now, suspended)
        self.changes += 1
        return Outcome(Status.OK, version + 1, changed=True)

    def expect_switch(self, write: Write, known: Known | None) -> Outcome:
        """What the model says to a wish to suspend or resume, and does."""
        if known is None or known.content is None:
            return Outcome(
                Status.WITHDRAWN if known else Status.NOT_FOUND, known.version if known else 0, changed=False
            )
        suspended = write.values == SUSPEND
        if known.suspended == suspended:
            return Outcome(Status.OK, known.version, changed=False)
        if write.compare not in (ANY, known.version):
            return Outcome(Status.CONFLICT, known.version, changed=False)
        self.keep(write.identifier)
        self.model[write.identifier] = Known(known.version + 1, known.content, self.now, suspended)
        self.changes += 1
        return Outcome(Status.OK, known.version + 1, changed=True)

    def seen(self, identifier: bytes) -> Known | None:
        """What there is under an identifier: a record of its own, or what a series says of its member."""
        return self.model.get(identifier) or self.members().get(identifier)

    def members(self) -> dict[bytes, Known]:
        """All members of all series, one by one."""
        found: dict[bytes, Known] = {}
        for record, series in SERIES_OF.items():
            known = self.model.get(record)
            if known is not None:
                for n in range(series.count):
                    member = f"{series.prefix}/".encode() + series.member(n)
                    found[member] = known._replace(content=filled(series, n, known.content))
        return found

    def meets_something(self, series: Series) -> bool:
        own = {f"{series.prefix}/".encode() + series.member(n) for n in range(series.count)}
        return not own.isdisjoint(self.model) or not own.isdisjoint(self.members())

    def keep(self, identifier: bytes) -> None:
        """Keep what a record of its own had."""
        known = self.model.get(identifier)
        if known is None or (is_system(identifier) and identifier not in SERIES_OF):
            return
        series = SERIES_OF.get(identifier)
        prefix = identifier.partition(b"/")[0].decode() if series is None else series.prefix
        above = [one for one in self.policies if f"{prefix}.".startswith(f"{one}.")]
        policy = self.policies[max(above, key=len)] if above else DEFAULT
        kept = [known, *self.earlier.get(identifier, [])][: policy.versions]
        gave_way = [self.now, *(one.time for one in kept)]
        old = self.now - policy.days * 86_400
        self.earlier[identifier] = [one for one, until in zip(kept, gave_way, strict=False) if until >= old]

    def wish(self, identifier: bytes, compare: int | str | None, content: bytes | None) -> Write:
        known = self.seen(identifier)
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

    @rule(record=st.sampled_from(sorted(SERIES_OF)), compare=compares, content=st.sampled_from(SERIES_CONTENTS))
    def register_series(self, record: bytes, compare: int | str | None, content: bytes) -> None:
        self.apply([(record, compare, content)])

    @precondition(lambda self: not self.model.keys().isdisjoint(SERIES_OF))
    @rule(data=st.data(), contents=st.lists(contents | st.sampled_from([None, SUSPEND, RESUME]), max_size=4))
    def write_to_members(self, data: st.DataObject, contents: list[bytes | None]) -> None:
        record = data.draw(st.sampled_from(sorted(self.model.keys() & SERIES_OF.keys())))
        series = SERIES_OF[record]
        members = st.integers(0, series.count - 1).map(lambda n: f"{series.prefix}/".encode() + series.member(n))
        self.apply([(data.draw(members), data.draw(compares), content) for content in contents])

    @precondition(lambda self: not self.model.keys().isdisjoint(SERIES_OF))
    @rule(data=st.data(), content=st.sampled_from([None, SUSPEND, RESUME, *SERIES_CONTENTS]))
    def change_series(self, data: st.DataObject, content: bytes | None) -> None:
        record = data.draw(st.sampled_from(sorted(self.model.keys() & SERIES_OF.keys())))
        self.apply([(record, ANY, content)])

    @rule(record=st.sampled_from(sorted(SERIES_OF)), compare=compares)
    def withdraw_series(self, record: bytes, compare: int | str | None) -> None:
        self.apply([(record, compare, None)])

    @rule(
        identifier=identifiers | st.sampled_from(sorted(SERIES_OF)),
        compare=compares,
        switch=st.sampled_from([SUSPEND, RESUME]),
    )
    def suspend_or_resume(self, identifier: bytes, compare: int | str | None, switch: bytes) -> None:
        self.apply([(identifier, compare, switch)])

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
            if identifier.startswith(f"{prefix}/".encode()) and known.content in having and not known.suspended
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
        for record, series in SERIES_OF.items():
            place = series.place(identifier.partition(b"/")[2]) if record in self.model else None
            if place is not None and identifier.startswith(f"{series.prefix}/".encode()):
                before = expected[-1].version if expected else 1 << 60
                older = [self.model[record], *self.earlier.get(record, [])]
                expected = expected + [
                    one._replace(content=filled(series, place, one.content)) for one in older if one.version < before
                ]
        heads = list(map(split_body, self.store.history(identifier)))
        assert [(head.version, head.time, head.values) for head in heads] == [
            (one.version, one.time, one.content or b"\x90") for one in expected
        ]
        hidden = self.cut_above(identifier) or self.closed_above(identifier)
        if heads and known is not None and known.state is State.ACTIVE and not hidden:
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
        known = self.seen(identifier)
        if known is None or body is None:
            return known is None and body is None
        return split_body(body) == (known.version, known.state, known.time, known.content or b"\x90")

    @rule(wanted=st.lists(identifiers, max_size=10), lower=st.booleans())
    def read(self, wanted: list[bytes], lower: bool) -> None:
        asked = [one.replace(b"88.118-A", b"88.118-a") if lower else one for one in wanted]
        for name, public in zip(wanted, self.store.get_many(asked), strict=True):
            assert self.is_right(name, self.store.find(name))
            known = self.seen(name)
            if known is None or known.state is not State.ACTIVE or self.cut_above(name) or self.closed_above(name):
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
        asked = sorted({*self.model, *self.members(), b"88.118/none"}) * 2
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
                active[prefix] = active.get(prefix, 0) + (known.state is State.ACTIVE)
        for name, known in self.members().items():
            prefix = name.partition(b"/")[0].decode()
            active[prefix] = active.get(prefix, 0) + (known.state is State.ACTIVE and name not in self.model)
        assert self.store.counts()[:2] == (active, self.changes)


@pytest.mark.parametrize("least_sample", [50, 1_000])
def test_store_behaves_as_the_model(monkeypatch: pytest.MonkeyPatch, least_sample: int) -> None:
    """With dictionaries from loads of fifty, so that they come and go within an example; and without."""
    monkeypatch.setattr(dictionaries, "LEAST_SAMPLE", least_sample)
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
