"""The keys, zones and times of the vectors and of the tests that bend them. Nothing here is secret or random."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

from protocol.messages import Op, encode_request, encode_response
from protocol.receipts import encode_receipt
from protocol.records import State, Value, encode_body, encode_values
from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, OnlineKey
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor

SINCE: Final = 1_767_225_600
"""2026-01-01 00:00:00 UTC, in seconds: when delegations begin."""

UNTIL: Final = 1_798_761_600
"""2027-01-01 00:00:00 UTC, in seconds: when delegations end."""

NOW: Final = 1_780_272_000
"""2026-06-01 00:00:00 UTC, in seconds: when everything happens."""

NOW_MS: Final = NOW * 1_000 + 123

KEY_SINCE: Final = NOW - 86_400
KEY_UNTIL: Final = NOW + 6 * 86_400
"""Online keys are valid for a week."""

RID: Final = 0x0123_4567_89AB_CDEF


def key(name: str) -> SigningKey:
    """The key of that name: its seed is SHA-256 of ``biaoshi test key`` and the name."""
    return SigningKey(sha256(f"biaoshi test key {name}".encode()).digest())


class Zone(NamedTuple):
    """A zone with its keys: the zone key signs statements, the online key seals."""

    prefix: str
    key: SigningKey
    online: SigningKey

    def online_statement(self, *, since: int = KEY_SINCE, until: int = KEY_UNTIL, zone: str | None = None) -> bytes:
        """The statement for the online key, as the zone signs it."""
        name = self.prefix if zone is None else zone
        return OnlineKey(name, "node-1", self.online.public, since, until).sign(self.key)

    def delegate(
        self,
        child: Zone,
        *,
        since: int = SINCE,
        until: int = UNTIL,
        serial: int = 1,
        parent: str | None = None,
        signer: SigningKey | None = None,
        host: str = "node.example.cn",
    ) -> bytes:
        """The delegation of ``child`` by this zone; each part can be bent."""
        name = self.prefix if parent is None else parent
        addresses = (Address(host, 26_410, 26_410),)
        claim = Delegation(name, child.prefix, serial, since, until, (child.key.public,), addresses)
        return claim.sign(signer or self.key)


TOP: Final = Zone("88", key("top zone"), key("top online"))
SECONDARY: Final = Zone("88.118", key("secondary zone"), key("secondary online"))
ENTERPRISE: Final = Zone("88.118.32001", key("enterprise zone"), key("enterprise online"))
SIBLING: Final = Zone("88.118.32002", key("sibling zone"), key("sibling online"))
OTHER_SECONDARY: Final = Zone("88.119", key("other secondary zone"), key("other secondary online"))
STRANGER: Final = Zone("99", key("stranger zone"), key("stranger online"))

ANCHOR: Final = TrustAnchor(TOP.prefix, TOP.key.public)

SECONDARY_CHAIN: Final = Chain((TOP.delegate(SECONDARY),), (SECONDARY.online_statement(),))
ENTERPRISE_CHAIN: Final = Chain(
    (TOP.delegate(SECONDARY), SECONDARY.delegate(ENTERPRISE)), (ENTERPRISE.online_statement(),)
)

IDENTIFIER: Final = b"88.118.32001/P0000000123456"
ABSENT: Final = b"88.118.32001/P0000000999999"

VALUES: Final = (
    Value(1, "URL", b"https://example.cn/p/123456"),
    Value(2000, "name", "离心泵 IS80-65-160".encode(), ttl=3_600),
)
BODY: Final = encode_body(3, State.ACTIVE, NOW - 3_600, encode_values(VALUES))
EARLIER_BODIES: Final = tuple(
    encode_body(version, State.ACTIVE, NOW - 7_200, encode_values([Value(1, "N", b"%d" % version)]))
    for version in (2, 1)
)
"""What it was before, the newest first."""
WITHDRAWN_BODY: Final = encode_body(4, State.WITHDRAWN, NOW - 60, b"\x90")
SUSPENDED_BODY: Final = encode_body(4, State.SUSPENDED, NOW - 60, b"\x90")


class Exchanged(NamedTuple):
    """One question, its answer, and the seal of the answer alone."""

    request: bytes
    response: bytes
    seal: bytes

    def receipt(self, chain: Chain) -> bytes:
        """The receipt of it."""
        return encode_receipt(self.request, self.response, self.seal, chain)


def answered(
    identifier: bytes = IDENTIFIER,
    status: Status = Status.OK,
    payload: object = BODY,
    *,
    online: SigningKey = SECONDARY.online,
    time: int = NOW_MS,
    rid: int = RID,
) -> Exchanged:
    """One resolve whose answer was sealed alone."""
    request = encode_request(Op.RESOLVE, rid, identifier, 1)
    response = encode_response(rid, status, payload)
    (seal,) = seal_turn([1], [leaf(request, response)], online, time)
    return Exchanged(request, response, seal)
