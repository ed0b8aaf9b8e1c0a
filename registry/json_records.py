"""Values and records as JSON: what the JSON API takes and gives, what an export writes and an import reads.

A value is ``{"index", "type", "data"}``, with ``ttl`` in seconds and ``permissions`` where they differ from their
defaults. Data that is no text (UTF-8) stands in ``data_base64`` instead (RFC 4648, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from protocol.errors import RecordError, Rule
from protocol.limits import DEFAULT_TTL_SECONDS, MAX_DATA_BYTES, MAX_TTL_SECONDS, MAX_TYPE_CHARACTERS
from protocol.records import DEFAULT_PERMISSIONS, Value, encode_values
from protocol.status import Status

ONE_DATA: Final = Rule(
    "record.one-data",
    Status.BAD_RECORD,
    "value {index} has to have either data or data_base64",
    "值 {index} 应有且仅有 data 与 data_base64 之一",
)
LONG_DATA: Final = Rule(
    "record.data-too-long",
    Status.BAD_RECORD,
    "the data of value {index} has {length} bytes; at most {limit} are allowed",
    "值 {index} 的数据长度为 {length} 字节，超过上限 {limit} 字节",
)


class JsonValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One value of a record: its data as text in `data` or, where it is no text, as base64 in `data_base64`."""

    index: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)]
    data: str | None = None
    data_base64: bytes | None = None
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] = DEFAULT_TTL_SECONDS
    permissions: Annotated[int, msgspec.Meta(ge=0, le=15)] = DEFAULT_PERMISSIONS

    def octets(self) -> bytes:
        """The data. Raises :class:`RecordError`."""
        if self.data is not None and self.data_base64 is None:
            return self.data.encode()
        if self.data is None and self.data_base64 is not None:
            return self.data_base64
        raise RecordError(ONE_DATA, index=self.index)


class JsonRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A record under its identifier: a line of an export."""

    identifier: str
    values: list[JsonValue]


def encode_json_values(values: Sequence[JsonValue]) -> bytes:
    """The canonical bytes of a record's values, checked. Raises :class:`RecordError`."""
    plain = []
    for value in values:
        data = value.octets()
        if len(data) > MAX_DATA_BYTES:
            raise RecordError(LONG_DATA, index=value.index, length=len(data), limit=MAX_DATA_BYTES)
        plain.append(Value(value.index, value.type, data, value.ttl, value.permissions))
    return encode_values(plain)


def json_values(values: Sequence[Value]) -> list[JsonValue]:
    """Values to be shown as JSON."""
    return [_shown(value) for value in values]


def _shown(value: Value) -> JsonValue:
    try:
        text, octets = value.data.decode(), None
    except UnicodeDecodeError:
        text, octets = None, value.data
    # What is left out is what is the very object of the default, not its equal.
    ttl = DEFAULT_TTL_SECONDS if value.ttl == DEFAULT_TTL_SECONDS else value.ttl
    permissions = DEFAULT_PERMISSIONS if value.permissions == DEFAULT_PERMISSIONS else value.permissions
    return JsonValue(value.index, value.type, text, octets, ttl, permissions)
