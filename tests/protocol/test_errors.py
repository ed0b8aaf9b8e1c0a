"""Errors: sentences, and details that come over the wire."""

from __future__ import annotations

import string

import pytest

import protocol.address
import protocol.exchange
import protocol.node
import protocol.receipts  # noqa: F401 every module that has rules
from protocol.errors import BiaoshiError, InvalidInput, MessageError, NotVerified, Refused, Rule, render
from protocol.messages import BAD_ARGUMENTS, refusal
from protocol.status import Status


def test_every_rule_has_the_same_parameters_in_both_languages() -> None:
    for rule in Rule.known.values():
        # A detail that is itself a phrase has a Chinese twin, named with _zh.
        parameters = [
            {name.removesuffix("_zh") for _, name, _, _ in string.Formatter().parse(text) if name}
            for text in (rule.en, rule.zh)
        ]
        assert parameters[0] == parameters[1], rule.name
        assert rule.en == rule.en.strip(), rule.name
        assert "." in rule.name


def test_a_sentence_is_filled_in_from_the_details() -> None:
    error = MessageError(BAD_ARGUMENTS, operation="ping", reason="none wanted")
    assert str(error) == "ping: none wanted"
    assert error.message("zh") == "ping 的参数不合法：none wanted"
    assert error.status is Status.BAD_REQUEST
    assert isinstance(error, InvalidInput)
    assert not isinstance(error, NotVerified)


def test_a_name_is_given_to_one_rule_only() -> None:
    with pytest.raises(ValueError, match="two rules"):
        Rule("message.bad-arguments", Status.BAD_REQUEST, "", "")


def test_a_rule_of_a_newer_peer_is_shown_as_it_is() -> None:
    assert render("new.rule", {"a": 1}, "en") == "new.rule {'a': 1}"
    assert render("new.rule", {}, "zh") == "new.rule"
    assert render("message.bad-arguments", {"other": 1}, "en") == "message.bad-arguments {'other': 1}"


@pytest.mark.parametrize("name", ["rule", "status", "self", "details", "args", "en"])
def test_details_from_the_wire_may_have_any_name(name: str) -> None:
    """``rule`` and ``status`` were taken for the constructor's own arguments: TypeError."""
    error = refusal(300, (b"message.bad-arguments", {name.encode(): 1, b"operation": b"x", b"reason": b"y"}))
    assert isinstance(error, Refused)
    assert error.details[name] == 1
    assert str(error) == "x: y"
    assert MessageError(BAD_ARGUMENTS, **{name: 1}).details == {name: 1}


def test_the_status_of_a_refusal_is_the_one_that_came() -> None:
    error = refusal(Status.OVERLOADED, (b"message.bad-arguments", {}))
    assert error.status is Status.OVERLOADED
    assert isinstance(error, BiaoshiError)
