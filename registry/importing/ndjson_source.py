"""NDJSON: one JSON object per line, read as a stream. Rows are numbered like lines, from 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from protocol.errors import InvalidInput
from registry.importing import rules
from registry.importing.encodings import SAMPLE_BYTES, detect
from registry.importing.options import ImportOptions
from registry.importing.sources import (
    BLOCK_BYTES,
    MAX_LINE_CHARACTERS,
    Position,
    Refuse,
    file_size,
    no_text,
    unreadable,
)

_SHOWN_BYTES: Final = 200
"""Bytes of a broken line that stand for its identifier in the report."""

VALUES: Final = "values"
"""The key whose list holds the values of a line in the whole shape."""

TEMPLATE: Final = "template"
"""The key beside it, with the version of the template that they follow."""
SERIES: Final = "series"
"""The key whose text is the pattern of a series, in the whole shape in place of an identifier."""

_IDENTIFIER: Final = "identifier"
"""The key of a file that has series only."""

decode_object: Final = msgspec.json.Decoder(dict[str, object], float_hook=str).decode
"""One line to an object. Numbers with a point or an exponent stay the text that they were."""


class NdjsonSource:
    """An NDJSON file. Raises :class:`InvalidInput` where no line among the first ones is an object,
    :class:`SettingsError` for an unreadable file."""

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self.path = path
        self._total = file_size(path)
        self._done = 0
        encoding = detect(path, options.encoding)
        self.encoding = encoding.name
        self._mark = encoding.mark
        self.header_row = 0  # every line has its own keys
        self.header = self._first_keys()

    def rows(self, refuse: Refuse, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, as UTF-8; whether they are JSON is for the mapping to see."""
        transcode = self.encoding != "utf-8"
        row = 0
        try:
            with self.path.open("rb", buffering=BLOCK_BYTES) as file:
                file.seek(self._mark)
                self._done = self._mark
                while line := file.readline(MAX_LINE_CHARACTERS):
                    row += 1
                    self._done += len(line)
                    whole = len(line) < MAX_LINE_CHARACTERS or line.endswith(b"\n")
                    rest = line
                    while rest and not rest.endswith(b"\n") and not whole:
                        rest = file.readline(MAX_LINE_CHARACTERS)
                        self._done += len(rest)
                    if row <= after or line.isspace():
                        continue
                    if not whole:
                        refuse(row, self._shown(line), InvalidInput(rules.ROW_TOO_LONG, limit=MAX_LINE_CHARACTERS))
                        continue
                    if transcode:
                        try:
                            line = line.decode(self.encoding).encode()
                        except UnicodeDecodeError as error:
                            refuse(row, self._shown(line), self._not_text(line[error.start]))
                            continue
                    yield row, line
        except OSError as error:
            raise unreadable(self.path, error) from None

    def position(self) -> Position:
        """Bytes read."""
        return Position(self._done, self._total, "bytes")

    def _first_keys(self) -> tuple[str, ...]:
        found: tuple[str, ...] | None = None
        faults: list[InvalidInput] = []
        for _, line in self.rows(lambda row, identifier, fault: faults.append(fault)):
            try:
                row = decode_object(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                reason = str(error)
            else:
                if not is_series_row(row):
                    whole = {VALUES, TEMPLATE} if isinstance(row.get(VALUES), list) else set()
                    return tuple(key for key in row if key not in whole)
                found = (_IDENTIFIER,)
            if found is None and self._done > SAMPLE_BYTES:
                raise InvalidInput(rules.NO_HEADER, path=str(self.path), reason=reason, reason_zh=reason)
        if found is not None:
            return found
        raise faults[0] if faults else no_text(self.path)

    def _shown(self, line: bytes) -> str:
        return line[:_SHOWN_BYTES].decode(self.encoding, "replace").strip()

    def _not_text(self, byte: int) -> InvalidInput:
        return InvalidInput(rules.NOT_TEXT, column="?", byte=f"{byte:02X}", encoding=self.encoding.upper())


def is_series_row(row: dict[str, object]) -> bool:
    """Whether a line is a series in the whole shape, as an export writes it."""
    return isinstance(row.get(SERIES), str) and isinstance(row.get(VALUES), list)
