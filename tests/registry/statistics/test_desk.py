"""The parent's side of the wire, on both backends: who is let in, what is kept once, what the sums are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import StoreError
from protocol.framing import split
from protocol.messages import Op, Response, encode_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.reports import NONCE_BYTES, Report, encode_report, proof_bytes
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import Chain
from registry.delegations import SystemBatch
from registry.rights import Rights, challenge_bytes
from registry.session import Session
from registry.statistics.desk import Wanted
from registry.store.interface import STORE_FULL, Store
from registry.store.lmdb.writer import LmdbStore
from registry.store.memory import MemoryStore
from tests.registry.statistics.builders import NOW, TOP, Child, report
from tests.registry.store.builders import check_agreement, put

OWNER = SigningKey(b"w" * 32)
ENTERPRISE = SigningKey(b"e" * 32)
RIGHTS = Rights({OWNER.public: [TOP], ENTERPRISE.public: ["88.1"]}, TOP)
FACTS = NodeFacts("top", TOP, "biaoshi/test", Chain((), (b"key",)))
FOR_EVER = (1 << 63) - 1


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / "store")
    yield opened
    check_agreement(opened)
    opened.close()


@pytest.fixture
def child(store: Store) -> Child:
    made = Child("88.118")
    made.delegate(store)
    return made


class Visit:
    """A connection to the top's registry."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.store = store
        self.session = Session(store, FACTS, RIGHTS, dict, period=3_600)

    def ask(self, op: Op, *arguments: object, lose: bool = False) -> Response:
        """The response to a request; with ``lose``, what was to be written is not."""
        ((request, _),) = split(encode_request(op, 5, *arguments))
        answer = self.session.answer(request)
        if isinstance(answer, SystemBatch):
            failure = StoreError(STORE_FULL, reason="test")
            answer = answer.response(failure if lose else self.store.apply(answer.writes, NOW))
        assert isinstance(answer, bytes)
        ((message, _),) = split(answer)
        return read_response(message)

    def speak_for(self, child: Child) -> Visit:
        """Prove a child's online key."""
        nonce = self.ask(Op.REPORTER, child.statement()).payload
        assert isinstance(nonce, bytes)
        assert len(nonce) == NONCE_BYTES
        answer = self.ask(Op.PROVE_REPORTER, child.online.sign(proof_bytes(TOP, child.zone, nonce)))
        assert (answer.status, answer.payload) == (Status.OK, child.zone.encode())
        return self

    def authenticate(self, key: SigningKey) -> Visit:
        """Prove a writer's key."""
        nonce = self.ask(Op.AUTHENTICATE, 1, key.public.raw).payload
        assert isinstance(nonce, bytes)
        assert self.ask(Op.PROVE, key.sign(challenge_bytes(TOP, nonce))).status == Status.OK
        return self

    def report(self, one: Report) -> tuple[int, object]:
        answer = self.ask(Op.REPORT, encode_report(one))
        return answer.status, answer.payload

    def read(
        self, wanted: Wanted, zone: str = "", since: int = 0, until: int = FOR_EVER, limit: int = 1_000
    ) -> list[Any]:
        """All rows, page by page."""
        found: list[Any] = []
        cursor: bytes | None = None
        while True:
            answer = self.ask(Op.STATISTICS, int(wanted), zone.encode(), since, until, cursor, limit)
            assert answer.status == Status.OK
            rows, cursor, _, period = answer.payload  # type: ignore[misc]
            assert period == 3_600
            found += rows
            if cursor is None:
                return found


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.session.time.time", lambda: float(NOW))


def rule_of(answer: Response) -> str:
    return refusal(answer.status, answer.payload).rule.name


# Who is let in --------------------------------------------------------------------------------------------


def test_a_stranger_gets_no_challenge(store: Store, child: Child) -> None:
    visit = Visit(store)
    assert rule_of(visit.ask(Op.REPORTER, Child("88.119").statement())) == "report.not-delegated"
    below = Child("88.118.1").statement()
    assert rule_of(visit.ask(Op.REPORTER, below)) == "report.not-delegated", "only direct children"
    assert rule_of(visit.ask(Op.REPORTER, b"nonsense")) == "statement.malformed"
    assert rule_of(visit.ask(Op.REPORTER, 7)) == "message.bad-arguments"
    assert visit.ask(Op.REPORT, encode_report(report(1))).status == Status.NOT_AUTHENTICATED


