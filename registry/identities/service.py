"""What can be asked about identities, credentials and groups: who may, what it changes, what it gives.

As in :mod:`registry.enterprises.service`: methods read the store and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from protocol.errors import Refused
from protocol.identifiers import normal_text
from protocol.limits import MAX_LIST
from protocol.signatures import PublicKey
from registry.changes import Change, Event
from registry.identities.bodies import (
    ChangeIdentity,
    CredentialView,
    GroupView,
    IdentityView,
    IssuedToken,
    NewGroup,
    NewIdentity,
    NewKey,
    NewToken,
)
from registry.identities.directory import Directory
from registry.identities.rules import (
    EXISTS,
    KEY_IN_USE,
    NO_CREDENTIAL,
    NO_GROUP,
    OWN_RIGHTS,
    UNKNOWN,
    check_members,
    check_more_credentials,
    check_place,
    check_scope,
)
from registry.store.callers.directory import key_name, token_name
from registry.store.callers.kept import GROUPS, IDENTITIES, KEYS, TOKENS, Group, Identity, Key, Token
from registry.store.callers.permissions import Caller, Operation, Role, check
from registry.store.callers.tokens import new_token, token_digest
from registry.store.shelf import Found, Reading, Shelf
from registry.store.writes import Write

Result = TypeVar("Result")

DAY_SECONDS: Final = 86_400
ID_CHARACTERS: Final = 16
"""Of a digest or key in a credential's id: enough to tell 32 apart, and of no use to who wants to guess the rest."""


