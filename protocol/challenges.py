"""What a reader signs to prove its key to a resolver."""

from __future__ import annotations

from typing import Final

from protocol.errors import Rule
from protocol.signatures import PublicKey
from protocol.status import Status

CHALLENGE_BYTES: Final = 32
"""Of a nonce, at every door."""

READ_CONTEXT: Final = b"biaoshi read 1\x00"

NOT_PROVEN: Final = Rule(
    "reading.not-proven",
    Status.NOT_AUTHENTICATED,
    "this proves nobody who is known here: the credential is mistyped, has ended or was revoked, or was meant for "
    "another door",
    "未能证明任何本节点已知的身份：凭证有误、已失效、已撤销，或用错了端口",
)


def reading_challenge(zone: str, node: PublicKey, nonce: bytes) -> bytes:
    """Context, length and name of the zone, id of the online key that sealed the nonce, nonce. With the context it is
    of no use at the registry's door, with the zone at no other zone's, and with the key at no other node's of the same
    zone: whoever is given a proof can do nothing with it elsewhere."""
    name = zone.encode()
    return READ_CONTEXT + bytes((len(name),)) + name + node.id + nonce
