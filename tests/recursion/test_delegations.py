"""Known delegations: the closest, for as long as it holds; what falls with one that is dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.identifiers import covers
from protocol.statements import Address, Delegation
from resolver.recursion.delegations import MAX_DELEGATIONS, Delegations, at_and_above
from tests.vectors.actors import ENTERPRISE, NOW, OTHER_SECONDARY, SECONDARY, UNTIL

ADDRESS = Address("node.example.cn", 26_410, 26_410)
STALE = 1_000


def claim(parent: str, child: str, serial: int = 1, until: int = UNTIL, key: bytes = b"") -> Delegation:
    """A delegation as if verified."""
    keys = (ENTERPRISE if key else SECONDARY).key.public
    return Delegation(parent, child, serial, NOW - 60, until, (keys,), (ADDRESS,))


def known() -> Delegations:
    """A tree of four below 88."""
    delegations = Delegations("88", STALE)
    for parent, child in (("88", "88.118"), ("88.118", "88.118.32001"), ("88.118", "88.118.7"), ("88", "88.119")):
        assert delegations.note(claim(parent, child), 600, NOW) == []
    return delegations


def closest(delegations: Delegations, prefix: str, now: int = NOW, *, overdue: bool = False) -> str | None:
    found = delegations.closest(prefix, now, overdue=overdue)
    return found.claim.child if found else None


def test_the_closest_is_found() -> None:
    delegations = known()
    assert closest(delegations, "88.118.32001") == "88.118.32001"
    assert closest(delegations, "88.118.32001.5.6") == "88.118.32001"
    assert closest(delegations, "88.118.32001X") == "88.118"
    assert closest(delegations, "88.118") == "88.118"
    assert closest(delegations, "88.1180") is None
    assert closest(delegations, "99.1") is None
    assert delegations.chain("88.118.32001") == ["88", "88.118", "88.118.32001"]
    assert delegations.chain("88") == ["88"]


def test_time_ends_one_and_shows_the_next_above() -> None:
    delegations = known()
    delegations.note(claim("88", "88.118", 2), 600, NOW + 300)
    assert closest(delegations, "88.118.32001", NOW + 600) == "88.118.32001"
    assert closest(delegations, "88.118.32001", NOW + 601) == "88.118"
    assert closest(delegations, "88.118.32001", NOW + 901) is None
    assert closest(delegations, "88.118.32001", NOW + 600 + STALE, overdue=True) == "88.118.32001"
    assert closest(delegations, "88.118.32001", NOW + 601 + STALE, overdue=True) == "88.118"


def test_nothing_is_used_beyond_its_statement() -> None:
    delegations = Delegations("88", STALE)
    delegations.note(claim("88", "88.118", until=NOW + 700), 600, NOW)
    assert closest(delegations, "88.118", NOW + 700, overdue=True) == "88.118"
    assert closest(delegations, "88.118", NOW + 701, overdue=True) is None


def test_dropping_takes_what_lies_below() -> None:
    delegations = known()
    assert sorted(delegations.drop("88.118")) == ["88.118", "88.118.32001", "88.118.7"]
    assert len(delegations) == 1
    assert delegations.drop("88.118") == []


def test_other_keys_take_what_rests_on_the_old_ones() -> None:
    delegations = known()
    assert delegations.note(claim("88", "88.118", 2), 600, NOW) == [], "the same keys: all stays"
    assert len(delegations.note(claim("88", "88.118", 3, key=b"other"), 600, NOW)) == 3
    assert delegations.get("88.118") is not None


def test_a_renewed_delegation_takes_the_answers_from_before() -> None:
    """Seals are judged by the delegations of their own time, and only the newest delegation is shown."""
    delegations = known()
    old = claim("88", "88.118", 2)
    renewed = Delegation(old.parent, old.child, 2, old.not_before + 1, old.not_after, old.keys, old.addresses)
    assert delegations.note(renewed, 600, NOW) == ["88.118"]
    assert delegations.note(renewed, 600, NOW) == []
    assert closest(delegations, "88.118.7") == "88.118.7"


def test_what_is_revoked() -> None:
    delegations = known()
    assert delegations.revoked_by("88.118", "88.118.32001") == "88.118.32001"
    assert delegations.revoked_by("88.118", "88.118.32001.5") == "88.118.32001"
    assert delegations.revoked_by("88", "88.118.32001") == "88.118"
    assert delegations.revoked_by("88.118", "88.118.32002") is None
    assert delegations.revoked_by("88.118", "88.119") is None


def test_those_in_use_are_to_be_checked_in_time() -> None:
    delegations = known()
    delegations.used("88.118.32001", NOW + 10_000)
    assert delegations.due(NOW + 599, 30) == ([], [])
    due, gone = delegations.due(NOW + 600, 30)
    assert {one.claim.child for one in due} == {"88.118", "88.118.32001"}, "with what it rests on, and no others"
    assert gone == []
    for one in due:
        one.checked = NOW + 600
    assert delegations.due(NOW + 629, 30) == ([], [])
    assert len(delegations.due(NOW + 630, 30)[0]) == 2
    due, gone = delegations.due(NOW + 601 + STALE, 30)
    assert due == []
    assert sorted(gone) == ["88.118", "88.118.32001", "88.118.7", "88.119"]
    assert len(delegations) == 0


def test_the_table_is_bounded() -> None:
    delegations = Delegations("88", STALE)
    dropped = [zone for n in range(MAX_DELEGATIONS + 2) for zone in delegations.note(claim("88", f"88.{n}"), 600, NOW)]
    assert dropped == [f"88.{n}" for n in range(MAX_DELEGATIONS // 10)], "those noted longest ago"
    assert len(delegations) == MAX_DELEGATIONS - len(dropped) + 2


@given(st.lists(st.sampled_from("012"), min_size=1, max_size=6))
def test_at_and_above(segments: list[str]) -> None:
    prefix = ".".join(segments)
    above = list(at_and_above(prefix))
    assert len(above) == len(segments)
    assert above[0] == prefix
    assert all(covers(one, prefix) for one in above)


def test_zones_of_others_are_not_touched() -> None:
    delegations = known()
    delegations.drop(OTHER_SECONDARY.prefix)
    assert closest(delegations, "88.118.7") == "88.118.7"
