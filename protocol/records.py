"""Values and records, and their canonical bytes.

A record's *body* is what the store keeps, the wire carries and a seal covers, the same bytes in all three
places, so that nothing is encoded again between disk and client::

    body   = [version, state, time, values]      MessagePack array of 4
    values = [value, ...]                        in the order they were registered
    value  = [index, type, data, ttl, permissions, timestamp, readers]

``version`` counts the changes of this record from 1. ``state`` is 0 (active), 1 (withdrawn) or 2 (suspended). ``time``
is when the registry accepted this version, in seconds since 1970 UTC. In a value, ``data`` is binary and trailing
elements that have their default are left out: ``ttl`` 86,400 s, ``permissions`` 0b1110, ``timestamp`` the record's
``time`` (written as 0), ``readers`` none. The value model is the Handle System's (RFC 3651, section 3.1), but for
``readers``: those who may read a value that is not for everybody, each an identity or a group by its identifier, a
prefix for every identity named below it, or ``*`` for whoever proves to be somebody.

Encoders write the shortest MessagePack form of everything, so that equal content has equal bytes; a decoder
takes any form that MessagePack allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import msgspec

from protocol.errors import IdentifierError, RecordError, Rule
from protocol.identifiers import covers, normal_prefix_text, normal_text
from protocol.limits import (
    DEFAULT_TTL_SECONDS,
    MAX_DATA_BYTES,
    MAX_IDENTIFIER_BYTES,
    MAX_READERS,
    MAX_RECORD_BYTES,
    MAX_TTL_SECONDS,
    MAX_TYPE_CHARACTERS,
    MAX_VALUES,
)
from protocol.status import Status


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"record.{name}", Status.BAD_RECORD, en, zh)


MALFORMED: Final = _rule("malformed", "these bytes are no record: {reason}", "字节内容不是合法的记录：{reason}")
NO_VALUES: Final = _rule("no-values", "a record needs at least one value", "记录至少要有一个值")
SAME_INDEX: Final = _rule("same-index", "two values have the index {index}", "有两个值使用了同一索引 {index}")
TOO_MANY_VALUES: Final = _rule(
    "too-many-values",
    "the record has {count} values; at most {limit} are allowed",
    "记录有 {count} 个值，超过上限 {limit} 个",
)
TOO_LARGE: Final = _rule(
    "too-large",
    "the record has {length} bytes; at most {limit} are allowed",
    "记录长度为 {length} 字节，超过上限 {limit} 字节",
)
BAD_READER: Final = _rule(
    "bad-reader",
    "the value with index {index} names '{reader}' as a reader; a reader is an identity or group (an identifier), a "
    "prefix, or *, in normal form and once",
    "索引为 {index} 的值的可读者“{reader}”不合法：应为规范形式的身份或身份组标识、前缀或 *，且不重复",
)


class State(IntEnum):
    """Whether a record answers. Numbers are on the wire."""

    ACTIVE = 0
    WITHDRAWN = 1
    SUSPENDED = 2
    """Kept with its values, and not shown until it is resumed."""


NOT_SHOWN: Final = {State.WITHDRAWN: Status.WITHDRAWN, State.SUSPENDED: Status.SUSPENDED}
"""What is answered for a record that is not shown, by its state."""


class Permission(IntEnum):
    """Permission bits of a value (RFC 3651, section 3.1)."""

    PUBLIC_WRITE = 1
    PUBLIC_READ = 2
    ADMIN_WRITE = 4
    ADMIN_READ = 8


ANYBODY: Final = "*"
"""The reader that stands for whoever proves to be somebody."""

DEFAULT_PERMISSIONS: Final = Permission.ADMIN_READ | Permission.ADMIN_WRITE | Permission.PUBLIC_READ


class Value(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One value of a record.

    ``index`` is unique within the record, 1 to 4,294,967,295; ``ttl`` is in seconds, ``timestamp`` in seconds since
    1970 UTC, 0 for the record's own time; ``readers`` are names in normal form.
    """

    index: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)]
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_DATA_BYTES)]
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] = DEFAULT_TTL_SECONDS
    permissions: Annotated[int, msgspec.Meta(ge=0, le=15)] = DEFAULT_PERMISSIONS
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)] = 0
    readers: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDENTIFIER_BYTES)], ...],
        msgspec.Meta(max_length=MAX_READERS),
    ] = ()

    @property
    def text(self) -> str:
        """The data as text; bytes that are not UTF-8 show as U+FFFD."""
        return self.data.decode("utf-8", "replace")

    @property
    def public(self) -> bool:
        """Whether anybody may read it."""
        return bool(self.permissions & Permission.PUBLIC_READ) and not self.readers


