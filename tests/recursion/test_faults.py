"""What a recursive node does when servers die, hang, lie, move, or are no longer delegated; time is the node's own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from protocol.address import Address
from protocol.answers import Answer
from protocol.errors import Refused, Unresolved
from protocol.limits import DELEGATION_TTL_SECONDS
from protocol.messages import Ask, Op
from protocol.receipts import verify_receipt
from protocol.records import Value
from protocol.signatures import SigningKey
from protocol.statements import Address as Served
from protocol.statements import Delegation
from protocol.status import Status
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from resolver.client import Client
from resolver.recursion.recursion import FAILURE_SECONDS, STALE_SECONDS
from tests.recursion.tree import ENTERPRISE, PUMP, SECONDARY, TOP, RecursiveNode, province, recursive
from tests.resolver.servers import LOOPS, NOW, Peer, Server, ZoneKeys, put, run

BOTH = pytest.mark.parametrize("loop", LOOPS)
CLOSED = Served("127.0.0.1", 1, 1)
"""An address where nothing listens."""


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[Served]:
    """A server that takes everything and never answers."""
    open_: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.append(writer)
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Served("127.0.0.1", port, port)
    finally:
        server.close()
        for writer in open_:
            writer.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def babbling() -> AsyncIterator[Served]:
    """A server that answers with bytes that mean nothing."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(b"\xc1 HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Served("127.0.0.1", port, port)
    finally:
        server.close()


@contextlib.asynccontextmanager
async def impostor() -> AsyncIterator[Served]:
    """A server that claims the enterprise's zone with a key of its own."""
    keys = ZoneKeys(ENTERPRISE, 77)
    store = MemoryStore()
    put(store, PUMP, Value(1, "URL", b"https://stolen.example"))
    server = Server(store, keys)
    await server.start()
    try:
        yield Served("127.0.0.1", server.port, server.port)
    finally:
        await server.stop()


async def eventually(client: Client, holds: Callable[[Answer], bool], node: RecursiveNode | None = None) -> Answer:
    """The answer for the pump as soon as it is as wanted: a server that was dead rests for some seconds."""
    while True:
        with contextlib.suppress(Refused):
            answer = await client.resolve(PUMP)
            if holds(answer):
                return answer
        await asyncio.sleep(0.3)
        if node is not None:
            await node.pass_time(STALE_SECONDS)


@BOTH
@pytest.mark.parametrize("kind", ["closed", "silent", "babbling", "impostor", "lame", "a name that is none"])
def test_a_bad_server_is_passed_over(loop: str, kind: str) -> None:
    """It stands first in the delegation; the second one answers."""

    async def main() -> None:
        async with province() as tree, contextlib.AsyncExitStack() as stack:
            kinds = {"silent": silent, "babbling": babbling, "impostor": impostor}
            if kind in kinds:
                bad = await stack.enter_async_context(kinds[kind]())
            elif kind == "lame":
                bad = tree.zones[SECONDARY].addresses[0]
            else:
                bad = CLOSED if kind == "closed" else Served("..", 26_410, 26_410)
            tree.delegate(SECONDARY, ENTERPRISE, (bad, *tree.zones[ENTERPRISE].addresses))
            node = await stack.enter_async_context(recursive(tree))
            async with Client(node.address, anchor=tree.anchor, timeout=20) as client:
                for number in range(5):
                    answer = await client.resolve(f"{ENTERPRISE}/P{number}")
                    assert answer.url == f"https://example.cn/{number}"
                    assert answer.proof.zone.prefix == ENTERPRISE

    run(main(), loop, seconds=60)


@BOTH
@pytest.mark.parametrize("kind", ["closed", "silent", "babbling", "impostor", "lame"])
def test_where_no_server_answers_the_chain_is_named(loop: str, kind: str) -> None:
    async def main() -> None:
        async with province() as tree, contextlib.AsyncExitStack() as stack:
            kinds = {"silent": silent, "babbling": babbling, "impostor": impostor}
            if kind in kinds:
                bad = await stack.enter_async_context(kinds[kind]())
            else:
                bad = CLOSED if kind == "closed" else tree.zones[SECONDARY].addresses[0]
            tree.delegate(SECONDARY, ENTERPRISE, (bad,))
            node = await stack.enter_async_context(recursive(tree))
            async with Client(node.address, anchor=tree.anchor, timeout=20) as client:
                with pytest.raises(Refused) as caught:
                    await client.resolve(PUMP)
            rule = "recursion.lame-delegation" if kind == "lame" else "recursion.no-answer"
            assert caught.value.rule.name == rule
            assert caught.value.status is Status.UNRESOLVED
            chain = str(caught.value.details["chain"])
            assert chain.startswith(f"{TOP} [{tree.roots[0]}] → {SECONDARY} [")
            assert f"{ENTERPRISE} [127.0.0.1:{bad.tcp_port}]" in chain
            assert node.cache.find(PUMP.encode()) is not None, "the failure is remembered, briefly"
            await node.pass_time(FAILURE_SECONDS + 1)
            assert node.cache.find(PUMP.encode()) is None

    run(main(), loop, seconds=60)


