"""The table, formats, check digits, keys."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IdentifierError, Rule
from protocol.gs1 import application_identifiers as table
from protocol.gs1 import keys as rules
from protocol.gs1.application_identifiers import TABLE, Element, application_identifier, check_element
from protocol.gs1.characters import SET_82, is_day, is_time, pair_behind
from protocol.gs1.keys import NAMES, PRIMARY_KEYS, QUALIFIERS, Key, make_key
from tests.protocol.gs1.drawing import elements, keys


def refused(code: str, value: str) -> Rule:
    with pytest.raises(IdentifierError) as error:
        check_element(Element(code, value))
    assert error.value.message("zh") != error.value.message("en")
    return error.value.rule


def of(*pairs: tuple[str, str]) -> Key:
    return make_key(Element(*pair) for pair in pairs)


def test_no_code_begins_another() -> None:
    codes = sorted(TABLE)
    assert not [one for one, following in pairwise(codes) if following.startswith(one)]
    assert {len(code) for code in codes} == {2, 3, 4}


def test_predefined_lengths() -> None:
    """The table of the General Specifications, figure 7.8.5-2: by the first two digits, with the code."""
    published = {
        "00": 20, "01": 16, "02": 16, "03": 16, "11": 8, "12": 8, "13": 8, "15": 8, "16": 8, "17": 8, "20": 4,
        "31": 10, "32": 10, "33": 10, "34": 10, "35": 10, "36": 10, "41": 16,
    }  # fmt: skip
    ours = {(code[:2], len(code) + row.most) for code, row in TABLE.items() if row.predefined}
    assert ours == set(published.items())
    assert all(row.predefined == (code[:2] in published) for code, row in TABLE.items())
    for row in TABLE.values():
        if row.predefined:
            assert [(one.least, one.optional) for one in row.components] == [
                (one.most, False) for one in row.components
            ]


def test_only_the_end_of_a_value_is_of_variable_length() -> None:
    for row in TABLE.values():
        *first, _ = row.components
        assert all(one.least == one.most for one in first), row.code


def test_keys_and_qualifiers_are_in_the_table() -> None:
    assert {*PRIMARY_KEYS, *QUALIFIERS, *NAMES.values()} <= set(TABLE)
    assert not QUALIFIERS & set(PRIMARY_KEYS)
    assert set(NAMES.values()) == set(PRIMARY_KEYS) | QUALIFIERS


@given(elements(st.sampled_from(sorted(TABLE))))
def test_right_values_pass(element: Element) -> None:
    check_element(element)
    assert str(element) == f"({element.code}){element.value}"


@given(elements(st.sampled_from(["00", "01", "402", "414", "8018"])), st.data())
def test_no_mistyped_digit_passes(element: Element, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(element.value) - 1))
    other = data.draw(st.sampled_from([one for one in "0123456789" if one != element.value[at]]))
    assert refused(element.code, element.value[:at] + other + element.value[at + 1 :]) is table.CHECK_DIGIT


@given(elements(st.just("8013")), st.data())
def test_no_mistyped_character_of_a_model_number_passes(element: Element, data: st.DataObject) -> None:
    at = data.draw(st.integers(4, len(element.value) - 1))
    other = data.draw(st.sampled_from([one for one in SET_82 if one != element.value[at]]))
    assert refused("8013", element.value[:at] + other + element.value[at + 1 :]) is table.CHECK_CHARACTERS


def test_check_characters() -> None:
    """The example of the General Specifications, section 7.9.5."""
    assert pair_behind("1987654Ad4X4bL5ttr2310c") == "2K"
    check_element(Element("8013", "1987654Ad4X4bL5ttr2310c2K"))


@pytest.mark.parametrize(
    ("code", "value", "rule"),
    [
        ("01", "06901234000016", None),  # 6901234000016 with a zero before it
        ("01", "06901234000017", table.CHECK_DIGIT),
        ("01", "6901234000016", table.BAD_FORMAT),
        ("01", "0690123400001\u0666", table.BAD_FORMAT),
        ("10", "", table.BAD_FORMAT),
        ("10", "A" * 21, table.BAD_FORMAT),
        ("10", "A B", table.BAD_FORMAT),
        ("21", "!\"%&'()*+,-./:;<=>", None),
        ("21", "a\n", table.BAD_FORMAT),
        ("17", "260229", table.NO_TIME),
        ("17", "280229", None),
        ("17", "280200", None),
        ("17", "281300", table.NO_TIME),
        ("7006", "280200", table.NO_TIME),
        ("7003", "2802292459", table.NO_TIME),
        ("8008", "28022923", None),
        ("8008", "28022923595", table.BAD_FORMAT),
        ("8008", "280229235960", table.NO_TIME),
        ("253", "9506000134352", None),
        ("253", "9506000134352ABC/1", None),
        ("253", "9506000134352" + "A" * 18, table.BAD_FORMAT),
        ("255", "9506000134352A", table.BAD_FORMAT),
        ("8003", "09506000134352", None),
        ("8003", "19506000134352", table.NOT_ONE_OF),
        ("4321", "2", table.NOT_ONE_OF),
        ("4330", "001250-", None),
        ("4330", "0012500", table.NOT_ONE_OF),
        ("4324", "2602009999", None),
        ("4324", "2602002460", table.NO_TIME),
        ("8004", "ABCD1", table.NO_COMPANY),
        ("8004", "950", table.NO_COMPANY),
        ("8004", "0950600013430000001", None),
        ("8006", "095060001343520102", None),
        ("8006", "095060001343520302", table.NO_PIECE),
        ("8006", "095060001343520002", table.NO_PIECE),
        ("8010", "9506000abc", table.BAD_FORMAT),
        ("8010", "9506000#A/1-2", None),
        ("8011", "012", table.LEADING_ZERO),
        ("8011", "0", None),
        ("3103", "000195", None),
        ("3106", "000195", table.UNKNOWN_CODE),
        ("3943", "0100", None),
        ("3944", "0100", table.UNKNOWN_CODE),
        ("1", "1", table.UNKNOWN_CODE),
    ],
)  # fmt: skip
def test_values(code: str, value: str, rule: Rule | None) -> None:
    if rule is None:
        check_element(Element(code, value))
    else:
        assert refused(code, value) is rule


def test_a_wrong_check_digit_is_told_the_right_one() -> None:
    with pytest.raises(IdentifierError, match="it would be 6"):
        check_element(Element("01", "06901234000011"))


def test_days_and_times() -> None:
    assert is_day("000229")
    assert not is_day("010229")
    assert is_time("2359")
    assert not is_time("2400")
    assert not is_time("0060")


@given(keys())
def test_keys_are_what_they_are_made_of(key: Key) -> None:
    assert make_key(key.elements) == key
    assert key.shape[0] == key.primary.code in PRIMARY_KEYS
    lineage = list(key.walk_up())
    assert lineage[0] == key
    assert [len(one.elements) for one in lineage] == list(range(len(key.elements), 0, -1))
    assert all(make_key(one.elements) == one for one in lineage)


def test_walk_up_goes_from_serial_to_lot_to_variant_to_gtin() -> None:
    key = of(("01", "09506000134352"), ("22", "2A"), ("10", "L7"), ("21", "S1"))
    assert [one.shape for one in key.walk_up()] == [("01", "22", "10", "21"), ("01", "22", "10"), ("01", "22"), ("01",)]
    assert str(key) == "(01)09506000134352(22)2A(10)L7(21)S1"


@pytest.mark.parametrize("short", ["06901234000016", "6901234000016", "96385074", "614141007349"])
def test_a_gtin_is_kept_in_14_digits(short: str) -> None:
    assert of(("01", short)).primary.value == short.zfill(14)


@pytest.mark.parametrize(
    ("codes", "rule"),
    [
        ("", rules.NO_PRIMARY),
        ("21", rules.NO_PRIMARY),
        ("01 10 22", rules.WRONG_QUALIFIERS),
        ("01 21 21", rules.WRONG_QUALIFIERS),
        ("01 21 235", rules.WRONG_QUALIFIERS),
        ("01 254", rules.WRONG_QUALIFIERS),
        ("00 21", rules.WRONG_QUALIFIERS),
        ("01 01", rules.WRONG_QUALIFIERS),
        ("414 254 7040", rules.WRONG_QUALIFIERS),
    ],
)
def test_wrong_qualifiers(codes: str, rule: Rule) -> None:
    with pytest.raises(IdentifierError) as error:
        make_key(Element(code, "1") for code in codes.split())
    assert error.value.rule is rule


def test_rows_have_titles() -> None:
    assert application_identifier("01").title == "GTIN"
    assert application_identifier("3922").format == "N..15"
    assert application_identifier("99").most == 90
