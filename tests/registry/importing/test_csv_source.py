from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput, SettingsError
from registry.importing import csv_source, rules
from registry.importing.csv_source import CsvSource
from registry.importing.options import ImportOptions
from registry.importing.sources import CUT

Refused = list[tuple[int, str, InvalidInput]]


def read(path: Path, after: int = 0, **options: object) -> tuple[list[tuple[int, list[str]]], Refused]:
    refused: Refused = []
    source = CsvSource(path, ImportOptions(**options))  # type: ignore[arg-type]
    rows = list(source.rows(lambda *fault: refused.append(fault), after))
    done, total, unit = source.position()
    assert (done, unit) == (total, "bytes")
    return rows, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write_is_recognised(path: Path, encoding: str, end: str, delimiter: str) -> None:
    lines = [("产品标识", "网址", "产品名称"), ("88.118/甲1", "https://例子.cn/1", "液压泵"), ("88.118/2", "", "阀门")]
    path.write_bytes("".join(delimiter.join(line) + end for line in lines).encode(encoding))
    source = CsvSource(path, ImportOptions())
    assert source.header == lines[0]
    assert source.delimiter == delimiter
    assert source.encoding == encoding.removesuffix("-sig")
    assert read(path) == ([(2, list(lines[1])), (3, list(lines[2]))], [])


def test_last_line_needs_no_end(path: Path) -> None:
    path.write_text("id,URL\na/1,u")
    assert read(path) == ([(2, ["a/1", "u"])], [])


def test_quoted_line_ends_belong_to_one_row(path: Path) -> None:
    path.write_text('id,"UR\nL"\na/1,"two\nlines"\n\na/2,"with "" and ,"\n', newline="")
    assert CsvSource(path, ImportOptions()).header == ("id", "UR\nL")
    assert read(path) == ([(2, ["a/1", "two\nlines"]), (3, [""]), (4, ["a/2", 'with " and ,'])], [])


def test_blank_lines_before_the_header_count(path: Path) -> None:
    path.write_text("\n,\nid,URL\na/1,u\n")
    assert read(path) == ([(4, ["a/1", "u"])], [])


def test_delimiters_inside_quotes_do_not_decide(path: Path) -> None:
    path.write_text('id;"a, b, c, d";URL\nx/1;2;3\n')
    assert CsvSource(path, ImportOptions()).delimiter == ";"
    assert CsvSource(path, ImportOptions(delimiter=",")).delimiter == ","


def test_rows_already_done_are_passed_over(path: Path) -> None:
    path.write_text('id,URL\na/1,"x\na/2,u\na/3,"v"\na/4,w\n')
    rows, refused = read(path, after=3)
    assert rows == [(4, ["a/3", "v"]), (5, ["a/4", "w"])]
    assert refused == []