@BOTH
@pytest.mark.parametrize(("to", "rule"), [(SECONDARY, "recursion.self-referral"), (TOP, "recursion.loop")])
def test_referrals_that_lead_round(loop: str, to: str, rule: str) -> None:
    """A secondary that refers to itself, or back up."""

    async def main() -> None:
        async with province() as tree:
            secondary = tree.zones[SECONDARY]
            tree.revoke(SECONDARY, ENTERPRISE)
            claim = tree.delegate(TOP, SECONDARY) if to == SECONDARY else None
            statement = (
                claim.sign(tree.zones[TOP].keys.key) if claim
                else _statement(tree.zones[TOP].keys.key, "", TOP, secondary.addresses)
            )  # fmt: skip
            secondary.store.apply([system_write(DELEGATIONS, ENTERPRISE, {"DELEGATION": statement})], NOW)
            async with recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
                with pytest.raises(Refused) as caught:
                    await client.resolve(PUMP)
                assert caught.value.rule.name == rule

    run(main(), loop)


def _statement(key: SigningKey, parent: str, child: str, addresses: tuple[Served, ...]) -> bytes:
    now = int(time.time())
    return Delegation(parent, child, 1, now - 60, now + 3_600, (key.public,), addresses).sign(key)


@BOTH
def test_stale_answers_are_given_while_a_zone_is_down(loop: str) -> None:
    """Marked as such, with the same receipt, up to the stated age; fresh again as soon as the zone is back."""

    async def main() -> None:
        async with province() as tree, recursive(tree, stale_seconds=1_000, patience=2.0) as node:
            enterprise = tree.zones[ENTERPRISE]
            put(enterprise.store, PUMP, Value(1, "URL", b"https://example.cn/short", ttl=5))
            async with (
                Client(node.address, anchor=tree.anchor, timeout=20) as client,
                Client(node.address, anchor=node.keys.anchor, timeout=20) as trusting,
                Client(node.address, anchor=tree.anchor, timeout=20, stale_seconds=0) as strict,
                Client(node.address, anchor=node.keys.anchor, timeout=20, stale_seconds=0) as strict_and_trusting,
            ):
                fresh, receipt = await client.receipt(PUMP)
                assert (fresh.stale, fresh.ttl) == (False, 5)
                port = enterprise.server.port
                await enterprise.server.stop()
                assert not (await client.resolve(PUMP)).stale, "within its TTL nobody is asked"
                await node.pass_time(6)
                before = node.cache.counters.stale
                for turn in range(3):
                    answer = await client.resolve(PUMP)
                    assert answer.stale
                    assert answer.url == "https://example.cn/short"
                    assert answer.proof.time == fresh.proof.time, "the evidence is what it was"
                    assert node.cache.counters.stale == before + turn + 1
                told = await trusting.resolve(PUMP)
                assert told.stale
                assert told.age >= 6
                assert told.url == "https://example.cn/short"
                [many] = [one async for one in trusting.resolve_many([PUMP])]
                assert many.stale
                again, same = await client.receipt(PUMP)
                assert again.stale
                assert same == receipt, "receipts are unchanged"
                assert verify_receipt(same, tree.anchor).answer.url == "https://example.cn/short"
                for one in (strict, strict_and_trusting):
                    with pytest.raises(Unresolved) as unwanted:
                        await one.resolve(PUMP)
                    assert unwanted.value.rule.name == "client.stale"
                with pytest.raises(Refused) as caught:
                    await client.resolve(f"{ENTERPRISE}/P2")
                assert caught.value.status is Status.UNRESOLVED

                await node.pass_time(1_000)
                with pytest.raises(Refused) as caught:
                    await client.resolve(PUMP)
                assert caught.value.status is Status.UNRESOLVED, "too old by now"

                enterprise.servers[0] = Server(enterprise.store, enterprise.keys)
                await enterprise.server.start(port)
                await node.pass_time(STALE_SECONDS + 1)
                answer = await eventually(client, lambda answer: not answer.stale)
                assert answer.found

    run(main(), loop, seconds=90)


