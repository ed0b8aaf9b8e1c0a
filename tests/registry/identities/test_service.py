"""Identities, credentials and groups: what is made, what it is good for, and that revoking ends it at once."""

from __future__ import annotations

import pytest

from protocol.errors import BiaoshiError, Refused
from protocol.limits import MAX_LIST
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.enterprises.bodies import Allot
from registry.identities.bodies import (
    MAX_CREDENTIALS,
    ChangeIdentity,
    IssuedToken,
    NewGroup,
    NewIdentity,
    NewKey,
    NewToken,
)
from registry.identities.rules import (
    BEYOND,
    EXISTS,
    FOREIGN_ROLE,
    KEY_IN_USE,
    LARGE_GROUP,
    NO_CREDENTIAL,
    NO_PASSWORDS,
    NO_PLACE,
    NO_SCOPE,
    OWN_RIGHTS,
    TOO_MANY_CREDENTIALS,
    UNKNOWN,
)
from registry.identities.secrets import hash_password
from registry.store.callers.directory import WRONG
from registry.store.callers.permissions import NOT_ALLOWED, Caller, Operation, Role, allows
from tests.registry.house import ADMINISTRATOR, AUDITOR, NOW, WHY, ZONE, ZONE_KEY, House

ADMIN, WRITER, READER = Role.ENTERPRISE_ADMINISTRATOR, Role.ENTERPRISE_WRITER, Role.READER
KEY = SigningKey(b"k" * 32).public


@pytest.fixture
def house() -> House:
    """Two enterprises with a prefix each."""
    house = House()
    assert [house.allot(1), house.allot(2)] == ["88.118.00001", "88.118.00002"]
    return house


ONE, TWO = "88.118.00001", "88.118.00002"
LI, WANG = f"{ONE}/U.li", f"{TWO}/U.wang"


def fails(house: House, ask: object) -> BiaoshiError:
    assert callable(ask)
    before = house.store.standing().end
    with pytest.raises(BiaoshiError) as caught:
        house.do(ask())
    assert house.store.standing().end == before
    return caught.value


def token(house: House, name: str, by: Caller = ADMINISTRATOR, **scope: object) -> IssuedToken:
    issued = house.do(house.identities.issue_token(by, name, NewToken(**scope), NOW))  # type: ignore[arg-type]
    assert isinstance(issued, IssuedToken)
    return issued


def calls(house: House, secret: str) -> Caller:
    return house.directory.by_token(secret, "127.0.0.1", NOW)


# Identities -------------------------------------------------------------------------------------------


def test_an_identity_has_what_is_its_enterprises(house: House) -> None:
    li = house.identity(LI, WRITER)
    assert (li.prefixes, li.roles) == ((ONE,), {WRITER})
    view = house.identities.identity(li, LI, NOW)
    assert (view.name, view.roles, view.disabled, view.credentials) == (LI, (WRITER,), False, ())
    house.allot(3, f"{ZONE}.X")
    enterprise = house.enterprises.allotment(AUDITOR, ONE, NOW).enterprise
    more = house.enterprises.allot(ADMINISTRATOR, enterprise, Allot(), NOW)
    prefix = house.do(more).prefix
    again = house.directory.by_name(LI)
    assert again is not None
    assert again.prefixes == tuple(sorted((ONE, prefix)))


@pytest.mark.parametrize(
    ("name", "role", "rule"),
    [
        (f"{ZONE}/U.x", WRITER, FOREIGN_ROLE),
        (f"{ONE}/U.x", Role.AUDITOR, FOREIGN_ROLE),
        (f"{ONE}/U.x", Role.NODE_ADMINISTRATOR, FOREIGN_ROLE),
        (f"{ZONE}.9/U.x", WRITER, NO_PLACE),
        (f"{ONE}.1/U.x", WRITER, NO_PLACE),
        (LI, READER, EXISTS),
    ],
)
def test_who_cannot_be_made(house: House, name: str, role: Role, rule: object) -> None:
    house.identity(LI, WRITER)
    body = NewIdentity(name=name, roles=[role])
    assert fails(house, lambda: house.identities.create(ADMINISTRATOR, body, NOW)).rule is rule


def test_an_enterprises_administrator_rules_its_own_and_no_other(house: House) -> None:
    boss = house.identity(f"{ONE}/U.boss", ADMIN)
    house.do(house.identities.create(boss, NewIdentity(name=LI, roles=[WRITER]), NOW))
    house.do(house.identities.change(boss, LI, ChangeIdentity(roles=[READER], title="李"), NOW))
    assert house.identities.identity(boss, LI, NOW).roles == (READER,)
    foreign = [
        lambda: house.identities.create(boss, NewIdentity(name=WANG, roles=[READER]), NOW),
        lambda: house.identities.create(boss, NewIdentity(name=f"{ZONE}/U.evil", roles=[Role.AUDITOR]), NOW),
        lambda: house.identities.put_group(boss, f"{TWO}/G.x", NewGroup(members=[]), NOW),
    ]
    for ask in foreign:
        assert fails(house, ask).rule is NOT_ALLOWED
    with pytest.raises(Refused):
        house.identities.identities(boss, TWO, None, 10, NOW)


