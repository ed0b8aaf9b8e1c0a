"""Patterns of a template's items: a small language whose matching takes one look at each character.

::

    pattern     = sequence { "|" sequence }          the text is one of these, whole
    sequence    = { one [ repeat ] }
    one         = character | "." | "\\d" | "\\w" | "\\" punctuation | "[" [ "^" ] { member } "]"
    member      = character | character "-" character | "\\d" | "\\w" | "\\" punctuation
    repeat      = "?" | "*" | "+" | "{n}" | "{n,}" | "{n,m}"

``\\d`` is 0 to 9, ``\\w`` ASCII letters, digits and ``_``, ``.`` any character. There are no groups. What may repeat a
varying number of times must not be able to begin what comes behind it: ``[A-Z]+[0-9]*`` is a pattern,
``[A-Z]+[A-Z0-9]*`` is not (write ``[A-Z][A-Z0-9]*``). So there is never a choice to take back, and nobody's pattern or
data can keep a node busy: the "unique particle attribution" of XML Schema, for the same reason.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from protocol.errors import RecordError, Rule
from protocol.limits import MAX_DATA_BYTES, MAX_PATTERN_CHARACTERS
from protocol.status import Status


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"pattern.{name}", Status.BAD_RECORD, en, zh)


TOO_LONG: Final = _rule(
    "too-long",
    "the pattern has {length} characters; at most {limit} are allowed",
    "匹配模式有 {length} 个字符，超过上限 {limit} 个",
)
MALFORMED: Final = _rule(
    "malformed",
    "the pattern cannot be read at character {position}: '{text}' is not understood there. It may have characters, "
    "[A-Z], \\d, \\w, ., | between alternatives, and ?, *, +, {{n}}, {{n,m}} behind one of these; other signs stand "
    "behind \\",
    "无法识别匹配模式第 {position} 个字符处的“{text}”。可用：普通字符、[A-Z]、\\d、\\w、.、以 | 分隔的多个选项，"
    "以及其后的 ?、*、+、{{n}}、{{n,m}}；其他符号前请加 \\",
)
AMBIGUOUS: Final = _rule(
    "ambiguous",
    "in the pattern, what '{part}' repeats may also begin what comes behind it; write it so that one character "
    "decides, for example [A-Z][A-Z0-9]* in place of [A-Z]+[A-Z0-9]*",
    "匹配模式中“{part}”重复的字符也可能是其后部分的开头；请改写为由一个字符即可判定的形式，"
    "例如用 [A-Z][A-Z0-9]* 代替 [A-Z]+[A-Z0-9]*",
)

_LAST: Final = 0x10FFFF
_DIGITS: Final = ((48, 57),)
_WORD: Final = ((48, 57), (65, 90), (95, 95), (97, 122))
_ANY: Final = ((0, _LAST),)
_SPECIAL: Final = frozenset("\\.|[](){}?*+^$")
_REPEAT: Final = re.compile(r"\?|\*|\+|\{([0-9]{1,5})(,([0-9]{1,5})?)?\}")

Ranges = tuple[tuple[int, int], ...]
"""Characters by number, from and to, ascending and apart."""


class _One(NamedTuple):
    """Characters of one kind, ``least`` to ``most`` of them (None: any number); ``text`` as it was written."""

    ranges: Ranges
    least: int
    most: int | None
    text: str


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """What matches whole texts of the pattern (``fullmatch``), in time that grows with the text alone. Raises
    :class:`RecordError`."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise RecordError(TOO_LONG, length=len(pattern), limit=MAX_PATTERN_CHARACTERS)
    reader = _Reader(pattern)
    sequences = reader.sequences()
    for sequence in sequences:
        _check_decided(sequence)
    return re.compile("|".join("".join(map(_translated, sequence)) for sequence in sequences))


def _check_decided(sequence: list[_One]) -> None:
    """See that at each character it is clear whether a repetition goes on."""
    for place, one in enumerate(sequence):
        if one.least == one.most:
            continue
        for behind in sequence[place + 1 :]:
            if behind.most != 0 and _meet(one.ranges, behind.ranges):
                raise RecordError(AMBIGUOUS, part=one.text)
            if behind.least:
                break


