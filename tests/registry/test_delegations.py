"""What administrators and children ask about delegations, through a session, with a store in memory."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import StoreError
from protocol.limits import MAX_CODE_ATTEMPTS, MAX_CODE_HOURS
from protocol.messages import Op, Response
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, DelegationRequest
from protocol.status import Status
from registry.codes import asking_bytes, code_key, format_code
from registry.delegating import Parent
from registry.delegations import Delegations, SystemBatch
from registry.rights import Rights, challenge_bytes
from registry.session import Session
from registry.store.interface import STORE_FULL
from registry.store.memory import MemoryStore
from tests.registry.store.builders import put
from tests.registry.test_session import ENTERPRISE, FACTS, OWNER, STRANGER, ZONE, answer, ask, read, rule_of

NOW: Final = 1_780_272_000
ZONE_KEY, CHILD_KEY, NEXT_KEY = (SigningKey(bytes([number]) * 32) for number in range(1, 4))
CHILD: Final = "88.118.32001"
ADDRESS: Final = Address("node.example.cn", 26_410, 26_410)
CODE: Final = format_code(b"0123456789")


class Registry:
    """A registry's store and clock, and sessions at it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = NOW
        parent = Parent(ZONE, (ZONE_KEY.public,), NOW + 10_000, 1)
        self.delegations = Delegations(self.store, parent, lambda: self.now)
        self.rights = Rights({OWNER.public: [ZONE], ENTERPRISE.public: [CHILD]}, ZONE, [ZONE_KEY.public])
        self.admin = self.session(OWNER)
        self.anybody = self.session(None)

    def session(self, key: SigningKey | None) -> Session:
        session = Session(self.store, FACTS, self.rights, dict, self.delegations)
        if key is not None:
            nonce = ask(session, Op.AUTHENTICATE, 1, key.public.raw).payload
            assert isinstance(nonce, bytes)
            assert ask(session, Op.PROVE, key.sign(challenge_bytes(ZONE, nonce))).status == Status.OK
        return session

    def do(self, session: Session, op: Op, *arguments: object) -> Response:
        """A request carried out."""
        said = answer(session, op, *arguments)
        if isinstance(said, bytes):
            return read(said)
        assert isinstance(said, SystemBatch)
        return read(said.response(self.store.apply(said.writes, self.now)))

    def delegate(self, serial: int, session: Session | None = None, **bent: Any) -> Response:
        return self.do(session or self.admin, Op.DELEGATE, statement(serial, **bent))

    def code(self, hours: int = 24) -> Response:
        return self.do(self.admin, Op.CODE, CHILD.encode(), 1, code_key(CODE).public.raw, hours)

    def request(self, wanted: bytes, code: str | None = CODE) -> Response:
        return self.do(self.anybody, Op.REQUEST, wanted, code and code_key(code).sign(asking_bytes(wanted)))

    def waiting(self) -> object:
        return self.do(self.admin, Op.REQUESTS, None, 10).payload


@pytest.fixture
def registry() -> Registry:
    return Registry()


def statement(serial: int, child: str = CHILD, key: SigningKey = CHILD_KEY, until: int = NOW + 1_000) -> bytes:
    return Delegation(ZONE, child, serial, NOW - 9, until, (key.public,), (ADDRESS,)).sign(ZONE_KEY)


def wish(*keys: SigningKey, child: str = CHILD, made: int = NOW) -> bytes:
    signers = keys or (CHILD_KEY,)
    return DelegationRequest(child, tuple(key.public for key in signers), (ADDRESS,), made).sign(signers[0])


# Giving and taking back ------------------------------------------------------------------------------


