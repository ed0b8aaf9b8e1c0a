"""Passwords, and what is kept of them: what scrypt makes (RFC 7914), with the parameters beside it so that they can
grow."""

from __future__ import annotations

import os
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
COST: Final = 1 << 15
"""n of scrypt: with r = 8 some 100 ms and 32 MiB, of which a registry bears one at a time."""


class _Password(msgspec.Struct, array_like=True, frozen=True):
    n: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)]
    r: Annotated[int, msgspec.Meta(ge=1, le=64)]
    p: Annotated[int, msgspec.Meta(ge=1, le=16)]
    salt: bytes
    hash: bytes


_decode: Final = msgspec.msgpack.Decoder(_Password).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def hash_password(password: str, cost: int = COST) -> bytes:
    """What is kept of a password. Takes some 100 ms: not for an event loop."""
    salt = os.urandom(SALT_BYTES)
    derived = Scrypt(salt=salt, length=HASH_BYTES, n=cost, r=8, p=1).derive(password.encode())
    return _encode(_Password(cost, 8, 1, salt, derived))


def password_fits(password: str, kept: bytes) -> bool:
    """Whether a password is the one that was kept; compares in constant time, and takes as long as hashing."""
    try:
        known = _decode(kept)
        Scrypt(salt=known.salt, length=len(known.hash), n=known.n, r=known.r, p=known.p).verify(
            password.encode(), known.hash
        )
    except (InvalidKey, msgspec.DecodeError):
        return False
    return True


def nobodys_password() -> bytes:
    """What no password fits, and takes as long to find that out: who asks for a name that has none learns nothing."""
    return _encode(_Password(COST, 8, 1, os.urandom(SALT_BYTES), os.urandom(HASH_BYTES)))
