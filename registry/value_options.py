"""Values as a person writes them on the command line: ``TYPE=DATA``, or ``3:TYPE=DATA`` with an index."""

from __future__ import annotations

from typing import Final

from protocol.errors import RecordError, Rule
from protocol.records import DEFAULT_PERMISSIONS, Permission, Value
from protocol.status import Status

BAD_VALUE: Final = Rule(
    "command.bad-value",
    Status.BAD_RECORD,
    "'{text}' is no value; write TYPE=DATA, for example URL=https://example.com/p1 (or 3:TYPE=DATA for index 3)",
    "“{text}”不是合法的值，请写成 类型=数据，例如 URL=https://example.com/p1（或用 3:类型=数据 指定索引）",
)


def read_values(texts: list[str], ttl: int, restricted: bool) -> list[Value]:
    """The values, for ``ttl`` seconds, not for the public where ``restricted``. Raises :class:`RecordError`."""
    permissions = DEFAULT_PERMISSIONS & ~Permission.PUBLIC_READ if restricted else DEFAULT_PERMISSIONS
    values: list[Value] = []
    for position, text in enumerate(texts, start=1):
        name, equals, data = text.partition("=")
        number, colon, type_ = name.partition(":")
        if colon and number.isascii() and number.isdecimal() and len(number) <= 10:
            index = int(number)
        else:
            index, type_ = position, name
        if not equals or not type_:
            raise RecordError(BAD_VALUE, text=text)
        values.append(Value(index, type_, data.encode("utf-8", "surrogateescape"), ttl, int(permissions)))
    return values
