"""The load generator of the resolution benchmarks: closed loop, raw sockets, one process.

``python -m bench.generator --help``. It prints one line of JSON. Every response's status is counted; of a stated share
of bundles everything is verified from the trust anchor: question, answer, tree, signature. One answer that is not as
it should be fails the run.

It asks for uniform identifiers (``bench.dataset``), whose requests all have the same length: they are encoded once,
in random order, and sent as slices of one buffer, so that on the second core the generator is faster than the server.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from bench.dataset import uniform_identifier, uniform_row
from config.keyfiles import read_anchor
from protocol.answers import read_answer
from protocol.exchange import Exchange
from protocol.framing import split
from protocol.limits import MAX_AMPLIFICATION
from protocol.messages import Op, encode_request
from protocol.seals import leaf, read_seal
from protocol.trust import TrustAnchor, Verifier

POOL: Final = 200_000
"""Requests encoded ahead; sent in order, over and over, from a random place per connection."""

UDP_ROOM_BYTES: Final = 600
"""Bytes that an answer over UDP may have: a request is padded to a third of it. The records asked for, sealed, take
up to 440."""

VERIFIED_SHARE: Final = 1 / 256
"""Share of bundles that are verified whole."""

READ_BYTES: Final = 262_144
STALLED_SECONDS: Final = 5.0


class WrongAnswer(Exception):
    """The server answered other than it should."""


@dataclass
class Plan:
    """What is asked: ``size`` bytes each, end to end in ``wires``; ``each`` identifiers in one request."""

    wires: bytes
    size: int
    each: int

    @property
    def count(self) -> int:
        """Requests in the pool."""
        return len(self.wires) // self.size


@dataclass
class Tally:
    """What came back."""

    answers: int = 0
    wrong: int = 0
    bundles: int = 0
    verified: int = 0
    retries: int = 0


def plan(mode: str, records: int, many: int, seed: int, prefix: str = "88.118.32001") -> Plan:
    """Encode the requests of a mode: tcp, udp or many."""
    draw = random.Random(seed)
    each = many if mode == "many" else 1
    wires: list[bytes] = []
    for _ in range(POOL // each):
        rid = draw.getrandbits(63) | 1 << 63
        identifiers = [uniform_identifier(draw.randrange(records), prefix).encode() for _ in range(each)]
        if mode == "many":
            wires.append(encode_request(Op.RESOLVE_MANY, rid, identifiers))
        elif mode == "udp":
            padding = bytes(UDP_ROOM_BYTES // MAX_AMPLIFICATION - 18 - len(identifiers[0]))
            wires.append(encode_request(Op.RESOLVE, rid, identifiers[0], 0, padding))
        else:
            wires.append(encode_request(Op.RESOLVE, rid, identifiers[0]))
    size = len(wires[0])
    if any(len(wire) != size for wire in wires):
        raise ValueError("requests of this plan differ in length")
    # Once more behind the end, so that a slice may run over it.
    return Plan(b"".join(wires), size, each)


class Checker:
    """Verifies bundles from the anchor, and looks whether their answers are the right ones."""

    def __init__(self, anchor: TrustAnchor, sealed: bool) -> None:
        self.verifier = Verifier(anchor)
        self.sealed = sealed

    def learn(self, host: str, port: int) -> None:
        """Ask the server for its chain."""
        exchange = Exchange(self.verifier, random.getrandbits(63))
        _, wire = exchange.ask(Op.CHAIN)
        with socket.create_connection((host, port), timeout=5) as sock:
            sock.sendall(wire)
            while not exchange.receive(sock.recv(READ_BYTES), time.time_ns() // 1_000_000):
                pass

    def check(self, requests: bytes, bundle: bytes) -> None:
        """Verify one bundle with its seal, last in ``bundle``. Raises on anything wrong."""
        *responses, (seal_message, seal_wire) = split(bundle)
        covered = bundle[: len(bundle) - len(seal_wire)]
        seal = read_seal(seal_message)
        if seal.n != len(responses):
            raise WrongAnswer(f"a seal covers {seal.n} answers where {len(responses)} came")
        proof = self.verifier.check(seal, leaf(requests, covered), time.time_ns() // 1_000_000)
        asked = split(requests)
        for (request, _), (response, _) in zip(asked, responses, strict=True):
            assert isinstance(request, tuple)
            assert isinstance(response, tuple)
            if request[1] != response[0]:
                raise WrongAnswer("answers out of order")
            pairs = (
                [(request[2], response[1], response[2])]
                if request[0] == Op.RESOLVE
                else [(one, 0, body) for one, body in zip(request[2], response[2], strict=True)]
            )
            for identifier, status, payload in pairs:
                answer = read_answer(identifier, status, payload, proof)
                expected = uniform_row(int(identifier.rpartition(b"P")[2])).url
                if answer.url != expected:
                    raise WrongAnswer(f"{identifier!r} gave {answer.url}")


class Stream:
    """One TCP connection of the closed loop."""

    def __init__(self, host: str, port: int, asked: Plan, checker: Checker, draw: random.Random) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.plan = asked
        self.checker = checker
        self.draw = draw
        self.sent = self.received = draw.randrange(asked.count)
        self.unpacker = msgpack.Unpacker(raw=True, use_list=False, max_buffer_size=1 << 28)
        self.sampled: bytes | None = None
        self.at_boundary = True
        if not checker.sealed:
            self._go_unsealed()
        self.socket.setblocking(False)

    def _go_unsealed(self) -> None:
        self.socket.sendall(encode_request(Op.HELLO, 1, 1, 1))
        [(reply, _), *_] = split(self.socket.recv(READ_BYTES))  # a refusal comes with a seal
        if not isinstance(reply, tuple) or reply[1] != 0:
            raise WrongAnswer("the server does not allow connections without seals")

    def send(self, count: int) -> None:
        """Ask the next ``count`` requests."""
        size, at = self.plan.size, self.sent
        wires = self._slice(at, count) if count > 1 else self.plan.wires[at * size : at * size + size]
        try:
            gone = self.socket.send(wires)
        except BlockingIOError:
            gone = 0
        if gone < len(wires):  # seldom: the server reads as fast as we ask
            self.socket.setblocking(True)
            self.socket.sendall(wires[gone:])
            self.socket.setblocking(False)
        self.sent = (at + count) % self.plan.count

    def _slice(self, start: int, count: int) -> bytes:
        size, wires = self.plan.size, self.plan.wires
        taken = wires[start * size : (start + count) * size]
        missing = count * size - len(taken)
        return taken + wires[:missing] if missing else taken

    def receive(self, tally: Tally) -> int:
        """Take in what came; gives the number of requests that were answered."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise WrongAnswer("the server closed a connection")
        if self.at_boundary and self.checker.sealed and self.draw.random() < VERIFIED_SHARE:
            self.sampled = b""
        if self.sampled is not None:
            self.sampled += data
        elif self.at_boundary and (single := _lone_answer(data)):
            tally.answers += self.plan.each
            tally.bundles += 1
            self.received = (self.received + single) % self.plan.count
            return single
        self.unpacker.feed(data)
        return self._count_many(tally) if self.plan.each > 1 else self._count(tally)

    def _count(self, tally: Tally) -> int:
        answered = run = 0
        sealed = self.checker.sealed
        self.at_boundary = False
        for message in self.unpacker:
            if message[0] is not None:
                run += 1
                if message[1]:
                    tally.wrong += 1
                self.at_boundary = False
                if not sealed:
                    answered += 1
            else:
                answered += self._close_bundle(message[1], tally)
                self.at_boundary = True
        tally.answers += answered
        return answered

    def _count_many(self, tally: Tally) -> int:
        answered = 0
        self.at_boundary = False
        for message in self.unpacker:
            self.at_boundary = message[0] is None
            if message[0] is not None:
                if message[1] or set(map(type, message[2])) != {bytes}:
                    tally.wrong += 1
            else:
                answered += self._close_bundle(message[1], tally)
        tally.answers += answered * self.plan.each
        return answered

    def _close_bundle(self, n: int, tally: Tally) -> int:
        tally.bundles += 1
        if self.sampled is not None:
            raw, self.sampled = self.sampled, None
            bundle = b"".join(wire for _, wire in _first_bundle(raw))
            self.checker.check(self._slice(self.received, n), bundle)
            tally.verified += 1
        self.received = (self.received + n) % self.plan.count
        return n


