"""Element strings: what a scanner gives for a GS1 barcode (GS1 General Specifications, section 7.8).

Codes and values follow each other. A value of predefined length ends by itself; any other is ended by FNC1, which
scanners transmit as the control character GS (0x1D), or by the end of the string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.errors import IdentifierError, Rule
from protocol.gs1.application_identifiers import (
    TABLE,
    UNKNOWN_CODE,
    Element,
    application_identifier,
    check_element,
)
from protocol.gs1.digital_links import CANONICAL_STEM, TWICE, DigitalLink, make_link
from protocol.gs1.keys import NO_PRIMARY, PRIMARY_KEYS, make_key
from protocol.status import Status

FNC1: Final = "\x1d"

MAX_ELEMENT_STRING_CHARACTERS: Final = 7_089
"""Characters of an element string: what the largest QR code holds."""

SYMBOLOGIES: Final = ("]C1", "]e0", "]d2", "]Q3", "]J1")
"""What scanners put in front: GS1-128, DataBar, DataMatrix, QR Code, DotCode (ISO/IEC 15424)."""

_CODE_LENGTHS: Final = (2, 3, 4)

TOO_LONG: Final = Rule(
    "gs1.element-string-too-long",
    Status.BAD_IDENTIFIER,
    "the element string has {length} characters; at most {limit} are allowed",
    "单元数据串长度为 {length} 个字符，超过上限 {limit} 个",
)


def parse_elements(text: str) -> tuple[Element, ...]:
    """The elements of an element string, checked; what is there twice with one value is taken once. Raises
    :class:`IdentifierError`."""
    if len(text) > MAX_ELEMENT_STRING_CHARACTERS:
        raise IdentifierError(TOO_LONG, length=len(text), limit=MAX_ELEMENT_STRING_CHARACTERS)
    at = 3 if text.startswith(SYMBOLOGIES) else 0
    at += text.startswith(FNC1, at)
    found: dict[str, str] = {}
    while at < len(text):
        code = _code_at(text, at)
        at += len(code)
        row = TABLE[code]
        fnc1 = text.find(FNC1, at)
        end = len(text) if fnc1 < 0 else fnc1
        if row.predefined:
            end = min(end, at + row.most)
        element = Element(code, text[at:end])
        check_element(element)
        if found.setdefault(code, element.value) != element.value:
            raise IdentifierError(TWICE, code=code)
        at = end + text.startswith(FNC1, end)
    return tuple(Element(code, value) for code, value in found.items())


def write_elements(elements: Iterable[Element]) -> str:
    """The element string of elements, in their order, without a symbology in front. FNC1 stands only where another
    element follows a value that does not end by itself. Raises :class:`IdentifierError`."""
    written = ""
    open_ended = False
    for element in elements:
        check_element(element)
        written += (FNC1 if open_ended else "") + element.code + element.value
        open_ended = not application_identifier(element.code).predefined
    return written


def link_of(elements: Iterable[Element], stem: str = CANONICAL_STEM) -> DigitalLink:
    """The link that says the same as elements: the first primary key among them with its qualifiers, the rest as
    attributes. Raises :class:`IdentifierError`."""
    given = list(elements)
    primary = next((one for one in given if one.code in PRIMARY_KEYS), None)
    if primary is None:
        raise IdentifierError(NO_PRIMARY)
    order = [code for row in PRIMARY_KEYS[primary.code] for code in row]
    qualifiers = sorted((one for one in given if one.code in order), key=lambda one: order.index(one.code))
    rest = tuple(one for one in given if one is not primary and one.code not in order)
    return make_link(make_key((primary, *qualifiers)), rest, stem=stem)


def _code_at(text: str, at: int) -> str:
    for length in _CODE_LENGTHS:
        if (code := text[at : at + length]) in TABLE:
            return code
    raise IdentifierError(UNKNOWN_CODE, code=text[at : at + 4])
