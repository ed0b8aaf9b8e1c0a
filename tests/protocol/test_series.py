"""Patterns, members and overlaps of series, against lists of all their members."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import series as rules
from protocol.errors import IdentifierError, Rule
from protocol.identifiers import normal
from protocol.series import (
    BASE36,
    DECIMAL,
    HEX,
    Alphabet,
    Series,
    check_digit,
    is_pattern,
    make_series,
    parse_series,
)


@pytest.mark.parametrize(
    ("pattern", "first", "last", "count"),
    [
        ("88.118.32001/B2311-{000001..999999}", "B2311-000001", "B2311-999999", 999_999),
        ("88.118.32001/U{0000..FFFF;hex}-CN", "U0000-CN", "UFFFF-CN", 65_536),
        ("88.118.32001/K{000..ZZZ;base36}", "K000", "KZZZ", 46_656),
        ("88.118.32001/{690123400001..690123499999;gs1}", "6901234000016", "6901234999990", 99_999),
        ("88.118.32001/泵/{{{7..7}}}", "泵/{7}", "泵/{7}", 1),
        ("88.118.32001/{000000000001..999999999999}x", "000000000001x", "999999999999x", 999_999_999_999),
    ],
)  # fmt: skip
def test_pattern(pattern: str, first: str, last: str, count: int) -> None:
    assert is_pattern(pattern)
    series = parse_series(pattern)
    assert str(series) == pattern
    assert series.count == count
    assert (series.member(0).decode(), series.member(count - 1).decode()) == (first, last)


def test_prefix_comes_in_normal_form() -> None:
    assert str(parse_series("88.118.a/x{1..2}")) == "88.118.A/x{1..2}"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("88.118/B{1..2}{3..4}", rules.NO_PATTERN),
        ("88.118/B12", rules.NO_PATTERN),
        ("88.118/B{{1..2}}", rules.NO_PATTERN),
        ("88.118/B{{1..2}", rules.NO_PATTERN),
        ("88.118/}B{1..2}", rules.NO_PATTERN),
        ("88.118/B{1..2;octal}", rules.UNKNOWN_OPTION),
        ("88.118/B{1..2;hex;base36}", rules.UNKNOWN_OPTION),
        ("88.118/B{1..2;gs1;gs1}", rules.UNKNOWN_OPTION),
        ("88.118/B{1..2;hex;gs1}", rules.UNKNOWN_OPTION),
        ("88.118/B{00..0A}", rules.OTHER_CHARACTERS),
        ("88.118/B{00..0a;hex}", rules.OTHER_CHARACTERS),
        ("88.118/B{1..20}", rules.OTHER_WIDTH),
        ("88.118/B{{{}..{}}}".format("0" * 19, "1" * 19), rules.OTHER_WIDTH),
        ("88.118/B{2..1}", rules.NOTHING_IN_IT),
        ("88.118/B{0000000000000..9999999999999}", rules.TOO_MANY),
    ],
)  # fmt: skip
def test_refused_patterns(text: str, rule: Rule) -> None:
    with pytest.raises(IdentifierError) as caught:
        parse_series(text)
    assert caught.value.rule is rule
    assert caught.value.message("en") != caught.value.message("zh")
    assert rule.name not in caught.value.message("en")  # the sentence could be filled in


@pytest.mark.parametrize("text", ["88.118/" + "x" * 480 + "{1..2}", "/x{1..2}", "88.118/x\n{1..2}", "88..1/{1..2}"])
def test_members_must_be_identifiers(text: str) -> None:
    with pytest.raises(IdentifierError):
        parse_series(text)


def test_check_digit_is_that_of_gs1() -> None:
    # The example of the GS1 General Specifications, section 7.9, and numbers off products.
    assert check_digit(b"629104150021") == b"3"
    assert check_digit(b"590123412345") == b"7"
    assert check_digit(b"37610425002123456") == b"9"
    assert check_digit(b"0000000") == b"0"


@given(st.integers(0, 10**13 - 1))
def test_check_digit_makes_the_weighted_sum_a_multiple_of_ten(number: int) -> None:
    digits = b"%013d" % number
    whole = [int(one) for one in (digits + check_digit(digits)).decode()]
    assert sum(3 * one if i % 2 else one for i, one in enumerate(reversed(whole))) % 10 == 0


SMALL = Alphabet("hex", b"h", b"012")
"""Three characters, so that all members of all series can be listed."""


@st.composite
def series(draw: st.DrawFn, length: int | None = None) -> Series:
    """A small one, of members with ``length`` bytes where it is given."""
    length = draw(st.integers(2, 6)) if length is None else length
    checked = draw(st.booleans()) if length > 1 else False
    alphabet = DECIMAL if checked else draw(st.sampled_from([SMALL, DECIMAL, BASE36]))
    width = draw(st.integers(1, min(3 if alphabet is SMALL else 2, length - checked)))
    head_length = draw(st.integers(0, length - checked - width))
    fixed = st.sampled_from(b"0123A")
    head = bytes(draw(st.lists(fixed, min_size=head_length, max_size=head_length)))
    rest = length - checked - width - head_length
    tail = bytes(draw(st.lists(fixed, min_size=rest, max_size=rest)))
    first, last = sorted(draw(st.tuples(*[st.integers(0, alphabet.base**width - 1)] * 2)))
    return Series("88.1", head, first, last, width, alphabet, checked, tail)


def listed(one: Series) -> list[bytes]:
    return [one.member(n) for n in range(one.count)]


@given(series(), st.binary(max_size=7), st.data())
def test_members_are_in_order_and_found_again(one: Series, other: bytes, data: st.DataObject) -> None:
    members = listed(one)
    assert members == sorted(set(members))
    assert {len(member) for member in members} == {one.length}
    n = data.draw(st.integers(0, one.count - 1))
    assert one.place(members[n]) == n
    changed = data.draw(st.sampled_from([other, members[n][:-1] + b"1", members[n] + b"0", b"1" + members[n][1:]]))
    assert one.place(changed) == (members.index(changed) if changed in members else None)
    assert one.next_place(changed) == sum(1 for member in members if member < changed)


@given(st.data(), st.integers(2, 5))
def test_series_meet_where_their_members_do(data: st.DataObject, length: int) -> None:
    one, other = data.draw(series(length)), data.draw(series(length))
    common = set(listed(one)) & set(listed(other))
    assert one.meets(other) == other.meets(one) == bool(common)


@given(series(2), series(3))
def test_series_of_two_lengths_never_meet(one: Series, other: Series) -> None:
    assert not one.meets(other)


@given(series(), st.lists(st.sampled_from(b"0123A"), min_size=6, max_size=6), st.data())
def test_members_of_one_shape_never_interleave(one: Series, letters: list[int], data: st.DataObject) -> None:
    head = bytes(letters[: len(one.head)])
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, one.alphabet.base**one.width - 1)] * 2)))
    other = replace(one, head=head, first=first, last=last)
    assert one.shape == other.shape
    if not one.meets(other):
        low, high = sorted([listed(one), listed(other)])
        assert low[-1] < high[0]


def test_series_of_a_billion_are_told_apart() -> None:
    """Where lists could not be made: patterns that agree in all but one place."""
    one = parse_series("88.1/{000000000..00ZZZZZZZ;base36}0A")
    assert not one.meets(parse_series("88.1/{000000000..00ZZZZZZZ;base36}0B"))
    assert not one.meets(parse_series("88.1/01{0000000..ZZZZZZZ;base36}0A"))
    assert one.meets(parse_series("88.1/0{00ZZZZZZZ..01ZZZZZZZ;base36}A"))
    checked = parse_series("88.1/{000000000000..999999999999;gs1}")
    assert checked.meets(parse_series("88.1/590123412345{7..7}"))
    assert not checked.meets(parse_series("88.1/590123412345{8..9}"))
    assert checked.meets(parse_series("88.1/{590123412340..590123412340;gs1}"))
    # Both digits can be right only where the digits of the head weigh a multiple of ten: 5 + 27 + 0 + 3 do not.
    assert not checked.meets(parse_series("88.1/5901{00000000..99999999;gs1}"))
    assert checked.meets(parse_series("88.1/1300{00000000..99999999;gs1}"))


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)


@given(texts, texts, st.sampled_from([DECIMAL, HEX, BASE36]), st.booleans(), st.integers(1, 6), st.data())
def test_a_pattern_comes_back(
    head: str, tail: str, alphabet: Alphabet, checked: bool, width: int, data: st.DataObject
) -> None:
    checked = checked and alphabet is DECIMAL
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, alphabet.base**width - 1)] * 2)))
    written = [alphabet.write(number, width) for number in (first, last)]
    one = make_series("88.1", head.encode(), *written, alphabet, checked=checked, tail=tail.encode())
    assert parse_series(str(one)) == one
    assert normal(b"88.1/" + one.member(0)) == b"88.1/" + one.member(0)