_SEAL_HEAD: Final = 39
"""Bytes of a seal before its path, whose length the last two of them are."""

_SEAL_END: Final = 66
"""Bytes behind the path."""


def _lone_answer(data: bytes) -> int:
    """1 where ``data`` is one positive answer with a short body, and its seal; 0 for anything else, which is decoded. A
    client with one question in flight gets nothing else, and must not spend more time on it than the server."""
    if len(data) < 13 or data[:2] != b"\x93\xcf" or data[10:12] != b"\x00\xc4":
        return 0
    seal = data[13 + data[12] :]
    if seal[:7] != b"\x98\xc0\xce\x00\x00\x00\x01" or len(seal) < _SEAL_HEAD:
        return 0
    path = seal[_SEAL_HEAD - 2] << 8 | seal[_SEAL_HEAD - 1]
    return int(len(seal) == _SEAL_HEAD + path + _SEAL_END)


def _first_bundle(raw: bytes) -> list[tuple[object, bytes]]:
    messages = split(raw)
    for i, (message, _) in enumerate(messages):
        if isinstance(message, tuple) and message[0] is None:
            return messages[: i + 1]
    raise WrongAnswer("no seal where one was counted")


def run_streams(
    host: str, port: int, asked: Plan, checker: Checker, connections: int, in_flight: int, seconds: float, seed: int
) -> tuple[Tally, float]:
    """The closed loop over TCP."""
    draw = random.Random(seed)
    streams = [Stream(host, port, asked, checker, draw) for _ in range(connections)]
    poll = select.epoll()
    by_fd = {stream.socket.fileno(): stream for stream in streams}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    for stream in streams:
        stream.send(in_flight)
    tally = Tally()
    begin = last = time.perf_counter()
    end = begin + seconds
    while (now := time.perf_counter()) < end:
        for fd, _ in poll.poll(1.0):
            stream = by_fd[fd]
            answered = stream.receive(tally)
            if answered:
                stream.send(answered)
                last = now
        if now - last > STALLED_SECONDS:
            raise WrongAnswer("the server has stopped answering")
    elapsed = time.perf_counter() - begin
    for stream in streams:
        stream.socket.close()
    return tally, elapsed


