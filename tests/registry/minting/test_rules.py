"""Rules of suffixes: what they mint when, and which could mint the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput, Rule
from protocol.series import NO_PATTERN
from registry.minting import rules
from registry.minting.rules import MintRule, make_rule

EVE = datetime(2023, 12, 31, 17, 30, tzinfo=UTC).timestamp()


def rule(text: str, zone: str = "UTC", name: str = "r") -> MintRule:
    return make_rule("88.1", name, text, zone)


@pytest.mark.parametrize(
    ("text", "zone", "first"),
    [
        ("B{0001..9999}", "UTC", "B0001"),
        ("B{date:%Y%m%d}-{0001..9999}", "UTC", "B20231231-0001"),
        ("B{date:%Y%m%d}-{0001..9999}", "+08:00", "B20240101-0001"),
        ("B{date:%Y%m%d}-{0001..9999}", "Asia/Shanghai", "B20240101-0001"),
        ("B{date:%y}{{{date:%j}}}{0001..9999}{date:%H}", "-01:30", "B23{365}000116"),
        ("{{date:%Y}}{0001..9999}", "UTC", "{date:%Y}0001"),
        ("{690123400001..690123499999;gs1}", "UTC", "6901234000016"),
    ],
)
def test_what_is_minted(text: str, zone: str, first: str) -> None:
    assert rule(text, zone).series(EVE).member(0).decode() == first


@pytest.mark.parametrize(
    ("text", "zone", "name", "broken"),
    [
        ("B", "UTC", "r", NO_PATTERN),
        ("B{1..2}{1..2}", "UTC", "r", NO_PATTERN),
        ("B{date:}{1..2}", "UTC", "r", rules.BAD_DATE),
        ("B{date:%B}{1..2}", "UTC", "r", rules.BAD_DATE),
        ("B{date:%}{1..2}", "UTC", "r", rules.BAD_DATE),
        ("B{1..2}", "Mars/North", "r", rules.BAD_ZONE),
        ("B{1..2}", "../UTC", "r", rules.BAD_ZONE),
        ("B{1..2}", "+8", "r", rules.BAD_ZONE),
        ("B{1..2}", "UTC", "a/b", rules.BAD_NAME),
        ("B{1..2}", "UTC", "", rules.BAD_NAME),
        ("B{1..2}" + "x" * 500, "UTC", "r", rules.TOO_LONG),
    ],
)
def test_refused_rules(text: str, zone: str, name: str, broken: Rule) -> None:
    with pytest.raises(InvalidInput) as caught:
        rule(text, zone, name)
    assert caught.value.rule is broken
    assert caught.value.message("en") != caught.value.message("zh")


moments = st.integers(0, 250_000_000_000).map(lambda ms: ms / 60)
texts = st.tuples(
    st.sampled_from(["", "A", "1", "{date:%d}", "{date:%y}A", "{{"]),
    st.sampled_from(["{00..20}", "{10..30}", "{0..9;gs1}", "{05..0C;hex}", "{AA..BB;base36}"]),
    st.sampled_from(["", "1", "{date:%m}", "{date:%H}x", "A"]),
).map("".join)


@given(texts, texts, moments, moments)
def test_rules_that_mint_the_same_may_meet(one: str, other: str, now: float, then: float) -> None:
    first, second = rule(one), rule(other)
    minted = [{each.member(n) for n in range(each.count)} for each in (first.series(now), second.series(then))]
    if minted[0] & minted[1]:
        assert first.may_meet(second)
        assert second.may_meet(first)


@given(texts, moments, moments)
def test_no_number_comes_twice_whatever_the_clock_says(text: str, now: float, then: float) -> None:
    early, late = rule(text).series(now), rule(text).series(then)
    assert early.count == late.count
    assert not any(early.member(n) == late.member(n + 1) for n in range(early.count - 1))
    numbers = {early.member(n): n for n in range(early.count)}
    assert all(numbers.get(late.member(n), n) == n for n in range(late.count))


def test_rules_that_differ_do_not_meet() -> None:
    assert not rule("A{date:%Y}-{0001..9999}").may_meet(rule("B{date:%Y}-{0001..9999}"))
    assert not rule("{0001..4999}").may_meet(rule("{5000..9999}"))
    assert rule("{date:%Y}{0001..4999}").may_meet(rule("{date:%m%d}{5000..9999}"))