def test_a_challenge_serves_once_and_for_this_node_and_zone(store: Store, child: Child) -> None:
    visit = Visit(store)
    nonce = visit.ask(Op.REPORTER, child.statement()).payload
    assert isinstance(nonce, bytes)
    right = child.online.sign(proof_bytes(TOP, child.zone, nonce))
    assert visit.ask(Op.PROVE_REPORTER, right).status == Status.OK
    assert rule_of(visit.ask(Op.PROVE_REPORTER, right)) == "report.no-proof", "replayed"
    other = Visit(store)
    other.ask(Op.REPORTER, child.statement())
    assert rule_of(other.ask(Op.PROVE_REPORTER, right)) == "report.no-proof", "replayed on another connection"
    for wrong in (
        lambda nonce: child.online.sign(proof_bytes("88.118", child.zone, nonce)),
        lambda nonce: child.online.sign(proof_bytes(TOP, "88.119", nonce)),
        lambda nonce: child.online.sign(challenge_bytes(TOP, nonce)),
        lambda nonce: child.key.sign(proof_bytes(TOP, child.zone, nonce)),
        lambda nonce: b"",
    ):
        nonce = visit.ask(Op.REPORTER, child.statement()).payload
        assert rule_of(visit.ask(Op.PROVE_REPORTER, wrong(nonce))) == "report.no-proof"
    assert visit.report(report(1))[0] == Status.NOT_AUTHENTICATED, "what was proven before is given up"


def test_a_child_reports_for_its_own_zone_and_while_it_is_delegated(store: Store, child: Child) -> None:
    Child("88.119", seed=2).delegate(store)
    visit = Visit(store).speak_for(child)
    foreign = visit.ask(Op.REPORT, encode_report(report(1, zone="88.119")))
    assert rule_of(foreign) == "report.other-zone"
    assert visit.report(report(1)) == (Status.OK, (1, True))
    child.revoke(store)
    assert rule_of(visit.ask(Op.REPORT, encode_report(report(2)))) == "report.not-delegated"
    child.delegate(store, child.delegation(until=NOW - 1))
    assert rule_of(visit.ask(Op.REPORT, encode_report(report(2)))) == "report.not-valid-now"
    child.delegate(store)
    assert visit.report(report(2)) == (Status.OK, (2, True))
    assert rule_of(visit.ask(Op.REPORT, b"\x00")) == "report.malformed"


# What is kept ---------------------------------------------------------------------------------------------


def test_duplicates_change_no_sum(store: Store, child: Child) -> None:
    visit = Visit(store).speak_for(child).authenticate(OWNER)
    for _ in range(2):
        for sequence in (1, 2, 3):
            new = visit.report(report(sequence))[1]
            assert visit.report(report(sequence)) == (Status.OK, (sequence, False))
            assert new in ((sequence, True), (sequence, False))
    [own, zone] = visit.read(Wanted.ZONES)
    assert own[:3] == (TOP.encode(), True, 0)
    last = report(3)
    assert zone == (
        b"88.118", True, 3, last.start, last.end, NOW, 0, 3, 1, {b"C34": 1}, {b"resolved.ok": 1 + 2 + 3},
    )  # fmt: skip
    hours = visit.read(Wanted.HOURS, "88.118")
    assert [(hour[0], hour[3], hour[7]) for hour in hours] == [
        (report(i).start, i, {b"resolved.ok": i}) for i in (1, 2, 3)
    ]
    assert visit.read(Wanted.ENTERPRISES, "88.118") == [(b"88.118.1", 3)]
    assert store.counts().active == {}, "what a node keeps about itself is not counted"


def test_another_content_under_a_used_number_is_refused(store: Store, child: Child) -> None:
    visit = Visit(store).speak_for(child)
    visit.report(report(1))
    visit.report(report(2))
    for other in (report(1, counts={"resolved.ok": 9}), report(2, start=NOW + 1), report(1, start=NOW + 10**6)):
        answer = visit.ask(Op.REPORT, encode_report(other))
        assert rule_of(answer) == "report.used-number"
        assert refusal(answer.status, answer.payload).details == {
            "sequence": other.sequence, "last": 2, "end": report(2).end,
        }  # fmt: skip


def test_numbers_that_never_came_are_counted(store: Store, child: Child) -> None:
    visit = Visit(store).speak_for(child).authenticate(OWNER)
    visit.report(report(3))  # this node forgot, or never had, 1 and 2
    visit.report(report(9, first=5))  # 4 is missing; 5 to 8 were merged into 9
    assert visit.read(Wanted.ZONES)[1][6] == 3


def test_a_report_that_could_not_be_kept_is_new_again(store: Store, child: Child) -> None:
    visit = Visit(store).speak_for(child).authenticate(OWNER)
    assert visit.ask(Op.REPORT, encode_report(report(1)), lose=True).status == Status.STORE_FULL
    assert visit.report(report(1)) == (Status.OK, (1, True))
    assert visit.read(Wanted.ZONES)[1][10] == {b"resolved.ok": 1}