def test_the_life_of_a_delegation(registry: Registry) -> None:
    registry.store.apply([put(f"{CHILD}/x")], NOW)
    assert registry.delegate(1) == (read_rid(), Status.OK, 1)
    assert registry.store.get(f"{CHILD}/x".encode()) is None
    assert registry.delegate(1)[1:] == (Status.OK, 1), "sent again"
    assert registry.delegate(2)[1:] == (Status.OK, 2)
    for late in (1, 2, 4):
        refused = registry.delegate(late, until=NOW + 999)
        assert (refused.status, rule_of(refused)) == (Status.CONFLICT, "delegating.serial")
    assert registry.do(registry.admin, Op.REVOKE, CHILD.encode(), 1)[1:] == (Status.CONFLICT, 2)
    assert registry.do(registry.admin, Op.REVOKE, CHILD.encode(), 2)[1:] == (Status.OK, 3)
    assert registry.do(registry.admin, Op.REVOKE, CHILD.encode(), None)[1:] == (Status.OK, 3), "sent again"
    assert registry.store.get(f"{CHILD}/x".encode()) is not None
    for late in (1, 2, 3):
        assert registry.delegate(late).status == Status.CONFLICT
    assert registry.delegate(4)[1:] == (Status.OK, 4)
    assert registry.do(registry.admin, Op.REVOKE, b"88.118.9", None).status == Status.NOT_FOUND
    assert registry.do(registry.admin, Op.REVOKE, b"88..9", None).status == Status.BAD_IDENTIFIER


def read_rid() -> int:
    return 0xFEDC_BA98_7654_3210


def test_lists(registry: Registry) -> None:
    children = ["88.118.1", "88.118.2", "88.118.3"]
    for child in children:
        assert registry.delegate(1, child=child).status == Status.OK
    registry.do(registry.admin, Op.REVOKE, b"88.118.2", None)
    rows = [
        (b"88.118.1", 1, statement(1, "88.118.1")),
        (b"88.118.2", 2, None),
        (b"88.118.3", 1, statement(1, "88.118.3")),
    ]
    assert registry.do(registry.admin, Op.DELEGATIONS, None, None, 10).payload == (tuple(rows), None)
    found, cursor = [], None
    for _ in range(3):
        page = registry.do(registry.admin, Op.DELEGATIONS, None, cursor, 1).payload
        assert isinstance(page, tuple)
        found += page[0]
        cursor = page[1]
    assert (found, cursor) == (rows, None)
    for row in rows:
        assert registry.do(registry.admin, Op.DELEGATIONS, row[0], None, 1).payload == ((row,), None)
    assert registry.do(registry.admin, Op.DELEGATIONS, b"88.118.4", None, 1).payload == ((), None)


def test_of_two_at_a_time_the_second_is_sent_away(registry: Registry) -> None:
    first = answer(registry.admin, Op.DELEGATE, statement(1))
    assert isinstance(first, SystemBatch)
    for op, arguments in ((Op.DELEGATE, (statement(1, until=NOW + 5),)), (Op.REVOKE, (CHILD.encode(), None))):
        refused = ask(registry.admin, op, *arguments)
        assert (refused.status, rule_of(refused)) == (Status.CONFLICT, "delegating.under-way")
    assert registry.delegate(1, child="88.118.5").status == Status.OK, "others are not held up"
    failed = read(first.response(StoreError(STORE_FULL, reason="test")))
    assert failed.status == Status.STORE_FULL
    assert registry.delegate(1).status == Status.OK


@pytest.mark.parametrize("op", [Op.DELEGATE, Op.REVOKE, Op.DELEGATIONS, Op.CODE, Op.REQUESTS])
def test_delegations_are_for_those_who_may_write_the_zone(registry: Registry, op: Op) -> None:
    refused = ask(registry.anybody, op)
    assert refused.status == Status.NOT_AUTHENTICATED
    refused = ask(registry.session(ENTERPRISE), op)
    assert (refused.status, rule_of(refused)) == (Status.NOT_PERMITTED, "rights.whole-zone-delegates")
    assert rule_of(ask(registry.admin, op)) == "message.bad-arguments"


def test_the_zone_key_may_do_everything(registry: Registry) -> None:
    assert registry.delegate(1, registry.session(ZONE_KEY)).status == Status.OK
    registry.rights.take_up([NEXT_KEY.public])
    with pytest.raises(AssertionError):
        registry.session(ZONE_KEY)
    assert registry.session(NEXT_KEY)


ARGUMENTS: Final = [
    (Op.DELEGATE, (None,)), (Op.DELEGATE, (b"", b"")), (Op.REVOKE, (b"88.118.1", 0)), (Op.REVOKE, (b"88.118.1", b"1")),
    (Op.DELEGATIONS, (None, None, 0)), (Op.DELEGATIONS, (None, None, 1_001)), (Op.DELEGATIONS, (b"88.118.1", b"c", 1)),
    (Op.DELEGATIONS, (None, b"c" * 513, 1)), (Op.CODE, (b"88.118.1", 1, bytes(32), 0)), (Op.REQUEST, (b"x",)),
    (Op.CODE, (b"88.118.1", 1, bytes(32), MAX_CODE_HOURS + 1)), (Op.REQUESTS, (1, 1)), (Op.REQUESTS, (None, -1)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "arguments"), ARGUMENTS)
