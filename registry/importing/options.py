"""What a person may choose about an import, and the bounds within which it works."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocol.errors import InvalidInput
from protocol.limits import MAX_WRITES
from protocol.templates import Template
from registry.importing import rules

FORMATS: Final = ("csv", "ndjson", "xlsx")
ENCODINGS: Final = ("utf-8", "gb18030")
DELIMITERS: Final = (",", ";", "\t")
LANGUAGES: Final = ("en", "zh")

_SIGNS: Final = {",": "','", ";": "';'", "\t": "tab"}


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The choices that decide what is imported and how; None leaves a choice to the program.

    An interrupted import continues only under the same choices. ``columns`` holds texts ``HEADER=TYPE``,
    ``HEADER=TYPE:INDEX`` or ``HEADER=`` (leave out). ``prefix`` stands before bare suffixes in the identifier column.
    With a ``template`` the records follow it, and the columns are its items: ``HEADER=ITEM``, by name or index.
    ``update`` writes whatever is there, otherwise a registered identifier with other content is refused. ``check_only``
    maps, sorts and reports, and writes nothing. ``language`` is that of the report. Raises :class:`InvalidInput`.
    """

    format: Literal["csv", "ndjson", "xlsx"] | None = None
    encoding: Literal["utf-8", "gb18030"] | None = None
    delimiter: Literal[",", ";", "\t"] | None = None
    sheet: str | None = None
    columns: tuple[str, ...] = ()
    identifier_column: str | None = None
    prefix: str | None = None
    template: Template | None = None
    update: bool = False
    check_only: bool = False
    language: Literal["en", "zh"] = "en"

    def __post_init__(self) -> None:
        # The types say so too, but the texts come from a command line.
        for option, value, choices in (
            ("format", self.format, FORMATS),
            ("encoding", self.encoding, ENCODINGS),
            ("delimiter", self.delimiter, DELIMITERS),
            ("language", self.language, LANGUAGES),
        ):
            if value is not None and value not in choices:
                shown = ", ".join(_SIGNS.get(choice, choice) for choice in choices)
                raise InvalidInput(rules.BAD_OPTION, option=option, value=str(value), choices=shown)


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that trade memory and latency for speed; none of them changes the outcome, all may change on resuming.

    A batch is what goes to the registry at once; ``in_flight`` of them may be unanswered. A run is sorted in
    memory and spilled, a block is what is read back at once, and a partition is what is merged at once. Bytes are
    those of the data, Python's own cost of about 40 bytes a row comes on top.
    """

    batch_rows: int = 5_000
    batch_bytes: int = 900_000  # leaves room for the frame in protocol.limits.MAX_MESSAGE_BYTES
    in_flight: int = 4
    run_rows: int = 500_000
    run_bytes: int = 64 << 20
    block_rows: int = 512
    block_bytes: int = 256 << 10
    partition_rows: int = 50_000
    partition_bytes: int = 16 << 20
    checkpoint_seconds: float = 0.5  # between durable checkpoints while loading

    def __post_init__(self) -> None:
        whole = (name for name in self.__struct_fields__ if name != "checkpoint_seconds")
        if any(getattr(self, name) < 1 for name in whole) or self.batch_rows > MAX_WRITES:
            raise ValueError(f"sizes of an import are at least 1, a batch has at most {MAX_WRITES} rows: {self}")
