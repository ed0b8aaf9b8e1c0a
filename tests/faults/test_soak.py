"""A resolver under clients that stall, send rubbish and vanish: its memory stays bounded, its answers right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from config.keyfiles import read_anchor
from protocol.messages import Op, encode_request
from protocol.status import Status
from protocol.trust import TrustAnchor
from resolver.client import Client
from tests.conftest import MakeNode
from tests.e2e.nodes import Node
from tests.fuzz.seeds import HOSTILE, seeds
from tests.long import chance, share

SECONDS: Final = share(240, 20)
RECORDS: Final = 3_000
BAD: Final = 40
"""Bad clients at a time."""

GROWTH_BYTES: Final = 48 << 20
"""How much more memory the worker may have in the last quarter of the time than in the second, when it has seen
everything. What a client may hold is a few megabytes (resolver.tcp); how many do at once is chance."""

MOST_BYTES: Final = 400 << 20

PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def name(number: int) -> str:
    return f"88.118.1/P{number:07d}"


def url(number: int) -> str:
    return f"https://example.com/{number}"


def memory(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# Clients that are right ------------------------------------------------------------------------------


class Honest:
    """Asks and compares, over and over."""

    def __init__(self, node: Node, stop: asyncio.Event, draw: random.Random) -> None:
        self._anchor = TrustAnchor.parse(*read_anchor(node.directory / "anchor.toml"))
        self._address = node.address("resolver")
        self._stop = stop
        self._draw = draw
        self.answers = 0

    async def ask(self, *, udp: bool) -> None:
        """Until the end; a connection is kept for a while, then another is made."""
        while not self._stop.is_set():
            async with Client(self._address, anchor=self._anchor, timeout=60.0, udp=udp) as client:
                for _ in range(20):
                    if self._stop.is_set():
                        return
                    await self._round(client, udp=udp)

    async def _round(self, client: Client, *, udp: bool) -> None:
        numbers = [self._draw.randrange(RECORDS) for _ in range(1 if udp else 200)]
        if udp:
            answers = [await client.resolve(name(numbers[0]))]
        else:
            answers = [answer async for answer in client.resolve_many([name(number) for number in numbers])]
        for answer, number in zip(answers, numbers, strict=True):
            assert (answer.identifier, answer.url) == (name(number), url(number))
        absent = await client.resolve(f"88.118.1/absent-{numbers[0]}")
        assert absent.status is Status.NOT_FOUND
        self.answers += len(answers) + 1
        await asyncio.sleep(0.005)


# Clients that are not --------------------------------------------------------------------------------


class Bad:
    """One visit of a bad client."""

    def __init__(self, address: tuple[str, int], draw: random.Random) -> None:
        self._address = address
        self._draw = draw
        self._kinds: tuple[Callable[[], Awaitable[None]], ...] = (
            self.stall, self.half_a_message, self.never_read, self.rubbish, self.drip, self.announce, self.datagrams,
            self.come_and_go, self.ask_for_everything,
        )  # fmt: skip

    async def visit(self) -> None:
        """Be bad in some manner."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._draw.choice(self._kinds)()

    @contextlib.asynccontextmanager
    async def _connected(self, window: int | None = None):  # type: ignore[no-untyped-def]
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if window is not None:  # what is not read waits at the other end, not in a kernel
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self._address)
            reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
        except BaseException:
            sock.close()
            raise
        try:
            yield reader, writer
        finally:
            if self._draw.random() < 0.5:  # vanish: the other end gets a reset
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()

    async def _pause(self, most: float) -> None:
        await asyncio.sleep(self._draw.uniform(0, most))

    def _requests(self, count: int) -> bytes:
        draw = self._draw
        return b"".join(
            encode_request(Op.RESOLVE, draw.getrandbits(63), name(draw.randrange(RECORDS)).encode())
            for _ in range(count)
        )

    async def stall(self) -> None:
        """Connect, perhaps ask something, and say nothing more."""
        async with self._connected() as (_, writer):
            writer.write(self._requests(self._draw.randrange(3)))
            await self._pause(6)

    async def half_a_message(self) -> None:
        """Stop in the middle."""
        async with self._connected() as (_, writer):
            data = self._draw.choice(seeds()) + self._requests(2)
            writer.write(data[: self._draw.randrange(len(data))])
            await self._pause(3)

    async def never_read(self) -> None:
        """Ask as long as anybody listens, up to 16 MB, and take no answer."""
        async with self._connected(window=4_096) as (reader, writer):
            reader._transport.pause_reading()
            block = self._requests(1_000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    for _ in range(self._draw.randrange(1, 400)):
                        writer.write(block)
                        await writer.drain()
            await self._pause(4)

    async def ask_for_everything(self) -> None:
        """Lists and batches as large as they may be, of which a part is read."""
        async with self._connected() as (reader, writer):
            identifiers = [name(self._draw.randrange(RECORDS)).encode() for _ in range(1_000)]
            for _ in range(self._draw.randrange(1, 20)):
                writer.write(encode_request(Op.RESOLVE_MANY, 1, identifiers))
                writer.write(encode_request(Op.LIST, 2, b"88.118", None, 1_000))
            await reader.read(self._draw.randrange(1, 1 << 20))
            await self._pause(1)

    async def rubbish(self) -> None:
        """Bytes that are no messages, or no requests."""
        async with self._connected() as (reader, writer):
            kind = self._draw.randrange(3)
            if kind == 0:
                writer.write(self._draw.randbytes(self._draw.randrange(1, 100_000)))
            elif kind == 1:
                writer.write(b"".join(self._draw.choices(seeds(), k=20)))
            else:
                writer.write(self._draw.choice(list(HOSTILE.values()))[:50_000])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while await reader.read(1 << 16):
                        pass

    async def drip(self) -> None:
        """A byte at a time."""
        async with self._connected() as (_, writer):
            for byte in self._requests(2)[: self._draw.randrange(80)]:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.02)

    async def announce(self) -> None:
        """The beginning of something enormous."""
        async with self._connected() as (_, writer):
            writer.write(self._draw.choice([b"\xdb\xff\xff\xff\xff", b"\xc6\x00\x10\x00\x00", b"\xdd\x00\x00\x4e\x20"]))
            writer.write(bytes(self._draw.randrange(200_000)))
            await self._pause(4)

    async def datagrams(self) -> None:
        """Datagrams of all sorts, whose answers nobody takes."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(self._address)
            for _ in range(200):
                data = self._draw.choice([*HOSTILE.values(), *seeds()])[: self._draw.randrange(1, 1_400)]
                with contextlib.suppress(OSError):
                    sock.send(data)
            await self._pause(0.5)

    async def come_and_go(self) -> None:
        """Connections that end as soon as they are made."""
        for _ in range(20):
            async with self._connected():
                pass


async def be_bad(address: tuple[str, int], stop: asyncio.Event, draw: random.Random) -> int:
    """Visit after visit; how many."""
    visits = 0
    while not stop.is_set():
        await Bad(address, draw).visit()
        visits += 1
    return visits


# The soak --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_under_bad_clients(make_node: MakeNode, tmp_path: Path) -> None:
    draw = chance()
    node = make_node("127.0.0.14")
    node.start()
    file = tmp_path / "rows.csv"
    file.write_text("identifier,URL\n" + "".join(f"{name(i)},{url(i)}\n" for i in range(RECORDS)), "utf-8")
    assert node.run("import", file).code == 0
    worker = node.process("resolver.worker")
    host, port = node.address("resolver").split(":")
    before = descriptors(worker)
    sizes: list[int] = []

    async def main() -> tuple[int, int]:
        stop = asyncio.Event()
        honest = [Honest(node, stop, random.Random(draw.random())) for _ in range(4)]
        asking = [asyncio.create_task(one.ask(udp=i == 0)) for i, one in enumerate(honest)]
        bad = [asyncio.create_task(be_bad((host, int(port)), stop, random.Random(draw.random()))) for _ in range(BAD)]
        end = time.monotonic() + SECONDS
        told = 0
        while time.monotonic() < end:
            await asyncio.sleep(1.0)
            sizes.append(memory(worker))
            assert not [task for task in (*asking, *bad) if task.done()], "nobody gave up"
            if len(sizes) % 15 == 0:
                answers = sum(one.answers for one in honest)
                assert answers > told, "right answers go on"
                told = answers
        stop.set()
        await asyncio.gather(*asking)
        return sum(one.answers for one in honest), sum(await asyncio.gather(*bad))

    answers, visits = asyncio.run(main())
    quarter = len(sizes) // 4
    warm, last = sizes[quarter : 2 * quarter], sizes[-quarter:]
    mib = [round(max(part) / 2**20) for part in (warm, last, sizes)]
    print(f"{answers:,} right answers, {visits:,} bad visits; at most {mib[0]}, then {mib[1]}, ever {mib[2]} MiB")
    assert max(sizes) < MOST_BYTES
    assert max(last) < max(warm) + GROWTH_BYTES
    deadline = time.monotonic() + 40  # a client that does not read is dropped after 30 s
    while descriptors(worker) > before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert descriptors(worker) == before, "every connection was given back"
    assert node.process("resolver.worker") == worker, "it never died"
    assert node.run("resolve", name(1)).code == 0
    assert node.stop() == 0
    assert "Traceback" not in node.said()
