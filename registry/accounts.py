"""Enterprises, identities, rights and the audit log of a registry process, put together."""

from __future__ import annotations

from collections.abc import Callable

from protocol.errors import BiaoshiError
from registry.audit.chain import Link
from registry.audit.export import SignedHead
from registry.audit.journal import Done, Journal, Submit
from registry.audit.service import AuditLog
from registry.changes import Change
from registry.enterprises.prefixes import FIRST_NUMBER, NUMBER_DIGITS
from registry.enterprises.service import Enterprises
from registry.followers import Settle
from registry.identities.directory import Directory
from registry.identities.service import Identities
from registry.rights import Rights
from registry.store.interface import Store


class Accounts:
    """All of it for ``zone``. What services give is handed to :meth:`carry_out` in the same turn.

    ``rights`` is told of identities' keys and of prefixes that are closed to writing. ``submit`` has writes carried out
    on the disk; ``check`` raises where nothing may be written now; ``confirm`` calls back once what is on the disk is
    also where it must be before it is acknowledged, or with the reason for which that is not known. ``clock`` gives
    seconds since 1970; ``sign`` makes a head of the audit log. Numbers of prefixes are given out from ``first`` on, in
    ``digits`` digits.
    """

    def __init__(
        self,
        store: Store,
        zone: str,
        rights: Rights,
        submit: Submit,
        clock: Callable[[], float],
        sign: Callable[[Link], SignedHead],
        *,
        check: Callable[[], None] = lambda: None,
        confirm: Callable[[Settle], None] = lambda settle: settle(None),
        first: int = FIRST_NUMBER,
        digits: int = NUMBER_DIGITS,
    ) -> None:
        self._check = check
        self._confirm = confirm
        self.directory = Directory(store, zone)
        self.journal = Journal(store, zone, submit, clock, self.directory.forget)
        self.enterprises = Enterprises(store, zone, lambda: store.counts().active, first=first, digits=digits)
        self.identities = Identities(store, zone, self.directory, rights.is_configured)
        self.audit = AuditLog(store, zone, sign)
        rights.identities = self.directory.by_key
        rights.barrier = self.directory.barrier

    def carry_out(self, change: Change[object], done: Done) -> None:
        """Have a change carried out and ``done`` told its result, or the :class:`BiaoshiError` for which it was not, or
        for which that is not known."""

        def on_disk(answer: object) -> None:
            if isinstance(answer, BiaoshiError):
                done(answer)
            else:
                self._confirm(lambda error: done(answer if error is None else error))

        try:
            self._check()
        except BiaoshiError as error:
            done(error)
            return
        self.journal.carry_out(change, on_disk)