class Record(NamedTuple):
    """What an identifier resolves to. ``time`` is in seconds since 1970 UTC."""

    version: int
    state: State
    time: int
    values: tuple[Value, ...]

    def find(self, type_: str) -> Value | None:
        """The first value of a type, compared exactly; None where there is none."""
        return next((value for value in self.values if value.type == type_), None)


class Head(NamedTuple):
    """A body taken apart without decoding its values."""

    version: int
    state: State
    time: int
    values: bytes


class _WireRecord(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1)]
    state: State
    time: Annotated[int, msgspec.Meta(ge=0)]
    values: Annotated[tuple[Value, ...], msgspec.Meta(max_length=MAX_VALUES)]


class _WireHead(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1)]
    state: State
    time: Annotated[int, msgspec.Meta(ge=0)]
    values: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[Value]).decode
_decode_marked = msgspec.msgpack.Decoder(list[tuple[Value, ...] | bytes]).decode
_decode_record = msgspec.msgpack.Decoder(_WireRecord).decode
_decode_head = msgspec.msgpack.Decoder(_WireHead).decode

_NOT_ALL: Final = "not all of them are one array of values each"

NO_VALUES_BYTES: Final = b"\x90"
"""The encoded values of a withdrawn record, and of what is said of a suspended one: an empty array."""


