"""What is made of GS1 text from a stranger: judges like those of ``decoders``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from protocol.errors import IdentifierError
from protocol.gs1.application_identifiers import Element
from protocol.gs1.digital_links import parse_link
from protocol.gs1.element_strings import link_of, parse_elements, write_elements
from protocol.gs1.keys import make_key
from protocol.gs1.mapping import make_mapping
from protocol.identifiers import parse

Given = TypeVar("Given")
Value = TypeVar("Value")

GTIN: Final = "06901234000016"
GS1_SEEDS: Final = (
    f"https://example.com/a/01/{GTIN}/22/2A/10/L%2F7/21/S1?17=261231&linkType=gs1:pip".encode(),
    b"/8003/09506000134352A1?240=x;7007=260101260131",
    b"/gln/9506000134352/glnx/a#top",
    f"]d201{GTIN}10L7\x1d21S1\x1d3103000195".encode(),
    b"00106141412345678908\x1d8008260101235959",
    b"{gtin=069}.{serial}\n{gtin}/{lot}~{serial}\n{gtin}/{lot}\n{{{sscc}}}",
    b"{grai}\n#{8010}.{8011}\nP{gsrnp}",
)
KEYS: Final = tuple(
    make_key(Element(*pair) for pair in pairs)
    for pairs in (
        (("01", GTIN),),
        (("01", GTIN), ("21", "-.S")),
        (("01", GTIN), ("10", "L"), ("21", "-.S")),
        (("00", "106141412345678908"),),
        (("8003", "09506000134352A1"),),
    )
)


def attempt(function: Callable[[Given], Value], given: Given) -> Value | None:
    """What a function makes of something; None where it is refused, which must have a sentence."""
    try:
        return function(given)
    except IdentifierError as refused:
        fault = refused
    assert str(fault)
    return None


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def judge_link(data: bytes) -> None:
    """A link that was read is the same when it is written, and says the same as its element string."""
    link = attempt(parse_link, text_of(data))
    if link is None:
        return
    assert parse_link(str(link)) == link
    assert parse_link(str(link.canonical())) == link.canonical() == link.canonical().canonical()
    assert parse_elements(write_elements(link.elements)) == link.elements
    assert list(link.key.walk_up())[-1].primary == link.key.primary


def judge_elements(data: bytes) -> None:
    """Elements that were read are the same when they are written; where they have a link, it is one."""
    elements = attempt(parse_elements, text_of(data))
    if elements is None:
        return
    assert parse_elements(write_elements(elements)) == elements
    link = attempt(link_of, elements)
    if link is not None:
        assert parse_link(str(link)) == link
        assert sorted(link.elements) == sorted(elements)


def judge_rule(data: bytes) -> None:
    """By a rule that was accepted, keys have identifiers of their own that lead back to them."""
    mapping = attempt(lambda text: make_mapping("88.118", text.split("\n")), text_of(data))
    found = set()
    for key in KEYS if mapping is not None else ():
        identifier = attempt(mapping.identifier, key)
        if identifier is None:
            continue
        assert identifier not in found
        found.add(identifier)
        assert parse(str(identifier)) == identifier
        assert mapping.key(identifier) == key


GS1: Final[dict[str, Callable[[bytes], None]]] = {
    "gs1_link": judge_link,
    "gs1_elements": judge_elements,
    "gs1_rule": judge_rule,
}
