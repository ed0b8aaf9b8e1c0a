"""What the store's tests build and compare with: writes, and the whole content of a store."""

from __future__ import annotations

import random
from typing import Final

import msgpack

from protocol.kept import decode_kept, encode_data
from protocol.records import (
    DEFAULT_PERMISSIONS,
    Permission,
    Record,
    State,
    Value,
    decode_body,
    encode_body,
    encode_values,
    split_body,
)
from protocol.templates import Item, Template
from registry.store.allotments import ALLOTMENTS, DATA, Stage
from registry.store.interface import Entry, Reader, Store
from registry.store.system import DELEGATIONS, is_system, system_write
from registry.store.templates import stored_template, template_identifier
from registry.store.writes import ANY, Outcome, Write

ADMIN_ONLY: Final = Permission.ADMIN_READ | Permission.ADMIN_WRITE


def values(text: str = "https://example.com/", permissions: int = DEFAULT_PERMISSIONS) -> bytes:
    """The encoded values of a record with one value."""
    return encode_values([Value(1, "URL", text.encode(), permissions=permissions)])


def product(number: int) -> bytes:
    """The encoded values of a record as the field has them: much in common with its neighbours."""
    return encode_values([
        Value(1, "URL", f"https://trace.example.com/products/{number:012d}".encode()),
        Value(2000, "PRODUCT_NAME", f"planetary gear reducer PX-{number % 7}".encode()),
        Value(2001, "BATCH", f"2023-11-{number % 28 + 1:02d}".encode()),
    ])  # fmt: skip


def machine(number: int) -> bytes:
    """The encoded values of a record that has nothing in common with :func:`product`."""
    draw = random.Random(number)
    return encode_values([
        Value(3000 + i, f"SENSOR{draw.randrange(4)}", b"\x01\x02\x03\x04" * 6 + draw.randbytes(2)) for i in range(4)
    ])  # fmt: skip


def noise(seed: int, length: int) -> bytes:
    """The encoded values of a record that does not compress."""
    return encode_values([Value(1, "BLOB", random.Random(seed).randbytes(length))])


def template(prefix: str = "88.1", version: int = 1, page: str = "https://example.com/{suffix}") -> Template:
    """A template with an item of each kind: for everybody, not for everybody, for readers, computed."""
    return Template(prefix, version, "pump", "C34", (
        Item(index=2000, name="NAME", ttl=60, indexed=True), Item(index=2001, name="COST", permissions=int(ADMIN_ONLY)),
        Item(index=2002, name="PARTNER", readers=("*",)),
        Item(index=2003, name="PAGE", value_type="URL", computed=page), Item(index=2004, name="LOT"),
    ))  # fmt: skip


def templated(text: str = "pump", version: int = 1) -> bytes:
    """The encoded values of a record that follows :func:`template`."""
    return encode_data(version, [(2000, text.encode()), (2001, b"9.5"), (2002, b"secret"), (2004, b"B2311")])


def answered(identifier: bytes, body: bytes, records: dict[bytes, bytes]) -> Record:
    """What anybody may see of an active record; ``records`` has its template, where it follows one."""
    kept = decode_kept(body)
    if not kept.template:
        return decode_body(body)._replace(values=tuple(value for value in kept.values if value.public))
    prefix, _, suffix = identifier.decode().partition("/")
    _, known = stored_template(records[template_identifier(prefix, kept.template)])
    assert known is not None
    data = dict(kept.data)
    data |= {one.index: one.computed.format(suffix=suffix).encode() for one in known.items if one.computed}
    shown = [one for one in known.items if one.index in data and one.permissions & 2 and not one.readers]
    values = [Value(one.index, one.value_type or one.name, data[one.index], one.ttl) for one in shown]
    return Record(kept.version, kept.state, kept.time, tuple(values))


def put(identifier: str, content: bytes | None = None, compare: int | None = ANY) -> Write:
    """A registration or update for everybody to read."""
    return Write(identifier.encode(), compare, values() if content is None else content, restricted=False)


