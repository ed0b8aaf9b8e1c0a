"""CSV as spreadsheet programs write it (RFC 4180, with ``,``, ``;`` or tab), read as a stream.

Blocks of text without a quotation mark, nearly all, are split directly; in the others, lines with a mark go through
Python's CSV reader.
Where quotation marks do not match, only the line on which the record began is refused and reading goes on with the
line after it, so that one forgotten mark does not swallow the rows up to the next.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from protocol.errors import InvalidInput
from registry.importing import rules
from registry.importing.encodings import detect
from registry.importing.options import DELIMITERS, ImportOptions
from registry.importing.sources import (
    BATCH_ROWS,
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
        self.header_row = 0
        self.header_row, self.header = self._read_header()

    def rows(self, refuse: Refuse, after: int = 0) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, as lists of cells; blank lines give a list of one empty cell."""
        for first, rows in self.batches(refuse, after):
            yield from enumerate(rows, first)

    def batches(self, refuse: Refuse, after: int = 0, most: int = BATCH_ROWS) -> Iterator[tuple[int, list[list[str]]]]:
        """The same, up to ``most`` consecutive rows at a time with the number of the first. What has been refused when
        a batch is given stands before it or within it, never behind."""
        return self._records(refuse, max(after, self.header_row), most)

    def position(self) -> Position:
        """Bytes read; what is decoded but not yet handed out is counted as read."""
        return Position(self._done, self._total, "bytes")

    def _records(self, refuse: Refuse, after: int, most: int) -> Iterator[tuple[int, list[list[str]]]]:
        delimiter = self.delimiter
        row = 0
        blocks = self._blocks()
        for text in blocks:
            if '"' in text:
                row = yield from self._records_with_marks(_Lines(text, blocks), row, refuse, after, most)
                continue
            lines = _split_lines(text)
            for start in range(max(0, after - row), len(lines), most):
                yield row + start + 1, [line.split(delimiter) for line in lines[start : start + most]]
            row += len(lines)

    def _records_with_marks(
        self, lines: _Lines, row: int, refuse: Refuse, after: int, most: int
    ) -> Generator[tuple[int, list[list[str]]], None, int]:
        """Read a block line by line, and of the next ones as much as its last record takes; the last row's number."""
        quoted = _QuotedRecords(self.delimiter)
        batch: list[list[str]] = []
        while lines.waiting:
            line = next(lines)
            row += 1
            if '"' not in line:
                cells = line.rstrip("\r\n").split(self.delimiter)
            else:
                try:
                    cells = quoted.read(line, lines)
                    if len(quoted.taken) > 1:
                        self._check_span(quoted.taken)
                except csv.Error as error:
                    if row > after:
                        if batch:
                            yield row - len(batch), batch
                            batch = []
                        shown = line[:_SHOWN_CHARACTERS].strip()
                        refuse(row, shown, InvalidInput(rules.BROKEN_QUOTES, reason=str(error)))
                    lines.put_back(quoted.taken[1:])
                    quoted = _QuotedRecords(self.delimiter)
                    continue
            if row > after:
                batch.append(cells)
            if len(batch) >= most:
                yield row - len(batch) + 1, batch
                batch = []
        if batch:
            yield row - len(batch) + 1, batch
        return row

    def _check_span(self, taken: Sequence[str]) -> None:
        """See that a record of several lines has not swallowed rows, as it does between two forgotten marks.

        A line counts as a row if it has a row's number of delimiters and begins like the record itself: identifiers
        of one file nearly always begin alike. Raises :class:`csv.Error`.
        """
        start = taken[0].lstrip('"')[:_ALIKE_CHARACTERS]
        for line in taken[1:]:
            if line.startswith(start) and '"' not in line and line.count(self.delimiter) == len(self.header) - 1:
                raise csv.Error("whole rows stand before the closing mark")

    def _blocks(self) -> Iterator[str]:
        """The text in pieces of whole lines; a line beyond the limit is cut and marked."""
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
                        yield carry[:end]
                        carry = carry[end:]
                    if len(carry) > MAX_LINE_CHARACTERS and not carry.endswith("\r"):
                        carry, cutting = carry[:MAX_LINE_CHARACTERS] + CUT, True
        except OSError as error:
            raise unreadable(self.path, error) from None
        carry += decoder.decode(b"", True)
        if carry:
            yield carry

    def _sniff_delimiter(self) -> str:
        """The candidate that stands most often in the first record, outside quotation marks; comma by default."""
        counts = dict.fromkeys(DELIMITERS, 0)
        inside = False
        for line in chain.from_iterable(map(_lines_with_ends, self._blocks())):
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

        for row, cells in self.rows(refuse):
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


class _Lines:
    """The lines of a block with their ends, and behind them those of the next blocks, which are only taken when asked
    for."""

    def __init__(self, text: str, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self.waiting = deque(_lines_with_ends(text))
        """Lines of blocks that were begun."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.waiting:
            self.waiting.extend(_lines_with_ends(next(self._blocks)))
        return self.waiting.popleft()

    def put_back(self, lines: Sequence[str]) -> None:
        """Have lines come again, before all others."""
        self.waiting.extendleft(reversed(lines))


def _lines_with_ends(text: str) -> Iterator[str]:
    return io.StringIO(text, newline="")  # knows LF, CR LF and CR, and of other characters none as a line's end


def _split_lines(text: str) -> list[str]:
    """Lines without their ends."""
    plain = text.replace("\r\n", "\n") if "\r" in text else text
    if "\r" in plain:
        return [line.rstrip("\r\n") for line in _lines_with_ends(text)]
    lines = plain.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines
