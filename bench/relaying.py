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
from pathlib import Path
from typing import Final

import uvloop

from bench.dataset import uniform_identifier, uniform_row
from bench.generator import POOL, READ_BYTES, Checker, Plan, WrongAnswer, run_streams
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


class RelayChecker(Checker):
    """Verifies bundles under the recursive node's own anchor, and the evidence in them from the top's."""

    def __init__(self, own: TrustAnchor, top: TrustAnchor) -> None:
        super().__init__(own, sealed=True)
        self.authorities = Verifier(top)

    def learn(self, host: str, port: int) -> None:
        """Ask for the node's chain and for that of the enterprise's zone."""
        super().learn(host, port)
        exchange = Exchange(self.verifier, random.getrandbits(63))
        _, wire = exchange.ask(Op.CHAIN, b"", ZONE)
        with socket.create_connection((host, port), timeout=5) as sock:
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
            if answer.url != uniform_row(int(request[2].rpartition(b"P")[2])).url:
                raise WrongAnswer(f"{request[2]!r} gave {answer.url}")

    def _answer(self, request: tuple[int, int, bytes], response: tuple[int, int, object], proof: Proof) -> Answer:
        if len(request) == 3:
            return read_answer(request[2], response[1], response[2], proof)
        return read_relayed(request[2], read_evidence(response[2]), self.authorities, _now_ms())


def plan(records: int, proof: bool, seed: int) -> Plan:
    """Requests for random records, encoded ahead."""
    draw = random.Random(seed)
    flags = (int(Ask.PROOF),) if proof else ()
    wires = [
        encode_request(
            Op.RESOLVE, draw.getrandbits(63) | 1 << 63, uniform_identifier(draw.randrange(records)).encode(), *flags
        )
        for _ in range(POOL)
    ]
    return Plan(b"".join(wires), len(wires[0]), 1)


async def warm(address: str, anchor: TrustAnchor, records: int) -> None:
    """Resolve every record once."""
    async with Client(address, anchor=anchor, timeout=20.0) as client:
        found = 0
        async for answer in client.resolve_many(uniform_identifier(number) for number in range(records)):
            found += answer.found
    if found != records:
        raise WrongAnswer(f"{found} of {records} records were found")


async def cold(root: Address, anchor: TrustAnchor, records: int, count: int, seed: int) -> list[float]:
    """Milliseconds of each of ``count`` resolutions that begin with nothing but the root's address and key."""
    draw = random.Random(seed)
    taken: list[float] = []
    for _ in range(count):
        key = uniform_identifier(draw.randrange(records)).encode()
        holds.cache_clear()
        iteration = Iteration(Verifier(anchor), [root], StreamConnection.open)
        begin = time.perf_counter()
        resolved = await iteration.resolve(key, 5.0)
        taken.append((time.perf_counter() - begin) * 1_000)
        iteration.close()
        if not resolved.answer.found or len(resolved.steps) != 3:
            raise WrongAnswer(f"{key!r} was not found in three steps")
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
    if options.warm:
        asyncio.run(warm(f"{host}:{options.port}", top, options.records))
        print(json.dumps({"records": options.records}))
        return
    if options.cold:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as a node runs
            root = Address(host, options.port)
            taken = runner.run(cold(root, top, options.records, options.cold, options.seed))
        print(json.dumps({"median_ms": statistics.median(taken), "low_ms": min(taken), "high_ms": max(taken)}))
        return
    if options.own_anchor is None:
        parser.error("--own-anchor is needed to verify the node's seals")
    checker = RelayChecker(TrustAnchor.parse(*read_anchor(options.own_anchor)), top)
    checker.learn(host, options.port)
    asked = plan(options.records, options.proof, options.seed)
    tally, elapsed = run_streams(
        host, options.port, asked, checker, options.connections, options.in_flight, options.seconds, options.seed
    )
    print(json.dumps({
        "answers": tally.answers, "seconds": elapsed, "per_second": tally.answers / elapsed, "wrong": tally.wrong,
        "bundles": tally.bundles, "verified": tally.verified,
    }))  # fmt: skip
    if tally.wrong or not tally.verified:
        sys.exit("answers were wrong, or none was verified")


if __name__ == "__main__":
    main()
