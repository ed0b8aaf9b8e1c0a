from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from protocol.limits import MAX_IDENTIFIER_BYTES
from registry.importing import ImportOptions
from registry.importing.batch_mapping import BatchMapping
from registry.importing.columns import plan_columns
from registry.importing.mapping import TableMapping
from registry.importing.sorting import element_of
from registry.importing.sources import CUT

HEADER = ("id", "URL", "NAME")


def table(header: Sequence[str] = HEADER, **options: object) -> TableMapping:
    return TableMapping(plan_columns(header, ImportOptions(**options)), header, "utf-8")  # type: ignore[arg-type]


def one_by_one(mapping: TableMapping, first: int, rows: Sequence[Sequence[str]]) -> list[bytes] | None:
    """The elements of all rows; None where one is refused."""
    try:
        return [element_of(identifier, row, values) for row, (identifier, values) in
                enumerate(map(mapping.convert, rows), first)]  # fmt: skip
    except InvalidInput:
        return None


def ordinary(count: int, prefix: str = "88.118/") -> list[list[str]]:
    return [
        [f"{prefix}P{number}", f"https://example.com/{number}", "泵" * (number % 100 + 1)] for number in range(count)
    ]


@pytest.mark.parametrize(("prefix", "option"), [("88.118/", None), ("", "88.118")])
def test_ordinary_rows_are_mapped_together(prefix: str, option: str | None) -> None:
    mapping = table(prefix=option)
    rows = ordinary(300, prefix)
    expected = one_by_one(mapping, 2, rows)
    assert BatchMapping(mapping).elements(2, rows) == expected
    assert expected is not None


def test_a_prefix_is_known_once_it_was_checked() -> None:
    mapping = table()
    together = BatchMapping(mapping)
    assert together.elements(2, ordinary(3)) is None
    mapping.convert(ordinary(1)[0])
    assert together.elements(2, ordinary(3)) is not None


@pytest.mark.parametrize(
    "row",
    [
        ["88.118/x", "u"],
        ["88.118/x", "u", ""],
        ["88.118/x", "", ""],
        ["88.118/x ", "u", "n"],
        [" 88.118/x", "u", "n"],
        ["88.118/", "u", "n"],
        ["88.118", "u", "n"],
        ["", "u", "n"],
        ["88.119/x", "u", "n"],
        ["88.118/x\ty", "u", "n"],
        ["88.118/x\n88.118/y", "u", "n"],
        ["88.118/液", "u", "n"],
        ["88.118/" + "x" * MAX_IDENTIFIER_BYTES, "u", "n"],
        ["88.118/x", "u\nv", "n"],
        ["88.118/x", "u", "\udc80"],
        ["88.118/x", "u", "n" + CUT],
        ["88.118/x", "u", "n" * 1_025],
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_out_of_the_ordinary_is_left_to_a_closer_look(row: list[str], place: int) -> None:
    mapping = table()
    rows = ordinary(2)
    mapping.convert(rows[0])
    rows.insert(place, row)
    assert BatchMapping(mapping).elements(2, rows) is None


@pytest.mark.parametrize("suffix", ["88.118/x", "8.8E+13", " x", "x ", "", "a\nb", "液"])
def test_suffixes_out_of_the_ordinary(suffix: str) -> None:
    mapping = table(prefix="88.118")
    assert BatchMapping(mapping).elements(2, [*ordinary(2, ""), [suffix, "u", "n"]]) is None


def test_a_column_without_a_name_must_be_looked_at() -> None:
    mapping = table(("id", "URL", ""))
    mapping.convert(["88.118/x", "u", ""])
    assert BatchMapping(mapping).elements(2, [["88.118/x", "u", "stray"]]) is None


def test_many_columns() -> None:
    header = ("id", *(f"T{number}" for number in range(20)))
    mapping = table(header)
    rows = [["88.118/x", *(f"{number}" * 30 for number in range(20))]] * 3
    expected = one_by_one(mapping, 7, rows)
    assert BatchMapping(mapping).elements(7, rows) == expected
    wide = [["88.118/x", *("n" * 1_000 for _ in range(20))]]
    assert one_by_one(mapping, 7, wide) is not None
    assert BatchMapping(mapping).elements(7, wide) is None  # beyond what one value may have


_cells = st.one_of(
    st.sampled_from(["", "u", "泵", "x y", " ", "a/b", "\n", "é", "\x7f", "\udcff", "E+1", CUT]), st.text(max_size=5)
)
_identifiers = st.one_of(
    st.builds(str.__add__, st.sampled_from(["88.118/", "88.118/P", "a/", "A/", "", "/"]), _cells), _cells
)


@given(
    rows=st.lists(st.tuples(_identifiers, _cells, _cells), min_size=1, max_size=4),
    prefix=st.sampled_from([None, "88.118", "a"]),
    first=st.integers(1, 1 << 40),
)
def test_gives_what_single_rows_give_or_nothing(
    rows: list[tuple[str, str, str]], prefix: str | None, first: int
) -> None:
    mapping = table(prefix=prefix)
    expected = one_by_one(mapping, first, rows)  # learns the prefixes too
    found = BatchMapping(mapping).elements(first, rows)
    assert found is None or found == expected
