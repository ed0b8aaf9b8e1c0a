"""Telling UTF-8 from GB18030, the two encodings in which spreadsheets write CSV in China.

Nearly every byte sequence *can* be read as GB18030, so success of decoding says little: UTF-8 text with one broken
byte would come out as well-formed nonsense. The decision therefore weighs how much of a sample makes sense either
way, and where neither does the caller is asked. Once it is made, a byte that does not fit concerns its row alone:
such bytes are carried as lone surrogates U+DC80 to U+DCFF (PEP 383), which no later step can encode unnoticed.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final, NamedTuple

from protocol.errors import InvalidInput, SettingsError
from registry.importing import rules

SAMPLE_BYTES: Final = 4 << 20
"""Bytes from the beginning of a file by which its encoding is told."""

ESCAPED: Final = re.compile("[\udc80-\udcff]")
"""A byte that did not decode."""

_COMMON_SHARE: Final = 0.5
"""Share of the distinct characters that must be of GB 2312, the everyday set, before text counts as Chinese."""


class Encoding(NamedTuple):
    """A codec by name, and the bytes of byte order mark to leave out before the text."""

    name: str
    mark: int


def detect(path: Path, forced: str | None) -> Encoding:
    """The encoding of a file; ``forced`` overrules all but a byte order mark's length.

    Raises :class:`InvalidInput` where it cannot be told, :class:`SettingsError` where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError as error:
        raise SettingsError(rules.NO_INPUT, path=str(path), reason=error.strerror or str(error)) from None
    mark = len(codecs.BOM_UTF8) if sample.startswith(codecs.BOM_UTF8) else 0
    if forced is not None:
        return Encoding(forced, mark if forced == "utf-8" else 0)
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput(rules.UTF_16, path=str(path))
    if mark:
        return Encoding("utf-8", mark)
    return Encoding(_weigh(path, sample), 0)


def undecoded_byte(text: str) -> str | None:
    """The first byte of ``text`` that did not decode, as two hexadecimal digits."""
    match = ESCAPED.search(text)
    return f"{ord(match.group()) - 0xDC00:02X}" if match else None


def _weigh(path: Path, sample: bytes) -> str:
    text = _decode(sample, "utf-8")
    broken = len(ESCAPED.findall(text))
    if not broken:
        return "utf-8"
    whole = sum(len(run) for run in re.findall("[^\x00-\x7f\udc80-\udcff]+", text))
    if whole > broken:
        return "utf-8"  # a real GB18030 file has several broken sequences for each that happens to be whole
    text = _decode(sample, "gb18030")
    characters = set(re.findall("[^\x00-\x7f\udc80-\udcff]", text))
    common = sum(1 for character in characters if _is_everyday(character))
    if len(ESCAPED.findall(text)) <= broken // 4 and common >= len(characters) * _COMMON_SHARE and common:
        return "gb18030"
    match = ESCAPED.search(_decode(sample, "utf-8"))
    position = len(_decode(sample, "utf-8")[: match.start()].encode()) if match else 0
    raise InvalidInput(rules.UNKNOWN_ENCODING, path=str(path), position=position)


def _decode(sample: bytes, encoding: str) -> str:
    # Not final: a character that the end of the sample cuts in two is no fault.
    return codecs.getincrementaldecoder(encoding)("surrogateescape").decode(sample, False)


def _is_everyday(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
