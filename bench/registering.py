"""The load generator of single registrations: many clients, each with one durable write under way.

Prints one line of JSON. Every registration is a new identifier, and every outcome must be OK.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import uvloop

from config.keyfiles import read_anchor, read_secret
from protocol.records import encode_plain_values
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor, Verifier
from registry.client import RegistryClient
from registry.store.writes import ABSENT, Write


async def register(port: int, node: Path, clients: int, seconds: float, tag: str) -> tuple[int, float]:
    """Register for ``seconds`` from ``clients`` connections; how many, and how long it took."""
    verifier = Verifier(TrustAnchor.parse(*read_anchor(node / "anchor.toml")))
    key = SigningKey(read_secret(node / "keys/writer.pem"))
    values = encode_plain_values([(1, "URL", b"https://example.com/p/1"), (2, "TEXT", b"Hydraulic pump")])
    connections = [RegistryClient("127.0.0.1", port, anchor=verifier, key=key) for _ in range(clients)]
    for connection in connections:
        await connection.__aenter__()
    end = time.perf_counter() + seconds

    async def one(number: int, connection: RegistryClient) -> int:
        count = 0
        while time.perf_counter() < end:
            identifier = f"88.118.7/{tag}-{number}-{count:08d}".encode()
            [outcome] = await connection.write([Write(identifier, ABSENT, values)])
            if outcome.status is not Status.OK or not outcome.changed:
                raise SystemExit(f"{identifier!r}: {outcome}")
            count += 1
        return count

    begin = time.perf_counter()
    counts = await asyncio.gather(*(one(number, connection) for number, connection in enumerate(connections)))
    elapsed = time.perf_counter() - begin
    for connection in connections:
        await connection.close()
    return sum(counts), elapsed


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Single durable registrations on a node of this machine; prints JSON.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--node", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--tag", required=True, help="part of the identifiers, another for each run")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        count, elapsed = runner.run(register(options.port, options.node, options.clients, options.seconds, options.tag))
    print(json.dumps({"registered": count, "seconds": elapsed, "per_second": count / elapsed}))


if __name__ == "__main__":
    main()
