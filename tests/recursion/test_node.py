"""A recursive node on loopback, through top, secondary and enterprise: what it answers, at once and later."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from typing import Any

import pytest

from protocol.errors import NotVerified, Refused
from protocol.exchange import Evidence, Reply
from protocol.framing import split
from protocol.limits import MAX_DATAGRAM_BYTES, UDP_REQUEST_BYTES
from protocol.messages import Ask, Op, encode_request
from protocol.receipts import verify_receipt
from protocol.records import Value, encode_values
from protocol.relays import read_evidence, read_relayed
from protocol.series import parse_series
from protocol.status import Status
from protocol.trust import Verifier
from registry.store.allotments import Stage
from registry.store.series import series_identifier
from registry.store.writes import ANY, SUSPEND, Write
from resolver.client import Client, UnverifiedClient
from resolver.recursion import answering, recursion
from resolver.recursion.recursion import answer_parts
from tests.recursion.tree import ENTERPRISE, PUMP, SECONDARY, TOP, RecursiveNode, Tree, province, recursive
from tests.registry.store.builders import allot
from tests.resolver.servers import LOOPS, NOW, Peer, ZoneKeys, put, run

BOTH = pytest.mark.parametrize("loop", LOOPS)


def count(tree: Tree, zone: str) -> Counter[str]:
    """Counts what a zone's servers are asked one at a time, by name of the operation."""
    asked: Counter[str] = Counter()
    for server in tree.zones[zone].servers:
        _count(server.answerer, asked)
    return asked


def _count(answerer: Any, asked: Counter[str]) -> None:
    original = answerer.one

    def one(request: Any) -> bytes:
        asked[Op(request[0]).name] += 1
        answer: bytes = original(request)
        return answer

    answerer.one = one


def peer(node: RecursiveNode, **options: Any) -> Peer:
    """A plain client of the node, with the node's own anchor."""
    return Peer(node, **options)  # type: ignore[arg-type]


