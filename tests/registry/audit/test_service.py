"""Reading the audit log: who may, in pages, and as a file."""

from __future__ import annotations

import pytest

from protocol.errors import Refused
from protocol.limits import MAX_LIST
from protocol.trust import TrustAnchor
from registry.audit.export import verify
from registry.store.callers.permissions import NOT_ALLOWED, Role
from tests.registry.house import ADMINISTRATOR, AUDITOR, NOW, WHY, House
from tests.vectors.actors import TOP


def test_pages_are_the_log() -> None:
    house = House()
    prefix = house.allot()
    house.do(house.enterprises.suspend(ADMINISTRATOR, prefix, WHY, NOW))
    whole, following = house.accounts.audit.entries(AUDITOR, 0, MAX_LIST * 9, NOW)
    assert following is None
    assert [entry.number for entry in whole] == list(range(6))
    last = whole[-1]
    assert (last.actor, last.action, last.reason) == (ADMINISTRATOR.name, "prefix.suspend", WHY.reason)
    for limit in (1, 2, 3, 5, 6, 7):
        found, at = [], 0
        while at is not None:
            page, at = house.accounts.audit.entries(AUDITOR, at, limit, NOW)  # type: ignore[assignment]
            assert len(page) <= limit
            found += page
        assert found == whole
    lines = list(house.accounts.audit.export(AUDITOR, NOW))
    assert verify(lines, TrustAnchor(TOP.prefix, TOP.key.public)).entries == 6
    assert house.accounts.audit.entries(AUDITOR, 6, 10, NOW) == ([], None)


@pytest.mark.parametrize("role", [Role.ENTERPRISE_ADMINISTRATOR, Role.ENTERPRISE_WRITER, Role.READER])
def test_the_log_is_for_the_nodes_staff(role: Role) -> None:
    house = House()
    caller = house.identity(f"{house.allot()}/U.li", role)
    for ask in (
        lambda: house.accounts.audit.entries(caller, 0, 1, NOW),
        lambda: house.accounts.audit.export(caller, NOW),
    ):
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.rule is NOT_ALLOWED
