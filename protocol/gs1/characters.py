"""The characters of GS1 values, and what is reckoned from them (GS1 General Specifications, sections 7.9 and 7.11)."""

from __future__ import annotations

from calendar import monthrange
from typing import Final

from protocol.series import check_digit

DIGITS: Final = "0123456789"
_UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SET_82: Final = f"!\"%&'()*+,-./{DIGITS}:;<=>?{_UPPER}_{_UPPER.lower()}"
"""GS1 AI encodable character set 82, in its order, which is that of ASCII."""

SET_39: Final = f"#-/{DIGITS}{_UPPER}"
"""GS1 AI encodable character set 39: component/part identifiers."""

SET_64: Final = f"-{DIGITS}=_{_UPPER}{_UPPER.lower()}"
"""Base64 for URLs, with padding: digital signatures."""

SETS: Final = {"N": DIGITS, "X": SET_82, "Y": SET_39, "Z": SET_64}
"""Character sets by the letter that formats use for them."""

_PAIR_CHARACTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PRIMES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)
_MODULUS: Final = 1_021


def digit_behind(digits: str) -> str:
    """The check digit that belongs behind decimal digits."""
    return check_digit(digits.encode()).decode()


def pair_behind(text: str) -> str:
    """The two check characters that belong behind at most 23 characters of set 82 (GS1 General Specifications, section
    7.9.5): values weighed with primes from the right, modulo 1,021, in base 32."""
    total = sum(SET_82.index(one) * prime for one, prime in zip(reversed(text), _PRIMES, strict=False)) % _MODULUS
    return _PAIR_CHARACTERS[total >> 5] + _PAIR_CHARACTERS[total & 31]


def is_day(text: str, *, whole_month: bool = False) -> bool:
    """Whether YYMMDD is a day; with ``whole_month`` also DD = 00, which leaves the day open. Years are those from 1951
    to 2050 or so, of which every fourth is a leap year."""
    year, month, day = int(text[:2]), int(text[2:4]), int(text[4:6])
    return 1 <= month <= 12 and (0 if whole_month else 1) <= day <= monthrange(2_000 + year, month)[1]


def is_time(text: str) -> bool:
    """Whether HH, HHMM or HHMMSS is a time of day."""
    limits = (23, 59, 59)
    return all(int(text[2 * n : 2 * n + 2]) <= limits[n] for n in range(len(text) // 2))
