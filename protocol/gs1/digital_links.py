"""GS1 Digital Link URIs, uncompressed (GS1 Digital Link Standard: URI Syntax, sections 4 to 6)::

    https://example.com/some/stem/01/06901234000016/10/L7/21/S1?17=261231&linkType=gs1:pip

The *stem* is what stands before the primary key. Codes and values alternate behind it: the key. In the query, all
names of digits alone are application identifiers, the *attributes*; the *others* are not of GS1 and are handed on. A
fragment never reaches a server, and is let go.

A link is written in one way: codes rather than names, a GTIN in 14 digits, everything but letters, digits and ``-._~``
percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from protocol.errors import IdentifierError, Rule
from protocol.gs1.application_identifiers import Element, application_identifier, check_element
from protocol.gs1.keys import NAMES, NO_PRIMARY, PRIMARY_KEYS, QUALIFIERS, Key, make_key
from protocol.status import Status

MAX_LINK_CHARACTERS: Final = 8_000
"""Characters of a URI: what RFC 9110, section 4.1, wants everybody to take, and more than a QR code holds."""

CANONICAL_STEM: Final = "https://id.gs1.org"


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"gs1.{name}", Status.BAD_IDENTIFIER, en, zh)


TOO_LONG: Final = _rule(
    "link-too-long",
    "the link has {length} characters; at most {limit} are allowed",
    "链接长度为 {length} 个字符，超过上限 {limit} 个",
)
NO_URI: Final = _rule(
    "no-link",
    "this is no web address: it needs http:// or https:// or to begin with '/', and other characters than those of "
    "ASCII are percent-encoded",
    "这不是网址：须以 http://、https:// 或“/”开头，ASCII 以外的字符须使用百分号编码",
)
BAD_ENCODING: Final = _rule(
    "bad-percent-encoding",
    "'{text}' is not percent-encoded UTF-8: each '%' needs two hexadecimal digits",
    "“{text}”不是百分号编码的 UTF-8：每个“%”之后须有两位十六进制数字",
)
UNPAIRED: Final = _rule(
    "unpaired",
    "'{text}' in the path is neither a primary key nor one of its qualifiers; behind the primary key, codes and values "
    "alternate, and no slash ends the path",
    "路径中的“{text}”既不是主键也不是其限定符；主键之后应为编码与值交替出现，且末尾没有斜杠",
)
NOT_AN_ATTRIBUTE: Final = _rule(
    "not-an-attribute",
    "({code}) belongs in the path, with its primary key, and not in the query",
    "({code}) 应与其主键一同位于路径中，而不是查询串中",
)
TWICE: Final = _rule("twice", "({code}) is there more than once", "({code}) 出现了不止一次")

_SPLIT: Final = re.compile(r"(?:(https?)://([^/?#\s]+))?(/[^?#]*)(?:\?([^#]*))?(?:#.*)?", re.ASCII | re.IGNORECASE)
_STEM: Final = re.compile(r"(?:https?://[^/?#\s]+)?(?:/[^?#\s]*)?", re.ASCII)
_VISIBLE: Final = re.compile(r"[!-~]*")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class DigitalLink:
    """A checked link; made by :func:`parse_link` or :func:`make_link`. ``stem`` is as it was given, without the slash
    before the key; it has neither scheme nor host where only a path was given."""

    key: Key
    attributes: tuple[Element, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    stem: str = CANONICAL_STEM

    def __str__(self) -> str:
        """The URI."""
        query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in (*self.attributes, *self.others))
        return f"{self.stem}{key_path(self.key)}{'?' if query else ''}{query}"

    @property
    def elements(self) -> tuple[Element, ...]:
        """What it says in terms of GS1: the key, then the attributes."""
        return (*self.key.elements, *self.attributes)

    def canonical(self) -> DigitalLink:
        """The link by which this one compares with others: at ``id.gs1.org``, attributes in the order of their codes,
        without what is not of GS1."""
        return replace(self, stem=CANONICAL_STEM, attributes=tuple(sorted(self.attributes)), others=())


def key_path(key: Key) -> str:
    """The path of a key: ``/01/06901234000016/21/S1``."""
    return "".join(f"/{code}/{_encoded(value)}" for code, value in key.elements)


def make_link(
    key: Key,
    attributes: tuple[Element, ...] = (),
    others: tuple[tuple[str, str], ...] = (),
    stem: str = CANONICAL_STEM,
) -> DigitalLink:
    """A link from its parts, the attributes checked. Raises :class:`IdentifierError`."""
    if not _STEM.fullmatch(stem):
        raise IdentifierError(NO_URI)
    codes = set(key.shape)
    for element in attributes:
        if not application_identifier(element.code).attribute or element.code in QUALIFIERS & _row_of(key):
            raise IdentifierError(NOT_AN_ATTRIBUTE, code=element.code)
        check_element(element)
        if element.code in codes:
            raise IdentifierError(TWICE, code=element.code)
        codes.add(element.code)
    return DigitalLink(key, attributes, others, stem)


def parse_link(text: str) -> DigitalLink:
    """The link of a URI, or of its path and query. Raises :class:`IdentifierError`."""
    if len(text) > MAX_LINK_CHARACTERS:
        raise IdentifierError(TOO_LONG, length=len(text), limit=MAX_LINK_CHARACTERS)
    match = _SPLIT.fullmatch(text) if _VISIBLE.fullmatch(text) else None
    if match is None:
        raise IdentifierError(NO_URI)
    scheme, authority, path, query = match.groups()
    before, elements = _read_path(path)
    origin = f"{scheme.lower()}://{authority.lower()}" if scheme else ""
    pairs = list(_read_query(query or ""))
    return make_link(
        make_key(elements),
        tuple(Element(*pair) for pair in pairs if _is_code(pair[0])),
        tuple(pair for pair in pairs if not _is_code(pair[0])),
        origin + before,
    )


def _row_of(key: Key) -> set[str]:
    return {code for row in PRIMARY_KEYS[key.primary.code] for code in row}


def _read_path(path: str) -> tuple[str, list[Element]]:
    """The stem and the elements of a path. Pairs are taken from its end until one is a primary key: no qualifier is
    one, so this is the only way to read it."""
    segments = path.split("/")
    elements: list[Element] = []
    while len(segments) > 2:
        value, name = segments.pop(), segments.pop()
        code = NAMES.get(name, name)
        if code not in PRIMARY_KEYS and code not in QUALIFIERS:
            raise IdentifierError(UNPAIRED, text=name[:100]) if _has_primary(segments) else IdentifierError(NO_PRIMARY)
        elements.append(Element(code, _decoded(value)))
        if code in PRIMARY_KEYS:
            return "/".join(segments), elements[::-1]
    raise IdentifierError(NO_PRIMARY)


def _has_primary(segments: list[str]) -> bool:
    return any(NAMES.get(one, one) in PRIMARY_KEYS for one in segments)


def _read_query(query: str) -> Iterator[tuple[str, str]]:
    for piece in re.split("[&;]", query):
        if piece:
            name, _, value = piece.replace("+", "%20").partition("=")
            yield _decoded(name), _decoded(value)


def _is_code(name: str) -> bool:
    """Names of digits alone are GS1's, known or not."""
    return name.isascii() and name.isdigit()


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    if not _BARE_PERCENT.search(text):
        try:
            return unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            pass
    raise IdentifierError(BAD_ENCODING, text=text[:100])


def _encoded(text: str) -> str:
    return quote(text, safe="")
