"""Rules of suffixes: a series whose fixed text may have dates in it.

::

    B{date:%Y%m%d}-{000001..999999}      fixed text, the day of minting, a counter
    {690123400001..690123499999;gs1}     a GTIN-13: counter with its check digit

What is written is the suffix of a pattern (``protocol.series``) that may also have dates: ``%Y`` ``%y`` ``%m`` ``%d``
``%j`` ``%H``, with letters, digits, ``-`` ``.`` ``_`` around them, at the time of minting in the rule's time zone. All
of these have a fixed width, so all that a rule ever mints has one length and its counter at one place; as the counter
goes on and never begins again, not with a new day either, no identifier comes twice, whatever the clock says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from protocol.errors import InvalidInput, Rule
from protocol.series import Series, parse_series
from protocol.status import Status

MAX_NAME_BYTES: Final = 40
MAX_TEXT_BYTES: Final = 480
"""A rule is not longer than what it mints may be, but for the names of its dates."""


def _rule(name: str, en: str, zh: str, status: Status = Status.BAD_RECORD) -> Rule:
    return Rule(f"minting.{name}", status, en, zh)


BAD_NAME: Final = _rule(
    "bad-name",
    "'{name}' is no name of a rule; it has up to {limit} letters, digits, '-', '.' and '_'",
    "“{name}”不是合法的规则名；规则名由字母、数字、“-”、“.”、“_”组成，最多 {limit} 个字符",
)
BAD_DATE: Final = _rule(
    "bad-date",
    "'{date}' is no date of a rule; it is made of %Y %y %m %d %j %H, letters, digits, '-', '.' and '_'",
    "“{date}”不是合法的日期格式；可用 %Y %y %m %d %j %H 以及字母、数字、“-”、“.”、“_”",
)
BAD_ZONE: Final = _rule(
    "bad-time-zone",
    "there is no time zone '{zone}' here; write it like Asia/Shanghai, +08:00 or UTC",
    "本机没有时区“{zone}”；写法如 Asia/Shanghai、+08:00 或 UTC",
)
TOO_LONG: Final = _rule(
    "too-long",
    "the rule has {length} bytes; at most {limit} are allowed",
    "规则长度为 {length} 字节，超过上限 {limit} 字节",
)

_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME_BYTES}}}")
_DATE: Final = re.compile(r"(?<!\{)((?:\{\{)*)\{date:([^{}]*)\}")
_FORMAT: Final = re.compile(r"(?:%[YymdjH]|[A-Za-z0-9._-])+")
_OFFSET: Final = re.compile(r"([+-])([01]\d):([0-5]\d)")

_LEAST_DIGITS: Final = datetime(1000, 1, 1, tzinfo=UTC)
"""A moment by which the width of dates is found."""


@dataclass(frozen=True, slots=True)
class MintRule:
    """A rule of ``prefix``, in normal form; made by :func:`make_rule`, which checks it."""

    prefix: str
    name: str
    text: str
    zone: str

    def series(self, now: float) -> Series:
        """What is minted at ``now``, in seconds since 1970: the n-th number is its n-th member."""
        return self._series(datetime.fromtimestamp(now, _time_zone(self.zone)))

    def may_meet(self, other: MintRule) -> bool:
        """Whether two rules of one prefix could mint the same identifier, be it on different days. True is said too
        often rather than too seldom: where there are dates, any digits are taken for possible there."""
        one, another = self._series(_LEAST_DIGITS), other._series(_LEAST_DIGITS)
        if self.prefix != other.prefix or one.length != another.length:
            return False
        if not self.has_dates and not other.has_dates:
            return one.meets(another)
        return all(
            set(mine).intersection(theirs) for mine, theirs in zip(self._choices(), other._choices(), strict=True)
        )

    @property
    def has_dates(self) -> bool:
        """Whether what is minted depends on the day."""
        return _DATE.search(self.text) is not None

    def _series(self, moment: datetime) -> Series:
        text = _DATE.sub(lambda found: found[1] + moment.strftime(_padded(found[2], moment)), self.text)
        return parse_series(f"{self.prefix}/{text}")

    def _choices(self) -> list[bytes]:
        """What may stand at each place: where two days differ, any digit."""
        one, other = (
            self._series(moment).choices() for moment in (_LEAST_DIGITS, datetime(9999, 12, 31, 23, tzinfo=UTC))
        )
        also = self._series(datetime(2222, 2, 22, 2, tzinfo=UTC)).choices()
        return [
            mine if mine == theirs == third else b"0123456789"
            for mine, theirs, third in zip(one, other, also, strict=True)
        ]


def make_rule(prefix: str, name: str, text: str, zone: str) -> MintRule:
    """A rule, checked; ``prefix`` is in normal form. Raises :class:`InvalidInput`,
    :class:`~protocol.errors.IdentifierError`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(BAD_NAME, name=name, limit=MAX_NAME_BYTES)
    length = len(text.encode("utf-8", "replace"))
    if length > MAX_TEXT_BYTES:
        raise InvalidInput(TOO_LONG, length=length, limit=MAX_TEXT_BYTES)
    for found in _DATE.finditer(text):
        if _FORMAT.fullmatch(found[2]) is None:
            raise InvalidInput(BAD_DATE, date=found[2])
    _time_zone(zone)
    rule = MintRule(prefix, name, text, zone)
    rule._series(_LEAST_DIGITS)  # raises where it is no pattern
    return rule


def _padded(format_: str, moment: datetime) -> str:
    """The format with the year in four digits also where the C library writes fewer."""
    return format_.replace("%Y", f"{moment.year:04d}")


def _time_zone(name: str) -> tzinfo:
    """Raises :class:`InvalidInput`."""
    offset = _OFFSET.fullmatch(name)
    if name == "UTC":
        return UTC
    if offset is not None:
        sign, hours, minutes = offset.groups()
        return timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes)))
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # not there (ZoneInfoNotFoundError is a KeyError), or no name
        raise InvalidInput(BAD_ZONE, zone=name) from None
