"""Who may report, and what becomes of a report: the whole table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from protocol.errors import Refused, Rule
from protocol.signatures import SigningKey
from protocol.statements import read_online_key
from registry.statistics.rules import (
    NOT_DELEGATED,
    NOT_SIGNED,
    NOT_VALID,
    USED_NUMBER,
    check_delegation,
    check_key,
    is_new,
)
from tests.registry.statistics.builders import NOW, Child, report

CHILD: Final = Child("88.118")
OTHER: Final = Child("88.119", seed=2)


class Case(NamedTuple):
    statement: bytes
    delegation: bytes | None
    rule: Rule | None


CASES: Final = {
    "all is right": Case(CHILD.statement(), CHILD.delegation(), None),
    "first second of the key": Case(CHILD.statement(since=NOW), CHILD.delegation(), None),
    "last second of the key": Case(CHILD.statement(until=NOW), CHILD.delegation(), None),
    "never delegated, or revoked": Case(CHILD.statement(), None, NOT_DELEGATED),
    "delegation expired": Case(CHILD.statement(), CHILD.delegation(until=NOW - 1), NOT_VALID),
    "delegation not yet valid": Case(CHILD.statement(), CHILD.delegation(since=NOW + 1), NOT_VALID),
    "key expired": Case(CHILD.statement(until=NOW - 1), CHILD.delegation(), NOT_VALID),
    "key not yet valid": Case(CHILD.statement(since=NOW + 1), CHILD.delegation(), NOT_VALID),
    "signed by another zone": Case(CHILD.statement(signer=OTHER.key), CHILD.delegation(), NOT_SIGNED),
    "signed by itself": Case(CHILD.statement(signer=CHILD.online), CHILD.delegation(), NOT_SIGNED),
    "zone key was replaced": Case(CHILD.statement(), Child("88.118", seed=3).delegation(), NOT_SIGNED),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_may_report(case: Case) -> None:
    def judge() -> object:
        return check_key(read_online_key(case.statement), case.delegation, NOW)

    if case.rule is None:
        assert judge() == CHILD.online.public
    else:
        assert refused(judge) is case.rule


def refused(judge: Callable[[], object]) -> Rule:
    with pytest.raises(Refused) as caught:
        judge()
    assert "{" not in caught.value.message() + caught.value.message("zh")
    return caught.value.rule


def test_a_delegation_is_judged_by_itself_at_every_report() -> None:
    assert check_delegation("88.118", CHILD.delegation(), NOW).child == "88.118"
    assert refused(lambda: check_delegation("88.118", None, NOW)) is NOT_DELEGATED


@pytest.mark.parametrize(
    ("sequence", "last", "kept", "outcome"),
    [
        (1, 0, False, True),
        (2, 1, False, True),
        (9, 1, False, True),  # numbers are missing: counted, not waited for
        (9, 8, True, True),  # kept by a write that was broken off before the sums were
        (1, 1, True, False),  # a duplicate of the last
        (1, 7, True, False),  # of an earlier one: an acknowledgement was lost
        (7, 7, False, None),  # another content under a used number
        (3, 7, False, None),  # out of order
    ],
)
def test_what_becomes_of_a_number(sequence: int, last: int, kept: bool, outcome: bool | None) -> None:
    def judge() -> bool:
        return is_new(report(sequence), last, 500, kept=kept)

    if outcome is None:
        with pytest.raises(Refused) as caught:
            judge()
        assert caught.value.rule is USED_NUMBER
        assert caught.value.details == {"sequence": sequence, "last": last, "end": 500}
    else:
        assert judge() is outcome


def test_keys_are_of_this_zone_only() -> None:
    """The statement says for which zone; a key of another zone is judged by that zone's delegation."""
    foreign = read_online_key(CHILD.statement(zone="88.119"))
    assert refused(lambda: check_key(foreign, OTHER.delegation(), NOW)) is NOT_SIGNED
    assert SigningKey(b"T" * 32).public not in (CHILD.key.public, CHILD.online.public)
