from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from resolver.show import padded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("zone", "zone  |"),
        ("区域", "区域  |"),
        ("区 a", "区 a  |"),
        ("在线密钥到期", "在线密钥到期|"),
        ("，", "，    |"),
        ("", "      |"),
    ],
)
def test_text_is_padded_to_columns_of_a_terminal(text: str, shown: str) -> None:
    assert padded(text, 6) + "|" == shown


@given(st.text(st.sampled_from("aZ-1 标识，。Ａé")))
def test_whatever_the_text_the_columns_are_full(text: str) -> None:
    assert cell_len(padded(text, 40)) == max(40, cell_len(text))
    assert padded(text, 40).startswith(text)
