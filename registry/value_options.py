"""Values as a person writes them on the command line: ``TYPE=DATA``, or ``3:TYPE=DATA`` with an index; and templates:
``PREFIX/VERSION``."""

from __future__ import annotations

from typing import Final

from protocol.errors import InvalidInput, RecordError, Rule
from protocol.identifiers import normal_prefix_text
from protocol.limits import MAX_TEMPLATE_VERSION
from protocol.records import DEFAULT_PERMISSIONS, Permission, Value
from protocol.status import Status
from protocol.templates import Template

BAD_TEMPLATE: Final = Rule(
    "command.bad-template",
    Status.BAD_REQUEST,
    "'{text}' names no template; write PREFIX/VERSION, for example 88.118.32001/1, or VERSION alone beside a prefix",
    "“{text}”不是合法的模板；请写成 前缀/版本，例如 88.118.32001/1，或在已指定前缀时只写版本号",
)
BAD_ITEM: Final = Rule(
    "command.bad-item",
    Status.BAD_RECORD,
    "'{text}' is no item of the template with its data; write ITEM=DATA, the item by name or index; there are {items}",
    "“{text}”不是模板中的项及其内容；请写成 项=内容，项用名称或索引表示，现有：{items}",
)
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


def read_items(texts: list[str], template: Template) -> list[tuple[int, bytes]]:
    """Data by index, ascending, from ``ITEM=DATA``. Raises :class:`RecordError`."""
    data: list[tuple[int, bytes]] = []
    for text in texts:
        name, _, one = text.partition("=")
        item = template.find(name)
        if item is None or not one:
            raise RecordError(BAD_ITEM, text=text, items=", ".join(item.shown() for item in template.items))
        data.append((item.index, one.encode("utf-8", "surrogateescape")))
    return sorted(data)


def read_template_option(text: str, prefix: str | None) -> tuple[str, int]:
    """Prefix (normal form) and version of the template that ``PREFIX/VERSION``, or ``VERSION`` beside a prefix, names.
    Raises :class:`InvalidInput`."""
    named, slash, version = text.rpartition("/")
    wanted = named if slash else (prefix or "").removesuffix("/")
    plain = version.isascii() and version.isdecimal() and len(version) <= len(str(MAX_TEMPLATE_VERSION))
    if not wanted or not plain or int(version) == 0:
        raise InvalidInput(BAD_TEMPLATE, text=text)
    return normal_prefix_text(wanted), int(version)
