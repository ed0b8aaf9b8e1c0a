"""Patterns against Python's own expressions, which mean the same wherever ours are allowed."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RecordError
from protocol.limits import MAX_PATTERN_CHARACTERS
from protocol.patterns import compile_pattern

ONES = st.sampled_from(["a", "b", "-", ".", "\\d", "\\w", "\\.", "[ab]", "[^a]", "[a-b0-9]", "[b.]", "[\\d-]", "型"])
REPEATS = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,2}", "{0,1}", "{1,}", "{0}"])
SEQUENCES = st.lists(st.tuples(ONES, REPEATS).map("".join), max_size=4).map("".join)
PATTERNS = st.lists(SEQUENCES, min_size=1, max_size=3).map("|".join)
TEXTS = st.text("ab-.0型\n", max_size=6)


def allowed(pattern: str) -> re.Pattern[str] | None:
    try:
        return compile_pattern(pattern)
    except RecordError:
        return None


def rule_of(pattern: str) -> tuple[str, object]:
    with pytest.raises(RecordError) as refused:
        compile_pattern(pattern)
    assert refused.value.message("zh") != refused.value.message("en")
    details = refused.value.details
    return refused.value.rule.name.removeprefix("pattern."), details.get("position", details.get("part"))


@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=8))
def test_means_what_it_means_in_python(pattern: str, texts: list[str]) -> None:
    ours = allowed(pattern)
    if ours is None:
        assert rule_of(pattern)[0] == "ambiguous"
        return
    theirs = re.compile(pattern, re.ASCII | re.DOTALL)
    for text in texts:
        assert bool(ours.fullmatch(text)) == bool(theirs.fullmatch(text))


@given(SEQUENCES)
def test_nothing_is_ever_taken_back(pattern: str) -> None:
    """Repetitions give nothing back, and where a pattern is allowed, ones that do match the same."""
    ours = allowed(pattern)
    if ours is None:
        return
    giving_back = re.compile(ours.pattern.replace("}+", "}"))
    for text in map("".join, product("ab-0", repeat=4)):
        for end in range(5):
            assert bool(ours.fullmatch(text[:end])) == bool(giving_back.fullmatch(text[:end]))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("[A-Z]{2}-\\d{4}", ["AB-1234"], ["AB-123", "ab-1234", "AB-12345", "AB-١٢٣٤"]),
        ("合格|不合格", ["合格", "不合格"], ["不", "合格 "]),
        ("[A-Z][A-Z0-9]*", ["A", "A0Z"], ["", "0A"]),
        ("\\d+\\.?", ["1", "12."], ["."]),
        ("[^-]+-[^-]+", ["a-b"], ["a-b-c", "-b"]),
        (".{3}", ["a\nb"], ["ab"]),
        ("[\\]\\\\\\^-]", ["]", "\\", "^", "-"], ["a"]),
    ],
)
def test_examples(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert all(map(compiled.fullmatch, matching))
    assert not any(map(compiled.fullmatch, others))


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ("(a)", 0), ("a)", 1), ("^a", 0), ("a$", 1), ("*", 0), ("a**", 2), ("a+?", 2), ("{2}", 0), ("a{2", 1),
        ("a]", 1), ("[a", 0), ("[", 0), ("[]", 0), ("[b-a]", 1), ("[\\d-z]", 1), ("[a-", 0), ("\\", 0), ("\\n", 0),
        ("\\b", 0), ("\\1", 0), ("a{3,2}", 1), ("a{99999}", 1), ("a\\", 1), ("[^", 0), ("[\\", 1), ("\ud800", 0),
        ("a{,2}", 1),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(pattern: str, place: int) -> None:
    assert rule_of(pattern) == ("malformed", place)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("a*a", "a*"), (".*b", ".*"), ("[A-Z]+[A-Z0-9]*", "[A-Z]+"), ("a?b?a", "a?"), ("a*b*c*a", "a*"),
        ("\\d{1,3}5", "\\d{1,3}"), ("\\w*_", "\\w*"), ("x|[^a]*b", "[^a]*"), ("a*a*a*a*a*a*b", "a*"),
    ],
)  # fmt: skip
def test_what_one_character_does_not_decide_is_refused(pattern: str, part: str) -> None:
    assert rule_of(pattern) == ("ambiguous", part)


def test_bounds() -> None:
    assert compile_pattern("a" * MAX_PATTERN_CHARACTERS).fullmatch("a" * MAX_PATTERN_CHARACTERS)
    assert rule_of("a" * (MAX_PATTERN_CHARACTERS + 1))[0] == "too-long"


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_none(text: str) -> None:
    if allowed(text) is None:
        rule_of(text)


def test_repetitions_are_possessive() -> None:
    """60 repetitions that each gave back their characters one by one would take 20 ms for the longest data."""
    a, b = (f"[\\U000000{code}-\\U000000{code}]" for code in ("61", "62"))
    assert compile_pattern("a*b{1,2}a{3}b?").pattern == f"{a}{{0,}}+{b}{{1,2}}+{a}{{3}}{b}{{0,1}}+"
