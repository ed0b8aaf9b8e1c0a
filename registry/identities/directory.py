"""From a credential to who is calling, and what stands in the way of writing: read from the store, remembered until
something changes.

A credential counts while its own record is there, its identity is there and not disabled, and the identity names it. So
one write revokes it, at once, for every session: they ask here each time.
"""

from __future__ import annotations

from typing import Final, TypeVar

from protocol.errors import IdentifierError, Refused
from protocol.identifiers import normal_text
from protocol.signatures import PublicKey
from registry.enterprises.bodies import Allotment, Enterprise
from registry.enterprises.service import ENTERPRISES
from registry.identities.attempts import Attempts
from registry.identities.bodies import Group, Identity, Key, Token
from registry.identities.rules import NO_PASSWORDS, WRONG, is_member
from registry.identities.secrets import nobodys_password, password_fits, token_digest
from registry.permissions import Caller, within
from registry.rights import CLOSED, NOT_OPEN, SUSPENDED
from registry.shelf import Reading, Shelf
from registry.store.allotments import ALLOTMENTS, Stage
from registry.store.system import at_and_above

IDENTITIES: Final = b"\x01identity"
TOKENS: Final = b"\x01token"
KEYS: Final = b"\x01key"
GROUPS: Final = b"\x01group"

MAX_REMEMBERED: Final = 10_000
"""Answers remembered of each kind; where there are more, all are forgotten and read anew."""

Name = TypeVar("Name")
Answer = TypeVar("Answer")

_WRITABLE: Final = frozenset({Stage.HOSTED, Stage.DELEGATED, Stage.TRANSFERRED})
"""Where an allotment is not in the way of writing; a delegation may be."""


class Directory:
    """Who is who in ``zone``."""

    def __init__(self, store: Reading, zone: str) -> None:
        self._zone = zone
        self._identities = Shelf(store, IDENTITIES, Identity)
        self._tokens = Shelf(store, TOKENS, Token)
        self._keys = Shelf(store, KEYS, Key)
        self._groups = Shelf(store, GROUPS, Group)
        self._enterprises = Shelf(store, ENTERPRISES, Enterprise)
        self._allotments = Shelf(store, ALLOTMENTS, Allotment)
        self._by_token: dict[str, Caller] = {}
        self._by_key: dict[PublicKey, Caller] = {}
        self._barriers: dict[str, Refused | None] = {}
        self._attempts = Attempts()

    def forget(self) -> None:
        """Something has changed: what was remembered may not be so any more."""
        self._by_token.clear()
        self._by_key.clear()
        self._barriers.clear()

    # Who is calling? ------------------------------------------------------------------------------

    def by_token(self, secret: str, who: str, now: float) -> Caller:
        """The caller that a token stands for. ``who`` tries it (an address); too many wrong ones are not looked at for
        a while, which no right one feels. That a token has ended is for the table of rights to say. Raises
        :class:`Refused`."""
        digest = token_digest(secret)
        caller = None if digest is None else self._by_token.get(digest) or self._read_token(digest)
        if digest is None or caller is None:
            self._attempts.check(who, now)
            self._attempts.wrong(who, now)
            raise Refused(WRONG, WRONG.status)
        _remember(self._by_token, digest, caller)
        return caller

    def by_key(self, key: PublicKey) -> Caller | None:
        """The caller for whom a key speaks, once it has been proven; None where it is no identity's."""
        caller = self._by_key.get(key) or self._read_key(key)
        if caller is not None:
            _remember(self._by_key, key, caller)
        return caller

    def begin_password(self, name: str, who: str, now: float) -> bytes:
        """What is kept of the password of ``name``, to be compared by :func:`registry.identities.secrets.password_fits`
        on another thread, as that takes long; then :meth:`end_password` is to be told. Until then it counts as a wrong
        attempt, so that many at once are no way around the wait. Raises :class:`Refused`."""
        name = _normal(name)
        for one in (who, name):
            self._attempts.check(one, now)
        for one in (who, name):
            self._attempts.wrong(one, now)
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
        self._attempts.right(who)
        self._attempts.right(name)
        return caller

    def by_password(self, name: str, password: str, who: str, now: float) -> Caller:
        """Both at once, for who has the time. Raises :class:`Refused`."""
        kept = self.begin_password(name, who, now)
        return self.end_password(name, who, password_fits(password, kept))

    def by_name(self, name: str) -> Caller | None:
        """The caller that an identity is with all its rights; None where there is none, or it is disabled."""
        identity = self._identities.find(name).value
        return None if identity is None else self._caller(name, identity)

    def prefixes_of(self, name: str) -> tuple[str, ...]:
        """What belongs to an identity of that name: the zone for the node's staff, the prefixes of its enterprise; none
        where there is no such enterprise, or it has closed that prefix."""
        prefix = name.partition("/")[0]
        if prefix == self._zone:
            return (self._zone,)
        allotment = self._allotments.find(prefix).value
        if allotment is None or allotment.stage is Stage.CLOSED:
            return ()
        enterprise = self._enterprises.find(allotment.enterprise).value
        return tuple(sorted({prefix, *(enterprise.prefixes if enterprise else ())}))

    def is_in(self, name: str, group: str) -> bool:
        """Whether an identity is in a group; for :func:`protocol.records.may_read`."""
        found = self._groups.find(group).value
        return found is not None and is_member(name, found.members)

    # What stands in the way -----------------------------------------------------------------------

    def barrier(self, prefix: str) -> Refused | None:
        """Why nothing may be written below ``prefix`` (normal form), whoever asks; None where nothing is in the way."""
        if prefix not in self._barriers:
            _remember(self._barriers, prefix, self._read_barrier(prefix))
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

    # Reading --------------------------------------------------------------------------------------

    def _read_token(self, digest: str) -> Caller | None:
        token = self._tokens.find(digest).value
        identity = None if token is None else self._identities.find(token.identity).value
        if token is None or identity is None or token_name(digest) not in identity.credentials:
            return None
        caller = self._caller(token.identity, identity)
        if caller is None:
            return None
        prefixes = within(caller.prefixes, token.prefixes) if token.prefixes else caller.prefixes
        operations = frozenset(token.operations) if token.operations else None
        return caller._replace(prefixes=prefixes, operations=operations, until=token.until)

    def _read_key(self, key: PublicKey) -> Caller | None:
        name = key_name(key)
        found = self._keys.find(name.partition(":")[2]).value
        identity = None if found is None else self._identities.find(found.identity).value
        if found is None or identity is None or name not in identity.credentials:
            return None
        return self._caller(found.identity, identity)

    def _caller(self, name: str, identity: Identity) -> Caller | None:
        prefixes = () if identity.disabled else self.prefixes_of(name)
        return Caller(name, frozenset(identity.roles), prefixes) if prefixes else None


def _remember(known: dict[Name, Answer], name: Name, answer: Answer) -> None:
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[name] = answer


def token_name(digest: str) -> str:
    """By what an identity names one of its tokens."""
    return f"token:{digest}"


def key_name(key: PublicKey) -> str:
    """By what an identity names one of its keys."""
    return f"key:{key.algorithm:02x}{key.raw.hex()}"


def _normal(name: str) -> str:
    """The normal form of a name that a stranger gives; empty for what can be nobody's."""
    try:
        return normal_text(name).decode()
    except IdentifierError:
        return ""
