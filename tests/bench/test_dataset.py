"""The generator of product data: same seed same bytes, unique and legal identifiers, true check digits."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tracemalloc
from collections import Counter, deque
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from bench import dataset
from protocol import identifiers

COUNT = 50_000


@pytest.fixture(scope="module")
def rows() -> list[dataset.Row]:
    return list(dataset.rows(COUNT, seed=1))


def _digest(rows: list[dataset.Row]) -> str:
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


# Realistic rows --------------------------------------------------------------------------------------


def test_same_seed_same_rows(rows: list[dataset.Row]) -> None:
    assert list(dataset.rows(COUNT, seed=1)) == rows
    assert list(dataset.rows(COUNT, seed=2)) != rows


def test_rows_are_the_same_on_every_machine() -> None:
    """A change of this digest changes every published measurement's input: say so where it is published."""
    assert _digest(list(dataset.rows(1_000, seed=1))) == (
        "1c78fbd7cf48f3e598a0b76315ff3bc2ff940160ed80ff1ac276cbc5a9fea604"
    )


def test_identifiers_are_unique(rows: list[dataset.Row]) -> None:
    assert len({row.identifier for row in rows}) == COUNT


def test_lines_of_an_enterprise_cannot_collide() -> None:
    """Uniqueness by construction: no stem begins another, and the SSCCs' enterprise has one line only."""
    stems: dict[str, list[str]] = {}
    for enterprise, _, stem, *_ in dataset._LINES:
        stems.setdefault(enterprise.prefix, []).append(stem)
    for group in stems.values():
        assert not [pair for pair in permutations(group, 2) if pair[1].startswith(pair[0])]
    assert [len(stems[line[0].prefix]) for line in dataset._LINES if line[3] is dataset._sscc] == [1]


def test_shares_add_up_and_every_line_has_four_models() -> None:
    assert sum(line[1] for line in dataset._LINES) == 128
    assert {len(line[5].split()) for line in dataset._LINES} == {4}


def test_identifiers_are_legal_and_in_normal_form(rows: list[dataset.Row]) -> None:
    for row in rows:
        raw = row.identifier.encode()
        assert identifiers.normal(raw) == raw
        assert str(identifiers.parse(row.identifier)) == row.identifier


def test_prefixes_have_the_awkward_lengths(rows: list[dataset.Row]) -> None:
    enterprises = {row.identifier.partition("/")[0].removeprefix("88.118.") for row in rows}
    assert "0042" in enterprises
    assert {1, 4, 5, 11} == {len(enterprise) for enterprise in enterprises}


@pytest.mark.parametrize(
    "shape",
    [
        r"P\d{13}",
        r"PUMP\.[^.]+\.\d{8}\.\d{6}",
        r"B\d{4}-\d{6}",
        r"JXDY\d{8}",
        r"01/\d{14}/21/\d{10}",
        r"\d{14}",
        r"\d{18}",
        r"液压缸\.\w+\.\d{8}\.\d{6}",
        r"二车间/D\d{4}-\d{6}",
    ],
)
def test_every_shape_occurs(rows: list[dataset.Row], shape: str) -> None:
    assert any(re.fullmatch(shape, row.identifier.partition("/")[2]) for row in rows)


def test_chinese_identifiers_are_few(rows: list[dataset.Row]) -> None:
    share = sum(not row.identifier.isascii() for row in rows) / COUNT
    assert 0.01 < share < 0.10


def test_order_is_interleaved_not_sorted(rows: list[dataset.Row]) -> None:
    names = [row.identifier for row in rows]
    ascending = sum(one < two for one, two in pairwise(names)) / COUNT
    assert 0.4 < ascending < 0.7  # a shuffled list has 0.5
    assert [row.produced for row in rows] == sorted(row.produced for row in rows)


def test_numbers_of_one_line_ascend_with_gaps(rows: list[dataset.Row]) -> None:
    serials = [int(row.identifier[-13:]) for row in rows if row.identifier.startswith("88.118.32001/P")]
    steps = Counter(two - one for one, two in pairwise(serials))
    assert set(steps) == {1, 2}
    assert 0.005 < steps[2] / len(serials) < 0.03