def withdraw(identifier: str, compare: int | None = ANY) -> Write:
    """A withdrawal."""
    return Write(identifier.encode(), compare, None, restricted=False)


def delegate(child: str, statement: bytes = b"statement", compare: int | None = ANY) -> Write:
    """A delegation as the registry keeps it."""
    return system_write(DELEGATIONS, child, {"DELEGATION": statement}, compare)


def revoke(child: str) -> Write:
    """The revocation of it."""
    return system_write(DELEGATIONS, child, None)


def allot(prefix: str, stage: Stage) -> Write:
    """An allotment of a prefix that stands so, as much of it as the store looks at."""
    return system_write(ALLOTMENTS, prefix, {DATA: msgpack.packb([1, int(stage), "rest"])})


def ascending(prefix: str, numbers: range, compare: int | None = ANY) -> list[Write]:
    """Registrations of one prefix for a bulk load."""
    return [put(f"{prefix}/N{number:06d}", product(number), compare) for number in numbers]


def versions(outcomes: list[Outcome]) -> list[int]:
    """The versions of outcomes that are all a success."""
    assert {outcome.status for outcome in outcomes} <= {0}
    return [outcome.version for outcome in outcomes]


def everything(store: Reader, prefix: str = "", limit: int = 1_000) -> dict[bytes, bytes]:
    """All records of a prefix and below it, page by page, in their order."""
    found: list[Entry] = []
    cursor: bytes | None = None
    while True:
        page = store.scan(prefix, cursor, limit)
        assert len(page.entries) <= limit
        assert page.entries or page.cursor is None, "a page that goes on has entries"
        found += page.entries
        cursor = page.cursor
        if cursor is None:
            break
    assert len(dict(found)) == len(found), "no record twice"
    return dict(found)


def follow(store: Reader, replica: dict[bytes, bytes], cursor: bytes | None = None, limit: int = 1_000) -> bytes:
    """Apply the feed to a replica, page by page, to its end; the cursor for next time."""
    while True:
        page = store.feed(cursor, limit)
        assert len(page.entries) <= limit
        assert page.entries or not page.more, "a page that goes on has entries"
        assert page.cursor != cursor or not page.more, "a page that goes on moves the cursor"
        replica.update(page.entries)
        cursor = page.cursor
        if not page.more:
            return cursor


def check_agreement(store: Reader) -> dict[bytes, bytes]:
    """Whatever was written: lists, feed, reads and counts tell the same story. Gives all records."""
    records = everything(store)
    assert list(records) == sorted(records, key=lambda identifier: identifier.partition(b"/")[::2])
    replica: dict[bytes, bytes] = {}
    cursor = follow(store, replica)
    assert replica == records
    assert store.feed(cursor, 10) == ([], cursor, False)
    active: dict[str, int] = {}
    delegated: list[str] = []
    for identifier, body in records.items():
        prefix = identifier.partition(b"/")[0].decode()
        if not is_system(identifier):
            active[prefix] = active.get(prefix, 0) + (split_body(body).state is State.ACTIVE)
        elif prefix == DELEGATIONS.decode() and split_body(body).state is State.ACTIVE:
            delegated.append(identifier.partition(b"/")[2].decode())
    assert store.counts().active == active
    bodies = store.get_many(list(records))
    assert bodies[::7] == [store.get(identifier) for identifier in list(records)[::7]]
    for (identifier, body), public in zip(records.items(), bodies, strict=True):
        prefix = identifier.partition(b"/")[0].decode()
        closed = is_system(identifier) or any(f"{prefix}.".startswith(f"{child}.") for child in delegated)
        assert (public is None) == (split_body(body).state is not State.ACTIVE or closed)
        if public is not None:
            shown = answered(identifier, body, records)
            encoded = encode_values(shown.values) if shown.values else b"\x90"
            assert public == encode_body(shown.version, shown.state, shown.time, encoded)
    return records


def load_in_steps(store: Store, writes: list[Write], now: int, step: int = 2_000) -> None:
    """Bulk load more than one batch."""
    for start in range(0, len(writes), step):
        store.bulk_load(writes[start : start + step], now)
