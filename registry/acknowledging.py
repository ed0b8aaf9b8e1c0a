"""When a write may be acknowledged: once it is on the disk and, where a follower must have it too, once it is there.

Whoever takes writes, over the native protocol or over HTTP, has them carried out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from protocol.errors import BiaoshiError, StoreError
from registry.followers import Followers
from registry.putback import PutBack
from registry.store.interface import Reader
from registry.store.writes import Outcome, Write

Done = Callable[[list[Outcome] | BiaoshiError], None]


class Submit(Protocol):
    """Has writes carried out and ``done`` called with what became of them."""

    def __call__(self, writes: Sequence[Write], done: Callable[[list[Outcome] | StoreError], None], /) -> None: ...


class Acknowledging:
    """Writes on their way to the disk and to a follower. ``clock`` gives seconds and only goes forward."""

    def __init__(
        self, submit: Submit, store: Reader, followers: Followers, put_back: PutBack, clock: Callable[[], float]
    ) -> None:
        self._submit = submit
        self._store = store
        self._followers = followers
        self._put_back = put_back
        self._clock = clock

    def check(self) -> None:
        """Whether anything may be written now. Raises :class:`BiaoshiError`."""
        self._put_back.check()
        if self._followers.must_confirm:
            self._followers.check_there(self._clock())

    def carry_out(self, writes: Sequence[Write], size: int, done: Done) -> None:
        """Have writes carried out, and ``done`` called on the event loop: with their outcomes, or with the error for
        which none was carried out, or for which it is not known. ``size`` bytes are held until then."""
        self._submit(writes, partial(self._on_disk, size, done))

    def _on_disk(self, size: int, done: Done, result: list[Outcome] | StoreError) -> None:
        if not self._followers.must_confirm or isinstance(result, StoreError):
            done(result)
            return
        # Also where nothing changed: what is there already may not be confirmed yet.
        number = self._store.standing().end.number
        self._followers.wait(number, size, self._clock(), lambda error: done(error or result))