class Identities:
    """Identities, credentials and groups in ``zone``. ``configured`` says whether a key is one of the node's own."""

    def __init__(
        self, store: Reading, zone: str, directory: Directory, configured: Callable[[PublicKey], bool] = lambda _: False
    ) -> None:
        self._zone = zone
        self._directory = directory
        self._configured = configured
        self._identities = Shelf(store, IDENTITIES, Identity)
        self._tokens = Shelf(store, TOKENS, Token)
        self._keys = Shelf(store, KEYS, Key)
        self._groups = Shelf(store, GROUPS, Group)

    # Identities -----------------------------------------------------------------------------------

    def create(self, caller: Caller, body: NewIdentity, now: int) -> Change[IdentityView]:
        """Make an identity."""
        name = _normal(body.name)
        check(caller, Operation.IDENTITY_CHANGE, _prefix(name), now)
        check_place(name, body.roles, self._zone, bool(self._directory.prefixes_of(name)))
        found = self._identities.find(name)
        if found.value is not None or self._groups.find(name).value is not None:
            raise Refused(EXISTS, EXISTS.status, name=name)
        identity = Identity(roles=_in_order(body.roles), title=body.title, made=now)
        return self._put(caller, name, found, identity, "create", {"roles": ", ".join(identity.roles)})

    def change(self, caller: Caller, name: str, body: ChangeIdentity, now: int) -> Change[IdentityView]:
        """Change roles or title of an identity, disable it or let it act again."""
        name = _normal(name)
        check(caller, Operation.IDENTITY_CHANGE, _prefix(name), now)
        found, identity = self._find(name)
        changed = identity
        if body.roles is not None:
            check_place(name, body.roles, self._zone, bool(self._directory.prefixes_of(name)))
            changed = msgspec.structs.replace(changed, roles=_in_order(body.roles))
        if body.disabled is not None:
            changed = msgspec.structs.replace(changed, disabled=body.disabled)
        if name == caller.name and (changed.roles, changed.disabled) != (identity.roles, identity.disabled):
            raise Refused(OWN_RIGHTS, OWN_RIGHTS.status, name=name)
        if body.title is not None:
            changed = msgspec.structs.replace(changed, title=body.title)
        if changed == identity:
            return Change((), (), self._view(name, identity))
        details = {"roles": ", ".join(changed.roles), "disabled": "yes" if changed.disabled else "no"}
        return self._put(caller, name, found, changed, "change", details)

    def set_password(self, caller: Caller, name: str, kept: bytes, now: int) -> Change[IdentityView]:
        """Let an identity prove itself by a password, for doors that know nothing better, or take it away (empty).
        ``kept`` is what :func:`registry.identities.secrets.hash_password` made of it: that takes long."""
        name = _normal(name)
        check(caller, Operation.CREDENTIAL_ISSUE, _prefix(name), now, about=name)
        check_scope(caller, self._directory.prefixes_of(name), name, (), ())  # a password has no scope of its own
        found, identity = self._find(name)
        changed = msgspec.structs.replace(identity, password=kept)
        return self._put(caller, name, found, changed, "password", {"set": "yes" if kept else "no"})

    def identity(self, caller: Caller, name: str, now: int) -> IdentityView:
        """One identity with its credentials."""
        name = _normal(name)
        check(caller, Operation.IDENTITY_READ, _prefix(name), now, about=name)
        return self._view(name, self._find(name)[1])

    def identities(
        self, caller: Caller, prefix: str, cursor: str | None, limit: int, now: int
    ) -> tuple[list[IdentityView], str | None]:
        """A page of the identities named directly below ``prefix`` (normal form), without their credentials."""
        check(caller, Operation.IDENTITY_READ, prefix, now)
        rows, following = self._identities.page_below(f"{prefix}/", cursor, min(limit, MAX_LIST))
        return [_plain_view(name, identity) for name, identity in rows], following

    # Credentials ----------------------------------------------------------------------------------

    def issue_token(self, caller: Caller, name: str, body: NewToken, now: int) -> Change[IssuedToken]:
        """Issue a token for an identity. The result has its secret, which is kept nowhere."""
        name = _normal(name)
        check(caller, Operation.CREDENTIAL_ISSUE, _prefix(name), now, about=name)
        found, identity = self._find(name)
        check_more_credentials(name, identity)
        own = self._directory.prefixes_of(name)
        prefixes, operations = check_scope(caller, own, name, body.prefixes or (), body.operations or ())
        until = now + int(body.days * DAY_SECONDS)
        if caller.until is not None:
            until = min(until, caller.until)
        secret = new_token()
        digest = token_digest(secret) or ""
        token = Token(
            identity=name, title=body.title, prefixes=prefixes, operations=operations, made=now, until=until
        )  # fmt: skip
        write = self._tokens.write(digest, self._tokens.find(digest), token)
        credential = token_name(digest)
        details = {
            "credential": credential_id(credential), "title": body.title, "prefixes": ", ".join(prefixes),
            "operations": ", ".join(operations), "until": str(until),
        }  # fmt: skip
        result = IssuedToken(id=credential_id(credential), secret=secret, identity=name, until=until)
        return self._add(caller, name, found, identity, credential, write, "token", details, result)

    def add_key(self, caller: Caller, name: str, body: NewKey, now: int) -> Change[CredentialView]:
        """Let a public key speak for an identity, here and in native sessions."""
        name = _normal(name)
        check(caller, Operation.CREDENTIAL_ISSUE, _prefix(name), now, about=name)
        # A key has no scope of its own: who is limited by a credential cannot make one that is not.
        check_scope(caller, self._directory.prefixes_of(name), name, (), ())
        found, identity = self._find(name)
        check_more_credentials(name, identity)
        key = PublicKey.parse(body.key)
        credential = key_name(key)
        there = self._keys.find(credential.partition(":")[2])
        if there.value is not None and there.value.identity == name and credential in identity.credentials:
            return Change((), (), _key_view(credential, there.value))
        if self._configured(key) or self._is_named(credential, there.value):
            raise Refused(KEY_IN_USE, KEY_IN_USE.status, key=str(key))
        kept = Key(identity=name, title=body.title, made=now)
        write = self._keys.write(credential.partition(":")[2], there, kept)
        details = {"credential": credential_id(credential), "title": body.title, "key": str(key)}
        return self._add(caller, name, found, identity, credential, write, "key", details, _key_view(credential, kept))

    def revoke(self, caller: Caller, name: str, credential: str, now: int) -> Change[IdentityView]:
        """Put a token or key out of use, by the id that it is shown with."""
        name = _normal(name)
        check(caller, Operation.CREDENTIAL_REVOKE, _prefix(name), now, about=name)
        found, identity = self._find(name)
        named = [one for one in identity.credentials if credential_id(one) == credential]
        if not named:
            raise Refused(NO_CREDENTIAL, NO_CREDENTIAL.status, name=name, id=credential)
        left = tuple(one for one in identity.credentials if one not in named)
        changed = msgspec.structs.replace(identity, credentials=left)
        writes = [self._identities.write(name, found, changed)]
        for one in named:
            kind, _, under = one.partition(":")
            shelf: Shelf[Token] | Shelf[Key] = self._tokens if kind == "token" else self._keys
            writes.append(Write(shelf.prefix + b"/" + under.encode(), None, None))
        event = Event(caller.name, "identity.revoke", 0, found.version + 1, details={"credential": credential})
        return Change((event,), tuple(writes), self._view(name, changed))

    def _add(
        self,
        caller: Caller,
        name: str,
        found: Found[Identity],
        identity: Identity,
        credential: str,
        write: Write,
        step: str,
        details: dict[str, str],
        result: Result,
    ) -> Change[Result]:
        changed = msgspec.structs.replace(identity, credentials=(*identity.credentials, credential))
        event = Event(caller.name, f"identity.{step}", 1, found.version + 1, details=details)
        return Change((event,), (write, self._identities.write(name, found, changed)), result)

    # Groups ---------------------------------------------------------------------------------------

    def put_group(self, caller: Caller, name: str, body: NewGroup, now: int) -> Change[GroupView]:
        """Make a group, or replace its members. Its members may be of other enterprises: it only says who may read."""
        name = _normal(name)
        check(caller, Operation.GROUP_CHANGE, _prefix(name), now)
        members = check_members(body.members)
        if self._identities.find(name).value is not None:
            raise Refused(EXISTS, EXISTS.status, name=name)
        found = self._groups.find(name)
        made = found.value.made if found.value else now
        group = Group(members=members, title=body.title, made=made)
        event = Event(caller.name, "group.put", 0, found.version + 1, details={"members": str(len(members))})
        return Change((event,), (self._groups.write(name, found, group),), _group_view(name, group))

    def delete_group(self, caller: Caller, name: str, now: int) -> Change[None]:
        """Take a group away: values that name it are shown to nobody on its account."""
        name = _normal(name)
        check(caller, Operation.GROUP_CHANGE, _prefix(name), now)
        found = self._groups.find(name)
        if found.value is None:
            raise Refused(NO_GROUP, NO_GROUP.status, name=name)
        event = Event(caller.name, "group.delete", 0, found.version + 1)
        return Change((event,), (self._groups.write(name, found, None),), None)

    def group(self, caller: Caller, name: str, now: int) -> GroupView:
        """One group."""
        name = _normal(name)
        check(caller, Operation.GROUP_READ, _prefix(name), now)
        found = self._groups.find(name).value
        if found is None:
            raise Refused(NO_GROUP, NO_GROUP.status, name=name)
        return _group_view(name, found)

    # Records --------------------------------------------------------------------------------------

    def _find(self, name: str) -> tuple[Found[Identity], Identity]:
        found = self._identities.find(name)
        if found.value is None:
            raise Refused(UNKNOWN, UNKNOWN.status, name=name)
        return found, found.value

    def _put(
        self,
        caller: Caller,
        name: str,
        found: Found[Identity],
        changed: Identity,
        step: str,
        details: dict[str, str],
    ) -> Change[IdentityView]:
        event = Event(caller.name, f"identity.{step}", 0, found.version + 1, details=details)
        return Change((event,), (self._identities.write(name, found, changed),), self._view(name, changed))

    def _is_named(self, credential: str, key: Key | None) -> bool:
        """Whether a key that is there speaks for somebody: one that was left by a crash does not."""
        identity = None if key is None else self._identities.find(key.identity).value
        return identity is not None and credential in identity.credentials

    def _view(self, name: str, identity: Identity) -> IdentityView:
        credentials: list[CredentialView] = []
        for one in identity.credentials:
            kind, _, under = one.partition(":")
            if kind == "key":
                key = self._keys.find(under).value
                if key is not None:
                    credentials.append(_key_view(one, key))
                continue
            token = self._tokens.find(under).value
            if token is not None:
                credentials.append(_token_view(one, token))
        return msgspec.structs.replace(_plain_view(name, identity), credentials=tuple(credentials))


