"""CSV as spreadsheet programs write it (RFC 4180, with ``,``, ``;`` or tab), read as a stream.

Lines without a quotation mark, nearly all, are split directly; the others go through Python's CSV reader.
Where quotation marks do not match, only the line on which the record began is refused and reading goes on with the
line after it, so that one forgotten mark does not swallow the rows up to the next.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from protocol.errors import InvalidInput
from registry.importing import rules
from registry.importing.encodings import detect
from registry.importing.options import DELIMITERS, ImportOptions
from registry.importing.sources import (
    BLOCK_BYTES,
    CUT,
    MAX_LINE_CHARACTERS,
    Position,
    Refuse,
    file_size,
    no_text,
    tidy,
    unreadable,
    unusable,
)

_LINE_END: Final = re.compile("[\r\n]")
_MAX_RECORD_LINES: Final = 1_000
"""Lines of one record. Bounds what is read again after a forgotten mark."""

_ALIKE_CHARACTERS: Final = 2
"""Characters in which the beginnings of two rows of one file agree."""

_SHOWN_CHARACTERS: Final = 200
"""Characters of a broken row that stand for its identifier in the report."""


class CsvSource:
    """A CSV file. Raises :class:`InvalidInput` for a file without usable header, :class:`SettingsError` for an
    unreadable one."""

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self.path = path
        self._total = file_size(path)
        self._done = 0
        encoding = detect(path, options.encoding)
        self.encoding = encoding.name
        self._mark = encoding.mark
        self.header: tuple[str, ...] = ()
        self.delimiter = options.delimiter or self._sniff_delimiter()
        self.header_row, self.header = self._read_header()

    def rows(self, refuse: Refuse, after: int = 0) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, as lists of cells; blank lines give a list of one empty cell."""
        return self._records(refuse, max(after, self.header_row))

    def position(self) -> Position:
        """Bytes read; what is decoded but not yet handed out is counted as read."""
        return Position(self._done, self._total, "bytes")

    def _records(self, refuse: Refuse, after: int) -> Iterator[tuple[int, list[str]]]:
        bottom = chain.from_iterable(self._blocks())
        again: deque[str] = deque()  # lines of a broken record, to be read once more
        lines: Iterator[str] = bottom
        quoted = _QuotedRecords(self.delimiter)
        delimiter = self.delimiter
        row = 0
        more = True
        while more:
            more = False
            for line in lines:
                row += 1
                if '"' not in line:
                    if row > after:
                        yield row, line.rstrip("\r\n").split(delimiter)
                    continue
                try:
                    cells = quoted.read(line, lines)
                    if len(quoted.taken) > 1:
                        self._check_span(quoted.taken)
                except csv.Error as error:
                    if row > after:
                        shown = line[:_SHOWN_CHARACTERS].strip()
                        refuse(row, shown, InvalidInput(rules.BROKEN_QUOTES, reason=str(error)))
                    again.extendleft(reversed(quoted.taken[1:]))
                    lines = chain(_drain(again), bottom)
                    quoted = _QuotedRecords(delimiter)
                    more = True
                    break
                if row > after:
                    yield row, cells

    def _check_span(self, taken: Sequence[str]) -> None:
        """See that a record of several lines has not swallowed rows, as it does between two forgotten marks.

        A line counts as a row if it has a row's number of delimiters and begins like the record itself: identifiers
        of one file nearly always begin alike. Raises :class:`csv.Error`.
        """
        start = taken[0].lstrip('"')[:_ALIKE_CHARACTERS]
        for line in taken[1:]:
            if line.startswith(start) and '"' not in line and line.count(self.delimiter) == len(self.header) - 1:
                raise csv.Error("whole rows stand before the closing mark")

    def _blocks(self) -> Iterator[list[str]]:
        """The text as lists of whole lines with their ends; one beyond the limit is cut and marked."""
        decoder = codecs.getincrementaldecoder(self.encoding)("surrogateescape")
        carry, cutting = "", False
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self._mark)
                self._done = self._mark
                while chunk := file.read(BLOCK_BYTES):
                    self._done += len(chunk)
                    text = decoder.decode(chunk)
                    if cutting:
                        rest = _LINE_END.search(text)
                        if rest is None:
                            continue
                        text, cutting = text[rest.start() :], False
                    carry += text
                    # A CR at the very end may be half of a CR LF, so it does not end a line yet.
                    end = carry.rfind("\n") + 1 or carry.rfind("\r", 0, len(carry) - 1) + 1
                    if end:
                        yield list(io.StringIO(carry[:end], newline=""))
                        carry = carry[end:]
                    if len(carry) > MAX_LINE_CHARACTERS and not carry.endswith("\r"):
                        carry, cutting = carry[:MAX_LINE_CHARACTERS] + CUT, True
        except OSError as error:
            raise unreadable(self.path, error) from None
        carry += decoder.decode(b"", True)
        if carry:
            yield list(io.StringIO(carry, newline=""))

    def _sniff_delimiter(self) -> str:
        """The candidate that stands most often in the first record, outside quotation marks; comma by default."""
        counts = dict.fromkeys(DELIMITERS, 0)
        inside = False
        for line in chain.from_iterable(self._blocks()):
            for character in line:
                if character == '"':
                    inside = not inside
                elif not inside and character in counts:
                    counts[character] += 1
            if line.strip() and not inside:
                break
        return max(DELIMITERS, key=lambda delimiter: counts[delimiter])

    def _read_header(self) -> tuple[int, tuple[str, ...]]:
        """Row number and cells of the first row that is not blank."""

        def refuse(row: int, _: str, fault: InvalidInput) -> None:
            en, zh = f"row {row}: {fault}", f"第 {row} 行：{fault.message('zh')}"
            raise InvalidInput(rules.NO_HEADER, path=str(self.path), reason=en, reason_zh=zh)

        for row, cells in self._records(refuse, 0):
            for number, cell in enumerate(cells, 1):
                fault = unusable(cell, str(number), self.encoding)
                if fault is not None:
                    refuse(row, "", fault)
            if any(tidy(cell) for cell in cells):
                return row, tuple(cells)
        raise no_text(self.path)


class _QuotedRecords:
    """Reads records that contain quotation marks, as many lines as each needs.

    ``taken`` holds the lines of the last record. After a :class:`csv.Error` the object is of no more use.
    """

    def __init__(self, delimiter: str) -> None:
        self.taken: list[str] = []
        self._first = ""
        self._lines: Iterator[str] = iter(())
        self._reader = csv.reader(self._feed(), delimiter=delimiter, strict=True)

    def read(self, first: str, lines: Iterator[str]) -> list[str]:
        """The record that begins with line ``first`` and may go on in ``lines``."""
        self._first, self._lines = first, lines
        self.taken.clear()
        return next(self._reader)

    def _feed(self) -> Iterator[str]:
        characters = 0
        while True:
            if not self.taken:
                line, characters = self._first, 0
            else:
                following = next(self._lines, None)
                if following is None:
                    return
                line = following
            self.taken.append(line)
            characters += len(line)
            if characters > 2 * MAX_LINE_CHARACTERS or len(self.taken) > _MAX_RECORD_LINES:
                raise csv.Error("no closing mark within reach")
            yield line


def _drain(lines: deque[str]) -> Iterator[str]:
    while lines:
        yield lines.popleft()
