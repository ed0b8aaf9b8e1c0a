"""Walks step by step: where they lead, and each way in which a server can lead astray."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, starmap
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import Address
from protocol.errors import BiaoshiError, Refused, Unreachable, Unresolved
from protocol.exchange import Reply
from protocol.limits import MAX_CHAIN
from protocol.messages import REFUSED
from protocol.statements import Address as Served
from protocol.statements import Delegation, OnlineKey
from protocol.status import Status
from protocol.trust import Chain, Proof, TrustAnchor, Verifier
from resolver.recursion.delegations import Delegations
from resolver.recursion.walk import RECHECK_SECONDS, Walk
from tests.vectors.actors import (
    ABSENT,
    BODY,
    ENTERPRISE,
    IDENTIFIER,
    NOW,
    NOW_MS,
    OTHER_SECONDARY,
    SECONDARY,
    SINCE,
    TOP,
    UNTIL,
    WITHDRAWN_BODY,
    Zone,
    key,
)

ROOTS: Final = (Address("top-1", 1), Address("top-2", 2))
PATH: Final = (TOP, SECONDARY, ENTERPRISE)


def statement(
    parent: Zone, child: Zone, *, serial: int = 1, until: int = UNTIL, hosts: Sequence[str] = ("one",)
) -> bytes:
    """A delegation that names hosts."""
    addresses = tuple(Served(host, 26_410, 0) for host in hosts)
    return Delegation(parent.prefix, child.prefix, serial, SINCE, until, (child.key.public,), addresses).sign(
        parent.key
    )


def proven(verifier: Verifier, zones: Sequence[Zone], status: int, payload: object) -> Reply:
    """A verified reply by the last of some zones, each delegated by the one before."""
    delegations = tuple(starmap(statement, pairwise(zones)))
    chain = Chain(delegations, (zones[-1].online_statement(),))
    zone = verifier.learn(chain, NOW_MS)
    online = OnlineKey(zone.prefix, "node-1", zones[-1].online.public, NOW - 10, NOW + 10)
    return Reply(1, status, payload, Proof(zone, online, NOW_MS), None)


class Walked:
    """A walk with what it needs, and the words to carry it out."""

    def __init__(self, identifier: bytes = IDENTIFIER, delegations: Delegations | None = None, now: int = NOW) -> None:
        self.now = now
        self.verifier = Verifier(TrustAnchor(TOP.prefix, TOP.key.public))
        self.delegations = delegations or Delegations(TOP.prefix, 1_000)
        self.walk = Walk(identifier, ROOTS, self.delegations, self.verifier, now)

    def referral(self, depth: int, child: Zone | None = None, **bent: object) -> object:
        """A referral by the zone at ``depth`` to the next, taken as the answer of the first server."""
        parent = PATH[depth]
        payload = (statement(parent, child or PATH[depth + 1], **bent), 600)  # type: ignore[arg-type]
        return self.take(depth, Status.REFERRAL, payload)

    def take(self, depth: int, status: int, payload: object, path: Sequence[Zone] = PATH) -> object:
        """An answer by the zone at ``depth``."""
        reply = proven(self.verifier, path[: depth + 1], status, payload)
        return self.walk.take(self.walk.servers[0], reply, NOW_MS)

    def fail_all(self, error: BiaoshiError | None = None) -> None:
        """All servers of the zone fail."""
        for server in self.walk.servers:
            if server not in self.walk.tried:
                self.walk.failed(server, error or Unreachable(REFUSED, sentence="nothing there"))

    def exhausted(self, later: int = 0) -> None:
        """The zone has no server left."""
        self.walk.exhausted(self.now + later)


@pytest.mark.parametrize(
    ("status", "payload", "expected"),
    [
        (0, BODY, Status.OK),
        (100, 300, Status.NOT_FOUND),
        (101, WITHDRAWN_BODY, Status.WITHDRAWN),
        (105, None, Status.SUSPENDED),
    ],
)
def test_from_the_top_to_an_answer(status: int, payload: object, expected: Status) -> None:
    walked = Walked()
    assert (walked.walk.zone, walked.walk.servers) == ("88", ROOTS)
    assert walked.referral(0) is None
    assert (walked.walk.zone, walked.walk.servers) == ("88.118", (Address("one", 26_410),))
    assert walked.referral(1, hosts=("two", "three")) is None
    assert walked.walk.servers == (Address("two", 26_410), Address("three", 26_410))
    answer = walked.take(2, status, payload)
    assert answer.status is expected  # type: ignore[attr-defined]
    assert answer.proof.zone.prefix == "88.118.32001"  # type: ignore[attr-defined]
    assert [step.said for step in walked.walk.steps] == [
        "refers to 88.118, serial 1", "refers to 88.118.32001, serial 1", expected.label,
    ]  # fmt: skip
    assert walked.walk.chain == "88 [top-1:1] → 88.118 [one:26410] → 88.118.32001 [two:26410]"
    assert len(walked.delegations) == 2


def test_the_next_walk_begins_with_the_closest_zone_that_is_known() -> None:
    first = Walked()
    first.referral(0)
    first.referral(1)
    second = Walked(ABSENT, first.delegations)
    assert second.walk.zone == "88.118.32001"
    assert second.walk.steps[0].cached
    third = Walked(b"88.118.7/x", first.delegations)
    assert third.walk.zone == "88.118"
    assert Walked(b"88.118.32001/x", first.delegations, NOW + 601).walk.zone == "88"


def test_the_parent_itself_may_answer() -> None:
    walked = Walked(b"88.118.5/x")
    walked.referral(0)
    assert walked.take(1, 100, 300).status is Status.NOT_FOUND  # type: ignore[attr-defined]
    assert Walked(b"88/x").take(0, 100, 300).status is Status.NOT_FOUND  # type: ignore[attr-defined]


def test_outside_the_anchor_nobody_is_asked() -> None:
    with pytest.raises(Unresolved) as caught:
        Walked(b"99.1/x")
    assert caught.value.rule.name == "recursion.not-responsible"
    assert caught.value.status is Status.NOT_RESPONSIBLE


def raises(walked: Walked, rule: str, depth: int, status: int, payload: object, path: Sequence[Zone] = PATH) -> None:
    """One server answers so: it is passed over with this rule, which is what is told when no other is left."""
    zone, server = walked.walk.zone, walked.walk.servers[0]
    with pytest.raises(BiaoshiError) as caught:
        walked.take(depth, status, payload, path)
    assert walked.walk.zone == zone, "nothing has changed"
    assert caught.value.rule.name == rule
    walked.walk.failed(server, caught.value)
    assert server in walked.walk.tried
    walked.fail_all()
    with pytest.raises(Unresolved) as told:
        walked.exhausted()
    if isinstance(caught.value, Unresolved):
        assert told.value.rule.name == rule
    else:
        assert told.value.rule.name == "recursion.no-answer"
    assert str(server) in str(told.value.details["chain"])
    assert told.value.status is Status.UNRESOLVED


def at_secondary() -> Walked:
    """A walk that has come to the secondary."""
    walked = Walked()
    walked.referral(0)
    return walked


def test_a_lame_server_is_of_another_zone_or_says_it_is_not_responsible() -> None:
    raises(at_secondary(), "recursion.lame-delegation", 1, Status.OK, BODY, (TOP, OTHER_SECONDARY))
    raises(at_secondary(), "recursion.lame-delegation", 0, Status.NOT_FOUND, 300)  # the parent's own server
    raises(at_secondary(), "recursion.lame-delegation", 1, Status.NOT_RESPONSIBLE, None)


def test_a_referral_to_the_zone_itself() -> None:
    raises(at_secondary(), "recursion.self-referral", 1, Status.REFERRAL, (statement(TOP, SECONDARY), 600))


def test_a_referral_back_up_is_a_loop() -> None:
    walked = at_secondary()
    walked.referral(1)
    raises(walked, "recursion.loop", 2, Status.REFERRAL, (statement(TOP, SECONDARY), 600))


def test_a_referral_that_does_not_cover_the_question() -> None:
    foreign = Zone("88.118.7", key("foreign"), key("foreign online"))
    payload = (statement(SECONDARY, foreign), 600)
    raises(at_secondary(), "recursion.lame-delegation", 1, Status.REFERRAL, payload)
    grandchild = statement(ENTERPRISE, Zone("88.118.32001.1", key("a"), key("b")))
    raises(at_secondary(), "recursion.lame-delegation", 1, Status.REFERRAL, (grandchild, 600))


def test_a_referral_signed_by_somebody_else() -> None:
    forged = Delegation("88.118", ENTERPRISE.prefix, 9, SINCE, UNTIL, (key("thief").public,), ()).sign(key("thief"))
    raises(at_secondary(), "recursion.lame-delegation", 1, Status.REFERRAL, (forged, 600))


def test_a_delegation_that_has_ended() -> None:
    raises(
        at_secondary(), "recursion.revoked", 1, Status.REFERRAL, (statement(SECONDARY, ENTERPRISE, until=NOW - 1), 600)
    )


@pytest.mark.parametrize("status", [500, 501, 503, 505, 301, 999])
def test_a_server_that_cannot_now(status: int) -> None:
    raises(at_secondary(), "message.refused", 1, status, None)


@pytest.mark.parametrize(
    ("status", "payload", "rule"),
    [
        (103, None, "referral.malformed"),
        (103, (b"no statement", 600), "statement.malformed"),
        (0, b"no body", "record.malformed"),
        (100, None, "answer.bad-payload"),
    ],
)
def test_a_server_that_makes_no_sense(status: int, payload: object, rule: str) -> None:
    raises(at_secondary(), rule, 1, status, payload)


def test_too_deep() -> None:
    zones = [TOP]
    for depth in range(MAX_CHAIN + 1):
        zones.append(Zone(f"{zones[-1].prefix}.{depth}", key(f"zone {depth}"), key(f"online {depth}")))
    walked = Walked(f"{zones[-1].prefix}/x".encode())
    for depth in range(MAX_CHAIN):
        payload = (statement(zones[depth], zones[depth + 1]), 600)
        assert walked.take(depth, Status.REFERRAL, payload, zones) is None
    payload = (statement(zones[MAX_CHAIN], zones[MAX_CHAIN + 1]), 600)
    raises(walked, "recursion.too-deep", MAX_CHAIN, Status.REFERRAL, payload, zones)


def test_no_address_that_can_be_used() -> None:
    walked = Walked()
    encrypted = Delegation("88", "88.118", 1, SINCE, UNTIL, (SECONDARY.key.public,),
                           (Served("a", 1, 1, tls=True), Served("b", 0, 1))).sign(TOP.key)  # fmt: skip
    walked.take(0, Status.REFERRAL, (encrypted, 600))
    assert walked.walk.servers == ()
    with pytest.raises(Unresolved) as caught:
        walked.exhausted()
    assert caught.value.rule.name == "recursion.no-address"


def test_dead_servers_are_named() -> None:
    walked = at_secondary()
    walked.fail_all()
    with pytest.raises(Unresolved) as caught:
        walked.exhausted()
    assert caught.value.rule.name == "recursion.no-answer"
    assert caught.value.details == {
        "zone": "88.118",
        "reason": "the node answered: nothing there",
        "chain": "88 [top-1:1] → 88.118 [one:26410]",
    }
    assert "88.118" in caught.value.message("zh")


def remembered() -> Delegations:
    """What a walk to the enterprise has left behind, a while ago."""
    first = Walked()
    first.referral(0)
    first.referral(1)
    for child in ("88.118", "88.118.32001"):
        first.delegations.get(child).checked -= RECHECK_SECONDS  # type: ignore[union-attr]
    return first.delegations


def test_where_remembered_servers_fail_the_parent_is_asked_for_newer_ones() -> None:
    walked = Walked(delegations=remembered())
    assert walked.walk.zone == "88.118.32001"
    walked.fail_all()
    walked.exhausted()
    assert walked.walk.zone == "88.118"
    assert walked.referral(1, serial=2, hosts=("moved",)) is None
    assert (walked.walk.zone, walked.walk.servers) == ("88.118.32001", (Address("moved", 26_410),))
    assert walked.take(2, 0, BODY).found  # type: ignore[attr-defined]


def test_where_the_parent_knows_nothing_newer_it_is_not_asked_again_soon() -> None:
    delegations = remembered()
    walked = Walked(delegations=delegations)
    walked.fail_all()
    walked.exhausted()
    assert walked.referral(1) is None, "the parent has done its work"
    assert walked.walk.tried == set(walked.walk.servers)
    with pytest.raises(Unresolved) as caught:
        walked.exhausted()
    assert caught.value.rule.name == "recursion.no-answer"
    assert caught.value.details["zone"] == "88.118.32001"
    again = Walked(delegations=delegations)
    again.fail_all()
    with pytest.raises(Unresolved):
        again.exhausted(RECHECK_SECONDS - 1)


def test_where_the_parent_is_down_too_the_child_is_named() -> None:
    walked = Walked(delegations=remembered())
    for zone in ("88.118.32001", "88.118", "88"):
        assert walked.walk.zone == zone
        walked.fail_all()
        if zone != "88":
            walked.exhausted()
    with pytest.raises(Unresolved) as caught:
        walked.exhausted()
    assert caught.value.details["zone"] == "88.118.32001"


def test_a_revoked_delegation_is_noticed_when_the_parent_answers_itself() -> None:
    delegations = remembered()
    walked = Walked(delegations=delegations, now=NOW + 601)
    walked.now = NOW
    walked.referral(0)
    assert walked.take(1, 100, 300).status is Status.NOT_FOUND  # type: ignore[attr-defined]
    assert walked.walk.dropped == ["88.118.32001"]
    assert delegations.get("88.118.32001") is None


def test_an_overdue_delegation_is_used_while_the_parent_is_down() -> None:
    delegations = remembered()
    walked = Walked(delegations=delegations, now=NOW + 700)
    assert walked.walk.zone == "88"
    walked.fail_all()
    walked.exhausted()
    assert walked.walk.zone == "88.118.32001"
    assert walked.take(2, 0, BODY).found  # type: ignore[attr-defined]
    late = Walked(delegations=delegations, now=NOW + 601 + 1_000)
    late.fail_all()
    with pytest.raises(Unresolved):
        late.exhausted()


@given(st.lists(st.sampled_from(["referral", "answer", "fail", "lame", "loop", "self"]), max_size=30), st.booleans())
def test_every_walk_ends(moves: list[str], warm: bool) -> None:
    """Whatever servers say, a walk asks each server of a zone once at most before it goes on, never goes round, and
    comes to an end."""
    walked = Walked(delegations=remembered() if warm else None)
    depths = {zone.prefix: depth for depth, zone in enumerate(PATH)}
    asked: list[tuple[str, Address]] = []
    for move in [*moves, *["fail"] * 30]:
        walk = walked.walk
        left = [server for server in walk.servers if server not in walk.tried]
        try:
            if not left:
                walked.exhausted()
                continue
            server, depth = left[0], depths[walk.zone]
            asked.append((walk.zone, server))
            if carry_out(walked, move, depth, server):
                break
        except Unresolved:
            break
    else:
        raise AssertionError("no end")
    assert len(asked) <= 12


def carry_out(walked: Walked, move: str, depth: int, server: Address) -> bool:
    """One server answers so; whether that was the answer."""
    if move == "fail":
        walked.walk.failed(server, Unreachable(REFUSED, sentence="dead"))
        return False
    try:
        if move == "answer" or (move == "referral" and depth == 2):
            return walked.take(depth, 0, BODY) is not None
        if move == "referral":
            assert walked.referral(depth) is None
        elif move == "lame":
            walked.take(depth, Status.NOT_RESPONSIBLE, None)
        else:
            child = TOP if move == "loop" else PATH[depth]
            walked.take(depth, Status.REFERRAL, (statement(SECONDARY, child), 600))
    except (Refused, Unresolved) as error:
        assert walked.walk.zone
        walked.walk.failed(server, error)
    return False