def test_a_report_of_which_only_the_hour_was_kept_is_new_again(store: Store, child: Child) -> None:
    """As on an engine where only single rows are atomic."""
    visit = Visit(store).speak_for(child).authenticate(OWNER)
    ((request, _),) = split(encode_request(Op.REPORT, 5, encode_report(report(1))))
    arrival = visit.session.answer(request)
    assert isinstance(arrival, SystemBatch)
    store.apply(arrival.writes[:-1], NOW)
    assert visit.report(report(1)) == (Status.OK, (1, True))
    assert visit.read(Wanted.ZONES)[1][10] == {b"resolved.ok": 1}


def test_two_at_the_same_time_are_counted_one_by_one(store: Store, child: Child) -> None:
    one, two = Visit(store).speak_for(child), Visit(store).speak_for(child).authenticate(OWNER)
    arrivals = []
    for visit, sequence in ((one, 1), (two, 2)):
        ((request, _),) = split(encode_request(Op.REPORT, 5, encode_report(report(sequence))))
        arrivals.append(visit.session.answer(request))
    answers = [arrival.response(store.apply(arrival.writes, NOW)) for arrival in arrivals]  # type: ignore[union-attr]
    first, second = (read_response(split(answer)[0][0]) for answer in answers)
    assert first.status == Status.OK
    assert rule_of(second) == "report.meanwhile"
    assert two.report(report(2)) == (Status.OK, (2, True))
    assert two.read(Wanted.ZONES)[1][10] == {b"resolved.ok": 3}


def test_an_hour_in_parts(store: Store, child: Child) -> None:
    visit = Visit(store).speak_for(child).authenticate(OWNER)
    for hour, width in ((0, 3), (1, 2)):
        for part in range(width):
            one = report(
                3 * hour + part + 1, start=NOW + hour, part=part, parts=width, registered=100 * (hour + 1),
                enterprises={f"88.118.{part}": hour + 1}, counts={"resolved.ok": 5} if part == 0 else {},
                industries={"C34": hour + 1} if part == 0 else {},
            )  # fmt: skip
            assert visit.report(one)[0] == Status.OK
        zone = visit.read(Wanted.ZONES)[1]
        assert zone[7:] == (100 * (hour + 1), width, {b"C34": hour + 1}, {b"resolved.ok": 5 * (hour + 1)})
        assert len(visit.read(Wanted.ENTERPRISES, "88.118", limit=1)) == width
    assert len(visit.read(Wanted.HOURS, "88.118", limit=1)) == 2


# What is shown --------------------------------------------------------------------------------------------


def test_sums_are_for_who_may_write_the_whole_zone(store: Store) -> None:
    request = (int(Wanted.ZONES), b"", 0, FOR_EVER, None, 10)
    assert rule_of(Visit(store).ask(Op.STATISTICS, *request)) == "statistics.whole-zone"
    enterprise = Visit(store).authenticate(ENTERPRISE)
    assert enterprise.ask(Op.STATISTICS, *request).status == Status.NOT_PERMITTED
    owner = Visit(store).authenticate(OWNER)
    for wrong in ((9, *request[1:]), request[:-1], (*request[:-1], 0), (*request[:-1], 1_001), (0, 5, 0, 0, None, 1)):
        assert rule_of(owner.ask(Op.STATISTICS, *wrong)) == "message.bad-arguments"
    assert owner.ask(Op.STATISTICS, 0, b"", 0, 1, b"no cursor of ours", 5).status in (Status.OK, Status.BAD_REQUEST)


def test_zones_and_hours_come_in_pages(store: Store) -> None:
    children = [Child(f"88.{number}", seed=number % 50 + 1) for number in range(100, 125)]
    for child in children:
        child.delegate(store)
        Visit(store).speak_for(child).report(report(1, zone=child.zone))
    children[3].revoke(store)
    never = Child("88.200")
    never.delegate(store)
    never.revoke(store)
    put_below = Child("88.100.5", seed=9)
    put_below.delegate(store)  # not possible by the rules of delegations; its hours are not those of 88.100
    Visit(store).speak_for(put_below).report(report(1, zone="88.100.5"))
    owner = Visit(store).authenticate(OWNER)
    zones = owner.read(Wanted.ZONES, limit=4)
    assert [zone[0].decode() for zone in zones] == [TOP, *sorted([*(child.zone for child in children), "88.100.5"])]
    assert [zone[0] for zone in zones if not zone[1]] == [b"88.103"], "revoked, but it had reported"
    for sequence in range(2, 12):
        Visit(store).speak_for(children[0]).report(report(sequence, zone="88.100"))
    assert len(owner.read(Wanted.HOURS, "88.100", limit=3)) == 11
    found = owner.read(Wanted.HOURS, "88.100", since=report(4).start, until=report(7).start, limit=2)
    assert [hour[3] for hour in found] == [4, 5, 6]
    assert owner.read(Wanted.HOURS, "88.999") == []
    store.apply([put("88.100/x")], NOW)
    assert len(owner.read(Wanted.ZONES)) == len(zones)
