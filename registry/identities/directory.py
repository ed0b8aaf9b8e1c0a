"""What the registry asks of the directory beyond who is calling: passwords, and what stands in the way of writing."""

from __future__ import annotations

from typing import Final

from protocol.errors import IdentifierError, Refused
from protocol.identifiers import normal_text
from registry.enterprises.bodies import Allotment
from registry.identities.rules import NO_PASSWORDS
from registry.identities.secrets import nobodys_password, password_fits
from registry.rights import CLOSED, NOT_OPEN, SUSPENDED
from registry.store.allotments import ALLOTMENTS, Stage
from registry.store.callers.directory import Callers, remember
from registry.store.callers.permissions import Caller
from registry.store.shelf import Reading, Shelf
from registry.store.system import at_and_above

_WRITABLE: Final = frozenset({Stage.HOSTED, Stage.DELEGATED, Stage.TRANSFERRED})
"""Where an allotment is not in the way of writing; a delegation may be."""


class Directory(Callers):
    """Who is who in ``zone``, and where nobody may write."""

    def __init__(self, store: Reading, zone: str) -> None:
        super().__init__(store, zone)
        self._allotments = Shelf(store, ALLOTMENTS, Allotment)
        self._barriers: dict[str, Refused | None] = {}

    def forget(self) -> None:
        super().forget()
        self._barriers.clear()

    # Passwords ------------------------------------------------------------------------------------

    def begin_password(self, name: str, who: str, now: float) -> bytes:
        """What is kept of the password of ``name``, to be compared by :func:`registry.identities.secrets.password_fits`
        on another thread, as that takes long; then :meth:`end_password` is to be told. Until then it counts as a wrong
        attempt, so that many at once are no way around the wait. Raises :class:`Refused`."""
        name = _normal(name)
        for one in (who, name):
            self.attempts.check(one, now)
        for one in (who, name):
            self.attempts.wrong(one, now)
        identity = self._identities.find(name).value if name else None
        if identity is None or identity.disabled or not identity.password:
            return nobodys_password()
        return identity.password

    def end_password(self, name: str, who: str, fits: bool) -> Caller:
        """The caller that has given the right password. Raises :class:`Refused`."""
        name = _normal(name)
        caller = self.by_name(name) if name and fits else None
        if caller is None:
            raise Refused(NO_PASSWORDS, NO_PASSWORDS.status)
        self.attempts.right(who)
        self.attempts.right(name)
        return caller

    def by_password(self, name: str, password: str, who: str, now: float) -> Caller:
        """Both at once, for who has the time. Raises :class:`Refused`."""
        kept = self.begin_password(name, who, now)
        return self.end_password(name, who, password_fits(password, kept))

    # What stands in the way -----------------------------------------------------------------------

    def barrier(self, prefix: str) -> Refused | None:
        """Why nothing may be written below ``prefix`` (normal form), whoever asks; None where nothing is in the way."""
        if prefix not in self._barriers:
            remember(self._barriers, prefix, self._read_barrier(prefix))
        return self._barriers[prefix]

    def _read_barrier(self, prefix: str) -> Refused | None:
        for above in at_and_above(prefix):
            allotment = self._allotments.find(above).value
            if allotment is None or allotment.stage in _WRITABLE:
                continue
            if allotment.stage is Stage.SUSPENDED:
                return Refused(SUSPENDED, SUSPENDED.status, prefix=above, reason=allotment.reason)
            if allotment.stage is Stage.CLOSED:
                return Refused(CLOSED, CLOSED.status, prefix=above)
            return Refused(NOT_OPEN, NOT_OPEN.status, prefix=above, stage=allotment.stage.name.lower())
        return None


def _normal(name: str) -> str:
    """The normal form of a name that a stranger gives; empty for what can be nobody's."""
    try:
        return normal_text(name).decode()
    except IdentifierError:
        return ""
