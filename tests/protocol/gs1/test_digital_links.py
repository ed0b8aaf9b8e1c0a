"""GS1 Digital Link URIs: read, written, canonical."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IdentifierError, Rule
from protocol.gs1 import application_identifiers as table
from protocol.gs1 import digital_links as rules
from protocol.gs1 import keys
from protocol.gs1.digital_links import MAX_LINK_CHARACTERS, DigitalLink, key_path, make_link, parse_link
from protocol.gs1.keys import NAMES
from tests.protocol.gs1.drawing import links
from tests.vectors.load import load

GTIN = "09506000134352"


@given(links())
def test_what_is_written_is_read_again(link: DigitalLink) -> None:
    text = str(link)
    assert text.isascii()
    assert parse_link(text) == link
    assert str(parse_link(text)) == text


@given(links())
def test_the_canonical_form_is_one(link: DigitalLink) -> None:
    canonical = link.canonical()
    assert canonical.canonical() == canonical == parse_link(str(canonical))
    assert (canonical.key, sorted(canonical.attributes)) == (link.key, sorted(link.attributes))
    assert str(canonical).startswith("https://id.gs1.org/")
    moved = make_link(link.key, link.attributes[::-1], (), "http://example.com/x")
    assert moved.canonical() == canonical


@given(links(), st.booleans())
def test_names_stand_for_codes(link: DigitalLink, serial: bool) -> None:
    names = {code: name for name, code in NAMES.items() if serial or name != "serial"}
    named = "".join(
        f"/{names[segment]}" if i % 2 == 0 else f"/{segment}"
        for i, segment in enumerate(key_path(link.key)[1:].split("/"))
    )
    assert parse_link(named).key == link.key


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"https://id.gs1.org/01/{GTIN}", None),
        ("HTTPS://ID.GS1.ORG/gtin/9506000134352", f"https://id.gs1.org/01/{GTIN}"),
        ("https://example.com/01/9506000134352/lot/L7/ser/S1", f"https://example.com/01/{GTIN}/10/L7/21/S1"),
        (f"/01/{GTIN}/21/a%2fb%20", "unpaired or format"),
        (f"https://x.cn/a/b/01/{GTIN}/21/A%2FB%25?17=261231;3103=000195#top", f"https://x.cn/a/b/01/{GTIN}/21/A%2FB%25?17=261231&3103=000195"),
        (f"https://x.cn/01/{GTIN}?linkType=gs1:pip&17=261231&lang", f"https://x.cn/01/{GTIN}?17=261231&linkType=gs1%3Apip&lang="),
        (f"https://x.cn/01/{GTIN}?n=%E6%B3%B5+1", f"https://x.cn/01/{GTIN}?n=%E6%B3%B5%201"),
        (f"/01/{GTIN}/21/01", None),  # a serial number that looks like a code
        (f"/01/06901234000016/01/{GTIN}", None),  # the last primary key is the one; what is before it, a stem
        ("/00/106141412345678908?02=00614141123452&37=25&10=ABC123", None),
        ("/8003/09506000134352ABC", None),
        ("/414/9506000134352/254/a?10=1", None),  # a lot is no qualifier of a place
    ],
)  # fmt: skip
def test_links(text: str, written: str | None) -> None:
    if written == "unpaired or format":
        with pytest.raises(IdentifierError) as error:
            parse_link(text)
        assert error.value.rule is table.BAD_FORMAT  # a space is not of set 82
    else:
        assert str(parse_link(text)) == (written or text)


def test_parts() -> None:
    link = parse_link(f"https://x.cn/a/01/{GTIN}/10/L7?17=261231&linkType=all")
    assert link.stem == "https://x.cn/a"
    assert link.others == (("linkType", "all"),)
    assert "".join(map(str, link.elements)) == f"(01){GTIN}(10)L7(17)261231"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", rules.NO_URI),
        (f"ftp://x.cn/01/{GTIN}", rules.NO_URI),
        (f"https:///01/{GTIN}", rules.NO_URI),
        (f"https://x.cn/01/{GTIN}/21/泵", rules.NO_URI),
        (f"https://x.cn/01/{GTIN}\n", rules.NO_URI),
        ("/" + "x" * MAX_LINK_CHARACTERS, rules.TOO_LONG),
        ("https://x.cn", rules.NO_URI),
        ("/", keys.NO_PRIMARY),
        ("/01", keys.NO_PRIMARY),
        ("/AREkpUD6iIkhAA", keys.NO_PRIMARY),  # compressed
        ("/21/S1", keys.NO_PRIMARY),
        (f"/01/{GTIN}/", rules.UNPAIRED),
        (f"/01/{GTIN}/x/y", rules.UNPAIRED),
        (f"/01/{GTIN}/21/A%2", rules.BAD_ENCODING),
        (f"/01/{GTIN}/21/A%FF", rules.BAD_ENCODING),
        (f"/01/{GTIN}?x=%zz", rules.BAD_ENCODING),
        (f"/01/{GTIN}/21/1/10/2", keys.WRONG_QUALIFIERS),
        (f"/01/{GTIN}/21/", table.BAD_FORMAT),
        ("/01/09506000134353", table.CHECK_DIGIT),
        (f"/01/{GTIN}?10=A", rules.NOT_AN_ATTRIBUTE),
        ("/00/106141412345678908?21=A", rules.NOT_AN_ATTRIBUTE),
        (f"/01/{GTIN}?17=261231&17=261231", rules.TWICE),
        (f"/01/{GTIN}?01={GTIN}", rules.TWICE),
        (f"/01/{GTIN}?17=261232", table.NO_TIME),
        (f"/01/{GTIN}?240=a+b", table.BAD_FORMAT),
        (f"/01/{GTIN}?12345=1", table.UNKNOWN_CODE),
    ],
)  # fmt: skip
def test_what_is_no_link(text: str, rule: Rule) -> None:
    with pytest.raises(IdentifierError) as error:
        parse_link(text)
    assert error.value.rule is rule
    assert error.value.message("zh") != error.value.message("en")


def test_anchors_of_others() -> None:
    """Those that another resolver's tests and GS1's model have."""
    for name in ("test_01_09506000134352", "test_8004_0950600013430000001", "test_8004_095060001343"):
        anchor = load(f"gs1/{name}")["anchor"]
        assert str(parse_link(anchor)) == anchor
    for context in load("gs1/modelLinkset")["linkset"]:
        assert str(parse_link(context["anchor"]).canonical()) == context["anchor"]


@pytest.mark.parametrize(
    "stem", ["https://x.cn/a?b", "https://x.cn#", "ftp://x.cn", "x.cn", "https://x.cn/a b", "https://"]
)
def test_what_is_no_stem(stem: str) -> None:
    with pytest.raises(IdentifierError) as error:
        make_link(parse_link(f"/01/{GTIN}").key, stem=stem)
    assert error.value.rule is rules.NO_URI
