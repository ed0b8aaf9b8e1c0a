from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import identifiers, records
from protocol.errors import BiaoshiError, InvalidInput, Rule
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES
from registry.importing import ImportOptions, MappingError, rules
from registry.importing.columns import plan_columns
from registry.importing.mapping import TableMapping
from registry.importing.sources import CUT, DIGITS_LOST, ERROR_CELL


def mapping(header: Sequence[str], **options: object) -> TableMapping:
    plan = plan_columns(header, ImportOptions(**options))  # type: ignore[arg-type]
    return TableMapping(plan, header, "utf-8")


def convert(header: Sequence[str], cells: Sequence[str], **options: object) -> tuple[str, list[tuple[int, str, str]]]:
    identifier, values = mapping(header, **options).convert(cells)
    return identifier.decode(), [(value.index, value.type, value.text) for value in records.check_values(values)]


def refusal(cells: Sequence[str], header: Sequence[str] = ("id", "URL", "NAME"), **options: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        mapping(header, **options).convert(cells)
    assert "{" not in caught.value.message("zh") + caught.value.message("en")
    return caught.value


def problems(header: Sequence[str], **options: object) -> list[Rule]:
    with pytest.raises(MappingError) as caught:
        mapping(header, **options)
    for language in ("en", "zh"):
        assert len(caught.value.message(language).splitlines()) == len(caught.value.problems) + 1
    return [problem.rule for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["identifier", "ID", "Handle", "标识", "标识码", " 产品标识\ufeff"])
def test_the_identifier_column_is_recognised_wherever_it_stands(name: str) -> None:
    found = convert(("URL", name, "LOT"), ("u", "88.118/a", "7"))
    assert found == ("88.118/a", [(1, "URL", "u"), (2, "LOT", "7")])


def test_chinese_headers_have_the_usual_types() -> None:
    header = ("标识", "网址", "产品名称", "型号", "批次", "生产日期", "颜色")
    _, values = convert(header, ("88.118/a", "1", "2", "3", "4", "5", "6"))
    assert [type_ for _, type_, _ in values] == ["URL", "NAME", "MODEL", "LOT", "PRODUCED", "颜色"]
    assert [index for index, _, _ in values] == [1, 2, 3, 4, 5, 6]


def test_columns_are_renamed_numbered_and_left_out() -> None:
    columns = ("a=URL", "b=", "c=LOT:2000", "d=x:y:7")
    found = convert(("id", "a", "b", "c", "d", "e"), ("p/s", "1", "2", "3", "4", "5"), columns=columns)
    assert found[1] == [(1, "URL", "1"), (2000, "LOT", "3"), (7, "x:y", "4"), (4, "e", "5")]


def test_one_value_column_is_enough() -> None:
    assert convert(("URL", "id"), ("u", "p/s")) == ("P/s", [(1, "URL", "u")])


def test_another_column_can_be_the_identifier() -> None:
    assert convert(("id", "code"), ("7", "p/s"), identifier_column="code") == ("P/s", [(1, "id", "7")])


def test_empty_cells_give_no_value_and_data_stays_as_it_is() -> None:
    assert convert(("id", "a", "b", "c"), ("p/s", "", " \u3000x ", "")) == ("P/s", [(2, "b", " \u3000x ")])


def test_every_problem_is_listed_at_once() -> None:
    header = ("name", "URL", "URL", "x" * 200, "z")
    columns = ("nothing", "name=A:1", "name=B", "absent=C", "URL=D:1", "z=E:0", "=F", "z2=")
    assert problems(header, columns=columns, prefix="88..1") == [
        rules.SAME_HEADER,
        rules.BAD_COLUMN_OPTION,
        rules.COLUMN_TWICE,
        rules.BAD_INDEX,
        rules.BAD_COLUMN_OPTION,
        rules.NO_IDENTIFIER_COLUMN,
        rules.UNKNOWN_HEADER,
        rules.UNKNOWN_HEADER,
        rules.INDEX_TWICE,
        rules.LONG_TYPE,
        rules.BAD_PREFIX,
    ]


def test_other_problems_of_columns() -> None:
    assert problems(("id", "标识", "URL")) == [rules.TWO_IDENTIFIER_COLUMNS]
    assert problems(("id",)) == [rules.NO_VALUE_COLUMN]
    assert problems(("id", "URL"), columns=("URL=",)) == [rules.NO_VALUE_COLUMN]
    assert problems(("id", "URL"), columns=("id=ID",)) == [rules.IDENTIFIER_MAPPED]
    assert problems(("id", "URL"), identifier_column="code") == [rules.UNKNOWN_HEADER]
    assert problems(("id", "URL"), columns=("URL=:5",)) == [rules.BAD_COLUMN_OPTION]
    assert problems(("id", *(f"c{number}" for number in range(1_001)))) == [rules.TOO_MANY_COLUMNS]


def test_a_hundred_thousand_columns_are_refused_at_once_and_shown_in_part() -> None:
    """To count each name among all took minutes."""
    begun = time.perf_counter()
    with pytest.raises(MappingError) as caught:
        plan_columns([*(f"c{number}" for number in range(100_000)), "c7"], ImportOptions())
    assert time.perf_counter() - begun < 5
    found = [problem.rule for problem in caught.value.problems]
    assert found == [rules.SAME_HEADER, rules.NO_IDENTIFIER_COLUMN, rules.TOO_MANY_COLUMNS]
    assert len(str(caught.value)) < 1_000
    assert "c49, …" in str(caught.value)


def test_a_prefix_stands_before_bare_suffixes() -> None:
    for cell, expected in (
        ("P1", "88.118.X/P1"),
        ("a/b", "88.118.X/a/b"),
        ("泵+1", "88.118.X/泵+1"),
        ("88.118.x/P1", "88.118.X/P1"),
        ("88.118/", "88.118.X/88.118/"),
    ):
        assert convert(("id", "URL"), (cell, "u"), prefix="88.118.x")[0] == expected
    other = refusal(("88.118.2/P1", "u", "n"), prefix="88.118.1")
    assert other.rule is rules.OTHER_PREFIX


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("", rules.EMPTY_IDENTIFIER),
        (" 88.118/a", rules.WHITE_SPACE),
        ("88.118/a ", rules.WHITE_SPACE),
        ("88.118/a\u3000", rules.WHITE_SPACE),
        ("88.118/a\u200b", rules.WHITE_SPACE),
        ("\ufeff88.118/a", rules.WHITE_SPACE),
        ("88.118/a\t", rules.WHITE_SPACE),
        ("8.81E+13", rules.SCIENTIFIC),
        ("8,81e+13", rules.SCIENTIFIC),
        ("881" + DIGITS_LOST, rules.DIGITS_LOST),
        ("#N/A" + ERROR_CELL, rules.CELL_ERROR),
        ("88.118/\udcff", rules.NOT_TEXT),
        ("88.118/a" + CUT, rules.ROW_TOO_LONG),
        ("P0001", identifiers.NO_SLASH),
        ("88..1/a", identifiers.EMPTY_SEGMENT),
        ("88.1/a\x07b", identifiers.CONTROL),
        ("88.1/" + "a" * MAX_IDENTIFIER_BYTES, identifiers.TOO_LONG),
    ],
)
def test_identifiers_that_are_refused(cell: str, rule: Rule) -> None:
    assert refusal((cell, "u", "n")).rule is rule


