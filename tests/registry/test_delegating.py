"""Which delegations a zone gives and which requests it takes: each rule with the least that breaks it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BiaoshiError, InvalidInput, SettingsError
from protocol.identifiers import covers
from protocol.limits import MAX_CHAIN, MAX_REQUEST_AGE_SECONDS
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, DelegationRequest
from registry.codes import CODE_BYTES, asking_bytes, code_key, format_code
from registry.delegating import Code, Parent, Standing, judge_child, judge_delegation, judge_request

NOW: Final = 1_780_272_000
OLD, NEW, CHILD, OTHER = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
ADDRESS: Final = Address("node.example.cn", 26_410, 26_410)
PARENT: Final = Parent("88.118", (OLD.public, NEW.public), NOW + 1_000, 1)
NEVER: Final = Standing(0, None, None)
GOOD: Final = {
    "parent": "88.118", "child": "88.118.32001", "serial": 1, "not_before": NOW - 10, "not_after": NOW + 1_000,
    "keys": (CHILD.public,), "addresses": (ADDRESS,),
}  # fmt: skip


def claim(**bent: Any) -> Delegation:
    return Delegation(**{**GOOD, **bent})


def broken(call: Any) -> str:
    """The rule that a call breaks; empty for none."""
    try:
        call()
    except BiaoshiError as refused:
        error = refused
    else:
        return ""
    assert "{" not in error.message() + error.message("zh")
    return error.rule.name


DELEGATIONS: Final = [
    # rule ("" where it holds), what is bent in the statement, parent, standing
    ("", {}, PARENT, NEVER),
    ("", {"not_before": NOW + 500}, PARENT, NEVER),
    ("", {"not_after": NOW}, PARENT, NEVER),
    ("", {"not_before": NOW + 5, "not_after": NOW + 5}, PARENT, NEVER),
    ("", {"serial": 8}, PARENT, Standing(7, b"any", None)),
    ("", {"serial": 8}, PARENT, Standing(7, None, None)),
    ("", {"child": "88.118.1.2.3"}, PARENT, NEVER),
    ("", {"addresses": (Address("x", 0, 1), ADDRESS)}, PARENT, NEVER),
    ("", {"parent": "", "child": "88"}, PARENT._replace(zone=""), NEVER),
    ("", {}, PARENT._replace(depth=MAX_CHAIN - 1), NEVER),
    ("delegating.no-zone-key", {}, PARENT._replace(keys=()), NEVER),
    ("delegating.other-parent", {"parent": "88"}, PARENT, NEVER),
    ("delegating.other-parent", {"parent": "88.118.1", "child": "88.118.1.1"}, PARENT, NEVER),
    ("delegating.other-parent", {"parent": ""}, PARENT, NEVER),
    ("delegating.not-below", {"child": "88.118"}, PARENT, NEVER),
    ("delegating.not-below", {"child": "88"}, PARENT, NEVER),
    ("delegating.not-below", {"child": "88.119"}, PARENT, NEVER),
    ("delegating.not-below", {"child": "88.1180"}, PARENT, NEVER),
    ("delegating.not-normal", {"child": "88.118.a"}, PARENT, NEVER),
    ("identifier.empty-segment", {"child": "88.118."}, PARENT, NEVER),
    ("identifier.slash-in-prefix", {"child": "88.118.1/x"}, PARENT, NEVER),
    ("identifier.control-character", {"child": "\x01code"}, PARENT, NEVER),
    ("delegating.below-a-cut", {}, PARENT, Standing(0, None, "88.118.3")),
    ("delegating.too-deep", {}, PARENT._replace(depth=MAX_CHAIN), NEVER),
    ("delegating.no-address", {"addresses": ()}, PARENT, NEVER),
    ("delegating.no-address", {"addresses": (Address("x", 0, 26_410),)}, PARENT, NEVER),
    ("delegating.no-time", {"not_before": NOW + 2, "not_after": NOW + 1}, PARENT, NEVER),
    ("delegating.no-time", {"not_after": NOW - 1}, PARENT, NEVER),
    ("delegating.outlives", {"not_after": NOW + 1_001}, PARENT, NEVER),
    ("delegating.serial", {"serial": 2}, PARENT, NEVER),
    ("delegating.serial", {"serial": 1}, PARENT, Standing(1, b"any", None)),
    ("delegating.serial", {"serial": 7}, PARENT, Standing(7, None, None)),
    ("delegating.serial", {"serial": 9}, PARENT, Standing(7, b"any", None)),
]


@pytest.mark.parametrize(("rule", "bent", "parent", "standing"), DELEGATIONS)
@pytest.mark.parametrize("signer", [OLD, NEW])
def test_delegations(rule: str, bent: dict[str, Any], parent: Parent, standing: Standing, signer: SigningKey) -> None:
    wanted = claim(**bent)
    statement = wanted.sign(signer)
    assert broken(lambda: judge_delegation(statement, parent, standing, NOW)) == rule
    if not rule:
        assert judge_delegation(statement, parent, standing, NOW) == wanted


@pytest.mark.parametrize("signer", [CHILD, OTHER])
def test_only_the_zones_keys_sign(signer: SigningKey) -> None:
    assert broken(lambda: judge_delegation(claim().sign(signer), PARENT, NEVER, NOW)) == "delegating.bad-signature"


@pytest.mark.parametrize("statement", [b"", b"\x92\xc4\x00\xc4\x00", b"x" * 5_000])
def test_what_is_no_statement(statement: bytes) -> None:
    with pytest.raises(InvalidInput):
        judge_delegation(statement, PARENT, NEVER, NOW)


def test_a_late_serial_is_told_the_current_one() -> None:
    with pytest.raises(BiaoshiError) as raised:
        judge_delegation(claim(serial=3).sign(OLD), PARENT, Standing(7, None, None), NOW)
    assert raised.value.details == {"child": "88.118.32001", "serial": 7, "next": 8, "given": 3}


segments = st.lists(st.sampled_from(["8", "88", "118", "1"]), max_size=4)


@given(zone=segments, child=segments.filter(bool))
def test_only_what_lies_strictly_below(zone: list[str], child: list[str]) -> None:
    parent = PARENT._replace(zone=".".join(zone))
    allowed = len(child) > len(zone) and child[: len(zone)] == zone
    assert (broken(lambda: judge_child(".".join(child), parent, NEVER)) == "") == allowed
    assert not allowed or covers(parent.zone, ".".join(child))


# Requests --------------------------------------------------------------------------------------------

TEXT: Final = format_code(bytes(range(CODE_BYTES)))
CODE: Final = Code(code_key(TEXT).public, NOW + 100)
GIVEN: Final = Standing(1, claim(keys=(CHILD.public, NEW.public)).sign(OLD), None)


def request(**bent: Any) -> DelegationRequest:
    whole = {"child": "88.118.32001", "keys": (CHILD.public,), "addresses": (ADDRESS,), "made": NOW}
    return DelegationRequest(**{**whole, **bent})


REQUESTS: Final = [
    # rule, what is bent in the request, which code, standing
    ("", {}, CODE, NEVER),
    ("", {}, CODE, GIVEN),
    ("", {}, CODE._replace(until=NOW), NEVER),
    ("", {"made": NOW - MAX_REQUEST_AGE_SECONDS}, CODE, NEVER),
    ("", {"made": NOW + MAX_REQUEST_AGE_SECONDS}, CODE, NEVER),
    ("delegating.request-age", {"made": NOW - MAX_REQUEST_AGE_SECONDS - 1}, CODE, NEVER),
    ("delegating.request-age", {"made": NOW + MAX_REQUEST_AGE_SECONDS + 1}, CODE, NEVER),
    ("delegating.no-code", {}, None, NEVER),
    ("delegating.no-code", {}, None, GIVEN),
    ("delegating.no-code", {}, CODE._replace(until=NOW - 1), NEVER),
    ("delegating.wrong-code", {}, Code(OTHER.public, NOW + 1), NEVER),
    ("delegating.no-address", {"addresses": ()}, CODE, NEVER),
    ("delegating.not-below", {"child": "88.119.1"}, CODE, NEVER),
    ("delegating.below-a-cut", {}, CODE, Standing(0, None, "88.118.3")),
    ("delegating.not-normal", {"child": "88.118.a"}, CODE, NEVER),
]


@pytest.mark.parametrize(("rule", "bent", "code", "standing"), REQUESTS)
def test_requests_with_a_code(rule: str, bent: dict[str, Any], code: Code | None, standing: Standing) -> None:
    statement = request(**bent).sign(CHILD)
    signature = code_key(TEXT).sign(asking_bytes(statement))
    assert broken(lambda: judge_request(statement, signature, code, PARENT, standing, NOW)) == rule


def test_a_code_is_for_one_request() -> None:
    """Who overhears it cannot put another in its place."""
    signature = code_key(TEXT).sign(asking_bytes(request().sign(CHILD)))
    other = request(keys=(OTHER.public,)).sign(OTHER)
    assert broken(lambda: judge_request(other, signature, CODE, PARENT, NEVER, NOW)) == "delegating.wrong-code"


@pytest.mark.parametrize(
    ("rule", "keys", "signer", "standing"),
    [
        ("", (CHILD, OTHER), CHILD, GIVEN),
        ("", (NEW,), NEW, GIVEN),
        ("delegating.no-code", (OTHER, CHILD), OTHER, GIVEN),
        ("delegating.no-code", (CHILD,), CHILD, NEVER),
        ("delegating.no-code", (CHILD,), CHILD, Standing(2, None, None)),
        ("statement.not-by-its-key", (CHILD, OTHER), OTHER, GIVEN),
    ],
)
def test_requests_by_a_key_that_is_known(
    rule: str, keys: tuple[SigningKey, ...], signer: SigningKey, standing: Standing
) -> None:
    statement = request(keys=tuple(key.public for key in keys)).sign(signer)
    assert broken(lambda: judge_request(statement, None, CODE, PARENT, standing, NOW)) == rule


# Codes -----------------------------------------------------------------------------------------------


@given(st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES))
def test_a_code_is_the_same_however_it_is_written(random: bytes) -> None:
    text = format_code(random)
    assert len(text) == 19
    for spelt in (text, text.lower(), text.replace("-", ""), text.replace("-", " "), f"  {text}\n"):
        assert code_key(spelt) == code_key(text)


@pytest.mark.parametrize("text", ["", "ABCD", TEXT + "A", TEXT[:-1], TEXT[:-1] + "1", "É" * 16, TEXT + "-AAAA-AAAA"])
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(SettingsError):
        code_key(text)