def _meet(some: Ranges, others: Ranges) -> bool:
    return any(first <= end and start <= last for start, end in some for first, last in others)


def _translated(one: _One) -> str:
    characters = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in one.ranges)
    if (one.least, one.most) == (1, 1):
        return f"[{characters}]"
    if one.least == one.most:
        return f"[{characters}]{{{one.least}}}"
    # What was taken is not given back: as that cannot begin what comes behind, nothing would come of trying.
    return f"[{characters}]{{{one.least},{'' if one.most is None else one.most}}}+"


class _Reader:
    """Reads a pattern from its beginning to its end."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def sequences(self) -> list[list[_One]]:
        """The alternatives."""
        sequences: list[list[_One]] = [[]]
        while self._at < len(self._pattern):
            if self._pattern[self._at] == "|":
                self._at += 1
                sequences.append([])
            else:
                sequences[-1].append(self._one())
        return sequences

    def _one(self) -> _One:
        start = self._at
        ranges = self._class() if self._pattern[start] == "[" else self._single(_SPECIAL - {"."})
        least, most = self._repeat()
        return _One(ranges, least, most, self._pattern[start : self._at])

    def _repeat(self) -> tuple[int, int | None]:
        match = _REPEAT.match(self._pattern, self._at)
        if match is None:
            return 1, 1
        start, self._at = self._at, match.end()
        sign = match.group()
        if sign in "?*+":
            return {"?": (0, 1), "*": (0, None), "+": (1, None)}[sign]
        least = int(match.group(1))
        if match.group(2) is None:
            most: int | None = least
        else:
            most = None if match.group(3) is None else int(match.group(3))
        if (most is not None and most < least) or least > MAX_DATA_BYTES or (most or 0) > MAX_DATA_BYTES:
            raise self._fault(start)
        return least, most

    def _class(self) -> Ranges:
        start = self._at
        self._at += 1
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        ranges: list[tuple[int, int]] = []
        while not self._pattern.startswith("]", self._at):
            if self._at >= len(self._pattern):
                raise self._fault(start)
            member = self._at
            first = self._single(frozenset("\\[]^"), in_class=True)
            if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
                self._at += 1
                if self._at >= len(self._pattern):
                    raise self._fault(start)
                last = self._single(frozenset("\\[]^"), in_class=True)
                if len(first) > 1 or len(last) > 1 or first[0][0] > last[0][1] or not _alone(first, last):
                    raise self._fault(member)
                ranges.append((first[0][0], last[0][1]))
            else:
                ranges += first
        self._at += 1
        found = _inverted(ranges) if negated else _joined(ranges)
        if not found:
            raise self._fault(start)
        return found

    def _single(self, special: frozenset[str], *, in_class: bool = False) -> Ranges:
        """One character, or what stands for one."""
        start = self._at
        sign = self._pattern[start]
        self._at += 1
        if sign == "\\":
            escaped = self._pattern[self._at : self._at + 1]
            self._at += 1
            if escaped == "d":
                return _DIGITS
            if escaped == "w":
                return _WORD
            if not escaped or not escaped.isascii() or escaped.isalnum() or not escaped.isprintable():
                raise self._fault(start)
            return ((ord(escaped), ord(escaped)),)
        if sign in special or 0xD800 <= ord(sign) <= 0xDFFF:
            raise self._fault(start)
        if sign == "." and not in_class:
            return _ANY
        return ((ord(sign), ord(sign)),)

    def _fault(self, position: int) -> RecordError:
        text = self._pattern[position : position + 8].encode("utf-8", "replace").decode()
        return RecordError(MALFORMED, position=position, text=text)


def _alone(first: Ranges, last: Ranges) -> bool:
    """Whether both ends of a range are one character."""
    return first[0][0] == first[0][1] and last[0][0] == last[0][1]


def _joined(ranges: list[tuple[int, int]]) -> Ranges:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def _inverted(ranges: list[tuple[int, int]]) -> Ranges:
    inverted: list[tuple[int, int]] = []
    begin = 0
    for first, last in _joined(ranges):
        if begin < first:
            inverted.append((begin, first - 1))
        begin = last + 1
    if begin <= _LAST:
        inverted.append((begin, _LAST))
    return tuple(inverted)
