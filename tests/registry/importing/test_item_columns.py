"""Imports whose records follow a template: columns by item, rows held against it, and exports read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from protocol.kept import encode_data, read_data
from protocol.templates import Item, Template
from registry.importing import ImportOptions, MappingError
from registry.importing.batch_mapping import BatchMapping
from registry.importing.columns import plan_columns
from registry.importing.mapping import TableMapping
from registry.importing.sorting import element_of
from tests.registry.importing.fakes import FakeRegistry, importing, read_report, write_lines

PUMP: Final = Template("88.118.1", 3, "泵", "C34", (
    Item(index=2_000, name="PRODUCT_NAME", zh="产品名称", en="Product name", required=True, max_length=6),
    Item(index=2_001, name="DAY", zh="日期", type="date"),
    Item(index=2_002, name="LOT", zh="批次", en="Lot"),
    Item(index=2_003, name="OLD", zh="批次", disabled=True, required=True),
    Item(index=2_004, name="PAGE", type="url", computed="https://e.cn/{suffix}"),
))  # fmt: skip


def mapping(header: Sequence[str], *columns: str, template: Template = PUMP) -> TableMapping:
    plan = plan_columns(header, ImportOptions(columns=columns, prefix="88.118.1", template=template))
    return TableMapping(plan, header, "utf-8")


def problems(header: Sequence[str], *columns: str) -> list[str]:
    with pytest.raises(MappingError) as caught:
        mapping(header, *columns)
    assert "{" not in caught.value.message("en") + caught.value.message("zh")
    return [one.rule.name.removeprefix("import.") for one in caught.value.problems]


@pytest.mark.parametrize(
    "header",
    [
        ("id", "PRODUCT_NAME", "DAY", "LOT"),
        ("标识", "产品名称", "日期", "LOT"),
        ("id", "product NAME", "2001", "lot"),
        ("id", " Product name ", "day", "2002"),
    ],
)
def test_items_are_known_by_any_of_their_names(header: tuple[str, ...]) -> None:
    identifier, values = mapping(header).convert(("P1", "pump", "2026-01-31", "B7"))
    assert identifier == b"88.118.1/P1"
    assert values == encode_data(3, [(2_000, b"pump"), (2_001, b"2026-01-31"), (2_002, b"B7")])


def test_columns_may_be_named_and_left_out_and_stand_in_any_order() -> None:
    table = mapping(("Charge", "x", "id", "Bezeichnung"), "Charge=LOT", "Bezeichnung=2000", "x=")
    assert table.convert(("B7", "?", "P1", "pump"))[1] == encode_data(3, [(2_000, b"pump"), (2_002, b"B7")])
    assert table.convert(("", "?", "P1", "pump"))[1] == encode_data(3, [(2_000, b"pump")])


@pytest.mark.parametrize(
    ("header", "columns", "rules"),
    [
        (("id", "产品名称", "colour"), (), ["no-such-item"]),
        (("id", "产品名称", "批次"), (), ["several-items"]),
        (("id", "产品名称", "OLD", "PAGE"), (), ["closed-item", "closed-item"]),
        (("id", "DAY"), (), ["no-column-of-item"]),
        (("id", "DAY", "x"), ("x=weight",), ["no-such-item", "no-column-of-item"]),
        (("id", "产品名称", "x"), ("x=PRODUCT_NAME",), ["index-twice"]),
        (("id",), (), ["no-column-of-item", "no-value-column"][:1]),
    ],
)
def test_all_that_is_wrong_with_the_columns(
    header: tuple[str, ...], columns: tuple[str, ...], rules: list[str]
) -> None:
    assert problems(header, *columns) == rules


def test_a_table_of_identifiers_alone() -> None:
    computed = Template("88.118.1", 1, "t", "", PUMP.items[4:])
    assert mapping(("id",), template=computed).convert(("P1",)) == (b"88.118.1/P1", encode_data(1, []))


def test_a_row_is_refused_for_all_its_items() -> None:
    with pytest.raises(InvalidInput) as caught:
        mapping(("id", "产品名称", "DAY")).convert(("P1", "离心泵离心泵离心泵", "31.1.2026"))
    assert "2000 PRODUCT_NAME has 9 characters" in caught.value.message("en")
    assert "2001 DAY is '31.1.2026'" in caught.value.message("en")
    assert "“2000 产品名称”有 9 个字符" in caught.value.message("zh")
    assert "2001 日期" in caught.value.message("zh")


def test_another_prefix_has_another_template() -> None:
    plan = plan_columns(("id", "DAY", "产品名称"), ImportOptions(template=PUMP))
    with pytest.raises(InvalidInput) as caught:
        TableMapping(plan, ("id", "DAY", "产品名称"), "utf-8").convert(("88.118.2/P1", "", "x"))
    assert caught.value.rule.name == "import.other-prefix-than-template"


def test_a_whole_import(tmp_path: Path) -> None:
    lines = ["id,产品名称,日期", *(f"88.118.1/P{n:04d},pump,2026-01-{n % 40 + 1:02d}" for n in range(200))]
    path = write_lines(tmp_path / "rows.csv", lines)
    registry = FakeRegistry()
    summary = importing(path, registry, ImportOptions(template=PUMP))
    bad = sum(n % 40 + 1 > 31 for n in range(200))
    assert (summary.rows, summary.registered, summary.refused) == (200, 200 - bad, bad)
    assert {line[3] for line in read_report(summary.report_path)} == {"template.not-followed"}
    assert read_data(registry.records[b"88.118.1/P0000"]) == (3, [(2_000, b"pump"), (2_001, b"2026-01-01")])


# NDJSON ----------------------------------------------------------------------------------------------


def imported(path: Path, *rows: object, template: Template | None = PUMP) -> tuple[dict[str, bytes], list[str]]:
    """What was registered, and the rules for what was refused."""
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    registry = FakeRegistry()
    summary = importing(path, registry, ImportOptions(template=template))
    refused = [line[3] for line in read_report(summary.report_path)] if summary.refused else []
    return {identifier.decode(): values for identifier, values in registry.records.items()}, refused


def test_flat_lines(tmp_path: Path) -> None:
    found, refused = imported(
        tmp_path / "rows.ndjson",
        {"id": "88.118.1/a", "DAY": "2026-01-31", "产品名称": "pump"},
        {"id": "88.118.1/b", "产品名称": "much too long"},
        {"id": "88.118.1/c", "DAY": "2026-01-31"},
    )
    assert found == {"88.118.1/a": encode_data(3, [(2_000, b"pump"), (2_001, b"2026-01-31")])}
    assert refused == ["template.not-followed"] * 2


@pytest.mark.parametrize("template", [PUMP, None])
def test_lines_as_an_export_writes_them(tmp_path: Path, template: Template | None) -> None:
    good = [{"index": 2_002, "data": "B7"}, {"index": 2_000, "data_base64": "cHVtcA=="}]
    plain = [{"index": 1, "type": "URL", "data": "u"}]
    found, refused = imported(
        tmp_path / "rows.ndjson",
        {"identifier": "88.118.1/a", "template": 3, "values": good},
        {"identifier": "88.118.1/b", "template": 9, "values": good},
        {"identifier": "88.118.1/c", "values": plain},
        {"identifier": "88.118.1/d", "template": 0, "values": good},
        {"identifier": "88.118.1/e", "template": "3", "values": good},
        {"identifier": "88.118.1/f", "template": 3, "values": plain},
        {"identifier": "88.118.1/g", "template": 3, "values": [{"index": 2_000}]},
        template=template,
    )
    data = [(2_000, b"pump"), (2_002, b"B7")]
    assert found["88.118.1/a"] == encode_data(3, data)
    assert found["88.118.1/b"] == encode_data(9, data)  # the registry has to know that one
    assert set(found) == {f"88.118.1/{one}" for one in "abc"}
    assert refused == ["import.bad-json"] * 4


# Many rows at once -----------------------------------------------------------------------------------

CELLS: Final = st.tuples(
    st.sampled_from(["P1", "P22", "88.118.1/P3", "88.118.2/P1", "泵"]),
    st.sampled_from(["B7", "批次", "", "x" * 300]),
    st.sampled_from(["pump", "泵", "much too long", ""]),
    st.sampled_from(["2026-01-31", "today", ""]),
)


@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from(["88.118.1", "88.118.2"]))
def test_many_rows_are_what_each_would_be(rows: list[tuple[str, ...]], prefix: str) -> None:
    header = ("id", "LOT", "产品名称", "DAY")  # not in the order of the items
    plan = plan_columns(header, ImportOptions(prefix=prefix, template=PUMP))
    table = TableMapping(plan, header, "utf-8")
    together = BatchMapping(table).elements(2, rows)
    if together is not None:
        each = [table.convert(row) for row in rows]
        assert together == [element_of(*one[:1], number, one[1]) for number, one in enumerate(each, 2)]


def test_ordinary_rows_are_mapped_together() -> None:
    header = ("id", "LOT", "产品名称", "DAY")
    rows = [(f"P{n}", f"B{n}", "泵", "2026-01-31") for n in range(300)]
    table = mapping(header)
    expected = [element_of(identifier, n, values) for n, (identifier, values) in enumerate(map(table.convert, rows), 2)]
    assert BatchMapping(table).elements(2, rows) == expected
    assert BatchMapping(table).elements(2, [*rows, ("P", "B", "泵", "31.1.2026")]) is None
