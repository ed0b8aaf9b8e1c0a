"""Which column becomes what: decided once from header and options, with every problem reported at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, InvalidInput
from protocol.identifiers import normal_prefix
from protocol.limits import MAX_TYPE_CHARACTERS, MAX_VALUES
from protocol.templates import Template
from registry.importing import rules
from registry.importing.item_columns import ItemFinder
from registry.importing.options import ImportOptions
from registry.importing.sources import tidy
from registry.urls import URL

IDENTIFIER_HEADERS: Final = frozenset(
    ("identifier", "id", "handle", "标识", "标识码", "标识编码", "标识符", "产品标识", "产品标识码")
)
"""Names, in lower case, by which the identifier column is recognised."""

_HEADERS: Final = {
    URL: "url link website webaddress homepage 网址 链接 网站 网页 url地址 链接地址 产品链接 产品网址",
    "NAME": "name productname product title 名称 品名 产品名称 产品名 商品名称 物料名称",
    "MODEL": "model modelno modelnumber spec specification 型号 规格 规格型号 型号规格 产品型号 产品规格",
    "LOT": "lot lotno lotnumber batch batchno batchnumber 批次 批号 批次号 生产批次 生产批号",
    "PRODUCED": "produced productiondate manufacturingdate dateofmanufacture 生产日期 生产时间 制造日期 出厂日期",
}
"""Types of values, and the usual names of their columns as :func:`_plain` writes them."""

ALIASES: Final = {header: type_ for type_, headers in _HEADERS.items() for header in headers.split()}
"""The same by column name; any other column's type is its name."""

MAX_INDEX: Final = 0xFFFF_FFFF

SHOWN_HEADERS: Final = 50
"""Column names that an error lists; what has more is hardly a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that becomes a value. ``position`` counts the file's columns from 0; -1 for one only declared."""

    position: int
    header: str
    type: str
    index: int


class Plan(NamedTuple):
    """The decision: where the identifier stands, what the columns become, and what is left out."""

    identifier: str
    identifier_position: int
    columns: tuple[Column, ...]
    ignored: frozenset[str]
    nameless: tuple[int, ...]  # positions of columns without a name, which must be empty in every row
    prefix: bytes | None  # normal form
    template: Template | None  # that the records follow
    unasked: tuple[str, ...]  # headers that nobody knows or has mapped, so that they became types themselves

    @property
    def shown(self) -> str:
        """What becomes of the columns, for a person: ``链接 → URL, 备注 → 备注``."""
        return ", ".join(f"{column.header} → {column.type}" for column in self.columns)

    @property
    def leads_somewhere(self) -> bool:
        """Whether some column is a URL, or the template may have one."""
        return self.template is not None or any(column.type == URL for column in self.columns)


class MappingError(InvalidInput):
    """The columns cannot be mapped. ``problems`` has every reason, in the order in which a person would look."""

    def __init__(self, problems: Sequence[InvalidInput]) -> None:
        super().__init__(
            rules.MAPPING,
            problems="\n".join(f"- {problem}" for problem in problems),
            problems_zh="\n".join(f"- {problem.message('zh')}" for problem in problems),
        )
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class _Wish:
    type: str  # empty: leave the column out
    index: int | None


def plan_columns(header: Iterable[str], options: ImportOptions, *, open_ended: bool = False) -> Plan:
    """Decide from the file's ``header``. Raises :class:`MappingError`.

    A value's index is its explicit one, else its place among the value columns, from 1. ``open_ended``: columns that
    the header lacks may be declared by option (with an index or after the others), and no value column need be known
    (NDJSON).
    """
    names = [tidy(name) for name in header]
    named = [name for name in names if name]
    shown = ", ".join(named[:SHOWN_HEADERS]) + (", …" if len(named) > SHOWN_HEADERS else "")
    problems = [InvalidInput(rules.SAME_HEADER, header=name) for name in _repeated(names)]
    wishes = _read_wishes(options.columns, problems)
    identifier = _find_identifier(names, options, shown, problems)
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        positions.setdefault(name, position)
    for name in wishes:
        if name == identifier:
            problems.append(InvalidInput(rules.IDENTIFIER_MAPPED, header=name))
        elif name not in positions and not open_ended:
            problems.append(InvalidInput(rules.UNKNOWN_HEADER, header=name, headers=shown))
    columns: list[Column] = []
    unasked: list[str] = []
    items = None if options.template is None else ItemFinder(options.template)
    declared = [name for name in wishes if name not in positions] if open_ended else []
    for name in [*positions, *declared]:
        wish = wishes.get(name)
        if not name or name == identifier or (wish is not None and not wish.type):
            continue
        if items is not None:
            item = items.find(name, name if wish is None else wish.type, problems)
            if item is not None:
                columns.append(Column(positions.get(name, -1), name, item.name, item.index))
            continue
        index = len(columns) + 1 if wish is None or wish.index is None else wish.index
        type_ = ALIASES.get(_plain(name), name) if wish is None else wish.type
        if wish is None and type_ not in _HEADERS:
            unasked.append(name)
        columns.append(Column(positions.get(name, -1), name, type_, index))
    _check_columns(columns, problems)
    if items is not None and not open_ended:
        problems += items.missing(column.index for column in columns)
    if not columns and not open_ended and not (items and items.computes):
        problems.append(InvalidInput(rules.NO_VALUE_COLUMN))
    prefix = _read_prefix(options.prefix, problems)
    if problems:
        raise MappingError(problems)
    assert identifier is not None
    ignored = frozenset(name for name, wish in wishes.items() if not wish.type)
    nameless = tuple(position for position, name in enumerate(names) if not name)
    where = positions[identifier]
    return Plan(identifier, where, tuple(columns), ignored, nameless, prefix, options.template, tuple(unasked))


