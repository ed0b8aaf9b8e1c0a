"""Who vouches for a message, and the proofs that answer a challenge (RFC 3652, sections 2.2.4 and 3.5)::

    credential = version u8 · reserved u8 · options u16 · signer (reference) · type text · signature (octets)
    signature  = algorithm text · signature octets
    mac        = kind u8 · hash
    derived    = 0x22 · salt octets · iterations u32 · key length in bits u32 · hash octets

A credential covers header and body. A proof covers nonce and digest of the challenge, one behind the other: a
*signature* where the key is an ``HS_PUBKEY``, a *mac* where it is an ``HS_SECKEY``. Whether they hold is not decided
here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.codes import HashCode
from protocol.handle.digests import UNKNOWN_HASH, Digest
from protocol.handle.fields import Fields, octets, rule, text, u8, u16, u32
from protocol.handle.values import Reference, encode_reference, read_reference

SIGNED: Final = "HS_SIGNED"
"""Type of a credential that is a signature by a public key."""

MAC: Final = "HS_MAC"
"""Type of a credential that is a keyed hash, with the key of a session."""

_HASHES: Final = frozenset(HashCode)

MAX_ITERATIONS: Final = 1_000_000
"""Iterations of PBKDF2 that a client may have us do: a second. The clients in the field do 10,000."""

MAX_DERIVED_BITS: Final = 512
"""Bits of a derived key. The clients in the field derive 160."""

TOO_COSTLY: Final = rule(
    "too-costly",
    "the proof derives {bits} bits with {iterations} iterations; at most {most_bits} and {most_iterations} are allowed",
    "该证明以 {iterations} 次迭代派生 {bits} 位密钥，超过上限（{most_iterations} 次、{most_bits} 位）",
)


class Signature(msgspec.Struct, frozen=True):
    """A signature and the name of its hash: ``SHA-256``, ``SHA-1``, ``HMAC-SHA256``; ``SM3`` of the national SDK."""

    algorithm: str
    signature: bytes


class Mac(msgspec.Struct, frozen=True):
    """A proof by a secret key. ``salt``, ``iterations`` and ``bits`` are those of PBKDF2, else empty and 0."""

    kind: HashCode
    hash: bytes
    salt: bytes = b""
    iterations: int = 0
    bits: int = 0


class Credential(msgspec.Struct, frozen=True):
    """Who vouches for a message, and how. With ``HS_MAC`` the index of ``signer`` is the session's counter."""

    signer: Reference
    type: str
    signature: Signature
    version: int = 0
    options: int = 0


def challenged(nonce: bytes, digest: Digest) -> bytes:
    """What the proof that answers a challenge covers."""
    return nonce + digest.hash


def read_signature(data: bytes) -> Signature:
    """A signature with the name of its algorithm. Raises :class:`MessageError`."""
    fields = Fields(data)
    signature = Signature(fields.text("algorithm"), fields.octets("signature"))
    fields.finish("signature")
    return signature


def encode_signature(signature: Signature) -> bytes:
    """Its bytes."""
    return text(signature.algorithm) + octets(signature.signature)


def read_mac(data: bytes) -> Mac:
    """A proof by a secret key. Raises :class:`MessageError`, also for one that would cost too much to check."""
    fields = Fields(data)
    code = fields.u8("mac")
    if code not in _HASHES:
        raise MessageError(UNKNOWN_HASH, code=code)
    kind = HashCode(code)
    if kind is not HashCode.PBKDF2_HMAC_SHA1:
        return Mac(kind, fields.rest())
    salt, iterations, bits = fields.octets("salt"), fields.u32("iterations"), fields.u32("bits")
    mac = Mac(kind, fields.octets("mac"), salt, iterations, bits)
    fields.finish("mac")
    _check_cost(mac)
    return mac


def encode_mac(mac: Mac) -> bytes:
    """Its bytes. Raises :class:`MessageError` as reading does."""
    if mac.kind is not HashCode.PBKDF2_HMAC_SHA1:
        return u8(mac.kind) + mac.hash
    _check_cost(mac)
    return b"".join((u8(mac.kind), octets(mac.salt), u32(mac.iterations), u32(mac.bits), octets(mac.hash)))


def _check_cost(mac: Mac) -> None:
    if mac.iterations > MAX_ITERATIONS or mac.bits > MAX_DERIVED_BITS:
        raise MessageError(
            TOO_COSTLY, iterations=mac.iterations, bits=mac.bits,
            most_iterations=MAX_ITERATIONS, most_bits=MAX_DERIVED_BITS,
        )  # fmt: skip


def read_credential(fields: Fields) -> Credential:
    """A credential, up to the end. Raises :class:`MessageError`."""
    version, _, options = fields.u8("version"), fields.u8("reserved"), fields.u16("options")
    signer, type_ = read_reference(fields), fields.text("credential type")
    signature = read_signature(fields.octets("signature"))
    fields.finish("credential")
    return Credential(signer, type_, signature, version, options)


def encode_credential(credential: Credential) -> bytes:
    """Its bytes, without the length that stands before it in a message."""
    head = u8(credential.version) + u8(0) + u16(credential.options)
    signer = encode_reference(credential.signer)
    return head + signer + text(credential.type) + octets(encode_signature(credential.signature))
