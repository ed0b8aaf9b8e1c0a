"""The SDK against true servers and against those that lie, hang, break off and lose datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from protocol.errors import BiaoshiError, IdentifierError, MessageError, NotVerified, Refused, Unreachable
from protocol.framing import MessageStream
from protocol.limits import MAX_LIST
from protocol.messages import Op, encode_response
from protocol.receipts import verify_receipt
from protocol.records import State, Value, encode_body, encode_values
from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import CLOCK_AHEAD, CLOCK_BEHIND
from registry.store.memory import MemoryStore
from resolver.client import Client, SyncClient, UnverifiedClient, resolving
from tests.resolver.servers import ZONE, Server, ZoneKeys, filled, name, put, run, serving, url

KEYS = ZoneKeys()


# True servers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("udp", [False, True])
def test_present_absent_withdrawn_foreign(udp: bool) -> None:
    async def main() -> None:
        async with serving() as server, Client(server.address, anchor=KEYS.anchor, udp=udp) as client:
            answer = await client.resolve(name(5))
            assert (answer.found, answer.url, answer.ttl) == (True, url(5), 86_400)
            assert answer.proof.zone.prefix == ZONE
            absent = await client.resolve(f"{ZONE}/absent")
            assert (absent.status, absent.record, absent.ttl) == (Status.NOT_FOUND, None, 300)
            with pytest.raises(Refused) as refused:
                absent.require()
            assert refused.value.status is Status.NOT_FOUND
            with pytest.raises(Refused):
                await client.resolve("88.119/x")
            for bad in ("no slash", f"{ZONE}/\udcff", ""):
                with pytest.raises(IdentifierError):
                    await client.resolve(bad)

    run(main())


def test_over_udp_what_does_not_fit_comes_over_tcp() -> None:
    async def main() -> None:
        store = filled(10)
        put(store, f"{ZONE}/long", Value(1, "T", b"x" * 9_000))
        async with serving(store) as server, Client(server.address, anchor=KEYS.anchor, udp=True) as client:
            assert (await client.resolve(name(1))).url == url(1)
            assert server.accepted == 0
            assert (await client.resolve(f"{ZONE}/long")).values[0].data == b"x" * 9_000
            assert server.accepted == 1

    run(main())


@pytest.mark.parametrize("connections", [1, 3])
def test_many_in_order_with_few_requests_under_way(connections: int) -> None:
    async def main() -> None:
        taken = 0

        def wanted() -> list[str]:
            return [name(i % 1_100) for i in range(10_000)]

        async def source() -> AsyncIterator[str]:
            nonlocal taken
            for one in wanted():
                taken += 1
                yield one

        async with (
            serving() as server,
            Client(server.address, anchor=KEYS.anchor, connections=connections) as client,
        ):
            given = 0
            async with contextlib.aclosing(client.resolve_many(source())) as answers:
                async for answer in answers:
                    number = given % 1_100
                    assert answer.identifier == name(number)
                    assert answer.url == (url(number) if number < 1_000 else None)
                    given += 1
                    assert taken - given <= 2_000
            assert given == 10_000
            assert server.accepted == connections

    run(main())


def test_many_whose_records_do_not_fit_one_answer() -> None:
    async def main() -> None:
        async with serving(filled(200, size=16_000)) as server, Client(server.address, anchor=KEYS.anchor) as client:
            answers = [answer async for answer in client.resolve_many(name(i) for i in range(200))]
            assert [answer.url for answer in answers] == [url(i) for i in range(200)]

    run(main())


def test_leaving_off_many_leaves_a_usable_client() -> None:
    async def main() -> None:
        async with serving() as server, Client(server.address, anchor=KEYS.anchor) as client:
            async with contextlib.aclosing(client.resolve_many(name(i % 1_000) for i in range(5_000))) as answers:
                async for answer in answers:
                    assert answer.found
                    break
            assert (await client.resolve(name(2))).url == url(2)

    run(main())


def test_list_status_ping_and_receipt() -> None:
    async def main() -> None:
        async with serving() as server, Client(server.address, anchor=KEYS.anchor) as client:
            await client.ping()
            assert (await client.status())["registered"] == 1_000
            names, cursor = await client.list_page(ZONE, None, 10)
            more, _ = await client.list_page(ZONE, cursor, MAX_LIST)
            assert len({*names, *more}) == 1_000
            with pytest.raises(Refused):
                await client.list_page("88.119")
            answer, receipt = await client.receipt(name(3))
            assert verify_receipt(receipt, KEYS.anchor).answer == answer
            with pytest.raises(BiaoshiError):
                verify_receipt(receipt.replace(b"https", b"httpx"), KEYS.anchor)

    run(main())


def test_without_seals_where_it_is_allowed() -> None:
    async def main() -> None:
        async with serving(unsealed=True) as server, UnverifiedClient(server.address) as client:
            answer = await client.resolve(name(1))
            assert answer.url == url(1)
            assert not hasattr(answer, "proof")
            answers = [one async for one in client.resolve_many(name(i) for i in range(500))]
            assert [one.url for one in answers] == [url(i) for i in range(500)]

    run(main())


def test_sync_client() -> None:
    """The same without await, from several threads."""
    started: list[Server] = []
    ready, done = threading.Event(), threading.Event()

    async def main() -> None:
        async with serving() as server:
            started.append(server)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    try:
        assert ready.wait(5)
        with SyncClient(started[0].address, anchor=KEYS.anchor) as client:
            assert client.resolve(name(1)).url == url(1)
            assert [one.url for one in client.resolve_many(name(i) for i in range(900))] == [url(i) for i in range(900)]
            _, receipt = client.receipt(name(2))
            assert verify_receipt(receipt, KEYS.anchor).answer.url == url(2)
            assert client.status()["zone"] == ZONE
            assert len(client.list_page(ZONE)[0]) == 1_000
            with pytest.raises(IdentifierError):
                client.resolve("x")
        with (
            pytest.raises(NotVerified),
            SyncClient(started[0].address, anchor=ZoneKeys(seed=9).anchor) as client,
        ):
            client.resolve(name(1))
    finally:
        done.set()
        thread.join()


# Keys that change ------------------------------------------------------------------------------------


def test_online_key_changes_on_an_open_connection() -> None:
    async def main() -> None:
        keys = ZoneKeys()
        async with serving(keys=keys) as server, Client(server.address, anchor=keys.anchor) as client:
            first = await client.resolve(name(1))
            keys.renew(77)
            server.turn.key = keys.online
            object.__setattr__(server.facts, "chain", keys.chain)
            answers = [one async for one in client.resolve_many(name(i) for i in range(1_000))]
            assert [one.url for one in answers] == [url(i) for i in range(1_000)]
            second = await client.resolve(name(1))
            assert second.proof.key.key.id == keys.online.public.id != first.proof.key.key.id
            _, receipt = await client.receipt(name(2))
            assert verify_receipt(receipt, keys.anchor).proof.key == second.proof.key
            assert server.accepted == 1

    run(main())


def test_online_key_that_nobody_vouches_for() -> None:
    async def main() -> None:
        keys = ZoneKeys()
        async with serving(keys=keys) as server, Client(server.address, anchor=keys.anchor, timeout=1) as client:
            assert (await client.resolve(name(1))).found
            server.turn.key = SigningKey(bytes(32))
            with pytest.raises(NotVerified):
                await client.resolve(name(1))

    run(main())


@pytest.mark.parametrize(("shift_s", "right"), [(-290, True), (290, True), (-310, False), (310, False)])
def test_time_of_a_seal(shift_s: int, right: bool) -> None:
    async def main() -> None:
        async with serving() as server, Client(server.address, anchor=KEYS.anchor) as client:
            server.clock_ms = shift_s * 1_000
            if right:
                assert (await client.resolve(name(1))).url == url(1)
                return
            with pytest.raises(NotVerified) as caught:
                await client.resolve(name(1))
            assert caught.value.rule is (CLOCK_AHEAD if shift_s > 0 else CLOCK_BEHIND)
            assert caught.value.details["seconds"] in (abs(shift_s), abs(shift_s) - 1, abs(shift_s) + 1)

    run(main())


# Lies ------------------------------------------------------------------------------------------------


class Liar:
    """A server that has the zone's keys at hand and answers as it is told."""

    def __init__(self, lie: Callable[[Liar, int, bytes, asyncio.StreamWriter], None]) -> None:
        self.lie = lie
        self.store = filled(100)
        self.asked = 0
        self.kept: list[tuple[bytes, bytes]] = []

    def true(self, rid: int, identifier: bytes) -> bytes:
        return encode_response(rid, Status.OK, self.store.get(identifier))

    @staticmethod
    def sealed(request: bytes, response: bytes, key: SigningKey = KEYS.online, late_ms: int = 0) -> bytes:
        [seal] = seal_turn([1], [leaf(request, response)], key, time.time_ns() // 1_000_000 - late_ms)
        return response + seal

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = MessageStream()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                stream.feed(data)
                for message, wire in stream.take_each():
                    assert isinstance(message, tuple)
                    op, rid = message[:2]
                    if op == Op.CHAIN:
                        writer.write(self.sealed(wire, encode_response(rid, Status.OK, KEYS.chain)))
                    else:
                        self.asked += 1
                        self.lie(self, rid, wire, writer)
        writer.close()


@contextlib.asynccontextmanager
async def lying(lie: Callable[[Liar, int, bytes, asyncio.StreamWriter], None]) -> AsyncIterator[tuple[Liar, str]]:
    liar = Liar(lie)
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield liar, f"127.0.0.1:{port}"
    finally:
        server.close()
        await asyncio.sleep(0)


TRUE_NAME = name(1).encode()
OTHER_BODY = encode_body(1, State.ACTIVE, 1, encode_values([Value(1, "URL", b"https://evil.example")]))


def _another_record_after_sealing(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    true = liar.true(rid, TRUE_NAME)
    sealed = liar.sealed(wire, true)
    writer.write(encode_response(rid, Status.OK, OTHER_BODY) + sealed[len(true) :])


def _absence_after_sealing(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    true = liar.true(rid, TRUE_NAME)
    writer.write(encode_response(rid, Status.NOT_FOUND, 300) + liar.sealed(wire, true)[len(true) :])


def _answer_to_another_question(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    other = wire.replace(TRUE_NAME, name(2).encode())
    other = other.replace(name(2).encode(), name(2).encode())
    writer.write(liar.sealed(other, liar.true(rid, name(2).encode())))


def _answer_of_another_rid(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid ^ 1, TRUE_NAME)))


def _replayed(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    """An old answer, sealed for an earlier request, with the new rid put in."""
    old = wire[:3] + (rid ^ 5).to_bytes(8, "big") + wire[11:]
    sealed = liar.sealed(old, liar.true(rid ^ 5, TRUE_NAME))
    writer.write(sealed[:2] + rid.to_bytes(8, "big") + sealed[10:])


def _stale(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid, TRUE_NAME), late_ms=400_000))


def _from_the_future(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid, TRUE_NAME), late_ms=-400_000))


