"""Points in time as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final

from protocol.errors import InvalidInput, Rule
from protocol.status import Status

BAD_MOMENT: Final = Rule(
    "moment.malformed",
    Status.BAD_REQUEST,
    "'{text}' is no point in time; write 2026-11-28, 2026-11-28T09:30:00 (UTC) or 2026-11-28T09:30:00+08:00",
    "“{text}”不是合法的时间，请写成 2026-11-28、2026-11-28T09:30:00（UTC）或 2026-11-28T09:30:00+08:00",
)


def read_moment(text: str) -> int:
    """Seconds since 1970 UTC. A day means its end. What has no offset is in UTC. Raises :class:`InvalidInput`."""
    try:
        if len(text) == len("2026-11-28"):
            moment = datetime.combine(date.fromisoformat(text), time(23, 59, 59))
        else:
            moment = datetime.fromisoformat(text)
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        raise InvalidInput(BAD_MOMENT, text=text) from None