@BOTH
@pytest.mark.parametrize("way", ["proof", "own anchor"])
def test_every_kind_of_answer(loop: str, way: str) -> None:
    """The first time from the authorities, the second time from the cache."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            store = tree.zones[ENTERPRISE].store
            store.apply([Write(f"{ENTERPRISE}/P2".encode(), ANY, None)], NOW)
            series = parse_series(f"{ENTERPRISE}/S{{0..9}}")
            kept = encode_values([Value(1, "URL", b"https://example.cn/{suffix}")])
            store.apply([Write(series_identifier(series), ANY, kept)], NOW)
            store.apply([Write(f"{ENTERPRISE}/S3".encode(), ANY, SUSPEND)], NOW)
            anchor = tree.anchor if way == "proof" else node.keys.anchor
            zones = {PUMP: ENTERPRISE, f"{SECONDARY}.5/S1": SECONDARY, f"{TOP}.9/x": TOP}
            misses = []
            async with Client(node.address, anchor=anchor) as client:
                for _ in range(2):
                    for name, zone in zones.items():
                        answer = await client.resolve(name)
                        assert answer.proof.zone.prefix == (zone if way == "proof" else "")
                        assert not answer.stale
                    assert (await client.resolve(PUMP)).url == "https://example.cn/1"
                    assert (await client.resolve(f"{ENTERPRISE}/P2")).status is Status.WITHDRAWN
                    assert (await client.resolve(f"{ENTERPRISE}/absent")).status is Status.NOT_FOUND
                    assert (await client.resolve(f"{ENTERPRISE}/S7")).url == "https://example.cn/S7"
                    assert (await client.resolve(f"{ENTERPRISE}/S3")).status is Status.SUSPENDED
                    assert (await client.resolve(f"{TOP}.9/x")).status is Status.NOT_FOUND
                    names = [
                        *zones,
                        f"{ENTERPRISE}/P2",
                        f"{ENTERPRISE}/absent",
                        *[f"{ENTERPRISE}/P{n}" for n in range(90)],
                    ]
                    many = [answer async for answer in client.resolve_many(names)]
                    assert [one.identifier for one in many] == names
                    assert many[0].url == many[6].url == "https://example.cn/1"
                    misses.append(node.cache.counters.misses)
                with pytest.raises(Refused) as caught:
                    await client.resolve("99.1/x")
                assert caught.value.status is Status.NOT_RESPONSIBLE
            assert misses[0] == misses[1] == node.cache.counters.misses, "the second time all is known"
            assert node.recursion.asking == 0

    run(main(), loop)


@BOTH
def test_prefixes_in_any_spelling(loop: str) -> None:
    async def main() -> None:
        async with province() as tree:
            store = (await tree.add("88.118.ABC", SECONDARY)).store
            put(store, "88.118.ABC/x", Value(1, "URL", b"https://abc.cn"))
            async with recursive(tree) as node, peer(node) as client:
                for spelling in ("88.118.abc/x", "88.118.aBc/x", "88.118.ABC/x"):
                    assert (await client.answer(spelling)).url == "https://abc.cn"
                assert (await client.answer("88.118.abc/X")).status is Status.NOT_FOUND
                assert node.cache.counters.misses == 2
                assert node.cache.counters.hits == 2

    run(main(), loop)


@BOTH
def test_pipelines_of_what_is_known_and_what_is_not(loop: str) -> None:
    """Runs of one length, of several, with and without proof: every question gets its answer, under seals that hold."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            verifier = Verifier(tree.anchor)
            for number in range(0, 100, 7):
                await client.answer(f"{ENTERPRISE}/P{number}")
            names = [f"{ENTERPRISE}/P{number}" for number in range(100)] * 3
            flags: list[tuple[int, ...]] = [(), (), (int(Ask.PROOF),), (int(Ask.ALONE),), (int(Ask.ALONE | Ask.PROOF),)]
            for turn in range(3):
                asked: dict[int, tuple[str, tuple[int, ...]]] = {}
                wires = []
                for place, name in enumerate(names):
                    more = flags[0] if turn == 0 else flags[2] if turn == 1 else flags[place % len(flags)]
                    rid, wire = client.exchange.ask(Op.RESOLVE, name.encode(), *more)
                    asked[rid] = (name, more)
                    wires.append(wire)
                client.writer.write(b"".join(wires))
                for reply in await client.take(len(names)):
                    name, more = asked.pop(reply.rid)
                    if more and more[0] & Ask.PROOF:
                        evidence = read_evidence(reply.payload)
                        if not verifier.knows(split(evidence.seal)[0][0][3]):  # type: ignore[index]
                            chain = node.iteration.chain(ENTERPRISE)
                            assert chain is not None
                            verifier.learn(chain, Peer._now())
                        answer = read_relayed(name.encode(), evidence, verifier, Peer._now())
                        assert answer.url == f"https://example.cn/{name.rpartition('P')[2]}"
                    else:
                        assert reply.status == Status.OK
                    if more and more[0] & Ask.ALONE:
                        assert reply.evidence is not None
                assert not asked
            assert node.cache.counters.misses >= 100, "some waited for the same answer"

    run(main(), loop)


