"""GS1 keys: a primary key with its qualifiers, in the order of GS1 Digital Link: URI Syntax."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from protocol.errors import IdentifierError, Rule
from protocol.gs1.application_identifiers import Element, check_element
from protocol.status import Status

PRIMARY_KEYS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "00": ((),),
    "01": (("22", "10", "21"), ("235",)),
    "253": ((),),
    "255": ((),),
    "401": ((),),
    "402": ((),),
    "414": (("254",), ("7040",)),
    "415": (("8020",),),
    "417": (("7040",),),
    "8003": ((),),
    "8004": (("7040",),),
    "8006": (("22", "10", "21"),),
    "8010": (("8011",),),
    "8013": ((),),
    "8017": (("8019",),),
    "8018": (("8019",),),
}
"""For each primary key its qualifiers, in order, each optional; alternatives exclude each other."""

QUALIFIERS: Final = frozenset(code for rows in PRIMARY_KEYS.values() for row in rows for code in row)
"""Codes that qualify some primary key. None is a primary key itself."""

NAMES: Final = {
    "sscc": "00", "gtin": "01", "gdti": "253", "gcn": "255", "ginc": "401", "gsin": "402", "gln": "414",
    "payTo": "415", "partyGln": "417", "grai": "8003", "giai": "8004", "itip": "8006", "cpid": "8010", "gmn": "8013",
    "gsrnp": "8017", "gsrn": "8018", "cpv": "22", "lot": "10", "ser": "21", "serial": "21", "tpx": "235",
    "glnx": "254", "uic": "7040", "cpsn": "8011", "srin": "8019", "refno": "8020",
}  # fmt: skip
"""Names that people may write for codes: those of GS1 Digital Link up to release 1.1, besides ``serial``, ``tpx`` and
``uic``."""

GTIN: Final = "01"
_GTIN_LENGTHS: Final = (8, 12, 13)
"""Digits of the shorter GTINs, which are the same number as with zeros in front."""


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"gs1.{name}", Status.BAD_IDENTIFIER, en, zh)


NO_PRIMARY: Final = _rule(
    "no-primary-key",
    "there is no GS1 primary key, such as 01 (GTIN) or 00 (SSCC); compressed GS1 Digital Links are not read",
    "缺少 GS1 主键，例如 01（GTIN）或 00（SSCC）；不支持压缩形式的 GS1 Digital Link",
)
WRONG_QUALIFIERS: Final = _rule(
    "wrong-qualifiers",
    "behind ({code}) there cannot be {given}; what may follow it, in this order: {allowed}",
    "({code}) 之后不能是 {given}；可用的限定符及顺序为：{allowed}",
)


@dataclass(frozen=True, slots=True)
class Key:
    """A checked key; made by :func:`make_key`. ``elements`` begin with the primary key, a GTIN in 14 digits."""

    elements: tuple[Element, ...]

    @property
    def primary(self) -> Element:
        """The primary key."""
        return self.elements[0]

    @property
    def shape(self) -> tuple[str, ...]:
        """The codes: primary key, then qualifiers."""
        return tuple(one.code for one in self.elements)

    def __str__(self) -> str:
        """As it is printed below a barcode."""
        return "".join(map(str, self.elements))

    def walk_up(self) -> Iterator[Key]:
        """The key itself, then what it is part of, each without the last qualifier: serial, lot, consumer product
        variant, GTIN (GS1-Conformant Resolver: where nothing is known of the narrower, the wider answers)."""
        for count in range(len(self.elements), 0, -1):
            yield Key(self.elements[:count])


def make_key(elements: Iterable[Element]) -> Key:
    """A key from its elements in order, checked. Raises :class:`IdentifierError`."""
    given = tuple(elements)
    if not given or given[0].code not in PRIMARY_KEYS:
        raise IdentifierError(NO_PRIMARY)
    primary, *qualifiers = (given[0]._replace(value=_whole_gtin(given[0])), *given[1:])
    codes = [one.code for one in qualifiers]
    alternatives = PRIMARY_KEYS[primary.code]
    if not any(_in_order(codes, row) for row in alternatives):
        allowed = " | ".join(", ".join(row) for row in alternatives) or "-"
        raise IdentifierError(WRONG_QUALIFIERS, code=primary.code, given=", ".join(codes)[:100], allowed=allowed)
    for element in (primary, *qualifiers):
        check_element(element)
    return Key((primary, *qualifiers))


def _whole_gtin(element: Element) -> str:
    short = element.code == GTIN and len(element.value) in _GTIN_LENGTHS
    return element.value.zfill(14) if short else element.value


def _in_order(codes: list[str], row: tuple[str, ...]) -> bool:
    """Whether ``codes`` are some of ``row``, in its order, each at most once."""
    rest = iter(row)
    return all(code in rest for code in codes)
