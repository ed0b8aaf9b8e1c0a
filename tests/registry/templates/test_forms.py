"""Templates as files."""

from __future__ import annotations

import json

import pytest

from protocol.errors import RecordError
from protocol.templates import Item, Template
from registry.templates.forms import MAX_FORM_BYTES, form_of, read_form, template_of, write_form

TOML = """
prefix = "88.118.1"
name = "泵"
industry = "C34"

[[items]]
index = 2001
name = "MODEL"
pattern = '[A-Z]+\\d*'

[[items]]
index = 2000
name = "NAME"
zh = "名称"
required = true
readers = ["88.118.2"]
"""
TEMPLATE = Template("88.118.1", 4, "泵", "C34", (
    Item(index=2_000, name="NAME", zh="名称", required=True, readers=("88.118.2",)),
    Item(index=2_001, name="MODEL", pattern="[A-Z]+\\d*"),
))  # fmt: skip


def test_a_file_of_either_kind() -> None:
    form = read_form(TOML.encode(), toml=True)
    assert form.version is None
    assert template_of(form, 4) == TEMPLATE
    assert template_of(read_form(write_form(TEMPLATE).encode(), toml=False), 4) == TEMPLATE
    assert form_of(TEMPLATE).version == 4


def test_what_is_written_leaves_defaults_out() -> None:
    assert json.loads(write_form(TEMPLATE)) == {
        "prefix": "88.118.1", "version": 4, "name": "泵", "industry": "C34",
        "items": [
            {"index": 2_000, "name": "NAME", "zh": "名称", "required": True, "readers": ["88.118.2"]},
            {"index": 2_001, "name": "MODEL", "pattern": "[A-Z]+\\d*"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b"[" * 100_000, "got `array`"),
        (b'{"prefix":"8","name":"n","items":[{"index":2000,"name":"A","typ":"url"}]}', "unknown field `typ`"),
        (b'{"prefix":"8","name":"n","items":[{"index":1,"name":"A"}]}', r"items\[0\].index"),
        (b'{"prefix":"8","name":"n","items":[{"index":2000,"name":"A","type":"int"}]}', "Invalid enum value 'int'"),
        (b'{"prefix":"8","items":[]}', "required field `name`"),
        (b" " * (MAX_FORM_BYTES + 1), "at most 262144"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(raw: bytes, said: str) -> None:
    with pytest.raises(RecordError, match=f"(?i){said}"):
        read_form(raw, toml=False)


def test_bounds_hold_for_the_template_as_a_whole() -> None:
    form = read_form(TOML.encode(), toml=True)
    with pytest.raises(RecordError, match="no template"):
        template_of(form, 0)
    form.industry = "steel"
    with pytest.raises(RecordError, match="no template"):
        template_of(form, 1)
    with pytest.raises(RecordError):
        read_form(b"prefix = ", toml=True)
