"""Series: one registration for a run of identifiers that differ in a counter.

A series is written as a *pattern*, an identifier in which braces hold the first and the last counter::

    88.118.32001/B2311-{000001..999999}            decimal: 999,999 members
    88.118.32001/U{0000..FFFF;hex}-CN              base 16, digits and A to F
    88.118.32001/K{000..ZZZ;base36}                base 36, digits and A to Z
    88.118.32001/{690123400001..690123499999;gs1}  decimal, and a GS1 check digit behind each counter

Both counters have the same width, which is that of every member's, and are inside the series. With ``gs1`` each counter
is followed by the check digit of its digits (GS1 General Specifications, section 7.9). What stands before the braces,
the *head*, and behind them, the *tail*, is the same in all members; a brace in these is written twice.

The characters of an alphabet ascend in ASCII, so members in order of their bytes are members in order of their
counters, and a series is a set that can be reckoned with: the n-th member, whether something is a member, the next
member behind something, whether two series have a member in common."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from protocol.errors import IdentifierError, Rule
from protocol.identifiers import normal_text
from protocol.status import Status

MAX_WIDTH: Final = 18
"""Characters of a counter: those of an SSCC, the longest number that GS1 has. The key of a series in the store names
its counter twice, and stays within LMDB's 511 bytes by this."""

MAX_MEMBERS: Final = 1_000_000_000_000
"""Members of one series: a hundred years of a plant that makes three hundred products a second. A hundred thousand such
series are still counted in 64 bits."""


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"series.{name}", Status.BAD_IDENTIFIER, en, zh)