@BOTH
def test_who_sends_no_more_still_gets_what_is_answered_later(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as asking:
            asking.writer.write(asking.resolve(PUMP))
            asking.writer.write_eof()
            [reply] = await asking.take(1)
            assert reply.status == Status.OK
            assert await asking.reader.read() == b""

    run(main(), loop)


@BOTH
def test_identical_questions_are_asked_once(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            asked = {zone: count(tree, zone) for zone in (TOP, SECONDARY, ENTERPRISE)}
            async with contextlib.AsyncExitStack() as stack:
                peers = [await stack.enter_async_context(peer(node, first_rid=1_000 * n)) for n in range(5)]
                for one in peers:
                    one.writer.write(b"".join(one.resolve(PUMP) for _ in range(20)))
                for one in peers:
                    assert {reply.status for reply in await one.take(20)} == {Status.OK}
            assert [asked[zone]["RESOLVE"] for zone in (TOP, SECONDARY, ENTERPRISE)] == [1, 1, 1]
            assert node.cache.counters.misses == 100

    run(main(), loop)


@BOTH
def test_a_resolve_many_with_all_kinds(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            names = [PUMP, f"{ENTERPRISE}/absent", "99/x", "no-slash", f"{SECONDARY}.5/S1", PUMP]
            for _ in range(2):
                reply = await client.ask(Op.RESOLVE_MANY, [name.encode() for name in names])
                assert isinstance(reply.payload, tuple)
                body, absent, foreign, malformed, hosted, again = reply.payload
                assert isinstance(body, bytes)
                assert isinstance(hosted, bytes)
                assert again == body
                assert absent == (Status.NOT_FOUND, 300)
                assert foreign == (Status.NOT_RESPONSIBLE, None)
                assert malformed[0] == Status.BAD_IDENTIFIER
            assert (await client.ask(Op.RESOLVE_MANY, [])).payload == ()
            assert (await client.ask(Op.RESOLVE_MANY, [PUMP.encode()] * 1_001)).status == Status.TOO_LARGE
            for wrong in ((), (7,), ([7],), ([b"x"], 1)):
                assert (await client.ask(Op.RESOLVE_MANY, *wrong)).status == Status.BAD_REQUEST

    run(main(), loop)


@BOTH
def test_what_does_not_fit_one_message_is_told(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            for number in range(50):
                put(tree.zones[ENTERPRISE].store, f"{ENTERPRISE}/L{number}", *[
                    Value(index, "TEXT", b"x" * 16_000) for index in (1, 2)
                ])  # fmt: skip
            names = [f"{ENTERPRISE}/L{number}".encode() for number in range(50)]
            items = (await client.ask(Op.RESOLVE_MANY, names)).payload
            assert isinstance(items, tuple)
            assert isinstance(items[0], bytes)
            assert items[-1] == (Status.TRUNCATED, None)
            async with Client(node.address, anchor=node.keys.anchor) as whole:
                answers = [answer async for answer in whole.resolve_many(name.decode() for name in names)]
                assert all(len(answer.values) == 2 for answer in answers)

    run(main(), loop)


@BOTH
def test_over_udp(loop: str) -> None:
    """Plain and with proof, known and not, several at once; what does not fit says so; garbage gets nothing."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            put(tree.zones[ENTERPRISE].store, f"{ENTERPRISE}/long", Value(1, "TEXT", b"x" * 2_000))
            loop_ = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(("127.0.0.1", node.port))

                async def ask(name: str, flags: int) -> Reply | Any:
                    padding = bytes(UDP_REQUEST_BYTES - 18 - len(name))
                    _, wire = client.exchange.ask(Op.RESOLVE, name.encode(), flags, padding)
                    await loop_.sock_sendall(sock, wire)
                    data = await asyncio.wait_for(loop_.sock_recv(sock, 65_536), 20)
                    assert len(data) <= MAX_DATAGRAM_BYTES
                    [reply] = client.exchange.receive_datagram(data, Peer._now())
                    return reply

                await loop_.sock_sendall(sock, b"\x00garbage")
                for flags in (0, int(Ask.PROOF), int(Ask.ALONE)):
                    for _ in range(2):
                        reply = await ask(PUMP, flags)
                        assert reply.status == Status.OK
                        assert isinstance(reply.payload, bytes if flags != Ask.PROOF else tuple)
                        assert (await ask(f"{ENTERPRISE}/long", flags)).status == Status.TRUNCATED
                wires = [
                    client.exchange.ask(Op.RESOLVE, f"{ENTERPRISE}/P{number:02}".encode(), 0, bytes(370))[1]
                    for number in (*range(10, 40), *range(10, 40))
                ]
                for wire in wires:
                    await loop_.sock_sendall(sock, wire)
                replies = []
                while len(replies) < len(wires):
                    data = await asyncio.wait_for(loop_.sock_recv(sock, 65_536), 20)
                    replies += client.exchange.receive_datagram(data, Peer._now())
                assert {reply.status for reply in replies} == {Status.OK}

    run(main(), loop)


@BOTH
def test_operations_beside_resolving(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            hello = await client.ask(Op.HELLO, 1)
            assert hello.payload[2:4] == (b"recursive", b"")  # type: ignore[index]
            assert (await client.ask(Op.PING)).status == Status.OK
            assert (await client.ask(Op.CHAIN)).payload == ((), node.keys.chain.online_keys)
            assert (await client.ask(Op.CHAIN, b"", b"99.1")).status == Status.NOT_FOUND
            assert (await client.ask(Op.CHAIN, b"", b"88..1")).status == Status.BAD_IDENTIFIER
            assert (await client.ask(Op.CHAIN, b"", 7)).status == Status.BAD_REQUEST
            own = await client.ask(Op.CHAIN, b"", ENTERPRISE.encode())
            chain = tree.zones[ENTERPRISE].keys.chain
            assert own.payload == (chain.delegations, chain.online_keys), "looked for where it is not known"
            top = await client.ask(Op.CHAIN, b"", b"")
            assert top.payload == ((), tree.zones[TOP].keys.chain.online_keys) or top.status == Status.NOT_FOUND
            assert (await client.ask(Op.LIST, b"88", None, 10)).status == Status.UNKNOWN_OPERATION
            assert (await client.ask(Op.RESOLVE)).status == Status.BAD_REQUEST
            assert (await client.ask(Op.RESOLVE, 7)).status == Status.BAD_REQUEST
            assert (await client.ask(Op.RESOLVE, b"no-slash", 0)).status == Status.BAD_IDENTIFIER
            assert (await client.ask(Op.RESOLVE, b"99/x", int(Ask.PROOF))).status == Status.NOT_RESPONSIBLE
            assert (await client.ask(Op.RESOLVE, PUMP.encode(), 0, b"", b"")).status == Status.BAD_REQUEST
            assert (await client.ask(Op.TRACE, b"no-slash")).status == Status.BAD_IDENTIFIER
            assert (await client.ask(Op.TRACE)).status == Status.BAD_REQUEST
            status = (await client.ask(Op.STATUS)).payload
            assert isinstance(status, dict)
            assert status[b"role"] == b"recursive"
            assert {b"hits", b"misses", b"stale", b"prefetches", b"evictions", b"cache_bytes"} <= status.keys()

    run(main(), loop)


@BOTH
def test_traces_are_bounded_as_questions_are(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recursion, "MAX_ASKING", 5)

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            await client.ask(Op.RESOLVE, PUMP.encode())
            names = [f"{ENTERPRISE}/none-{number}".encode() for number in range(30)]
            client.writer.write(b"".join(client.exchange.ask(Op.TRACE, name)[1] for name in names))
            steps = [len(reply.payload) for reply in await client.take(30)]  # type: ignore[arg-type]
            assert (steps.count(0), len(steps)) == (25, 30)

    run(main(), loop)


@BOTH
def test_steps(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            async with Client(node.address, anchor=tree.anchor) as client:
                traced = await client.trace(PUMP)
                assert traced.told
                assert [step.zone for step in traced.steps] == [TOP, SECONDARY, ENTERPRISE]
                assert not any(step.cached for step in traced.steps)
                assert all(step.seconds > 0 for step in traced.steps)
                assert traced.answer.proof.zone.prefix == ENTERPRISE
                [known] = (await client.trace(PUMP)).steps
                assert known.cached
                assert known.zone == ENTERPRISE
                below = await client.trace(f"{ENTERPRISE}/P2")
                assert [(step.zone, step.cached) for step in below.steps] == [(ENTERPRISE, True), (ENTERPRISE, False)]
            async with Client(node.address, anchor=node.keys.anchor) as client:
                assert (await client.trace(f"{ENTERPRISE}/P3")).told
            async with Client(str(tree.roots[0]), anchor=tree.anchor) as client:
                traced = await client.trace(PUMP)
                assert not traced.told
                assert [step.zone for step in traced.steps] == [TOP, SECONDARY, ENTERPRISE]

    run(main(), loop)


@BOTH
def test_receipts(loop: str) -> None:
    """Whatever the way, the receipt is the authority's and holds with the anchor alone."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            for address in (node.address, *(tree.zones[zone].server.address for zone in (TOP, SECONDARY, ENTERPRISE))):
                for name in (PUMP, f"{ENTERPRISE}/absent"):
                    async with Client(address, anchor=tree.anchor) as client:
                        answer, receipt = await client.receipt(name)
                        verdict = verify_receipt(receipt, tree.anchor)
                        assert verdict.answer.status is answer.status
                        assert verdict.proof.zone.prefix == ENTERPRISE
            async with Client(node.address, anchor=tree.anchor) as client:
                _, receipt = await client.receipt("88.7/x")
                assert verify_receipt(receipt, tree.anchor).proof.zone.prefix == TOP

    run(main(), loop)


@BOTH
def test_without_seals(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, UnverifiedClient(node.address) as client:
            for _ in range(2):
                assert (await client.resolve(PUMP)).url == "https://example.cn/1"
            names = [f"{ENTERPRISE}/P{number}" for number in range(50)]
            assert all([answer.found async for answer in client.resolve_many(names)])

    run(main(), loop)


@BOTH
def test_too_much_at_a_time_is_told(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MAX_WAITING", 5)

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, peer(node) as client:
            asked = count(tree, ENTERPRISE)
            client.writer.write(b"".join(client.resolve(f"{ENTERPRISE}/P{number}") for number in range(30)))
            statuses = Counter(reply.status for reply in await client.take(30))
            assert statuses == {Status.OK: 5, Status.OVERLOADED: 25}
            assert asked["RESOLVE"] == 5
            reply = await client.ask(Op.RESOLVE_MANY, [f"{ENTERPRISE}/P{number}".encode() for number in range(40, 60)])
            items = Counter(type(item) for item in reply.payload)  # type: ignore[attr-defined]
            assert items[tuple] > 0
            assert (await client.answer(f"{ENTERPRISE}/P99")).found, "afterwards all is well"

    run(main(), loop)


@BOTH
def test_a_client_that_goes_away_while_it_waits(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            async with peer(node) as client:
                client.writer.write(b"".join(client.resolve(f"{ENTERPRISE}/P{number}") for number in range(30)))
                await client.writer.drain()
                client.writer.transport.abort()
            await node.recursion.settle(20)
            async with peer(node) as client:
                assert (await client.answer(PUMP)).found

    run(main(), loop)


@BOTH
def test_a_client_with_another_anchor_gets_nothing(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            other = ZoneKeys(TOP, 66).anchor
            async with Client(node.address, anchor=other) as client:
                for ask in (client.resolve, client.receipt):
                    with pytest.raises(NotVerified):
                        await ask(PUMP)

    run(main(), loop)


def test_evidence_in_another_writers_words() -> None:
    """An authority may encode a response in any form of MessagePack: its bytes are relayed as they are."""
    for response in (
        b"\xdc\x00\x03\xcd\x00\x07\xcc\x64\xcd\x01\x2c",  # array 16, rid 7 in two bytes, 100, 300
        b"\x93\xcf" + (7).to_bytes(8, "big") + b"\xcc\x64\xcd\x01\x2c",  # 100 in two bytes
    ):
        parts = answer_parts(Evidence(encode_request(Op.RESOLVE, 7, b"88/x", 1), response, b"seal"), Status.NOT_FOUND)
        assert parts[0] == b"\x64\xcd\x01\x2c"
        [(message, _)] = split(b"\x93\x07" + b"".join(parts[1:]))
        assert message == (7, 0, (encode_request(Op.RESOLVE, 7, b"88/x", 1), response, b"seal"))


@BOTH
def test_a_suspended_prefix_through_a_recursive_node(loop: str) -> None:
    """Also where it is delegated: its parent refers nobody there any more. Resumed, it answers again."""

    async def main() -> None:
        async with province() as tree:
            secondary = tree.zones[SECONDARY].store
            for name in (PUMP, f"{SECONDARY}.5/S1"):
                prefix = name.partition("/")[0]
                secondary.apply([allot(prefix, Stage.SUSPENDED)], NOW)
                async with recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
                    for _ in range(2):
                        answer = await client.resolve(name)
                        assert (answer.status, answer.record) == (Status.SUSPENDED, None)
                        assert answer.proof.zone.prefix == SECONDARY
                secondary.apply([allot(prefix, Stage.DELEGATED)], NOW)
                async with recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
                    assert (await client.resolve(name)).found

    run(main(), loop)
