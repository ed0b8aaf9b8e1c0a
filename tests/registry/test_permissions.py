"""The table of rights, as a table: every role, every operation, at its own prefix and at another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Refused
from protocol.identifiers import covers
from registry.store.callers.permissions import (
    ENDED,
    NOT_ALLOWED,
    STAFF,
    Caller,
    Operation,
    Role,
    allows,
    check,
    where,
    within,
)

EXPECTED = """
                      node-administrator auditor enterprise-administrator enterprise-writer reader
enterprise.apply      below              -       -                        -                 -
enterprise.review     -                  below   -                        -                 -
enterprise.read       below              below   below                    below             below
prefix.allot          below              -       -                        -                 -
prefix.open           below              -       -                        -                 -
prefix.suspend        below              below   -                        -                 -
prefix.close          below              -       -                        -                 -
prefix.transfer       below              -       -                        -                 -
identity.read         below              below   below                    self              self
identity.change       below              -       below                    -                 -
group.read            below              below   below                    below             below
group.change          below              -       below                    -                 -
credential.issue      below              self    below                    self              self
credential.revoke     below              self    below                    self              self
record.read           below              -       below                    below             below
record.write          below              -       below                    below             -
template.read         below              below   below                    below             below
template.change       below              -       below                    -                 -
policy.read           below              below   below                    below             below
policy.change         below              -       below                    -                 -
delegation.change     below              -       -                        -                 -
statistics.read       below              below   -                        -                 -
feed.read             below              -       -                        -                 -
audit.read            below              below   -                        -                 -
"""

OWN, OTHER, ZONE, NOW = "88.118.1", "88.118.2", "88.118", 100


def table() -> dict[tuple[Role, Operation], str]:
    head, *rows = EXPECTED.strip("\n").splitlines()
    roles = [Role(name) for name in head.split()]
    cells = {}
    for row in rows:
        name, *columns = row.split()
        for role, cell in zip(roles, columns, strict=True):
            cells[role, Operation(name)] = cell
    return cells


CELLS = table()


def caller(role: Role) -> Caller:
    prefix = ZONE if role in STAFF else OWN
    return Caller(f"{prefix}/U.li", frozenset({role}), (prefix,))


def test_the_table_is_whole() -> None:
    assert CELLS.keys() == {(role, operation) for role in Role for operation in Operation}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_every_cell(role: Role, operation: Operation) -> None:
    cell, who = CELLS[role, operation], caller(role)
    own = who.prefixes[0]
    assert allows(who, operation, own, NOW) == (cell == "below")
    assert allows(who, operation, f"{own}.7", NOW) == (cell == "below")
    assert allows(who, operation, own, NOW, about=who.name) == (cell != "-")
    assert allows(who, operation, own, NOW, about=f"{own}/U.wang") == (cell == "below")
    for elsewhere in (ZONE, OTHER, "88.118.10", "88.119", "88", ""):
        if not covers(own, elsewhere):
            assert not allows(who, operation, elsewhere, NOW)
            assert allows(who, operation, elsewhere, NOW, about=who.name) == (cell == "self")


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_a_credential_that_has_ended_or_is_for_something_else(role: Role, operation: Operation) -> None:
    who = caller(role)
    own = who.prefixes[0]
    others = frozenset(Operation) - {operation}
    assert not allows(who._replace(until=NOW), operation, own, NOW, about=who.name)
    assert not allows(who._replace(operations=others), operation, own, NOW, about=who.name)
    assert not allows(who._replace(operations=frozenset()), operation, own, NOW, about=who.name)
    allowed = allows(who, operation, own, NOW)
    assert allows(who._replace(until=NOW + 1, operations=frozenset({operation})), operation, own, NOW) == allowed
    assert not allows(who._replace(prefixes=(), roles=frozenset(Role)), operation, own, NOW)
    assert not allows(who._replace(roles=frozenset()), operation, own, NOW, about=who.name)


def test_roles_add_up() -> None:
    both = Caller("88.118/U.li", frozenset(STAFF), (ZONE,))
    assert all(allows(both, operation, ZONE, NOW) for operation in Operation)


def test_a_refusal_says_who_what_and_where() -> None:
    who = caller(Role.READER)
    with pytest.raises(Refused) as caught:
        check(who, Operation.RECORD_WRITE, OWN, NOW)
    assert caught.value.rule is NOT_ALLOWED
    assert caught.value.details == {"caller": who.name, "operation": "record.write", "prefix": OWN}
    with pytest.raises(Refused) as caught:
        check(who._replace(until=NOW), Operation.RECORD_READ, OWN, NOW)
    assert caught.value.rule is ENDED
    check(who, Operation.RECORD_READ, OWN, NOW)


def test_where_somebody_may_write() -> None:
    writer = Caller("k", frozenset({Role.ENTERPRISE_WRITER}), ("88.1", "88.2"))
    assert where(writer, Operation.RECORD_WRITE, NOW) == ("88.1", "88.2")
    assert where(writer, Operation.PREFIX_ALLOT, NOW) == ()


_prefixes = st.lists(st.sampled_from(["8", "1", "2"]), min_size=1, max_size=3).map(".".join)


@given(one=st.lists(_prefixes, max_size=4), other=st.lists(_prefixes, max_size=4), prefix=_prefixes)
def test_within_is_what_lies_below_both(one: list[str], other: list[str], prefix: str) -> None:
    both = any(covers(above, prefix) for above in one) and any(covers(above, prefix) for above in other)
    assert any(covers(above, prefix) for above in within(one, other)) == both
