"""Records that follow a template: checked before they are kept, and expanded when they are answered.

In an answer each item that the record has data for, and each that is computed, is one value, ascending by index: the
item's index; its ``value_type`` or, where it has none, its ``name`` as type; the data; the item's time to live and
permissions. Items that are not for everybody are left out without a trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import cached_property
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.computed import ComputedText
from protocol.errors import BiaoshiError, InvalidInput, RecordError, Rule
from protocol.kept import Data, read_data
from protocol.limits import MAX_RECORD_BYTES
from protocol.patterns import compile_pattern
from protocol.records import MALFORMED, NO_VALUES, TOO_LARGE, Value, encode_values
from protocol.status import Status
from protocol.templates import Item, Problems, Template, compile_computed, most_added


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"template.{name}", Status.BAD_RECORD, en, zh)


NOT_FOLLOWED: Final = _rule(
    "not-followed",
    "the record does not follow version {version} of the template: {problems}",
    "记录不符合模板版本 {version}：{problems_zh}",
)
DATA_ORDER: Final = _rule(
    "data-order",
    "the data of index {index} does not stand behind all with a lower index",
    "索引 {index} 的数据重复，或未按索引从小到大排列",
)
UNKNOWN_ITEM: Final = _rule("unknown-item", "there is no item {index}", "没有索引为 {index} 的项")
DISABLED: Final = _rule("disabled-item", "{item} is disabled", "“{item_zh}”已停用")
COMPUTED: Final = _rule("computed-item", "{item} is computed and takes no data", "“{item_zh}”为计算项，不能填写")
MISSING: Final = _rule("missing-item", "{item} is missing", "缺少“{item_zh}”")
TOO_SHORT: Final = _rule(
    "too-short",
    "{item} has {length} characters; at least {limit} are wanted",
    "“{item_zh}”有 {length} 个字符，至少需要 {limit} 个",
)
TOO_LONG: Final = _rule(
    "too-long",
    "{item} has {length} characters; at most {limit} are allowed",
    "“{item_zh}”有 {length} 个字符，最多允许 {limit} 个",
)
NOT_TEXT: Final = _rule("not-text", "{item} is not UTF-8", "“{item_zh}”不是合法的 UTF-8 文本")
NOT_NUMBER: Final = _rule(
    "not-number",
    "{item} is '{text}', not a decimal number like -12.5",
    "“{item_zh}”的内容“{text}”不是十进制数，正确写法如 -12.5",
)
NOT_DATE: Final = _rule(
    "not-date",
    "{item} is '{text}', not a day like 2026-01-31",
    "“{item_zh}”的内容“{text}”不是日期，正确写法如 2026-01-31",
)
NOT_URL: Final = _rule(
    "not-url",
    "{item} is '{text}', not a URL like https://example.com/p1",
    "“{item_zh}”的内容“{text}”不是网址，正确写法如 https://example.com/p1",
)
NO_MATCH: Final = _rule(
    "no-match",
    "{item} is '{text}', which does not match {pattern}",
    "“{item_zh}”的内容“{text}”不符合格式 {pattern}",
)

_SHOWN_CHARACTERS: Final = 40

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,64}(?:\.[0-9]{1,64})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\x00-\x20\x7f]+")


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


_TYPES: Final[dict[str, tuple[Callable[[str], object], Rule]]] = {
    "number": (_NUMBER.fullmatch, NOT_NUMBER),
    "date": (_is_date, NOT_DATE),
    "url": (_URL.fullmatch, NOT_URL),
}

# Checking --------------------------------------------------------------------------------------------


class Checker:
    """Checks records against a template that is usable itself."""

    def __init__(self, template: Template) -> None:
        self._version = template.version
        self._items = {item.index: _ItemCheck(item) for item in template.items}
        self._required = {item.index for item in template.items if item.required and not item.disabled}
        self._computes = any(item.computed for item in template.items)
        self._room = MAX_RECORD_BYTES - most_added(template)

    def check(self, values: bytes) -> None:
        """Check values of the second form. Raises :class:`~protocol.errors.RecordError`: :class:`Problems` with every
        item that is not right."""
        _, data = read_data(values)
        self.check_data(data, len(values))

    def check_data(self, data: Data, length: int) -> None:
        """The same for data that were read; ``length`` is in bytes, of the values as they are kept."""
        problems: list[BiaoshiError] = []
        if length > self._room:
            problems.append(InvalidInput(TOO_LARGE, length=length, limit=self._room))
        last = 0
        missing = self._required
        for index, one in data:
            if index <= last:
                problems.append(InvalidInput(DATA_ORDER, index=index))
            last = index
            item = self._items.get(index)
            if item is None:
                problems.append(InvalidInput(UNKNOWN_ITEM, index=index))
            elif (fault := item.fault(one)) is not None:
                problems.append(fault)
        if missing:
            there = {index for index, _ in data}
            if not missing <= there:
                problems += [self._items[index].missing() for index in sorted(missing - there)]
        if not data and not self._computes and not problems:
            problems.append(InvalidInput(NO_VALUES))
        if problems:
            raise Problems(problems, NOT_FOLLOWED, version=self._version)

    def fits(self, index: int, many: Iterable[bytes]) -> bool:
        """Whether all these data are right for the item of an index."""
        return not any(map(self._items[index].fault, many))


class _ItemCheck:
    """The check of one item's data."""

    __slots__ = ("_barred", "_item", "_least", "_most", "_pattern", "_type")

    def __init__(self, item: Item) -> None:
        self._item = item
        self._barred = COMPUTED if item.computed else DISABLED if item.disabled else None
        self._least = max(item.min_length, 1)
        self._most = item.max_length
        self._type = _TYPES.get(item.type)
        self._pattern = compile_pattern(item.pattern).fullmatch if item.pattern else None

    def fault(self, data: bytes) -> InvalidInput | None:
        """What is wrong with data for the item."""
        if self._barred is not None:
            return self._fault(self._barred)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._fault(NOT_TEXT)
        length = len(text)
        if length < self._least:
            return self._fault(TOO_SHORT, length=length, limit=self._least)
        if length > self._most:
            return self._fault(TOO_LONG, length=length, limit=self._most)
        if self._type is not None and not self._type[0](text):
            return self._fault(self._type[1], text=text[:_SHOWN_CHARACTERS])
        if self._pattern is not None and self._pattern(text) is None:
            return self._fault(NO_MATCH, text=text[:_SHOWN_CHARACTERS], pattern=self._item.pattern)
        return None

    def missing(self) -> InvalidInput:
        """That there is no data."""
        return self._fault(MISSING)

    def _fault(self, rule: Rule, **details: str | int) -> InvalidInput:
        return InvalidInput(rule, item=self._item.shown(), item_zh=self._item.shown("zh"), **details)