def test_nobody_changes_what_it_may_itself(house: House) -> None:
    boss = house.identity(f"{ONE}/U.boss", ADMIN)
    for body in (ChangeIdentity(disabled=True), ChangeIdentity(roles=[ADMIN, WRITER])):
        assert fails(house, lambda body=body: house.identities.change(boss, boss.name, body, NOW)).rule is OWN_RIGHTS
    house.do(house.identities.change(boss, boss.name, ChangeIdentity(title="me"), NOW))
    assert house.identities.change(boss, boss.name, ChangeIdentity(title="me"), NOW).writes == ()


def test_lists_are_of_one_prefix(house: House) -> None:
    names = [f"{ONE}/U.{letter}" for letter in "abcde"]
    for name in [*names, WANG, f"{ZONE}/U.x"]:
        role = Role.AUDITOR if name.startswith(f"{ZONE}/") else READER
        house.identity(name, role)
    listed: list[str] = []
    cursor: str | None = None
    while True:
        rows, cursor = house.identities.identities(AUDITOR, ONE, cursor, 2, NOW)
        listed += [row.name for row in rows]
        if cursor is None:
            break
    assert listed == names
    rows, _ = house.identities.identities(AUDITOR, ZONE, None, MAX_LIST * 9, NOW)
    assert [row.name for row in rows] == [f"{ZONE}/U.x"]


# Tokens -----------------------------------------------------------------------------------------------


def test_a_token_is_good_for_its_scope_until_it_ends(house: House) -> None:
    house.identity(LI, WRITER)
    issued = token(house, LI, prefixes=[f"{ONE}.7"], operations=[Operation.RECORD_WRITE], days=1)
    caller = calls(house, issued.secret)
    assert (caller.name, caller.prefixes) == (LI, (f"{ONE}.7",))
    assert allows(caller, Operation.RECORD_WRITE, f"{ONE}.7", NOW)
    assert not allows(caller, Operation.RECORD_WRITE, ONE, NOW)
    assert not allows(caller, Operation.RECORD_READ, f"{ONE}.7", NOW)
    assert not allows(caller, Operation.RECORD_WRITE, f"{ONE}.7", NOW + 86_400)
    assert issued.until == NOW + 86_400


def test_the_secret_is_kept_nowhere(house: House) -> None:
    house.identity(LI, WRITER)
    issued = token(house, LI)
    kept = b"".join(house.store._bodies.values()) + b"".join(house.store._bodies)
    assert issued.secret.encode() not in kept
    assert issued.secret[4:20].encode() not in kept
    shown = house.identities.identity(AUDITOR, LI, NOW).credentials
    assert [one.id for one in shown] == [issued.id]


def test_revoking_ends_it_at_once(house: House) -> None:
    li = house.identity(LI, WRITER)
    one, two = token(house, LI), token(house, LI)
    assert calls(house, one.secret).name == calls(house, two.secret).name == LI
    house.do(house.identities.revoke(li, LI, one.id, NOW))
    with pytest.raises(Refused) as caught:
        calls(house, one.secret)
    assert caught.value.rule is WRONG
    assert calls(house, two.secret).name == LI
    assert fails(house, lambda: house.identities.revoke(li, LI, one.id, NOW)).rule is NO_CREDENTIAL
    house.do(house.identities.change(ADMINISTRATOR, LI, ChangeIdentity(disabled=True), NOW))
    with pytest.raises(Refused):
        calls(house, two.secret)
    house.do(house.identities.change(ADMINISTRATOR, LI, ChangeIdentity(disabled=False), NOW))
    assert calls(house, two.secret).name == LI
    house.do(house.enterprises.close_prefix(ADMINISTRATOR, ONE, WHY, NOW))
    with pytest.raises(Refused):
        calls(house, two.secret)


def test_a_token_that_its_identity_does_not_name_is_none(house: House) -> None:
    """What a crash between the two records leaves."""
    house.identity(LI, WRITER)
    change = house.identities.issue_token(ADMINISTRATOR, LI, NewToken(), NOW)
    house.store.apply(change.writes[:1], NOW)
    with pytest.raises(Refused):
        calls(house, change.result.secret)
    house.store.apply(change.writes[1:], NOW)
    house.directory.forget()
    assert calls(house, change.result.secret).name == LI


