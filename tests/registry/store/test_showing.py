"""What a caller may see of a value, decided without a store."""

from __future__ import annotations

import pytest

from protocol.records import Permission, Value
from registry.store.callers.permissions import Caller, Operation, Role
from registry.store.callers.showing import shown_to

NOW = 1_700_000_000
OWN, OTHER = "88.118.1", "88.118.2"
LI = Caller(f"{OWN}/U.li", frozenset({Role.READER}), (OWN,))
COST = Value(2, "COST", b"9", permissions=int(Permission.ADMIN_READ))
NAMES_LI = Value(3, "LOT", b"x", readers=(f"{OTHER}/G.some", LI.name, "88.118.9", "*"))


def is_in(name: str, group: str) -> bool:
    return (name, group) == (LI.name, f"{OTHER}/G.some")


@pytest.mark.parametrize(
    ("changes", "prefix", "sees"),
    [
        ({}, OWN, {"COST", "LOT"}), ({}, f"{OWN}.3", {"COST", "LOT"}), ({}, OTHER, {"LOT"}), ({}, "88.118", {"LOT"}),
        ({"until": NOW + 1}, OWN, {"COST", "LOT"}), ({"until": NOW}, OWN, set()), ({"until": NOW}, OTHER, set()),
        ({"limits": (OWN,)}, OWN, {"COST", "LOT"}), ({"limits": (OWN,)}, OTHER, set()),
        ({"limits": (OWN,)}, "88.118.11", set()), ({"limits": (OWN, OTHER)}, f"{OTHER}.1", {"LOT"}),
        ({"operations": frozenset({Operation.RECORD_WRITE})}, OWN, set()),
        ({"operations": frozenset({Operation.RECORD_READ})}, OTHER, {"LOT"}),
        ({"prefixes": (f"{OWN}.3",)}, OWN, {"LOT"}), ({"roles": frozenset({Role.AUDITOR})}, OWN, {"LOT"}),
        ({"roles": frozenset()}, OWN, {"LOT"}),
    ],
)  # fmt: skip
def test_a_credential_is_good_for_so_much(changes: dict[str, object], prefix: str, sees: set[str]) -> None:
    shown = shown_to(LI._replace(**changes), prefix, NOW, is_in)  # type: ignore[arg-type]
    assert {value.type for value in (COST, NAMES_LI) if shown(value) is not None} == sees


def test_who_is_named_sees_by_what() -> None:
    value = shown_to(LI, OTHER, NOW, is_in)(NAMES_LI)
    assert value is not None
    assert value.readers == (f"{OTHER}/G.some", LI.name, "*")
    assert value.data == NAMES_LI.data
