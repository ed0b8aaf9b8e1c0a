"""Credit codes and industries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from registry.enterprises.credit_codes import ALPHABET, MALFORMED, WRONG_CHECK, check_character, check_credit_code
from registry.enterprises.industries import NO_DIVISION, NO_SECTION, SECTIONS, check_industry

GOOD = ("91350100M000100Y43", "9144030071526726XG", "91110000802100433B")
"""The example of the standard, and two companies' as they publish them."""


@pytest.mark.parametrize("code", GOOD)
def test_codes_in_use(code: str) -> None:
    assert check_credit_code(code) == code
    assert check_credit_code(f" {code.lower()} ") == code


@given(st.sampled_from(GOOD), st.integers(0, 17), st.sampled_from(ALPHABET))
def test_every_wrong_character_is_found(code: str, at: int, other: str) -> None:
    wrong = code[:at] + other + code[at + 1 :]
    if wrong != code:
        with pytest.raises(InvalidInput):
            check_credit_code(wrong)


@given(st.text(ALPHABET, min_size=17, max_size=17), st.integers(0, 15))
def test_every_exchange_of_neighbours_is_found(first: str, at: int) -> None:
    exchanged = first[:at] + first[at + 1] + first[at] + first[at + 2 :]
    assert (check_character(exchanged) == check_character(first)) == (exchanged == first)


@pytest.mark.parametrize("text", ["", "9135", GOOD[0] + "0", GOOD[0][:-1] + "I", "9135010XM000100Y43", "九" * 18])
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_credit_code(text)
    assert caught.value.rule is MALFORMED


def test_a_mistyped_code_is_told_apart() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_credit_code("91350100M000100Y44")
    assert caught.value.rule is WRONG_CHECK


def test_sections_and_divisions_of_the_standard() -> None:
    assert "".join(SECTIONS) == "ABCDEFGHIJKLMNOPQRST"
    divisions = [division for section in SECTIONS.values() for division in section.divisions]
    assert divisions == [f"{number:02d}" for number in range(1, 98)]
    assert len({name for section in SECTIONS.values() for name in section.divisions.values()}) == 97
    assert (SECTIONS["C"].name, SECTIONS["C"].divisions["34"]) == ("制造业", "通用设备制造业")


def test_a_division_belongs_to_one_section() -> None:
    for letter, section in SECTIONS.items():
        for other in SECTIONS.values():
            for division in other.divisions:
                if other is section:
                    check_industry(letter, division)
                else:
                    with pytest.raises(InvalidInput) as caught:
                        check_industry(letter, division)
                    assert caught.value.rule is NO_DIVISION


@pytest.mark.parametrize(("section", "division"), [("U", "01"), ("", "01"), ("c", "34"), ("AB", "01")])
def test_what_is_no_section(section: str, division: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_industry(section, division)
    assert caught.value.rule is NO_SECTION


@pytest.mark.parametrize("division", ["", "1", "00", "34 ", "３４", "98"])
def test_what_is_no_division(division: str) -> None:
    with pytest.raises(InvalidInput):
        check_industry("C", division)
