"""Seals: one signature for everything that is answered in one turn.

A *bundle* is what one connection is answered in one turn of the event loop, or one datagram. The bundles of a
turn are the leaves of a Merkle tree, whose root is signed once with the time; behind its responses each
bundle carries its own proof of inclusion::

    seal = [nil, n, time, key_id, leaf_index, tree_size, path, signature]

It covers the last ``n`` responses. ``time`` is in milliseconds since 1970 UTC. A leaf's data is
SHA-256(the n requests, in response order) ‖ SHA-256(the n responses), so an answer belongs to its question,
``rid`` and all, and cannot be shown for another one. The construction is described in
docs/adr/0001-batch-seals.md; the tree is RFC 9162's (``merkle``).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from protocol.errors import MessageError, Rule
from protocol.limits import MAX_PROOF_NODES
from protocol.merkle import HASH_BYTES, tree
from protocol.signatures import KEY_ID_BYTES, SIGNATURE_BYTES, SigningKey
from protocol.status import Status

MALFORMED: Final = Rule(
    "seal.malformed",
    Status.NOT_VERIFIED,
    "a seal is [nil, n, time, key_id, leaf_index, tree_size, path, signature]",
    "签章应为 [nil, n, time, key_id, leaf_index, tree_size, path, signature]",
)

CONTEXT: Final = b"biaoshi seal 1\x00"
"""Begins the signed bytes, so that a signature made for one purpose never serves another."""

_HEAD = Struct(">BBBIBQBB8sBIBIBH").pack
_SIGNED_TAIL = Struct(">QQ32s").pack
_SIGNATURE_HEADER = bytes((0xC4, SIGNATURE_BYTES))

MAX_SEAL_BYTES: Final = 43 + MAX_PROOF_NODES * HASH_BYTES + 66


class Seal(NamedTuple):
    """A seal as it came; nothing about it is verified yet."""

    n: int
    time: int
    key_id: bytes
    leaf_index: int
    tree_size: int
    path: bytes
    signature: bytes


def leaf(requests: bytes, responses: bytes) -> bytes:
    """The leaf hash of a bundle: from its requests in response order and its responses."""
    return sha256(b"\x00" + sha256(requests).digest() + sha256(responses).digest()).digest()


def signed_bytes(time: int, tree_size: int, root: bytes) -> bytes:
    """What the online key signs: context, time and tree size as 64 bits, root."""
    return CONTEXT + _SIGNED_TAIL(time, tree_size, root)


def seal_turn(counts: Sequence[int], leaves: Sequence[bytes], key: SigningKey, time: int) -> list[bytes]:
    """Seal the bundles of a turn: the bytes of one seal per bundle.

    ``counts`` has the number of responses in each bundle, ``leaves`` its leaf hash, ``time`` the clock in milliseconds.
    """
    size = len(leaves)
    root, proofs = tree(leaves)
    end = _SIGNATURE_HEADER + key.sign(signed_bytes(time, size, root))
    key_id = key.public.id
    return [
        _HEAD(0x98, 0xC0, 0xCE, n, 0xCF, time, 0xC4, KEY_ID_BYTES, key_id, 0xCE, index, 0xCE, size, 0xC5, len(proof))
        + proof
        + end
        for index, (n, proof) in enumerate(zip(counts, proofs, strict=True))
    ]


def encode_seal(seal: Seal) -> bytes:
    """The bytes of a seal, as :func:`seal_turn` writes them."""
    head = _HEAD(
        0x98,
        0xC0,
        0xCE,
        seal.n,
        0xCF,
        seal.time,
        0xC4,
        KEY_ID_BYTES,
        seal.key_id,
        0xCE,
        seal.leaf_index,
        0xCE,
        seal.tree_size,
        0xC5,
        len(seal.path),
    )
    return head + seal.path + _SIGNATURE_HEADER + seal.signature


def is_seal(message: object) -> bool:
    """Whether a decoded message claims to be a seal: only they begin with nil."""
    return type(message) is tuple and len(message) > 0 and message[0] is None


def read_seal(message: object) -> Seal:
    """Check the shape of a decoded message to be a seal. Raises :class:`MessageError`."""
    match message:
        case (None, int(n), int(time), bytes(key_id), int(leaf_index), int(tree_size), bytes(path), bytes(signature)):
            if (
                0 < n <= 0xFFFF_FFFF
                and 0 <= time < 1 << 63
                and len(key_id) == KEY_ID_BYTES
                and 0 <= leaf_index < tree_size <= 0xFFFF_FFFF
                and len(signature) == SIGNATURE_BYTES
                and len(path) <= MAX_PROOF_NODES * HASH_BYTES
            ):
                return Seal(n, time, key_id, leaf_index, tree_size, path, signature)
    raise MessageError(MALFORMED)
