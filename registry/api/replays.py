"""Idempotency-Key: who sends a request again under its key gets the first answer, and nothing is carried out twice.

Answers are kept in memory for ``KEEP_SECONDS``, and while there is room; a restart forgets them. That is enough, as
registering again what is registered, and withdrawing what is withdrawn, is a success without a change in any case: a
request that is carried out again after a restart ends in the same records, only ``changed`` differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from protocol.errors import InvalidInput, Refused
from protocol.status import Status
from registry.api import rules

REPEATED: Final = "Idempotency-Key"
"""The header. A route that names it keeps its answers."""

KEEP_SECONDS: Final = 3_600.0
"""How long an answer is kept: longer than clients go on trying."""

KEEP_BYTES: Final = 64 << 20
"""Bytes of answers that are kept, the oldest forgotten first: 400 batches of 2,000, or 200,000 small answers."""

_OVERHEAD_BYTES: Final = 300
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Kept(NamedTuple):
    """An answer as it went out."""

    status: int
    body: bytes


class _Entry(NamedTuple):
    fingerprint: bytes
    kept: Kept | None  # None while the request is under way
    until: float


class Replays:
    """The requests that came with keys. ``clock`` gives seconds and only goes forward."""

    def __init__(self, clock: Callable[[], float], keep_bytes: int = KEEP_BYTES) -> None:
        self._clock = clock
        self._most = keep_bytes
        self._bytes = 0
        self._entries: dict[tuple[str, str], _Entry] = {}

    def begin(self, caller: str, key: str, fingerprint: bytes) -> Kept | None:
        """The answer that a request had before; None where it is new, and now under way. Raises
        :class:`InvalidInput`, :class:`Refused`."""
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                rules.BAD_HEADER, name="Idempotency-Key", reason="up to 255 printing characters of ASCII, no space"
            )
        self._forget()
        entry = self._entries.get((caller, key))
        if entry is None:
            self._entries[caller, key] = _Entry(fingerprint, None, self._clock() + KEEP_SECONDS)
            self._bytes += _OVERHEAD_BYTES
            return None
        if entry.fingerprint != fingerprint:
            raise InvalidInput(rules.SAME_KEY_OTHER_BODY)
        if entry.kept is None:
            raise Refused(rules.SAME_KEY_UNDER_WAY, Status.CONFLICT)
        return entry.kept

    def end(self, caller: str, key: str, kept: Kept | None) -> None:
        """The answer of a request that was under way; None where it failed, and may be tried again."""
        entry = self._entries.pop((caller, key), None)
        if entry is None:
            return
        self._bytes -= _OVERHEAD_BYTES
        if kept is not None:
            self._entries[caller, key] = entry._replace(kept=kept, until=self._clock() + KEEP_SECONDS)
            self._bytes += _OVERHEAD_BYTES + len(kept.body)
            self._forget()

    def _forget(self) -> None:
        now = self._clock()
        over = [where for where, entry in self._entries.items() if entry.until < now] if self._is_over(now) else []
        for where in over:
            self._drop(where)
        while self._bytes > self._most:
            done = next((where for where, entry in self._entries.items() if entry.kept is not None), None)
            if done is None:
                return
            self._drop(done)

    def _is_over(self, now: float) -> bool:
        """Whether the entry that was put last in order of time is over: entries stand in the order of their ends."""
        first = next(iter(self._entries.values()), None)
        return first is not None and first.until < now

    def _drop(self, where: tuple[str, str]) -> None:
        entry = self._entries.pop(where)
        self._bytes -= _OVERHEAD_BYTES + (len(entry.kept.body) if entry.kept else 0)
