"""UDP: one request a datagram, one bundle a datagram, read many at a wake-up.

A raw socket on the loop's reader callback, since a transport makes an object and a call per datagram; up to
``WAKE_UP`` datagrams are read, looked up together and sealed with one signature. A source address is unproven, so
an answer never exceeds ``MAX_AMPLIFICATION`` times its request; what does not fit is answered TRUNCATED, unsealed,
in 14 bytes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from protocol.errors import MessageError
from protocol.framing import decode_one
from protocol.limits import MAX_AMPLIFICATION, MAX_DATAGRAM_BYTES
from protocol.messages import Op, encode_response, read_request
from protocol.runs import read_run
from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.store.counters import UDP_BYTES, UDP_DROPPED, UDP_REQUESTS, Tally, new_tally
from resolver.answering import Answering

Source = tuple[str, int] | tuple[str, int, int, int]

WAKE_UP: Final = 64
"""Datagrams read at one wake-up, so that TCP connections are not kept waiting more than about half a millisecond."""

RECEIVE_BUFFER_BYTES: Final = 4 << 20
"""Kernel buffer for datagrams that wait: some ten thousand."""

OPERATIONS: Final = range(Op.HELLO, Op.SUCCESSION + 1)
"""What is answered by datagram. A status that says TRUNCATED read as an operation is none of them, so that what a node
sends, passed off as another node's question, is not answered for ever."""


class DatagramDoor:
    """Answers the datagrams of one bound, non-blocking socket. ``key`` may be replaced at any time; ``at_end`` is
    called
    after each wake-up; ``waiting`` counts the requests that are answered later."""

    def __init__(
        self,
        sock: socket.socket,
        answerer: Answering,
        key: SigningKey,
        at_end: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
    ) -> None:
        self._socket = sock
        self._answerer = answerer
        self.key = key
        self._at_end = at_end
        self.waiting = 0
        self._later = 0  # of those read at this wake-up
        self._tally = new_tally() if tally is None else tally
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)

    def on_readable(self) -> None:
        """Answer what has arrived; the loop calls this when the socket can be read."""
        receive = self._socket.recvfrom
        wires: list[bytes] = []
        sources: list[Source] = []
        for _ in range(WAKE_UP):
            try:
                wire, source = receive(MAX_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:
                continue  # an earlier answer was refused at the other end; that is theirs to notice
            wires.append(wire)
            sources.append(source)
        if wires:
            self._answer(wires, sources)
            self._at_end()

    def _answer(self, wires: list[bytes], sources: list[Source]) -> None:
        received, self._later = len(wires), 0
        responses = self._responses(wires, sources)
        if None in responses:  # answered later; or nobody to answer: there is no rid, and the source may be anybody
            kept = [i for i, response in enumerate(responses) if response is not None]
            wires, sources = [wires[i] for i in kept], [sources[i] for i in kept]
        sent = self._send(wires, sources, [response for response in responses if response is not None])
        self._tally[UDP_DROPPED] += received - self._later - sent

    def _send(self, wires: list[bytes], sources: list[Source], answered: list[bytes]) -> int:
        """Seal responses, each for itself, with one signature, and send what may be sent; how many that were."""
        sent, length = 0, 0
        if not answered:
            return 0
        leaves = list(map(leaf, wires, answered))
        seals = seal_turn([1] * len(leaves), leaves, self.key, time.time_ns() // 1_000_000)
        send = self._socket.sendto
        for wire, source, response, seal in zip(wires, sources, answered, seals, strict=True):
            datagram = response + seal
            if len(datagram) > MAX_DATAGRAM_BYTES or len(datagram) > MAX_AMPLIFICATION * len(wire):
                datagram = encode_response(int.from_bytes(response[2:10], "big"), Status.TRUNCATED, None)
                if len(datagram) > MAX_AMPLIFICATION * len(wire):
                    continue  # no request is as short as that
            try:
                send(datagram, source)
            except OSError:
                continue  # lost, as datagrams may be: the client asks again
            sent += 1
            length += len(datagram)
        self._tally[UDP_REQUESTS] += sent
        self._tally[UDP_BYTES] += length
        return sent

    def send_later(self, wire: bytes, source: Source, response: bytes) -> None:
        """Send one response that could not be given at once."""
        if self._socket.fileno() >= 0:
            self._tally[UDP_DROPPED] += 1 - self._send([wire], [source], [response])

    def _responses(self, wires: list[bytes], sources: list[Source]) -> list[bytes | None]:
        """A response for each datagram, None for one that cannot be read or is answered later."""
        # Clients pad to the same length, so what has come together is read like one client's run.
        run = read_run(b"".join(wires), WAKE_UP) if len(set(map(len, wires))) == 1 else None
        parts = self._answerer.run(run) if run is not None and len(run.echoes) == len(wires) else None
        if parts is None:
            return list(map(self._response, wires, sources))
        each = len(parts) // len(wires)
        return [b"".join(parts[at : at + each]) for at in range(0, len(parts), each)]

    def _response(self, wire: bytes, source: Source) -> bytes | None:
        try:
            request = decode_one(wire)
            op, _, _ = read_request(request)
        except MessageError:
            return None
        if op not in OPERATIONS:
            return None
        if self._answerer.later(request, wire, _Asker(self, source)):
            self._later += 1
            return None
        return self._answerer.one(request)


class _Asker:
    """Who has sent a datagram that is answered later."""

    __slots__ = ("_door", "_source")

    def __init__(self, door: DatagramDoor, source: Source) -> None:
        self._door = door
        self._source = source

    @property
    def waiting(self) -> int:
        """Requests that are answered later, of all sources: theirs prove nothing."""
        return self._door.waiting

    @waiting.setter
    def waiting(self, count: int) -> None:
        self._door.waiting = count

    def give_later(self, wire: bytes, response: bytes) -> None:
        """Send the response."""
        self._door.send_later(wire, self._source, response)