def run_datagrams(
    host: str, port: int, asked: Plan, checker: Checker, sockets: int, in_flight: int, seconds: float, seed: int
) -> tuple[Tally, float]:
    """The closed loop over UDP: each socket has ``in_flight`` requests out; what is lost is sent again."""
    draw = random.Random(seed)
    size, wires = asked.size, asked.wires
    poll = select.epoll()
    by_fd: dict[int, socket.socket] = {}
    for _ in range(sockets):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect((host, port))
        sock.setblocking(False)
        by_fd[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    by_rid = {wires[at + 3 : at + 11]: wires[at : at + size] for at in range(0, len(wires), size)}
    tally = Tally()
    at = draw.randrange(asked.count)
    begin = time.perf_counter()
    for sock in by_fd.values():
        for _ in range(in_flight):
            sock.send(wires[at * size : at * size + size])
            at = (at + 1) % asked.count
    end = begin + seconds
    while time.perf_counter() < end:
        ready = poll.poll(0.2)
        if not ready:  # everything in flight was lost
            tally.retries += 1
            for sock in by_fd.values():
                sock.send(wires[at * size : at * size + size])
        for fd, _ in ready:
            sock = by_fd[fd]
            receive, send = sock.recv, sock.send
            try:
                for _ in range(in_flight):
                    datagram = receive(2048)
                    # Response: 0x93 0xcf rid(8) status ...; a status above 127 takes more than a byte.
                    if datagram[10]:
                        tally.wrong += 1
                    tally.answers += 1
                    if draw.random() < VERIFIED_SHARE:
                        checker.check(by_rid[datagram[2:10]], datagram)
                        tally.verified += 1
                    send(wires[at * size : at * size + size])
                    at = (at + 1) % asked.count
            except BlockingIOError:
                continue
    elapsed = time.perf_counter() - begin
    tally.bundles = tally.answers
    return tally, elapsed


def main() -> None:
    """Entry point: run one load and print what came of it."""
    parser = argparse.ArgumentParser(description="Closed-loop load on a resolver of this machine's own; prints JSON.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--anchor", type=Path, required=True)
    parser.add_argument("--mode", choices=["tcp", "udp", "many"], default="tcp")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--prefix", default="88.118.32001", help="of the identifiers")
    parser.add_argument("--many", type=int, default=100, help="identifiers in one resolve-many")
    parser.add_argument("--unsealed", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.host.startswith("127."):
        parser.error("only a node on loopback is a target")
    checker = Checker(TrustAnchor.parse(*read_anchor(options.anchor)), not options.unsealed)
    checker.learn(options.host, options.port)
    asked = plan(options.mode, options.records, options.many, options.seed, options.prefix)
    run: Any = run_datagrams if options.mode == "udp" else run_streams
    tally, elapsed = run(
        options.host,
        options.port,
        asked,
        checker,
        options.connections,
        options.in_flight,
        options.seconds,
        options.seed,
    )
    print(json.dumps({
        "answers": tally.answers, "seconds": elapsed, "per_second": tally.answers / elapsed, "wrong": tally.wrong,
        "bundles": tally.bundles, "verified": tally.verified, "retries": tally.retries,
    }))  # fmt: skip
    if tally.wrong or (checker.sealed and not tally.verified):
        sys.exit("answers were wrong, or none was verified")


if __name__ == "__main__":
    main()
