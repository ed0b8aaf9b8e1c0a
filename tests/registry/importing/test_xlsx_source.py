from __future__ import annotations

import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest

from protocol.errors import InvalidInput
from registry.importing import ImportOptions, rules
from registry.importing.sources import DIGITS_LOST, ERROR_CELL
from registry.importing.xlsx_source import XlsxSource, shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.xlsx"


def save(path: Path, *rows: tuple[object, ...], title: str = "Sheet") -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for number, row in enumerate(rows, 1):
        for place, value in enumerate(row, 1):
            if value is not None:
                sheet.cell(number, place, value)  # type: ignore[arg-type]
    book.create_sheet("其他").append(["id", "other"])
    book.save(path)
    return path


def read(path: Path, after: int = 0, **options: object) -> list[tuple[int, list[str]]]:
    source = XlsxSource(path, ImportOptions(**options))  # type: ignore[arg-type]
    return list(source.rows(lambda *_: pytest.fail("refused"), after))


def test_cells_become_what_a_person_sees(path: Path) -> None:
    save(
        path,
        ("标识", "日期", "数", "备注"),
        ("88.118/1", date(2025, 8, 1), 123.0, "x"),
        ("88.118/2", datetime(2025, 8, 1, 12, 30), 1.5, None),
        (),
        ("88.118/3", None, 8810000012345, True),
    )
    assert XlsxSource(path, ImportOptions()).header == ("标识", "日期", "数", "备注")
    assert read(path) == [
        (2, ["88.118/1", "2025-08-01", "123", "x"]),
        (3, ["88.118/2", "2025-08-01T12:30:00", "1.5", ""]),
        (4, ["", "", "", ""]),
        (5, ["88.118/3", "", "8810000012345", "TRUE"]),
    ]
    assert read(path, after=4) == read(path)[3:]


def test_rows_longer_than_the_header_show_it(path: Path) -> None:
    save(path, ("id", "URL", None), ("a/1", "u", None, None), ("a/2", "u", "", "more"))
    assert read(path) == [(2, ["a/1", "u"]), (3, ["a/2", "u", "", "more"])]


@pytest.mark.parametrize(
    ("value", "kind", "number_format", "text"),
    [
        (42, "n", "00000", "00042"),
        (42, "n", "0.00", "42"),
        (0.1 + 0.2, "n", "General", "0.3"),
        (-3.0, "n", "General", "-3"),
        (999_999_999_999_999, "n", "General", "999999999999999"),
        (1234567890123456, "n", "0", "1234567890123456" + DIGITS_LOST),
        (1.5e300, "n", "General", "1.5e+300" + DIGITS_LOST),
        (False, "b", "General", "FALSE"),
        ("#N/A", "e", "General", "#N/A" + ERROR_CELL),
        (time(7, 5), "d", "hh:mm", "07:05:00"),
        (timedelta(hours=30), "d", "[h]:mm", "1 day, 6:00:00"),
    ],
)
def test_single_cells(value: object, kind: str, number_format: str, text: str) -> None:
    assert shown(value, kind, number_format) == text


def test_sheets_by_name(path: Path) -> None:
    save(path, ("id", "URL"))
    assert XlsxSource(path, ImportOptions(sheet="其他")).header == ("id", "other")
    with pytest.raises(InvalidInput) as caught:
        XlsxSource(path, ImportOptions(sheet="none"))
    assert caught.value.rule is rules.NO_SHEET


def test_an_empty_sheet_is_refused(path: Path) -> None:
    save(path)
    with pytest.raises(InvalidInput) as caught:
        XlsxSource(path, ImportOptions())
    assert caught.value.rule is rules.NO_HEADER


@pytest.mark.parametrize("kind", ["text", "zip", "truncated", "xml"])
def test_what_is_no_workbook_is_refused(path: Path, kind: str) -> None:
    save(path, ("id", "URL"), *((f"a/{number}", "u") for number in range(50)))
    whole = path.read_bytes()
    if kind == "text":
        path.write_text("id,URL\n")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", "y")
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"][:900]
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
    with pytest.raises(InvalidInput) as caught:
        read(path)
    assert caught.value.rule is rules.BAD_WORKBOOK


def test_a_row_numbered_beyond_all_sheets_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows left out before it would be read as empty ones, for hours."""
    monkeypatch.setattr("registry.importing.xlsx_source.MAX_ROWS", 1_000)
    save(path, ("id", "URL"), ("a/1", "u"))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    for number, ends_well in ((1_000, True), (1_000_000_000, False)):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data.replace(b'<row r="2"', b'<row r="%d"' % number) if name == sheet else data)
        if ends_well:
            assert read(path)[-1] == (number, ["a/1", "u"])
        else:
            with pytest.raises(InvalidInput) as caught:
                read(path)
            assert caught.value.rule is rules.BAD_WORKBOOK
            assert "a row beyond" in str(caught.value)


def test_a_sheet_that_is_packed_like_no_sheet_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.importing.xlsx_source.LEAST_INFLATED_BYTES", 100_000)
    for length, ends_well in ((30_000, True), (2_000_000, False)):
        save(path, ("id", "URL"), ("a/1", "u"))
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts.items():
                archive.writestr(name, data.replace(b"</row>", b" " * length + b"</row>"))
        if ends_well:
            assert read(path) == [(2, ["a/1", "u"])]
        else:
            with pytest.raises(InvalidInput) as caught:
                read(path)
            assert caught.value.rule is rules.BAD_WORKBOOK
            assert "unpacks to more than 100 times" in str(caught.value)
