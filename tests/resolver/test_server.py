"""The serving doors, TCP and UDP, on both event loops, with well-behaved clients and others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections.abc import AsyncIterator

import msgpack
import pytest

import resolver.tcp
from protocol.answers import read_answer
from protocol.exchange import Exchange, Reply, UnprovenReply
from protocol.framing import split
from protocol.limits import (
    MAX_AMPLIFICATION,
    MAX_DATAGRAM_BYTES,
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    UDP_REQUEST_BYTES,
)
from protocol.messages import Ask, Op, encode_request, encode_response, read_response, refusal
from protocol.records import Value
from protocol.seals import is_seal, read_seal
from protocol.status import Status
from protocol.trust import Verifier
from registry.store.counters import UDP_DROPPED, UDP_REQUESTS
from registry.store.memory import MemoryStore
from tests.resolver.servers import LOOPS, ZONE, Peer, Server, ZoneKeys, filled, name, put, run, serving, url

BOTH = pytest.mark.parametrize("loop", LOOPS)


def check(reply: Reply, number: int) -> None:
    identifier = name(number).encode()
    assert read_answer(identifier, reply.status, reply.payload, reply.proof).url == url(number)


# Well-behaved clients --------------------------------------------------------------------------------


@BOTH
def test_a_thousand_requests_in_one_write(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            wires = [peer.resolve(name(i)) for i in range(1_000)]
            peer.writer.write(b"".join(wires))
            for i, reply in enumerate(await peer.take(1_000)):
                assert reply.rid == 7 + i
                check(reply, i)
            assert server.turns < 50, "a signature serves many answers"
            assert peer.exchange.outstanding == 0

    run(main(), loop)


@BOTH
def test_byte_by_byte(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            peer.writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in (1, 2):
                for byte in peer.resolve(name(number)):
                    peer.writer.write(bytes((byte,)))
                    await asyncio.sleep(0)
                [reply] = await peer.take(1)
                check(reply, number)

    run(main(), loop)


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_cut_anywhere_and_mixed_with_everything(loop: str, seed: int) -> None:
    """Ordinary resolves, those by themselves, other operations and refusals, in pieces of any size."""
    source = random.Random(seed)

    async def main() -> None:
        store = filled()
        put(store, f"{ZONE}/long", Value(1, "T", b"x" * 12_000))
        async with serving(store) as server, Peer(server) as peer:
            wires, expected = [], {}
            for _ in range(400):
                op, *arguments = source.choice([
                    (Op.RESOLVE, name(source.randrange(1_100)).encode()),
                    (Op.RESOLVE, name(source.randrange(1_000)).encode(), 0, bytes(source.randrange(300))),
                    (Op.RESOLVE, f"{ZONE}/long".encode(), int(Ask.ALONE)),
                    (Op.RESOLVE, b"no identifier"),
                    (Op.RESOLVE_MANY, [name(i).encode() for i in range(source.randrange(50))]),
                    (Op.PING,), (Op.STATUS,), (Op.CHAIN,), (Op.WRITE, []), (Op.LIST, ZONE.encode(), None, 5),
                ])  # fmt: skip
                rid, wire = peer.exchange.ask(op, *arguments)
                expected[rid] = Op(op)
                wires.append(wire)
            sent = b"".join(wires)
            while sent:
                cut = source.choice([1, 7, 100, 5_000, 100_000])
                peer.writer.write(sent[:cut])
                sent = sent[cut:]
                await asyncio.sleep(0)
            replies = await peer.take(400)
            assert [reply.rid for reply in replies] == list(expected)
            for reply in replies:
                assert (reply.status == Status.UNKNOWN_OPERATION) == (expected[reply.rid] is Op.WRITE)

    run(main(), loop)


@BOTH
def test_connections_of_one_turn_share_a_signature(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(Peer(server)) for _ in range(50)]
            for i, peer in enumerate(peers):
                peer.writer.write(peer.resolve(name(i)) + peer.resolve(name(i + 1)))
            time.sleep(0.05)  # noqa: ASYNC251 - all requests are there before the server looks again
            seals = []
            for i, peer in enumerate(peers):
                for reply, number in zip(await peer.take(2), (i, i + 1), strict=True):
                    check(reply, number)
                    assert reply.evidence is None
                seals += [read_seal(one) for one, _ in split(peer.received) if is_seal(one)]
            assert [seal.n for seal in seals] == [2] * 50
            assert len({seal.signature for seal in seals}) < 10
            assert max(seal.tree_size for seal in seals) > 5

    run(main(), loop)


@BOTH
def test_a_receipts_answer_is_sealed_alone(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            wires = [peer.resolve(name(i)) for i in range(3)]
            wires.insert(1, peer.resolve(name(9), int(Ask.ALONE)))
            wires.append(peer.resolve(name(10), int(Ask.ALONE), b"padding"))
            peer.writer.write(b"".join(wires))
            replies = {reply.rid: reply for reply in await peer.take(5)}
            for rid, number in ((10, 9), (11, 10)):
                evidence = replies[rid].evidence
                assert evidence is not None
                [(seal, _)] = split(evidence.seal)
                assert read_seal(seal).n == 1
                check(replies[rid], number)

    run(main(), loop)


@BOTH
def test_requests_before_the_end_of_sending_are_answered(loop: str) -> None:
    """A client that sends, says that it has no more, and reads."""

    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            peer.writer.write(b"".join(peer.resolve(name(i % 1_000)) for i in range(5_000)))
            peer.writer.write_eof()
            for i, reply in enumerate(await peer.take(5_000)):
                check(reply, i % 1_000)
            assert await peer.reader.read() == b""

    run(main(), loop)


# Sessions without seals ------------------------------------------------------------------------------


def _hello(*more: object) -> bytes:
    return msgpack.packb([Op.HELLO, 3, *more])


@BOTH
def test_unsealed_where_it_is_allowed(loop: str) -> None:
    async def main() -> None:
        async with serving(unsealed=True) as server, Peer(server, sealed=False) as peer:
            peer.writer.write(peer.exchange.ask(Op.HELLO, PROTOCOL_VERSION, int(Ask.UNSEALED))[1])
            peer.writer.write(b"".join(peer.resolve(name(i)) for i in range(600)))
            replies: list[UnprovenReply] = []
            while len(replies) < 601:
                data = await peer.reader.read(65_536)
                peer.received += data
                replies += peer.exchange.receive(data, 0)
            assert not any(is_seal(message) for message, _ in split(peer.received))
            assert [reply.status for reply in replies] == [Status.OK] * 601

    run(main(), loop)


@BOTH
def test_unsealed_is_refused_otherwise_and_goes_on_sealed(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            reply = await peer.ask(Op.HELLO, PROTOCOL_VERSION, int(Ask.UNSEALED))
            assert reply.status == Status.NOT_PERMITTED
            assert (await peer.answer(name(1))).url == url(1)
            assert (await peer.ask(Op.HELLO, PROTOCOL_VERSION)).status == Status.OK

    run(main(), loop)


@BOTH
@pytest.mark.parametrize("unsealed", [False, True])
@pytest.mark.parametrize(
    "hello",
    [[0, -1, 1, 1], [0, -(2**63), 1, 1], [0, 3, 2, 1], [0, 3, "1", 1], [0, 3, 1, 1, 1], [0, "x", 1, 1]],
    ids=str,
)
def test_a_hello_that_is_none_changes_nothing(loop: str, unsealed: bool, hello: list[object]) -> None:
    async def main() -> None:
        async with serving(unsealed=unsealed) as server, Peer(server) as peer:
            peer.writer.write(msgpack.packb(hello))
            unpacker = msgpack.Unpacker(raw=True, use_list=False)
            found: list[object] = []
            while not found or not is_seal(found[-1]):
                data = await peer.reader.read(65_536)
                assert data
                unpacker.feed(data)
                found += list(unpacker)
            assert read_response(found[0]).status != Status.OK
            assert (await peer.answer(name(1))).url == url(1)

    run(main(), loop)


# Clients that misbehave ------------------------------------------------------------------------------

MALFORMED = {
    "reserved": b"\xc1",
    "extension": b"\xc7\x01\x01x",
    "endless array": b"\xdd\xff\xff\xff\xff",
    "nested": b"\x91" * 5_000 + b"\xc0",
    "map of maps": b"\x81\x80\x01",
}


@BOTH
@pytest.mark.parametrize("rubbish", MALFORMED.values(), ids=MALFORMED)
def test_bytes_that_are_no_message_end_the_connection(loop: str, rubbish: bytes) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as good, Peer(server) as bad:
            assert (await good.answer(name(1))).url == url(1)
            bad.writer.write(bad.resolve(name(2)) + bad.resolve(name(3)) + rubbish)
            with contextlib.suppress(ConnectionError):
                bad.received = await bad.reader.read()
            *sealed, (last, _) = split(bad.received)
            replies = bad.exchange.receive(b"".join(wire for _, wire in sealed), time.time_ns() // 1_000_000)
            assert [reply.rid for reply in replies] == [7, 8], "what came before is answered"
            failure = read_response(last)
            assert failure.rid == 0
            assert refusal(failure.status, failure.payload).rule.name.startswith("message.")
            assert (await good.answer(name(4))).url == url(4)
            assert len(server.connections.open) == 1

    run(main(), loop)


@BOTH
def test_a_message_longer_than_the_limit(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as good, Peer(server) as bad:
            bad.writer.write(b"\x93\x01\x01\xc6" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    bad.writer.write(bytes(65_536))
                    await bad.writer.drain()
                await bad.reader.read()
            assert (await good.answer(name(4))).url == url(4)
            await asyncio.sleep(0.05)
            assert len(server.connections.open) == 1

    run(main(), loop)


@BOTH
def test_messages_that_are_no_requests_are_answered_and_the_connection_lives(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as peer:
            for strange in (1, None, [], [1], [1, -1], ["1", 1], {}, b"", [None, 1], [1, 2**64 - 1, None]):
                peer.writer.write(msgpack.packb(strange))
            unpacker = msgpack.Unpacker(raw=True, use_list=False)
            found: list[object] = []
            while sum(map(is_seal, found)) < 10:
                unpacker.feed(await peer.reader.read(65_536))
                found += list(unpacker)
            statuses = [read_response(one).status for one in found if not is_seal(one)]
            assert statuses == [Status.BAD_REQUEST] * 10
            peer.received = b""
            assert (await peer.answer(name(1))).url == url(1)

    run(main(), loop)


@BOTH
def test_a_client_that_vanishes(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as good:
            for _ in range(20):
                bad = socket.create_connection(("127.0.0.1", server.port))
                bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                bad.sendall(encode_request(Op.RESOLVE, 1, name(1).encode()) * 500)
                bad.close()  # resets the connection
                assert (await good.answer(name(1))).url == url(1)
            await asyncio.sleep(0.1)
            assert len(server.connections.open) == 1

    run(main(), loop)


@BOTH
def test_a_client_that_never_reads_is_bounded_and_dropped(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver.tcp, "UNREAD_SECONDS", 0.4)

    async def main() -> None:
        async with serving(filled(10, size=16_000)) as server, Peer(server) as good:
            bad = socket.socket()
            bad.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            bad.setblocking(False)
            aio = asyncio.get_running_loop()
            await aio.sock_connect(bad, ("127.0.0.1", server.port))
            begin, most, sent, dropped = aio.time(), 0, 0, False
            wire = b"".join(encode_request(Op.RESOLVE, i, name(i % 10).encode()) for i in range(2_000))
            slowest = 0.0
            while aio.time() - begin < 3.0:
                with contextlib.suppress(BlockingIOError):
                    try:
                        sent += bad.send(wire)
                    except ConnectionError:
                        dropped = True
                        break
                asked = aio.time()
                assert (await good.answer(name(1))).url == url(1)
                slowest = max(slowest, aio.time() - asked)
                for connection in server.connections.open:
                    waits = connection._transport.get_write_buffer_size() + connection._pending
                    most = max(most, waits + connection._stream.waiting)
                server.connections.sweep(aio.time())
                await asyncio.sleep(0.01)
            assert dropped
            assert 0.3 < aio.time() - begin < 2.0
            assert most < 12_000_000, "UNREAD_BYTES, one slice, and the requests that wait"
            assert slowest < 0.5
            assert not server.connections.blocked
            assert len(server.connections.open) == 1
            bad.close()

    run(main(), loop)


@BOTH
def test_a_slow_reader_gets_everything_in_order(loop: str) -> None:
    async def main() -> None:
        async with serving(filled(10, size=16_000)) as server, Peer(server) as peer:
            wires = b"".join(peer.resolve(name(i % 10)) for i in range(1_500))
            peer.writer.write(wires)
            await asyncio.sleep(0.2)
            replies = []
            blocked = 0
            while len(replies) < 1_500:
                blocked += bool(server.connections.blocked)
                replies += await peer.take(1)
                server.connections.sweep(asyncio.get_running_loop().time())
            assert [reply.rid for reply in replies] == list(range(7, 1_507))
            assert blocked, "24 MB were more than the sockets hold"

    run(main(), loop)


@BOTH
def test_who_asks_much_at_a_time_takes_turns_with_the_others(loop: str) -> None:
    """Ten clients ask much and read nothing; the time of a turn is up after each thing that they ask."""
    answered: list[object] = []
    clock = itertools.count(step=int(1 + resolver.tcp.CARE_SECONDS))

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving(clock=lambda: float(next(clock))))
            greedy = [await stack.enter_async_context(Peer(server)) for _ in range(10)]
            modest = await stack.enter_async_context(Peer(server))
            one = server.answerer.one
            server.answerer.one = lambda request: answered.append(request) or one(request)  # type: ignore[method-assign, func-returns-value]
            unknown = tuple(f"{ZONE}.0/unknown-{i}".encode() for i in range(100))
            for peer in greedy:
                peer.writer.write(b"".join(peer.exchange.ask(Op.RESOLVE_MANY, unknown)[1] for _ in range(50)))
            while not answered:  # noqa: ASYNC110  the server is in this loop, and what it does is no event
                await asyncio.sleep(0)
            before = len(answered)
            assert (await modest.ask(Op.PING, b"")).status == Status.OK
            assert len(answered) - before <= 2 * len(greedy), (
                "each of the others once or twice, and not all that they ask"
            )
            before = len(answered)
            assert (await modest.answer(name(1))).url == url(1)
            assert len(answered) - before <= 20, "a plain resolve waits for nobody: these turns are the client's own"
            for peer in greedy:
                assert len(await peer.take(50)) == 50

    run(main(), loop)


@BOTH
def test_silent_connections_are_swept_and_busy_ones_kept(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, Peer(server) as silent, Peer(server) as busy:
            await busy.answer(name(1))
            await silent.answer(name(1))
            server.connections.sweep_idle()
            await busy.answer(name(1))
            silent.writer.write(silent.resolve(name(2))[:5])  # a byte now and then is no request
            await asyncio.sleep(0.05)
            server.connections.sweep_idle()
            assert await silent.reader.read() == b""
            assert (await busy.answer(name(2))).url == url(2)
            assert len(server.connections.open) == 1

    run(main(), loop)


@BOTH
def test_more_connections_than_a_worker_takes(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver.tcp, "MAX_CONNECTIONS", 2)

    async def main() -> None:
        async with serving() as server, Peer(server) as one:
            async with Peer(server) as two:
                assert (await two.answer(name(2))).url == url(2)
                async with Peer(server) as third:
                    [(message, _)] = split(await third.reader.read())
                    assert read_response(message) == (0, Status.OVERLOADED, None)
                assert (await one.answer(name(1))).url == url(1)
            await asyncio.sleep(0.05)
            async with Peer(server) as fourth:
                assert (await fourth.answer(name(4))).url == url(4)

    run(main(), loop)


@BOTH
def test_stopping_answers_what_was_asked_and_refuses_the_rest(loop: str) -> None:
    async def main() -> None:
        server = Server(filled(), ZoneKeys())
        await server.start()
        async with Peer(server) as peer, Peer(server) as late:
            assert (await peer.answer(name(0))).url == url(0)
            peer.writer.write(b"".join(peer.resolve(name(i)) for i in range(100)))
            time.sleep(0.05)  # noqa: ASYNC251 - the requests are there when it stops
            await asyncio.sleep(0)
            server.connections.close()
            replies = await peer.take(100)
            assert [reply.status for reply in replies] == [Status.OK] * 100
            assert await peer.reader.read() == b""
            assert await late.reader.read() == b""
            async with Peer(server) as refused:
                [(message, _)] = split(await refused.reader.read())
                assert read_response(message) == (0, Status.SHUTTING_DOWN, None)
            await asyncio.wait_for(server.connections.empty.wait(), 1.0)
        await server.stop()

    run(main(), loop)


# UDP -------------------------------------------------------------------------------------------------


class Datagrams:
    """A UDP socket that asks and verifies."""

    def __init__(self, server: Server) -> None:
        self.loop = asyncio.get_running_loop()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", server.port))
        self.exchange = Exchange(Verifier(server.keys.anchor), 1)
        assert self.exchange._verifier is not None
        self.exchange._verifier.learn(server.keys.chain, time.time_ns() // 1_000_000)

    async def raw(self, wire: bytes) -> bytes | None:
        """The answer to one datagram; None where none comes. A ping behind it tells that it was looked at."""
        await self.loop.sock_sendall(self.socket, wire)
        rid, ping = encode_ping()
        await self.loop.sock_sendall(self.socket, ping)
        found: bytes | None = None
        while True:
            data = await asyncio.wait_for(self.loop.sock_recv(self.socket, 65_536), 2.0)
            if read_response(split(data)[0][0]).rid == rid:
                return found
            assert found is None, "one answer for one question"
            found = data

    def verified(self, data: bytes) -> list[UnprovenReply]:
        return self.exchange.receive_datagram(data, time.time_ns() // 1_000_000)


def encode_ping() -> tuple[int, bytes]:
    rid = random.getrandbits(63) | 1 << 63
    return rid, encode_request(Op.PING, rid, bytes(UDP_REQUEST_BYTES))


@contextlib.asynccontextmanager
async def asking(store: MemoryStore | None = None) -> AsyncIterator[Datagrams]:
    async with serving(store) as server:
        datagrams = Datagrams(server)
        try:
            yield datagrams
        finally:
            datagrams.socket.close()


@BOTH
def test_datagrams_are_answered_and_sealed(loop: str) -> None:
    async def main() -> None:
        async with asking() as door:
            for i in range(50):
                wire = door.exchange.ask(Op.RESOLVE, name(i).encode(), 0, bytes(400))[1]
                data = await door.raw(wire)
                assert data is not None
                assert len(data) <= MAX_DATAGRAM_BYTES
                [reply] = door.verified(data)
                assert isinstance(reply, Reply)
                check(reply, i)

    run(main(), loop)


@BOTH
def test_many_datagrams_at_once(loop: str) -> None:
    async def main() -> None:
        async with asking() as door:
            for i in range(60):
                door.socket.send(door.exchange.ask(Op.RESOLVE, name(i).encode(), 0, bytes(400))[1])
            seen = set()
            while len(seen) < 60:
                data = await asyncio.wait_for(door.loop.sock_recv(door.socket, 65_536), 2.0)
                [reply] = door.verified(data)
                assert isinstance(reply, Reply)
                check(reply, reply.rid - 1)
                seen.add(reply.rid)

    run(main(), loop)


def _of_length(length: int) -> list[bytes]:
    """Datagrams of just this length: rubbish, other messages, and requests where they can be that short."""
    found = [bytes(length), b"\x01" * length, b"\xc1" * length]
    if length >= 1:
        found += [b"\x01" if length == 1 else msgpack.packb(b"x" * max(0, length - 2))[:length]]
    for op in (Op.RESOLVE, Op.CHAIN, Op.STATUS, Op.HELLO, Op.LIST):
        short = bytes((0x92, op, 1))
        if length == len(short):
            found.append(short)
        for head in (bytes((0x93, op, 1)), bytes((0x93, op, 0xCF)) + bytes(8)):
            rest = length - len(head)
            if 1 <= rest <= 32:
                found.append(head + bytes((0xA0 + rest - 1,)) + (ZONE + "/P" + "0" * 40).encode()[: rest - 1])
            elif rest > 3:
                found.append(head + b"\xc5" + (rest - 3).to_bytes(2, "big") + bytes(rest - 3))
        wire = encode_request(op, 5, f"{ZONE}/long".encode(), 0)
        rest = length - len(wire) - 3
        if rest >= 0:
            found.append(b"\x95" + wire[1:] + b"\xc5" + rest.to_bytes(2, "big") + bytes(rest))
    return [one for one in found if len(one) == length]


@BOTH
def test_no_datagram_is_ever_amplified_beyond_the_bound(loop: str) -> None:
    async def main() -> None:
        store = filled(20)
        put(store, f"{ZONE}/long", Value(1, "T", b"x" * 900))
        async with asking(store) as door:
            answered = truncated = 0
            for length in [*range(120), *range(120, MAX_DATAGRAM_BYTES + 3, 41)]:
                for wire in _of_length(length):
                    data = await door.raw(wire)
                    if data is None:
                        continue
                    answered += 1
                    assert len(data) <= MAX_AMPLIFICATION * length, (wire, data)
                    assert len(data) <= MAX_DATAGRAM_BYTES
                    messages = split(data)
                    if len(messages) == 1:
                        truncated += 1
                        assert read_response(messages[0][0]).status == Status.TRUNCATED
            assert answered > 100
            assert truncated > 100

    run(main(), loop)


@BOTH
def test_what_does_not_fit_is_truncated(loop: str) -> None:
    async def main() -> None:
        store = filled(20)
        put(store, f"{ZONE}/1", Value(1, "T", b"x" * 1_000))
        put(store, f"{ZONE}/2", Value(1, "T", b"x" * 1_100))
        async with asking(store) as door:
            for identifier, padding, fits in (("1", 400, True), ("1", 200, False), ("2", 1_000, False)):
                rid, wire = door.exchange.ask(Op.RESOLVE, f"{ZONE}/{identifier}".encode(), 0, bytes(padding))
                data = await door.raw(wire)
                assert data is not None
                [reply] = door.verified(data)
                assert (reply.rid, reply.status) == (rid, Status.OK if fits else Status.TRUNCATED)
                assert fits or len(data) == 14

    run(main(), loop)


@BOTH
def test_rubbish_in_datagrams_is_ignored_and_others_are_served(loop: str) -> None:
    source = random.Random(1)

    async def main() -> None:
        async with asking() as door:
            for rubbish in (*MALFORMED.values(), b"", source.randbytes(60_000), encode_request(Op.PING, 1) * 2):
                assert await door.raw(rubbish) is None
            for _ in range(300):
                door.socket.send(source.randbytes(source.randrange(1_400)))
            await asyncio.sleep(0.1)
            while True:
                try:
                    door.socket.recv(65_536)
                except BlockingIOError:
                    break
            data = await door.raw(door.exchange.ask(Op.RESOLVE, name(3).encode(), 0, bytes(400))[1])
            assert data is not None
            [reply] = door.verified(data)
            assert isinstance(reply, Reply)
            check(reply, 3)

    run(main(), loop)


NOT_FOR_DATAGRAMS = {
    "what a node sends where an answer does not fit": encode_response(1 << 60, Status.TRUNCATED, None),
    "the same, as it looks when it is answered": encode_response(int(Status.TRUNCATED), Status.TRUNCATED, None),
    "a trace": encode_request(Op.TRACE, 1, b"88.118/x", bytes(400)),
    "an operation of the registry": encode_request(Op.AUTHENTICATE, 1, 1, bytes(400)),
    "an operation below the first": msgpack.packb([-1, 1, bytes(400)]),
    "a rid that is none": msgpack.packb([int(Op.PING), -1, bytes(400)]),
    "no array": msgpack.packb(bytes(400)),
}


@BOTH
@pytest.mark.parametrize("wire", NOT_FOR_DATAGRAMS.values(), ids=NOT_FOR_DATAGRAMS)
def test_what_is_no_request_for_datagrams_gets_no_answer(loop: str, wire: bytes) -> None:
    async def main() -> None:
        async with asking() as door:
            assert await door.raw(wire) is None

    run(main(), loop)


@BOTH
def test_two_nodes_cannot_be_made_to_answer_each_other(loop: str) -> None:
    """One forged datagram, of every small rid, from one node's address: the other's last word ends it."""

    async def main() -> None:
        async with serving() as one, serving() as other:
            for rid in (*range(9), int(Status.TRUNCATED), 1 << 60):
                one._datagrams.sendto(encode_response(rid, Status.TRUNCATED, None), ("127.0.0.1", other.port))
            await asyncio.sleep(0.2)
            answered, dropped = (
                sum(door._tally[n] for door in (one.door, other.door)) for n in (UDP_REQUESTS, UDP_DROPPED)
            )
            assert dropped >= 11
            assert answered < 40

    run(main(), loop)
