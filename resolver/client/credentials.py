"""Proving to a node who asks, at the beginning of a connection: its answers then have what this reader may read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from protocol.address import is_loopback
from protocol.challenges import reading_challenge
from protocol.errors import InvalidInput, MessageError, Refused, Rule
from protocol.exchange import Reply, UnprovenReply
from protocol.messages import Op, refusal
from protocol.signatures import SigningKey
from protocol.status import Status
from resolver.client.connection import StreamConnection

BAD_REPLY: Final = Rule(
    "client.bad-challenge",
    Status.BAD_REQUEST,
    "the node's reply to authenticate has another shape than agreed",
    "节点对认证请求的应答格式与约定不符",
)
TWO_CREDENTIALS: Final = Rule(
    "client.two-credentials",
    Status.BAD_REQUEST,
    "prove a key or show a token, not both",
    "密钥与令牌只能使用其中之一",
)
IN_CLEAR: Final = Rule(
    "client.token-in-clear",
    Status.NOT_PERMITTED,
    "the token was not sent to {server}: the way there is not encrypted. Prove a key instead, or reach the node "
    "through TLS that begins on this machine",
    "令牌未发送至 {server}：传输未加密。请改用密钥认证，或通过始于本机的 TLS 访问该节点",
)


class Credential(Protocol):
    """What a client has to prove who it is."""

    @property
    def travels(self) -> bool:
        """Whether other servers than those that were named may be shown it."""
        ...

    async def prove(self, connection: StreamConnection) -> str:
        """Make a connection one of the reader's; the name under which the node knows it. Raises
        :class:`~protocol.errors.BiaoshiError`: :class:`Refused` where the node does not take the credential."""
        ...


@dataclass(frozen=True, slots=True)
class KeyCredential:
    """A secret key. What is signed is of use to nobody but the node that asks, on this connection."""

    key: SigningKey
    travels: bool = True

    async def prove(self, connection: StreamConnection) -> str:
        public = self.key.public
        challenge = _require_ok(await connection.ask(Op.AUTHENTICATE, public.algorithm, public.raw))
        if not isinstance(challenge, Reply) or not isinstance(challenge.payload, bytes):
            raise MessageError(BAD_REPLY)
        sealed_by = challenge.proof
        signed = reading_challenge(sealed_by.zone.prefix, sealed_by.key.key, challenge.payload)
        return _name(await connection.ask(Op.PROVE, self.key.sign(signed)))


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """A token, which whoever sees it can use: shown only to servers that were named and have proven to be the zone's,
    and within this machine unless ``in_clear``."""

    secret: str
    in_clear: bool = False
    travels: bool = False

    async def prove(self, connection: StreamConnection) -> str:
        if not self.in_clear and not is_loopback(connection.peer):
            raise Refused(IN_CLEAR, IN_CLEAR.status, server=str(connection.server))
        _require_ok(await connection.ask(Op.CHAIN))
        return _name(await connection.ask(Op.TOKEN, self.secret.encode()))


def credential(key: SigningKey | None, token: str | None, token_in_clear: bool) -> Credential | None:
    """The one of both that is given. Raises :class:`InvalidInput` where both are."""
    if key is not None and token is not None:
        raise InvalidInput(TWO_CREDENTIALS)
    if key is not None:
        return KeyCredential(key)
    return TokenCredential(token, token_in_clear) if token is not None else None


def _require_ok(reply: UnprovenReply) -> UnprovenReply:
    if reply.status != Status.OK:
        raise refusal(reply.status, reply.payload)
    return reply


def _name(reply: UnprovenReply) -> str:
    name = _require_ok(reply).payload
    if not isinstance(name, bytes):
        raise MessageError(BAD_REPLY)
    return name.decode("utf-8", "replace")