@BOTH
def test_a_stale_answer_is_asked_for_again_from_time_to_time(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree, patience=2.0) as node:
            enterprise = tree.zones[ENTERPRISE]
            put(enterprise.store, PUMP, Value(1, "URL", b"https://example.cn/1", ttl=5))
            async with Client(node.address, anchor=tree.anchor, timeout=20) as client:
                await client.resolve(PUMP)
                port = enterprise.server.port
                await enterprise.server.stop()
                await node.pass_time(6)
                assert (await client.resolve(PUMP)).stale
                enterprise.servers[0] = Server(enterprise.store, enterprise.keys)
                await enterprise.server.start(port)
                assert (await client.resolve(PUMP)).stale, "still given, since it was asked just now"
                await node.pass_time(STALE_SECONDS)
                await eventually(client, lambda answer: not answer.stale, node)

    run(main(), loop, seconds=60)


@BOTH
def test_a_revoked_delegation_is_gone_after_its_ttl(loop: str) -> None:
    """With all answers that rest on it, although their own TTLs go on and the enterprise's server still answers."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
            names = [f"{ENTERPRISE}/P{number}" for number in range(5)]
            for name in names:
                assert (await client.resolve(name)).found
            hosted = await client.resolve(f"{SECONDARY}.5/S1")
            assert hosted.found
            tree.revoke(SECONDARY, ENTERPRISE)
            await node.pass_time(DELEGATION_TTL_SECONDS - 60)
            assert (await client.resolve(names[0])).found
            await node.pass_time(61)
            assert node.cache.get(names[0].encode()) is None
            for name in names:
                answer = await client.resolve(name)
                assert answer.status is Status.NOT_FOUND
                assert answer.proof.zone.prefix == SECONDARY, "the parent's word now"
            assert node.iteration.delegations.get(ENTERPRISE) is None
            assert node.iteration.delegations.get(SECONDARY) is not None

    run(main(), loop)


@BOTH
def test_a_delegation_that_still_holds_keeps_its_answers(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
            assert (await client.resolve(PUMP)).found
            for _ in range(3):
                misses = node.cache.counters.misses
                await node.pass_time(DELEGATION_TTL_SECONDS + 1)
                assert (await client.resolve(PUMP)).found
                assert node.cache.counters.misses == misses, "in the cache all along"
            known = node.iteration.delegations.get(ENTERPRISE)
            assert known is not None
            assert known.until > node.iteration.now()

    run(main(), loop)


@BOTH
def test_answers_outlive_an_outage_of_the_parents(loop: str) -> None:
    """Top and secondary are down for longer than the delegations' TTL: the enterprise is still asked."""

    async def main() -> None:
        async with province() as tree, recursive(tree, patience=3.0) as node:
            async with Client(node.address, anchor=tree.anchor, timeout=20) as client:
                assert (await client.resolve(PUMP)).found
                for zone in (TOP, SECONDARY):
                    await tree.zones[zone].server.stop()
                await node.pass_time(DELEGATION_TTL_SECONDS + 1)
                assert (await client.resolve(PUMP)).found
                assert (await client.resolve(f"{ENTERPRISE}/P2")).url == "https://example.cn/2"
            for zone in (TOP, SECONDARY):
                tree.zones[zone].servers.clear()

    run(main(), loop, seconds=60)


@BOTH
def test_an_enterprise_that_moves_is_found_again(loop: str) -> None:
    """Its old server is gone, the parent has a new delegation, while the old one may still be remembered."""

    async def main() -> None:
        async with (
            province() as tree,
            recursive(tree) as node,
            Client(node.address, anchor=tree.anchor, timeout=20) as client,
        ):
            assert (await client.resolve(PUMP)).found
            enterprise = tree.zones[ENTERPRISE]
            await enterprise.server.stop()
            enterprise.servers[0] = Server(enterprise.store, enterprise.keys)
            await enterprise.server.start()
            tree.delegate(SECONDARY, ENTERPRISE)
            await node.pass_time(11)  # so much must lie between two questions to the parent
            assert (await client.resolve(f"{ENTERPRISE}/P2")).url == "https://example.cn/2"

    run(main(), loop, seconds=60)


