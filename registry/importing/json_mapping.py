"""From a line of NDJSON to an identifier in normal form and encoded values.

Two shapes, which may stand in one file: *flat*, an object with a key for each column, and *whole*, an object with
the identifier and a list ``values`` of ``{"index", "type", "data"}`` with optional ``ttl`` in seconds, ``permissions``
and ``readers``, as an export writes them (``data_base64`` stands for data that is no text); beside ``template``, the
version of the template that they follow, values have an index and data alone; with ``series`` in place of the
identifier it is a series under its pattern. Of a flat file the first line decides about the columns, as a header does;
keys may be missing later, new ones are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec

from protocol.errors import InvalidInput, RecordError
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
from protocol.series import parse_series
from registry.importing import rules
from registry.importing.columns import Plan
from registry.importing.mapping import IdentifierReader, encode_cell, row_encoder
from registry.importing.ndjson_source import SERIES, TEMPLATE, VALUES, decode_object, is_series_row
from registry.store.series import series_identifier
from registry.urls import URL, is_url

Converted = TypeVar("Converted")


class _JsonData(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    index: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF_FFFF)]
    data: str | None = None
    data_base64: bytes | None = None

    def octets(self) -> bytes:
        """The data, which stands there as text or, where it is none, in base64."""
        if self.data is not None and self.data_base64 is None:
            return self.data.encode()
        if self.data is None and self.data_base64 is not None:
            return self.data_base64
        raise InvalidInput(rules.BAD_JSON, reason="a value has either data or data_base64")


class _JsonValue(_JsonData, kw_only=True, forbid_unknown_fields=True):
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)]
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] = DEFAULT_TTL_SECONDS
    permissions: Annotated[int, msgspec.Meta(ge=0, le=15)] = DEFAULT_PERMISSIONS
    readers: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_READERS)] = ()


_Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_TEMPLATE_VERSION)]


class JsonMapping:
    """The mapping of NDJSON lines."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._columns = {column.header: column for column in plan.columns}
        self._identifier = IdentifierReader(plan, "utf-8")
        self._encode = row_encoder(plan)
        self._odd_urls = 0

    def convert(self, line: bytes) -> tuple[bytes, bytes]:
        """Identifier in normal form and encoded values. Raises :class:`InvalidInput` with the reason for which the
        line is refused."""
        row = _read(line)
        if is_series_row(row):
            return self._convert_series(row)
        cell = _text(row.pop(self.plan.identifier, None), self.plan.identifier)
        identifier = self._identifier.quick(cell) or self._identifier.careful(cell)
        whole = row.get(VALUES)
        if isinstance(whole, list):
            for key in row:
                if key not in (VALUES, TEMPLATE) and key not in self.plan.ignored:
                    raise InvalidInput(rules.UNKNOWN_KEY, key=key)
            if TEMPLATE in row:
                return identifier, self._encode_data(identifier, row[TEMPLATE], whole)
            return identifier, self._encode_whole(whole)
        values = []
        for key, value in row.items():
            column = self._columns.get(key)
            if column is not None:
                text = _text(value, key)
                if text:
                    self._odd_urls += column.type == URL and not is_url(text)
                    values.append((column.index, column.type, encode_cell(text, key, "utf-8")))
            elif key not in self.plan.ignored:
                raise InvalidInput(rules.UNKNOWN_KEY, key=key)
        values.sort()  # by index: keys of an object have no order, equal content must have equal bytes
        return identifier, self._encode(identifier, values)

    def _convert_series(self, row: dict[str, object]) -> tuple[bytes, bytes]:
        """A series, under the identifier of its record: that comes before those of all members."""
        pattern, values = row.pop(SERIES), row.pop(VALUES)
        assert isinstance(pattern, str)
        assert isinstance(values, list)
        for key in row:
            if key not in self.plan.ignored:
                raise InvalidInput(rules.UNKNOWN_KEY, key=key)
        return series_identifier(parse_series(pattern)), self._encode_whole(values)

    def odd_urls(self, _: Sequence[bytes]) -> int:
        """How many of the values that were converted since the last call are to be a URL and are none."""
        count, self._odd_urls = self._odd_urls, 0
        return count

    def shown(self, line: bytes) -> str:
        """The identifier of a line, as far as it can be read, for the report."""
        try:
            row = _read(line)
            return _text(row.get(SERIES if is_series_row(row) else self.plan.identifier), self.plan.identifier)
        except InvalidInput:
            return line[:200].decode("utf-8", "replace").strip()

    def is_blank(self, line: bytes) -> bool:
        """Whether there is nothing at all."""
        return not line.strip()

    def _encode_data(self, identifier: bytes, template: object, items: list[object]) -> bytes:
        """Data that follow a template: this one, or another that the registry has to know."""
        version = _convert(template, _Version)
        data = [(item.index, "", item.octets()) for item in _convert(items, list[_JsonData])]
        if self.plan.template is not None and self.plan.template.version == version:
            return self._encode(identifier, data)
        return encode_data(version, sorted((index, one) for index, _, one in data))

    def _encode_whole(self, items: list[object]) -> bytes:
        encoded = []
        for value in _convert(items, list[_JsonValue]):
            data = value.octets()
            if len(data) > MAX_DATA_BYTES:
                raise InvalidInput(rules.LONG_VALUE, column=value.type, length=len(data), limit=MAX_DATA_BYTES)
            self._odd_urls += value.type == URL and not is_url(data.decode("utf-8", "replace"))
            encoded.append(Value(value.index, value.type, data, value.ttl, value.permissions, readers=value.readers))
        try:
            return encode_values(encoded)
        except RecordError as error:
            raise InvalidInput(error.rule, **error.details) from None


def _read(line: bytes) -> dict[str, object]:
    try:
        return decode_object(line)
    except UnicodeDecodeError as error:
        byte = f"{error.object[error.start]:02X}"
        raise InvalidInput(rules.NOT_TEXT, column="?", byte=byte, encoding="UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(rules.BAD_JSON, reason=str(error)) from None


def _convert(value: object, type_: type[Converted]) -> Converted:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise InvalidInput(rules.BAD_JSON, reason=str(error)) from None


def _text(value: object, key: str) -> str:
    """A JSON value as the text that a person sees in the file."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise InvalidInput(rules.NOT_PLAIN, column=key)
