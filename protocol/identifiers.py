"""Identifiers: ``prefix "/" suffix``, split at the first slash.

The prefix is dot-separated segments and compares without regard to the case of ASCII letters; the
suffix is opaque UTF-8 and compares exactly. The *normal form* is the one that is stored, signed and
compared: ASCII letters of the prefix in upper case, the suffix untouched.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, Rule
from protocol.limits import MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES
from protocol.status import Status


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"identifier.{name}", Status.BAD_IDENTIFIER, en, zh)


NOT_TEXT: Final = _rule(
    "not-utf8", "the identifier is not UTF-8 at byte {position}", "标识在第 {position} 字节处不是合法的 UTF-8"
)
TOO_LONG: Final = _rule(
    "too-long",
    "the identifier has {length} bytes; at most {limit} are allowed",
    "标识长度为 {length} 字节，超过上限 {limit} 字节",
)
NO_SLASH: Final = _rule(
    "no-slash",
    "the identifier has no '/' between prefix and suffix; write it like 88.118.32001/P001",
    "标识缺少前缀与后缀之间的“/”，正确写法如 88.118.32001/P001",
)
EMPTY_PREFIX: Final = _rule("empty-prefix", "the prefix before '/' is empty", "“/”之前的前缀为空")
EMPTY_SUFFIX: Final = _rule(
    "empty-suffix", "the suffix after '/' (byte {position}) is empty", "“/”之后（第 {position} 字节）的后缀为空"
)
EMPTY_SEGMENT: Final = _rule(
    "empty-segment", "the prefix has an empty segment at byte {position}", "前缀在第 {position} 字节处有空的分段"
)
LONG_PREFIX: Final = _rule(
    "prefix-too-long",
    "the prefix has {length} bytes; at most {limit} are allowed",
    "前缀长度为 {length} 字节，超过上限 {limit} 字节",
)
SLASH_IN_PREFIX: Final = _rule(
    "slash-in-prefix",
    "a prefix alone has no '/'; there is one at byte {position}",
    "单独的前缀不应含有“/”，第 {position} 字节处有一个",
)
CONTROL: Final = _rule(
    "control-character",
    "control character U+{code} at byte {position} is not allowed in an identifier",
    "标识第 {position} 字节处含有不允许的控制字符 U+{code}",
)

_PRINTING = r"[^\x00-\x1f\x7f-\x9f/.]"
_PREFIX_PATTERN = rf"{_PRINTING}+(?:\.{_PRINTING}+)*"
_LEGAL = re.compile(rf"({_PREFIX_PATTERN})/[^\x00-\x1f\x7f-\x9f]+")
_LEGAL_PREFIX = re.compile(_PREFIX_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Identifier(NamedTuple):
    """A checked identifier in normal form."""

    prefix: str
    suffix: str

    def __str__(self) -> str:
        return f"{self.prefix}/{self.suffix}"


def parse(text: str | bytes) -> Identifier:
    """Check ``text`` and split it. Raises :class:`IdentifierError` that names rule and position."""
    prefix, _, suffix = (normal_text(text) if isinstance(text, str) else normal(text)).decode().partition("/")
    return Identifier(prefix, suffix)


def normal_text(text: str) -> bytes:
    """The normal form, in UTF-8, of an identifier from a person or program. Raises :class:`IdentifierError`."""
    return normal(_octets(text))


def normal_prefix_text(text: str) -> str:
    """The normal form of a prefix from a person or program. Raises :class:`IdentifierError`."""
    return normal_prefix(_octets(text)).decode()


def normal_zone_text(text: str) -> str:
    """The same for the prefix of a zone, which may be empty: that is the root."""
    return normal_prefix_text(text) if text else ""


def _octets(text: str) -> bytes:
    """UTF-8, with lone surrogates let through: undecodable bytes of a command line arrive as these, and the check for
    UTF-8 that follows names them."""
    return text.encode("utf-8", "surrogatepass")


def normal(raw: bytes) -> bytes:
    """The normal form of an identifier in UTF-8, checked. Raises :class:`IdentifierError`."""
    try:
        match = _LEGAL.fullmatch(raw.decode())
    except UnicodeDecodeError as error:
        raise IdentifierError(NOT_TEXT, position=error.start) from None
    if match is None or len(raw) > MAX_IDENTIFIER_BYTES:
        raise _first_fault(raw)
    slash = raw.index(b"/")
    if slash > MAX_PREFIX_BYTES:
        raise _long_prefix(slash)
    prefix = raw[:slash]
    upper = prefix.upper()  # bytes.upper changes ASCII letters only, which is the rule
    return raw if upper == prefix else upper + raw[slash:]


def normal_prefix(raw: bytes) -> bytes:
    """The normal form of a prefix alone, checked. Raises :class:`IdentifierError`."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise IdentifierError(NOT_TEXT, position=error.start) from None
    if len(raw) > MAX_PREFIX_BYTES:
        raise _long_prefix(len(raw))
    if _LEGAL_PREFIX.fullmatch(text) is None:
        fault = _first_fault(raw + b"/x")
        raise IdentifierError(SLASH_IN_PREFIX, position=raw.index(b"/")) if fault.rule is LONG_PREFIX else fault
    return raw.upper()


def covers(zone: str, prefix: str) -> bool:
    """Whether ``prefix`` is ``zone`` or lies below it; both in normal form. The empty zone covers all."""
    return not zone or prefix == zone or prefix.startswith(zone + ".")


def _first_fault(raw: bytes) -> IdentifierError:
    """The error of the first rule that the bytes break, in the order a person would look."""
    if len(raw) > MAX_IDENTIFIER_BYTES:
        return IdentifierError(TOO_LONG, position=MAX_IDENTIFIER_BYTES, length=len(raw), limit=MAX_IDENTIFIER_BYTES)
    text = raw.decode()
    control = _CONTROL.search(text)
    if control is not None:
        position = len(text[: control.start()].encode())
        return IdentifierError(CONTROL, position=position, code=f"{ord(control.group()):04X}")
    prefix, slash, suffix = raw.partition(b"/")
    if not slash:
        return IdentifierError(NO_SLASH, position=len(raw))
    if not prefix:
        return IdentifierError(EMPTY_PREFIX, position=0)
    position = 0
    for segment in prefix.split(b"."):
        if not segment:
            return IdentifierError(EMPTY_SEGMENT, position=position)
        position += len(segment) + 1
    if not suffix:
        return IdentifierError(EMPTY_SUFFIX, position=len(raw))
    return _long_prefix(len(prefix))


def _long_prefix(length: int) -> IdentifierError:
    return IdentifierError(LONG_PREFIX, position=MAX_PREFIX_BYTES, length=length, limit=MAX_PREFIX_BYTES)
