"""What to draw: right values, keys and links of GS1."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import strategies as st

from protocol.gs1.application_identifiers import TABLE, Component, Element
from protocol.gs1.characters import DIGITS, digit_behind, pair_behind
from protocol.gs1.digital_links import DigitalLink, make_link
from protocol.gs1.keys import PRIMARY_KEYS, Key, make_key

DAYS = st.integers(0, 18_000).map(lambda n: (date(2001, 1, 1) + timedelta(n)).strftime("%y%m%d"))

ALL_KEYS = st.sampled_from(sorted(PRIMARY_KEYS))


@st.composite
def parts(draw: st.DrawFn, component: Component) -> str:
    """A right value of one component, made right by rules of its own."""
    checks = component.checks
    least = max(component.least, 4 if "company" in checks else 1, 6 if "pair" in checks else 1)
    text = draw(st.text(component.characters, min_size=least, max_size=component.most))
    if "company" in checks:
        text = draw(st.text(DIGITS, min_size=4, max_size=4)) + text[4:]
    if "pair" in checks:
        text = text[:-2] + pair_behind(text[:-2])
    if "digit" in checks:
        text = text[:-1] + digit_behind(text[:-1])
    if "day" in checks or "month" in checks:
        text = draw(DAYS)
    if "time" in checks:
        text = draw(st.sampled_from(["00", "23"])) + text[2:].replace(text[2:], "59"[: len(text) - 2])
    if "piece" in checks:
        text = draw(st.sampled_from(["0101", "0199", "9999"]))
    if "open" in checks:
        text = draw(st.sampled_from(["0000", "2359", "9999"]))
    for check, right in (("zero", "0"), ("flag", "1"), ("minus", "-")):
        text = right if check in checks else text
    return text if "counted" not in checks else text.lstrip("0") or "0"


@st.composite
def values(draw: st.DrawFn, code: str) -> str:
    """A right value of an application identifier."""
    value = ""
    for component in TABLE[code].components:
        if component.optional and draw(st.booleans()):
            break
        value += draw(parts(component))
    return value


def elements(codes: st.SearchStrategy[str]) -> st.SearchStrategy[Element]:
    return codes.flatmap(lambda code: values(code).map(lambda value: Element(code, value)))


@st.composite
def keys(draw: st.DrawFn, codes: st.SearchStrategy[str] = ALL_KEYS) -> Key:
    """A key of any shape, with a primary key of ``codes``."""
    primary = draw(codes)
    row = [code for code in draw(st.sampled_from(PRIMARY_KEYS[primary])) if draw(st.booleans())]
    return make_key(draw(elements(st.just(code))) for code in (primary, *row))


NAMES = st.text(max_size=5).filter(lambda name: not (name.isascii() and name.isdigit()))
STEMS = st.sampled_from(["", "/some", "https://id.gs1.org", "http://example.com:8080/a/b", "https://xn--fsq.cn"])


@st.composite
def links(draw: st.DrawFn) -> DigitalLink:
    """A link with attributes and others."""
    key = draw(keys())
    taken = {*key.shape, *(code for row in PRIMARY_KEYS[key.primary.code] for code in row)}
    free = sorted(code for code, row in TABLE.items() if row.attribute and code not in taken)
    codes = draw(st.lists(st.sampled_from(free), max_size=3, unique=True))
    attributes = tuple(draw(elements(st.just(code))) for code in codes)
    others = tuple(draw(st.lists(st.tuples(NAMES, st.text(max_size=8)), max_size=3)))
    return make_link(key, attributes, others, draw(STEMS))
