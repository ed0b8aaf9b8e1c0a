"""Identities in native sessions: their keys prove them; what is revoked or suspended ends at once, in open ones too."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import Refused
from protocol.framing import split
from protocol.messages import Op, Response, encode_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import Chain
from registry.enterprises.bodies import Allot
from registry.feeding import Poll
from registry.identities.bodies import ChangeIdentity, NewKey
from registry.rights import challenge_bytes
from registry.session import Batch, Session
from registry.store.callers.permissions import Role
from registry.store.writes import ANY
from tests.registry.house import ADMINISTRATOR, NOW, WHY, ZONE, ZONE_KEY, House, code
from tests.registry.store.builders import values

FACTS = NodeFacts("secondary", ZONE, "biaoshi/test", Chain((b"delegation",), (b"online key",)))
ONE, TWO = "88.118.00001", "88.118.00002"
KEY = SigningKey(b"k" * 32)


@pytest.fixture
def house() -> House:
    house = House()
    house.allot(1)
    house.allot(2)
    return house


class Client:
    """A session, and what is asked over it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.session = Session(house.store, FACTS, house.rights, dict)

    def ask(self, op: int, *arguments: Any) -> Response:
        [(request, _)] = split(encode_request(op, 7, *arguments))
        answer = self.session.answer(request)
        if isinstance(answer, Batch):
            answer = answer.response(self.house.store.apply(answer.writes, NOW))
        assert isinstance(answer, bytes)
        [(message, _)] = split(answer)
        return read_response(message)

    def prove(self, key: SigningKey) -> Response:
        response = self.ask(Op.AUTHENTICATE, 1, key.public.raw)
        if response.status != Status.OK:
            return response
        assert isinstance(response.payload, bytes)
        return self.ask(Op.PROVE, key.sign(challenge_bytes(ZONE, response.payload)))

    def write(self, *identifiers: str) -> list[int]:
        """The statuses of writes, or that of the whole request."""
        response = self.ask(Op.WRITE, [(one.encode(), ANY, values()) for one in identifiers])
        if response.status != Status.OK:
            return [response.status]
        return [item[0] for item in response.payload]  # type: ignore[attr-defined]


def client(house: House, role: Role, name: str = f"{ONE}/U.li") -> Client:
    """A session of an identity with that role, by a key of its."""
    caller = house.identity(name, role)
    house.do(house.identities.add_key(caller, name, NewKey(key=str(KEY.public)), NOW))
    client = Client(house)
    assert client.prove(KEY).status == Status.OK
    return client


@pytest.mark.parametrize("count", [1, 20])
def test_a_writer_writes_below_its_own_prefix(house: House, count: int) -> None:
    li = client(house, Role.ENTERPRISE_WRITER)
    assert li.prove(KEY).payload == (ONE.encode(),)
    assert li.write(*(f"{ONE}/P{number}" for number in range(count))) == [Status.OK] * count
    assert li.write(*(f"{TWO}/P{number}" for number in range(count))) == [Status.NOT_PERMITTED] * count
    assert li.write(f"{ZONE}/P") == [Status.NOT_PERMITTED]
    assert li.ask(Op.RECORDS, ONE.encode(), None, 10).status == Status.OK
    assert li.ask(Op.RECORDS, TWO.encode(), None, 10).status == Status.NOT_PERMITTED
    assert li.ask(Op.CHANGES, None, 10).status == Status.NOT_PERMITTED
    statistics = li.ask(Op.STATISTICS, 0, ZONE.encode(), 0, 1, None, 10)
    assert refusal(statistics.status, statistics.payload).rule.name == "statistics.whole-zone"


def test_a_reader_reads_and_writes_nothing(house: House) -> None:
    li = client(house, Role.READER)
    assert li.prove(KEY).payload == ()
    assert li.write(f"{ONE}/P") == [Status.NOT_PERMITTED]
    assert li.ask(Op.FETCH, [f"{ONE}/P".encode()]).payload == (None,)
    assert li.ask(Op.FETCH, [f"{TWO}/P".encode()]).status == Status.NOT_PERMITTED


def test_an_auditor_sees_the_sums_and_no_records(house: House) -> None:
    li = client(house, Role.AUDITOR, f"{ZONE}/U.audit")
    assert li.ask(Op.STATISTICS, 0, ZONE.encode(), 0, 1, None, 10).status == Status.OK
    assert li.ask(Op.RECORDS, ONE.encode(), None, 10).status == Status.NOT_PERMITTED
    assert li.write(f"{ONE}/P") == [Status.NOT_PERMITTED]


