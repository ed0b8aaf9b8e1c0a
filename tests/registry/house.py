"""A registry's enterprises and identities over a store in memory, everything carried out at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from protocol.errors import BiaoshiError, StoreError
from protocol.signatures import SigningKey
from registry.accounts import Accounts
from registry.audit.chain import Link
from registry.audit.export import SignedHead, sign_head
from registry.changes import Change
from registry.enterprises.bodies import Allot, Application, Contact, Why
from registry.enterprises.credit_codes import check_character
from registry.identities.bodies import NewIdentity
from registry.rights import Rights
from registry.store.callers.permissions import Caller, Role
from registry.store.interface import Store
from registry.store.memory import MemoryStore
from registry.store.writes import Outcome, Write
from tests.vectors import actors as vectors
from tests.vectors.actors import SECONDARY, SECONDARY_CHAIN

ZONE: Final = "88.118"
ZONE_KEY: Final = SigningKey(b"z" * 32)
ADMINISTRATOR: Final = Caller("88.118/U.root", frozenset({Role.NODE_ADMINISTRATOR}), (ZONE,))
AUDITOR: Final = Caller("88.118/U.audit", frozenset({Role.AUDITOR}), (ZONE,))
NOW: Final = 1_700_000_000


def code(number: int) -> str:
    """A valid credit code."""
    first = f"91320100MA{number:07d}"
    return first + check_character(first)


def application(number: int = 1, **changes: Any) -> Application:
    """An application of organisation ``number``."""
    fields = {
        "organisation": f"示例泵业 {number}", "nature": 2, "credit_code": code(number), "section": "C",
        "division": "34",
        "contact": Contact(name="李工"),
    }  # fmt: skip
    return Application(**(fields | changes))


def sign_log(link: Link) -> SignedHead:
    return sign_head(ZONE, link, vectors.NOW, SECONDARY.online, SECONDARY_CHAIN)


class House:
    """Accounts whose changes are carried out when they are given, or, ``held``, when :meth:`let_go` is called."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self.rights = Rights({}, ZONE, [ZONE_KEY.public])
        self.now = NOW
        self.held = False
        self.failure: StoreError | None = None
        self._waiting: list[tuple[list[Write], Callable[[list[Outcome] | StoreError], None]]] = []
        self.accounts = Accounts(self.store, ZONE, self.rights, self._submit, lambda: self.now, sign_log)
        self.enterprises, self.identities = self.accounts.enterprises, self.accounts.identities
        self.directory = self.accounts.directory
        self.accounts.journal.start()

    def _submit(self, writes: Sequence[Write], done: Callable[[list[Outcome] | StoreError], None]) -> None:
        self._waiting.append((list(writes), done))
        if not self.held:
            self.let_go()

    def let_go(self) -> None:
        """Carry out what waits."""
        while self._waiting:
            writes, done = self._waiting.pop(0)
            done(self.failure if self.failure is not None else self.store.apply(writes, self.now))

    def do(self, change: Change[Any]) -> Any:
        """Have a change carried out; its result. Raises the error for which it was not."""
        answers: list[object] = []
        self.accounts.carry_out(change, answers.append)
        [answer] = answers
        if isinstance(answer, BiaoshiError):
            raise answer
        return answer

    def approve(self, number: int = 1, **changes: Any) -> str:
        """An enterprise that was approved; its code."""
        self.do(self.enterprises.apply(ADMINISTRATOR, application(number, **changes), self.now))
        self.do(self.enterprises.approve(AUDITOR, code(number), self.now))
        return code(number)

    def allot(self, number: int = 1, prefix: str | None = None) -> str:
        """A prefix of an approved enterprise, hosted here."""
        self.approve(number)
        given = self.do(self.enterprises.allot(ADMINISTRATOR, code(number), Allot(prefix), self.now)).prefix
        self.do(self.enterprises.host(ADMINISTRATOR, given, self.now))
        return str(given)

    def identity(self, name: str, *roles: Role) -> Caller:
        """An identity, as it calls with all its rights."""
        self.do(self.identities.create(ADMINISTRATOR, NewIdentity(name=name, roles=list(roles)), self.now))
        caller = self.directory.by_name(name)
        assert caller is not None
        return caller


WHY: Final = Why("示例原因")
