"""What requests about enterprises and identities may hold, as any door reads them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from registry.enterprises.bodies import Allot, Application, Contact, Transfer, Why
from registry.identities.bodies import ChangeIdentity, NewGroup, NewIdentity, NewKey, NewPassword, NewToken

GOOD: dict[type[Any], dict[str, Any]] = {
    Application: {
        "organisation": "示例泵业", "nature": 2, "credit_code": "91350100M000100Y43", "section": "C", "division": "34",
        "contact": {"name": "李工"},
    },
    Why: {"reason": "质量\n问题"},
    Allot: {},
    Transfer: {"to": "x", "reason": "y"},
    Contact: {"name": "x", "email": "x@example.cn"},
    NewIdentity: {"name": "88.118.1/U.li", "roles": ["reader"]},
    ChangeIdentity: {},
    NewToken: {"operations": ["record.write"], "days": 0.5},
    NewKey: {"key": "ed25519:x"},
    NewPassword: {"password": None},
    NewGroup: {"members": ["88.118.1"]},
}  # fmt: skip

BAD: list[tuple[type[Any], dict[str, Any]]] = [
    (Application, {"nature": 0}), (Application, {"nature": 6}), (Application, {"nature": "2"}),
    (Application, {"organisation": ""}), (Application, {"organisation": "x" * 201}),
    (Application, {"organisation": "a\n"}), (Application, {"organisation": "a\u0000b"}),
    (Application, {"contact": {"name": "x", "fax": "1"}}), (Application, {"more": 1}),
    (Why, {"reason": ""}), (Why, {"reason": "x" * 1_001}), (Why, {"reason": None}),
    (Allot, {"prefix": ""}), (Allot, {"prefix": "8" * 65}), (Transfer, {"to": "a\tb"}),
    (NewIdentity, {"roles": []}), (NewIdentity, {"roles": ["root"]}), (NewIdentity, {"title": "a\u007f"}),
    (NewIdentity, {"name": "x" * 481}), (ChangeIdentity, {"disabled": "yes"}),
    (NewToken, {"days": 0}), (NewToken, {"days": -1}), (NewToken, {"days": 3_651}), (NewToken, {"operations": ["all"]}),
    (NewToken, {"prefixes": ["88.1"] * 17}), (NewPassword, {"password": "short"}),
    (NewGroup, {"members": ["x"] * 501}), (NewGroup, {"members": [""]}),
]  # fmt: skip


@pytest.mark.parametrize("kind", GOOD, ids=lambda one: one.__name__)
def test_what_may_be_asked(kind: type[Any]) -> None:
    msgspec.json.decode(json.dumps(GOOD[kind]), type=kind)
    msgspec.json.schema(kind)


@pytest.mark.parametrize(("kind", "wrong"), BAD, ids=lambda one: str(one)[:40])
def test_what_may_not(kind: type[Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(GOOD[kind] | wrong), type=kind)
