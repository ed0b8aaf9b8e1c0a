"""Who calls: bearer tokens of identities, and how a key gets one.

A token of a key is short-lived and in memory alone: after a restart of the node a client proves its key again. What a
token of either kind may do is looked up at each request, so that it ends with the right that it stands for.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from protocol.challenges import CHALLENGE_BYTES
from protocol.errors import InvalidInput, Refused
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.api.rules import NO_SESSION
from registry.identities.directory import Directory
from registry.rights import NO_PROOF, Rights
from registry.store.callers.permissions import Caller, Operation, where
from registry.store.callers.tokens import TOKEN_MARK

API_CONTEXT: Final = b"biaoshi api 1\x00"
"""What a key signs for the API is of no use on the native protocol, nor the other way round."""

CHALLENGE_SECONDS: Final = 60.0
"""How long a challenge waits for its signature."""

TOKEN_SECONDS: Final = 3_600.0
"""How long a token is good for."""

MAX_CHALLENGES: Final = 10_000
"""Challenges that wait at one time; the oldest makes room."""

MAX_TOKENS: Final = 10_000
"""Tokens at one time; the oldest makes room."""

TOKEN_BYTES: Final = 24
"""192 random bits: nobody tries them out."""


class Credentials(Protocol):
    """Knows tokens of some kind."""

    def caller(self, token: str, who: str) -> Caller | None:
        """Who has this token, which came from the address ``who``; None where it is of another kind, or not known here.
        Raises :class:`Refused` where nobody need look any further."""
        ...


class IdentityTokens:
    """Tokens of identities, kept with them: each counts until it ends or is revoked. ``clock`` gives seconds since
    1970."""

    def __init__(self, directory: Directory, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock

    def caller(self, token: str, who: str) -> Caller | None:
        """Who has this token. Raises :class:`Refused` where nobody has, or has any more."""
        return self._directory.by_token(token, who, self._clock()) if token.startswith(TOKEN_MARK) else None


def proof_bytes(zone: str, challenge: bytes) -> bytes:
    """What a key signs to get a token: context, length and name of the node's zone, challenge. A client takes the zone
    from what it knows, not from the challenge: so no node can use it to get a token at another."""
    name = zone.encode()
    return API_CONTEXT + bytes((len(name),)) + name + challenge


class _Challenge(NamedTuple):
    key: PublicKey
    nonce: bytes
    until: float


class _Token(NamedTuple):
    key: PublicKey
    until: float


class Granted(NamedTuple):
    """A new token, and below which prefixes it may write."""

    token: str
    prefixes: tuple[str, ...]


class KeySessions:
    """Tokens for keys. ``clock`` gives seconds and only goes forward; ``time`` seconds since 1970."""

    def __init__(self, rights: Rights, zone: str, clock: Callable[[], float], time: Callable[[], float]) -> None:
        self._time = time
        self._rights = rights
        self._zone = zone
        self._clock = clock
        self._challenges: dict[str, _Challenge] = {}
        self._tokens: dict[bytes, _Token] = {}  # by their hashes: looking one up tells nothing by its time

    def challenge(self, key: PublicKey) -> tuple[str, bytes]:
        """A session's name, and the challenge that the key is to sign. Raises :class:`Refused` for an unknown key."""
        self._rights.caller(key)
        name, nonce = secrets.token_urlsafe(16), os.urandom(CHALLENGE_BYTES)
        _make_room(self._challenges, MAX_CHALLENGES)
        self._challenges[name] = _Challenge(key, nonce, self._clock() + CHALLENGE_SECONDS)
        return name, nonce

    def prove(self, name: str, signature: bytes) -> Granted:
        """The token for a signed challenge, which serves once. Raises :class:`InvalidInput`, :class:`Refused`."""
        challenge = self._challenges.pop(name, None)
        if challenge is None or challenge.until < self._clock():
            raise InvalidInput(NO_SESSION)
        if not challenge.key.verifies(signature, proof_bytes(self._zone, challenge.nonce)):
            raise Refused(NO_PROOF, Status.NOT_AUTHENTICATED)
        prefixes = where(self._rights.caller(challenge.key), Operation.RECORD_WRITE, int(self._time()))
        token = secrets.token_urlsafe(TOKEN_BYTES)
        _make_room(self._tokens, MAX_TOKENS)
        self._tokens[_hash(token)] = _Token(challenge.key, self._clock() + TOKEN_SECONDS)
        return Granted(token, prefixes)

    def revoke(self, token: str) -> None:
        """End a token."""
        self._tokens.pop(_hash(token), None)

    def caller(self, token: str, who: str) -> Caller | None:
        """Who has this token. Raises :class:`Refused` where the key may do nothing any more."""
        found = self._tokens.get(_hash(token))
        if found is None:
            return None
        if found.until < self._clock():
            del self._tokens[_hash(token)]
            return None
        return self._rights.caller(found.key)


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def _make_room(table: dict[str, _Challenge] | dict[bytes, _Token], most: int) -> None:
    while len(table) >= most:
        del table[next(iter(table))]  # type: ignore[arg-type]