@BOTH
def test_a_replaced_zone_key_takes_the_answers_of_the_old_one_along(loop: str) -> None:
    """The key was stolen, say: what it has signed is not given any more once the new delegation is known."""

    async def main() -> None:
        async with (
            province() as tree,
            recursive(tree) as node,
            Client(node.address, anchor=tree.anchor, timeout=20) as client,
        ):
            assert (await client.resolve(PUMP)).found
            old = tree.zones[ENTERPRISE]
            await old.server.stop()
            keys = ZoneKeys(ENTERPRISE, 50)
            old.keys = keys
            put(old.store, PUMP, Value(1, "URL", b"https://example.cn/new-key"))
            old.servers[0] = Server(old.store, keys)
            await old.server.start()
            tree.delegate(SECONDARY, ENTERPRISE)
            await node.pass_time(DELEGATION_TTL_SECONDS + 1)
            assert (await client.resolve(PUMP)).url == "https://example.cn/new-key"

    run(main(), loop, seconds=60)


@BOTH
def test_an_online_key_that_changes(loop: str) -> None:
    """What the old key has sealed goes on being verified beside what the new one seals, also by those who come later,
    although the enterprise shows only the new one."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node, Client(node.address, anchor=tree.anchor) as early:
            enterprise = tree.zones[ENTERPRISE]
            old = (await early.resolve(PUMP)).proof.key.key
            delegations = enterprise.keys.chain.delegations
            enterprise.keys.renew(150)
            enterprise.server.turn.key = enterprise.server.door.key = enterprise.keys.online
            tree.show(enterprise, delegations)
            async with Client(node.address, anchor=tree.anchor) as late:
                for client in (early, late):
                    for name, key in ((PUMP, old), (f"{ENTERPRISE}/P2", enterprise.keys.online.public)):
                        answer, receipt = await client.receipt(name)
                        assert answer.proof.key.key == key
                        assert verify_receipt(receipt, tree.anchor).answer.found

    run(main(), loop)


@BOTH
def test_popular_answers_are_fetched_before_they_expire(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node, Client(node.address, anchor=tree.anchor) as client:
            store = tree.zones[ENTERPRISE].store
            for name in (PUMP, f"{ENTERPRISE}/P2"):
                put(store, name, Value(1, "URL", b"https://example.cn/before", ttl=300))
            for _ in range(4):
                await client.resolve(PUMP)
            await client.resolve(f"{ENTERPRISE}/P2")
            put(store, PUMP, Value(1, "URL", b"https://example.cn/after", ttl=300))
            await node.pass_time(271)
            assert node.cache.counters.prefetches == 1
            misses = node.cache.counters.misses
            assert (await client.resolve(PUMP)).url == "https://example.cn/after"
            await node.pass_time(100)
            assert (await client.resolve(PUMP)).url == "https://example.cn/after"
            assert node.cache.counters.misses == misses
            await client.resolve(f"{ENTERPRISE}/P2")
            assert node.cache.counters.misses == misses + 1, "asked for once: not fetched ahead"

    run(main(), loop)


@BOTH
def test_a_prefetch_that_fails_takes_nothing_away(loop: str) -> None:
    async def main() -> None:
        async with (
            province() as tree,
            recursive(tree, patience=1.0) as node,
            Client(node.address, anchor=tree.anchor) as client,
        ):
            enterprise = tree.zones[ENTERPRISE]
            put(enterprise.store, PUMP, Value(1, "URL", b"https://example.cn/1", ttl=300))
            for _ in range(4):
                await client.resolve(PUMP)
            await enterprise.server.stop()
            await node.pass_time(271)
            assert node.cache.counters.prefetches == 1
            answer = await client.resolve(PUMP)
            assert (answer.found, answer.stale) == (True, False)
            enterprise.servers.clear()

    run(main(), loop)


@BOTH
def test_the_cache_stays_within_its_bytes(loop: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree, cache_bytes=1 << 14) as node:
            async with Client(node.address, anchor=tree.anchor) as client:
                names = [f"{ENTERPRISE}/P{number}" for number in range(100)] * 2
                assert all([answer.found async for answer in client.resolve_many(names)])
            assert node.cache.bytes <= 1 << 14
            assert node.cache.counters.evictions > 50

    run(main(), loop)


@BOTH
def test_a_server_that_comes_back_within_the_clients_time(loop: str) -> None:
    """It is down when the question comes and up a moment later: the question is asked again and answered."""

    async def main() -> None:
        async with province() as tree, recursive(tree, patience=10.0) as node:
            enterprise = tree.zones[ENTERPRISE]
            port = enterprise.server.port
            await enterprise.server.stop()
            async with Client(node.address, anchor=tree.anchor, timeout=40) as client:
                asked = asyncio.create_task(client.resolve(PUMP))
                await asyncio.sleep(0.8)
                assert not asked.done()
                enterprise.servers[0] = Server(enterprise.store, enterprise.keys)
                await enterprise.server.start(port)
                answer = await asked
                assert (answer.found, answer.stale) == (True, False)

    run(main(), loop, seconds=60)


@BOTH
def test_many_hanging_questions_hold_up_nobody(loop: str) -> None:
    """An enterprise whose server is silent, with hundreds of questions for it; others are answered meanwhile."""

    async def main() -> None:
        async with province() as tree, silent() as bad:
            await tree.add("88.118.7", SECONDARY)
            put(tree.zones["88.118.7"].store, "88.118.7/x", Value(1, "URL", b"https://seven.cn"))
            tree.delegate(SECONDARY, ENTERPRISE, (bad,))
            async with recursive(tree, patience=2.0) as node, Peer(node) as client:  # type: ignore[arg-type]
                wires = [client.exchange.ask(Op.RESOLVE, f"{ENTERPRISE}/P{n}".encode())[1] for n in range(300)]
                client.writer.write(b"".join(wires))
                client.writer.write(client.resolve("88.118.7/x"))
                [first] = await client.take(1)
                assert first.status == Status.OK
                others = await client.take(300)
                assert {reply.status for reply in others} == {Status.UNRESOLVED}
                flags = int(Ask.PROOF)
                assert (await client.ask(Op.RESOLVE, b"88.118.7/x", flags)).status == Status.OK

    run(main(), loop, seconds=60)


@BOTH
def test_the_client_itself_goes_on_where_a_server_is_down(loop: str) -> None:
    """Following referrals without a recursive node: the second address, and an error that names the chain."""

    async def main() -> None:
        async with province() as tree:
            tree.delegate(SECONDARY, ENTERPRISE, (CLOSED, *tree.zones[ENTERPRISE].addresses))
            async with Client(str(tree.roots[0]), anchor=tree.anchor, timeout=20) as client:
                assert (await client.resolve(PUMP)).url == "https://example.cn/1"
                names = [f"{ENTERPRISE}/P{number}" for number in range(100)]
                assert all([answer.found async for answer in client.resolve_many(names)])
            tree.delegate(SECONDARY, ENTERPRISE, (CLOSED,))
            async with Client(str(tree.roots[0]), anchor=tree.anchor, timeout=20) as client:
                with pytest.raises(Unresolved) as caught:
                    await client.resolve(PUMP)
                assert f"{ENTERPRISE} [127.0.0.1:1]" in str(caught.value.details["chain"])

    run(main(), loop, seconds=60)


@BOTH
def test_from_any_node_within_one_province(loop: str) -> None:
    """One enterprise's node, asked about another enterprise: its own chain says who is above both."""

    async def main() -> None:
        async with province() as tree:
            await tree.add("88.118.7", SECONDARY)
            put(tree.zones["88.118.7"].store, "88.118.7/x", Value(1, "URL", b"https://seven.cn"))
            async with Client(tree.zones["88.118.7"].server.address, anchor=tree.anchor) as client:
                assert (await client.resolve(PUMP)).url == "https://example.cn/1"
                assert (await client.resolve("88.118.7/x")).url == "https://seven.cn"
                names = [PUMP, "88.118.7/x", f"{ENTERPRISE}/P2"]
                assert [one.found async for one in client.resolve_many(names)] == [True] * 3
                with pytest.raises(Refused) as caught:
                    await client.resolve("88.119.1/x")
                assert caught.value.status is Status.NOT_RESPONSIBLE

    run(main(), loop)


def test_the_top_is_tried_at_all_its_addresses() -> None:
    async def main() -> None:
        async with province() as tree, silent() as bad:
            roots = [Address("127.0.0.1", 1), Address("127.0.0.1", bad.tcp_port), *tree.roots]
            node = RecursiveNode(tree.anchor, roots)
            await node.start()
            try:
                async with Client(node.address, anchor=tree.anchor, timeout=20) as client:
                    assert (await client.resolve(PUMP)).found
            finally:
                await node.stop()

    run(main(), seconds=60)
