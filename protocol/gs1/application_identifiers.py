"""The application identifiers: what a number before a value means, and what the value may look like.

A format is one or more components: a letter for the character set (N digits, X set 82, Y set 39, Z base64), a length
(``14``, or ``..20`` for 1 to 20), and behind a slash what is checked. Only the last component may be of variable
length; one in brackets may be missing.

Facts of the GS1 General Specifications, sections 3.2 and 7.8. Of a value is checked what a node must rely on:
characters, lengths, check digits and characters, company prefixes, dates, times, pieces of a total. Codes of countries
and currencies, IBANs, coordinates and coupons are taken by characters and length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, Rule
from protocol.gs1.characters import DIGITS, SETS, digit_behind, is_day, is_time, pair_behind
from protocol.status import Status


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"gs1.{name}", Status.BAD_IDENTIFIER, en, zh)


UNKNOWN_CODE: Final = _rule(
    "unknown-application-identifier",
    "'{code}' is no GS1 application identifier that is known here",
    "“{code}”不是本节点所知的 GS1 应用标识符",
)
BAD_FORMAT: Final = _rule(
    "bad-format",
    "the value '{value}' of ({code}) {title} is not of the format {format}",
    "({code}) {title} 的值“{value}”不符合格式 {format}",
)
CHECK_DIGIT: Final = _rule(
    "check-digit",
    "the check digit of '{value}' in ({code}) is wrong: it would be {expected}; look whether a digit was mistyped",
    "({code}) 中“{value}”的校验码有误，应为 {expected}；请检查是否输错数字",
)
CHECK_CHARACTERS: Final = _rule(
    "check-characters",
    "the check characters of '{value}' in ({code}) are wrong: they would be {expected}",
    "({code}) 中“{value}”的校验字符有误，应为 {expected}",
)
NO_COMPANY: Final = _rule(
    "no-company-prefix",
    "'{value}' in ({code}) does not begin with the digits of a GS1 company prefix",
    "({code}) 中的“{value}”未以 GS1 厂商识别代码的数字开头",
)
NO_TIME: Final = _rule(
    "no-such-time", "'{value}' in ({code}) is no date or time", "({code}) 中的“{value}”不是有效的日期或时间"
)
NO_PIECE: Final = _rule(
    "no-such-piece",
    "'{value}' in ({code}) is no piece of a total: two digits of the piece, then two of the total",
    "({code}) 中的“{value}”不是“件号/总件数”：前两位为件号，后两位为总件数",
)
NOT_ONE_OF: Final = _rule(
    "not-one-of",
    "'{value}' in ({code}) is not what may stand there: {expected}",
    "({code}) 中的“{value}”不是该处允许的值：{expected}",
)
LEADING_ZERO: Final = _rule(
    "leading-zero", "'{value}' in ({code}) must not begin with 0", "({code}) 中的“{value}”不得以 0 开头"
)

RIGHT: Final = ""
"""What a check says of a value that passes it. Otherwise it says what would have been right."""


def _digit(value: str) -> str:
    expected = digit_behind(value[:-1])
    return RIGHT if value[-1] == expected else expected


def _pair(value: str) -> str:
    expected = pair_behind(value[:-2])
    return RIGHT if len(value) > 2 and value[-2:] == expected else expected


def _must(holds: Callable[[str], bool]) -> Callable[[str], str]:
    return lambda value: RIGHT if holds(value) else "-"


def _one_of(*allowed: str) -> Callable[[str], str]:
    return lambda value: RIGHT if value in allowed else " ".join(allowed)


CHECKS: Final[dict[str, tuple[Callable[[str], str], Rule]]] = {
    "digit": (_digit, CHECK_DIGIT),
    "pair": (_pair, CHECK_CHARACTERS),
    "company": (_must(lambda value: len(value) > 3 and set(value[:4]) <= set(DIGITS)), NO_COMPANY),
    "day": (_must(is_day), NO_TIME),
    "month": (_must(lambda value: is_day(value, whole_month=True)), NO_TIME),
    "time": (_must(is_time), NO_TIME),
    "piece": (_must(lambda value: "00" < value[:2] <= value[2:]), NO_PIECE),
    "open": (_must(lambda value: value == "9999" or is_time(value)), NO_TIME),
    "zero": (_one_of("0"), NOT_ONE_OF),
    "flag": (_one_of("0", "1"), NOT_ONE_OF),
    "minus": (_one_of("-"), NOT_ONE_OF),
    "counted": (_must(lambda value: value == "0" or value[0] != "0"), LEADING_ZERO),
}
"""What may stand behind the slash of a component."""

_COMPONENT: Final = re.compile(r"(\[)?([NXYZ])(\.\.)?(\d+)(?:/([a-z,]+))?(\])?")


class Component(NamedTuple):
    """A part of a format: from ``least`` to ``most`` characters of a set; none at all where it is optional."""

    characters: str
    least: int
    most: int
    optional: bool
    checks: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The regular expression, one group."""
        return f"([{re.escape(self.characters)}]{{{self.least},{self.most}}}){'?' if self.optional else ''}"


