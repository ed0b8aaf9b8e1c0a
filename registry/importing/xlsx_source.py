"""Workbooks (.xlsx), read row by row with openpyxl; cells become the text that a person sees.

Whole numbers have no ``.0``, dates are ISO 8601, a number format of zeros only (``00000``) pads, formulas give the
value that the spreadsheet program saved with them. Numbers beyond 15 digits are marked: a spreadsheet keeps no more,
so what is in the file is not what was typed in.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from protocol.errors import InvalidInput
from registry.importing import rules
from registry.importing.options import ImportOptions
from registry.importing.sources import (
    DIGITS_LOST,
    ERROR_CELL,
    Position,
    Refuse,
    file_size,
    no_text,
    tidy,
    unreadable,
)

MAX_SHARED_BYTES: Final = 1 << 30
"""Bytes of the table of shared texts, unpacked: the one part of a workbook that is held in memory."""

MAX_INFLATION: Final = 100
"""How many times as large as it is in the file a part may be unpacked: Apache POI's default. Sheets of products come to
a tenth of that. The text of one cell is held in memory, so 600 kB of workbook could take 2.8 GB."""

LEAST_INFLATED_BYTES: Final = 64 << 20
"""Up to this size a part may be packed as well as it likes."""

MAX_ROWS: Final = 1_048_576
"""Rows of a sheet: as many as spreadsheet programs have. Rows that are left out in between are read as empty ones, so
one that is numbered a thousand million would keep an import busy for hours."""

_EXACT: Final = 10**15
"""Whole numbers below it are exact in a spreadsheet (Excel specifications: 15 digits)."""

_ZEROS: Final = re.compile("0+")


class XlsxSource:
    """A sheet of a workbook, the first or the one named. Raises :class:`InvalidInput` for what is no workbook or has
    no such sheet or no header, :class:`SettingsError` for an unreadable file."""

    encoding = "UTF-8"

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self.path = path
        file_size(path)
        self._sheet = options.sheet
        self._done = 0
        self._total = 0
        self.header_row, self.header = self._read_header()

    def rows(self, refuse: Refuse, after: int = 0) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, as lists of cells as long as the header; longer where there is more data."""
        width = len(self.header)
        for row, cells in self._cells(max(after, self.header_row)):
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
            else:
                while len(cells) > width and not cells[-1]:
                    cells.pop()
            yield row, cells

    def position(self) -> Position:
        """Rows read; the total is what the file claims, 0 where it does not."""
        return Position(self._done, self._total, "rows")

    def _read_header(self) -> tuple[int, tuple[str, ...]]:
        for row, cells in self._cells(0):
            while cells and not tidy(cells[-1]):
                cells.pop()
            if cells:
                return row, tuple(cells)
        raise no_text(self.path)

    def _cells(self, after: int) -> Iterator[tuple[int, list[str]]]:
        # openpyxl warns of styles and extensions it leaves out; they do not concern the person, nor an import.
        warnings.filterwarnings("ignore", module=r"openpyxl\.")
        with self._faults():
            self._check_size()
            workbook = openpyxl.load_workbook(self.path, read_only=True, data_only=True)
            try:
                names = [sheet.title for sheet in workbook.worksheets]
                if self._sheet is not None and self._sheet not in names:
                    raise InvalidInput(rules.NO_SHEET, sheet=self._sheet, sheets=", ".join(names))
                if not names:
                    raise no_text(self.path)
                sheet = workbook.worksheets[0 if self._sheet is None else names.index(self._sheet)]
                self._total = sheet.max_row or 0
                sheet.reset_dimensions()  # some programs write a wrong extent, which would hide columns
                for row, cells in enumerate(sheet.iter_rows(), 1):
                    if row > MAX_ROWS:
                        raise InvalidInput(rules.BAD_WORKBOOK, path=str(self.path), reason=f"a row beyond {MAX_ROWS:,}")
                    self._done = row
                    if row > after:
                        yield (
                            row,
                            [
                                ""
                                if (value := cell.value) is None
                                else shown(value, cell.data_type, cell.number_format)
                                for cell in cells
                            ],
                        )
            finally:
                workbook.close()

    def _check_size(self) -> None:
        with zipfile.ZipFile(self.path) as archive:
            for part in archive.infolist():
                if part.filename.endswith("sharedStrings.xml") and part.file_size > MAX_SHARED_BYTES:
                    raise InvalidInput(rules.BAD_WORKBOOK, path=str(self.path), reason="more than 1 GiB of texts")
                if part.file_size > max(LEAST_INFLATED_BYTES, MAX_INFLATION * part.compress_size):
                    reason = f"{part.filename} unpacks to more than {MAX_INFLATION} times its size"
                    raise InvalidInput(rules.BAD_WORKBOOK, path=str(self.path), reason=reason)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, EOFError) as error:
            # openpyxl lets the errors of zip, XML and its own conversions through as they are.
            raise InvalidInput(rules.BAD_WORKBOOK, path=str(self.path), reason=str(error)) from None
        except OSError as error:
            raise unreadable(self.path, error) from None


def shown(value: object, data_type: str = "n", number_format: str = "General") -> str:
    """The text of a cell as a person sees it; marked (see :mod:`registry.importing.sources`) where that is not what
    was meant."""
    if isinstance(value, str):
        return value + ERROR_CELL if data_type == "e" else value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, int):
        digits = str(value)
        if abs(value) >= _EXACT:
            return digits + DIGITS_LOST
        return digits.zfill(len(number_format)) if _ZEROS.fullmatch(number_format) else digits
    if isinstance(value, float):
        # 15 digits, as spreadsheets show: 0.1 + 0.2 is 0.3 there.
        return format(value, ".15g") + (DIGITS_LOST if abs(value) >= _EXACT else "")
    if isinstance(value, datetime):
        return value.isoformat() if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)
