"""Seals: their bytes, and shapes that are none."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from protocol.errors import MessageError
from protocol.framing import decode_one
from protocol.merkle import root_from_proof
from protocol.seals import MAX_SEAL_BYTES, Seal, encode_seal, is_seal, leaf, read_seal, seal_turn, signed_bytes
from tests.protocol import plain
from tests.vectors.actors import NOW_MS, SECONDARY
from tests.vectors.load import load

VECTORS = load("merkle")


@pytest.mark.parametrize("turn", VECTORS["trees"], ids=lambda one: f"{one['size']} bundles")
def test_vectors(turn: Any) -> None:
    leaves, counts = [], []
    for bundle in turn["bundles"]:
        leaves.append(leaf(bytes.fromhex("".join(bundle["requests"])), bytes.fromhex("".join(bundle["responses"]))))
        counts.append(len(bundle["responses"]))
    assert [one.hex() for one in leaves] == [bundle["leaf"] for bundle in turn["bundles"]]
    seals = seal_turn(counts, leaves, SECONDARY.online, VECTORS["time"])
    assert [one.hex() for one in seals] == [bundle["seal"] for bundle in turn["bundles"]]
    for i, wire in enumerate(seals):
        seal = read_seal(decode_one(wire))
        assert (seal.n, seal.time, seal.key_id) == (counts[i], VECTORS["time"], SECONDARY.online.public.id)
        assert (seal.leaf_index, seal.tree_size, seal.path.hex()) == (i, turn["size"], turn["bundles"][i]["proof"])
        root = root_from_proof(leaves[i], seal.leaf_index, seal.tree_size, seal.path)
        assert root is not None
        assert root.hex() == turn["root"]
        signed = signed_bytes(seal.time, seal.tree_size, root)
        assert signed.hex() == turn["signed"]
        assert plain.verifies(SECONDARY.online.public.raw, seal.signature, signed)
        assert encode_seal(seal) == wire


def test_the_bytes_of_a_seal_have_fixed_places() -> None:
    """docs/protocol.md has this table."""
    (wire, _) = seal_turn([3, 1], [bytes(32), bytes(32)], SECONDARY.online, NOW_MS)
    assert wire[0:2] == b"\x98\xc0"
    assert wire[2:7] == b"\xce" + (3).to_bytes(4, "big")
    assert wire[7:16] == b"\xcf" + NOW_MS.to_bytes(8, "big")
    assert wire[16:26] == b"\xc4\x08" + SECONDARY.online.public.id
    assert wire[26:31] == b"\xce" + (0).to_bytes(4, "big")
    assert wire[31:36] == b"\xce" + (2).to_bytes(4, "big")
    assert wire[36:39] == b"\xc5" + (32).to_bytes(2, "big")
    assert wire[39:71] == bytes(32)
    assert wire[71:73] == b"\xc4\x40"
    assert len(wire) == 73 + 64
    assert msgpack.unpackb(wire)[:2] == [None, 3]


def test_the_shortest_and_the_longest_seal() -> None:
    (wire,) = seal_turn([1], [bytes(32)], SECONDARY.online, NOW_MS)
    assert len(wire) == 105
    longest = Seal(1, NOW_MS, bytes(8), 0, 1 << 31, bytes(32 * 32), bytes(64))
    assert len(encode_seal(longest)) == 105 + 32 * 32 <= MAX_SEAL_BYTES
    assert read_seal(decode_one(encode_seal(longest))) == longest


GOOD: tuple[object, ...] = (None, 1, NOW_MS, bytes(8), 0, 1, b"", bytes(64))


def test_shorter_forms_are_understood() -> None:
    wire = msgpack.packb(GOOD)
    assert len(wire) < 105
    assert read_seal(decode_one(wire)) == Seal(*GOOD[1:])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 0),
        (1, 0),
        (1, -1),
        (1, 1 << 32),
        (1, 1.0),
        (2, -1),
        (2, 1 << 63),
        (2, None),
        (3, b"1234567"),
        (3, b"123456789"),
        (3, 5),
        (4, -1),
        (4, 1),
        (5, 0),
        (5, 1 << 32),
        (6, None),
        (6, bytes(32 * 33)),
        (7, bytes(63)),
        (7, bytes(65)),
    ],
)
def test_what_is_no_seal(place: int, value: object) -> None:
    bent = (*GOOD[:place], value, *GOOD[place + 1 :])
    with pytest.raises(MessageError) as caught:
        read_seal(bent)
    assert caught.value.rule.name == "seal.malformed"


@pytest.mark.parametrize("message", [None, 5, (), GOOD[:-1], (*GOOD, None)])
def test_what_is_no_seal_at_all(message: object) -> None:
    with pytest.raises(MessageError):
        read_seal(message)


def test_only_what_begins_with_nil_claims_to_be_a_seal() -> None:
    assert is_seal(GOOD)
    assert is_seal((None,))
    for other in ((1, 0, None), (), None, [None], b"", {}):
        assert not is_seal(other)


def test_requests_and_responses_cannot_be_shifted_between_each_other() -> None:
    assert len({leaf(b"ab", b"c"), leaf(b"a", b"bc"), leaf(b"", b"abc"), leaf(b"abc", b"")}) == 4


def test_a_signature_for_a_seal_serves_nothing_else() -> None:
    assert signed_bytes(0, 0, bytes(32)).startswith(b"biaoshi seal 1\x00")
    assert len(signed_bytes(NOW_MS, 1, bytes(32))) == 15 + 8 + 8 + 32
