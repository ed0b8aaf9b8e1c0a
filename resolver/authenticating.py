"""AUTHENTICATE, PROVE and TOKEN at a resolver: how a connection becomes a reader's. No sockets.

Whoever may not read is told one and the same, be the key unknown, the signature wrong or the token revoked.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Final

from protocol.address import is_loopback
from protocol.challenges import CHALLENGE_BYTES, NOT_PROVEN, reading_challenge
from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.messages import BAD_ARGUMENTS, Op, encode_failure, encode_response, read_request
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.store.callers.tokens import token_digest
from resolver.answering import Answerer
from resolver.readers import Find, Readers

IN_CLEAR: Final = Rule(
    "reading.in-clear",
    Status.NOT_PERMITTED,
    "a token is not taken in clear from {address}: prove a key, or reach this door through TLS that ends on this "
    "machine",
    "不接受来自 {address} 的明文令牌：请改用密钥认证，或通过终止于本机的 TLS 访问此端口",
)

AUTHENTICATING: Final = frozenset((Op.AUTHENTICATE, Op.PROVE, Op.TOKEN))


class Authentication:
    """Who is at the other end of one connection, which comes from ``peer`` (an address). ``answerer`` is what answers
    it; None as long as nobody has proven anything."""

    def __init__(self, readers: Readers, peer: str) -> None:
        self._readers = readers
        self._peer = peer
        self._claimed: tuple[PublicKey, bytes] | None = None
        self.answerer: Answerer | None = None

    def answer(self, request: object, node: PublicKey) -> bytes:
        """The response to one of ``AUTHENTICATING``, which is sealed by ``node``. Whatever was proven before is over
        with it."""
        rid = 0
        self.answerer = None
        try:
            op, rid, arguments = read_request(request)
            if op == Op.AUTHENTICATE:
                return self._authenticate(rid, arguments, node)
            return self._prove(rid, arguments) if op == Op.PROVE else self._token(rid, arguments)
        except BiaoshiError as error:
            return encode_failure(rid, error)

    def _authenticate(self, rid: int, arguments: tuple[object, ...], node: PublicKey) -> bytes:
        match arguments:
            case (int(algorithm), bytes(raw)):
                key = PublicKey(algorithm, raw)
            case _:
                reason = "expected [16, rid, algorithm, public key]"
                raise MessageError(BAD_ARGUMENTS, operation="authenticate", reason=reason)
        nonce = os.urandom(CHALLENGE_BYTES)
        self._claimed = key, reading_challenge(self._readers.facts.zone, node, nonce)
        return encode_response(rid, Status.OK, nonce)

    def _prove(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(signature),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="prove", reason="expected [17, rid, signature]")
        claimed, self._claimed = self._claimed, None  # a challenge serves once
        if claimed is None:
            raise Refused(NOT_PROVEN, NOT_PROVEN.status)
        key, challenge = claimed
        if not key.verifies(signature, challenge):
            raise self._wrong()
        return self._become(rid, partial(self._readers.by_key, key))

    def _token(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(secret),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="token", reason="expected [11, rid, token]")
        if not self._readers.tokens_in_clear and not is_loopback(self._peer):
            raise Refused(IN_CLEAR, IN_CLEAR.status, address=self._peer)
        digest = token_digest(secret.decode("utf-8", "replace"))
        if digest is None:
            raise self._wrong()
        return self._become(rid, partial(self._readers.by_digest, digest))

    def _become(self, rid: int, find: Find) -> bytes:
        caller = find()
        if caller is None:
            raise self._wrong()
        self.answerer = self._readers.answerer(find)
        return encode_response(rid, Status.OK, caller.name)

    def _wrong(self) -> Refused:
        """The error for what proves nobody. Who has tried too often is told to wait, which no right proof has to."""
        attempts, now = self._readers.attempts, self._readers.steady()
        try:
            attempts.check(self._peer, now)
        except Refused as error:
            return error
        finally:
            attempts.wrong(self._peer, now)
        return Refused(NOT_PROVEN, NOT_PROVEN.status)
