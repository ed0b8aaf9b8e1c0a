"""What a reader signs to prove its key to a resolver."""

from __future__ import annotations

from typing import Final

from protocol.signatures import PublicKey

CHALLENGE_BYTES: Final = 32
"""Of a nonce, at every door."""

READ_CONTEXT: Final = b"biaoshi read 1\x00"


def reading_challenge(zone: str, node: PublicKey, nonce: bytes) -> bytes:
    """Context, length and name of the zone, id of the online key that sealed the nonce, nonce. With the context it is
    of no use at the registry's door, with the zone at no other zone's, and with the key at no other node's of the same
    zone: whoever is given a proof can do nothing with it elsewhere."""
    name = zone.encode()
    return READ_CONTEXT + bytes((len(name),)) + name + node.id + nonce