def _other_key(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid, TRUE_NAME), key=SigningKey(b"o" * 32)))


def _other_key_under_the_right_name(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    true = liar.true(rid, TRUE_NAME)
    forged = liar.sealed(wire, true, key=SigningKey(b"o" * 32))
    writer.write(forged.replace(SigningKey(b"o" * 32).public.id, KEYS.online.public.id))


def _without_a_seal(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.true(rid, TRUE_NAME))


def _one_answer_slipped_in(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(encode_response(rid, Status.OK, OTHER_BODY) + liar.sealed(wire, liar.true(rid, TRUE_NAME)))


def _no_record(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, encode_response(rid, Status.OK, b"\x94\x01")))


def _odd_payload(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, encode_response(rid, Status.OK, None)))


def _cut(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid, TRUE_NAME))[:-1])
    writer.close()


def _closes(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.true(rid, TRUE_NAME)[:5])
    writer.transport.abort()


def _never_answers(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    pass


def _rubbish(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xc1" * 100)


def _no_response(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x93\x01\xa1x\xc0")


LIES: dict[Callable[[Liar, int, bytes, asyncio.StreamWriter], None], tuple[type[BiaoshiError], ...]] = {
    _another_record_after_sealing: (NotVerified,),
    _absence_after_sealing: (NotVerified,),
    _answer_to_another_question: (NotVerified,),
    _answer_of_another_rid: (NotVerified,),
    _replayed: (NotVerified,),
    _stale: (NotVerified,),
    _from_the_future: (NotVerified,),
    _other_key: (NotVerified,),
    _other_key_under_the_right_name: (NotVerified,),
    _without_a_seal: (Unreachable,),
    _one_answer_slipped_in: (NotVerified,),
    _no_record: (BiaoshiError,),
    _odd_payload: (MessageError,),
    _cut: (Unreachable,),
    _closes: (Unreachable,),
    _never_answers: (Unreachable,),
    _rubbish: (MessageError,),
    _no_response: (MessageError,),
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__.strip("_"))
def test_a_lie_is_never_an_answer(lie: Callable[[Liar, int, bytes, asyncio.StreamWriter], None]) -> None:
    async def main() -> None:
        async with lying(lie) as (liar, address), Client(address, anchor=KEYS.anchor, timeout=0.6, retries=1) as client:
            begin = time.monotonic()
            with pytest.raises(LIES[lie]):
                await client.resolve(TRUE_NAME.decode())
            assert time.monotonic() - begin < 2.0
            assert liar.asked >= 1
            with pytest.raises(LIES[lie]):
                [one async for one in client.resolve_many([TRUE_NAME.decode()])]

    run(main())


def _truly(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(liar.sealed(wire, liar.true(rid, TRUE_NAME)))


def test_the_simulator_can_tell_the_truth() -> None:
    async def main() -> None:
        async with lying(_truly) as (_, address), Client(address, anchor=KEYS.anchor) as client:
            assert (await client.resolve(TRUE_NAME.decode())).url == url(1)

    run(main())


# Time-outs, repetitions, other servers ---------------------------------------------------------------


def test_nobody_there() -> None:
    async def main() -> None:
        async with serving() as server:
            dead = server.address
        for options in ({}, {"udp": True}):
            async with Client(dead, anchor=KEYS.anchor, timeout=1.0, **options) as client:
                with pytest.raises(Unreachable, match="Is the node running"):
                    await client.resolve(name(1))
                with pytest.raises(Unreachable):
                    [one async for one in client.resolve_many(name(i) for i in range(3_000))]

    run(main())


@pytest.mark.parametrize("lie", [_closes, _never_answers])
def test_another_server_takes_over(lie: Callable[[Liar, int, bytes, asyncio.StreamWriter], None]) -> None:
    async def main() -> None:
        async with (
            serving() as server,
            lying(lie) as (liar, address),
            Client([address, server.address], anchor=KEYS.anchor, timeout=3.0) as client,
        ):
            for i in range(3):
                assert (await client.resolve(name(i))).url == url(i)
            assert liar.asked

    run(main())


def test_a_server_that_hangs_is_not_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "REST_S", 0.3)

    async def main() -> None:
        async with (
            serving() as server,
            lying(_never_answers) as (liar, address),
            Client([address, server.address], anchor=KEYS.anchor, timeout=0.6, retries=1) as client,
        ):
            for i in range(20):
                assert (await client.resolve(name(i))).url == url(i)
            assert liar.asked <= 4, "once, and again when its rest was over"
            liar.lie = _truly
            async with asyncio.timeout(5):
                while liar.asked < 20:  # it is back, and is asked in its turn
                    assert (await client.resolve(TRUE_NAME.decode())).found

    run(main())


def test_all_that_rest_are_tried() -> None:
    async def main() -> None:
        async with serving() as server, Client([server.address, "127.0.0.1:1"], anchor=KEYS.anchor) as client:
            client._resting = dict.fromkeys(client._servers, float("inf"))
            tried = {client._next_server(0.0) for _ in range(2)}
            assert tried == set(client._servers)

    run(main())


def test_a_server_that_lies_is_passed_over() -> None:
    async def main() -> None:
        thief = ZoneKeys(seed=9)
        async with serving(keys=thief) as liar, serving() as server:
            async with Client([liar.address, server.address], anchor=KEYS.anchor) as client:
                for number in range(6):
                    assert (await client.resolve(name(number))).url == url(number)
            async with Client([liar.address, "127.0.0.1:1"], anchor=KEYS.anchor) as client:
                with pytest.raises(NotVerified):  # the lie is told of, and not that another server is dead
                    await client.resolve(name(1))

    run(main())


def test_refused_for_now_is_asked_again() -> None:
    def busy_at_first(liar: Liar, rid: int, wire: bytes, writer: asyncio.StreamWriter) -> None:
        response = encode_response(rid, Status.OVERLOADED, None) if liar.asked < 3 else liar.true(rid, TRUE_NAME)
        writer.write(liar.sealed(wire, response))

    async def main() -> None:
        async with lying(busy_at_first) as (liar, address), Client(address, anchor=KEYS.anchor) as client:
            assert (await client.resolve(TRUE_NAME.decode())).url == url(1)
            assert liar.asked == 3
            liar.asked = -10
            with pytest.raises(Refused) as refused:
                await client.resolve(TRUE_NAME.decode())
            assert refused.value.status is Status.OVERLOADED

    run(main())


def test_a_server_that_comes_back() -> None:
    async def main() -> None:
        first = Server(filled(), KEYS)
        await first.start()
        async with Client(first.address, anchor=KEYS.anchor, retries=4) as client:
            assert (await client.resolve(name(1))).url == url(1)
            await first.stop()
            with pytest.raises(Unreachable):
                await client.resolve(name(1))
            second = Server(filled(), KEYS)
            await second.start(first.port)
            assert (await client.resolve(name(2))).url == url(2)
            await second.stop()

    run(main())


def test_an_empty_store_answers_too() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as server, Client(server.address, anchor=KEYS.anchor) as client:
            assert (await client.resolve(name(1))).status is Status.NOT_FOUND
            assert await client.list_page(ZONE) == ([], None)
            assert [one async for one in client.resolve_many([])] == []

    run(main())