def test_a_credential_makes_none_that_is_good_for_more(house: House) -> None:
    house.identity(LI, ADMIN)
    operations = [Operation.CREDENTIAL_ISSUE, Operation.RECORD_READ]
    narrow = calls(house, token(house, LI, prefixes=[f"{ONE}.7"], operations=operations, days=2).secret)
    beyond = [
        NewToken(),
        NewToken(operations=operations),
        NewToken(prefixes=[f"{ONE}.7"]),
        NewToken(prefixes=[f"{ONE}.7"], operations=[Operation.RECORD_WRITE]),
        NewToken(prefixes=[ONE], operations=operations),
        NewToken(prefixes=[f"{ONE}.8"], operations=operations),
    ]
    for body in beyond:
        error = fails(house, lambda body=body: house.identities.issue_token(narrow, LI, body, NOW))
        assert error.rule in (BEYOND, NOT_ALLOWED)
    wide = calls(house, token(house, LI, operations=operations, days=2).secret)
    for body in beyond[3:4] + beyond[:1]:
        assert fails(house, lambda body=body: house.identities.issue_token(wide, LI, body, NOW)).rule is BEYOND
    issued = token(house, LI, wide, prefixes=[f"{ONE}.7"], operations=[Operation.RECORD_READ], days=90)
    assert issued.until == NOW + 2 * 86_400
    key = NewKey(key=str(KEY))
    assert fails(house, lambda: house.identities.add_key(wide, LI, key, NOW)).rule is BEYOND
    assert fails(house, lambda: house.identities.set_password(wide, LI, b"x", NOW)).rule is BEYOND


def test_what_cannot_be_issued(house: House) -> None:
    li, wang = house.identity(LI, WRITER), house.identity(WANG, WRITER)
    assert fails(house, lambda: house.identities.issue_token(li, WANG, NewToken(), NOW)).rule is NOT_ALLOWED
    assert fails(house, lambda: house.identities.issue_token(wang, LI, NewToken(), NOW)).rule is NOT_ALLOWED
    nobody = f"{ONE}/U.nobody"
    assert fails(house, lambda: house.identities.issue_token(ADMINISTRATOR, nobody, NewToken(), NOW)).rule is UNKNOWN
    body = NewToken(prefixes=[TWO])
    assert fails(house, lambda: house.identities.issue_token(ADMINISTRATOR, LI, body, NOW)).rule is NO_SCOPE
    for _ in range(MAX_CREDENTIALS):
        token(house, LI)
    full = fails(house, lambda: house.identities.issue_token(ADMINISTRATOR, LI, NewToken(), NOW))
    assert full.rule is TOO_MANY_CREDENTIALS


def test_wrong_tokens_have_to_wait(house: House) -> None:
    house.identity(LI, WRITER)
    good = token(house, LI).secret
    wrong = "bst_" + "A" * 43
    for secret in (wrong, "nothing", "", "bst_短", wrong):
        with pytest.raises(Refused) as caught:
            house.directory.by_token(secret, "10.0.0.9", NOW)
        assert caught.value.rule is WRONG
    with pytest.raises(Refused) as caught:
        house.directory.by_token(wrong, "10.0.0.9", NOW + 0.5)
    assert caught.value.status is Status.TOO_MANY_ATTEMPTS
    # Others behind the same address do not feel it.
    assert house.directory.by_token(good, "10.0.0.9", NOW + 0.5).name == LI
    with pytest.raises(Refused) as caught:
        house.directory.by_token(wrong, "10.0.0.9", NOW + 2.0)
    assert caught.value.rule is WRONG


# Keys and passwords -----------------------------------------------------------------------------------


def test_a_key_speaks_for_an_identity_until_it_is_revoked(house: House) -> None:
    li = house.identity(LI, WRITER)
    body = NewKey(key=str(KEY), title="server")
    shown = house.do(house.identities.add_key(li, LI, body, NOW))
    assert house.rights.caller(KEY) == li
    assert house.identities.add_key(li, LI, body, NOW).writes == ()
    house.identity(WANG, WRITER)
    assert fails(house, lambda: house.identities.add_key(ADMINISTRATOR, WANG, body, NOW)).rule is KEY_IN_USE
    house.do(house.identities.revoke(li, LI, shown.id, NOW))
    with pytest.raises(Refused):
        house.rights.caller(KEY)
    house.do(house.identities.add_key(ADMINISTRATOR, WANG, body, NOW))
    assert house.rights.caller(KEY).name == WANG


