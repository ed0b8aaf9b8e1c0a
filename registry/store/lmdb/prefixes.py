"""Numbers of prefixes, remembered by spelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from registry.store.lmdb.layout import NO_PREFIX

MAX_KNOWN_SPELLINGS: Final = 100_000
"""Prefix spellings remembered with their number. Ten megabytes. Where there are more, all are forgotten and looked up
anew: a stranger who asks in ever new spellings slows nobody down for good."""


class PrefixNumbers(dict[bytes, bytes]):
    """Prefix as spelt in a question → its number's three bytes. Unknown ones are looked up in the snapshot;
    a number once given never changes, so what was found may be remembered for ever."""

    def __init__(self, look_up: Callable[[bytes], bytes | None]) -> None:
        """``look_up`` gives the number of a prefix in normal form, as the snapshot has it."""
        super().__init__()
        self._of = look_up

    def __missing__(self, prefix: bytes) -> bytes:
        number = self._look_up(prefix)
        if number is None:
            return NO_PREFIX
        if len(self) >= MAX_KNOWN_SPELLINGS:
            self.clear()
        self[prefix] = number
        return number

    def _look_up(self, prefix: bytes) -> bytes | None:
        return self._of(prefix)


class OpenPrefixNumbers(PrefixNumbers):
    """The same for prefixes whose records anybody may ask for here, in any spelling: system prefixes have none, nor
    have those that are delegated, suspended or closed, or lie below such a one. To be emptied when a delegation has
    come or gone, or an allotment has changed."""

    def __init__(self, look_up: Callable[[bytes], bytes | None], is_closed: Callable[[bytes], bool]) -> None:
        super().__init__(look_up)
        self._is_closed = is_closed

    def _look_up(self, prefix: bytes) -> bytes | None:
        name = prefix.upper()
        number = self._of(name)
        return None if number is None or self._is_closed(name) else number
