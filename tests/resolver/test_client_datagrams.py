"""The SDK over UDP: lines that lose and damage, servers that are silent, refuse, are forged, come back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from config.process import bind
from protocol.address import parse_address
from protocol.errors import NotVerified, Refused, Unreachable
from protocol.framing import decode_one
from protocol.limits import MAX_DATAGRAM_BYTES, MAX_IDENTIFIER_BYTES, UDP_REQUEST_BYTES
from protocol.messages import Op, encode_request, encode_response, read_request
from protocol.records import Value
from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey
from protocol.statements import OnlineKey
from protocol.status import Status
from protocol.trust import Chain, Verifier
from resolver.client import Client
from resolver.client.datagram import DatagramConnection, Question, _padding
from resolver.client.datagrams import Datagrams
from tests.resolver.lines import Line, a_line, bad, nowhere, through
from tests.resolver.servers import LOOPS, ZONE, Server, ZoneKeys, filled, name, put, run, serving, url

KEYS = ZoneKeys()

EACH_LOOP = pytest.mark.parametrize("loop", LOOPS)


def udp_client(*servers: str, **options: Any) -> Client:
    """A client over UDP whose time is not what is tested."""
    return Client(servers, anchor=KEYS.anchor, udp=True, **{"timeout": 20.0, **options})


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the machine is busy for a moment does not look like loss."""
    monkeypatch.setattr("resolver.client.pace.FIRST_PATIENCE_S", 3.0)
    monkeypatch.setattr("resolver.client.pace.LEAST_PATIENCE_S", 3.0)


def datagrams(client: Client) -> Datagrams:
    assert client._datagrams is not None
    return client._datagrams


def over_tcp(client: Client) -> int:
    """How often it has tried TCP."""
    return client._turn


def outstanding(client: Client) -> int:
    """Requests that are remembered, for questions and for chains."""
    return sum(connection.exchange.outstanding for connection in sockets(client))


def sockets(client: Client) -> list[DatagramConnection]:
    return list(datagrams(client)._connections.values())


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


@contextlib.contextmanager
def silent_address() -> Iterator[str]:
    """An address where datagrams arrive, and nobody reads them or listens for TCP."""
    with bind("127.0.0.1", 0, socket.SOCK_DGRAM) as sock:
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def dead_address() -> str:
    """An address where nothing is: the kernel refuses what is sent there."""
    with bind("127.0.0.1", 0, socket.SOCK_DGRAM) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


# Bad lines -------------------------------------------------------------------------------------------


@EACH_LOOP
@pytest.mark.parametrize("seed", range(2))
def test_loss_duplication_damage_and_disorder(seed: int, loop: str) -> None:
    async def main() -> None:
        async with (
            serving(filled(120)) as server,
            a_line(server, **bad(seed, loss=0.15)) as line,
            udp_client(line.address, retries=12) as client,
        ):
            for start in range(0, 150, 50):
                batch = range(start, start + 50)
                answers = await asyncio.gather(*(client.resolve(name(i)) for i in batch))
                for i, answer in zip(batch, answers, strict=True):
                    assert answer.identifier == name(i)
                    assert answer.url == (url(i) if i < 120 else None)
                    assert answer.status is (Status.OK if i < 120 else Status.NOT_FOUND)
                assert not sum(connection.load for connection in sockets(client)), "what was lost is forgotten"
            assert over_tcp(client) == 0
            assert line.count(Op.RESOLVE) > 150

    run(main(), loop)


