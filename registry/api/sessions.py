"""Tokens for keys that may write: a challenge, its signature, a token."""

from __future__ import annotations

import msgspec

from protocol.signatures import PublicKey
from registry.api.credentials import CHALLENGE_SECONDS, TOKEN_SECONDS, KeySessions
from registry.api.reading import bearer
from registry.api.routing import Answer, Call, Route


class KeyInput(msgspec.Struct, forbid_unknown_fields=True):
    """The public key that is to be proven, as `biaoshi key FILE` prints it."""

    key: str


class ChallengeShown(msgspec.Struct):
    """What is to be signed: `biaoshi api 1`, a zero byte, one byte with the length of the zone's name, that name, and
    the bytes of `challenge`."""

    session: str
    zone: str
    challenge: bytes
    seconds: int


class SignatureInput(msgspec.Struct, forbid_unknown_fields=True):
    """The Ed25519 signature, in base64."""

    signature: bytes


class TokenShown(msgspec.Struct):
    """A bearer token, and the prefixes below which it may write."""

    token: str
    prefixes: list[str]
    seconds: int


class SessionsDesk:
    """The operations."""

    def __init__(self, sessions: KeySessions, zone: str) -> None:
        self._sessions = sessions
        self._zone = zone

    async def begin(self, call: Call, body: KeyInput) -> Answer:
        """A challenge for a key."""
        name, nonce = self._sessions.challenge(PublicKey.parse(body.key))
        shown = ChallengeShown(name, self._zone, nonce, int(CHALLENGE_SECONDS))
        return Answer(201, shown, {"Location": f"/api/v1/sessions/{name}"})

    async def prove(self, call: Call, body: SignatureInput) -> Answer:
        """A token for its signature."""
        name = call.parameters["session"].decode("utf-8", "replace")
        granted = self._sessions.prove(name, body.signature)
        return Answer(200, TokenShown(granted.token, list(granted.prefixes), int(TOKEN_SECONDS)))

    async def end(self, call: Call, body: None) -> Answer:
        """The end of the token that asks for it."""
        self._sessions.revoke(bearer(call.request))
        return Answer(204, None)


def routes(sessions: KeySessions, zone: str) -> list[Route]:
    """The routes of this subject."""
    desk = SessionsDesk(sessions, zone)
    return [
        Route(
            "POST", "/api/v1/sessions", "begin_session", "Get a challenge for a key that may write",
            desk.begin, {201: ChallengeShown}, body=KeyInput, is_open=True,
        ),
        Route(
            "PUT", "/api/v1/sessions/{session}", "prove_key", "Sign the challenge and get a token",
            desk.prove, {200: TokenShown}, body=SignatureInput, is_open=True,
        ),
        Route("DELETE", "/api/v1/session", "end_session", "End the token that is sent along", desk.end, {204: None}),
    ]  # fmt: skip