def credential_id(credential: str) -> str:
    """By what a credential is shown, and revoked."""
    kind, _, under = credential.partition(":")
    return f"{kind}-{under[-ID_CHARACTERS:]}"


def _normal(name: str) -> str:
    """The normal form of an identity's or group's name. Raises :class:`~protocol.errors.IdentifierError`."""
    return normal_text(name).decode()


def _prefix(name: str) -> str:
    return name.partition("/")[0]


def _in_order(roles: Iterable[Role]) -> tuple[Role, ...]:
    return tuple(sorted(set(roles), key=list(Role).index))


def _plain_view(name: str, identity: Identity) -> IdentityView:
    return IdentityView(
        name=name, roles=identity.roles, title=identity.title, made=identity.made, disabled=identity.disabled,
        has_password=bool(identity.password),
    )  # fmt: skip


def _token_view(credential: str, token: Token) -> CredentialView:
    return CredentialView(
        id=credential_id(credential), kind="token", title=token.title, made=token.made, until=token.until,
        prefixes=token.prefixes, operations=token.operations,
    )  # fmt: skip


def _key_view(credential: str, key: Key) -> CredentialView:
    return CredentialView(id=credential_id(credential), kind="key", title=key.title, made=key.made)


def _group_view(name: str, group: Group) -> GroupView:
    return GroupView(name=name, members=group.members, title=group.title, made=group.made)
