"""Series over the wire, on a session with a store in memory: the same bytes as the vectors, and every refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from protocol.errors import InvalidInput, Refused, Rule
from protocol.framing import split
from protocol.kept import encode_data
from protocol.limits import MAX_SERIES_WRITES
from protocol.messages import Op, encode_request, read_response, refusal
from protocol.records import Permission, Value, decode_body, encode_values
from protocol.series import NO_PATTERN, parse_series
from protocol.status import Status
from protocol.templates import Item, Template
from registry.delegations import SystemBatch
from registry.intake import read_writes
from registry.rights import DELEGATED, NOT_AUTHENTICATED, OTHER_PREFIX
from registry.series.desk import STANDS, TOO_MANY_SHAPES, SeriesDesk
from registry.store.memory import MemoryStore
from registry.store.series import MAX_SHAPES
from registry.store.templates import template_write
from registry.store.writes import RESUME, SUSPEND, Write
from registry.templates.checking import Checkers
from resolver.answering import Answerer
from tests.registry.gates import open_gate
from tests.registry.store.builders import delegate, put, values, withdraw
from tests.resolver.test_answering import FACTS
from tests.vectors.load import load
from tests.vectors.series import KEPT, SERIES, TIME

RID = load("messages")["operations"][0]["rid"]
PREFIXES = ("88.118.32001",)


def vector(name: str, said: str) -> tuple[Any, str]:
    [found] = [one for one in load("messages")["operations"] if one["name"] == name]
    [response] = [one["response"] for one in found["responses"] if one["name"] == said]
    return found, response


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def answer(store: MemoryStore, op: Op, *arguments: object, prefixes: tuple[str, ...] = PREFIXES) -> bytes:
    """The response, its writes carried out."""
    given = SeriesDesk(store, Checkers(store.find), open_gate(*prefixes)).operations[op](RID, arguments)
    return given.response(store.apply(given.writes, TIME)) if isinstance(given, SystemBatch) else given


def payload(raw: bytes) -> Any:
    ((message, _),) = split(raw)
    response = read_response(message)
    if response.status != Status.OK:
        raise refusal(response.status, response.payload)
    return response.payload


def rules(results: Sequence[Any]) -> list[str]:
    """The rules of items that were refused."""
    return [refusal(status, reason).rule.name for status, reason, _ in results]


ITEMS = (
    (SERIES, 0, encode_values(KEPT[:1])), (b"88.118.32001/B2311-{0..9}", 0, encode_values(KEPT[:1])),
    (SERIES, 1, 2), (SERIES, None, 0), (SERIES, 3, None),
)  # fmt: skip


def test_the_vectors(store: MemoryStore) -> None:
    found, expected = vector("a series", "never registered")
    assert encode_request(Op.SERIES_OF, RID, SERIES, None, 1).hex() == found["request"]
    assert answer(store, Op.SERIES_OF, SERIES, None, 1).hex() == expected
    payload(answer(store, Op.SERIES, (ITEMS[0],)))
    assert answer(store, Op.SERIES_OF, SERIES, None, 1).hex() == vector("a series", "shown")[1]
    assert answer(store, Op.SERIES_OF, b"88.118.32001", None, 10).hex() == vector("series of a prefix", "a page")[1]

    other = MemoryStore()
    # The narrower pattern has members of one length less: something must stand in its way.
    other.apply([put("88.118.32001/B2311-5")], TIME)
    results = payload(answer(other, Op.SERIES, ITEMS))
    assert [item[0] for item in results] == [0, int(Status.EXISTS), 0, 0, 0]
    assert rules(results[1:2]) == [STANDS.name]


def test_what_is_refused(store: MemoryStore) -> None:
    store.apply([put("88.118.32001/x5"), withdraw("88.118.32001/x5"), delegate("88.118.32001.9")], 1)
    broken = [
        (b"88.118.32001/x{0..9}", 0, values()), (b"88.118.32001/x", 0, values()),
        (b"88.118.32002/x{0..9}", 0, values()),
        (b"88.118.32001.9/x{0..9}", 0, values()), (b"88.118.32001/y{0..9}", 0, values("{what}")),
        (b"88.118.32001/y{0..9}", 0, b"\x90"), (b"88.118.32001/y{0..9}", -1, values()),
        (b"88.118.32001/y{0..9}", 0, 1), (b"88.118.32001/y{0..9}", 0, True), (b"\xff/{0..9}", 0, values()), 7,
    ]  # fmt: skip
    results = payload(answer(store, Op.SERIES, tuple(broken)))
    assert rules(results) == [
        STANDS.name, NO_PATTERN.name, OTHER_PREFIX.name, DELEGATED.name, "computed.unknown-field", "record.no-values",
        "message.bad-arguments", "message.bad-arguments", "message.bad-arguments", "identifier.not-utf8",
        "message.bad-arguments",
    ]  # fmt: skip
    assert refusal(*results[0][:2]).details == {"series": "88.118.32001/x{0..9}", "other": "88.118.32001/x5"}


def test_too_many(store: MemoryStore) -> None:
    items = [(b"88.118.32001/" + b"x" * n + b"{0..9}", 0, values()) for n in range(MAX_SHAPES + 1)]
    results = payload(answer(store, Op.SERIES, tuple(items)))
    assert rules(results[-1:]) == [TOO_MANY_SHAPES.name]
    for op, arguments in [
        (Op.SERIES, (tuple([items[0]] * (MAX_SERIES_WRITES + 1)),)), (Op.SERIES, (7,)),
        (Op.SERIES_OF, (b"88.118.32001", None, 0)), (Op.SERIES_OF, (b"88..118", None, 1)), (Op.SERIES_OF, ()),
    ]:  # fmt: skip
        with pytest.raises(InvalidInput):
            answer(store, op, *arguments)


@pytest.mark.parametrize(("prefixes", "rule"), [((), NOT_AUTHENTICATED), (("88.118.32002",), OTHER_PREFIX)])
def test_a_key_is_asked_for(store: MemoryStore, prefixes: tuple[str, ...], rule: Rule) -> None:
    for arguments in [(b"88.118.32001", None, 1), (SERIES, None, 1)]:
        with pytest.raises(Refused) as caught:
            answer(store, Op.SERIES_OF, *arguments, prefixes=prefixes)
        assert caught.value.rule is rule
    if prefixes:
        assert rules(payload(answer(store, Op.SERIES, ITEMS[:1], prefixes=prefixes))) == [rule.name]
    else:
        with pytest.raises(Refused):
            answer(store, Op.SERIES, ITEMS[:1], prefixes=prefixes)


def test_writes_may_suspend_and_resume() -> None:
    intake = read_writes(
        [(b"88.118/a", None, 2), (b"88.118/b", 4, 0)], ("88.118",), MemoryStore().cut, lambda _: None, lambda *_: None
    )
    assert intake.writes == [Write(b"88.118/a", None, SUSPEND), Write(b"88.118/b", 4, RESUME)]
    items = [(b"88.118/a", None, change) for change in (1, 3, True, 2.0, b"suspend", b"resume")]
    assert sorted(read_writes(items, ("88.118",), MemoryStore().cut, lambda _: None, lambda *_: None).refused) == list(
        range(len(items))
    )


def test_a_list_shows_active_series(store: MemoryStore) -> None:
    hidden = encode_values([Value(1, "URL", b"u", permissions=int(Permission.ADMIN_READ))])
    items = ((b"88.118.32001/x{0..9}", 0, hidden), (b"88.118.32001/y{0..9}", 0, values()))
    payload(answer(store, Op.SERIES, (*items, (b"88.118.32001/y{0..9}", 1, 2))))
    store.apply([put("88.118.32001/z")], 1)
    raw = Answerer(store, FACTS).one((int(Op.LIST), RID, b"88.118.32001", None, 10))
    assert payload(raw) == (((b"88.118.32001/x{0..9}", 10), b"88.118.32001/z"), None)
    assert parse_series("88.118.32001/x{0..9}").count == 10


def test_members_follow_a_template(store: MemoryStore) -> None:
    items = (
        Item(index=2000, name="NAME", ttl=60, max_length=12),
        Item(index=2001, name="PAGE", type="url", computed="https://example.com/{suffix}"),
        Item(index=2002, name="COST", permissions=int(Permission.ADMIN_READ)),
    )
    store.apply([template_write(Template("88.118.32001", 1, "pump", "C34", items), 0)], TIME)
    pattern = b"88.118.32001/T {1..9}"
    data = [(2000, "泵 {counter}".encode()), (2002, b"9.5")]
    [made] = payload(answer(store, Op.SERIES, ((pattern, 0, encode_data(1, data)),)))
    assert made == (0, 1, True)
    [again] = payload(answer(store, Op.SERIES, ((pattern, 0, encode_data(1, data)),)))
    assert again == (0, 1, False)
    shown = decode_body(store.get(b"88.118.32001/T 7") or b"")
    assert [(value.type, value.text, value.ttl) for value in shown.values] == [
        ("NAME", "泵 7", 60), ("PAGE", "https://example.com/T%207", 86_400),
    ]  # fmt: skip
    for wrong in ([(2000, b"much too long {counter}")], [(2009, b"x")], [(2000, b"{suffix}{what}")]):
        [refused] = payload(answer(store, Op.SERIES, ((b"88.118.32001/W{1..9}", 0, encode_data(1, wrong)),)))
        assert refused[0] == Status.BAD_RECORD, wrong
    [refused] = payload(answer(store, Op.SERIES, ((b"88.118.32001/W{1..9}", 0, encode_data(2, data)),)))
    assert refusal(refused[0], refused[1]).rule.name == "template.no-such"