# Expanding -------------------------------------------------------------------------------------------

_decode = msgspec.msgpack.Decoder(tuple[int, list[tuple[int, bytes]]]).decode
_SHORT_SIZES: Final = [b"\xc4" + size.to_bytes(1, "big") for size in range(256)]
_INTEGER_BYTES: Final = [{0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}.get(first, 1) for first in range(256)]
"""Bytes of an integer from 0 by the first of them."""


class Expander:
    """Makes answers of the records that follow a template."""

    def __init__(self, template: Template) -> None:
        self._template = template
        public = [item for item in template.items if item.public]
        self._around: Final = {item.index: _around(item.value) for item in public}
        self._computed: Final = tuple((item.index, compile_computed(item)) for item in public if item.computed)

    def values(self, data: Data, identifier: bytes) -> bytes:
        """The encoded public values of a record under an identifier in normal form."""
        if self._computed:
            prefix, _, suffix = identifier.partition(b"/")
            made = [(index, text.fill(identifier, prefix, suffix)) for index, text in self._computed]
            data = sorted([*data, *made])
        parts = [b""]
        around = self._around.get
        count = 0
        for index, one in data:
            if (found := around(index)) is not None:
                size = len(one)
                parts += (
                    found[0],
                    _SHORT_SIZES[size] if size < 256 else b"\xc5" + size.to_bytes(2, "big"),
                    one,
                    found[1],
                )
                count += 1
        parts[0] = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
        return b"".join(parts)

    def all_values(self, data: Data, identifier: bytes) -> bytes:
        """The same with those that are not for everybody."""
        prefix, _, suffix = identifier.partition(b"/")
        found = dict(data)
        found |= {index: text.fill(identifier, prefix, suffix) for index, text in self._all_computed}
        values = [replace(self._values[index], data=found[index]) for index in sorted(found) if index in self._values]
        return encode_values(values)

    @cached_property
    def _values(self) -> dict[int, Value]:
        return {item.index: item.value for item in self._template.items}

    @cached_property
    def _all_computed(self) -> tuple[tuple[int, ComputedText], ...]:
        return tuple((item.index, compile_computed(item)) for item in self._template.items if item.computed)


def split_templated(body: bytes) -> tuple[bytes, int, list[tuple[int, bytes]]]:
    """What stands before the values of a kept body of the second form, version of the template, and data; of a body as
    it came out of a store, checked for its shape alone. Raises :class:`~protocol.errors.RecordError`."""
    try:
        state = 1 + _INTEGER_BYTES[body[1]]
        start = state + 1 + _INTEGER_BYTES[body[state + 1]]
        template, data = _decode(body[start:])
    except (msgspec.DecodeError, RecursionError, IndexError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    return body[:start], template, data


def _around(value: Value) -> tuple[bytes, bytes]:
    """What stands before and behind the data of an encoded value, the data's size left out."""
    bare = encode_values([Value(value.index, value.type, b"")])[1:]
    whole = encode_values([value])[1:]
    return whole[:1] + bare[1:-2], whole[len(bare) :]
