"""A server in memory, made of the protocol alone, that can be bent in a line or two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocol.errors import IdentifierError
from protocol.exchange import Exchange
from protocol.framing import MessageStream
from protocol.identifiers import normal
from protocol.messages import Op, encode_failure, encode_response, read_request
from protocol.node import NodeFacts, answer_common
from protocol.status import Status
from protocol.trust import Chain, Verifier
from protocol.turn import Turn
from tests.vectors.actors import ANCHOR, BODY, IDENTIFIER, NOW_MS, RID, SECONDARY, SECONDARY_CHAIN, Zone

RECORDS: Mapping[bytes, bytes] = {IDENTIFIER: BODY}


@dataclass
class Connection:
    """The server's end: requests in, sealed bundles out."""

    server: Server
    stream: MessageStream = field(default_factory=MessageStream)
    outbox: list[bytes] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        """Take a sealed bundle; the server's turn calls this."""
        self.outbox.append(data)

    def take(self) -> bytes:
        """What was sent since the last call."""
        data, self.outbox = b"".join(self.outbox), []
        return data


class Server:
    """Answers RESOLVE and what every node answers. ``bundle`` is how many answers go under one seal."""

    def __init__(
        self,
        zone: Zone = SECONDARY,
        chain: Chain = SECONDARY_CHAIN,
        *,
        records: Mapping[bytes, bytes] = RECORDS,
        bundle: int = 256,
        now_ms: Callable[[], int] = lambda: NOW_MS,
    ) -> None:
        self.zone = zone
        self.bundle = bundle
        self._records = records
        self._facts = NodeFacts("secondary", zone.prefix, "simulated/1", chain)
        self.connections: list[Connection] = []
        self._turn = Turn(zone.online, lambda _: None, now_ms, lambda: None)

    def connect(self) -> Connection:
        """A new connection."""
        connection = Connection(self)
        self.connections.append(connection)
        return connection

    def turn(self) -> None:
        """Answer everything that came on all connections, under one signature."""
        for connection in self.connections:
            while True:
                messages, wire = connection.stream.take(self.bundle)
                if not messages:
                    break
                responses = b"".join([self.answer(message) for message in messages])
                self._turn.add(connection, len(messages), wire, responses)
        self._turn.flush()

    def answer(self, message: object) -> bytes:
        """The response to a request."""
        op, rid, arguments = read_request(message)
        if op != Op.RESOLVE:
            return answer_common(self._facts, op, rid, arguments) or encode_response(rid, 303, None)
        identifier = arguments[0]
        assert isinstance(identifier, bytes)
        try:
            body = self._records.get(normal(identifier))
        except IdentifierError as error:
            return encode_failure(rid, error)
        return encode_response(rid, *((Status.OK, body) if body is not None else (Status.NOT_FOUND, 300)))


def client(*, knowing: Chain | None = None, first_rid: int = RID) -> Exchange:
    """A client with the anchor, and with a chain already verified where one is given."""
    verifier = Verifier(ANCHOR)
    if knowing is not None:
        verifier.learn(knowing, NOW_MS)
    return Exchange(verifier, first_rid)
