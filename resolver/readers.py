"""Readers that have proven who they are: whom a worker knows, and what one of them is answered.

An authenticated connection has an :class:`Answerer` of its own, over a :class:`ReadersView` of the store. Nothing that
is not for everybody is kept from one request to the next, and a connection without a credential meets none of this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from protocol.errors import IdentifierError, Refused, Rule
from protocol.identifiers import normal
from protocol.node import NodeFacts
from protocol.records import State, shown_body, split_body
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.store.callers.configured import configured
from registry.store.callers.directory import RESTS_ON, Callers
from registry.store.callers.permissions import Caller
from registry.store.callers.showing import shown_to
from registry.store.counters import Tally
from registry.store.interface import Reader
from resolver.answering import Answerer

REVOKED: Final = Rule(
    "reading.revoked",
    Status.NOT_AUTHENTICATED,
    "the credential that was proven on this connection was revoked or has ended; prove another one",
    "此连接上已证明的凭证已被撤销或已失效，请使用其他凭证重新认证",
)

Find = Callable[[], Caller | None]
"""Gives the caller that a credential stands for, as of now; None where it stands for nobody any more."""


class Readers:
    """Those who may read more than everybody, as ``reader`` knows them now; shared by the connections of a worker.

    ``writers`` are the keys of the configuration with their prefixes; ``clock`` gives seconds since 1970, ``steady``
    seconds that only go forward. ``tokens_in_clear`` says whether tokens are taken from beyond this machine.
    """

    def __init__(
        self,
        reader: Reader,
        facts: NodeFacts,
        writers: Mapping[PublicKey, Iterable[str]],
        zone_keys: Iterable[PublicKey],
        *,
        tokens_in_clear: bool = False,
        tally: Tally | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.facts = facts
        self.tokens_in_clear = tokens_in_clear
        self.clock = clock
        self.steady = steady
        self._reader = reader
        self._writers = {key: tuple(prefixes) for key, prefixes in writers.items()}
        self._tally = tally
        self._callers = Callers(reader, facts.zone)
        self._marks: object = None
        self.attempts = self._callers.attempts
        self.take_up(zone_keys)

    def take_up(self, zone_keys: Iterable[PublicKey]) -> None:
        """Go by these keys of the zone from now on."""
        self._configured = configured(self._writers, self.facts.zone, zone_keys)

    @property
    def callers(self) -> Callers:
        """The directory, right as of the reader's snapshot."""
        marks = self._reader.marks(RESTS_ON)
        if marks != self._marks:
            self._callers.forget()
            self._marks = marks
        return self._callers

    def by_key(self, key: PublicKey) -> Caller | None:
        """The caller for whom a key speaks, once it has been proven; None for an unknown one."""
        return self._configured.get(key) or self.callers.by_key(key)

    def by_digest(self, digest: str) -> Caller | None:
        """The caller that a token stands for; None where it is none, or has ended."""
        caller = self.callers.by_digest(digest)
        return None if caller is None or (caller.until is not None and self.clock() >= caller.until) else caller

    def answerer(self, find: Find) -> Answerer:
        """What answers the caller that ``find`` gives, for as long as it gives one."""
        return Answerer(ReadersView(self._reader, self, find), self.facts, self.clock, self._tally)


class ReadersView:
    """A store's reader, as one caller sees it. Who asks about a record is looked at each time: raises :class:`Refused`
    where the credential is good no more."""

    def __init__(self, reader: Reader, readers: Readers, find: Find) -> None:
        self._reader = reader
        self._readers = readers
        self._find_caller = find
        self.find, self.search, self.scan, self.counts = reader.find, reader.search, reader.scan, reader.counts
        self.cut, self.closure, self.standing, self.marks = reader.cut, reader.closure, reader.standing, reader.marks
        self.expanded = reader.expanded
        self.feed, self.changes, self.in_the_way_of = reader.feed, reader.changes, reader.in_the_way_of
        self.rest, self.close = reader.rest, reader.close

    def get_many(self, identifiers: Sequence[bytes]) -> list[bytes | None]:
        caller = self._caller()
        return [self._body(caller, identifier) for identifier in identifiers]

    def get(self, identifier: bytes) -> bytes | None:
        return self._body(self._caller(), identifier)

    def history(self, identifier: bytes) -> list[bytes]:
        self._caller()
        return self._reader.history(identifier)

    def shown(self, identifier: bytes, body: bytes) -> bytes:
        return self._shown(self._caller(), identifier, body)

    def _caller(self) -> Caller:
        caller = self._find_caller()
        if caller is None:
            raise Refused(REVOKED, REVOKED.status)
        return caller

    def _body(self, caller: Caller, identifier: bytes) -> bytes | None:
        try:
            wanted = normal(identifier)
        except IdentifierError:
            return None
        body = self.find(wanted)
        if body is None or split_body(body).state is not State.ACTIVE:
            return None
        prefix = wanted.partition(b"/")[0].decode()
        if self.closure(prefix) is not None or self.cut(prefix) is not None:
            return None
        return self._shown(caller, wanted, body)

    def _shown(self, caller: Caller, identifier: bytes, body: bytes) -> bytes:
        prefix = identifier.partition(b"/")[0].decode()
        shown = shown_to(caller, prefix, int(self._readers.clock()), self._readers.callers.is_in)
        return shown_body(self.expanded(identifier, body), shown)
