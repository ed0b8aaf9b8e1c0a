"""Keys and the prefixes below which they may write."""

from __future__ import annotations

import pytest

from protocol.errors import Refused
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.followers import Followers
from registry.rights import (
    COPY_CONTEXT,
    PROVE_CONTEXT,
    UNKNOWN_KEY,
    Rights,
    challenge_bytes,
    permits,
)
from registry.store.callers.configured import WRITERS_OPERATIONS
from registry.store.callers.permissions import Caller, Operation, Role, allows

KEY = SigningKey(b"k" * 32).public
OTHER = SigningKey(b"o" * 32).public


def test_a_writer_below_its_prefixes() -> None:
    rights = Rights({KEY: ["88.118.1", "88.118.2"], OTHER: iter(["88.118.3"])}, "88.118")
    for _ in range(2):
        caller = rights.caller(KEY)
        assert (caller.name, caller.prefixes) == (str(KEY), ("88.118.1", "88.118.2"))
        allowed = {operation for operation in Operation if allows(caller, operation, "88.118.1.7", 0)}
        assert allowed == WRITERS_OPERATIONS
        assert rights.caller(OTHER).prefixes == ("88.118.3",)
    assert rights.is_configured(KEY)


@pytest.mark.parametrize("prefixes", [["88.118"], ["88"], [""], ["88.118.1", "88.118"]])
def test_who_may_write_the_whole_zone_administers_the_node(prefixes: list[str]) -> None:
    assert Rights({KEY: prefixes}, "88.118").caller(KEY).roles == {Role.NODE_ADMINISTRATOR}


def test_the_zones_keys_administer_the_node_until_they_are_replaced() -> None:
    rights = Rights({}, "88.118", [KEY])
    assert rights.caller(KEY) == Caller(str(KEY), frozenset({Role.NODE_ADMINISTRATOR}), ("88.118",))
    rights.take_up([OTHER])
    assert rights.caller(OTHER).prefixes == ("88.118",)
    with pytest.raises(Refused):
        rights.caller(KEY)


def test_a_key_of_an_identity() -> None:
    known = {KEY: Caller("88.118.1/U.li", frozenset({Role.READER}), ("88.118.1",))}
    rights = Rights({}, "88.118")
    rights.identities = known.get
    assert rights.caller(KEY).name == "88.118.1/U.li"
    known.clear()
    with pytest.raises(Refused) as caught:
        rights.caller(KEY)
    assert caught.value.rule is UNKNOWN_KEY


def test_a_follower_has_no_role() -> None:
    rights = Rights({}, "88.118", followers=Followers({KEY: "custody-1"}))
    assert rights.caller(KEY) == Caller(str(KEY), frozenset(), ())


def test_an_unknown_key_is_refused_by_its_name() -> None:
    with pytest.raises(Refused) as caught:
        Rights({KEY: ["88.118"]}, "88.118").caller(OTHER)
    assert caught.value.rule is UNKNOWN_KEY
    assert caught.value.status == Status.NOT_PERMITTED
    assert str(OTHER) in str(caught.value)


@pytest.mark.parametrize(
    ("prefixes", "prefix", "expected"),
    [
        (("88.118",), "88.118", True),
        (("88.118",), "88.118.1", True),
        (("88.118",), "88.118.1.2", True),
        (("88.118",), "88.1180", False),
        (("88.118",), "88.118-1", False),
        (("88.118",), "88.11", False),
        (("88.118",), "88", False),
        (("88.118.1",), "88.118", False),
        (("88.118.1",), "88.118.10", False),
        (("88.1", "88.2.3"), "88.2.3.4", True),
        (("88.1", "88.2.3"), "88.2", False),
        (("",), "88", True),
        ((), "88", False),
        (("88.118",), "", False),
    ],
)
def test_permits(prefixes: tuple[str, ...], prefix: str, expected: bool) -> None:
    assert permits(prefixes, prefix) == expected


def test_challenges_of_two_zones_are_never_the_same() -> None:
    """Whatever is zone and whatever is nonce: the zone's length stands before it."""
    assert challenge_bytes("88", b"n") == PROVE_CONTEXT + b"\x0288n"
    assert challenge_bytes("88", b"n", at_copy=True) == COPY_CONTEXT + b"\x0288n"
    assert challenge_bytes("88", b".1" + b"n" * 30) != challenge_bytes("88.1", b"n" * 30)
    assert challenge_bytes("标识", b"") == PROVE_CONTEXT + b"\x06" + "标识".encode()
    assert challenge_bytes("8" * 64, b"n")[len(PROVE_CONTEXT)] == 64