def test_a_key_of_the_node_is_nobodys(house: House) -> None:
    house.identity(LI, WRITER)
    body = NewKey(key=str(ZONE_KEY.public))
    assert fails(house, lambda: house.identities.add_key(ADMINISTRATOR, LI, body, NOW)).rule is KEY_IN_USE


def test_a_key_that_a_crash_left_behind_can_be_used(house: House) -> None:
    house.identity(LI, WRITER)
    house.identity(WANG, WRITER)
    body = NewKey(key=str(KEY))
    house.store.apply(house.identities.add_key(ADMINISTRATOR, LI, body, NOW).writes[:1], NOW)
    assert house.directory.by_key(KEY) is None
    house.do(house.identities.add_key(ADMINISTRATOR, WANG, body, NOW))
    assert house.rights.caller(KEY).name == WANG


def test_passwords(house: House) -> None:
    li = house.identity(LI, WRITER)
    with pytest.raises(Refused):
        house.directory.by_password(LI, "correct horse battery", "a", NOW)
    house.do(house.identities.set_password(li, LI, hash_password("correct horse battery", cost=16), NOW))
    assert house.identities.identity(li, LI, NOW).has_password
    assert house.directory.by_password(LI, "correct horse battery", "b", NOW) == li
    for number in range(5):
        with pytest.raises(Refused) as caught:
            house.directory.by_password(LI, "wrong", f"c{number}", NOW)
        assert caught.value.status is Status.NOT_AUTHENTICATED
    with pytest.raises(Refused) as caught:
        house.directory.by_password(LI, "correct horse battery", "d", NOW + 1)
    assert caught.value.status is Status.TOO_MANY_ATTEMPTS
    assert house.directory.by_password(LI, "correct horse battery", "d", NOW + 3) == li
    house.do(house.identities.set_password(li, LI, b"", NOW))
    with pytest.raises(Refused):
        house.directory.by_password(LI, "correct horse battery", "e", NOW + 9_999)


@pytest.mark.parametrize(
    "name", ["", "nobody", f"{ONE}/U.none", "\ud800/x", "x" * 10_000, f"{ONE}/\n", f"{ONE}/U.plain"]
)
def test_a_name_without_a_password_is_told_nothing_else(house: House, name: str) -> None:
    house.identity(f"{ONE}/U.plain", WRITER)
    with pytest.raises(Refused) as caught:
        house.directory.by_password(name, "correct horse battery", "a", NOW)
    assert caught.value.rule is NO_PASSWORDS


def test_many_attempts_at_once_are_no_way_around_the_wait(house: House) -> None:
    house.identity(LI, WRITER)
    for number in range(5):
        house.directory.begin_password(LI, f"a{number}", NOW)
    with pytest.raises(Refused) as caught:
        house.directory.begin_password(LI, "b", NOW)
    assert caught.value.status is Status.TOO_MANY_ATTEMPTS


# Groups -----------------------------------------------------------------------------------------------


def test_a_group_has_members_of_any_enterprise(house: House) -> None:
    boss = house.identity(f"{ONE}/U.boss", ADMIN)
    partners = f"{ONE}/G.partners"
    house.do(house.identities.put_group(boss, partners, NewGroup(members=[WANG, f"{ZONE}.00009"]), NOW))
    assert house.directory.is_in(WANG, partners)
    assert house.directory.is_in(f"{ZONE}.00009/U.any", partners)
    assert house.directory.is_in(f"{ZONE}.00009.3/U.any", partners)
    assert not house.directory.is_in(f"{TWO}/U.other", partners)
    assert not house.directory.is_in(WANG, f"{ONE}/G.none")
    assert house.identities.group(boss, partners, NOW).members == (WANG, f"{ZONE}.00009")
    for member in ("88.118.a", "x//", "", f"{ONE}/"):
        body = NewGroup(members=[member])
        assert fails(house, lambda body=body: house.identities.put_group(boss, partners, body, NOW))
    names = [f"{ZONE}.{number:05d}/U.{'x' * 40}" for number in range(500)]
    error = fails(house, lambda: house.identities.put_group(boss, partners, NewGroup(members=names), NOW))
    assert error.rule is LARGE_GROUP
    fitting = NewGroup(members=names[:240])
    house.do(house.identities.put_group(boss, partners, fitting, NOW))
    body = NewGroup(members=[])
    assert fails(house, lambda: house.identities.put_group(boss, boss.name, body, NOW)).rule is EXISTS
    twin = NewIdentity(name=partners, roles=[READER])
    assert fails(house, lambda: house.identities.create(boss, twin, NOW)).rule is EXISTS
    house.do(house.identities.delete_group(boss, partners, NOW))
    assert not house.directory.is_in(WANG, partners)
    house.do(house.identities.put_group(boss, partners, NewGroup(members=[]), NOW))
