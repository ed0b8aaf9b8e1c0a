"""The audit log in a store: system records by number, read from the first to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from protocol.errors import Rule, StoreError
from protocol.status import Status
from registry.audit.chain import Entry, Link, decode_entry, encode_entry, first_link, follow
from registry.store.shelf import Reading
from registry.store.system import read_system, system_identifier, system_write
from registry.store.writes import ABSENT, Write

AUDIT: Final = b"\x01audit"
ENTRY: Final = "ENTRY"
LINK: Final = "LINK"

VOID: Final = "audit.void"
"""The action of an entry that takes back another: what that tells of was never carried out."""

TOGETHER: Final = 1_000
"""Entries that are read together: a few milliseconds, and half a megabyte."""

_DIGITS: Final = 16
_NUMBERS: Final = 1 << 60

NO_ENTRY: Final = Rule(
    "audit.no-entry",
    Status.STORE_FAILED,
    "entry {number} of the audit log is missing or damaged in the store",
    "存储中审计日志第 {number} 条缺失或已损坏",
)


class KeptEntry(NamedTuple):
    """An entry's bytes and the link behind it, as they are stored."""

    raw: bytes
    link: bytes


def entry_name(number: int) -> str:
    """The name of an entry's record: names are in the order of numbers."""
    return f"{number:0{_DIGITS}x}"


def entry_write(link: Link, entry: Entry) -> tuple[Write, Link]:
    """The write that keeps ``entry`` behind ``link``, and the link behind it."""
    raw = encode_entry(entry)
    behind = follow(link, raw)
    return system_write(AUDIT, entry_name(entry.number), {ENTRY: raw, LINK: behind.link}, ABSENT), behind


def find_entry(find: Callable[[bytes], bytes | None], number: int) -> KeptEntry | None:
    """An entry; None where the log does not go so far. Raises :class:`StoreError`."""
    _, contents = read_system(find(system_identifier(AUDIT, entry_name(number))))
    return None if contents is None else _kept(number, contents)


def find_end(find: Callable[[bytes], bytes | None], zone: str) -> Link:
    """Where the log ends, found by some forty looks: there are no gaps in it."""

    def is_there(number: int) -> bool:
        return find(system_identifier(AUDIT, entry_name(number))) is not None

    above = 1
    while above < _NUMBERS and is_there(above - 1):
        above *= 2
    below = above // 2
    while below < above:
        middle = (below + above) // 2
        if is_there(middle):
            below = middle + 1
        else:
            above = middle
    if not below:
        return first_link(zone)
    last = find_entry(find, below - 1)
    if last is None:
        raise StoreError(NO_ENTRY, number=below - 1)
    return Link(below, last.link)


def kept_entries(store: Reading, start: int = 0, together: int = TOGETHER) -> Iterator[KeptEntry]:
    """All entries from number ``start`` on, read some ``together``. What is not an entry, or not active, comes as one
    that no chain accepts."""
    cursor = system_identifier(AUDIT, entry_name(start - 1)) if start else None
    while True:
        page = store.scan(AUDIT.decode(), cursor, together)
        for found in page.entries:
            contents = read_system(found.body)[1] or {}
            yield KeptEntry(contents.get(ENTRY, b""), contents.get(LINK, b""))
        cursor = page.cursor
        if cursor is None:
            return


def unfinished(find: Callable[[bytes], bytes | None], end: Link) -> list[Entry]:
    """Entries at the end of the log that tell of changes which are not there: a store that is atomic by single records
    may have stopped between an entry and its change. The record's version tells."""
    found: list[Entry] = []
    void: set[str] = set()
    for number in range(end.number - 1, -1, -1):
        kept = find_entry(find, number)
        if kept is None:
            raise StoreError(NO_ENTRY, number=number)
        entry = decode_entry(kept.raw, number)
        if entry.action == VOID:
            void.add(entry.details.get("entry", ""))
        elif read_system(find(b"\x01" + entry.record.encode()))[0] >= entry.version:
            break
        elif str(number) not in void:
            found.append(entry)
    return found[::-1]


def _kept(number: int, contents: dict[str, bytes]) -> KeptEntry:
    try:
        return KeptEntry(contents[ENTRY], contents[LINK])
    except KeyError:
        raise StoreError(NO_ENTRY, number=number) from None
