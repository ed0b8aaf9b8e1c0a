"""Steps of a prefix's and an enterprise's life as a table, and who may take them."""

from __future__ import annotations

import pytest

from protocol.errors import BiaoshiError, IdentifierError, InvalidInput, Refused
from registry.enterprises.bodies import MAX_PREFIXES, Allot, Allotment, Contact, Enterprise, State, Transfer
from registry.enterprises.life import (
    HAS_PREFIXES,
    HAS_RECORDS,
    NOT_DELEGATED,
    NOT_IN_STAGE,
    STILL_DELEGATED,
    TOO_MANY_PREFIXES,
    Ground,
    move,
    review,
)
from registry.enterprises.prefixes import DELEGATED, NO_NUMBERS, OUTSIDE, TAKEN, next_free
from registry.enterprises.service import Enterprises
from registry.store.allotments import Stage
from registry.store.callers.permissions import NOT_ALLOWED, Caller, Role
from registry.store.system import DELEGATIONS, system_write
from tests.registry.house import ADMINISTRATOR, AUDITOR, NOW, WHY, ZONE, House, application, code
from tests.registry.store.builders import put

# What follows a step; before the comma where the prefix is not delegated, behind it where it is.
STEPS = """
             host                      delegate                   suspend    resume  close   transfer                        arrive
allotted     hosted,STILL_DELEGATED    NOT_DELEGATED,delegated    suspended  -       closed  -                               -
hosted       -                         NOT_DELEGATED,delegated    suspended  -       closed  transferring,STILL_DELEGATED    -
delegated    hosted,STILL_DELEGATED    -                          suspended  -       closed  -                               -
suspended    -                         -                          -          before  closed  -                               -
closed       -                         -                          -          -       -       -                               -
transferring hosted,STILL_DELEGATED    -                          -          -       closed  -           NOT_DELEGATED,transferred
transferred  -                         -                          -          -       closed  -                               -
"""  # noqa: E501
RULES = {"STILL_DELEGATED": STILL_DELEGATED, "NOT_DELEGATED": NOT_DELEGATED, "-": NOT_IN_STAGE}
_HEAD, *_ROWS = STEPS.strip("\n").splitlines()
CELLS = [
    (Stage[row.split()[0].upper()], step, cell)
    for row in _ROWS
    for step, cell in zip(_HEAD.split(), row.split()[1:], strict=True)
]


def test_the_table_is_whole() -> None:
    assert {stage for stage, _, _ in CELLS} == set(Stage)
    assert len(CELLS) == len(Stage) * 7


@pytest.mark.parametrize("delegated", [False, True])
@pytest.mark.parametrize(("stage", "step", "cell"), CELLS)
def test_every_step_from_every_stage(stage: Stage, step: str, cell: str, delegated: bool) -> None:
    one, _, other = cell.partition(",")
    expected = other if delegated and other else one
    for before in (Stage.ALLOTTED, Stage.HOSTED, Stage.DELEGATED):
        allotment = Allotment(stage=stage, enterprise="x", since=1, changed=1, reason="old", before=before)
        if expected in RULES:
            with pytest.raises(Refused) as caught:
                move("88.1", allotment, step, Ground(delegated, 0), 5, "why", "")
            assert caught.value.rule is RULES[expected]
            continue
        after = move("88.1", allotment, step, Ground(delegated, 0), 5, "why", "")
        wanted = before if expected == "before" else Stage[expected.upper()]
        assert (after.stage, after.changed, after.reason, after.since) == (wanted, 5, "why", 1)
        assert after.before == (stage if step == "suspend" else before)


def test_records_are_not_cut_off_by_delegating() -> None:
    hosted = Allotment(stage=Stage.HOSTED, enterprise="x", since=1, changed=1)
    with pytest.raises(Refused) as caught:
        move("88.1", hosted, "delegate", Ground(True, 3), 5, "", "")
    assert (caught.value.rule, caught.value.details["count"]) == (HAS_RECORDS, 3)


