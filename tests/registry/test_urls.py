from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.urls import count_odd, is_url


@pytest.mark.parametrize(
    "text", ["https://example.com/p?a=b#c", "HTTP://x", "https://例子.cn/泵", "mailto:a@b", "urn:x:1"]
)
def test_urls(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "www.example.com/p", "example.com:80/p", "https://", "http://a b", "/p", " x:y"],
)
def test_what_is_none(text: str) -> None:
    assert not is_url(text)


_cells = st.one_of(
    st.sampled_from(["", "https://a", "http://b/c", "https://", "http://a b", "https://a\nhttp://b", "x", "https:///"]),
    st.text(st.sampled_from("htps:/ \t\n泵."), max_size=12),
)


@given(st.lists(_cells, max_size=6))
def test_many_are_counted_like_each(cells: list[str]) -> None:
    assert count_odd(cells) == sum(1 for cell in cells if cell and not is_url(cell))
