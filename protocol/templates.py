"""Templates: what the records of a prefix consist of, said once.

::

    template = [1, prefix, version, name, industry, [item, ...]]
    item     = [index, name, zh, en, type, required, min_length, max_length, pattern, unit,
                value_type, ttl, permissions, readers, computed, indexed, disabled]

A record that follows a template has data by index alone (``kept``); names, types, times to live and permissions come
out of the template when it is answered (``templated``). A template never changes but for items that are *disabled*:
they stay in the records that have them, and new records may not have them. Any other change is a template of another
version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from protocol.computed import ComputedText
from protocol.errors import BiaoshiError, InvalidInput, RecordError, Rule
from protocol.identifiers import normal_prefix_text, normal_text
from protocol.kept import FIRST_INDEX
from protocol.limits import (
    DEFAULT_TTL_SECONDS,
    MAX_DATA_BYTES,
    MAX_IDENTIFIER_BYTES,
    MAX_PREFIX_BYTES,
    MAX_RECORD_BYTES,
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATE_ITEMS,
    MAX_TEMPLATE_VERSION,
    MAX_TTL_SECONDS,
    MAX_TYPE_CHARACTERS,
)
from protocol.patterns import compile_pattern
from protocol.records import DEFAULT_PERMISSIONS, Permission, Value, encode_values
from protocol.status import Status

ANYBODY: Final = "*"
"""The reader that stands for everybody who has said who he is."""

MAX_READERS: Final = 64
"""Readers of one item: more are a group."""


def _rule(name: str, en: str, zh: str, status: Status = Status.BAD_RECORD) -> Rule:
    return Rule(f"template.{name}", status, en, zh)


MALFORMED: Final = _rule("malformed", "this is no template: {reason}", "不是合法的模板：{reason}")
NOT_USABLE: Final = _rule(
    "not-usable",
    "version {version} of the template of {prefix} cannot be used: {problems}",
    "前缀 {prefix} 的模板版本 {version} 不可用：{problems_zh}",
)
FIXED: Final = _rule(
    "fixed",
    "version {version} of the template of {prefix} is there and differs; all that may change in it is that items are "
    "disabled. Make another version of it",
    "前缀 {prefix} 的模板版本 {version} 已存在且内容不同；已有模板只能停用其中的项，其他修改请使用新的版本号",
    Status.EXISTS,
)
BAD_PREFIX: Final = _rule(
    "prefix", "its prefix '{prefix}' is not in normal form: {reason}", "前缀“{prefix}”不是规范形式：{reason_zh}"
)
NO_ITEMS: Final = _rule("no-items", "it has no items", "没有任何项")
ORDER: Final = _rule(
    "item-order",
    "item {item} does not stand behind all with a lower index, or has the index of another",
    "项 {item} 未按索引从小到大排列，或索引重复",
)
SAME_NAME: Final = _rule("same-name", "two items have the name '{name}'", "有两个项使用了同一名称“{name}”")
BAD_NAME: Final = _rule(
    "bad-name",
    "the name of item {item} is not usable: it has characters that do not print or blanks around it, or is a number",
    "项 {item} 的名称不可用：含有不可见字符、首尾空白，或为纯数字",
)
LENGTHS: Final = _rule(
    "lengths",
    "item {item} is to have at least {least} characters and at most {most}",
    "项 {item} 的最小长度 {least} 大于最大长度 {most}",
)
BAD_READER: Final = _rule(
    "bad-reader",
    "a reader of item {item} is '{reader}'; it is an identifier or a prefix in normal form, or '*'",
    "项 {item} 的读者“{reader}”不合法；应为规范形式的标识或前缀，或“*”",
)
ITEM: Final = _rule("item", "item {item}: {reason}", "项 {item}：{reason_zh}")
COMPUTED_ALONE: Final = _rule(
    "computed-alone",
    "item {item} is computed, so it is neither required nor indexed, and has no lengths and no pattern",
    "项 {item} 为计算项，不能设为必填或索引，也不能设置长度或匹配模式",
)
TOO_WIDE: Final = _rule(
    "too-wide",
    "what it adds to a record may have {length} bytes; at most {limit} are allowed",
    "它为记录补充的内容可达 {length} 字节，超过上限 {limit} 字节",
)

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Label = Annotated[str, msgspec.Meta(max_length=128)]
_Length = Annotated[int, msgspec.Meta(ge=0, le=MAX_DATA_BYTES)]

Type = Literal["string", "number", "date", "url"]


class ItemFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of a template, by names as in a file.

    ``name`` is for machines and unique; ``zh`` and ``en`` are for people. Lengths are in characters; at least one where
    there is any data. The value in an answer has the type ``value_type``, where that is empty ``name``, and lives
    ``ttl`` seconds. It is for everybody where ``permissions`` have PUBLIC_READ and there are no ``readers``. A
    ``computed`` item is made of the identifier (``protocol.computed``) and is in no record. ``indexed`` asks for an
    index by which records are found.
    """

    index: Annotated[int, msgspec.Meta(ge=FIRST_INDEX, le=0xFFFF_FFFF)]
    name: _Name
    zh: _Label = ""
    en: _Label = ""
    type: Type = "string"
    required: bool = False
    min_length: _Length = 0
    max_length: _Length = MAX_DATA_BYTES
    pattern: str = ""
    unit: _Label = ""
    value_type: Annotated[str, msgspec.Meta(max_length=MAX_TYPE_CHARACTERS)] = ""
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] = DEFAULT_TTL_SECONDS
    permissions: Annotated[int, msgspec.Meta(ge=0, le=15)] = int(DEFAULT_PERMISSIONS)
    readers: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_READERS)] = ()
    computed: str = ""
    indexed: bool = False
    disabled: bool = False


