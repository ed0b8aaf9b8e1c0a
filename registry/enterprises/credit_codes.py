"""The unified social credit code of an organisation (GB 32100-2015): eighteen characters, the last a check.

::

    category (2) ‖ administrative division (6 digits) ‖ organisation code (9) ‖ check

The check is 31 less the sum of the others' values times 3^i (mod 31), so it finds every single wrong character and
every two neighbours that were exchanged.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import InvalidInput, Rule
from protocol.status import Status

ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Values 0 to 30: no I, O, S, V, Z."""

CODE_CHARACTERS: Final = 18

MALFORMED: Final = Rule(
    "enterprise.credit-code",
    Status.BAD_REQUEST,
    "'{code}' is no unified social credit code: 18 characters, digits and capitals without I, O, S, V and Z, the "
    "third to the eighth digits",
    "“{code}”不是统一社会信用代码：应为 18 位数字或大写字母（不含 I、O、S、V、Z），其中第 3 至 8 位为数字",
)
WRONG_CHECK: Final = Rule(
    "enterprise.credit-code-check",
    Status.BAD_REQUEST,
    "the unified social credit code '{code}' is mistyped: its last character does not fit the others",
    "统一社会信用代码“{code}”有误：校验码与其余字符不符",
)

_SHAPE: Final = re.compile(rf"[{ALPHABET}]{{2}}[0-9]{{6}}[{ALPHABET}]{{10}}")
_SHOWN_CHARACTERS: Final = 40


def check_credit_code(text: str) -> str:
    """The code in capitals, without spaces around it. Raises :class:`InvalidInput`."""
    code = text.strip().upper()
    if _SHAPE.fullmatch(code) is None:
        raise InvalidInput(MALFORMED, code=text[:_SHOWN_CHARACTERS])
    if check_character(code[:-1]) != code[-1]:
        raise InvalidInput(WRONG_CHECK, code=code)
    return code


def check_character(first: str) -> str:
    """The eighteenth character for the first seventeen."""
    total = sum(ALPHABET.index(one) * pow(3, i, 31) for i, one in enumerate(first))
    return ALPHABET[-total % 31]
