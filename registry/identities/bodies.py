"""What is said about identities, groups and credentials: requests, and what is shown."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from registry.store.callers.permissions import Operation, Role
from registry.store.shelf import ONE_LINE

MAX_CREDENTIALS: Final = 32
"""Tokens and keys of one identity."""

MAX_MEMBERS: Final = 500
"""Members of one group."""

MAX_GROUP_BYTES: Final = 14_000
"""Bytes of their names together: a group is kept as one value of a record."""

MAX_SCOPE: Final = 16
"""Prefixes that one token is limited to."""

MAX_TOKEN_DAYS: Final = 3_650

_Name = Annotated[str, msgspec.Meta(min_length=3, max_length=480)]
_Title = Annotated[str, msgspec.Meta(max_length=200, pattern=ONE_LINE)]
_Prefix = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Member = Annotated[str, msgspec.Meta(min_length=1, max_length=480)]
"""An identity, or a bare prefix: every identity of that enterprise."""


# Requests -------------------------------------------------------------------------------------------------


class NewIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Make an identity. ``name`` is an identifier: below the enterprise's prefix, or below the zone's for staff of the
    node."""

    name: _Name
    roles: Annotated[list[Role], msgspec.Meta(min_length=1, max_length=len(Role))]
    title: _Title = ""


class ChangeIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Change what is given. ``disabled`` puts all its credentials out of use."""

    roles: Annotated[list[Role], msgspec.Meta(min_length=1, max_length=len(Role))] | None = None
    title: _Title | None = None
    disabled: bool | None = None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Issue a token: for these prefixes and operations only, where any are given; for ``days``."""

    title: _Title = ""
    prefixes: Annotated[list[_Prefix], msgspec.Meta(max_length=MAX_SCOPE)] | None = None
    operations: Annotated[list[Operation], msgspec.Meta(max_length=len(Operation))] | None = None
    days: Annotated[float, msgspec.Meta(gt=0, le=MAX_TOKEN_DAYS)] = 90.0


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Let a public key (``ed25519:…``) speak for an identity."""

    key: Annotated[str, msgspec.Meta(max_length=1_000)]
    title: _Title = ""


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set a password; nil takes it away."""

    password: Annotated[str, msgspec.Meta(min_length=12, max_length=200)] | None


class NewGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Make a group, or replace its members."""

    members: Annotated[list[Member], msgspec.Meta(max_length=MAX_MEMBERS)]
    title: _Title = ""


# What is shown --------------------------------------------------------------------------------------------


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """A token or key, without what it proves itself by. ``id`` revokes it."""

    id: str
    kind: str
    title: str
    made: int
    until: int | None = None
    prefixes: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()


class IdentityView(msgspec.Struct, frozen=True, kw_only=True):
    """An identity, for those who may see it."""

    name: str
    roles: tuple[Role, ...]
    title: str
    made: int
    disabled: bool
    has_password: bool
    credentials: tuple[CredentialView, ...] = ()


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just issued. ``secret`` is shown this once."""

    id: str
    secret: str
    identity: str
    until: int


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group."""

    name: str
    members: tuple[str, ...]
    title: str
    made: int
