"""Points in time as people write them."""

from __future__ import annotations

import pytest

from protocol.errors import InvalidInput
from resolver.moments import BAD_MOMENT, read_moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 86_399),
        ("2026-11-28", 1_795_910_399),
        ("2026-11-28T09:30:00", 1_795_858_200),
        ("2026-11-28T17:30:00+08:00", 1_795_858_200),
        ("2026-11-28 09:30", 1_795_858_200),
        ("1960-01-01T00:00:00", 0),
    ],
)
def test_moments(text: str, seconds: int) -> None:
    assert read_moment(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-28T25:00", "28.11.2026"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_moment(text)
    assert caught.value.rule is BAD_MOMENT
