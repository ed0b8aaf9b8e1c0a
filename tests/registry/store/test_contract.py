"""One contract for every backend: what ``registry.store.interface`` promises and ``decide`` rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from protocol.errors import Refused, StoreError
from protocol.kept import encode_data
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES, MAX_RECORD_BYTES
from protocol.records import (
    DEFAULT_PERMISSIONS,
    Permission,
    State,
    Value,
    decode_body,
    encode_values,
    split_body,
)
from protocol.referrals import Cut
from protocol.status import Status
from protocol.templates import Item, Template
from registry.store.allotments import Stage
from registry.store.decide import decide
from registry.store.feed import BAD_CURSOR, DIVERGED, Position
from registry.store.history import Policy, as_of, policy_write
from registry.store.interface import Store
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.store.searching import index_everything
from registry.store.system import CODES, system_identifier, system_write
from registry.store.templates import NO_TEMPLATE, template_write
from registry.store.writes import ABSENT, ANY, Outcome, Write
from tests.registry.store.builders import (
    ADMIN_ONLY,
    allot,
    ascending,
    check_agreement,
    delegate,
    everything,
    follow,
    load_in_steps,
    machine,
    noise,
    product,
    put,
    revoke,
    template,
    templated,
    values,
    versions,
    withdraw,
)

BACKENDS: Final[dict[str, Callable[[Path], Store]]] = {
    "memory": lambda path: MemoryStore(),
    "lmdb": LmdbStore,
}

A, B, C = values("a"), values("b"), values("c")


@pytest.fixture(params=list(BACKENDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = BACKENDS[request.param](tmp_path / "store")
    yield opened
    check_agreement(opened)
    opened.close()


def outcome(status: Status, version: int, *, changed: bool = False) -> Outcome:
    return Outcome(status, version, changed)


def changed(version: int) -> Outcome:
    return Outcome(Status.OK, version, changed=True)


def unchanged(version: int) -> Outcome:
    return Outcome(Status.OK, version, changed=False)


# One write: every row of the rule --------------------------------------------------------------------

NEVER: Final[list[Write]] = []
ACTIVE: Final = [put("88.1/x", A), put("88.1/x", B)]  # version 2, content B
WITHDRAWN: Final = [*ACTIVE, withdraw("88.1/x")]  # version 3

RULE: Final = [
    # what happened before, compare, content (None withdraws), outcome
    (NEVER, ANY, A, changed(1)),
    (NEVER, ABSENT, A, changed(1)),
    (NEVER, 1, A, outcome(Status.NOT_FOUND, 0)),
    (NEVER, ANY, None, outcome(Status.NOT_FOUND, 0)),
    (NEVER, ABSENT, None, outcome(Status.NOT_FOUND, 0)),
    (NEVER, 7, None, outcome(Status.NOT_FOUND, 0)),
    (ACTIVE, ANY, C, changed(3)),
    (ACTIVE, ANY, A, changed(3)),
    (ACTIVE, ANY, B, unchanged(2)),
    (ACTIVE, ABSENT, B, unchanged(2)),
    (ACTIVE, ABSENT, C, outcome(Status.EXISTS, 2)),
    (ACTIVE, 2, C, changed(3)),
    (ACTIVE, 2, B, unchanged(2)),
    (ACTIVE, 1, C, outcome(Status.CONFLICT, 2)),
    (ACTIVE, 3, C, outcome(Status.CONFLICT, 2)),
    (ACTIVE, 1, B, unchanged(2)),  # the wanted content is there: sent again
    (ACTIVE, ANY, None, changed(3)),
    (ACTIVE, 2, None, changed(3)),
    (ACTIVE, 1, None, outcome(Status.CONFLICT, 2)),
    (ACTIVE, ABSENT, None, outcome(Status.CONFLICT, 2)),
    (WITHDRAWN, ANY, None, unchanged(3)),
    (WITHDRAWN, 2, None, unchanged(3)),  # sent again
    (WITHDRAWN, ANY, B, changed(4)),
    (WITHDRAWN, ABSENT, C, changed(4)),
    (WITHDRAWN, 3, C, changed(4)),
    (WITHDRAWN, 2, C, outcome(Status.CONFLICT, 3)),
]


def many(name: str) -> Callable[[Store, list[Write], int], list[Outcome]]:
    return lambda store, writes, now: getattr(store, name)(writes, now)


@pytest.fixture(params=["apply", "bulk_load"])
def write(request: pytest.FixtureRequest) -> Callable[[Store, list[Write], int], list[Outcome]]:
    return many(request.param)


@pytest.mark.parametrize(("before", "compare", "content", "expected"), RULE)
def test_outcome_of_a_write(
    store: Store,
    write: Callable[[Store, list[Write], int], list[Outcome]],
    before: list[Write],
    compare: int | None,
    content: bytes | None,
    expected: Outcome,
) -> None:
    for one in before:
        store.apply([one], 10)
    old = store.find(b"88.1/x")
    assert write(store, [Write(b"88.1/x", compare, content, restricted=False)], 20) == [expected]
    body = store.find(b"88.1/x")
    if not expected.changed:
        assert body == old
        return
    assert body is not None
    head = split_body(body)
    assert head == (
        expected.version,
        State.WITHDRAWN if content is None else State.ACTIVE,
        20,
        b"\x90" if content is None else content,
    )
    assert store.get_many([b"88.1/x"]) == [None if content is None else body]


@pytest.mark.parametrize(("before", "compare", "content", "expected"), RULE)
def test_rule_without_a_store(
    before: list[Write], compare: int | None, content: bytes | None, expected: Outcome
) -> None:
    head = None
    for one in before:
        _, body = decide(one, head, 10)
        assert body is not None
        head = split_body(body)
    result, body = decide(Write(b"88.1/x", compare, content), head, 20)
    assert result == expected
    assert (body is not None) == expected.changed


def test_a_write_that_is_sent_again_changes_nothing(store: Store) -> None:
    for one in [put("88.1/x", A, ABSENT), put("88.1/x", B, 1), withdraw("88.1/x", 2)]:
        first, again = store.apply([one], 10)[0], store.apply([one], 11)[0]
        assert first.changed
        assert again == (Status.OK, first.version, False)
    assert store.counts().changes == 3
    assert split_body(store.find(b"88.1/x") or b"").time == 10


def test_versions_count_on_over_withdrawal(store: Store) -> None:
    for version in range(1, 12, 2):
        assert store.apply([put("88.1/x", A, ABSENT)], version) == [changed(version)]
        assert store.apply([withdraw("88.1/x", version)], version) == [changed(version + 1)]


def test_writes_of_a_batch_are_carried_out_in_order(store: Store) -> None:
    outcomes = store.apply(
        [
            put("88.1/x", A, ABSENT),
            put("88.1/x", B, 1),
            put("88.1/y", A, 5),
            put("88.1/x", C, 1),
            withdraw("88.1/x"),
            put("88.1/x", C, ABSENT),
            withdraw("88.2/never"),
        ],
        10,
    )
    assert outcomes == [
        changed(1),
        changed(2),
        outcome(Status.NOT_FOUND, 0),
        outcome(Status.CONFLICT, 2),
        changed(3),
        changed(4),
        outcome(Status.NOT_FOUND, 0),
    ]
    assert list(everything(store)) == [b"88.1/x"]
    assert store.counts()[:2] == ({"88.1": 1}, 4)


def test_an_empty_batch_is_nothing(store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]) -> None:
    assert write(store, [], 10) == []
    assert store.counts().changes == 0


def test_a_prefix_that_nothing_was_written_under_is_not_counted(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    write(store, [withdraw("88.7/a"), put("88.7/b", A, 3)], 10)
    assert store.counts().active == {}
    assert store.scan("", None, 10).entries == []


def test_counts(store: Store) -> None:
    store.apply([put("88.1/x"), put("88.1/y"), put("88.1.1/x"), put("88.2/x")], 10)
    store.apply([put("88.1/x", B), withdraw("88.2/x"), withdraw("88.2/x"), put("88.1/y", C, 9)], 11)
    assert store.counts().active == {"88.1": 2, "88.1.1": 1, "88.2": 0}
    assert store.counts().changes == 6
    store.bulk_load([put("88.2/w"), put("88.2/x"), put("88.2/y")], 12)
    assert store.counts().active == {"88.1": 2, "88.1.1": 1, "88.2": 3}
    assert store.counts().changes == 9
    assert store.counts().bytes_used >= 0


# Reading one or many ---------------------------------------------------------------------------------


def test_get_many_keeps_order_and_repeats(store: Store) -> None:
    store.apply([put("88.1/x", A), put("88.1/y", B), put("88.2/x", C)], 10)
    x, y, z = (store.find(one) for one in (b"88.1/x", b"88.1/y", b"88.2/x"))
    wanted = [b"88.2/x", b"88.1/y", b"88.1/none", b"88.1/x", b"88.1/y", b"88.9/x", b"88.2/x"]
    assert store.get_many(wanted) == [z, y, None, x, y, None, z]
    assert store.get_many([]) == []


def test_get_many_takes_any_spelling_of_the_prefix(store: Store) -> None:
    store.apply([put("88.ABC.X1/aB", A), put("88.ÀÉ/x", B)], 10)
    body = store.find(b"88.ABC.X1/aB")
    assert body is not None
    assert store.get_many([b"88.abc.x1/aB", b"88.aBc.X1/aB", b"88.ABC.X1/aB"]) == [body] * 3
    assert store.get_many([b"88.abc.x1/ab", b"88.abc.x1/AB"]) == [None, None]  # the suffix is case-sensitive
    assert store.get_many(["88.ÀÉ/x".encode(), "88.àé/x".encode()]) == [store.find("88.ÀÉ/x".encode()), None]


MALFORMED: Final = [
    b"",
    b"/",
    b"88.1",
    b"88.1/",
    b"/x",
    b".88.1/x",
    b"88..1/x",
    b"88.1./x",
    b"88.1/x\x00",
    b"88.1/\x00x",
    b"88.1\x00/x",
    b"88.1/x\n",
    b"88.1/\xff\xfe",
    b"\xff/x",
    b"88.1/" + b"x" * 476,
    b"88.1/" + b"x" * 506,
    b"88.1/" + b"x" * 507,
    b"88.1/" + b"x" * 70_000,
    b"8" * 65 + b"/x",
    b"8" * 512 + b"/x",
    b"8" * 70_000 + b"/x",
    b"\x00\x00\x01x",
    b"\xff\xff\xff/",
]


def test_get_many_finds_nothing_under_malformed_identifiers(store: Store) -> None:
    store.apply([put("88.1/x", A)], 10)
    body = store.find(b"88.1/x")
    assert body is not None
    mixed = [one for malformed in MALFORMED for one in (malformed, b"88.1/x")]
    assert store.get_many(mixed) == [None, body] * len(MALFORMED)
    assert [store.get(one) for one in mixed] == [None, body] * len(MALFORMED)
    assert store.get_many(MALFORMED[14:21] * 200) == [None] * 1_400


def test_find_gives_withdrawn_records_get_many_does_not(store: Store) -> None:
    store.apply([put("88.1/x", A), withdraw("88.1/x")], 10)
    assert store.get_many([b"88.1/x"]) == [None]
    assert decode_body(store.find(b"88.1/x") or b"") == (2, State.WITHDRAWN, 10, ())
    assert store.find(b"88.1/y") is None
    assert store.find(b"88.2/x") is None


def test_restricted_values_are_for_find_only(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    public = Value(1, "URL", b"https://example.com/", ttl=60, timestamp=7)
    secret = Value(2, "COST", b"secret", permissions=ADMIN_ONLY)
    cases = {"88.1/mixed": [public, secret], "88.1/none": [secret], "88.1/public": [public]}
    write(store, [Write(one.encode(), ANY, encode_values(content)) for one, content in cases.items()], 10)
    expected = [(public,), (), (public,)]
    for identifier, body in zip(cases, store.get_many([one.encode() for one in cases]), strict=True):
        assert body is not None
        assert b"secret" not in body
        assert b"COST" not in body
        assert decode_body(body) == (1, State.ACTIVE, 10, expected[list(cases).index(identifier)])
    for entries in (everything(store), dict(store.feed(None, 10).entries)):
        assert {one: list(decode_body(body).values) for one, body in entries.items()} == {
            one.encode(): content for one, content in cases.items()
        }
    for one, content in cases.items():
        assert list(decode_body(store.find(one.encode()) or b"").values) == content


def test_a_record_may_turn_restricted_and_back(store: Store) -> None:
    open_values, closed = values("same"), values("same", permissions=DEFAULT_PERMISSIONS & ~Permission.PUBLIC_READ)
    store.apply([Write(b"88.1/x", ANY, open_values, restricted=False)], 1)
    store.apply([Write(b"88.1/x", ANY, closed, restricted=True)], 2)
    (body,) = store.get_many([b"88.1/x"])
    assert decode_body(body or b"").values == ()
    store.apply([Write(b"88.1/x", ANY, open_values, restricted=False)], 3)
    assert store.get_many([b"88.1/x"]) == [store.find(b"88.1/x")]


# Records that follow a template ----------------------------------------------------------------------


def test_a_record_that_follows_a_template(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    """Kept as it was written; answered with types, times to live and what is computed, and for everybody only."""
    store.apply([template_write(template(), ABSENT)], 1)
    names = [f"88.1/{name}" for name in ("a", "b/c", "z", "号")]
    assert write(store, [put(one, templated(one)) for one in names], 10) == [changed(1)] * 4
    assert write(store, [put(one, templated(one)) for one in names], 11) == [unchanged(1)] * 4
    for name in names:
        assert split_body(store.find(name.encode()) or b"") == (1, State.ACTIVE, 10, templated(name))
        expected = (
            Value(2000, "NAME", name.encode(), ttl=60),
            Value(2003, "URL", f"https://example.com/{name[5:]}".encode()),
            Value(2004, "LOT", b"B2311"),
        )
        assert decode_body(store.get(name.encode()) or b"") == (1, State.ACTIVE, 10, expected)
    assert store.get_many([one.encode() for one in names]) == [store.get(one.encode()) for one in names]
    assert {split_body(body).values for name, body in everything(store, "88.1").items()} == set(map(templated, names))
    assert store.counts().active == {"88.1": 4}


def test_computed_values_are_of_the_normal_form(store: Store) -> None:
    whole = template("88.A", page="{prefix}|{identifier}")
    only = Template("88.A", 1, "t", "", whole.items[3:4])
    store.apply([template_write(only, ABSENT), put("88.A/x", encode_data(1, []))], 1)
    for spelt in (b"88.a/x", b"88.A/x"):
        (value,) = decode_body(store.get(spelt) or b"").values
        assert value.data == b"88.A|88.A/x"
    # Their builder has no other field than the suffix.
    store.apply([template_write(Template("88.A", 1, "t", "", template("88.A").items[3:4]), ANY)], 2)


def test_records_of_all_forms_in_one_batch(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    store.apply([template_write(template(version=version), ABSENT) for version in (1, 2, 300)], 1)
    secret = values("secret", permissions=ADMIN_ONLY)
    contents = [A, templated(), secret, templated(version=2), templated(version=300), product(1)]
    writes = [Write(f"88.1/{n:03d}".encode(), ABSENT, contents[n % 6], n % 6 == 2) for n in range(60)]
    write(store, writes, 10)
    bodies = store.get_many([one.identifier for one in writes])
    assert [len(decode_body(body or b"").values) for body in bodies[:6]] == [1, 3, 0, 3, 3, 3]
    check_agreement(store)


def test_a_record_may_begin_to_follow_a_template_and_end(store: Store) -> None:
    store.apply([template_write(template(), ABSENT)], 1)
    for version, content in enumerate([A, templated(), templated("other"), B, templated()], start=1):
        assert store.apply([put("88.1/x", content)], version) == [changed(version)]
        check_agreement(store)
    store.apply([withdraw("88.1/x")], 9)
    assert store.get(b"88.1/x") is None
    store.apply([put("88.1/x", templated(), ABSENT)], 10)


def test_templates_are_those_of_the_records_own_prefix(store: Store) -> None:
    """Not of one above or below, nor of another version; and it is said that one is missing."""
    store.apply([template_write(template(prefix), ABSENT) for prefix in ("88", "88.1.1", "88.10")], 1)
    store.apply([template_write(template(version=2), ABSENT), put("88.1/x", templated())], 1)
    for attempt in (lambda: store.get(b"88.1/x"), lambda: store.get_many([b"88.1/none", b"88.1/x"])):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.rule is NO_TEMPLATE
    assert store.get_many([b"88.1/none"]) == [None]
    store.apply([template_write(template(), ABSENT)], 2)
    assert store.get(b"88.1/x") is not None


def test_an_item_that_is_disabled_stays_in_answers(store: Store) -> None:
    store.apply([template_write(template(), ABSENT), put("88.1/x", templated())], 1)
    before = store.get(b"88.1/x")
    assert store.apply([template_write(template().disable([2000, 2003]), 1)], 2) == [changed(2)]
    assert store.get(b"88.1/x") == before is not None


def test_records_below_a_delegated_prefix_are_not_expanded(store: Store) -> None:
    store.apply([template_write(template(), ABSENT), put("88.1/x", templated()), delegate("88")], 1)
    assert store.get_many([b"88.1/x", b"\x01template/88.1/000001"]) == [None, None]


def largest_values(seed: int) -> bytes:
    """The encoded values of the largest record there may be."""
    draw = random.Random(seed)
    parts = [Value(1, "BLOB", draw.randbytes(MAX_DATA_BYTES)), Value(2, "BLOB", b"")]
    room = MAX_RECORD_BYTES - len(encode_values(parts)) - 1  # its length takes one byte more
    return encode_values([parts[0], Value(2, "BLOB", draw.randbytes(room))])


def test_records_and_identifiers_of_maximum_size(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    assert len(largest_values(0)) == MAX_RECORD_BYTES
    prefix = "8" * MAX_PREFIX_BYTES
    names = [
        "8/" + "s" * (MAX_IDENTIFIER_BYTES - 2),
        f"{prefix}/" + "s" * (MAX_IDENTIFIER_BYTES - MAX_PREFIX_BYTES - 1),
        f"{prefix}/" + "标" * ((MAX_IDENTIFIER_BYTES - MAX_PREFIX_BYTES - 1) // 3),
        f"{prefix}/x",
    ]
    names.sort(key=str.encode)
    writes = [put(one, largest_values(number)) for number, one in enumerate(names)]
    assert versions(write(store, writes, 10)) == [1] * len(names)
    assert versions(write(store, writes, 11)) == [1] * len(names)
    for one, body in zip(writes, store.get_many([one.identifier for one in writes]), strict=True):
        assert body is not None
        assert body == store.find(one.identifier)
        assert split_body(body).values == one.values
    assert list(everything(store, limit=1)) == [one.identifier for one in sorted(writes, key=lambda one: one[0])]
    replica: dict[bytes, bytes] = {}
    follow(store, replica, limit=1)
    assert replica == everything(store)
    assert versions(store.apply([withdraw(one) for one in names], 12)) == [2] * len(names)


@pytest.mark.parametrize("length", [1, 2, 30, 31, 32, 255, 256, 65_535 // 4])
def test_bodies_of_any_length_come_back(store: Store, length: int) -> None:
    store.apply([put("88.1/flat", encode_values([Value(1, "T", b"\0" * length)])), put("88.1/n", noise(1, length))], 1)
    flat, rough = store.get_many([b"88.1/flat", b"88.1/n"])
    assert decode_body(flat or b"").values[0].data == b"\0" * length
    assert split_body(rough or b"").values == noise(1, length)


# Lists -----------------------------------------------------------------------------------------------

NEIGHBOURS: Final = [
    "87", "88", "88.117", "88.118", "88.118-5", "88.118.1", "88.118.1.7", "88.118.10", "88.118.2", "88.1180",
    "88.1180.1", "88.119", "88.118.É", "89",
]  # fmt: skip
SUFFIXES: Final = ("a", "b/c", "b", "z 1", "标识")


def fill_neighbours(store: Store) -> None:
    writes = [put(f"{prefix}/{suffix}") for prefix in NEIGHBOURS for suffix in SUFFIXES]
    random.Random(1).shuffle(writes)
    store.apply(writes, 10)
    store.apply([withdraw(f"{prefix}/b") for prefix in NEIGHBOURS], 11)


ZONES: Final = {
    "": set(NEIGHBOURS),
    "88": set(NEIGHBOURS) - {"87", "89"},
    "88.118": {"88.118", "88.118.1", "88.118.1.7", "88.118.10", "88.118.2", "88.118.É"},
    "88.118.1": {"88.118.1", "88.118.1.7"},
    "88.118.10": {"88.118.10"},
    "88.1180": {"88.1180", "88.1180.1"},
    "88.11": set(),
    "88.118.": set(),
    "88.118.1.7.7": set(),
    "88.118.É": {"88.118.É"},
    "9": set(),
}


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 1_000])
@pytest.mark.parametrize("zone", list(ZONES))
def test_scan_covers_the_prefix_and_what_lies_below(store: Store, zone: str, limit: int) -> None:
    fill_neighbours(store)
    found = everything(store, zone, limit)
    order = sorted((prefix.encode(), suffix.encode()) for prefix in ZONES[zone] for suffix in SUFFIXES)
    assert list(found) == [b"/".join(one) for one in order]
    for identifier, body in found.items():
        assert split_body(body).state is (State.WITHDRAWN if identifier.endswith(b"/b") else State.ACTIVE)


def test_scan_of_an_empty_store(store: Store) -> None:
    assert store.scan("", None, 10) == ([], None)
    assert store.scan("88.118", None, 1) == ([], None)


def test_scan_has_no_cursor_when_a_page_is_just_full(store: Store) -> None:
    store.apply([put(f"88.1/{number}") for number in range(6)], 10)
    first = store.scan("88.1", None, 3)
    assert len(first.entries) == 3
    assert first.cursor is not None
    second = store.scan("88.1", first.cursor, 3)
    assert [one.identifier for one in second.entries] == [b"88.1/3", b"88.1/4", b"88.1/5"]
    assert second.cursor is None
    assert store.scan("88.1", None, 6).cursor is None


def test_scan_goes_on_behind_its_cursor_whatever_changed_meanwhile(store: Store) -> None:
    store.apply([put(f"88.1/{number}") for number in "13579"], 10)
    page = store.scan("88.1", None, 2)
    assert [one.identifier for one in page.entries] == [b"88.1/1", b"88.1/3"]
    store.apply([put("88.1/2"), put("88.1/31"), put("88.1/4"), withdraw("88.1/3")], 11)
    rest = store.scan("88.1", page.cursor, 100)
    assert [one.identifier for one in rest.entries] == [b"88.1/31", b"88.1/4", b"88.1/5", b"88.1/7", b"88.1/9"]
    assert rest.cursor is None


def test_scan_cursor_at_the_last_record_of_a_prefix(store: Store) -> None:
    store.apply([put("88.1/a"), put("88.1/b"), put("88.1.1/a"), put("88.10/a"), put("88.2/a")], 10)
    page = store.scan("88", None, 2)
    assert [one.identifier for one in page.entries] == [b"88.1/a", b"88.1/b"]
    assert [one.identifier for one in store.scan("88", page.cursor, 9).entries] == [b"88.1.1/a", b"88.10/a", b"88.2/a"]


@pytest.mark.parametrize("cursor", [b"", b"x", b"\xff\xff", b"88.118"])
def test_scan_refuses_a_cursor_that_is_not_ours(store: Store, cursor: bytes) -> None:
    store.apply([put("88.1/a")], 10)
    with pytest.raises(StoreError) as caught:
        store.scan("88.1", cursor, 10)
    assert caught.value.rule is BAD_CURSOR
    assert caught.value.status == Status.BAD_REQUEST


@pytest.mark.parametrize("cursor", [b"/", b"\xff/\xff", b"88.1/" + b"\xff" * 506, b"/" * 512, b"88.1/\x00", b"77/a"])
def test_scan_survives_any_cursor(store: Store, cursor: bytes) -> None:
    store.apply([put("88.1/a"), put("88.2/a")], 10)
    prefix, _, suffix = cursor.partition(b"/")
    expected = [one for one in (b"88.1/a", b"88.2/a") if tuple(one.split(b"/")) > (prefix, suffix)]
    assert [one.identifier for one in store.scan("88", cursor, 10).entries] == expected


# The feed --------------------------------------------------------------------------------------------

LIMITS: Final = [1, 2, 3, 7, 64, 65, 10_000]


def history(store: Store) -> None:
    """Single changes and bulk loads of every kind, one after the other."""
    store.apply([put(f"88.1/{number:03d}") for number in range(70)], 1)
    store.bulk_load(ascending("88.2", range(40)), 2)
    store.apply([put("88.2/N000003", A), withdraw("88.2/N000005"), put("88.1/001", B), put("88.2/N0000035", C)], 3)
    store.bulk_load(ascending("88.2", range(30, 60)), 4)  # over and after
    store.bulk_load(ascending("88.1", range(5)) + ascending("88.3", range(5)), 5)
    store.apply([put("88.2/N000003", B), put("88.2/N000003", C), withdraw("88.1/000")], 6)
    store.bulk_load([withdraw("88.3/N000001"), put("88.3/N000002", A), put("88.3/N000002x", A)], 7)


@pytest.mark.parametrize("limit", LIMITS)
def test_who_follows_the_feed_has_the_same_records(store: Store, limit: int) -> None:
    history(store)
    replica: dict[bytes, bytes] = {}
    follow(store, replica, limit=limit)
    assert replica == everything(store)
    assert len(replica) == 70 + 60 + 1 + 5 + 5 + 1


@pytest.mark.parametrize("limit", LIMITS)
def test_feed_while_the_records_change(store: Store, limit: int) -> None:
    """After each page something changes: in what was given, in what is to come, and between."""
    history(store)
    replica: dict[bytes, bytes] = {}
    cursor: bytes | None = None
    changes = [
        put("88.2/N000001", machine(1)), put("88.2/N000059", machine(2)), put("88.2/N0000011", A),
        put("88.2/N0000591", A), withdraw("88.2/N000058"), withdraw("88.2/N000000"), put("88.0/new", A),
        put("88.2/A", A), put("88.2/Z", A), withdraw("88.2/N000059"), put("88.2/N000059", A),
    ]  # fmt: skip
    for count, one in enumerate(changes):
        page = store.feed(cursor, limit)
        replica.update(page.entries)
        cursor = page.cursor
        if count == 5:
            store.bulk_load(ascending("88.2", range(20, 45)), 9)
        if count == 7:
            store.bulk_load(ascending("88.2.1", range(20)), 9)
        assert store.apply([one], 10 + count)[0].changed
    follow(store, replica, cursor, limit)
    assert replica == everything(store)


@pytest.mark.parametrize("limit", [1, 19, 20, 21, 39, 40, 41])
def test_feed_resumes_inside_a_bulk_load(store: Store, limit: int) -> None:
    store.bulk_load(ascending("88.2", range(40)), 1)
    page = store.feed(None, limit)
    assert [one.identifier for one in page.entries] == [b"88.2/N%06d" % n for n in range(min(limit, 40))]
    assert page.more == (limit < 40)
    again = store.feed(None, limit)
    assert again == page
    replica = dict(page.entries)
    store.apply([put("88.2/N000000", A), withdraw("88.2/N000039"), put("88.2/N0000385", A)], 2)
    follow(store, replica, page.cursor, limit)
    assert replica == everything(store)
    assert len(replica) == 41


def test_feed_gives_a_record_as_it_is_now(store: Store) -> None:
    store.apply([put("88.1/x", A)], 1)
    store.apply([put("88.1/x", B), put("88.1/y", A)], 2)
    store.apply([put("88.1/x", C)], 3)
    now = store.find(b"88.1/x")
    page = store.feed(None, 1)
    assert page.entries == [(b"88.1/x", now)]
    assert page.more
    assert dict(store.feed(None, 100).entries)[b"88.1/x"] == now


def test_feed_gives_only_what_came_later(store: Store) -> None:
    assert store.feed(None, 10)[0::2] == ([], False)
    start = store.feed(None, 10).cursor
    store.apply([put("88.1/x", A), put("88.1/y", A)], 1)
    page = store.feed(start, 10)
    assert [one.identifier for one in page.entries] == [b"88.1/x", b"88.1/y"]
    assert store.feed(page.cursor, 10) == ([], page.cursor, False)
    store.apply([put("88.1/x", A), put("88.1/y", B, 7), withdraw("88.1/none")], 2)  # no change in it
    assert store.feed(page.cursor, 10) == ([], page.cursor, False)
    store.apply([withdraw("88.1/y")], 3)
    after = store.feed(page.cursor, 10)
    assert [(one.identifier, split_body(one.body).state) for one in after.entries] == [(b"88.1/y", State.WITHDRAWN)]
    store.bulk_load(ascending("88.2", range(3)), 4)
    last = store.feed(after.cursor, 2)
    assert [one.identifier for one in last.entries] == [b"88.2/N000000", b"88.2/N000001"]
    assert last.more
    assert [one.identifier for one in store.feed(last.cursor, 2).entries] == [b"88.2/N000002"]


@pytest.mark.parametrize("cursor", [b"", b"123456789012345"])
def test_feed_refuses_a_cursor_that_is_not_ours(store: Store, cursor: bytes) -> None:
    store.apply([put("88.1/x")], 1)
    with pytest.raises(StoreError) as caught:
        store.feed(cursor, 10)
    assert caught.value.rule is BAD_CURSOR


def test_a_cursor_behind_the_end_is_of_another_feed(store: Store) -> None:
    store.apply([put("88.1/x")], 1)
    for number in (2, (1 << 64) - 1):
        with pytest.raises(StoreError) as caught:
            store.feed(Position(number, b"whatever").cursor(), 10)
        assert caught.value.rule is DIVERGED


# Bulk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40, 1_500])
def test_bulk_load_into_nothing(store: Store, count: int) -> None:
    writes = ascending("88.1", range(count), ABSENT)
    assert store.bulk_load(writes, 10) == [changed(1)] * count
    assert store.counts()[:2] == ({"88.1": count}, count)
    assert everything(store) == {one.identifier: store.find(one.identifier) for one in writes}
    assert split_body(store.find(writes[-1].identifier) or b"") == (1, State.ACTIVE, 10, writes[-1].values)


@pytest.mark.parametrize("count", [40, 1_500])
def test_bulk_load_again_changes_nothing(store: Store, count: int) -> None:
    writes = ascending("88.1", range(count), ABSENT)
    store.bulk_load(writes, 10)
    before = everything(store)
    assert store.bulk_load(writes, 11) == [unchanged(1)] * count
    assert everything(store) == before
    assert store.counts().changes == count


def test_bulk_load_can_be_taken_up_at_any_point(store: Store) -> None:
    writes = ascending("88.1", range(60), ABSENT)
    store.bulk_load(writes[:35], 10)
    outcomes = store.bulk_load(writes, 11)
    assert outcomes == [unchanged(1)] * 35 + [changed(1)] * 25


@pytest.mark.parametrize("count", [30, 1_200])
@pytest.mark.parametrize(
    ("first", "where"), [(0, "before"), (10_000, "between"), (30_000, "after"), (4_990, "over"), (20_010, "over")]
)
def test_bulk_load_beside_and_over_existing_records(store: Store, first: int, where: str, count: int) -> None:
    there = [*range(5_000, 5_020), *range(20_000, 20_020)]
    store.apply([put(f"88.1/N{number:06d}", A) for number in there], 1)
    store.apply([put("88.0/x"), put("88.2/x"), put("88.1.0/x"), withdraw("88.1/N020015"), withdraw("88.1/N005005")], 2)
    kept = everything(store)
    loaded = range(first, first + count)
    outcomes = store.bulk_load(ascending("88.1", loaded), 3)
    assert (where == "over") == bool(set(loaded) & set(there))
    expected = [(3 if number in (20_015, 5_005) else 2) if number in there else 1 for number in loaded]
    assert outcomes == [changed(version) for version in expected]
    records = everything(store)
    assert set(records) == set(kept) | {b"88.1/N%06d" % number for number in loaded}
    for identifier, body in records.items():
        if identifier.startswith(b"88.1/N") and int(identifier[6:]) in loaded:
            assert split_body(body)[1:] == (State.ACTIVE, 3, product(int(identifier[6:])))
        else:
            assert body == kept[identifier]


def test_bulk_load_of_several_prefixes(store: Store) -> None:
    store.apply([put("88.2/N000005", A), put("88.9/x", A)], 1)
    writes = [
        *ascending("88.1", range(20)), *ascending("88.1.1", range(20)), *ascending("88.10", range(20)),
        *ascending("88.2", range(20)), *ascending("88.3", range(20)),
    ]  # fmt: skip
    writes.sort(key=lambda one: one.identifier)  # the order of identifiers is not that of prefixes
    outcomes = dict(zip((one.identifier for one in writes), store.bulk_load(writes, 2), strict=True))
    assert outcomes.pop(b"88.2/N000005") == changed(2)
    assert set(outcomes.values()) == {changed(1)}
    assert store.counts().active == {"88.1": 20, "88.1.1": 20, "88.10": 20, "88.2": 20, "88.3": 20, "88.9": 1}
    assert [len(everything(store, zone)) for zone in ("88.1", "88.1.1", "88.10", "88", "")] == [40, 20, 20, 101, 101]


def test_bulk_load_compares(store: Store) -> None:
    store.apply([put(f"88.1/{name}", A) for name in "abcd"], 1)
    outcomes = store.bulk_load(
        [
            put("88.1/a", B, 1),
            put("88.1/b", B, 2),
            put("88.1/c", B, ABSENT),
            withdraw("88.1/d"),
            withdraw("88.1/e"),
            put("88.1/f", B, ABSENT),
            put("88.1/g", B, 1),
        ],
        2,
    )
    assert outcomes == [
        changed(2),
        outcome(Status.CONFLICT, 1),
        outcome(Status.EXISTS, 1),
        changed(2),
        outcome(Status.NOT_FOUND, 0),
        changed(1),
        outcome(Status.NOT_FOUND, 0),
    ]


def test_bulk_load_of_unlike_and_restricted_records(store: Store) -> None:
    """Some compress well, some not at all, some are not for everybody: each comes back as it went in."""
    secret = encode_values([Value(1, "URL", b"x" * 90), Value(2, "COST", b"secret", permissions=ADMIN_ONLY)])
    writes = []
    for number in range(1_500):
        content = [product(number), machine(number), noise(number, 40), noise(number, 300), secret][number % 5]
        writes.append(Write(b"88.1/%06d" % number, ABSENT, content, restricted=content is secret))
    load_in_steps(store, writes, 10)
    for one, body in zip(writes, store.get_many([one.identifier for one in writes]), strict=True):
        whole = store.find(one.identifier)
        assert whole is not None
        assert body is not None
        assert split_body(whole).values == one.values
        assert (body == whole) == (not one.restricted)
        assert b"secret" not in body


# What a zone keeps about itself, and where it is cut ------------------------------------------------------

NAMES: Final = ("88.118/x", "88.118.1/x", "88.118.1.9/x", "88.118.10/x", "88.118.A/x")


def answered(store: Store) -> list[str]:
    """Those of the names that anybody gets, asked one by one and together."""
    store.rest()
    one_by_one = [store.get(name.encode()) for name in NAMES]
    assert store.get_many([name.encode() for name in NAMES]) == one_by_one
    for name, body in zip(NAMES, one_by_one, strict=True):
        assert store.get_many([name.encode()] * 3) == [body] * 3
        assert store.get(name.lower().encode()) == body
        assert store.find(name.encode()) is not None
    return [name for name, body in zip(NAMES, one_by_one, strict=True) if body is not None]


def test_a_delegated_prefix_is_cut_off(store: Store) -> None:
    store.apply([put(name) for name in NAMES], 1)
    assert answered(store) == list(NAMES)
    assert store.cut("88.118.1.9") is None
    assert store.apply([delegate("88.118.1", b"first", ABSENT)], 2) == [changed(1)]
    assert answered(store) == ["88.118/x", "88.118.10/x", "88.118.A/x"]
    for below in ("88.118.1", "88.118.1.9", "88.118.1.9.9"):
        assert store.cut(below) == Cut("88.118.1", 1, b"first")
    for beside in ("88.118", "88.118.10", "88.118.A", "88"):
        assert store.cut(beside) is None
    assert store.apply([delegate("88.118.1", b"second", 1)], 3) == [changed(2)]
    assert store.cut("88.118.1") == Cut("88.118.1", 2, b"second")
    assert answered(store) == ["88.118/x", "88.118.10/x", "88.118.A/x"]


@pytest.mark.parametrize("stage", Stage)
def test_an_allotment_may_close_what_is_below(store: Store, stage: Stage) -> None:
    store.apply([put(name) for name in NAMES], 1)
    assert answered(store) == list(NAMES)
    assert store.closure("88.118.1") is None
    status = {Stage.SUSPENDED: Status.SUSPENDED, Stage.CLOSED: Status.WITHDRAWN}.get(stage)
    store.apply([allot("88.118.1", stage)], 2)
    closed = ["88.118/x", "88.118.10/x", "88.118.A/x"]
    assert answered(store) == (list(NAMES) if status is None else closed)
    for below in ("88.118.1", "88.118.1.9", "88.118.1.9.9"):
        assert store.closure(below) == status
    for beside in ("88.118", "88.118.10", "88.118.A", "88"):
        assert store.closure(beside) is None
    assert store.counts().active == dict.fromkeys((name[:-2] for name in NAMES), 1)
    store.apply([allot("88.118.1", Stage.HOSTED)], 3)
    assert store.closure("88.118.1.9") is None
    assert answered(store) == list(NAMES)


def test_nobody_is_referred_from_below_a_closure(store: Store) -> None:
    store.apply([put(name) for name in NAMES] + [delegate("88.118.1.9"), delegate("88.118.A")], 1)
    store.apply([allot("88.118.1", Stage.SUSPENDED)], 2)
    assert store.closure("88.118.1.9") == Status.SUSPENDED
    assert store.cut("88.118.1.9") is None
    assert store.cut("88.118.A") is not None
    store.apply([allot("88.118.1", Stage.HOSTED)], 3)
    assert store.cut("88.118.1.9") is not None


def test_the_highest_cut_counts(store: Store) -> None:
    store.apply([put(name) for name in NAMES], 1)
    store.apply([delegate("88.118.1.9", b"low"), delegate("88.118.1", b"high")], 2)
    store.rest()
    assert store.cut("88.118.1.9") == Cut("88.118.1", 1, b"high")
    store.apply([revoke("88.118.1")], 3)
    store.rest()
    assert store.cut("88.118.1.9") == Cut("88.118.1.9", 1, b"low")
    assert answered(store) == ["88.118/x", "88.118.1/x", "88.118.10/x", "88.118.A/x"]


def test_a_revoked_delegation_is_no_cut_and_goes_on_counting(store: Store) -> None:
    store.apply([put(name) for name in NAMES], 1)
    store.apply([delegate("88.118.1")], 2)
    assert len(answered(store)) == 3
    assert store.apply([revoke("88.118.1")], 3) == [changed(2)]
    assert answered(store) == list(NAMES)
    assert store.apply([delegate("88.118.1", compare=1)], 4) == [outcome(Status.CONFLICT, 2)]
    assert store.apply([delegate("88.118.1", compare=2)], 4) == [changed(3)]
    assert len(answered(store)) == 3


def test_records_written_below_a_cut_are_not_answered(store: Store) -> None:
    store.apply([delegate("88.118.1")], 1)
    store.rest()
    assert store.get(b"88.118.1/x") is None
    store.apply([put(name) for name in NAMES], 2)
    assert answered(store) == ["88.118/x", "88.118.10/x", "88.118.A/x"]
    store.bulk_load(ascending("88.118.1.7", range(20)), 3)
    store.rest()
    assert store.get(b"88.118.1.7/N000001") is None


def test_system_records_are_not_for_the_public(store: Store) -> None:
    secret = system_write(CODES, "88.118.1", {"KEY": b"k", "UNTIL": b"9"})
    store.apply([put("88.118/x"), delegate("88.118.1"), secret], 1)
    store.rest()
    names = [b"\x01delegation/88.118.1", system_identifier(CODES, "88.118.1")]
    assert [store.get(name) for name in names] == [None, None]
    assert store.get_many(names) == [None, None]
    assert store.get_many([names[0]] * 2) == [None, None]
    assert store.counts()[:2] == ({"88.118": 1}, 3)
    assert list(everything(store, "88")) == [b"88.118/x"]
    assert list(everything(store, "\x01delegation")) == names[:1]
    assert list(everything(store)) == [names[1], names[0], b"88.118/x"]
    assert [entry.identifier for entry in store.feed(None, 10).entries] == [b"88.118/x", *names]
    assert store.find(names[0]) is not None


def test_rest_lets_later_reads_see_later_writes(store: Store) -> None:
    store.apply([put("88.1/x", A)], 1)
    before = store.get_many([b"88.1/x"])
    store.apply([put("88.1/x", B)], 2)
    store.rest()
    assert store.get_many([b"88.1/x"]) != before


# What was before -------------------------------------------------------------------------------------


def test_earlier_versions_are_kept_as_the_policy_says(store: Store) -> None:
    for number in range(12):
        store.apply([put("88.1.2/x", values(f"{number}"))], 1_000 + number)
    store.apply([withdraw("88.1.2/x")], 2_000)
    bodies = list(map(decode_body, store.history(b"88.1.2/x")))
    assert [body.version for body in bodies] == [13, *range(12, 4, -1)], "eight, unless told otherwise"
    assert store.history(b"88.1.2/none") == []
    store.apply([policy_write("88.1", Policy(versions=2)), policy_write("88.1.3", Policy(versions=0))], 2_001)
    store.apply([put("88.1.2/x", A), put("88.1.3/y", A)], 2_002)
    store.apply([put("88.1.3/y", B)], 2_003)
    assert [decode_body(body).version for body in store.history(b"88.1.2/x")] == [14, 13, 12]
    assert [decode_body(body).version for body in store.history(b"88.1.3/y")] == [2]


def test_what_stood_at_a_time(store: Store) -> None:
    store.apply([policy_write("88.1", Policy(versions=2))], 1)
    for number in range(4):
        store.apply([put("88.1/x", values(f"{number}"))], 1_000 + 10 * number)
    bodies = store.history(b"88.1/x")
    assert [split_body(as_of(b"88.1/x", bodies, at) or b"").version for at in (9_999, 1_030, 1_029, 1_010)] == [
        4,
        4,
        3,
        2,
    ]
    with pytest.raises(Refused) as caught:
        as_of(b"88.1/x", bodies, 1_009)
    assert caught.value.status is Status.FORGOTTEN
    store.apply([put("88.1/new", A)], 5_000)
    assert as_of(b"88.1/new", store.history(b"88.1/new"), 4_999) is None
    assert as_of(b"88.1/none", store.history(b"88.1/none"), 4_999) is None


def test_no_record_has_anothers_past(store: Store) -> None:
    for suffix in ("a", "a/b", "a b", "aa"):
        store.apply([put(f"88.1/{suffix}", values(suffix))], 1)
        store.apply([put(f"88.1/{suffix}", values(suffix + "2"))], 2)
    for suffix in ("a", "a/b", "a b", "aa"):
        found = [split_body(body).values for body in store.history(f"88.1/{suffix}".encode())]
        assert found == [values(suffix + "2"), values(suffix)]


def test_what_an_earlier_version_shows(store: Store) -> None:
    store.apply([template_write(template(), ABSENT)], 1)
    store.apply([Write(b"88.1/x", ANY, templated("old"))], 2)
    store.apply([put("88.1/x", A)], 3)
    old = decode_body(store.shown(b"88.1/x", store.history(b"88.1/x")[1]))
    assert [(value.type, value.text) for value in old.values][:2] == [("NAME", "old"), ("URL", "https://example.com/x")]


# Searching -------------------------------------------------------------------------------------------


def searchable(prefix: str = "88.1", version: int = 1) -> Write:
    items = (
        Item(index=2000, name="LOT", indexed=True),
        Item(index=2001, name="NAME"),
        Item(index=2002, name="COLOUR", indexed=True),
    )
    return template_write(Template(prefix, version, "pump", "C34", tuple(items)), ABSENT)


def of_lot(lot: str, name: str = "n", version: int = 1) -> bytes:
    return encode_data(version, [(2000, lot.encode()), (2001, name.encode()), (2002, b"red")])


def found(store: Store, item: int, data: bytes, prefix: str = "88.1", limit: int = 1_000) -> list[str]:
    names: list[str] = []
    cursor: bytes | None = None
    while True:
        page = store.search(prefix, item, data, cursor, limit)
        names += [entry.identifier.decode().partition("/")[2] for entry in page.entries]
        cursor = page.cursor
        if cursor is None:
            return names


def test_records_are_found_by_what_they_have(
    store: Store, write: Callable[[Store, list[Write], int], list[Outcome]]
) -> None:
    store.apply([searchable(), searchable("88.1.2"), searchable(version=300)], 1)
    lots = {f"{number:02d}": f"L{number % 3}" for number in range(30)}
    write(store, [Write(f"88.1/{suffix}".encode(), ANY, of_lot(lot)) for suffix, lot in lots.items()], 2)
    write(store, [Write(b"88.1.2/00", ANY, of_lot("L0")), Write(b"88.1/a/b", ANY, of_lot("L0", version=300))], 2)
    write(store, [put("88.1/plain", values("L0"))], 2)
    expected = [suffix for suffix, lot in lots.items() if lot == "L0"]
    for limit in (1, 3, 10, 11, 1_000):
        assert found(store, 2000, b"L0", limit=limit) == [*expected, "a/b"]
    assert found(store, 2000, b"L0", "88.1.2") == ["00"]
    assert found(store, 2001, b"n") == [], "not an item that is indexed"
    assert found(store, 2002, b"red")[:3] == ["00", "01", "02"]
    assert (
        found(store, 2000, b"L")
        == found(store, 2000, b"")
        == found(store, 7, b"L0")
        == found(store, 2000, b"L0", "88.9")
        == []
    )


def test_what_is_found_follows_the_records(store: Store) -> None:
    store.apply([searchable(), Write(b"88.1/x", ANY, of_lot("A")), Write(b"88.1/y", ANY, of_lot("A"))], 1)
    store.apply([Write(b"88.1/x", ANY, of_lot("B")), Write(b"88.1/y", ANY, of_lot("A", "renamed"))], 2)
    assert (found(store, 2000, b"A"), found(store, 2000, b"B")) == (["y"], ["x"])
    store.apply([withdraw("88.1/x"), put("88.1/y", A)], 3)
    assert found(store, 2000, b"A") == found(store, 2000, b"B") == []
    store.apply([Write(b"88.1/x", ANY, of_lot("B"))], 4)
    assert found(store, 2000, b"B") == ["x"]
    with pytest.raises(StoreError) as caught:
        store.search("88.1", 2000, b"B", b"88.2/x", 5)
    assert caught.value.rule is BAD_CURSOR


def test_a_store_made_of_a_copy_is_indexed(store: Store, tmp_path: Path) -> None:
    store.apply([searchable(), Write(b"88.1/x", ANY, of_lot("A")), put("88.2/x")], 1)
    store.bulk_load([Write(f"88.1/{number}".encode(), ANY, of_lot("A")) for number in range(10, 20)], 2)
    for name, make in BACKENDS.items():
        copy = make(tmp_path / name)
        copy.copy(store.changes(None, 1_000))
        index_everything(copy)
        index_everything(copy)
        assert found(copy, 2000, b"A", limit=3) == found(store, 2000, b"A")
        copy.close()
