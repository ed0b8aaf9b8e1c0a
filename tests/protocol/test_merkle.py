"""The tree against RFC 9162 read literally, and proofs of the wrong shape."""

from __future__ import annotations

from hashlib import sha256

import pytest

from protocol.merkle import HASH_BYTES, leaf_hash, root_from_proof, tree
from tests.protocol import plain

SIZES = [*range(1, 34), 63, 64, 65, 100, 257]


def data(size: int) -> list[bytes]:
    return [b"leaf %d" % i for i in range(size)]


@pytest.mark.parametrize("size", SIZES)
def test_root_and_proofs_are_those_of_the_rfc(size: int) -> None:
    leaves = data(size)
    root, proofs = tree([leaf_hash(one) for one in leaves])
    assert root == plain.tree_hash(leaves)
    assert proofs == [b"".join(plain.inclusion_proof(i, leaves)) for i in range(size)]
    for i, proof in enumerate(proofs):
        assert root_from_proof(leaf_hash(leaves[i]), i, size, proof) == root
        hashes = [proof[at : at + HASH_BYTES] for at in range(0, len(proof), HASH_BYTES)]
        assert plain.climb(leaf_hash(leaves[i]), i, size, hashes) == root


def test_a_known_tree() -> None:
    """The eight leaves of the certificate transparency test data."""
    leaves = [bytes.fromhex(one) for one in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )]  # fmt: skip
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert tree([leaf_hash(one) for one in leaves[:size]])[0].hex() == root


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_no_proof_serves_in_another_place_or_another_tree(size: int) -> None:
    leaves = [leaf_hash(one) for one in data(size)]
    root, proofs = tree(leaves)
    for i in range(size):
        for place in range(-1, size + 1):
            if place != i:
                assert root_from_proof(leaves[i], place, size, proofs[i]) != root
        assert root_from_proof(leaves[i], i, size, proofs[i] + bytes(HASH_BYTES)) is None
        assert root_from_proof(leaves[i], i, size, proofs[i] + b"\x00") is None
        if proofs[i]:
            assert root_from_proof(leaves[i], i, size, proofs[i][:-HASH_BYTES]) is None
            assert root_from_proof(leaves[i], i, size, proofs[i][:-1]) is None
        for j in range(len(proofs[i])):
            bent = bytearray(proofs[i])
            bent[j] ^= 1
            assert root_from_proof(leaves[i], i, size, bytes(bent)) != root


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 1), (1, 1), (5, 5), (1 << 32, 1 << 32)])
def test_places_outside_the_tree(index: int, size: int) -> None:
    assert root_from_proof(bytes(32), index, size, b"") is None


def test_a_tree_of_four_thousand_million_leaves_takes_32_steps() -> None:
    size = (1 << 32) - 1
    assert root_from_proof(bytes(32), 0, size, bytes(32 * 32)) is not None
    assert root_from_proof(bytes(32), 0, size, bytes(31 * 32)) is None


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert tree([left, right])[0] == sha256(b"\x01" + left + right).digest()
    assert leaf_hash(left + right) != tree([left, right])[0]