@pytest.mark.parametrize("step", ["apply", "approve", "refuse", "close"])
@pytest.mark.parametrize("state", [None, *State])
def test_every_step_of_an_enterprise(state: State | None, step: str) -> None:
    expected = {
        "apply": {None: State.APPLIED, State.REFUSED: State.APPLIED, State.CLOSED: State.APPLIED},
        "approve": {State.APPLIED: State.APPROVED},
        "refuse": {State.APPLIED: State.REFUSED},
        "close": {State.APPROVED: State.CLOSED},
    }[step].get(state)  # type: ignore[call-overload]
    enterprise = None if state is None else Enterprise(state=state, application=application(), applied=1)
    if expected is None:
        with pytest.raises(Refused):
            review("x", enterprise, step)
    else:
        assert review("x", enterprise, step) is expected


# Who may ------------------------------------------------------------------------------------------------

READER = Caller("88.118.00001/U.li", frozenset({Role.READER}), ("88.118.00001",))
STRANGER = Caller("88.118.00002/U.wang", frozenset({Role.ENTERPRISE_ADMINISTRATOR}), ("88.118.00002",))


@pytest.mark.parametrize("caller", [AUDITOR, READER, STRANGER], ids=lambda one: one.name)
def test_only_an_administrator_gives_and_takes(caller: Caller) -> None:
    house = House()
    prefix = house.allot()
    house.approve(2)
    service, before = house.enterprises, house.store.standing().end
    asked = [
        lambda: service.apply(caller, application(3), NOW),
        lambda: service.allot(caller, code(2), Allot(), NOW),
        lambda: service.host(caller, prefix, NOW),
        lambda: service.transfer(caller, prefix, Transfer("there", "moves"), NOW),
        lambda: service.close_prefix(caller, prefix, WHY, NOW),
        lambda: service.close(caller, code(2), WHY, NOW),
        lambda: service.change_contact(caller, code(2), Contact("x"), NOW),
    ]
    if caller is not AUDITOR:
        asked += [
            lambda: service.suspend(caller, prefix, WHY, NOW),
            lambda: service.approve(caller, code(2), NOW),
            lambda: service.enterprises(caller, None, 10, NOW),
            lambda: service.allotments(caller, None, 10, NOW),
            lambda: service.enterprise(caller, code(2), NOW),
        ]
    for ask in asked:
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.rule is NOT_ALLOWED
    assert house.store.standing().end == before


def test_who_gives_prefixes_does_not_review() -> None:
    house = House()
    house.do(house.enterprises.apply(ADMINISTRATOR, application(), NOW))
    for ask in (house.enterprises.approve, lambda *args: house.enterprises.refuse(*args[:2], WHY, NOW)):
        with pytest.raises(Refused):
            ask(ADMINISTRATOR, code(1), NOW)


def test_an_enterprise_sees_itself_alone() -> None:
    house = House()
    house.allot(1)
    house.allot(2)
    assert house.enterprises.enterprise(READER, code(1), NOW).organisation == "示例泵业 1"
    assert house.enterprises.allotment(READER, "88.118.00001", NOW).stage == "hosted"
    for ask in (house.enterprises.enterprise, house.enterprises.allotment):
        with pytest.raises(Refused):
            ask(READER, code(2) if ask == house.enterprises.enterprise else "88.118.00002", NOW)


# Applications -------------------------------------------------------------------------------------------


def test_an_application_is_checked() -> None:
    house = House()
    wrong = [
        {"credit_code": "123"}, {"section": "Z"}, {"division": "01"}, {"prefix": "88..1"}, {"section": "制造业"},
    ]  # fmt: skip
    for fields in wrong:
        with pytest.raises((InvalidInput, IdentifierError)):
            house.enterprises.apply(ADMINISTRATOR, application(1, **fields), NOW)
    view = house.do(house.enterprises.apply(ADMINISTRATOR, application(1, credit_code=code(1).lower()), NOW))
    assert (view.credit_code, view.section_name, view.division_name) == (code(1), "制造业", "通用设备制造业")
    with pytest.raises(Refused, match="applied"):
        house.enterprises.apply(ADMINISTRATOR, application(1), NOW)


