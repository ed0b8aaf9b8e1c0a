"""The load on a recursive node: ``python -m bench.relaying --help``. It prints one line of JSON.

``--warm`` has it fetch all records; the default is the closed loop of ``bench.generator``, ``--proof`` with the
authority's evidence in each answer, of which a share is verified from the top's anchor; ``--cold N`` resolves N times
from the top server at that port down, each time with nothing known and no connection open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from bench.dataset import uniform_identifier, uniform_row
from bench.generator import POOL, READ_BYTES, Checker, Plan, Tally, WrongAnswer, run_streams
from config.keyfiles import read_anchor
from protocol.address import Address
from protocol.answers import Answer, read_answer
from protocol.exchange import Exchange, read_chain
from protocol.framing import split
from protocol.messages import Ask, Op, encode_request
from protocol.relays import read_evidence, read_relayed
from protocol.seals import leaf, read_seal
from protocol.statements import holds
from protocol.trust import Proof, TrustAnchor, Verifier
from resolver.client import Client
from resolver.client.connection import StreamConnection
from resolver.recursion.iteration import Iteration

ZONE: Final = b"88.118.32001"


class Names(NamedTuple):
    """What is asked for: the zones that answer, one identifier drawn at random, the URL of one, and each of them once.
    All identifiers have the same length."""

    zones: Sequence[bytes]
    draw: Callable[[random.Random], str]
    url: Callable[[bytes], str]
    every: Callable[[], Iterator[str]]


def uniform_names(records: int) -> Names:
    """The uniform records of one enterprise."""
    return Names(
        [ZONE],
        lambda draw: uniform_identifier(draw.randrange(records)),
        lambda identifier: uniform_row(int(identifier.rpartition(b"P")[2])).url,
        lambda: map(uniform_identifier, range(records)),
    )


class RelayChecker(Checker):
    """Verifies bundles under the recursive node's own anchor, and the evidence in them from the top's."""

    def __init__(self, own: TrustAnchor, top: TrustAnchor, names: Names) -> None:
        super().__init__(own, sealed=True)
        self.authorities = Verifier(top)
        self._names = names

    def learn(self, host: str, port: int) -> None:
        """Ask for the node's chain and for those of the zones that answer."""
        super().learn(host, port)
        exchange = Exchange(self.verifier, random.getrandbits(63))
        with socket.create_connection((host, port), timeout=5) as sock:
            for zone in self._names.zones:
                _, wire = exchange.ask(Op.CHAIN, b"", zone)
                sock.sendall(wire)
                while not (replies := exchange.receive(sock.recv(READ_BYTES), _now_ms())):
                    pass
                self.authorities.learn(read_chain(replies[0].payload), _now_ms())

    def check(self, requests: bytes, bundle: bytes) -> None:
        *responses, (seal_message, seal_wire) = split(bundle)
        covered = bundle[: len(bundle) - len(seal_wire)]
        proof = self.verifier.check(read_seal(seal_message), leaf(requests, covered), _now_ms())
        for (request, _), (response, _) in zip(split(requests), responses, strict=True):
            assert isinstance(request, tuple)
            assert isinstance(response, tuple)
            if request[1] != response[0]:
                raise WrongAnswer("answers out of order")
            answer = self._answer(request, response, proof)
            if answer.url != self._names.url(request[2]):
                raise WrongAnswer(f"{request[2]!r} gave {answer.url}")

    def _answer(self, request: tuple[int, int, bytes], response: tuple[int, int, object], proof: Proof) -> Answer:
        if len(request) == 3:
            return read_answer(request[2], response[1], response[2], proof)
        return read_relayed(request[2], read_evidence(response[2]), self.authorities, _now_ms())


def plan(names: Names, proof: bool, seed: int) -> Plan:
    """Requests for random records, encoded ahead."""
    draw = random.Random(seed)
    flags = (int(Ask.PROOF),) if proof else ()
    wires = [
        encode_request(Op.RESOLVE, draw.getrandbits(63) | 1 << 63, names.draw(draw).encode(), *flags)
        for _ in range(POOL)
    ]
    if any(len(wire) != len(wires[0]) for wire in wires):
        raise ValueError("requests of this plan differ in length")
    return Plan(b"".join(wires), len(wires[0]), 1)


async def warm(address: str, anchor: TrustAnchor, names: Names) -> int:
    """Resolve every record once, each verified and the right one; how many they are."""
    count = 0
    async with Client(address, anchor=anchor, timeout=20.0) as client:
        async for answer in client.resolve_many(names.every()):
            if answer.url != names.url(answer.identifier.encode()):
                raise WrongAnswer(f"{answer.identifier} gave {answer.url}")
            count += 1
    return count


async def cold(root: Address, anchor: TrustAnchor, names: Names, count: int, seed: int) -> list[float]:
    """Milliseconds of each of ``count`` resolutions that begin with nothing but the root's address and key."""
    draw = random.Random(seed)
    taken: list[float] = []
    for _ in range(count):
        key = names.draw(draw).encode()
        holds.cache_clear()
        iteration = Iteration(Verifier(anchor), [root], StreamConnection.open)
        begin = time.perf_counter()
        resolved = await iteration.resolve(key, 5.0)
        taken.append((time.perf_counter() - begin) * 1_000)
        iteration.close()
        if resolved.answer.url != names.url(key) or len(resolved.steps) != 3:
            raise WrongAnswer(f"{key!r} gave {resolved.answer.url} in {len(resolved.steps)} steps")
        await asyncio.sleep(0)  # the connections close
    return taken


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Entry point: run one load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--anchor", type=Path, required=True, help="the top's")
    parser.add_argument("--own-anchor", type=Path, help="the recursive node's")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--proof", action="store_true")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--cold", type=int, default=0, metavar="N")
    options = parser.parse_args()
    host, top = "127.0.0.1", TrustAnchor.parse(*read_anchor(options.anchor))
    names = uniform_names(options.records)
    if options.warm:
        print(json.dumps({"records": asyncio.run(warm(f"{host}:{options.port}", top, names))}))
        return
    if options.cold:
        report_cold(Address(host, options.port), top, names, options.cold, options.seed)
        return
    if options.own_anchor is None:
        parser.error("--own-anchor is needed to verify the node's seals")
    checker = RelayChecker(TrustAnchor.parse(*read_anchor(options.own_anchor)), top, names)
    checker.learn(host, options.port)
    asked = plan(names, options.proof, options.seed)
    report_streams(*run_streams(
        host, options.port, asked, checker, options.connections, options.in_flight, options.seconds, options.seed
    ))  # fmt: skip


def report_cold(root: Address, anchor: TrustAnchor, names: Names, count: int, seed: int) -> None:
    """Run :func:`cold` and print what it took."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as a node runs
        taken = runner.run(cold(root, anchor, names, count, seed))
    print(json.dumps({"median_ms": statistics.median(taken), "low_ms": min(taken), "high_ms": max(taken)}))


def report_streams(tally: Tally, elapsed: float) -> None:
    """Print what came of a closed loop; ends the process with an error where an answer was wrong."""
    print(json.dumps({
        "answers": tally.answers, "seconds": elapsed, "per_second": tally.answers / elapsed, "wrong": tally.wrong,
        "bundles": tally.bundles, "verified": tally.verified,
    }))  # fmt: skip
    if tally.wrong or not tally.verified:
        sys.exit("answers were wrong, or none was verified")


if __name__ == "__main__":
    main()
