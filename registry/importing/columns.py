"""Which column becomes what: decided once from header and options, with every problem reported at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, InvalidInput
from protocol.identifiers import normal_prefix
from protocol.limits import MAX_TYPE_CHARACTERS, MAX_VALUES
from registry.importing import rules
from registry.importing.options import ImportOptions
from registry.importing.sources import tidy

IDENTIFIER_HEADERS: Final = frozenset(("identifier", "id", "handle", "标识", "标识码", "产品标识"))
"""Names, in lower case, by which the identifier column is recognised."""

ALIASES: Final = {"网址": "URL", "产品名称": "NAME", "型号": "MODEL", "批次": "LOT", "生产日期": "PRODUCED"}
"""Usual Chinese column names and the types of their values; any other column's type is its name."""

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
    declared = [name for name in wishes if name not in positions] if open_ended else []
    for name in [*positions, *declared]:
        wish = wishes.get(name)
        if not name or name == identifier or (wish is not None and not wish.type):
            continue
        index = len(columns) + 1 if wish is None or wish.index is None else wish.index
        type_ = ALIASES.get(name, name) if wish is None else wish.type
        columns.append(Column(positions.get(name, -1), name, type_, index))
    _check_columns(columns, problems)
    if not columns and not open_ended:
        problems.append(InvalidInput(rules.NO_VALUE_COLUMN))
    prefix = _read_prefix(options.prefix, problems)
    if problems:
        raise MappingError(problems)
    assert identifier is not None
    ignored = frozenset(name for name, wish in wishes.items() if not wish.type)
    nameless = tuple(position for position, name in enumerate(names) if not name)
    return Plan(identifier, positions[identifier], tuple(columns), ignored, nameless, prefix)


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