def test_a_line_slower_than_was_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to what was asked first counts, though it was asked again since; and patience grows."""
    monkeypatch.setattr("resolver.client.pace.FIRST_PATIENCE_S", 0.02)

    async def main() -> None:
        def slowly(line: Line, data: bytes) -> None:
            line.to_client(data, 0.25)

        async with (
            serving() as server,
            a_line(server, here=slowly) as line,
            udp_client(line.address, retries=6) as client,
        ):
            assert (await client.resolve(name(1))).url == url(1)
            assert line.count(Op.RESOLVE) > 1
            [connection] = sockets(client)
            assert connection.round_trips.patience() > 0.25
            assert server.accepted == 0

    run(main())


def test_what_is_lost_in_the_beginning_is_asked_again() -> None:
    async def main() -> None:
        def not_the_first_two(line: Line, data: bytes) -> None:
            if len(line.asked) > 2:
                line.to_server(data)

        async with serving() as server, a_line(server, not_the_first_two) as line, udp_client(line.address) as client:
            assert (await client.resolve(name(1))).url == url(1)
            rids = {read_request(decode_one(data))[1] for data in line.asked}
            assert len(rids) == len(line.asked), "each time under another rid"
            assert len(line.clients) == 1

    run(main())


@EACH_LOOP
@pytest.mark.usefixtures("calm")
def test_many_at_once_share_one_socket_and_one_chain(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that come before the chain wait for it: none is asked for twice."""
    monkeypatch.setattr("resolver.client.datagram.CHAIN_PAUSE_S", 3.0)

    async def main() -> None:
        async with serving() as server, a_line(server) as line, udp_client(line.address) as client:
            answers = await asyncio.gather(*(client.resolve(name(i)) for i in range(50)))
            assert [answer.url for answer in answers] == [url(i) for i in range(50)]
            assert (line.count(Op.RESOLVE), line.count(Op.CHAIN), len(line.clients)) == (50, 1, 1)
            assert outstanding(client) == 0

    run(main(), loop)


# Forgeries -------------------------------------------------------------------------------------------


