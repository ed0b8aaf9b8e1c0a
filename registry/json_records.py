"""Values and records as JSON: what the JSON API takes and gives, what an export writes and an import reads.

A value is ``{"index", "type", "data"}``, with ``ttl`` in seconds, ``permissions`` and ``readers`` where they differ
from their defaults. Data that is no text (UTF-8) stands in ``data_base64`` instead (RFC 4648, section 4). Beside
``template``, the version of the template that they follow, values have an index and data alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from protocol.errors import RecordError, Rule
from protocol.kept import encode_data
from protocol.limits import (
    DEFAULT_TTL_SECONDS,
    MAX_DATA_BYTES,
    MAX_READERS,
    MAX_TEMPLATE_VERSION,
    MAX_TTL_SECONDS,
    MAX_TYPE_CHARACTERS,
)
from protocol.records import DEFAULT_PERMISSIONS, Value, encode_values
from protocol.status import Status
from registry.replies import ListedRecord

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
NO_TYPE: Final = Rule(
    "record.no-type",
    Status.BAD_RECORD,
    'value {index} has no type; only values of a record that follows a template ("template": VERSION) have none',
    '值 {index} 缺少类型；只有遵循模板的记录（"template": 版本号）才可省略',
)
DATA_ALONE: Final = Rule(
    "record.data-alone",
    Status.BAD_RECORD,
    "value {index} says more than its index and data; beside a template type, ttl, permissions and readers are its own",
    "值 {index} 只能包含索引和数据；遵循模板时，类型、ttl、权限和读者由模板规定",
)

TemplateVersion = Annotated[int, msgspec.Meta(ge=1, le=MAX_TEMPLATE_VERSION)]


class JsonValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One value of a record: its data as text in `data` or, where it is no text, as base64 in `data_base64`. `type` is
    left out, like all further members, in a record that follows a template."""

    index: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)] | None = None
    data: str | None = None
    data_base64: bytes | None = None
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] = DEFAULT_TTL_SECONDS
    permissions: Annotated[int, msgspec.Meta(ge=0, le=15)] = DEFAULT_PERMISSIONS
    readers: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_READERS)] = ()

    def octets(self) -> bytes:
        """The data. Raises :class:`RecordError`."""
        if self.data is not None and self.data_base64 is None:
            data = self.data.encode()
        elif self.data is None and self.data_base64 is not None:
            data = self.data_base64
        else:
            raise RecordError(ONE_DATA, index=self.index)
        if len(data) > MAX_DATA_BYTES:
            raise RecordError(LONG_DATA, index=self.index, length=len(data), limit=MAX_DATA_BYTES)
        return data

    def value(self) -> Value:
        """The value. Raises :class:`RecordError`."""
        data = self.octets()
        if self.type is None:
            raise RecordError(NO_TYPE, index=self.index)
        return Value(self.index, self.type, data, self.ttl, self.permissions, readers=self.readers)

    def datum(self) -> tuple[int, bytes]:
        """Index and data of a record that follows a template. Raises :class:`RecordError`."""
        data = self.octets()
        alone = self.type is None and self.ttl == DEFAULT_TTL_SECONDS and self.permissions == DEFAULT_PERMISSIONS
        if not alone or self.readers:
            raise RecordError(DATA_ALONE, index=self.index)
        return self.index, data


class JsonRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record under its identifier, or a series under its pattern: a line of an export, which an import takes again.
    Beside `template` its values are data alone."""

    identifier: str | None = None
    series: str | None = None
    template: TemplateVersion | None = None
    values: list[JsonValue]


def encode_json_values(values: Sequence[JsonValue], template: int | None = None) -> bytes:
    """The canonical bytes of a record's values, checked; of data that follow a template, which are still to be checked
    against it. Raises :class:`RecordError`."""
    if template is None:
        return encode_values([value.value() for value in values])
    return encode_data(template, sorted(value.datum() for value in values))


def json_values(values: Sequence[Value]) -> list[JsonValue]:
    """Values to be shown as JSON."""
    return [_shown(value) for value in values]


def json_record(listed: ListedRecord) -> JsonRecord:
    """An active record or series as it is kept."""
    record = listed.record
    values = json_values(record.values)
    if record.template:
        values = [JsonValue(index, None, *_data(one)) for index, one in record.data]
    template = record.template or None
    if listed.members:
        return JsonRecord(series=listed.name, template=template, values=values)
    return JsonRecord(identifier=listed.name, template=template, values=values)


_encode: Final = msgspec.json.Encoder().encode


def json_line(listed: ListedRecord) -> str:
    """The same as a line of text."""
    return _encode(json_record(listed)).decode() + "\n"


def _shown(value: Value) -> JsonValue:
    # What is left out is what is the very object of the default, not its equal.
    ttl = DEFAULT_TTL_SECONDS if value.ttl == DEFAULT_TTL_SECONDS else value.ttl
    permissions = DEFAULT_PERMISSIONS if value.permissions == DEFAULT_PERMISSIONS else value.permissions
    return JsonValue(value.index, value.type, *_data(value.data), ttl, permissions, value.readers)


def _data(data: bytes) -> tuple[str | None, bytes | None]:
    """Data as text or, where it is none, as it is."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, data
