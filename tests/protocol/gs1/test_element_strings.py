"""Element strings: FNC1 where it must be, and from there to links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IdentifierError, Rule
from protocol.gs1 import application_identifiers as table
from protocol.gs1 import element_strings as rules
from protocol.gs1 import keys
from protocol.gs1.application_identifiers import TABLE, Element
from protocol.gs1.digital_links import TWICE, DigitalLink, parse_link
from protocol.gs1.element_strings import (
    FNC1,
    MAX_ELEMENT_STRING_CHARACTERS,
    SYMBOLOGIES,
    link_of,
    parse_elements,
    write_elements,
)
from tests.protocol.gs1.drawing import elements, links

LISTS = st.lists(elements(st.sampled_from(sorted(TABLE))), max_size=5, unique_by=lambda element: element.code)
GTIN = "09506000134352"


@given(LISTS, st.sampled_from(["", *SYMBOLOGIES]), st.booleans())
def test_what_is_written_is_read_again(given_: list[Element], symbology: str, leading: bool) -> None:
    text = write_elements(given_)
    assert parse_elements(symbology + FNC1 * leading + text) == tuple(given_)


@given(LISTS)
def test_fnc1_may_follow_every_value(given_: list[Element]) -> None:
    text = "".join(f"{code}{value}{FNC1}" for code, value in given_)
    assert parse_elements(text) == tuple(given_)
    assert len(write_elements(given_)) <= len(text)


@given(links())
def test_a_link_and_an_element_string_say_the_same(link: DigitalLink) -> None:
    again = link_of(parse_elements(write_elements(link.elements)), link.stem)
    if again.key.primary == link.key.primary:  # where an attribute is no primary key itself
        assert again.key == link.key
        assert again.attributes == link.attributes


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (f"]d201{GTIN}10L7{FNC1}21S1", f"https://id.gs1.org/01/{GTIN}/10/L7/21/S1"),
        (f"]Q301{GTIN}21S1{FNC1}10L7{FNC1}17261231", f"https://id.gs1.org/01/{GTIN}/10/L7/21/S1?17=261231"),
        (f"{FNC1}17261231{FNC1}01{GTIN}", f"https://id.gs1.org/01/{GTIN}?17=261231"),
        (f"01{GTIN}3103000195", f"https://id.gs1.org/01/{GTIN}?3103=000195"),
        (f"]C10010614141234567890802{GTIN}3725", f"https://id.gs1.org/00/106141412345678908?02={GTIN}&37=25"),
        (f"01{GTIN}01{GTIN}", f"https://id.gs1.org/01/{GTIN}"),
    ],
)  # fmt: skip
def test_scanned(text: str, link: str) -> None:
    assert str(link_of(parse_elements(text))) == link
    assert link_of(parse_elements(text)) == parse_link(link)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("x" * (MAX_ELEMENT_STRING_CHARACTERS + 1), rules.TOO_LONG),
        ("05123", table.UNKNOWN_CODE),
        ("(01)09506000134352", table.UNKNOWN_CODE),
        ("0", table.UNKNOWN_CODE),
        ("010950600013435", table.BAD_FORMAT),
        (f"01{GTIN}{FNC1}{FNC1}", table.UNKNOWN_CODE),
        ("10", table.BAD_FORMAT),
        (f"10A{FNC1}10B", TWICE),
        ("0109506000134353", table.CHECK_DIGIT),
    ],
)
def test_what_is_none(text: str, rule: Rule) -> None:
    with pytest.raises(IdentifierError) as error:
        parse_elements(text)
    assert error.value.rule is rule


def test_what_has_no_link() -> None:
    with pytest.raises(IdentifierError) as error:
        link_of(parse_elements("17261231"))
    assert error.value.rule is keys.NO_PRIMARY
    with pytest.raises(IdentifierError) as error:
        link_of(parse_elements(f"01{GTIN}21A{FNC1}235B"))
    assert error.value.rule is keys.WRONG_QUALIFIERS