def sealed(request: bytes, response: bytes, key: SigningKey = KEYS.online, late_ms: int = 0) -> bytes:
    [seal] = seal_turn([1], [leaf(request, response)], key, time.time_ns() // 1_000_000 - late_ms)
    return response + seal


def forgeries(asked: bytes, true: bytes) -> list[bytes]:
    """What somebody may send who has seen question and answer."""
    stranger = SigningKey(b"s" * 32)
    rid = int.from_bytes(asked[3:11], "big")
    absent = encode_response(rid, Status.NOT_FOUND, 300)
    chain = encode_response(rid, Status.OK, KEYS.chain)
    return [
        b"",
        b"\xc1",
        true[:-1],
        true + b"\x01",
        true[:-1] + bytes((true[-1] ^ 1,)),
        absent,
        absent + true[-105:],
        sealed(asked, absent, key=stranger),
        sealed(asked, absent, key=stranger).replace(stranger.public.id, KEYS.online.public.id),
        sealed(asked, absent, late_ms=400_000),
        sealed(asked, chain, key=stranger),
        sealed(asked[:11] + b"\xa1x" + asked[13:], absent),
        sealed(asked, encode_response(rid ^ 1, Status.NOT_FOUND, 300)),
        encode_response(rid, Status.OVERLOADED, None),
    ]


@EACH_LOOP
@pytest.mark.usefixtures("calm")
def test_forged_datagrams_that_come_before_the_true_one(loop: str) -> None:
    async def main() -> None:
        def forging(line: Line, data: bytes) -> None:
            asked = next(one for one in line.asked if one[3:11] == data[2:10])
            for forged in forgeries(asked, data):
                line.to_client(forged)
            line.to_client(data, 0.01)

        async with serving() as server, a_line(server, here=forging) as line, udp_client(line.address) as client:
            for start in range(0, 40, 5):  # few at a time, since a socket's buffer holds some 250 datagrams
                answers = await asyncio.gather(*(client.resolve(name(i)) for i in range(start, start + 5)))
                assert [answer.url for answer in answers] == [url(i) for i in range(start, start + 5)]
            assert over_tcp(client) == 0
            assert outstanding(client) == 0

    run(main(), loop)


def test_what_a_flood_under_an_unknown_key_pushes_out_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = 16
    monkeypatch.setattr("resolver.client.datagram.KEPT_DATAGRAMS", room)

    async def main() -> None:
        def flooding(line: Line, data: bytes) -> None:
            if len(line.asked) > 1:
                line.to_client(data, 0.05)  # the chain, behind the flood
                return
            line.to_client(data)
            absent = encode_response(int.from_bytes(data[2:10], "big"), Status.NOT_FOUND, 300)
            seal = sealed(line.asked[0], absent)[len(absent) :]
            for i in range(room):
                line.to_client(absent + seal.replace(KEYS.online.public.id, i.to_bytes(8, "big")))

        async with serving() as server, a_line(server, here=flooding) as line, udp_client(line.address) as client:
            assert (await client.resolve(name(1))).url == url(1)
            assert over_tcp(client) == 0
            assert line.count(Op.RESOLVE) > 1
            assert not any(connection._kept for connection in sockets(client))

    run(main())


@pytest.mark.usefixtures("calm")
def test_a_forged_truncated_answer_leaves_the_true_one_its_place() -> None:
    """It sends us to TCP; where that is of no use, the true answer counts."""

    async def main() -> None:
        def cut(line: Line, data: bytes) -> None:
            line.to_client(encode_response(int.from_bytes(data[2:10], "big"), Status.TRUNCATED, None))
            line.to_client(data, 0.02)

        async with serving() as server, a_line(server, here=cut) as line, udp_client(line.address, retries=4) as client:
            for i in range(2):
                assert (await client.resolve(name(i))).url == url(i)
            assert over_tcp(client) > 0

    run(main())


def test_only_forged_answers() -> None:
    async def main() -> None:
        def another(line: Line, data: bytes) -> None:
            response = encode_response(int.from_bytes(data[2:10], "big"), Status.NOT_FOUND, 300)
            line.to_client(response + data[-105:])

        async with serving() as server, a_line(server, here=another) as line:
            async with udp_client(line.address, retries=1, timeout=0.5) as client:
                with pytest.raises(Unreachable):
                    await client.resolve(name(1))
            async with udp_client(line.address, server.address, retries=1, timeout=4.0) as client:
                assert (await client.resolve(name(1))).url == url(1)

    run(main())


# Refused ---------------------------------------------------------------------------------------------


@EACH_LOOP
def test_refused_and_then_there_again(loop: str) -> None:
    async def main() -> None:
        first = Server(filled(), KEYS)
        await first.start()
        async with udp_client(first.address, retries=8) as client:
            assert (await client.resolve(name(1))).url == url(1)
            await first.stop()
            task = asyncio.create_task(client.resolve(name(2)))
            [connection] = sockets(client)
            refused = 0
            error_received = connection.error_received

            def count(exc: Exception) -> None:
                nonlocal refused
                refused += 1
                error_received(exc)

            connection.error_received = count  # type: ignore[method-assign]
            await until(lambda: refused >= 2)
            second = Server(filled(), KEYS)
            await second.start(first.port)
            assert (await task).url == url(2)
            assert second.accepted == 0, "it went on over UDP"
            assert sockets(client) == [connection]
            await second.stop()

    run(main(), loop)


@EACH_LOOP
@pytest.mark.usefixtures("calm")
def test_a_refusal_proves_nothing(loop: str) -> None:
    """Anybody can forge one: the true answer, under way already, counts."""

    async def main() -> None:
        def refusing(line: Line, data: bytes) -> None:
            for connection in sockets(client):
                connection.error_received(ConnectionRefusedError())
            line.to_client(data, 0.01)

        async with serving() as server, a_line(server, here=refusing) as line, udp_client(line.address) as client:
            for i in range(5):
                assert (await client.resolve(name(i))).url == url(i)
            assert over_tcp(client) == 0

    run(main(), loop)


@EACH_LOOP
def test_refused_everywhere(loop: str) -> None:
    async def main() -> None:
        async with udp_client(dead_address(), dead_address(), retries=3, timeout=3.0) as client:
            for _ in range(3):
                with pytest.raises(Unreachable, match="Is the node running"):
                    await client.resolve(name(1))
            assert outstanding(client) == 0

    run(main(), loop)


@EACH_LOOP
@pytest.mark.usefixtures("calm")
def test_a_socket_that_broke_is_opened_again(loop: str) -> None:
    async def main() -> None:
        async with serving() as server, udp_client(server.address) as client:
            assert (await client.resolve(name(1))).url == url(1)
            sockets(client)[0]._transport.abort()
            assert (await client.resolve(name(2))).url == url(2)
            await asyncio.sleep(0)
            assert (await client.resolve(name(3))).url == url(3)
            assert server.accepted == 0

    run(main(), loop)


def test_a_socket_that_is_closed_under_a_question() -> None:
    async def main() -> None:
        async with serving() as server, a_line(server, nowhere) as line, udp_client(line.address) as client:
            task = asyncio.create_task(client.resolve(name(1)))
            await until(lambda: line.asked)
            line.there = through
            sockets(client)[0].close()
            assert (await task).url == url(1)
            assert len(line.clients) == 2

    run(main())


# Several servers, several addresses -------------------------------------------------------------------


@EACH_LOOP
@pytest.mark.parametrize("other", ["silent", "dead"])
def test_the_next_server_is_asked(other: str, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.client.pace.FIRST_PATIENCE_S", 0.2)
    monkeypatch.setattr("resolver.client.pace.LEAST_PATIENCE_S", 3.0)

    async def main() -> None:
        with silent_address() as silent:
            async with serving() as server, a_line(None, nowhere) as line:
                others = [line.address, silent] if other == "silent" else [dead_address(), dead_address()]
                async with udp_client(*others, server.address, retries=5) as client:
                    assert (await client.resolve(name(1))).url == url(1)
                    asked = len(line.asked)
                    for i in range(20):
                        assert (await client.resolve(name(i))).url == url(i)
                    assert len(line.asked) == asked, "who was silent is not asked first again"
                    assert server.accepted == 0

    run(main(), loop)


def test_round_the_servers_as_each_goes_silent() -> None:
    async def main() -> None:
        async with (
            serving() as server,
            a_line(server) as one,
            a_line(server, nowhere) as two,
            udp_client(one.address, two.address, retries=3) as client,
        ):
            assert (await client.resolve(name(1))).url == url(1)
            for here, gone in ((two, one), (one, two), (two, one)):
                here.there, gone.there = through, nowhere
                assert (await client.resolve(name(2))).url == url(2)
            assert server.accepted == 0

    run(main())


@pytest.mark.usefixtures("calm")
def test_a_busy_server() -> None:
    """Refused for now, under seal: the next is asked; at last the refusal is told."""

    async def main() -> None:
        def busy(line: Line, data: bytes) -> None:
            rid = int.from_bytes(data[3:11], "big")
            said = (Status.OK, KEYS.chain) if data[1] == Op.CHAIN else (Status.OVERLOADED, None)
            line.to_client(sealed(data, encode_response(rid, *said)))

        async with serving() as server, a_line(None, busy) as line:
            async with udp_client(line.address, server.address) as client:
                assert (await client.resolve(name(1))).url == url(1)
                assert server.accepted == 0
            before = line.count(Op.RESOLVE)
            async with udp_client(line.address, retries=2) as client:
                with pytest.raises(Refused) as refused:
                    await client.resolve(name(1))
                assert refused.value.status is Status.OVERLOADED
                assert line.count(Op.RESOLVE) == before + 3
                assert outstanding(client) == 0

    run(main())


def _has_ipv6() -> bool:
    try:
        bind("::1", 0, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


@EACH_LOOP
@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on loopback")
@pytest.mark.usefixtures("calm")
def test_ipv6(loop: str) -> None:
    async def main() -> None:
        async with serving(host="::1") as server, udp_client(server.address) as client:
            assert server.address.startswith("[::1]:")
            assert (await client.resolve(name(1))).url == url(1)
            assert server.accepted == 0
            assert (await client.status())["registered"] == 1_000  # over TCP

    run(main(), loop)


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the first, and to the second there is no way at all."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        truly = loop.getaddrinfo

        async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
            if host == "unknown.example":
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            if host != "node.example":
                return await truly(host, port, **options)
            return [
                (family, socket.SOCK_DGRAM, 17, "", (address, port))
                for family, address in (
                    (socket.AF_INET, "127.0.0.2"),
                    (socket.AF_INET6, "2001:db8::1%nowhere"),
                    (socket.AF_INET, "127.0.0.1"),
                    (socket.AF_INET, "127.0.0.1"),
                )
            ]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with (
            serving() as server,
            udp_client("unknown.example", f"node.example:{server.port}") as client,
        ):
            assert (await client.resolve(name(1))).url == url(1)
            assert server.accepted == 0
            assert [connection.address.host for connection in sockets(client)] == ["127.0.0.2", "127.0.0.1"]

    run(main())


@pytest.mark.usefixtures("calm")
def test_a_name_that_gets_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up again after a question that nobody answered."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        truly = loop.getaddrinfo
        host = "127.0.0.3"

        async def getaddrinfo(_: str, port: int, **options: Any) -> Any:
            return await truly(host, port, **options)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        first = Server(filled(), KEYS, host=host)
        await first.start()
        async with udp_client(f"node.example:{first.port}", retries=0) as client:
            assert (await client.resolve(name(1))).url == url(1)
            await first.stop()
            host = "127.0.0.4"
            second = Server(filled(), KEYS, host=host)
            await second.start(first.port)
            assert (await client.resolve(name(2))).url == url(2)
            assert (await client.resolve(name(3))).url == url(3)
            assert [connection.address.host for connection in sockets(client)] == [host]
            assert over_tcp(client) == second.accepted == 1
            await second.stop()

    run(main())


# Keys, chains, sizes ---------------------------------------------------------------------------------


@EACH_LOOP
@pytest.mark.usefixtures("calm")
def test_online_key_changes(loop: str) -> None:
    async def main() -> None:
        keys = ZoneKeys()
        async with serving(keys=keys) as server, a_line(server) as line, udp_client(line.address) as client:
            first = await client.resolve(name(1))
            keys.renew(77)
            server.door.key = keys.online
            object.__setattr__(server.facts, "chain", keys.chain)
            answers = await asyncio.gather(*(client.resolve(name(i)) for i in range(100)))
            assert [answer.url for answer in answers] == [url(i) for i in range(100)]
            assert answers[0].proof.key.key.id == keys.online.public.id != first.proof.key.key.id
            assert over_tcp(client) == 0

    run(main(), loop)


def test_online_key_that_nobody_vouches_for() -> None:
    async def main() -> None:
        async with serving() as server, udp_client(server.address, timeout=1.0) as client:
            assert (await client.resolve(name(1))).found
            server.door.key = server.turn.key = SigningKey(bytes(32))
            with pytest.raises(NotVerified):
                await client.resolve(name(1))

    run(main())


@pytest.mark.usefixtures("calm")
def test_requests_for_the_chain_are_few_and_each_may_be_answered() -> None:
    """The chain comes late, while answers under an unknown key go on coming: no request for it is given up too soon."""

    async def main() -> None:
        late: list[bytes] = []

        def here(line: Line, data: bytes) -> None:
            chains = [asked[3:11] for asked in line.asked if asked[1] == Op.CHAIN]
            if data[2:10] in chains:
                late.append(data)
            else:
                line.to_client(data)

        async with serving() as server, a_line(server, here=here) as line, udp_client(line.address) as client:
            tasks = []
            for i in range(40):
                tasks.append(asyncio.create_task(client.resolve(name(i))))
                await asyncio.sleep(0.01)
            await until(lambda: len(late) >= 2)
            assert line.count(Op.CHAIN) <= 6
            line.to_client(late[0])
            answers = await asyncio.gather(*tasks)
            assert [answer.url for answer in answers] == [url(i) for i in range(40)]
            assert outstanding(client) == 0
            assert over_tcp(client) == 0

    run(main())


@pytest.mark.usefixtures("calm")
def test_a_chain_that_does_not_fit_a_datagram() -> None:
    """It is fetched over TCP, once."""

    async def main() -> None:
        keys = ZoneKeys()
        now = int(time.time())
        others = [
            OnlineKey(ZONE, f"node-{i}", SigningKey(bytes([i]) * 32).public, now - 60, now + 3_600).sign(keys.key)
            for i in range(2, 14)
        ]
        keys.chain = Chain((), (*others, *keys.chain.online_keys))
        assert sum(map(len, keys.chain.online_keys)) > MAX_DATAGRAM_BYTES
        async with serving(keys=keys) as server, udp_client(server.address) as client:
            for i in range(20):
                assert (await client.resolve(name(i))).url == url(i)
            assert over_tcp(client) == 1

    run(main())


def test_a_request_is_padded_for_a_full_answer() -> None:
    for length in range(1, MAX_IDENTIFIER_BYTES + 1):
        identifier = b"x" * length
        wire = encode_request(Op.RESOLVE, 1, identifier, 0, _padding(identifier))
        assert UDP_REQUEST_BYTES <= len(wire) <= max(UDP_REQUEST_BYTES + 1, length + 17)


@pytest.mark.parametrize(("more", "accepted"), [(0, 0), (1, 1)])
@pytest.mark.usefixtures("calm")
def test_the_largest_datagram(more: int, accepted: int) -> None:
    async def main() -> None:
        store = filled(1)
        size = 1_000
        put(store, f"{ZONE}/large", Value(1, "T", b"x" * size))
        body = store.get(f"{ZONE}/large".encode())
        assert body is not None
        size += MAX_DATAGRAM_BYTES - 105 - 14 - len(body) + more
        put(store, f"{ZONE}/large", Value(1, "T", b"x" * size))
        async with serving(store) as server, udp_client(server.address) as client:
            assert len((await client.resolve(f"{ZONE}/large")).values[0].data) == size
            assert server.accepted == accepted

    run(main())


# Time and memory -------------------------------------------------------------------------------------


@EACH_LOOP
def test_nobody_answers_by_either_way(loop: str) -> None:
    """Not even many repetitions make a call longer than its time."""

    async def main() -> None:
        hangs = bind("127.0.0.1", 0, socket.SOCK_STREAM)
        hangs.listen()
        port = hangs.getsockname()[1]
        with hangs, bind("127.0.0.1", port, socket.SOCK_DGRAM):
            async with udp_client(f"127.0.0.1:{port}", retries=30, timeout=0.5) as client:
                begin = time.monotonic()
                with pytest.raises(Unreachable, match=r"within 0\.5 s"):
                    await client.resolve(name(1))
                assert time.monotonic() - begin < 5.0  # with half a second for each repetition it took 15
                assert outstanding(client) == 0

    run(main(), loop)


def test_when_every_datagram_is_lost_tcp_is_asked_and_then_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving() as server:
            asyncio.get_running_loop().remove_reader(server._datagrams.fileno())
            async with udp_client(server.address, retries=0, timeout=2.0) as client:
                asked = 0
                ask = DatagramConnection.ask

                def count(connection: DatagramConnection, question: Any) -> None:
                    nonlocal asked
                    asked += 1
                    ask(connection, question)

                monkeypatch.setattr(DatagramConnection, "ask", count)
                for i in range(5):
                    assert (await client.resolve(name(i))).url == url(i)
                assert (asked, server.accepted) == (1, 1)
                datagrams(client)._rest_until = 0.0  # the rest is over
                asyncio.get_running_loop().add_reader(server._datagrams.fileno(), server.door.on_readable)
                assert (await client.resolve(name(6))).url == url(6)
                assert asked == 2
                assert datagrams(client)._heard > 0

    run(main())


def test_a_call_given_up_leaves_nothing() -> None:
    async def main() -> None:
        async with a_line(None, nowhere) as line, udp_client(line.address) as client:
            tasks = [asyncio.create_task(client.resolve(name(i))) for i in range(100)]
            await until(lambda: len(line.asked) >= 100)
            assert outstanding(client) >= 100
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert outstanding(client) == 0

    run(main())


def test_requests_for_the_chain_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.client.datagram.CHAIN_PAUSE_S", 0.001)
    monkeypatch.setattr("resolver.client.datagram.CHAIN_LIFE_S", 0.1)

    async def main() -> None:
        def unknown(line: Line, data: bytes) -> None:
            if data[1] == Op.RESOLVE:
                response = encode_response(int.from_bytes(data[3:11], "big"), Status.NOT_FOUND, 300)
                line.to_client(sealed(data, response, key=SigningKey(b"u" * 32)))

        async with a_line(None, unknown) as line:
            connection = await DatagramConnection.open(parse_address(line.address), Verifier(KEYS.anchor))
            question = Question(name(1).encode())
            connection.ask(question)
            for count in range(1, 30):
                await until(lambda: line.count(Op.CHAIN) >= count)  # noqa: B023
                assert len(connection._chains_asked) <= 8
                assert connection.exchange.outstanding == len(connection._chains_asked) + 1
            question.close()
            assert not connection._kept
            assert connection.exchange.outstanding == len(connection._chains_asked)
            connection.close()

    run(main())


@pytest.mark.usefixtures("calm")
def test_a_lost_chain_is_asked_for_again() -> None:
    """The answers that wait for it are not asked for again."""

    async def main() -> None:
        def there(line: Line, data: bytes) -> None:
            if data[1] != Op.CHAIN or line.count(Op.CHAIN) > 3:
                line.to_server(data)

        async with serving() as server, a_line(server, there) as line, udp_client(line.address) as client:
            answers = await asyncio.gather(*(client.resolve(name(i)) for i in range(10)))
            assert [answer.url for answer in answers] == [url(i) for i in range(10)]
            assert line.count(Op.RESOLVE) == 10
            assert line.count(Op.CHAIN) >= 4

    run(main())
