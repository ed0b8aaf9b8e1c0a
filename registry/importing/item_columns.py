"""Columns that become items of a template, and rows that follow it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from protocol.errors import InvalidInput, Rule
from protocol.kept import encode_data
from protocol.status import Status
from protocol.templated import Checker
from protocol.templates import Item, Template
from registry.importing.sources import tidy


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"import.{name}", status, en, zh)


NO_SUCH_ITEM: Final = _rule(
    "no-such-item",
    Status.BAD_REQUEST,
    "column '{header}' is no item of the template, which has: {items}. Say which it is with --column '{header}=ITEM', "
    "or leave the column out with --column '{header}='",
    "列“{header}”不是模板中的项，模板中有：{items_zh}。"
    "请用 --column '{header}=项' 指定，或用 --column '{header}=' 忽略该列",
)
SEVERAL_ITEMS: Final = _rule(
    "several-items",
    Status.BAD_REQUEST,
    "column '{header}' may be several items: {items}. Say which with --column '{header}=ITEM'",
    "列“{header}”对应多个项：{items_zh}。请用 --column '{header}=项' 指定",
)
CLOSED_ITEM: Final = _rule(
    "closed-item",
    Status.BAD_REQUEST,
    "column '{header}' is item {item}, which is disabled or computed and takes no data; leave it out with "
    "--column '{header}='",
    "列“{header}”对应的项“{item_zh}”已停用或为计算项，不能填写；请用 --column '{header}=' 忽略该列",
)
NO_COLUMN: Final = _rule(
    "no-column-of-item",
    Status.BAD_REQUEST,
    "no column has the item {item}, which is required; name it with --column HEADER=ITEM",
    "没有列对应必填项“{item_zh}”，请用 --column 列名=项 指定",
)
OTHER_PREFIX: Final = _rule(
    "other-prefix-than-template",
    Status.BAD_RECORD,
    "the template is that of {prefix}; an identifier of another prefix cannot follow it",
    "模板属于前缀 {prefix}，其他前缀的标识不能遵循该模板",
)


class ItemFinder:
    """Finds items by machine name, index, Chinese or English name, whatever the case and the blanks around."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._named: dict[str, list[Item]] = {}
        for item in template.items:
            for name in {_plain(one) for one in (item.name, str(item.index), item.zh, item.en) if one}:
                self._named.setdefault(name, []).append(item)

    def find(self, header: str, wanted: str, problems: list[InvalidInput]) -> Item | None:
        """The item that a column becomes; ``wanted`` is what the person or, without a word from them, the header says.
        What is wrong joins the problems."""
        item = self._template.find(wanted)
        found = [item] if item else self._named.get(_plain(wanted), [])
        if len(found) > 1:
            problems.append(InvalidInput(SEVERAL_ITEMS, header=header, **_shown(found)))
            return None
        if not found:
            problems.append(InvalidInput(NO_SUCH_ITEM, header=header, **_shown(self._template.items)))
            return None
        item = found[0]
        if item.disabled or item.computed:
            problems.append(InvalidInput(CLOSED_ITEM, header=header, item=item.shown(), item_zh=item.shown("zh")))
        return item

    def missing(self, indexes: Iterable[int]) -> list[InvalidInput]:
        """A problem for each required item that no column has."""
        there = set(indexes)
        return [
            InvalidInput(NO_COLUMN, item=item.shown(), item_zh=item.shown("zh"))
            for item in self._template.items
            if item.required and not item.disabled and item.index not in there
        ]

    @property
    def computes(self) -> bool:
        """Whether a record without any data has values all the same."""
        return any(item.computed for item in self._template.items)


class FollowingRows:
    """Encodes rows that follow a template, checked as the registry will check them."""

    def __init__(self, template: Template) -> None:
        self._prefix = template.prefix
        self._begin = template.prefix.encode() + b"/"
        self._version = template.version
        self._checker = Checker(template)

    def encode(self, identifier: bytes, values: Sequence[tuple[int, str, bytes]]) -> bytes:
        """The values of a row, kept by index. Raises :class:`InvalidInput` that names each item that is not right."""
        if not identifier.startswith(self._begin):
            raise InvalidInput(OTHER_PREFIX, prefix=self._prefix)
        data = sorted((index, one) for index, _, one in values)
        encoded = encode_data(self._version, data)
        self._checker.check_data(data, len(encoded))
        return encoded

    def fits(self, identifiers: Sequence[bytes], columns: Iterable[tuple[int, Sequence[bytes]]]) -> bool:
        """Whether many rows follow the template, given as their identifiers and, by index, their columns without a gap,
        in which all that is required is."""
        # What stands between two that begin alike, in order of bytes, begins so too.
        if not min(identifiers).startswith(self._begin) or not max(identifiers).startswith(self._begin):
            return False
        return all(self._checker.fits(index, data) for index, data in columns)


def _plain(name: str) -> str:
    return tidy(name).casefold()


def _shown(items: Iterable[Item]) -> dict[str, str]:
    some = list(items)
    return {
        "items": ", ".join(item.shown() for item in some),
        "items_zh": "、".join(item.shown("zh") for item in some),
    }
