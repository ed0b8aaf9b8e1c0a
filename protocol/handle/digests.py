"""What a response says of its request, so that nobody can put an answer to another question (RFC 3652, section 2.2.3).

::

    digest = kind u8 · hash (16, 20 or 32 bytes by its kind)

The hash is over header and body of the request, without envelope and credential.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.codes import HashCode
from protocol.handle.fields import Fields, rule, u8
from protocol.status import Status

UNKNOWN_HASH: Final = rule(
    "hash",
    "hash {code} is not known here; 1 is MD5, 2 SHA-1, 3 SHA-256",
    "不支持的哈希算法 {code}，1 为 MD5，2 为 SHA-1，3 为 SHA-256",
)
NO_NEW_MD5: Final = rule(
    "md5",
    "digests by MD5 are read, not made; ask for SHA-256",
    "仅可读取 MD5 摘要，不再生成，请使用 SHA-256",
    Status.UNKNOWN_OPERATION,
)

DIGEST_BYTES: Final[dict[int, int]] = {HashCode.MD5: 16, HashCode.SHA1: 20, HashCode.SHA256: 32}
_MADE: Final = {HashCode.SHA1: hashlib.sha1, HashCode.SHA256: hashlib.sha256}


class Digest(msgspec.Struct, frozen=True):
    """A request's hash and its kind."""

    kind: HashCode
    hash: bytes


def digest_of(covered: bytes, kind: HashCode = HashCode.SHA256) -> Digest:
    """The digest of a request: of what ``messages.covered`` gives. SHA-1 is for clients below version 2.7.

    Raises :class:`MessageError` for kinds that are not made.
    """
    if kind not in _MADE:
        raise MessageError(NO_NEW_MD5) if kind == HashCode.MD5 else MessageError(UNKNOWN_HASH, code=int(kind))
    return Digest(kind, _MADE[kind](covered).digest())


def read_digest(fields: Fields) -> Digest:
    """A digest. Raises :class:`MessageError`."""
    code = fields.u8("digest")
    if code not in DIGEST_BYTES:
        raise MessageError(UNKNOWN_HASH, code=code)
    return Digest(HashCode(code), fields.exactly(DIGEST_BYTES[code], "digest"))


def encode_digest(digest: Digest) -> bytes:
    """Its bytes. Raises :class:`MessageError` for a hash of a wrong kind or length."""
    if DIGEST_BYTES.get(digest.kind) != len(digest.hash):
        raise MessageError(UNKNOWN_HASH, code=int(digest.kind))
    return u8(digest.kind) + digest.hash
