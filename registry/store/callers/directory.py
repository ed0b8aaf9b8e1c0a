"""From a credential to who is calling: read from the store, remembered until something changes.

A credential counts while its own record is there, its identity is there and not disabled, and the identity names it. So
one write revokes it, at once, for every session: they ask here each time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from protocol.errors import Refused, Rule
from protocol.identifiers import covers
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.store.allotments import ALLOTMENTS, Stage
from registry.store.callers.attempts import Attempts
from registry.store.callers.kept import (
    ENTERPRISES,
    GROUPS,
    IDENTITIES,
    KEYS,
    TOKENS,
    Group,
    Identity,
    Key,
    Owned,
    Owner,
    Token,
)
from registry.store.callers.permissions import Caller, within
from registry.store.callers.tokens import token_digest
from registry.store.shelf import Reading, Shelf

WRONG: Final = Rule(
    "identity.not-proven",
    Status.NOT_AUTHENTICATED,
    "this is no valid credential: it is mistyped, has ended, or was revoked",
    "凭证无效：输入有误、已过期或已撤销",
)

RESTS_ON: Final = (IDENTITIES, TOKENS, KEYS, GROUPS, ENTERPRISES, ALLOTMENTS)
"""The system prefixes that a directory reads: where none of them has changed, what it remembers is right."""

MAX_REMEMBERED: Final = 10_000
"""Answers remembered of each kind; where there are more, all are forgotten and read anew."""

Name = TypeVar("Name")
Answer = TypeVar("Answer")


class Callers:
    """Who is who in ``zone``."""

    def __init__(self, store: Reading, zone: str) -> None:
        self._zone = zone
        self._identities = Shelf(store, IDENTITIES, Identity)
        self._tokens = Shelf(store, TOKENS, Token)
        self._keys = Shelf(store, KEYS, Key)
        self._groups = Shelf(store, GROUPS, Group)
        self._owners = Shelf(store, ALLOTMENTS, Owner)
        self._owned = Shelf(store, ENTERPRISES, Owned)
        self._by_token: dict[str, Caller] = {}
        self._by_key: dict[PublicKey, Caller] = {}
        self._is_in: dict[tuple[str, str], bool] = {}
        self.attempts = Attempts()

    def forget(self) -> None:
        """Something has changed: what was remembered may not be so any more."""
        self._by_token.clear()
        self._by_key.clear()
        self._is_in.clear()

    def by_token(self, secret: str, who: str, now: float) -> Caller:
        """The caller that a token stands for. ``who`` tries it (an address); too many wrong ones are not looked at for
        a while, which no right one feels. That a token has ended is for the table of rights to say. Raises
        :class:`Refused`."""
        digest = token_digest(secret)
        caller = None if digest is None else self.by_digest(digest)
        if caller is None:
            self.attempts.check(who, now)
            self.attempts.wrong(who, now)
            raise Refused(WRONG, WRONG.status)
        return caller

    def by_digest(self, digest: str) -> Caller | None:
        """The same for a token that was shown before; None where it is none any more."""
        caller = self._by_token.get(digest) or self._read_token(digest)
        if caller is not None:
            remember(self._by_token, digest, caller)
        return caller

    def by_key(self, key: PublicKey) -> Caller | None:
        """The caller for whom a key speaks, once it has been proven; None where it is no identity's."""
        caller = self._by_key.get(key) or self._read_key(key)
        if caller is not None:
            remember(self._by_key, key, caller)
        return caller

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
        owner = self._owners.find(prefix).value
        if owner is None or owner.stage == Stage.CLOSED:
            return ()
        owned = self._owned.find(owner.enterprise).value
        return tuple(sorted({prefix, *(owned.prefixes if owned else ())}))

    def is_in(self, name: str, group: str) -> bool:
        """Whether an identity is in a group; for :func:`protocol.records.may_read`."""
        known = self._is_in.get((name, group))
        if known is None:
            found = self._groups.find(group).value
            known = found is not None and is_member(name, found.members)
            remember(self._is_in, (name, group), known)
        return known

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
        return caller._replace(prefixes=prefixes, operations=operations, until=token.until, limits=token.prefixes)

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


def remember(known: dict[Name, Answer], name: Name, answer: Answer) -> None:
    """Remember an answer, in bounded memory."""
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[name] = answer


def is_member(name: str, members: Collection[str]) -> bool:
    """Whether an identity is in a group with these members: by its name, or by a prefix that it is named below."""
    prefix = name.partition("/")[0]
    return name in members or any("/" not in one and covers(one, prefix) for one in members)


def token_name(digest: str) -> str:
    """By what an identity names one of its tokens."""
    return f"token:{digest}"


def key_name(key: PublicKey) -> str:
    """By what an identity names one of its keys."""
    return f"key:{key.algorithm:02x}{key.raw.hex()}"