def _plain(header: str) -> str:
    """A header without what makes no difference: case, and what stands between the words."""
    return header.lower().translate(_BETWEEN_WORDS)


_BETWEEN_WORDS: Final = str.maketrans("", "", " \u3000_-.")


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if name and count > 1]


def _read_wishes(texts: Sequence[str], problems: list[InvalidInput]) -> dict[str, _Wish]:
    wishes: dict[str, _Wish] = {}
    for text in texts:
        name, equals, target = text.partition("=")
        name, target = tidy(name), target.strip()
        if not equals or not name:
            problems.append(InvalidInput(rules.BAD_COLUMN_OPTION, option=text))
            continue
        if name in wishes:
            problems.append(InvalidInput(rules.COLUMN_TWICE, header=name))
            continue
        type_, colon, digits = target.rpartition(":")
        if not colon:
            wishes[name] = _Wish(target, None)
        elif digits.isascii() and digits.isdigit() and type_:
            index = int(digits[:20])
            wishes[name] = _Wish(type_, index)
            if not 1 <= index <= MAX_INDEX:
                problems.append(InvalidInput(rules.BAD_INDEX, index=digits, header=name))
        else:
            problems.append(InvalidInput(rules.BAD_COLUMN_OPTION, option=text))
    return wishes


def _find_identifier(
    names: Sequence[str], options: ImportOptions, shown: str, problems: list[InvalidInput]
) -> str | None:
    if options.identifier_column is not None:
        wanted = tidy(options.identifier_column)
        if wanted in names:
            return wanted
        problems.append(InvalidInput(rules.UNKNOWN_HEADER, header=wanted, headers=shown))
        return None
    found = [name for name in dict.fromkeys(names) if name.lower() in IDENTIFIER_HEADERS]
    if not found:
        problems.append(InvalidInput(rules.NO_IDENTIFIER_COLUMN, headers=shown))
        return None
    if len(found) > 1:
        problems.append(InvalidInput(rules.TWO_IDENTIFIER_COLUMNS, first=found[0], second=found[1]))
        return None
    return found[0]


def _check_columns(columns: Sequence[Column], problems: list[InvalidInput]) -> None:
    if len(columns) > MAX_VALUES:
        problems.append(InvalidInput(rules.TOO_MANY_COLUMNS, count=len(columns), limit=MAX_VALUES))
    owners: dict[int, Column] = {}
    for column in columns:
        first = owners.setdefault(column.index, column)
        if first is not column:
            problems.append(
                InvalidInput(rules.INDEX_TWICE, first=first.header, second=column.header, index=column.index)
            )
        if len(column.type) > MAX_TYPE_CHARACTERS:
            problems.append(
                InvalidInput(rules.LONG_TYPE, type=column.type, length=len(column.type), limit=MAX_TYPE_CHARACTERS)
            )


def _read_prefix(prefix: str | None, problems: list[InvalidInput]) -> bytes | None:
    if prefix is None:
        return None
    try:
        return normal_prefix(prefix.removesuffix("/").encode("utf-8", "surrogatepass"))
    except IdentifierError as error:
        problems.append(InvalidInput(rules.BAD_PREFIX, prefix=prefix, reason=str(error), reason_zh=error.message("zh")))
        return None
