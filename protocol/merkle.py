"""The Merkle tree and inclusion proofs of RFC 9162, section 2.1, over SHA-256.

A leaf's hash is SHA-256(0x00 ‖ data), a node's SHA-256(0x01 ‖ left ‖ right); a tree of n leaves splits at
the largest power of two below n, which is the same as pairing neighbours level by level and handing an odd
last one up unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def tree(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Root and inclusion proofs for all leaf hashes (at least one).

    A proof is the concatenation of the sibling hashes from the leaf upwards. Proofs are built from the
    root down, each from its parent's, so that n proofs cost 2n joins and not n·log n.
    """
    levels = [list(leaves)]
    while len(below := levels[-1]) > 1:
        above = [sha256(b"\x01" + below[i] + below[i + 1]).digest() for i in range(0, len(below) - 1, 2)]
        if len(below) & 1:
            above.append(below[-1])
        levels.append(above)
    proofs = [b""]
    for level in reversed(levels[:-1]):
        last = len(level) - 1
        proofs = [level[i ^ 1] + proofs[i >> 1] if i ^ 1 <= last else proofs[i >> 1] for i in range(last + 1)]
    return levels[-1][0], proofs


def root_from_proof(leaf: bytes, index: int, size: int, proof: bytes) -> bytes | None:
    """The root that a proof leads to (RFC 9162, section 2.1.3.2); None where its shape is not that of leaf
    ``index`` in a tree of ``size`` leaves."""
    if not 0 <= index < size or len(proof) % HASH_BYTES:
        return None
    node, last, at = leaf, size - 1, 0
    while last:
        if index & 1 or index < last:  # this level has a sibling; an odd last node has none
            sibling = proof[at : at + HASH_BYTES]
            at += HASH_BYTES
            if len(sibling) < HASH_BYTES:
                return None
            pair = sibling + node if index & 1 else node + sibling
            node = sha256(b"\x01" + pair).digest()
        index >>= 1
        last >>= 1
    return node if at == len(proof) else None
