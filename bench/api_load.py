"""The load generator of the JSON API: bulk uploads, and many clients with one registration under way each.

It speaks just as much HTTP as it needs, to take less than the server. Prints one line of JSON; every answer must
be the one that is expected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.dataset import uniform_row
from config.keyfiles import read_anchor, read_secret
from protocol.signatures import SigningKey
from registry.api.client import ApiAddress

PREFIX: Final = "88.118.32001"
SENT_BYTES: Final = 1 << 18
_BODY: Final = (
    b'{"values":[{"index":1,"type":"URL","data":"https://example.com/p/1"},{"index":2,"type":"TEXT","data":"Pump"}]}'
)


Make = Callable[[int, int], bytes]
"""Makes the request of a connection, by the connection's number and how many it has had answered."""


class LoadFailed(Exception):
    """An answer was not the one that was expected."""


def make_lines(numbers: Sequence[int]) -> bytes:
    """The uniform records with these numbers, as NDJSON."""
    lines = []
    for number in numbers:
        identifier, page, text = uniform_row(number)
        lines.append(
            f'{{"identifier":"{identifier}","values":[{{"index":1,"type":"URL","data":"{page}"}},'
            f'{{"index":2,"type":"TEXT","data":"{text}"}}]}}\n'
        )
    return "".join(lines).encode()


async def upload(port: int, token: str, lines: bytes, rows: int) -> float:
    """Upload NDJSON in one request and read its answer meanwhile; seconds until all of it is durable."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /api/v1/prefixes/{PREFIX}/records:import HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(lines)}\r\nConnection: close\r\n\r\n"
    ).encode()
    begin = time.perf_counter()

    async def send() -> None:
        writer.write(head)
        for start in range(0, len(lines), SENT_BYTES):
            writer.write(lines[start : start + SENT_BYTES])
            await writer.drain()

    sending = asyncio.create_task(send())
    answer = await reader.read(-1)
    seconds = time.perf_counter() - begin
    await sending
    writer.close()
    if b'"changed":%d,' % rows not in answer:
        raise LoadFailed(answer[-500:].decode("utf-8", "replace"))
    return seconds


async def register(port: int, token: str, clients: int, seconds: float, tag: str) -> tuple[int, float]:
    """Register single records for ``seconds`` from ``clients`` connections; how many, and how long it took."""
    head = f"Host: api\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(_BODY)}\r\n\r\n".encode() + _BODY

    def request(number: int, count: int) -> bytes:
        return b"PUT /api/v1/records/88.118.7/%b-%d-%08d HTTP/1.1\r\n" % (tag.encode(), number, count) + head

    return await _ask_all(port, clients, seconds, request, b"HTTP/1.1 201 ")


async def hello(port: int, clients: int, seconds: float) -> tuple[int, float]:
    """The same with the least that a server can be asked."""
    return await _ask_all(
        port, clients, seconds, lambda number, count: b"GET / HTTP/1.1\r\nHost: api\r\n\r\n", b"HTTP/1.1 200 "
    )


class _Asker(asyncio.Protocol):
    """One connection with one request under way, until the time is over."""

    def __init__(self, number: int, make: Make, expected: bytes, end: float) -> None:
        self._number = number
        self._make = make
        self._expected = expected
        self._end = end
        self._received = b""
        self.count = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._ask()

    def _ask(self) -> None:
        self._transport.write(self._make(self._number, self.count))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = b""
        if not head.startswith(self._expected):
            self.done.set_exception(LoadFailed((head + body).decode("utf-8", "replace")))
            self._transport.close()
            return
        self.count += 1
        if time.perf_counter() < self._end:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(LoadFailed("the connection was lost"))


def _same(asker: _Asker) -> _Asker:
    return asker


async def _ask_all(port: int, clients: int, seconds: float, make: Make, expected: bytes) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    begin = time.perf_counter()
    askers = [_Asker(number, make, expected, begin + seconds) for number in range(clients)]
    for asker in askers:
        await loop.create_connection(partial(_same, asker), "127.0.0.1", port)
    await asyncio.gather(*(asker.done for asker in askers))
    return sum(asker.count for asker in askers), time.perf_counter() - begin


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Load on the JSON API of a node of this machine; prints JSON.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--node", type=Path, help="directory of the node; none for hello")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=300_000, help="records of an upload")
    parser.add_argument("--begin", type=int, default=0, help="number of the first of them")
    parser.add_argument("--shuffled", action="store_true", help="records of an upload in random order")
    parser.add_argument("--tag", default="", help="part of the identifiers, another for each run")
    parser.add_argument("mode", choices=["import", "register", "hello"])
    options = parser.parse_args()
    token = ""
    if options.node is not None:
        key = SigningKey(read_secret(options.node / "keys/writer.pem"))
        zone = read_anchor(options.node / "anchor.toml").prefix
        token = ApiAddress(f"http://127.0.0.1:{options.port}").token(key, zone)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.mode == "import":
            numbers = list(range(options.begin, options.begin + options.rows))
            if options.shuffled:
                random.Random(options.begin).shuffle(numbers)
            count, elapsed = options.rows, runner.run(upload(options.port, token, make_lines(numbers), options.rows))
        elif options.mode == "register":
            count, elapsed = runner.run(register(options.port, token, options.clients, options.seconds, options.tag))
        else:
            count, elapsed = runner.run(hello(options.port, options.clients, options.seconds))
    print(json.dumps({"count": count, "seconds": elapsed, "per_second": count / elapsed}))


if __name__ == "__main__":
    main()
