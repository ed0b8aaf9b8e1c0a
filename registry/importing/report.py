"""The report of refused rows: row number, identifier, reason and rule, as CSV that a Chinese Excel opens.

While the import works the report grows in the work directory, where it can be cut back to the length that the last
checkpoint made durable. When all is done it is put in the order of the rows and moved to where the person wants it.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import shutil
from pathlib import Path
from typing import Final

from protocol.errors import SettingsError
from registry.importing import rules
from registry.importing.sorting import sync_directory

HEADERS: Final = {"en": ("row", "identifier", "reason", "rule"), "zh": ("行号", "标识", "原因", "规则")}

SORTED_BYTES: Final = 64 << 20
"""Bytes of a report up to which it is put in the order of the rows; a longer one stays in the order of finding."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which a spreadsheet takes a text for a formula; it must not run what a file brought in."""

_SHOWN_CHARACTERS: Final = 500


class Report:
    """The growing report at ``path``, of which the first ``length`` bytes are known to be right.

    Raises ``OSError`` where the file cannot be written.
    """

    def __init__(self, path: Path, length: int, language: str) -> None:
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(length)
        self._file.seek(length)
        self._durable = length
        if not length:
            self._file.write(codecs.BOM_UTF8 + _line(HEADERS[language]))

    def add(self, row: int, identifier: str, reason: str, rule: str) -> None:
        """Note one refused row."""
        shown = identifier[:_SHOWN_CHARACTERS]
        if shown.startswith(_FORMULA):
            shown = "'" + shown
        self._file.write(_line((str(row), shown, reason, rule)))

    @property
    def length(self) -> int:
        """Bytes noted so far."""
        return self._file.tell()

    def sync(self) -> int:
        """Make what was noted durable; the length in bytes up to which it is."""
        length = self.length
        if length != self._durable:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._durable = length
        return length

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def check_target(path: Path) -> None:
    """See that nothing but an older report would be replaced. Raises :class:`SettingsError`."""
    heads = tuple(codecs.BOM_UTF8 + _line(header) for header in HEADERS.values())
    try:
        with path.open("rb") as file:
            head = file.read(max(map(len, heads)))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(rules.FILES, path=str(path), reason=error.strerror or str(error)) from None
    if head and not head.startswith(heads):
        raise SettingsError(rules.NOT_A_REPORT, path=str(path))


def publish(work: Path, target: Path) -> None:
    """Put the finished report ``work`` durably at ``target``, sorted by row; may be done again after a crash."""
    temporary = target.with_name(f".{target.name}.tmp")
    with work.open("rb") as source, temporary.open("wb") as out:
        if work.stat().st_size <= SORTED_BYTES:
            header, *lines = csv.reader(io.StringIO(source.read().decode("utf-8-sig"), newline=""))
            lines.sort(key=lambda line: int(line[0]))
            out.write(codecs.BOM_UTF8)
            out.writelines(map(_line, (header, *lines)))
        else:
            shutil.copyfileobj(source, out)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(target)
    sync_directory(target.parent)


def _line(cells: tuple[str, ...] | list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    # Line ends inside a cell stay, since they are quoted; lone surrogates cannot be written.
    return text.getvalue().encode("utf-8", "replace")
