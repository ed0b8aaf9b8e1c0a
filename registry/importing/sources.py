"""Where rows come from: one small interface for CSV, NDJSON and workbooks.

A source gives every usable row with its number and hands each broken one to a callback, so that a broken row never
ends an import. Rows are numbered as a person counts them: in a table the header is row 1, in NDJSON the number is
that of the line. A record of a CSV file that spans several lines by way of quotation marks counts as one row, as it
does in a spreadsheet program.

A cell that cannot be used *if its column is* is marked by a lone high surrogate, which no decoder produces and no
encoder accepts: it cannot slip through, and it disturbs nobody where the column is left out.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from protocol.errors import InvalidInput, SettingsError
from registry.importing import rules
from registry.importing.encodings import undecoded_byte
from registry.importing.options import ImportOptions

CUT: Final = "\ud800"
"""Ends a line of which the rest was left out because it is too long."""

DIGITS_LOST: Final = "\ud801"
"""Ends a number of which the spreadsheet has lost digits."""

ERROR_CELL: Final = "\ud802"
"""Ends a cell that shows a spreadsheet error."""

MAX_LINE_CHARACTERS: Final = 1 << 20
"""Characters (in NDJSON bytes) of a line. A record has at most 32 KiB, escapes and ignored columns come on top."""

BLOCK_BYTES: Final = 256 << 10
"""Bytes read at once: the text and its lines stay in the processor's cache."""

BATCH_ROWS: Final = 512
"""Rows handled together: what is made of them stays in the cache too. Also rows between two looks at size and clock."""

Refuse = Callable[[int, str, InvalidInput], None]
"""Takes row number, identifier as far as known, and fault of a row that cannot be used."""

Payload_co = TypeVar("Payload_co", covariant=True)

_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


class Position(NamedTuple):
    """How far reading has come; ``total`` is 0 where it is not known, ``unit`` is ``bytes`` or ``rows``."""

    done: int
    total: int
    unit: str


class Source(Protocol[Payload_co]):
    """A file opened for import."""

    @property
    def header(self) -> tuple[str, ...]:
        """Column names as they stand in the file; of NDJSON the keys of its first object."""

    def rows(self, refuse: Refuse, after: int = 0) -> Iterator[tuple[int, Payload_co]]:
        """Read from the beginning; rows up to number ``after`` are passed over without a word.

        Raises :class:`SettingsError` where reading fails.
        """

    def position(self) -> Position:
        """For a progress bar."""


def format_of(path: Path, options: ImportOptions) -> str:
    """``csv``, ``ndjson`` or ``xlsx``: by option, else by the file's name. Raises :class:`InvalidInput`."""
    found = options.format or _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InvalidInput(rules.UNKNOWN_FORMAT, path=str(path))
    return found


def unusable(cell: str, column: str, encoding: str) -> InvalidInput | None:
    """Why a cell that does not encode cannot be used; None where it can."""
    byte = undecoded_byte(cell)
    if byte is not None:
        return InvalidInput(rules.NOT_TEXT, column=column, byte=byte, encoding=encoding.upper())
    if DIGITS_LOST in cell:
        return InvalidInput(rules.DIGITS_LOST, column=column)
    if ERROR_CELL in cell:
        return InvalidInput(rules.CELL_ERROR, column=column, error=cell.rstrip(ERROR_CELL))
    if CUT in cell:
        return InvalidInput(rules.ROW_TOO_LONG, limit=MAX_LINE_CHARACTERS)
    return None


def tidy(text: str) -> str:
    """A header without white space and byte order marks around it; headers are names, not data."""
    return text.strip().strip("\ufeff\u200b").strip()


def unreadable(path: Path, error: OSError) -> SettingsError:
    """The error for an input that cannot be read."""
    return SettingsError(rules.NO_INPUT, path=str(path), reason=error.strerror or str(error))


def file_size(path: Path) -> int:
    """Bytes of an ordinary file. Raises :class:`SettingsError` for anything else."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(rules.NO_INPUT, path=str(path), reason="not an ordinary file")
    return status.st_size


def no_text(path: Path) -> InvalidInput:
    """The error for a file without any content."""
    return InvalidInput(rules.NO_HEADER, path=str(path), reason="it is empty", reason_zh="文件为空")