def test_a_reason_is_kept_and_a_contact_replaced() -> None:
    house = House()
    house.do(house.enterprises.apply(ADMINISTRATOR, application(), NOW))
    house.do(house.enterprises.refuse(AUDITOR, code(1), WHY, NOW + 5))
    view = house.enterprises.enterprise(AUDITOR, code(1), NOW)
    assert (view.state, view.reason, view.reviewed) == ("refused", WHY.reason, NOW + 5)
    house.do(house.enterprises.change_contact(ADMINISTRATOR, code(1), Contact("王工", email="w@example.cn"), NOW))
    assert house.enterprises.enterprise(AUDITOR, code(1), NOW).contact.name == "王工"


def test_enterprises_and_prefixes_come_in_pages() -> None:
    house = House()
    prefixes = [house.allot(number) for number in range(1, 8)]
    for limit in (1, 2, 3, 7, 8):
        found: list[str] = []
        cursor: str | None = None
        while True:
            rows, cursor = house.enterprises.enterprises(AUDITOR, cursor, limit, NOW)
            found += [row.credit_code for row in rows]
            if cursor is None:
                break
        assert found == sorted(code(number) for number in range(1, 8))
        rows_, _ = house.enterprises.allotments(AUDITOR, None, limit, NOW)
        assert [row.prefix for row in rows_] == prefixes[:limit]


# Prefixes -----------------------------------------------------------------------------------------------


def test_the_prefix_that_was_wished_for_in_the_application() -> None:
    house = House()
    house.approve(1, prefix="88.118.pumps")
    given = house.do(house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW))
    assert given.prefix == "88.118.PUMPS"
    assert house.do(house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW)).prefix == "88.118.00001"


@pytest.mark.parametrize(
    ("prefix", "rule"),
    [
        (ZONE, OUTSIDE), ("88", OUTSIDE), ("88.1180", OUTSIDE), ("88.119.1", OUTSIDE),
        ("88.118.5", TAKEN), ("88.118.5.1", TAKEN), ("88.118.4", TAKEN),
        ("88.118.7", DELEGATED), ("88.118.7.1", DELEGATED), ("88.118.6", DELEGATED),
    ],
)  # fmt: skip
def test_what_cannot_be_given(prefix: str, rule: object) -> None:
    house = House()
    for number, given in ((1, "88.118.5"), (2, "88.118.4.9")):
        house.allot(number, given)
    house.store.apply([system_write(DELEGATIONS, one, {"DELEGATION": b"x"}) for one in ("88.118.7", "88.118.6.3")], NOW)
    house.store.apply([system_write(DELEGATIONS, one, {"DELEGATION": b"x"}) for one in ("88.118.8", "88.118.9.3")], NOW)
    house.store.apply([system_write(DELEGATIONS, one, None) for one in ("88.118.8", "88.118.9.3")], NOW)
    house.approve(3)
    with pytest.raises(BiaoshiError) as caught:
        house.enterprises.allot(ADMINISTRATOR, code(3), Allot(prefix), NOW)
    assert caught.value.rule is rule
    for free in ("88.118.50", "88.118.A", "88.118.8", "88.118.9"):  # beside, and where a delegation was revoked
        house.do(house.enterprises.allot(ADMINISTRATOR, code(3), Allot(free), NOW))


def test_a_closed_prefix_is_never_given_again() -> None:
    house = House()
    prefix = house.allot(1)
    house.do(house.enterprises.close_prefix(ADMINISTRATOR, prefix, WHY, NOW))
    with pytest.raises(Refused):
        house.allot(2, prefix)
    given = house.do(house.enterprises.allot(ADMINISTRATOR, code(2), Allot(), NOW))
    assert given.prefix == "88.118.00002"
    house.do(house.enterprises.close(ADMINISTRATOR, code(1), WHY, NOW))
    house.approve(1)
    with pytest.raises(Refused):  # nor to who had it, and has applied anew
        house.enterprises.allot(ADMINISTRATOR, code(1), Allot(prefix), NOW)


def test_numbers_run_out() -> None:
    taken = {"88.118.8", "88.118.9"}
    assert next_free("88.118", 7, 1, lambda one: None, lambda one: None) == ("88.118.7", 7)
    assert next_free("", 7, 3, lambda one: None, lambda one: None) == ("007", 7)
    with pytest.raises(Refused) as caught:
        next_free("88.118", 8, 1, lambda one: one if one in taken else None, lambda one: None)
    assert caught.value.rule is NO_NUMBERS


def test_numbers_of_a_configured_width() -> None:
    house = House()
    house.approve(1)
    service = Enterprises(house.store, ZONE, dict, first=32_001, digits=11)
    assert service.allot(ADMINISTRATOR, code(1), Allot(), NOW).result.prefix == "88.118.00000032001"


def test_an_enterprise_has_so_many_prefixes_at_most() -> None:
    house = House()
    house.approve(1)
    for _ in range(MAX_PREFIXES):
        house.do(house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW))
    with pytest.raises(Refused) as caught:
        house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW)
    assert caught.value.rule is TOO_MANY_PREFIXES


@pytest.mark.parametrize("step", ["host", "suspend"])
def test_an_enterprise_with_an_open_prefix_is_not_closed(step: str) -> None:
    house = House()
    house.approve(1)
    prefix = house.do(house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW)).prefix
    house.do(house.enterprises.step(ADMINISTRATOR, prefix, step, NOW, "why"))
    with pytest.raises(Refused) as caught:
        house.enterprises.close(ADMINISTRATOR, code(1), WHY, NOW)
    assert caught.value.rule is HAS_PREFIXES
    house.do(house.enterprises.close_prefix(ADMINISTRATOR, prefix, WHY, NOW))
    house.do(house.enterprises.close(ADMINISTRATOR, code(1), WHY, NOW))


def test_a_transfer_from_beginning_to_end() -> None:
    house = House()
    prefix = house.allot(1)
    house.store.apply([put(f"{prefix}/P1")], NOW)
    service = house.enterprises
    begun = house.do(service.transfer(ADMINISTRATOR, prefix, Transfer("pumps' own node", "grown up"), NOW))
    assert (begun.stage, begun.to) == ("transferring", "pumps' own node")
    assert house.rights.barrier(prefix) is not None
    assert house.store.get(f"{prefix}/P1".encode()) is not None
    with pytest.raises(Refused):
        service.arrive(ADMINISTRATOR, prefix, NOW)
    house.store.apply([system_write(DELEGATIONS, prefix, {"DELEGATION": b"to the new node"})], NOW)
    assert house.do(service.arrive(ADMINISTRATOR, prefix, NOW)).stage == "transferred"
    assert house.store.get(f"{prefix}/P1".encode()) is None
    assert house.store.cut(prefix) is not None
    assert house.store.closure(prefix) is None


def test_half_an_allotment_is_made_whole() -> None:
    """What a crash leaves in a store that is atomic by single records: the prefix, not yet in the enterprise's list."""
    house = House()
    house.approve(1)
    change = house.enterprises.allot(ADMINISTRATOR, code(1), Allot(), NOW)
    house.store.apply(change.writes[:1], NOW)
    given = house.do(house.enterprises.allot(ADMINISTRATOR, code(1), Allot(change.result.prefix), NOW))
    assert given.prefix == change.result.prefix
    assert house.enterprises.enterprise(AUDITOR, code(1), NOW).prefixes == (given.prefix,)