@pytest.mark.parametrize("how", ["revoke", "disable", "close"])
def test_what_is_revoked_ends_in_open_sessions(house: House, how: str) -> None:
    li = client(house, Role.ENTERPRISE_WRITER)
    name = f"{ONE}/U.li"
    assert li.write(f"{ONE}/P1") == [Status.OK]
    [credential] = house.identities.identity(ADMINISTRATOR, name, NOW).credentials
    if how == "revoke":
        house.do(house.identities.revoke(ADMINISTRATOR, name, credential.id, NOW))
    elif how == "disable":
        house.do(house.identities.change(ADMINISTRATOR, name, ChangeIdentity(disabled=True), NOW))
    else:
        house.do(house.enterprises.close_prefix(ADMINISTRATOR, ONE, WHY, NOW))
    for response in (
        li.ask(Op.WRITE, [(f"{ONE}/P2".encode(), ANY, values())]),
        li.ask(Op.RECORDS, ONE.encode(), None, 10),
        li.ask(Op.STATISTICS, 0, ZONE.encode(), 0, 1, None, 10),
        li.prove(KEY),
    ):
        assert refusal(response.status, response.payload).rule.name == "rights.unknown-key"
    assert house.store.find(f"{ONE}/P2".encode()) is None


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("who", ["writer", "zone key"])
def test_a_suspended_prefix_refuses_writes_by_its_own_status(house: House, count: int, who: str) -> None:
    """Whoever asks; in an open session; also withdrawals; and only there."""
    session = client(house, Role.ENTERPRISE_WRITER)
    if who == "zone key":
        assert session.prove(ZONE_KEY).status == Status.OK
    names = [f"{ONE}/P{number}" for number in range(count)]
    assert session.write(*names) == [Status.OK] * count
    house.do(house.enterprises.suspend(ADMINISTRATOR, ONE, WHY, NOW))
    assert session.write(*names) == [Status.SUSPENDED] * count
    assert session.write(f"{ONE}.7/P") == [Status.SUSPENDED]
    response = session.ask(Op.WRITE, [(names[0].encode(), ANY, None)])
    [(status, (rule, details), changed)] = response.payload  # type: ignore[misc]
    assert (status, rule, changed) == (Status.SUSPENDED, b"rights.suspended", False)
    assert details[b"reason"] == WHY.reason.encode()
    assert house.store.get(names[0].encode()) is None
    if who == "zone key":
        mixed = [f"{TWO}/P", names[0], f"{TWO}/Q"]
        assert session.write(*mixed) == [Status.OK, Status.SUSPENDED, Status.OK]
    house.do(house.enterprises.resume(ADMINISTRATOR, ONE, WHY, NOW))
    assert session.write(*names) == [Status.OK] * count
    assert house.store.get(names[0].encode()) is not None


def test_a_prefix_is_written_to_while_it_is_hosted(house: House) -> None:
    session = client(house, Role.ENTERPRISE_WRITER, f"{TWO}/U.wang")
    house.approve(3)
    house.do(house.enterprises.allot(ADMINISTRATOR, code(3), Allot(), NOW))
    assert session.prove(ZONE_KEY).status == Status.OK
    name = "88.118.00003/P"
    assert session.write(name) == [Status.NOT_PERMITTED]
    house.do(house.enterprises.host(ADMINISTRATOR, "88.118.00003", NOW))
    assert session.write(name) == [Status.OK]
    house.do(house.enterprises.step(ADMINISTRATOR, "88.118.00003", "transfer", NOW, "moves", "node of three"))
    assert session.write(name) == [Status.NOT_PERMITTED]
    assert house.store.get(name.encode()) is not None
    house.do(house.enterprises.close_prefix(ADMINISTRATOR, "88.118.00003", WHY, NOW))
    assert session.write(name) == [Status.WITHDRAWN]


def test_a_question_that_waits_for_news_is_answered_no_when_its_caller_is_revoked(house: House) -> None:
    session = client(house, Role.NODE_ADMINISTRATOR, f"{ZONE}/U.chief")
    cursor = session.ask(Op.CHANGES, None, 10).payload[1]  # type: ignore[index]
    [(request, _)] = split(encode_request(Op.CHANGES, 7, cursor, 10, 1_000, 0))
    poll = session.session.answer(request)
    assert isinstance(poll, Poll)
    house.do(house.identities.change(ADMINISTRATOR, f"{ZONE}/U.chief", ChangeIdentity(disabled=True), NOW))
    with pytest.raises(Refused):
        poll.response(final=False)
