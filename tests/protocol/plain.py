"""The same rules once more, written from docs/protocol.md alone: plain MessagePack, hashlib, and OpenSSL's Ed25519.

What these functions and the package agree on is not the mistake of one of them. They are slow and trust their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaves' data."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    half = split_at(len(leaves))
    return sha256(b"\x01" + tree_hash(leaves[:half]) + tree_hash(leaves[half:])).digest()


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    half = split_at(len(leaves))
    if index < half:
        return [*inclusion_proof(index, leaves[:half]), tree_hash(leaves[half:])]
    return [*inclusion_proof(index - half, leaves[half:]), tree_hash(leaves[:half])]


def split_at(size: int) -> int:
    """The largest power of two below ``size``."""
    half = 1
    while half * 2 < size:
        half *= 2
    return half


def climb(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to, going down from the root's side: the recursion of MTH turned around."""
    if size == 1:
        assert not path
        return leaf
    half = split_at(size)
    *below, sibling = path
    if index < half:
        return sha256(b"\x01" + climb(leaf, index, half, below) + sibling).digest()
    return sha256(b"\x01" + sibling + climb(leaf, index - half, size - half, below)).digest()


def public_of(seed: bytes) -> bytes:
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """A signature."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def key_id(public: bytes) -> bytes:
    """How seals name an Ed25519 key."""
    return sha256(b"\x01" + public).digest()[:8]


def message(wire: bytes) -> Any:
    """A message of the protocol. Strings may come as text or as binary."""
    return msgpack.unpackb(wire, raw=True)


def seal_holds(requests: Sequence[bytes], responses: Sequence[bytes], seal: bytes, public: bytes) -> bool:
    """Whether a seal covers these requests and these responses, in this order."""
    nil, n, time, named, index, size, path, signature = message(seal)
    assert nil is None
    if n != len(responses) or named != key_id(public):
        return False
    data = sha256(b"".join(requests)).digest() + sha256(b"".join(responses)).digest()
    hashes = [path[i : i + 32] for i in range(0, len(path), 32)]
    root = climb(sha256(b"\x00" + data).digest(), index, size, hashes)
    signed = b"biaoshi seal 1\x00" + time.to_bytes(8, "big") + size.to_bytes(8, "big") + root
    return verifies(public, signature, signed)


def statement_body(statement: bytes, context: bytes, keys: Sequence[bytes]) -> Any:
    """The body of a statement that one of ``keys`` signed."""
    body, signature = msgpack.unpackb(statement)
    assert any(verifies(one, signature, context + body) for one in keys)
    return msgpack.unpackb(body)


def receipt_answer(receipt: bytes, anchor_prefix: str, anchor: bytes) -> tuple[bytes, int, Any]:
    """Identifier, status and payload of a receipt that holds; AssertionError for any other."""
    form, request, response, seal, delegations, online_keys = msgpack.unpackb(receipt)
    assert form == 1
    at = message(seal)[2] // 1000
    prefix, keys = anchor_prefix, [anchor]
    for statement in delegations:
        parent, child, _, since, until, named, _ = statement_body(statement, b"biaoshi delegation 1\x00", keys)
        assert parent == prefix
        assert child.startswith(prefix + ".")
        assert since <= at <= until
        prefix, keys = child, [raw for algorithm, raw in named if algorithm == 1]
    online = []
    for statement in online_keys:
        body, signature = msgpack.unpackb(statement)
        zone, _, (algorithm, raw), since, until = msgpack.unpackb(body)
        assert zone == prefix
        signed = any(verifies(one, signature, b"biaoshi online key 1\x00" + body) for one in keys)
        if signed and algorithm == 1 and since <= at <= until:
            online.append(raw)
    assert any(seal_holds([request], [response], seal, raw) for raw in online)
    op, rid, identifier, *_ = message(request)
    answered, status, payload = message(response)
    assert (op, rid) == (1, answered)
    asked = identifier.partition(b"/")[0].upper().decode()
    assert asked == prefix or asked.startswith(prefix + ".")
    return identifier, status, payload