def test_url_ends_in_the_suffix_and_is_ascii(rows: list[dataset.Row]) -> None:
    for row in rows:
        suffix = row.identifier.partition("/")[2]
        assert row.url.isascii()
        assert row.url.endswith(suffix) == suffix.isascii()


def test_data_set_covers_two_years(rows: list[dataset.Row]) -> None:
    assert (rows[0].produced, rows[-1].produced) == ("2024-01-01", "2025-12-31")


@pytest.mark.parametrize("count", [0, 1, 2, 730, 731, 1_000])
def test_exactly_the_count(count: int) -> None:
    assert len(list(dataset.rows(count, seed=3))) == count


@pytest.mark.parametrize("count", [-1, dataset.MAX_ROWS + 1])
def test_impossible_count_is_refused_at_once(count: int) -> None:
    with pytest.raises(ValueError, match="count"):
        dataset.rows(count, seed=1)


def test_large_data_set_starts_at_once_with_its_own_density() -> None:
    """At the largest size, the first rows are there without any preparation, and still unique."""
    source = dataset.rows(dataset.MAX_ROWS, seed=1)
    first = [next(source) for _ in range(1_000)]
    assert len({row.identifier for row in first}) == 1_000
    assert {row.produced for row in first} == {"2024-01-01"}


@pytest.mark.parametrize("source", [dataset.rows, dataset.uniform_rows])
def test_memory_is_constant(source: object) -> None:
    assert callable(source)
    tracemalloc.start()
    try:
        deque(source(COUNT, 1), maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


# Check digits ----------------------------------------------------------------------------------------


def _is_gs1(number: str) -> bool:
    """Independent formula: all digits, weighted 3, 1, 3, 1 … from the left, give a multiple of ten."""
    return sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(number)) % 10 == 0


@pytest.mark.parametrize(
    "number",
    [
        "00012345600012",  # GTIN-14 of UPC 012345600012
        "06291041500213",  # GS1's own example of a GTIN-13, 6291041500213
        "376104250021234569",  # GS1's own example of an SSCC
    ],
)
def test_known_numbers(number: str) -> None:
    assert dataset.with_check_digit(number[:-1]) == number
    assert _is_gs1(number)


@given(st.text("0123456789", min_size=17, max_size=17))
def test_check_digit_agrees_with_the_other_formula(digits: str) -> None:
    assert _is_gs1(dataset.with_check_digit(digits))
    assert _is_gs1(dataset.with_check_digit(digits[4:]))


def test_check_digits_in_the_data(rows: list[dataset.Row]) -> None:
    numbers = [
        match[1]
        for row in rows
        if (match := re.fullmatch(r"[^/]+/(?:01/)?(\d{14}|\d{18})(?:/21/\d+)?", row.identifier))
    ]
    assert len(numbers) > COUNT // 10
    assert all(map(_is_gs1, numbers))


# Uniform rows ----------------------------------------------------------------------------------------


def test_uniform_row() -> None:
    assert dataset.uniform_identifier(123456) == "88.118.32001/P0000000123456"
    assert dataset.uniform_row(7) == (
        "88.118.32001/P0000000000007",
        "https://erp72.example-maker.com/item/v2/P0000000000007",
        "Hydraulic pump A456-4 lot 20250086 line 15",
    )
    identifiers.parse(dataset.uniform_identifier(10**13 - 1))


@given(st.integers(0, 3_000), st.integers(0, 2**64))
def test_shuffled_is_a_bijection(count: int, seed: int) -> None:
    assert sorted(dataset.shuffled(count, seed)) == list(range(count))


@pytest.mark.parametrize("count", [1_000, 20_000, 32_768])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_looks_random(count: int, seed: int) -> None:
    """Neither sorted nor in equal strides: neighbours are uncorrelated and differences do not repeat."""
    numbers = list(dataset.shuffled(count, seed))
    mean, variance = (count - 1) / 2, (count**2 - 1) / 12
    correlation = sum((one - mean) * (two - mean) for one, two in pairwise(numbers)) / count / variance
    assert abs(correlation) < 5 / count**0.5  # five standard errors
    differences = Counter(two - one for one, two in pairwise(numbers))
    assert max(differences.values()) < 30


