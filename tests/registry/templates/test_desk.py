"""Templates over the wire: who may put and see them, and what they let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgpack
import msgspec
import pytest

from protocol.errors import StoreError
from protocol.framing import split
from protocol.kept import encode_data
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.messages import Op, Response, encode_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.records import decode_body
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.templates import Item, Template, encode_template, read_template
from protocol.trust import Chain
from registry.delegations import SystemBatch
from registry.rights import Rights, challenge_bytes
from registry.session import Batch, Session
from registry.store.interface import STORE_FULL, Store
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from registry.templates import checking
from registry.templates.checking import Checkers
from tests.registry.store.builders import check_agreement, delegate, values

ZONE: Final = "88"
OWNER: Final = SigningKey(b"w" * 32)
ENTERPRISE: Final = SigningKey(b"e" * 32)
RIGHTS: Final = Rights({OWNER.public: [ZONE], ENTERPRISE.public: ["88.1"]}, ZONE)
FACTS: Final = NodeFacts("secondary", ZONE, "biaoshi/test", Chain((), (b"key",)))

PUMP: Final = Template("88.1", 1, "泵", "C34", (
    Item(index=2_000, name="NAME", zh="名称", required=True, max_length=8),
    Item(index=2_001, name="DAY", type="date"),
    Item(index=2_002, name="PAGE", type="url", value_type="URL", computed="https://e.cn/{suffix}"),
))  # fmt: skip


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / "store")
    yield opened
    check_agreement(opened)
    opened.close()


class Visit:
    """A connection on which a key was proven."""

    def __init__(self, store: Store, key: SigningKey | None = ENTERPRISE, checkers: Checkers | None = None) -> None:
        self.store = store
        self.session = Session(store, FACTS, RIGHTS, dict, checkers=checkers)
        if key is not None:
            nonce = self.ask(Op.AUTHENTICATE, 1, key.public.raw).payload
            assert isinstance(nonce, bytes)
            assert self.ask(Op.PROVE, key.sign(challenge_bytes(ZONE, nonce))).status == Status.OK

    def begin(self, op: Op, *arguments: object) -> bytes | SystemBatch | Batch:
        ((request, _),) = split(encode_request(op, 5, *arguments))
        answer = self.session.answer(request)
        assert isinstance(answer, bytes | SystemBatch | Batch)
        return answer

    def finish(self, answer: bytes | SystemBatch | Batch, *, lose: bool = False) -> Response:
        if not isinstance(answer, bytes):
            failure = StoreError(STORE_FULL, reason="test")
            answer = answer.response(failure if lose else self.store.apply(answer.writes, 9))
        assert len(answer) <= MAX_MESSAGE_BYTES
        ((message, _),) = split(answer)
        return read_response(message)

    def ask(self, op: Op, *arguments: object) -> Response:
        return self.finish(self.begin(op, *arguments))

    def put(self, template: Template) -> bool | str:
        """Whether that changed something, or the rule by which it is refused."""
        return said(self.ask(Op.TEMPLATE, encode_template(template)))

    def show(self, *arguments: object) -> tuple[list[Template], bytes | None] | str:
        answer = self.ask(Op.TEMPLATES, *arguments)
        if answer.status != Status.OK:
            return refusal(answer.status, answer.payload).rule.name
        templates, cursor = answer.payload  # type: ignore[misc]
        return [read_template(one) for one in templates], cursor

    def write(self, *items: tuple[str, bytes]) -> list[object]:
        """The outcomes of registrations, or the rule and problems of those refused."""
        answer = self.ask(Op.WRITE, [[identifier, None, content] for identifier, content in items])
        assert isinstance(answer.payload, tuple)
        return [
            one[1] if one[0] == Status.OK else str(refusal(one[0], one[1])) for one in answer.payload
        ]  # fmt: skip


def said(answer: Response) -> bool | str:
    if answer.status == Status.OK:
        assert isinstance(answer.payload, bool)
        return answer.payload
    return refusal(answer.status, answer.payload).rule.name


def record(*data: tuple[int, str], version: int = 1) -> bytes:
    return encode_data(version, [(index, text.encode()) for index, text in data])


GOOD: Final = record((2_000, "pump"), (2_001, "2026-01-31"))


def test_a_template_is_put_once(store: Store) -> None:
    visit = Visit(store)
    assert visit.put(PUMP) is True
    assert visit.put(PUMP) is False
    assert visit.show(b"88.1", 1) == ([PUMP], None)
    assert visit.show(b"88.1", 2) == ([], None)
    assert visit.show(b"88.1", None, 10) == ([PUMP], None)
    assert visit.put(msgspec.structs.replace(PUMP, name="other")) == "template.fixed"
    assert visit.put(msgspec.structs.replace(PUMP, name="other", version=2)) is True


def test_who_may(store: Store) -> None:
    for key, prefix, rule in [(None, "88.1", "rights.not-authenticated"), (ENTERPRISE, "88.2", "rights.other-prefix"),
                              (ENTERPRISE, "88", "rights.other-prefix"), (ENTERPRISE, "88.1.5", True),
                              (OWNER, "88.2", True), (OWNER, "89", "rights.other-prefix")]:  # fmt: skip
        visit = Visit(store, key)
        assert visit.put(msgspec.structs.replace(PUMP, prefix=prefix)) == rule
        if rule is not True:
            assert visit.show(prefix.encode(), 1) == visit.show(prefix.encode(), None, 10) == rule
    store.apply([delegate("88.1")], 1)
    assert Visit(store).put(PUMP) == "rights.delegated"


def test_what_is_no_usable_template_is_refused(store: Store) -> None:
    visit = Visit(store)
    assert visit.put(msgspec.structs.replace(PUMP, items=())) == "template.not-usable"
    assert said(visit.ask(Op.TEMPLATE, b"\x90")) == "template.malformed"
    for arguments in ((), (1,), (b"", b"")):
        assert said(visit.ask(Op.TEMPLATE, *arguments)) == "message.bad-arguments"
    for shown in (
        (),
        (b"88.1",),
        (b"88.1", 0),
        (b"88.1", 1_000_000),
        (b"88.1", None, 0),
        (b"88.1", None, 1_001),
        (1, 1),
    ):
        assert said(visit.ask(Op.TEMPLATES, *shown)) == "message.bad-arguments"
    assert visit.show(b"88..1", 1) == "identifier.empty-segment"
    assert visit.show(b"88.1", b"\x01template/88.2/000001", 5) == "store.bad-cursor"
    assert list(store.scan("", None, 10).entries) == []


def test_items_are_disabled_and_new_records_may_not_have_them(store: Store) -> None:
    visit = Visit(store, checkers=Checkers(store.find))
    visit.put(PUMP)
    assert visit.write(("88.1/old", GOOD)) == [1]
    before = store.get(b"88.1/old")
    assert visit.put(PUMP.disable([2_001])) is True
    assert visit.write(("88.1/new", GOOD)) == [
        "the record does not follow version 1 of the template: 2001 DAY is disabled"
    ]
    assert visit.write(("88.1/new", record((2_000, "pump")))) == [1]
    assert store.get(b"88.1/old") == before
    assert visit.put(PUMP) == "template.fixed"


def test_of_two_changes_that_cross_the_second_is_sent_away(store: Store) -> None:
    one, other = Visit(store), Visit(store)
    first, second = (visit.begin(Op.TEMPLATE, encode_template(PUMP)) for visit in (one, other))
    assert said(one.finish(first)) is True
    assert said(other.finish(second)) is False  # the same template
    first = one.begin(Op.TEMPLATE, encode_template(PUMP.disable([2_000])))
    second = other.begin(Op.TEMPLATE, encode_template(PUMP.disable([2_001])))
    assert said(one.finish(first)) is True
    assert said(other.finish(second)) == "template.meanwhile"
    assert said(one.finish(one.begin(Op.TEMPLATE, encode_template(PUMP.disable([2_000, 2_001]))), lose=True)) == (
        "store.full"
    )
    assert one.show(b"88.1", 1) == ([PUMP.disable([2_000])], None)


def test_all_versions_page_by_page(store: Store) -> None:
    visit = Visit(store, OWNER)
    templates = [msgspec.structs.replace(PUMP, version=version) for version in (1, 2, 9, 10, 11, 999_999)]
    for template in reversed(templates):
        assert visit.put(template) is True
        assert visit.put(msgspec.structs.replace(template, prefix="88.10")) is True
        assert visit.put(msgspec.structs.replace(template, prefix="88.1.1")) is True
    for limit in (1, 2, 3, 6, 7, 1_000):
        found: list[Template] = []
        cursor: bytes | None = None
        while True:
            page = visit.show(b"88.1", cursor, limit)
            assert not isinstance(page, str)
            found += page[0]
            cursor = page[1]
            if cursor is None:
                break
        assert found == templates


def test_a_page_fits_a_message(store: Store) -> None:
    wide = tuple(Item(index=2_000 + n, name=f"N{n}", zh="型" * 40) for n in range(80))
    visit = Visit(store)
    for version in range(1, 101):
        visit.put(Template("88.1", version, "wide", "", wide))
    page = visit.show(b"88.1", None, 1_000)
    assert not isinstance(page, str)
    assert 20 < len(page[0]) < 100
    assert page[1] is not None


# Records ---------------------------------------------------------------------------------------------


def test_records_are_held_against_their_template(store: Store) -> None:
    visit = Visit(store)
    visit.put(PUMP)
    bad = record((2_001, "today"), (2_002, "x"), (2_050, "y"))
    assert visit.write(("88.1/a", GOOD), ("88.1/b", bad), ("88.1/c", values()), ("88.1/d", record(version=2))) == [
        1,
        "the record does not follow version 1 of the template: 2001 DAY is 'today', not a day like 2026-01-31; "
        "2002 PAGE is computed and takes no data; there is no item 2050; 2000 NAME is missing",
        1,
        "88.1 has no template of version 2; 'biaoshi template put' makes one",
    ]
    assert [value.text for value in decode_body(store.get(b"88.1/a") or b"").values] == [
        "pump", "2026-01-31", "https://e.cn/a",
    ]  # fmt: skip


def test_the_template_is_that_of_the_records_own_prefix(store: Store) -> None:
    visit = Visit(store, OWNER)
    visit.put(PUMP)
    refused = ["88.1.1 has no template of version 1; 'biaoshi template put' makes one"]
    assert visit.write(("88.1.1/a", GOOD)) == refused
    visit.put(msgspec.structs.replace(PUMP, prefix="88.1.1"))
    assert visit.write(("88.1.1/a", GOOD)) == [1]


def test_rights_come_before_the_template(store: Store) -> None:
    Visit(store, OWNER).put(msgspec.structs.replace(PUMP, prefix="88.2"))
    (refused,) = Visit(store).write(("88.2/a", record((2_050, "y"))))
    assert refused == "this key may not write below '88.2'"


@pytest.mark.parametrize("count", [1, 15, 16, 300])
def test_a_batch_is_read_as_its_items_are(store: Store, count: int) -> None:
    """Of all forms, and with one that is not right at any place."""
    visit = Visit(store)
    visit.put(PUMP)
    good = [GOOD, values(), record((2_000, "x")), values("secret", 12)]
    items = [(f"88.1/{n}", good[n % 4]) for n in range(count)]
    assert visit.write(*items) == [1] * count
    for place in {0, count // 2, count - 1}:
        broken = list(items)
        broken[place] = (items[place][0], record((2_000, "much too long")))
        outcomes = visit.write(*broken)
        assert "at most 8" in str(outcomes.pop(place))
        assert outcomes == [1] * (count - 1)


def test_many_refusals_fit_a_message(store: Store) -> None:
    visit = Visit(store)
    items = tuple(Item(index=2_000 + n, name=f"ITEM_{n}", required=True) for n in range(30))
    visit.put(Template("88.1", 1, "t", "", items))
    outcomes = visit.write(*((f"88.1/{n}", record()) for n in range(10_000)))
    assert str(outcomes[0]).count("is missing") == 30
    assert outcomes[-1] == "the record does not follow version 1 of the template: …"


def test_what_is_compiled_is_bounded_and_right(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MAX_CHECKERS", 2)
    visit = Visit(store, checkers=Checkers(store.find))
    for version in range(1, 6):
        visit.put(msgspec.structs.replace(PUMP, version=version))
    for version in (1, 2, 3, 1, 5, 4):
        assert visit.write((f"88.1/{version}", record((2_000, "x"), version=version))) == [1]


@pytest.mark.parametrize(
    "content", [b"\x92\x01", b"\x92\x01\x90\x00", b"\x92\xcd\x00\x01\x90", msgpack.packb([1, [[2_000, "text"]]]),
                msgpack.packb([1, [[1, b"x"]]]), msgpack.packb([1_000_000, []])]
)  # fmt: skip
def test_other_bytes_are_refused(store: Store, content: bytes) -> None:
    visit = Visit(store)
    visit.put(PUMP)
    assert "are no record" in str(visit.write(("88.1/a", content))[0])
    assert store.find(b"88.1/a") is None
