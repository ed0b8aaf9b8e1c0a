"""Computed text against Python's own format strings, and every way to write it wrongly."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.computed import MAX_COMPUTED_BYTES, MAX_FIELDS, ComputedText, Field
from protocol.errors import RecordError, render
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES

SUFFIXES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
PIECES = st.one_of(
    st.sampled_from(["{identifier}", "{prefix}", "{suffix}", "{counter}", "{{", "}}"]),
    st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=8),
)


def fill(text: str, suffix: str = "P1", counter: str = "", *, url: bool = False) -> str:
    parts = (f"88.118.1/{suffix}".encode(), b"88.118.1", suffix.encode(), counter.encode())
    return ComputedText(text, series=True, url=url).fill(*parts).decode()


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{suffix}", "P1"),
        ("https://example.com/p/{suffix}", "https://example.com/p/P1"),
        ("{identifier}", "88.118.1/P1"),
        ("{prefix}{suffix}", "88.118.1P1"),
        ("{{{suffix}}}", "{P1}"),
        ("{{suffix}}", "{suffix}"),
        ("}}{{", "}{"),
        ("编号{suffix}号", "编号P1号"),
        ("%s%(suffix)s\\{suffix}", "%s%(suffix)s\\P1"),
    ],
)
def test_filled_in(text: str, filled: str) -> None:
    assert fill(text) == filled


@given(st.lists(PIECES, max_size=6).map("".join), SUFFIXES, st.text("0123456789", max_size=6))
def test_as_a_format_string_of_python(text: str, suffix: str, counter: str) -> None:
    wanted = text.format(identifier=f"88.118.1/{suffix}", prefix="88.118.1", suffix=suffix, counter=counter)
    assert fill(text, suffix, counter) == wanted


@given(SUFFIXES)
def test_fields_of_a_url_are_escaped(suffix: str) -> None:
    filled = fill("https://e.cn/?a={suffix}#{identifier}", suffix, url=True)
    assert filled == f"https://e.cn/?a={quote(suffix)}#88.118.1/{quote(suffix)}"
    assert unquote_to_bytes(filled.partition("=")[2].partition("#")[0]) == suffix.encode()


@pytest.mark.parametrize(
    ("text", "rule", "position"),
    [
        ("{", "unbalanced", 0),
        ("}", "unbalanced", 0),
        ("abc}", "unbalanced", 3),
        ("{suffix", "unbalanced", 0),
        ("{suffix}}", "unbalanced", 8),
        ("{{suffix}", "unbalanced", 8),
        ("{suf{fix}", "unbalanced", 0),
        ("{}", "unknown-field", 0),
        ("p/{Suffix}", "unknown-field", 2),
        ("{suffix!r}", "unknown-field", 0),
        ("{suffix:>9}", "unknown-field", 0),
        ("{0}", "unknown-field", 0),
        ("{ suffix }", "unknown-field", 0),
    ],
)
def test_what_is_no_field_is_refused_with_its_place(text: str, rule: str, position: int) -> None:
    with pytest.raises(RecordError) as refused:
        ComputedText(text, series=True)
    assert refused.value.rule.name == f"computed.{rule}"
    assert refused.value.details["position"] == position
    for language in ("en", "zh"):
        assert render(refused.value.rule.name, refused.value.details, language) != refused.value.rule.name


def test_a_counter_is_for_series() -> None:
    assert ComputedText("{counter}", series=True).fields == (Field.COUNTER,)
    with pytest.raises(RecordError, match=r"have a \{counter\}"):
        ComputedText("no {counter} here")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("x" * (MAX_COMPUTED_BYTES + 1), "too-long"),
        ("型" * (MAX_COMPUTED_BYTES // 3 + 1), "too-long"),
        ("{suffix}" * (MAX_FIELDS + 1), "too-many-fields"),
        ("\ud800", "not-utf8"),
    ],
)
def test_bounds(text: str, rule: str) -> None:
    with pytest.raises(RecordError) as refused:
        ComputedText(text)
    assert refused.value.rule.name == f"computed.{rule}"


def test_what_is_filled_in_stays_below_the_limit_of_a_value() -> None:
    """The worst text and the longest identifier."""
    text = "{identifier}" * MAX_FIELDS
    suffix = b" " * (MAX_IDENTIFIER_BYTES - 2)
    for url in (False, True):
        longest = ComputedText(text, url=url).fill(b"8/" + suffix, b"8", suffix)
        assert len(longest) + MAX_COMPUTED_BYTES <= MAX_DATA_BYTES