def _component(text: str) -> Component:
    match = _COMPONENT.fullmatch(text)
    assert match, text
    optional, letter, upto, length, checks, _ = match.groups()
    most = int(length)
    return Component(
        SETS[letter], 1 if upto else most, most, bool(optional), tuple(checks.split(",")) if checks else ()
    )


@dataclass(frozen=True)
class ApplicationIdentifier:
    """One row of the table. ``predefined``: its length is known from its first digits, so no FNC1 follows it.
    ``attribute``: it may stand in the query of a GS1 Digital Link."""

    code: str
    title: str
    format: str
    predefined: bool
    attribute: bool

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The format, taken apart."""
        return tuple(_component(one) for one in self.format.split())

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(one.pattern for one in self.components))

    @property
    def most(self) -> int:
        """Characters of the longest value."""
        return sum(one.most for one in self.components)

    def check(self, value: str) -> None:
        """Raises :class:`IdentifierError` where a value breaks the format."""
        match = self._pattern.fullmatch(value) if len(value) <= self.most else None
        if match is None:
            shown = self.format.partition("/")[0] if " " not in self.format else re.sub(r"/[a-z,]+", "", self.format)
            raise IdentifierError(BAD_FORMAT, code=self.code, value=value[:100], title=self.title, format=shown)
        for component, part in zip(self.components, match.groups(), strict=True):
            for name in component.checks if part else ():
                says, rule = CHECKS[name]
                expected = says(part)
                if expected is not RIGHT:
                    raise IdentifierError(rule, code=self.code, value=part, expected=expected)


class Element(NamedTuple):
    """An application identifier with its value."""

    code: str
    value: str

    def __str__(self) -> str:
        """As it is printed below a barcode."""
        return f"({self.code}){self.value}"


# Code or range, flags, format, title. Flags: * predefined length, k in a path only, never in a query.
_ROWS: Final = """
00 * N18/digit                  SSCC
01 * N14/digit                  GTIN
02 * N14/digit                  CONTENT
03 *k N14/digit                 MTO GTIN
10 - X..20                      BATCH/LOT
11 * N6/month                   PROD DATE
12 * N6/month                   DUE DATE
13 * N6/month                   PACK DATE
15 * N6/month                   BEST BEFORE
16 * N6/month                   SELL BY
17 * N6/month                   USE BY
20 * N2                         VARIANT
21 k X..20                      SERIAL
22 k X..20                      CPV
235 k X..28                     TPX
240 - X..30                     ADDITIONAL ID
241 - X..30                     CUST. PART No.
242 - N..6                      MTO VARIANT
243 - X..20                     PCN
250 - X..30                     SECONDARY SERIAL
251 - X..30                     REF. TO SOURCE
253 - N13/digit [X..17]         GDTI
254 k X..20                     GLN EXTENSION
255 - N13/digit [N..12]         GCN
30 - N..8                       VAR. COUNT
310-316 *n N6                   NET MEASURE
320-329 *n N6                   NET MEASURE
330-337 *n N6                   LOGISTIC MEASURE
340-349 *n N6                   LOGISTIC MEASURE
350-357 *n N6                   MEASURE
360-369 *n N6                   MEASURE
37 - N..8                       COUNT
390 d N..15                     AMOUNT
391 d N3 N..15                  AMOUNT
392 d N..15                     PRICE
393 d N3 N..15                  PRICE
394 4 N4                        PRCNT OFF
395 n N6                        PRICE/UoM
400 - X..30                     ORDER NUMBER
401 - X..30/company             GINC
402 - N17/digit                 GSIN
403 - X..30                     ROUTE
410 * N13/digit                 SHIP TO LOC
411 * N13/digit                 BILL TO
412 * N13/digit                 PURCHASE FROM
413 * N13/digit                 SHIP FOR LOC
414 * N13/digit                 LOC No.
415 * N13/digit                 PAY TO
416 * N13/digit                 PROD/SERV LOC
417 * N13/digit                 PARTY
420 - X..20                     SHIP TO POST
421 - N3 X..9                   SHIP TO POST
422 - N3                        ORIGIN
423 - N3 [N3] [N3] [N3] [N3]    COUNTRY - INITIAL PROCESS
424 - N3                        COUNTRY - PROCESS
425 - N3 [N3] [N3] [N3] [N3]    COUNTRY - DISASSEMBLY
426 - N3                        COUNTRY - FULL PROCESS
427 - X..3                      ORIGIN SUBDIVISION
4300-4301 - X..35               SHIP TO
4302-4306 - X..70               SHIP TO
4307 - X2                       SHIP TO COUNTRY
4308 - X..30                    SHIP TO PHONE
4309 - N20                      SHIP TO GEO
4310-4311 - X..35               RTN TO
4312-4316 - X..70               RTN TO
4317 - X2                       RTN TO COUNTRY
4318 - X..20                    RTN TO POST
4319 - X..30                    RTN TO PHONE
4320 - X..35                    SRV DESCRIPTION
4321-4323 - N1/flag                  DELIVERY FLAG
4324 - N6/month N4/open              NOT BEF DEL DT
4325 - N6/month N4/open              NOT AFT DEL DT
4326 - N6/day                   REL DATE
4330-4333 - N6 [X1/minus]             TEMPERATURE
7001 - N13                      NSN
7002 - X..30                    MEAT CUT
7003 - N6/day N4/time           EXPIRY TIME
7004 - N..4                     ACTIVE POTENCY
7005 - X..12                    CATCH AREA
7006 - N6/day                   FIRST FREEZE DATE
7007 - N6/day [N6/day]          HARVEST DATE
7008 - X..3                     AQUATIC SPECIES
7009 - X..10                    FISHING GEAR TYPE
7010 - X..2                     PROD METHOD
7011 - N6/day [N4/time]         TEST BY DATE
7020 - X..20                    REFURB LOT
7021 - X..20                    FUNC STAT
7022 - X..20                    REV STAT
7023 - X..30/company            GIAI - ASSEMBLY
7030-7039 - N3 X..27            PROCESSOR
7040 k N1 X3                    UIC+EXT
7041 k X..4                     UFRGT UNIT TYPE
710-716 - X..20                 NHRN
7230-7239 - X2 X..28            CERT
7240 - X..20                    PROTOCOL
7241 - N2                       AIDC MEDIA TYPE
7242 - X..25                    VCN
8001 - N14                      DIMENSIONS
8002 - X..20                    CMT No.
8003 - N1/zero N13/digit [X..16] GRAI
8004 - X..30/company            GIAI
8005 - N6                       PRICE PER UNIT
8006 - N14/digit N4/piece       ITIP
8007 - X..34                    IBAN
8008 - N6/day N2/time [N2/time] [N2/time] PROD TIME
8009 - X..50                    OPTSEN
8010 - Y..30/company            CPID
8011 k N..12/counted            CPID SERIAL
8012 - X..20                    VERSION
8013 - X..25/company,pair       GMN
8014 k X..25/company,pair       MUDI
8017 - N18/digit                GSRN - PROVIDER
8018 - N18/digit                GSRN - RECIPIENT
8019 k N..10                    SRIN
8020 k X..25                    REF No.
8026 - N14/digit N4/piece       ITIP CONTENT
8030 - Z..90                    DIGSIG
8110 - X..70                    COUPON
8111 - N4                       POINTS
8112 - X..70                    COUPON
8200 k X..70                    PRODUCT URL
90 - X..30                      INTERNAL
91-99 - X..90                   INTERNAL
"""

_ROW: Final = re.compile(r"(\d+)(?:-(\d+))? (\S+) ((?:\[?[NXYZ][.\d][^ ]*\s+)+)(\S.*)")
_POSITIONS: Final = {"n": 6, "d": 10, "4": 4}
"""How many decimal positions a fourth digit may name: a row with such a flag is one code for each."""


def _rows() -> dict[str, ApplicationIdentifier]:
    table = {}
    for line in _ROWS.strip().splitlines():
        match = _ROW.fullmatch(line)
        assert match, line
        first, last, flags, written, title = match.groups()
        positions = next((str(n) for flag, n in _POSITIONS.items() if flag in flags), "")
        for number in range(int(first), int(last or first) + 1):
            stem = str(number).zfill(len(first))
            for code in [f"{stem}{n}" for n in range(int(positions))] if positions else [stem]:
                table[code] = ApplicationIdentifier(
                    code, title, " ".join(written.split()), "*" in flags, "k" not in flags
                )
    return table


TABLE: Final = _rows()
"""All application identifiers by code. No code is the beginning of another."""


def application_identifier(code: str) -> ApplicationIdentifier:
    """The row of a code. Raises :class:`IdentifierError` where there is none."""
    row = TABLE.get(code)
    if row is None:
        raise IdentifierError(UNKNOWN_CODE, code=code[:20])
    return row


def check_element(element: Element) -> None:
    """Raises :class:`IdentifierError` where a code is not known or its value breaks the format."""
    application_identifier(element.code).check(element.value)
