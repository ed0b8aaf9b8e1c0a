"""Another process that follows a growing store: ``python follower.py PATH``, until a record ``…/END`` comes.

It takes the feed page by page, looks at random at what it has seen before, and compares every body with what it must
be. Says ``following`` when it has the first page, and in the end how many changes it took.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from protocol.records import State, check_values, decode_body, public_body
from registry.store.lmdb.layout import open_tables
from registry.store.lmdb.reader import LmdbReader
from tests.registry.store.builders import noise

SMALL_MAP: int = 1 << 20
PREFIX: str = "88.1"
END: bytes = b"88.1/END"


def name(number: int) -> bytes:
    """The identifier of a record."""
    return b"%s/N%08d" % (PREFIX.encode(), number)


def content(number: int, version: int) -> bytes:
    """The encoded values of a record in a version: they do not compress, and no two are alike."""
    return noise(number << 16 | version, 1_900)


def check(identifier: bytes, body: bytes) -> int:
    """Compare a body with what it must be; its version."""
    number = int(identifier[-8:])
    record = decode_body(body)
    withdrawn = record.state is State.WITHDRAWN
    expected = () if withdrawn else tuple(check_values(content(number, record.version)))
    assert record.values == expected, identifier
    return record.version


def follow(path: Path) -> None:
    """Follow the store to its end."""
    reader = LmdbReader(path, open_tables(path, writable=False, map_bytes=SMALL_MAP))
    draw = random.Random()
    versions: dict[bytes, int] = {}
    cursor: bytes | None = None
    taken = pages = 0
    while END not in versions:
        page = reader.feed(cursor, 500)
        cursor = page.cursor
        for identifier, body in page.entries:
            if identifier == END:
                versions[END] = 1
                continue
            version = check(identifier, body)
            assert version >= versions.get(identifier, 0), "a record never goes back"
            versions[identifier] = version
        taken += len(page.entries)
        known = [one for one in draw.sample(sorted(versions), min(40, len(versions))) if one != END]
        for identifier, public in zip(known, reader.get_many(known), strict=True):
            whole = reader.find(identifier)
            assert whole is not None
            assert check(identifier, whole) >= versions[identifier]
            assert public == (public_body(whole) if decode_body(whole).state is State.ACTIVE else None)
        reader.rest()
        pages += 1
        if pages == 1:
            print("following", flush=True)
        if not page.entries:
            time.sleep(0.01)
    print("followed", taken, len(versions), flush=True)
    reader.close()


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