class Item(ItemFields, array_like=True, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same in the order of the wire."""

    @property
    def public(self) -> bool:
        """Whether anybody may read it."""
        return bool(self.permissions & Permission.PUBLIC_READ) and not self.readers

    @property
    def value(self) -> Value:
        """Its value without data."""
        return Value(self.index, self.value_type or self.name, b"", self.ttl, self.permissions, readers=self.readers)

    def shown(self, language: str = "en") -> str:
        """The item for a person: ``2001 MODEL``, ``2001 型号``."""
        return f"{self.index} {(self.zh if language == 'zh' else '') or self.name}"


class Template(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """The template of a prefix (normal form) in one of its versions. ``industry`` is a section, a division or a class
    of GB/T 4754, empty where it is for none: ``C``, ``C34``, ``C3411``. ``items`` ascend by index."""

    prefix: Annotated[str, msgspec.Meta(max_length=MAX_PREFIX_BYTES)]
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_TEMPLATE_VERSION)]
    name: _Name
    industry: Annotated[str, msgspec.Meta(pattern="^([A-T]([0-9]{2,4})?)?$")]
    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=MAX_TEMPLATE_ITEMS)]

    def find(self, name: str) -> Item | None:
        """The item of a machine name or an index."""
        return next((item for item in self.items if name in (item.name, str(item.index))), None)

    def disable(self, indexes: Iterable[int]) -> Template:
        """The template with these items disabled."""
        gone = frozenset(indexes)
        items = (msgspec.structs.replace(one, disabled=True) if one.index in gone else one for one in self.items)
        return msgspec.structs.replace(self, items=tuple(items))


class Problems(RecordError):
    """Several things are wrong at once; ``problems`` has each, in order."""

    def __init__(self, problems: Sequence[BiaoshiError], rule: Rule, /, **details: str | int | float) -> None:
        super().__init__(
            rule,
            **details,
            problems="; ".join(map(str, problems)),
            problems_zh="；".join(problem.message("zh") for problem in problems),
        )
        self.problems = tuple(problems)

    def shortened(self) -> RecordError:
        """The same without saying which."""
        return RecordError(self.rule, **self.details | {"problems": "…", "problems_zh": "…"})


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Template).decode
_DIGITS: Final = re.compile("[0-9]+")


def encode_template(template: Template) -> bytes:
    """The bytes of a template."""
    return _encode(template)


def read_template(raw: bytes) -> Template:
    """Read a template; whether it makes sense is for :func:`check_template`. Raises :class:`RecordError`."""
    if len(raw) > MAX_TEMPLATE_BYTES:
        raise RecordError(MALFORMED, reason=f"it has {len(raw)} bytes; at most {MAX_TEMPLATE_BYTES} are allowed")
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None


def check_template(template: Template) -> None:
    """See that records can follow a template. Raises :class:`Problems` with everything that is wrong with it."""
    problems: list[BiaoshiError] = []
    try:
        if normal_prefix_text(template.prefix) != template.prefix:
            reason, reason_zh = "it has lower-case letters", "含有小写字母"
            problems.append(InvalidInput(BAD_PREFIX, prefix=template.prefix, reason=reason, reason_zh=reason_zh))
    except InvalidInput as error:
        reason, reason_zh = str(error), error.message("zh")
        problems.append(InvalidInput(BAD_PREFIX, prefix=template.prefix, reason=reason, reason_zh=reason_zh))
    if not template.items:
        problems.append(InvalidInput(NO_ITEMS))
    names: set[str] = set()
    last = 0
    for item in template.items:
        if item.index <= last:
            problems.append(InvalidInput(ORDER, item=item.shown()))
        if item.name in names:
            problems.append(InvalidInput(SAME_NAME, name=item.name))
        names.add(item.name)
        last = max(last, item.index)
        problems += _problems_of(item)
    if not problems and (length := most_added(template)) > MAX_RECORD_BYTES // 2:
        problems.append(InvalidInput(TOO_WIDE, length=length, limit=MAX_RECORD_BYTES // 2))
    if problems:
        raise Problems(problems, NOT_USABLE, prefix=template.prefix, version=template.version)


def check_change(before: Template, after: Template) -> None:
    """See that all that happens to a template is that items are disabled. Raises :class:`RecordError`."""
    disabled = {item.index for item in before.items if item.disabled}
    also = {item.index for item in after.items if item.disabled}
    if not disabled <= also or before.disable(also) != after:
        raise RecordError(FIXED, prefix=before.prefix, version=before.version)


def compile_computed(item: Item) -> ComputedText:
    """The computed text of an item that has one; in a URL the parts of the identifier are escaped. Raises
    :class:`RecordError`."""
    return ComputedText(item.computed, url=item.type == "url")


def most_added(template: Template) -> int:
    """Bytes that a template may add to the data of a record in an answer."""
    added = 8
    for item in template.items:
        added += len(encode_values([item.value])) + 4
        if item.computed:
            added += _longest(compile_computed(item))
    return added


def _longest(text: ComputedText) -> int:
    """Bytes of a computed text at the longest identifier, each byte of it escaped."""
    suffix = b" " * (MAX_IDENTIFIER_BYTES - 2)
    return len(text.fill(b"8/" + suffix, b" " * MAX_PREFIX_BYTES, suffix))


def _problems_of(item: Item) -> list[BiaoshiError]:
    problems: list[BiaoshiError] = []
    labels = (item.name, item.zh, item.en, item.unit, item.value_type)
    if any(not label.isprintable() or label != label.strip() for label in labels) or _DIGITS.fullmatch(item.name):
        problems.append(InvalidInput(BAD_NAME, item=item.index))
    if item.min_length > item.max_length:
        problems.append(InvalidInput(LENGTHS, item=item.shown(), least=item.min_length, most=item.max_length))
    problems += [
        InvalidInput(BAD_READER, item=item.shown(), reader=reader)
        for reader in item.readers
        if reader != ANYBODY and not _is_normal(reader)
    ]
    if item.computed:
        if item.required or item.indexed or item.pattern or (item.min_length, item.max_length) != (0, MAX_DATA_BYTES):
            problems.append(InvalidInput(COMPUTED_ALONE, item=item.shown()))
        problems += _faults(item, lambda: compile_computed(item))
    if item.pattern:
        problems += _faults(item, lambda: compile_pattern(item.pattern))
    return problems


def _faults(item: Item, compile_it: Callable[[], object]) -> list[BiaoshiError]:
    try:
        compile_it()
    except RecordError as error:
        return [InvalidInput(ITEM, item=item.shown(), reason=str(error), reason_zh=error.message("zh"))]
    return []


def _is_normal(reader: str) -> bool:
    try:
        return (normal_text(reader).decode() if "/" in reader else normal_prefix_text(reader)) == reader
    except InvalidInput:
        return False
