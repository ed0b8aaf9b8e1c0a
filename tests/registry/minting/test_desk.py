"""Minting against a model: whoever asks, and whatever is carried out or lost, no identifier comes twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from protocol.errors import BiaoshiError, Refused, StoreError
from protocol.framing import split
from protocol.limits import MAX_LIST
from protocol.messages import Op, read_response, refusal
from protocol.records import Value, decode_body, encode_values
from protocol.series import parse_series
from protocol.status import Status
from registry.delegations import SystemBatch
from registry.minting import desk as minting
from registry.minting.desk import MintDesk, Reserved
from registry.minting.kept import rule_write
from registry.minting.rules import make_rule
from registry.store.interface import STORE_FULL
from registry.store.memory import MemoryStore
from registry.store.series import series_identifier
from registry.store.writes import ABSENT, Write
from tests.registry.gates import open_gate
from tests.registry.store.builders import delegate, put, values, withdraw

PREFIX = "88.118.1"
RID = 7


def desk_of(store: MemoryStore, reserved: Reserved | None = None, *prefixes: str) -> MintDesk:
    return MintDesk(
        store, open_gate(*prefixes or (PREFIX,)), lambda: 1_700_000_000.0, Reserved() if reserved is None else reserved
    )


def payload_of(raw: bytes) -> Any:
    """What a response has. Raises :class:`Refused`."""
    ((message, _),) = split(raw)
    response = read_response(message)
    if response.status != Status.OK:
        raise refusal(response.status, response.payload)
    return response.payload


def carry_out(store: MemoryStore, answer: bytes | SystemBatch) -> Any:
    if isinstance(answer, SystemBatch):
        answer = answer.response(store.apply(answer.writes, 50))
    return payload_of(answer)


def ask(store: MemoryStore, desk: MintDesk, op: Op, *arguments: object) -> Any:
    return carry_out(store, desk.operations[op](RID, arguments))


def set_rule(store: MemoryStore, desk: MintDesk, name: bytes = b"r", text: bytes = b"B{00..99}") -> Any:
    return ask(store, desk, Op.RULE, PREFIX.encode(), name, text, b"UTC")


def broken(store: MemoryStore, desk: MintDesk, op: Op, *arguments: object) -> object:
    with pytest.raises(BiaoshiError) as caught:
        ask(store, desk, op, *arguments)
    return caught.value.rule


def test_numbers_go_on_where_they_ended() -> None:
    store = MemoryStore()
    desk = desk_of(store)
    assert set_rule(store, desk) == 1
    assert set_rule(store, desk) == 1  # the same again
    assert ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 2, None) == ((b"88.118.1/B00", b"88.118.1/B01"), 98)
    again = desk_of(store)  # after a restart
    assert ask(store, again, Op.MINT, PREFIX.encode(), b"r", 1, None) == ((b"88.118.1/B02",), 97)
    assert ask(store, again, Op.RULES, PREFIX.encode(), None, 10) == (
        ((b"88.118.1", b"r", b"B{00..99}", b"UTC", 3, 97),), None,
    )  # fmt: skip


def test_what_is_registered_is_passed_over() -> None:
    store = MemoryStore()
    desk = desk_of(store)
    set_rule(store, desk)
    series = parse_series("88.118.1/B{03..05}")
    store.apply([put("88.118.1/B00"), put("88.118.1/B01"), withdraw("88.118.1/B01")], 1)
    store.apply([Write(series_identifier(series), ABSENT, values())], 1)
    assert ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 2, None)[0] == (b"88.118.1/B02", b"88.118.1/B06")


def test_what_is_minted_may_be_registered() -> None:
    store = MemoryStore()
    desk = desk_of(store)
    set_rule(store, desk)
    kept = encode_values([Value(1, "URL", b"https://e.cn/{suffix}")])
    batch = desk.operations[Op.MINT](RID, (PREFIX.encode(), b"r", 2, kept))
    store.apply([put("88.118.1/B01", values("by hand, meanwhile"))], 1)
    assert carry_out(store, batch)[0] == (b"88.118.1/B00",)
    record = decode_body(store.find(b"88.118.1/B00") or b"")
    assert [value.text for value in record.values] == ["https://e.cn/B00"]
    assert broken(store, desk, Op.MINT, PREFIX.encode(), b"r", 2, values("{what}")) is not None


def test_refusals() -> None:
    store = MemoryStore()
    desk = desk_of(store)
    assert broken(store, desk, Op.MINT, PREFIX.encode(), b"r", 1, None) is minting.NO_RULE
    set_rule(store, desk)
    set_rule(store, desk, text=b"B{00..03}")  # nothing was minted yet
    assert broken(store, desk, Op.RULE, PREFIX.encode(), b"s", b"B{03..07}", b"UTC") is minting.MEETS
    ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 3, None)
    assert broken(store, desk, Op.RULE, PREFIX.encode(), b"r", b"B{00..99}", b"UTC") is minting.USED
    assert ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 3, None) == ((b"88.118.1/B03",), 0)
    assert broken(store, desk, Op.MINT, PREFIX.encode(), b"r", 1, None) is minting.EXHAUSTED
    for prefix in (b"88.118.2", b"88.118", b"88..1"):
        assert broken(store, desk, Op.RULE, prefix, b"r", b"B{00..99}", b"UTC") is not None
    for arguments in [(PREFIX.encode(), b"r", 0, None), (PREFIX.encode(), b"r", 2_001, None), (PREFIX.encode(),)]:
        assert broken(store, desk, Op.MINT, *arguments) is not None
    store.apply([delegate(PREFIX)], 1)
    with pytest.raises(Refused) as caught:
        set_rule(store, desk, b"t", b"C{00..99}")
    assert caught.value.status is Status.REFERRAL


def held(desk: MintDesk, op: Op, *arguments: object) -> SystemBatch:
    """What a request comes to, on its way to the disk."""
    batch = desk.operations[op](RID, arguments)
    assert isinstance(batch, SystemBatch)
    return batch


def test_of_two_rules_that_are_set_at_once_only_one_may_mint_the_same() -> None:
    store, reserved = MemoryStore(), Reserved()
    one, other = desk_of(store, reserved), desk_of(store, reserved)
    first = held(one, Op.RULE, PREFIX.encode(), b"a", b"B{00..99}", b"UTC")
    assert broken(store, other, Op.RULE, PREFIX.encode(), b"b", b"B{00..99}", b"UTC") is minting.CHANGED
    carry_out(store, first)
    assert broken(store, other, Op.RULE, PREFIX.encode(), b"b", b"B{00..99}", b"UTC") is minting.MEETS
    lost = held(one, Op.RULE, PREFIX.encode(), b"c", b"C{00..99}", b"UTC")
    with pytest.raises(Refused):
        payload_of(lost.response(StoreError(STORE_FULL, reason="full")))
    assert set_rule(store, other, b"c", b"C{00..99}") == 1


def test_a_rule_that_is_being_changed_mints_when_it_has_been() -> None:
    store = MemoryStore()
    desk = desk_of(store)
    set_rule(store, desk)
    changing = held(desk, Op.RULE, PREFIX.encode(), b"r", b"C{00..99}", b"UTC")
    assert broken(store, desk, Op.MINT, PREFIX.encode(), b"r", 1, None) is minting.CHANGED
    assert carry_out(store, changing) == 2
    assert ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 1, None)[0] == (b"88.118.1/C00",)


def test_a_rule_is_held_against_others_however_many_there_are_below() -> None:
    store = MemoryStore()
    desk = desk_of(store, None, "88.118")
    for name in range(MAX_LIST):
        rule_ = make_rule(f"88.118.{name}", "r", "B{00..99}", "UTC")
        store.apply([rule_write(rule_, 0, ABSENT)], 1)
    ask(store, desk, Op.RULE, b"88.118", b"a", b"B{00..99}", b"UTC")
    assert broken(store, desk, Op.RULE, b"88.118", b"b", b"B{99..99}", b"UTC") is minting.MEETS


def test_many_that_are_registered_are_passed_over_bit_by_bit() -> None:
    """A request has the node look at a bounded number of them; whoever asks again goes on behind these."""
    store = MemoryStore()
    desk = desk_of(store)
    set_rule(store, desk, text=b"B{0000..9999}")
    store.apply([Write(series_identifier(parse_series("88.118.1/B{0001..1299}")), ABSENT, values())], 1)
    given = [ask(store, desk, Op.MINT, PREFIX.encode(), b"r", 3, None)[0] for _ in range(4)]
    assert given == [(b"88.118.1/B0000",), (), (b"88.118.1/B1300", b"88.118.1/B1301", b"88.118.1/B1302"),
                     (b"88.118.1/B1303", b"88.118.1/B1304", b"88.118.1/B1305")]  # fmt: skip


def test_large_records_are_minted_in_smaller_blocks() -> None:
    """What one request of a few bytes has the node write is bounded as what a writer sends is."""
    store = MemoryStore()
    desk = desk_of(store)
    set_rule(store, desk, text=b"B{0000..9999}")
    large = encode_values([Value(1, "DATA", b"x" * 16_000), Value(2, "DATA", b"x" * 16_000)])
    batch = held(desk, Op.MINT, PREFIX.encode(), b"r", 2_000, large)
    assert sum(len(write.values or b"") for write in batch.writes) <= 1 << 20
    given, left = carry_out(store, batch)
    assert len(given) > 20
    assert left == 10_000 - len(given)


class MintMachine(RuleBasedStateMachine):
    """Batches that were asked for wait to be carried out, in order, as in the committer; a crash loses those that
    wait and what the process remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.reserved = Reserved()
        self.waiting: list[SystemBatch] = []
        self.given: set[bytes] = set()
        self.by_hand: set[bytes] = set()
        set_rule(self.store, self.desk, text=b"B{000..400}")

    @property
    def desk(self) -> MintDesk:
        return desk_of(self.store, self.reserved)

    @rule(count=st.integers(1, 9), register=st.booleans())
    def ask(self, count: int, register: bool) -> None:
        kept = values("{counter}") if register else None
        batch = self.desk.operations[Op.MINT](RID, (PREFIX.encode(), b"r", count, kept))
        assert isinstance(batch, SystemBatch)
        self.waiting.append(batch)

    @precondition(lambda self: self.waiting)
    @rule(fails=st.booleans())
    def carry_out(self, fails: bool) -> None:
        batch = self.waiting.pop(0)
        if fails:
            with pytest.raises(Refused):
                payload_of(batch.response(StoreError(STORE_FULL, reason="full")))
            return
        given = payload_of(batch.response(self.store.apply(batch.writes, 50)))[0]
        assert self.given.isdisjoint(given)
        assert len(set(given)) == len(given)
        self.given |= set(given)

    @precondition(lambda self: not self.waiting)
    @rule(number=st.integers(0, 400))
    def register_by_hand(self, number: int) -> None:
        name = b"88.118.1/B%03d" % number
        if name not in self.given:
            self.store.apply([put(name.decode())], 1)
            self.by_hand.add(name)

    @rule()
    def crash(self) -> None:
        self.waiting.clear()
        self.reserved = Reserved()

    def teardown(self) -> None:
        assert self.given.isdisjoint(self.by_hand)


def test_no_identifier_is_given_twice() -> None:
    run_state_machine_as_test(MintMachine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
