"""Identifiers: the vectors, and the corners between them."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import IdentifierError
from protocol.identifiers import Identifier, covers, normal, normal_prefix, parse
from protocol.limits import MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES
from protocol.status import Status
from tests.vectors.load import load

VECTORS = load("identifiers")


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["text"][:40])
def test_good_identifiers(vector: Any) -> None:
    raw = bytes.fromhex(vector["input"])
    wanted = bytes.fromhex(vector["normal"])
    assert normal(raw) == wanted
    assert normal(wanted) == wanted
    split = parse(vector["text"])
    assert split == Identifier(vector["prefix"], vector["suffix"])
    assert str(split).encode() == wanted
    assert parse(raw) == split


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda one: f"{one['rule']} {one['input'][:20]}")
def test_bad_identifiers_name_the_rule_and_the_position(vector: Any) -> None:
    raw = bytes.fromhex(vector["input"])
    for judge in (normal, parse):
        with pytest.raises(IdentifierError) as caught:
            judge(raw)
        assert caught.value.rule.name == vector["rule"]
        assert caught.value.details["position"] == vector["position"]
        assert caught.value.status is Status.BAD_IDENTIFIER


@pytest.mark.parametrize("vector", VECTORS["good_prefixes"], ids=lambda one: one["input"][:20])
def test_good_prefixes(vector: Any) -> None:
    assert normal_prefix(bytes.fromhex(vector["input"])).hex() == vector["normal"]


@pytest.mark.parametrize("vector", VECTORS["bad_prefixes"], ids=lambda one: f"{one['rule']} {one['input'][:20]}")
def test_bad_prefixes_name_the_rule_and_the_position(vector: Any) -> None:
    with pytest.raises(IdentifierError) as caught:
        normal_prefix(bytes.fromhex(vector["input"]))
    assert caught.value.rule.name == vector["rule"]
    assert caught.value.details["position"] == vector["position"]


def test_a_slash_in_a_prefix_is_called_what_it_is() -> None:
    """It was called a prefix of 2 bytes where at most 64 are allowed."""
    with pytest.raises(IdentifierError, match="there is one at byte 2"):
        normal_prefix(b"88/118")


def test_only_ascii_letters_of_the_prefix_change() -> None:
    assert normal("aé.ß.ǆ/aé".encode()) == "Aé.ß.ǆ/aé".encode()


def test_every_control_character_is_refused_and_no_other() -> None:
    for code in range(0x100):
        raw = f"88/a{chr(code)}b".encode()
        if code < 0x20 or 0x7F <= code < 0xA0:
            with pytest.raises(IdentifierError) as caught:
                normal(raw)
            assert caught.value.details == {"position": 4, "code": f"{code:04X}"}
        else:
            assert normal(raw) == raw


def test_lengths_are_counted_in_bytes() -> None:
    assert len(normal(b"88/" + "泵".encode() * ((MAX_IDENTIFIER_BYTES - 3) // 3))) == MAX_IDENTIFIER_BYTES
    with pytest.raises(IdentifierError, match="481 bytes"):
        normal(b"880/" + "泵".encode() * ((MAX_IDENTIFIER_BYTES - 3) // 3))
    with pytest.raises(IdentifierError, match="66 bytes"):
        normal_prefix("泵".encode() * (MAX_PREFIX_BYTES // 3 + 1))


def test_text_that_cannot_be_encoded_is_an_identifier_error() -> None:
    with pytest.raises(IdentifierError) as caught:
        parse("88.118/\ud800")
    assert (caught.value.rule.name, caught.value.details["position"]) == ("identifier.not-utf8", 7)


@pytest.mark.parametrize(
    ("zone", "prefix", "covered"),
    [
        ("88.118", "88.118", True),
        ("88.118", "88.118.32001", True),
        ("88.118", "88.118.32001.5", True),
        ("88.118", "88.1180", False),
        ("88.118", "88.119", False),
        ("88.118", "88", False),
        ("88.118", "", False),
        ("", "88", True),
        ("", "", True),
    ],
)
def test_a_zone_covers_its_prefix_and_what_lies_below(zone: str, prefix: str, covered: bool) -> None:
    assert covers(zone, prefix) is covered
