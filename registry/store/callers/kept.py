"""Identities, their credentials and groups as they are kept, one structure to a system record."""

from __future__ import annotations

from typing import Final

import msgspec

from registry.store.callers.permissions import Operation, Role

FORMAT: Final = 1

IDENTITIES: Final = b"\x01identity"
TOKENS: Final = b"\x01token"
KEYS: Final = b"\x01key"
GROUPS: Final = b"\x01group"
ENTERPRISES: Final = b"\x01enterprise"


class Identity(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A person or program. ``credentials`` names its tokens and keys: one that it does not name is of no use, whatever
    else is there. ``password`` is a hash (``registry.identities.secrets``), empty where there is none."""

    format: int = FORMAT
    roles: tuple[Role, ...]
    title: str = ""
    made: int
    disabled: bool = False
    credentials: tuple[str, ...] = ()
    password: bytes = b""


class Token(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A token under the digest of its secret. Empty ``prefixes`` and ``operations`` do not limit it; ``until`` is in
    seconds since 1970."""

    format: int = FORMAT
    identity: str
    title: str = ""
    prefixes: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    made: int
    until: int


class Key(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A public key of an identity, under algorithm and key."""

    format: int = FORMAT
    identity: str
    title: str = ""
    made: int


class Group(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Identities, and prefixes of enterprises, under one name."""

    format: int = FORMAT
    members: tuple[str, ...]
    title: str = ""
    made: int


class Owner(msgspec.Struct, array_like=True, frozen=True):
    """What a prefix's allotment begins with (``registry.enterprises.bodies``): how it stands, and whose it is."""

    format: int
    stage: int
    enterprise: str


class Owned(msgspec.Struct, array_like=True, frozen=True):
    """What an enterprise's record begins with: its prefixes, behind what is of no concern here."""

    format: int
    state: int
    application: msgspec.Raw
    applied: int
    reviewed: int
    reason: str
    prefixes: tuple[str, ...] = ()
