"""Answers: what a verified response says about one identifier."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from protocol.errors import MessageError, Rule
from protocol.identifiers import parse
from protocol.limits import ABSENT_TTL_SECONDS, MAX_TTL_SECONDS
from protocol.messages import refusal
from protocol.records import NOT_SHOWN, Record, State, Value, decode_body
from protocol.status import Status
from protocol.trust import Proof

_LAST_WORDS: Final = frozenset((Status.OK, Status.NOT_FOUND, Status.WITHDRAWN, Status.SUSPENDED))
_ANSWERS: Final = _LAST_WORDS | {Status.STALE}

BAD_PAYLOAD: Final = Rule(
    "answer.bad-payload", Status.BAD_REQUEST, "the payload does not fit status {status}", "应答内容与状态 {status} 不符"
)


@dataclass(frozen=True, slots=True)
class UnprovenAnswer:
    """What somebody said about an identifier. ``record`` is there when it is registered, and with no values when it was
    withdrawn or is suspended, but not where its whole prefix is suspended or closed; ``ttl`` is for how many seconds
    the answer may be remembered. An answer that a recursive node gave out of its cache has an ``age`` in seconds, and
    is ``stale`` where no server of the zone could be asked anew."""

    identifier: str
    status: Status
    record: Record | None
    ttl: int
    age: int = field(default=0, kw_only=True)
    stale: bool = field(default=False, kw_only=True)

    @property
    def found(self) -> bool:
        """Whether the identifier is registered and active."""
        return self.status is Status.OK

    @property
    def values(self) -> tuple[Value, ...]:
        """The values, none where it is absent, withdrawn or suspended."""
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
    return Answer(plain.identifier, plain.status, plain.record, plain.ttl, proof, age=plain.age, stale=plain.stale)


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
        case ((Status.WITHDRAWN | Status.SUSPENDED), bytes(body)):
            said, record = Status.named(status), decode_body(body)
            if NOT_SHOWN.get(record.state) is said and not record.values:
                return UnprovenAnswer(text, said, record, ABSENT_TTL_SECONDS)
        case ((Status.WITHDRAWN | Status.SUSPENDED), None):  # the whole prefix
            return UnprovenAnswer(text, Status.named(status), None, ABSENT_TTL_SECONDS)
        case Status.STALE, (int(said), last, int(age)) if said in _LAST_WORDS and age >= 0:
            return replace(read_unproven_answer(identifier, said, last), age=age, stale=True)
    if status in _ANSWERS:
        raise MessageError(BAD_PAYLOAD, status=status)
    raise refusal(status, payload)
