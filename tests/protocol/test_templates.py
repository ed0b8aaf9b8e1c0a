"""Templates: their bytes, what makes one unusable, and the one change that it may go through."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BiaoshiError, RecordError
from protocol.limits import MAX_TEMPLATE_BYTES, MAX_TEMPLATE_ITEMS
from protocol.records import Permission
from protocol.templates import (
    Item,
    Problems,
    Template,
    check_change,
    check_template,
    encode_template,
    most_added,
    read_template,
)

NAME = Item(index=2_000, name="PRODUCT_NAME", zh="产品名称", en="Product name", required=True, max_length=64)
MODEL = Item(index=2_001, name="MODEL", pattern="[A-Z]{2}-\\d{4}", value_type="TYPE", ttl=60)
PAGE = Item(index=2_002, name="PAGE", type="url", computed="https://example.com/p/{suffix}", value_type="URL")
COST = Item(index=70_000, name="COST", type="number", permissions=int(Permission.ADMIN_READ))
TEMPLATE = Template("88.118.1", 3, "减速机", "C34", (NAME, MODEL, PAGE, COST))


def problems(*items: Item, prefix: str = "88.118.1") -> list[str]:
    """The rules that a template of these items breaks, ``prefix`` among them."""
    template = Template(prefix, 1, "t", "", items)
    try:
        check_template(template)
    except Problems as error:
        found = error
    else:
        return []
    for language in ("en", "zh"):
        assert all(one.message(language) in found.message(language) for one in found.problems)
    return [one.rule.name.removeprefix("template.") for one in found.problems]


def item(index: int = 2_000, name: str = "A", **fields: object) -> Item:
    return Item(index=index, name=name, **fields)  # type: ignore[arg-type]


def test_its_bytes() -> None:
    raw = encode_template(TEMPLATE)
    assert read_template(raw) == TEMPLATE
    rest = [86_400, 14, [], "", False, False]
    assert raw == msgpack.packb([1, "88.118.1", 3, "减速机", "C34", [
        [2_000, "PRODUCT_NAME", "产品名称", "Product name", "string", True, 0, 64, "", "", "", *rest],
        [2_001, "MODEL", "", "", "string", False, 0, 16_384, "[A-Z]{2}-\\d{4}", "", "TYPE", 60, *rest[1:]],
        [2_002, "PAGE", "", "", "url", False, 0, 16_384, "", "", "URL", *rest[:3], "https://example.com/p/{suffix}",
         False, False],
        [70_000, "COST", "", "", "number", False, 0, 16_384, "", "", "", 86_400, 8, *rest[2:]],
    ]])  # fmt: skip
    check_template(TEMPLATE)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2), (0, "1"), (1, "8" * 65), (2, 0), (2, 1_000_000), (3, ""), (3, "n" * 65), (4, "34"), (4, "c34"), (4, "Z"),
     (4, "C341111"), (5, {}), (5, [[]])],
)  # fmt: skip
def test_other_shapes_are_refused(place: int, value: object) -> None:
    whole = msgpack.unpackb(encode_template(TEMPLATE))
    with pytest.raises(RecordError, match="no template"):
        read_template(msgpack.packb([value if i == place else one for i, one in enumerate(whole)]))


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 1_999), (0, 1 << 32), (1, ""), (1, b"A"), (2, "x" * 129), (4, "bytes"), (5, 1), (6, -1), (7, 16_385),
     (10, "T" * 129), (11, 172_801), (12, 16), (13, ["x"] * 65), (16, None)],
)  # fmt: skip
def test_other_shapes_of_items_are_refused(place: int, value: object) -> None:
    whole = msgpack.unpackb(encode_template(TEMPLATE))
    whole[5][0][place] = value
    with pytest.raises(RecordError, match="no template"):
        read_template(msgpack.packb(whole))


def test_a_template_that_is_too_large_is_refused() -> None:
    wide = msgspec.structs.replace(TEMPLATE, items=tuple(item(2_000 + n, f"N{n}", zh="型" * 100) for n in range(60)))
    assert len(encode_template(wide)) > MAX_TEMPLATE_BYTES
    with pytest.raises(RecordError, match="at most 16384"):
        read_template(encode_template(wide))
    with pytest.raises(RecordError, match="no template"):
        read_template(msgpack.packb([1, "8", 1, "n", "", [[]] * (MAX_TEMPLATE_ITEMS + 1)]))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        template = read_template(raw)
    except RecordError:
        return
    assert read_template(encode_template(template)) == template


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({}, []),
        ({"name": "1234"}, ["bad-name"]),
        ({"name": " A"}, ["bad-name"]),
        ({"name": "A\tB"}, ["bad-name"]),
        ({"zh": "名\n称"}, ["bad-name"]),
        ({"value_type": "URL "}, ["bad-name"]),
        ({"min_length": 5, "max_length": 4}, ["lengths"]),
        ({"min_length": 4, "max_length": 4}, []),
        ({"readers": ("*", "88.118.1", "88.118.1/U.li", "300:88.118/x")}, []),
        ({"readers": ("abc.d",)}, ["bad-reader"]),
        ({"readers": ("88..1", "/x", "")}, ["bad-reader"] * 3),
        ({"computed": "{suffix}"}, []),
        ({"computed": "{Suffix}"}, ["item"]),
        ({"computed": "{counter}"}, ["item"]),
        ({"computed": "x", "required": True}, ["computed-alone"]),
        ({"computed": "x", "indexed": True}, ["computed-alone"]),
        ({"computed": "x", "pattern": "x"}, ["computed-alone"]),
        ({"computed": "x", "max_length": 5}, ["computed-alone"]),
        ({"pattern": "(a)"}, ["item"]),
        ({"pattern": "a*a"}, ["item"]),
        ({"pattern": "a|"}, []),
    ],
)
def test_what_makes_an_item_unusable(fields: dict[str, object], rules: list[str]) -> None:
    assert problems(item(**fields)) == rules  # type: ignore[arg-type]


def test_what_makes_a_template_unusable() -> None:
    assert problems() == ["no-items"]
    assert problems(item(), prefix="abc") == ["prefix"]
    assert problems(item(), prefix="88..1") == ["prefix"]
    assert problems(item(2_001), item(2_000, "B")) == ["item-order"]
    assert problems(item(), item(2_000, "B")) == ["item-order"]
    assert problems(item(), item(2_001)) == ["same-name"]
    wide = [item(2_000 + n, f"N{n}", type="url", computed="{identifier}" * 8) for n in range(2)]
    assert problems(*wide[:1]) == []
    assert problems(*wide) == ["too-wide"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    broken = [item(name="1", pattern="("), item(2_000, "1", computed="{", required=True)]
    assert problems(*broken, prefix="a") == [
        "prefix", "bad-name", "item", "item-order", "same-name", "bad-name", "computed-alone", "item",
    ]  # fmt: skip


def test_items_may_be_disabled_and_nothing_else() -> None:
    once = TEMPLATE.disable([2_000])
    check_change(TEMPLATE, TEMPLATE)
    check_change(TEMPLATE, once)
    check_change(once, once.disable([2_001]))
    assert [one.disabled for one in once.items] == [True, False, False, False]
    others = [
        msgspec.structs.replace(TEMPLATE, name="other"),
        msgspec.structs.replace(TEMPLATE, items=TEMPLATE.items[1:]),
        msgspec.structs.replace(once, items=(*once.items[:3], msgspec.structs.replace(COST, ttl=1))),
    ]
    for before, after in [(once, TEMPLATE), *((TEMPLATE, other) for other in others)]:
        with pytest.raises(BiaoshiError) as refused:
            check_change(before, after)
        assert refused.value.rule.name == "template.fixed"


def test_items_are_found_by_name_and_by_index() -> None:
    assert TEMPLATE.find("MODEL") is TEMPLATE.find("2001") is MODEL
    assert TEMPLATE.find("型号") is None
    assert (NAME.shown(), NAME.shown("zh"), MODEL.shown("zh")) == ("2000 PRODUCT_NAME", "2000 产品名称", "2001 MODEL")
    assert [one.public for one in TEMPLATE.items] == [True, True, True, False]
    assert not item(readers=("*",)).public


def test_what_it_adds_is_bounded() -> None:
    assert most_added(TEMPLATE) < 1_800
