"""Answers: what a verified response says about one identifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.errors import MessageError, Rule
from protocol.identifiers import parse
from protocol.limits import ABSENT_TTL_SECONDS, MAX_TTL_SECONDS
from protocol.messages import refusal
from protocol.records import Record, State, Value, decode_body
from protocol.status import Status
from protocol.trust import Proof

BAD_PAYLOAD: Final = Rule(
    "answer.bad-payload", Status.BAD_REQUEST, "the payload does not fit status {status}", "应答内容与状态 {status} 不符"
)


@dataclass(frozen=True, slots=True)
class UnprovenAnswer:
    """What somebody said about an identifier. ``record`` is there when it is registered, and with no values
    when it was withdrawn; ``ttl`` is for how many seconds the answer may be remembered."""

    identifier: str
    status: Status
    record: Record | None
    ttl: int

    @property
    def found(self) -> bool:
        """Whether the identifier is registered and active."""
        return self.status is Status.OK

    @property
    def values(self) -> tuple[Value, ...]:
        """The values, none where it is absent or withdrawn."""
        return self.record.values if self.record else ()

    @property
    def url(self) -> str | None:
        """The text of the first value of type URL."""
        value = self.record.find("URL") if self.record else None
        return value.text if value else None

    def require(self) -> Record:
        """The record of a registered identifier. Raises :class:`Refused` for any other answer."""
        if self.record is None or self.status is not Status.OK:
            raise refusal(self.status, None)
        return self.record


@dataclass(frozen=True, slots=True)
class Answer(UnprovenAnswer):
    """An answer that was verified from the trust anchor; ``proof`` says who sealed it and when."""

    proof: Proof


def read_answer(identifier: bytes, status: int, payload: object, proof: Proof) -> Answer:
    """Read a verified response to a resolve, checking that the zone may speak for the identifier. Raises
    :class:`Refused` where the node did not answer the question, :class:`~protocol.errors.NotVerified`."""
    plain = read_unproven_answer(identifier, status, payload)
    prefix = parse(identifier).prefix
    proof.speaks_for(prefix, plain.identifier)
    return Answer(plain.identifier, plain.status, plain.record, plain.ttl, proof)


def read_unproven_answer(identifier: bytes, status: int, payload: object) -> UnprovenAnswer:
    """The same for a connection without seals."""
    text = identifier.decode("utf-8", "replace")
    match status, payload:
        case Status.OK, bytes(body):
            record = decode_body(body)
            if record.state is State.ACTIVE:
                ttl = min((value.ttl for value in record.values), default=ABSENT_TTL_SECONDS)
                return UnprovenAnswer(text, Status.OK, record, ttl)
        case Status.NOT_FOUND, int(ttl) if 0 <= ttl <= MAX_TTL_SECONDS:
            return UnprovenAnswer(text, Status.NOT_FOUND, None, ttl)
        case Status.WITHDRAWN, bytes(body):
            record = decode_body(body)
            if record.state is State.WITHDRAWN and not record.values:
                return UnprovenAnswer(text, Status.WITHDRAWN, record, ABSENT_TTL_SECONDS)
    if status in (Status.OK, Status.NOT_FOUND, Status.WITHDRAWN):
        raise MessageError(BAD_PAYLOAD, status=status)
    raise refusal(status, payload)