@pytest.mark.parametrize("block", [5, 64, 1 << 18])
def test_a_forgotten_quotation_mark_costs_its_row_only(path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", block)
    good = [f"a/{number},u" for number in range(4, 40)]
    path.write_text("\n".join(["id,URL", 'a/2,"never closed', "a/3,u", *good, 'a/40,"', 'a/41,"x"y', 'a/42,"z"']))
    rows, refused = read(path)
    assert [row for row, _ in rows] == [*range(3, 40), 42]
    assert rows[-1] == (42, ["a/42", "z"])
    assert [(row, fault.rule) for row, _, fault in refused] == [(row, rules.BROKEN_QUOTES) for row in (2, 40, 41)]
    assert refused[0][1] == 'a/2,"never closed'


def test_thousands_of_forgotten_quotation_marks(path: Path) -> None:
    path.write_text("id,URL\n" + 'a/1,"x"y\n' * 5_000 + 'a/2,"\n' * 5_001)
    rows, refused = read(path)
    assert len(refused) + 2 * len(rows) == 10_001


@pytest.mark.parametrize(("encoding", "broken"), [("utf-8", b"\xff"), ("gb18030", b"\x80"), ("utf-8", b"\xe6\xb6")])
def test_a_broken_byte_stays_visible(path: Path, encoding: str, broken: bytes) -> None:
    lines = ["标识,名称", *(f"88.1/{number},液压泵和阀门" for number in range(40))]
    data = "\n".join(lines).encode(encoding).split(b"\n")
    data[20] += broken
    path.write_bytes(b"\n".join(data))
    source = CsvSource(path, ImportOptions())
    assert source.encoding == encoding
    rows, refused = read(path)
    assert refused == []
    unencodable = []
    for row, cells in rows:
        try:
            "".join(cells).encode()
        except UnicodeEncodeError:
            unencodable.append(row)
    assert unencodable == [21]


def test_encoding_that_cannot_be_told_is_asked_for(path: Path) -> None:
    path.write_bytes("id,NAME\na/1,Gerät für Öl\n".encode("latin-1"))
    with pytest.raises(InvalidInput) as caught:
        CsvSource(path, ImportOptions())
    assert caught.value.rule is rules.UNKNOWN_ENCODING
    assert caught.value.details["position"] == 15
    assert CsvSource(path, ImportOptions(encoding="utf-8")).header == ("id", "NAME")


def test_utf_16_is_named(path: Path) -> None:
    path.write_bytes("id\tNAME\n".encode("utf-16"))
    with pytest.raises(InvalidInput) as caught:
        CsvSource(path, ImportOptions())
    assert caught.value.rule is rules.UTF_16


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff\n", ",,\n"])
def test_a_file_without_text_is_refused(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        CsvSource(path, ImportOptions())
    assert caught.value.rule is rules.NO_HEADER


@pytest.mark.parametrize("content", [b'id,"URL\n', b"id,\xff\n", b"id,\xff\xff\xff\n" * 9])
def test_a_broken_header_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        CsvSource(path, ImportOptions(encoding="utf-8"))
    assert caught.value.rule is rules.NO_HEADER
    assert "1" in caught.value.message("zh")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(SettingsError) as caught:
            CsvSource(path, ImportOptions())
        assert caught.value.rule is rules.NO_INPUT


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1_500_000, (1 << 20) + (1 << 18) * 3 - 1])
def test_a_line_without_end_is_cut(path: Path, end: bytes, size: int) -> None:
    head = b"id,URL" + end + b"a/1,u" + end
    path.write_bytes(head + b"a/2," + b"x" * (size - len(head)) + end + b"a/3,v" + end)
    rows, refused = read(path, delimiter=",")
    assert refused == []
    assert [row for row, _ in rows] == [2, 3, 4]
    assert rows[1][1][1].endswith(CUT)
    assert len(rows[1][1][1]) <= (1 << 20) + 1
    assert rows[2] == (4, ["a/3", "v"])


@pytest.mark.parametrize("line", ['","x\n', 'z",",\n'])
def test_a_record_that_never_ends_is_given_up(path: Path, line: str) -> None:
    path.write_text("id,URL\n" + 'a/1,"\n' + line * 5_000 + "\na/2,u\n")
    rows, refused = read(path)
    assert [row for row, _, _ in refused] == list(range(2, 5_003))
    assert {fault.rule for _, _, fault in refused} == {rules.BROKEN_QUOTES}
    assert rows == [(5_003, [""]), (5_004, ["a/2", "u"])]


_cells = st.text(st.sampled_from('ab,;\t"\r\n 泵\x00'), max_size=6)


@given(table=st.lists(st.lists(_cells, min_size=3, max_size=3), max_size=12), block=st.sampled_from([7, 50, 1 << 18]))
def test_reads_what_the_csv_writer_writes(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.csv"
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "x", "y"], *table])
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "BLOCK_BYTES", block)
        rows, refused = read(path, delimiter=",")
    assert refused == []
    assert [cells for _, cells in rows] == table
    assert [row for row, _ in rows] == list(range(2, len(table) + 2))


_lines = st.lists(
    st.one_of(
        st.sampled_from(["a/1,u", "a/2,v,w", "", ",", 'a/3,"q"', 'a/4,"two', 'lines"', '"', 'a"b,c', "a/5,\x85\x0b"]),
        st.text(alphabet='a,"\u2028 ', max_size=8),
    ),
    max_size=12,
)


@given(
    lines=_lines,
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=12, max_size=12),
    most=st.integers(1, 5),
    after=st.integers(0, 10),
    block=st.integers(1, 40),
)
def test_batches_are_the_rows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ends: list[str], most: int, after: int, block: int
) -> None:
    """Whatever the blocks and batches: the same rows and refusals, and no refusal comes before its time."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    text = "id,URL\n" + "".join(line + end for line, end in zip(lines, ends, strict=False))
    path.write_text(text, "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        expected = read(path)
        patch.setattr(csv_source, "BLOCK_BYTES", block)
        source = CsvSource(path, ImportOptions(delimiter=","))
        refused: Refused = []
        found: list[tuple[int, list[str]]] = []
        for first, rows in source.batches(lambda *fault: refused.append(fault), after, most):
            assert 0 < len(rows) <= most
            found += enumerate(rows, first)
            assert all(row < first + len(rows) for row, _, _ in refused)
    after = max(after, 1)
    assert found == [(row, cells) for row, cells in expected[0] if row > after]
    assert [fault[:2] for fault in refused] == [fault[:2] for fault in expected[1] if fault[0] > after]