def test_arguments(registry: Registry, op: Op, arguments: tuple[object, ...]) -> None:
    refused = ask(registry.admin, op, *arguments)
    assert refused.status in (Status.BAD_REQUEST, Status.NOT_VERIFIED)


hostile = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**64 - 1), st.binary(max_size=9),
    st.lists(st.integers(0, 9), max_size=2),
    st.sampled_from([b"88.118.1", b"88", b"88..1", b"\x01code", statement(1), statement(1)[:-1], wish(), wish()[1:]]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(22, 27), st.lists(hostile, max_size=5)), max_size=6))
def test_no_arguments_bring_it_down(asked: list[tuple[int, list[object]]]) -> None:
    registry = Registry()
    for op, arguments in asked:
        registry.do(registry.admin, Op(op), *arguments)
    assert registry.delegate(1, child="88.118.77").status == Status.OK


# Codes and requests ----------------------------------------------------------------------------------


def test_a_request_with_a_code_waits_for_the_zone_key(registry: Registry) -> None:
    assert registry.code(2)[1:] == (Status.OK, NOW + 7_200)
    assert registry.request(wish())[1:] == (Status.OK, None)
    assert registry.waiting() == ((wish(),), None)
    assert registry.request(wish()).status == Status.OK, "sent again"
    other = registry.request(wish(NEXT_KEY))
    assert (other.status, rule_of(other)) == (Status.NOT_PERMITTED, "delegating.no-code"), "a code serves once"
    assert registry.delegate(1).status == Status.OK
    assert registry.waiting() == ((), None)
    assert registry.request(wish(made=NOW + 1), None).status == Status.OK, "what is need not wait"
    assert registry.waiting() == ((), None)


def test_nothing_secret_is_kept(registry: Registry) -> None:
    registry.code()
    kept = registry.store.find(f"\x01code/{CHILD}".encode())
    assert kept is not None
    assert code_key(CODE).seed not in kept
    assert b"0123456789" not in kept


def test_codes_end(registry: Registry) -> None:
    registry.code(1)
    registry.now = NOW + 3_601
    assert rule_of(registry.request(wish())) == "delegating.no-code"
    assert rule_of(registry.request(wish(child="88.118.2"))) == "delegating.no-code"
    registry.code(1)
    assert registry.request(wish()).status == Status.OK


def test_a_code_that_is_guessed_at_is_void(registry: Registry) -> None:
    registry.code()
    wrong = format_code(b"9876543210")
    for _ in range(MAX_CODE_ATTEMPTS - 1):
        assert rule_of(registry.request(wish(), wrong)) == "delegating.wrong-code"
    registry.code()  # another code, another count
    for _ in range(MAX_CODE_ATTEMPTS):
        assert rule_of(registry.request(wish(), wrong)) == "delegating.wrong-code"
    assert rule_of(registry.request(wish())) == "delegating.no-code"
    assert registry.waiting() == ((), None)


def test_a_child_rolls_its_key_over_without_a_code(registry: Registry) -> None:
    registry.delegate(1)
    both = wish(CHILD_KEY, NEXT_KEY)
    assert registry.request(both, None).status == Status.OK
    assert registry.waiting() == ((both,), None)
    assert registry.delegate(2).status == Status.OK
    assert registry.waiting() == ((both,), None), "a renewal as it was is not what was asked for"
    assert rule_of(registry.request(wish(NEXT_KEY), None)) == "delegating.no-code"
    assert rule_of(registry.request(wish(STRANGER), None)) == "delegating.no-code"


@pytest.mark.parametrize("child", ["88.118", "88.119.1", "88"])
def test_codes_are_for_children_only(registry: Registry, child: str) -> None:
    refused = registry.do(registry.admin, Op.CODE, child.encode(), 1, bytes(32), 1)
    assert rule_of(refused) == "delegating.not-below"