NO_PATTERN: Final = _rule(
    "no-pattern",
    "'{text}' is no series: behind the prefix it needs just one counter in braces, as in 88.118.32001/B{{0001..9999}}; "
    "other braces are written twice",
    "“{text}”不是序列：前缀之后须有且只有一个花括号中的计数器，例如 88.118.32001/B{{0001..9999}}；其他花括号请写两遍",
)
UNKNOWN_OPTION: Final = _rule(
    "unknown-option",
    "'{option}' is no option of a counter; there are hex, base36 and gs1, and gs1 is for decimal counters",
    "“{option}”不是计数器的选项；可用选项为 hex、base36 和 gs1，其中 gs1 只用于十进制计数器",
)
OTHER_CHARACTERS: Final = _rule(
    "other-characters",
    "the counter '{counter}' has characters other than {alphabet}",
    "计数器“{counter}”含有 {alphabet} 以外的字符",
)
OTHER_WIDTH: Final = _rule(
    "other-width",
    "'{first}' and '{last}' have not the same width; write both with leading zeros, in at most {limit} characters",
    "“{first}”与“{last}”长度不同；请用前导零补齐，且不超过 {limit} 个字符",
)
NOTHING_IN_IT: Final = _rule(
    "nothing-in-it", "the last counter '{last}' comes before the first, '{first}'", "末值“{last}”小于首值“{first}”"
)
TOO_MANY: Final = _rule(
    "too-many",
    "the series has {count} members; at most {limit} are allowed",
    "该序列有 {count} 个标识，超过上限 {limit} 个",
)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What counters are written with; ``option`` is its name in a pattern, ``letter`` in a key."""

    option: str
    letter: bytes
    characters: bytes

    @property
    def base(self) -> int:
        """How many characters there are."""
        return len(self.characters)

    def write(self, number: int, width: int) -> bytes:
        """A number, with leading zeros."""
        if self is DECIMAL:
            return b"%0*d" % (width, number)
        digits = bytearray()
        for _ in range(width):
            number, digit = divmod(number, self.base)
            digits.append(self.characters[digit])
        return bytes(reversed(digits))

    def has(self, counter: bytes) -> bool:
        """Whether all characters are of this alphabet."""
        return not counter.translate(None, self.characters)


DECIMAL: Final = Alphabet("", b"d", b"0123456789")
HEX: Final = Alphabet("hex", b"h", b"0123456789ABCDEF")
BASE36: Final = Alphabet("base36", b"z", b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ALPHABETS: Final = {one.letter: one for one in (DECIMAL, HEX, BASE36)}

_OPTIONS: Final = {one.option: one for one in (HEX, BASE36)}
_GS1: Final = "gs1"
_PIECE: Final = re.compile(r"[^{}]+|\{\{|\}\}|\{([0-9A-Za-z]+)\.\.([0-9A-Za-z]+)((?:;[0-9A-Za-z]+)*)\}|[{}]")

_ODD: Final = slice(None, None, -2)
_EVEN: Final = slice(-2, None, -2)


def check_digit(digits: bytes) -> bytes:
    """The GS1 check digit of decimal digits: from the right they weigh 3, 1, 3, 1 and so on."""
    odd, even = digits[_ODD], digits[_EVEN]
    total = 3 * (sum(odd) - 48 * len(odd)) + sum(even) - 48 * len(even)
    return b"%d" % (-total % 10)


@dataclass(frozen=True, slots=True)
class Series:
    """A series; made by :func:`parse_series` or :func:`make_series`, which check it. ``prefix`` is in normal form,
    ``first`` and ``last`` are the counters as numbers."""

    prefix: str
    head: bytes
    first: int
    last: int
    width: int
    alphabet: Alphabet = DECIMAL
    checked: bool = False
    tail: bytes = b""

    def __str__(self) -> str:
        """The pattern."""
        options = "".join(f";{one}" for one in (self.alphabet.option, _GS1 if self.checked else "") if one)
        first, last = (self.alphabet.write(number, self.width).decode() for number in (self.first, self.last))
        return f"{self.prefix}/{_doubled(self.head)}{{{first}..{last}{options}}}{_doubled(self.tail)}"

    @property
    def count(self) -> int:
        """How many members there are."""
        return self.last - self.first + 1

    @property
    def length(self) -> int:
        """Bytes of a member's suffix."""
        return len(self.head) + self.width + self.checked + len(self.tail)

    @property
    def shape(self) -> bytes:
        """What members have in common with those of other series that never interleave with them, printable: length of
        the head (3 hexadecimal digits), width (2), alphabet, ``c`` where a check digit follows or ``-``, length of the
        tail (3), tail."""
        check = b"c" if self.checked else b"-"
        sizes = len(self.head), self.width, self.alphabet.letter, check, len(self.tail), self.tail
        return b"%03x%02x%s%s%03x%s" % sizes

    def member(self, n: int) -> bytes:
        """The suffix of the n-th member, from 0."""
        counter = self.alphabet.write(self.first + n, self.width)
        return self.head + counter + (check_digit(counter) if self.checked else b"") + self.tail

    def place(self, suffix: bytes) -> int | None:
        """The n of which ``suffix`` is the n-th member; None where it is none."""
        begin, end = len(self.head), len(self.head) + self.width
        counter = suffix[begin:end]
        if len(suffix) != self.length or not self.alphabet.has(counter):
            return None
        n = int(counter, self.alphabet.base) - self.first
        return n if 0 <= n < self.count and self.member(n) == suffix else None

    def next_place(self, suffix: bytes) -> int:
        """The least n whose member is ``suffix`` or comes behind it in order of bytes; ``count`` where none does."""
        return bisect_left(range(self.count), suffix, key=self.member)

    def meets(self, other: Series) -> bool:
        """Whether some identifier is a member of both."""
        return self.prefix == other.prefix and self.length == other.length and _meet(self, other)

    def choices(self) -> list[bytes]:
        """For each byte of a member's suffix what may stand there."""
        head, tail = ([bytes((one,)) for one in part] for part in (self.head, self.tail))
        check = [DECIMAL.characters] * self.checked
        return head + [self.alphabet.characters] * self.width + check + tail


def make_series(
    prefix: str,
    head: bytes,
    first: bytes,
    last: bytes,
    alphabet: Alphabet = DECIMAL,
    *,
    checked: bool = False,
    tail: bytes = b"",
) -> Series:
    """A series from its parts, checked; the first and last counter as they are written. Raises
    :class:`IdentifierError`."""
    if checked and alphabet is not DECIMAL:
        raise IdentifierError(UNKNOWN_OPTION, option=_GS1)
    for counter in (first, last):
        if not alphabet.has(counter):
            shown = alphabet.characters.decode()
            raise IdentifierError(OTHER_CHARACTERS, counter=counter.decode("utf-8", "replace"), alphabet=shown)
    if len(first) != len(last) or not 0 < len(first) <= MAX_WIDTH:
        raise IdentifierError(OTHER_WIDTH, first=first.decode(), last=last.decode(), limit=MAX_WIDTH)
    numbers = int(first, alphabet.base), int(last, alphabet.base)
    if numbers[1] < numbers[0]:
        raise IdentifierError(NOTHING_IN_IT, first=first.decode(), last=last.decode())
    series = Series(prefix, head, *numbers, len(first), alphabet, checked, tail)
    if series.count > MAX_MEMBERS:
        raise IdentifierError(TOO_MANY, count=series.count, limit=MAX_MEMBERS)
    return series