def test_scientific_notation_is_noticed_behind_a_prefix() -> None:
    assert refusal(("8.81E+13", "u", "n"), prefix="88.118").rule is rules.SCIENTIFIC


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        (("p/s",), rules.CELL_COUNT),
        (("p/s", "u", "n", "more"), rules.CELL_COUNT),
        (("p/s", "u", "n" + CUT), rules.ROW_TOO_LONG),
        (("p/s", "u" + CUT), rules.ROW_TOO_LONG),
        (("p/s", "", ""), rules.NO_VALUE),
        (("p/s", "u", "x" * (MAX_DATA_BYTES + 1)), rules.LONG_VALUE),
        (("p/s", "x" * MAX_DATA_BYTES, "x" * MAX_DATA_BYTES), records.TOO_LARGE),
        (("p/s", "u", "\udcb2\udcfa"), rules.NOT_TEXT),
        (("p/s", "#REF!" + ERROR_CELL, "n"), rules.CELL_ERROR),
    ],
)
def test_rows_that_are_refused(cells: Sequence[str], rule: Rule) -> None:
    assert refusal(cells).rule is rule


def test_a_broken_byte_is_named_with_its_column() -> None:
    error = refusal(("p/s", "u", "caf\udce9"))
    assert error.details == {"column": "NAME", "byte": "E9", "encoding": "UTF-8"}


def test_faults_of_a_column_left_out_do_not_matter() -> None:
    found = convert(("id", "a", "b"), ("p/s", "u", "\udcff" + DIGITS_LOST), columns=("b=",))
    assert found == ("P/s", [(1, "a", "u")])


def test_a_column_without_a_name_must_be_empty() -> None:
    assert convert(("id", "a", ""), ("p/s", "u", ""))[1] == [(1, "a", "u")]
    assert refusal(("p/s", "u", "x"), header=("id", "a", "")).details == {"column": 3}


def test_largest_values_are_taken() -> None:
    _, values = convert(("id", "a"), ("p/" + "s" * (MAX_IDENTIFIER_BYTES - 2), "x" * MAX_DATA_BYTES))
    assert len(values[0][2]) == MAX_DATA_BYTES


def test_a_refused_row_is_shown_without_marks() -> None:
    made = mapping(("URL", "id"))
    assert made.shown(("u", "88/\udcffx" + ERROR_CELL)) == "88/\ufffdx"
    assert made.shown(("u",)) == ""
    assert made.is_blank(("", ""))
    assert not made.is_blank(("", " "))


_identifiers = st.one_of(
    st.text(st.sampled_from("8.a1/ +Eé泵\u3000\udcff\x1f"), max_size=9),
    st.from_regex(r"88\.(1|aB)/[ -~]{0,4}", fullmatch=True),
)


@given(
    cells=st.tuples(_identifiers, st.text(max_size=3), st.text(st.sampled_from("x\udc80泵"), max_size=2)),
    prefix=st.sampled_from([None, "88.1"]),
)
def test_the_quick_way_and_the_careful_way_agree(cells: tuple[str, str, str], prefix: str | None) -> None:
    quick, careful = (mapping(("id", "a", "b"), prefix=prefix) for _ in range(2))

    def result(call: object) -> object:
        try:
            return call(cells)  # type: ignore[operator]
        except BiaoshiError as error:
            return error.rule, error.details

    expected = result(careful._convert_carefully)
    # Once before the prefix is known, once after.
    assert result(quick.convert) == expected
    assert result(quick.convert) == expected
    if isinstance(expected, tuple) and isinstance(expected[0], bytes):
        assert identifiers.normal(expected[0]) == expected[0]
        assert len(records.check_values(expected[1])) == sum(map(bool, cells[1:]))