def test_shuffled_depends_on_the_seed_alone() -> None:
    assert list(dataset.shuffled(1_000, 5)) == list(dataset.shuffled(1_000, 5))
    assert list(dataset.shuffled(1_000, 5)) != list(dataset.shuffled(1_000, 6))
    assert list(dataset.shuffled(10, 1)) == [6, 1, 5, 0, 9, 4, 3, 8, 2, 7]


# Writers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", dataset.ENCODINGS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_csv_round_trip(tmp_path: Path, rows: list[dataset.Row], encoding: str, language: str) -> None:
    path, header = tmp_path / "products.csv", dataset.HEADERS[language]
    dataset.write_csv(path, rows[:2_000], header, encoding)
    with path.open(encoding=encoding, newline="") as file:
        assert list(csv.reader(file)) == [list(header), *map(list, rows[:2_000])]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")


@pytest.mark.parametrize("encoding", dataset.ENCODINGS)
@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_fast_uniform_csv_is_the_plain_one(tmp_path: Path, encoding: str, count: int) -> None:
    dataset.write_uniform_csv(tmp_path / "fast.csv", count, 4, encoding)
    rows = dataset.uniform_rows(count, 4)
    dataset.write_csv(tmp_path / "plain.csv", rows, dataset.UNIFORM_HEADER, encoding)
    assert (tmp_path / "fast.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_ndjson_round_trip(tmp_path: Path, rows: list[dataset.Row]) -> None:
    path, header = tmp_path / "products.ndjson", dataset.HEADERS["en"]
    dataset.write_ndjson(path, rows[:500], header)
    lines = path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [dict(zip(header, row, strict=True)) for row in rows[:500]]


def test_xlsx_round_trip(tmp_path: Path, rows: list[dataset.Row]) -> None:
    path, header = tmp_path / "products.xlsx", dataset.HEADERS["zh"]
    dataset.write_xlsx(path, rows[:300], header)
    sheet = load_workbook(path, read_only=True).worksheets[0]
    assert list(sheet.iter_rows(values_only=True)) == [header, *map(tuple, rows[:300])]


def test_xlsx_refuses_more_than_a_sheet(
    tmp_path: Path, rows: list[dataset.Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "MAX_SHEET_ROWS", 10)
    dataset.write_xlsx(tmp_path / "full.xlsx", rows[:9], dataset.HEADERS["en"])
    with pytest.raises(ValueError, match="9 rows"):
        dataset.write_xlsx(tmp_path / "over.xlsx", rows[:10], dataset.HEADERS["en"])
    assert not (tmp_path / "over.xlsx").exists()


# Command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name", "first"),
    [
        (["--header", "zh", "--encoding", "gb18030"], "a.csv", "标识,网址".encode("gb18030")),
        (["--uniform"], "b.csv", b"identifier,URL,TEXT\n88.118.32001/P"),
        (["--uniform", "--format", "ndjson"], "c.ndjson", b'{"identifier":"88.118.32001/P'),
        (["--format", "ndjson", "--seed", "9"], "d.ndjson", b'{"identifier":"88.118.'),
        (["--format", "xlsx"], "e.xlsx", b"PK"),
    ],
)
def test_command_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], name: str, first: bytes
) -> None:
    assert dataset.main(["--count", "100", *options, str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(first)
    assert "100 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--count", "-1"], "--count"),
        (["--count", "1048576", "--format", "xlsx"], "1,048,575"),
        (["--count", "1", "--format", "ndjson", "--encoding", "gb18030"], "--encoding"),
        (["--count", "1", "--uniform", "--header", "zh"], "--header"),
        ([], "--count"),
    ],
)
def test_command_explains_a_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        dataset.main([*options, str(tmp_path / "never")])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


def test_command_reports_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dataset.main(["--count", "1", str(tmp_path / "no" / "such.csv")])
    assert ended.value.code == 1
    assert "such.csv" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dataset.main(["--help"])
    assert "python -m bench.dataset --count 50000" in capsys.readouterr().out
