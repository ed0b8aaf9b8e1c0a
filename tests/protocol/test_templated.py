"""Records against their template, and what is answered for them."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.computed import ComputedText
from protocol.errors import RecordError
from protocol.kept import encode_data
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES, MAX_RECORD_BYTES
from protocol.records import Permission, State, Value, decode_body, encode_body, encode_values
from protocol.templated import Checker, Expander, split_templated
from protocol.templates import Item, Problems, Template, check_template, most_added
from tests.protocol.test_templates import TEMPLATE

EVERY_TYPE: Final = Template("88.118.1", 1, "t", "", (
    Item(index=2_000, name="TEXT", zh="文本", required=True, min_length=2, max_length=4),
    Item(index=2_001, name="COUNT", type="number", max_length=6),
    Item(index=2_002, name="DAY", type="date"),
    Item(index=2_003, name="PAGE", type="url"),
    Item(index=2_004, name="CODE", pattern="[A-Z]{2}\\d+"),
    Item(index=2_005, name="OLD", disabled=True, required=True),
    Item(index=2_006, name="MADE", computed="{suffix}"),
))  # fmt: skip
GOOD: Final = {2_000: b"abc"}


def problems(data: dict[int, bytes] | list[tuple[int, bytes]], template: Template = EVERY_TYPE) -> list[str]:
    """The rules that a record breaks, with the index of the item."""
    pairs = sorted(data.items()) if isinstance(data, dict) else data
    checker = Checker(template)
    try:
        checker.check(encode_data(template.version, pairs))
    except Problems as error:
        found = error
    else:
        checker.check_data(pairs, 0)
        return []
    for language in ("en", "zh"):
        assert all(one.message(language) in found.message(language) for one in found.problems)
    return [
        f"{one.rule.name.partition('.')[2]} {one.details.get('item', one.details.get('index', ''))}".strip()
        for one in found.problems
    ]


@pytest.mark.parametrize(
    ("index", "data", "rule"),
    [
        (2_000, "ab", None), (2_000, "离心泵型", None), (2_000, "a", "too-short"), (2_000, "离心泵型号", "too-long"),
        (2_000, "", "too-short"), (2_000, b"ab\xff", "not-text"),
        (2_001, "12", None), (2_001, "-1.50", None), (2_001, "+7", None), (2_001, "1e5", "not-number"),
        (2_001, "1.", "not-number"), (2_001, ".5", "not-number"), (2_001, "١", "not-number"),
        (2_001, "1\n", "not-number"), (2_001, "1234567", "too-long"), (2_001, "", "too-short"),
        (2_001, "NaN", "not-number"),
        (2_002, "2024-02-29", None), (2_002, "2023-02-29", "not-date"), (2_002, "20240229", "not-date"),
        (2_002, "2024-2-9", "not-date"), (2_002, "0000-01-01", "not-date"), (2_002, "2024-W01-1", "not-date"),
        (2_003, "https://例子.cn/泵", None), (2_003, "www.example.com", "not-url"), (2_003, "http://a b", "not-url"),
        (2_003, "javascript:alert(1)", "not-url"), (2_003, "http://", "not-url"),
        (2_004, "AB1", None), (2_004, "AB", "no-match"), (2_004, "xAB1", "no-match"), (2_004, "AB1\n", "no-match"),
        (2_005, "old", "disabled-item"), (2_006, "x", "computed-item"),
    ],
)  # fmt: skip
def test_an_item_of_a_record(index: int, data: str | bytes, rule: str | None) -> None:
    raw = data.encode() if isinstance(data, str) else data
    name = next(item.name for item in EVERY_TYPE.items if item.index == index)
    assert problems({**GOOD, index: raw}) == ([f"{rule} {index} {name}"] if rule else [])


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert problems({1_999 + 99: b"", 2_001: b"x", 2_002: b"y", 2_006: b""}) == [
        "not-number 2001 COUNT", "not-date 2002 DAY", "computed-item 2006 MADE", "unknown-item 2098",
        "missing-item 2000 TEXT",
    ]  # fmt: skip
    assert problems([(2_001, b"1"), (2_000, b"abc"), (2_000, b"abc")]) == ["data-order 2000", "data-order 2000"]


def test_names_are_said_in_the_language_of_the_person() -> None:
    with pytest.raises(Problems) as refused:
        Checker(EVERY_TYPE).check_data([(2_000, b"a")], 9)
    assert "2000 TEXT has 1" in refused.value.message("en")
    assert "2000 文本”有 1" in refused.value.message("zh")


def test_a_record_of_nothing_needs_a_template_that_computes() -> None:
    computes = Template("8", 1, "t", "", (Item(index=2_000, name="MADE", computed="{suffix}"),))
    stores = Template("8", 1, "t", "", (Item(index=2_000, name="TEXT"),))
    assert problems([], computes) == []
    assert problems([], stores) == ["no-values"]


def test_an_answer_never_becomes_too_large() -> None:
    items = tuple(Item(index=2_000 + n, name=f"N{n}") for n in range(4))
    template = Template("8", 1, "t", "", items)
    room = MAX_RECORD_BYTES - most_added(template)
    for more, expected in ((0, []), (1, ["too-large"])):
        left = room - len(
            encode_data(1, [(2_000, bytes(MAX_DATA_BYTES)), (2_001, bytes(1_000)), (2_002, bytes(1_000))])
        )
        data = {2_000: b"x" * MAX_DATA_BYTES, 2_001: b"x" * 1_000, 2_002: b"x" * (1_000 + left + more)}
        found = [one for one in problems(data, template) if not one.startswith("too-long")]
        assert found == expected
        assert more or len(Expander(template).values(sorted(data.items()), b"8/x")) <= MAX_RECORD_BYTES


# Expanding -------------------------------------------------------------------------------------------

NAMES = st.text("ABC型", min_size=1, max_size=3)
ITEMS = st.lists(
    st.builds(
        Item,
        index=st.integers(2_000, 2_012) | st.integers(65_530, 65_540),
        name=NAMES,
        value_type=st.sampled_from(["", "URL", "T" * 40]),
        ttl=st.sampled_from([86_400, 0, 300, 172_800]),
        permissions=st.sampled_from([14, 12, 15, 2]),
        readers=st.sampled_from([(), ("*",)]),
        computed=st.sampled_from(["", "", "x{suffix}", "{identifier}{{}}"]),
        type=st.sampled_from(["string", "url"]),
        disabled=st.booleans(),
    ),
    min_size=1, max_size=20, unique_by=lambda one: one.index,
)  # fmt: skip
SUFFIXES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@given(
    ITEMS,
    st.dictionaries(st.integers(2_000, 2_012) | st.integers(65_530, 65_540), st.binary(max_size=300)),
    SUFFIXES,
    st.sampled_from([1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]),
    st.sampled_from([0, 200, 60_000, 1_700_000_000, 1 << 33]),
)
def test_an_answer_is_what_the_template_says(
    items: list[Item], given_data: dict[int, bytes], suffix: str, version: int, time: int
) -> None:
    items = sorted(items, key=lambda one: one.index)
    for one in items:
        if one.computed:
            given_data.pop(one.index, None)  # no record has data for it
    identifier = f"88.118/{suffix}".encode()
    expected = []
    for one in items:
        data = given_data.get(one.index)
        if one.computed:
            data = ComputedText(one.computed, url=one.type == "url").fill(identifier, b"88.118", suffix.encode())
        if data is not None and one.permissions & Permission.PUBLIC_READ and not one.readers:
            expected.append(Value(one.index, one.value_type or one.name, data, one.ttl, one.permissions))
    expander = Expander(Template("88.118", 4, "t", "", tuple(items)))
    kept = encode_body(version, State.ACTIVE, time, encode_data(4, sorted(given_data.items())))
    head, template, data_by_index = split_templated(kept)
    assert (template, data_by_index) == (4, sorted(given_data.items()))
    body = head + expander.values(data_by_index, identifier)
    assert decode_body(body) == (version, State.ACTIVE, time, tuple(expected))
    if expected:
        assert body == encode_body(version, State.ACTIVE, time, encode_values(expected)), "canonical bytes"


def test_an_example() -> None:
    check_template(TEMPLATE)
    data = [(2_000, "减速机".encode()), (2_001, b"PX-0001"), (70_000, b"9.5")]
    Checker(TEMPLATE).check_data(data, 99)
    body = encode_body(1, State.ACTIVE, 5, Expander(TEMPLATE).values(data, "88.118.1/号 1".encode()))
    assert decode_body(body).values == (
        Value(2_000, "PRODUCT_NAME", "减速机".encode()),
        Value(2_001, "TYPE", b"PX-0001", ttl=60),
        Value(2_002, "URL", b"https://example.com/p/%E5%8F%B7%201"),
    )


def test_the_longest_identifier_fits() -> None:
    items = (Item(index=2_000, name="A", type="url", computed="{identifier}" * 8),)
    template = Template("8", 1, "t", "", items)
    check_template(template)
    identifier = b"8/" + b"%" * (MAX_IDENTIFIER_BYTES - 2)
    values = Expander(template).values([], identifier)
    assert len(values) <= most_added(template)
    assert len(decode_body(encode_body(1, State.ACTIVE, 1, values)).values[0].data) <= MAX_DATA_BYTES


def test_a_body_of_the_first_form_is_no_templated_one() -> None:
    with pytest.raises(RecordError):
        Checker(TEMPLATE).check(encode_values([Value(2_000, "A", b"x")]))
