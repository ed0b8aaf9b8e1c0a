"""NDJSON as it comes: bytes cut into blocks of whole lines, and these read as writes. No sockets.

A block of ordinary lines is read as a whole, with few calls for each line; where anything is out of the ordinary, each
line is looked at by itself. Both ways read the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from protocol.errors import BiaoshiError, InvalidInput
from protocol.limits import MAX_TYPE_CHARACTERS
from protocol.records import encode_plain_values
from registry.api.items import Item, SeriesItem, WriteItem, item_write
from registry.api.reading import check_keys
from registry.api.rules import BAD_LINE, LONG_LINE, MAX_LINE_BYTES, MAX_REASON_CHARACTERS
from registry.store.writes import ABSENT, ANY

BLOCK_BYTES: Final = 2 * MAX_LINE_BYTES
"""Bytes of lines that make one durable step: some 3,000 records, 20 ms of work during which nobody else is answered."""

MAX_BLOCK_LINES: Final = 10_000
"""Lines of one durable step, as natively; and refusals that are held at one time, should all of them be wrong."""

_SHOWN_CHARACTERS: Final = 200
_SPACES: Final = (b" :", b"\t:", b"\r:", b"\n:")


class _PlainValue(msgspec.Struct, forbid_unknown_fields=True):
    index: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)]
    data: str


class _PlainItem(msgspec.Struct, forbid_unknown_fields=True):
    identifier: str
    values: list[_PlainValue]


_decode_plain: Final = msgspec.json.Decoder(_PlainItem).decode_lines
_decode_item: Final = msgspec.json.Decoder(Item).decode


class Refusal(NamedTuple):
    """A line that cannot be used: its number, counted from 1, the identifier as far as it can be read, and why."""

    line: int
    identifier: str
    error: BiaoshiError


class Block(NamedTuple):
    """The writes of some lines, the number of the line of each, and the lines that are none."""

    items: list[WriteItem | SeriesItem]
    lines: Sequence[int]
    refused: list[Refusal]


class Lines(NamedTuple):
    """Whole lines from number ``first`` to number ``last``, and among them one that was too long to be kept."""

    first: int
    last: int
    text: bytes
    refused: list[Refusal]


class LineBlocks:
    """A stream of bytes, cut behind ends of lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._skips = False  # inside of a line that is too long
        self._backlog = False  # there were more lines than were taken
        self._next = 1  # the number of the line that comes next

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        if self._skips:
            end = data.find(b"\n") + 1
            if not end:
                return
            self._skips = False
            self._next += 1
            data = data[end:]
        self._parts.append(data)
        self._size += len(data)

    @property
    def is_due(self) -> bool:
        """Whether there is enough to be taken."""
        return self._backlog or self._size >= BLOCK_BYTES

    @property
    def has_lines(self) -> bool:
        """Whether there is a whole line."""
        return any(b"\n" in part for part in self._parts)

    def take(self) -> Lines:
        """The whole lines that are there, as far as they make one block."""
        joined = b"".join(self._parts)
        end = joined.rfind(b"\n") + 1
        self._backlog = joined.count(b"\n") > MAX_BLOCK_LINES
        if self._backlog:
            end = len(joined) - len(joined.split(b"\n", MAX_BLOCK_LINES)[-1])
        first, text, rest = self._next, joined[:end], joined[end:]
        self._next += text.count(b"\n")
        refused: list[Refusal] = []
        if not self._backlog and len(rest) > MAX_LINE_BYTES:
            refused.append(Refusal(self._next, shown(rest), InvalidInput(LONG_LINE, limit=MAX_LINE_BYTES)))
            self._skips, rest = True, b""
        self._parts, self._size = [rest], len(rest)
        return Lines(first, self._next - 1, text, refused)

    def end(self) -> Lines:
        """What is left when all whole lines were taken and no more comes: a last line without its end."""
        text = b"".join(self._parts)
        return Lines(self._next, self._next - (not text and not self._skips), text, [])


def read_block(block: bytes, first: int, *, update: bool) -> Block:
    """Read whole lines, of which ``first`` is the number of the first one."""
    compare = ANY if update else ABSENT
    block = block.replace(b"\r\n", b"\n") if b"\r" in block else block
    items = _read_quickly(block, compare)
    if items is not None:
        return Block(items, range(first, first + len(items)), [])
    read = Block([], lines := [], [])
    for number, line in _numbered(block, first):
        try:
            item = _read_line(line)
            read.items.append(item_write(item, update=update))
            lines.append(number)
        except BiaoshiError as error:
            # Without what it came about in: that has the block in it, which would stay until cycles are looked for.
            error.__traceback__ = error.__context__ = None
            read.refused.append(Refusal(number, shown(line), error))
    return read


def _read_quickly(block: bytes, compare: int | None) -> list[WriteItem | SeriesItem] | None:
    """The writes of a block in which each line is a plain record; None where something is not so."""
    # Between two objects there is an end of a line, and nowhere else: so line numbers are right. Within a string there
    # is none, as JSON has control characters escaped there.
    count = block.count(b"}\n")
    if not block.endswith(b"}\n") or block.count(b"\n") != count or block.count(b"\n{") != count - 1:
        return None
    try:
        items = _decode_plain(block)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # As many keys as there must be, so none stands twice. What looks like one inside of a text makes it more, and
    # what could hide one is not here.
    keys = 2 * count + 3 * sum([len(item.values) for item in items])
    if len(items) != count or block.count(b'":') != keys or any(space in block for space in _SPACES):
        return None
    return [
        (
            item.identifier.encode(),
            compare,
            encode_plain_values([(value.index, value.type, value.data.encode()) for value in item.values]),
        )
        for item in items
    ]


def _numbered(block: bytes, first: int) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(block.split(b"\n"), start=first):
        if line and not line.isspace():
            yield number, line


def _read_line(line: bytes) -> Item:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidInput(LONG_LINE, limit=MAX_LINE_BYTES)
    try:
        item = _decode_item(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(BAD_LINE, reason=str(error)[:MAX_REASON_CHARACTERS]) from None
    check_keys(line)
    return item


def shown(line: bytes) -> str:
    """The identifier of a line or, where there is none to be read, its beginning."""
    try:
        named = msgspec.json.decode(line, type=_Named)
        found = named.identifier if named.identifier is not None else named.series
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    text = found if found is not None else line[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").strip()
    return text[:_SHOWN_CHARACTERS]


class _Named(msgspec.Struct):
    identifier: str | None = None
    series: str | None = None