def parse_series(text: str) -> Series:
    """The series that a pattern names. Raises :class:`IdentifierError`: the pattern is none, or its members break a
    rule
    of identifiers."""
    prefix, _, pattern = text.partition("/")
    pieces = list(_PIECE.finditer(pattern))
    counters = [i for i, piece in enumerate(pieces) if piece[1]]
    if len(counters) != 1 or any(piece[0] in ("{", "}") for piece in pieces):
        raise IdentifierError(NO_PATTERN, text=text)
    head, tail = (
        "".join(piece[0][0] if piece[0] in ("{{", "}}") else piece[0] for piece in part)
        for part in (pieces[: counters[0]], pieces[counters[0] + 1 :])
    )
    first, last, options = pieces[counters[0]].groups()
    alphabet, checked = _read_options(options)
    # One member stands for all: they differ in characters that are always legal.
    member = normal_text(f"{prefix}/{head}{first}{'0' * checked}{tail}")
    name, _, suffix = member.partition(b"/")
    start = len(head.encode())
    behind = start + len(first) + checked
    return make_series(
        name.decode(), suffix[:start], first.encode(), last.encode(), alphabet, checked=checked, tail=suffix[behind:]
    )


def is_pattern(text: str) -> bool:
    """Whether a text from a person means a series: there is a counter in braces behind the prefix."""
    return any(piece[1] for piece in _PIECE.finditer(text.partition("/")[2]))


def _read_options(text: str) -> tuple[Alphabet, bool]:
    alphabet, checked = DECIMAL, False
    for option in text.split(";")[1:]:
        if option == _GS1 and not checked:
            checked = True
        elif option in _OPTIONS and alphabet is DECIMAL:
            alphabet = _OPTIONS[option]
        else:
            raise IdentifierError(UNKNOWN_OPTION, option=option)
    return alphabet, checked


def _doubled(part: bytes) -> str:
    return part.decode().replace("{", "{{").replace("}", "}}")


def _meet(one: Series, other: Series) -> bool:
    """Whether two series of one length have a member in common, exactly.

    Each is the set of strings whose bytes are of its choices, which lie from its first member to its last and, where it
    is checked, have the right digit. The common string is looked for byte by byte; what is remembered of a beginning is
    whether it still equals that of the lower and of the upper bound, and the sums for the check digits: at most 400
    beginnings that differ.
    """
    low = max(one.member(0), other.member(0))
    high = min(one.member(one.count - 1), other.member(other.count - 1))
    if low > high:
        return False
    series = (one, other)
    beginnings = {(True, True, (0, 0))}
    for at, allowed in enumerate(zip(one.choices(), other.choices(), strict=True)):
        letters = set(allowed[0]).intersection(allowed[1])
        beginnings = {
            (at_low and letter == low[at], at_high and letter == high[at], sums)
            for at_low, at_high, before in beginnings
            for letter in letters
            if (not at_low or letter >= low[at]) and (not at_high or letter <= high[at])
            if (sums := _add(series, before, at, letter)) is not None
        }
    return bool(beginnings)


def _add(series: tuple[Series, Series], sums: tuple[int, int], at: int, letter: int) -> tuple[int, int] | None:
    """The sums with one more character; None where it is a check digit, and the wrong one."""
    added = []
    for one, total in zip(series, sums, strict=True):
        behind = len(one.head) + one.width - at  # how many digits of the counter there are from here on
        if one.checked and 0 < behind <= one.width:
            total = (total + (letter - 48) * (3 if behind % 2 else 1)) % 10
        elif one.checked and behind == 0 and letter - 48 != -total % 10:
            return None
        added.append(total)
    return added[0], added[1]