def encode_values(values: Sequence[Value]) -> bytes:
    """The bytes of ``values``, checked. Raises :class:`RecordError`."""
    try:
        encoded = _encode([without_defaults(value) for value in values])
    except (OverflowError, UnicodeEncodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    check_values(encoded)
    return encoded


def encode_plain_values(values: Iterable[tuple[int, str, bytes]]) -> bytes:
    """The bytes of ``(index, type, data)`` values with default attributes, not checked: for bulk, where the
    caller has checked its columns once and the registry checks every row again."""
    return _encode(values)


def check_values(encoded: bytes) -> list[Value]:
    """Decode the values of a record to be written; at least one, indexes unique. Raises :class:`RecordError`."""
    if len(encoded) > MAX_RECORD_BYTES:
        raise RecordError(TOO_LARGE, length=len(encoded), limit=MAX_RECORD_BYTES)
    try:
        values = _decode_values(encoded)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    if not values:
        raise RecordError(NO_VALUES)
    if len(values) > MAX_VALUES:
        raise RecordError(TOO_MANY_VALUES, count=len(values), limit=MAX_VALUES)
    if len({value.index for value in values}) != len(values):
        raise RecordError(SAME_INDEX, index=_first_repeated(values))
    for value in values:
        if value.readers:
            _check_readers(value)
    return values


def are_public(encoded: bytes) -> bool:
    """The same check, and whether everybody may read all of them: for batches of records that are not alike."""
    if len(encoded) > MAX_RECORD_BYTES:
        raise RecordError(TOO_LARGE, length=len(encoded), limit=MAX_RECORD_BYTES)
    try:
        values = _decode_values(encoded)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    public = {value.index: value.permissions & 2 and not value.readers for value in values}
    if not 0 < len(public) == len(values) <= MAX_VALUES:
        check_values(encoded)  # raises, and says why
    if all(public.values()):
        return True
    for value in values:
        if value.readers:
            _check_readers(value)
    return False


def decode_values_of_all(encoded: Sequence[bytes], mark: bytes) -> list[tuple[Value, ...]]:
    """The values of many records, decoded by one call: where nothing is wrong, the cheapest way to look at a batch.
    Indexes may repeat, and readers be any text; all else is checked as :func:`check_values` does.

    ``mark`` is 16 bytes that nobody who made a record could know. It stands behind every record, and only where each
    record is exactly one array do all the marks come out at their places: none runs into the next unseen. Raises
    :class:`RecordError` where some record is not right, without saying which.
    """
    if max(map(len, encoded)) > MAX_RECORD_BYTES:
        raise RecordError(MALFORMED, reason=_NOT_ALL)
    end = b"\xc4" + len(mark).to_bytes(1, "big") + mark
    begin = b"\xdd" + (2 * len(encoded)).to_bytes(4, "big")
    try:
        items = _decode_marked(b"".join((begin, end.join(encoded), end)))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    records = [item for item in items[::2] if type(item) is tuple]
    if len(records) < len(encoded) or items[1::2].count(mark) < len(encoded):
        raise RecordError(MALFORMED, reason=_NOT_ALL)
    if not 0 < min(map(len, records)) <= max(map(len, records)) <= MAX_VALUES:
        raise RecordError(MALFORMED, reason=_NOT_ALL)
    return records


def encode_body(version: int, state: State, time: int, values: bytes) -> bytes:
    """Join a body from its parts; ``values`` as :func:`encode_values` gives them."""
    return b"\x94" + _encode(version) + bytes((state,)) + _encode(time) + values


def split_body(body: bytes) -> Head:
    """Take a body apart without decoding its values. Raises :class:`RecordError`."""
    try:
        head = _decode_head(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    return Head(head.version, head.state, head.time, bytes(head.values))


def decode_body(body: bytes) -> Record:
    """Decode a body whole. Raises :class:`RecordError`."""
    if len(body) > MAX_RECORD_BYTES + 32:
        raise RecordError(TOO_LARGE, length=len(body), limit=MAX_RECORD_BYTES)
    try:
        wire = _decode_record(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    return Record(wire.version, wire.state, wire.time, wire.values)


def bare_body(head: Head) -> bytes:
    """The body by which a record answers that is not shown: without its values."""
    return encode_body(head.version, head.state, head.time, NO_VALUES_BYTES)


Shown = Callable[[Value], Value | None]
"""What somebody may see of a value; None where nothing."""


def in_public(value: Value) -> Value | None:
    """What anybody may see of a value."""
    return value if value.public else None


def shown_body(body: bytes, shown: Shown) -> bytes:
    """The body with each value as ``shown`` gives it; those for which it gives None are left out without a trace."""
    record = decode_body(body)
    values = [without_defaults(one) for one in map(shown, record.values) if one is not None]
    return encode_body(record.version, record.state, record.time, _encode(values))


def public_body(body: bytes) -> bytes:
    """The body that anybody may see: values without public read permission left out, without a trace."""
    return shown_body(body, in_public)


def readers_naming(value: Value, reader: str, is_in: Callable[[str, str], bool]) -> tuple[str, ...]:
    """Those of a value's readers that name an identity. ``is_in`` says whether it is in a group, both by their
    identifiers; False for what is no group."""
    prefix = reader.partition("/")[0]
    return tuple(
        one
        for one in value.readers
        if one in (ANYBODY, reader) or (is_in(reader, one) if "/" in one else covers(one, prefix))
    )


def may_read(value: Value, reader: str | None, is_in: Callable[[str, str], bool]) -> bool:
    """Whether a value may be shown to ``reader``, an identity's name (None: nobody has proven anything), for its own
    sake; what an administrator's role allows comes on top."""
    return value.public or (reader is not None and bool(readers_naming(value, reader, is_in)))


def _check_readers(value: Value) -> None:
    """Raise :class:`RecordError` for a reader that is none, or is there twice."""
    seen: set[str] = set()
    for reader in value.readers:
        try:
            normal = normal_text(reader).decode() if "/" in reader else normal_prefix_text(reader)
        except IdentifierError:
            normal = ""
        if (normal != reader and reader != ANYBODY) or reader in seen:
            raise RecordError(BAD_READER, index=value.index, reader=reader)
        seen.add(reader)


def without_defaults(value: Value) -> tuple[int | str | bytes | tuple[str, ...], ...]:
    """The value's elements up to the last that differs from its default."""
    whole = (value.index, value.type, value.data, value.ttl, value.permissions, value.timestamp)
    if value.readers:
        return (*whole, value.readers)
    if value.timestamp:
        return whole
    if value.permissions != DEFAULT_PERMISSIONS:
        return whole[:5]
    return whole[:4] if value.ttl != DEFAULT_TTL_SECONDS else whole[:3]


def _first_repeated(values: Sequence[Value]) -> int:
    seen: set[int] = set()
    for value in values:
        if value.index in seen:
            break
        seen.add(value.index)
    return value.index
