"""Readers at true connections, and the SDK with a credential."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from protocol.address import Address
from protocol.answers import Answer
from protocol.challenges import NOT_PROVEN, reading_challenge
from protocol.errors import InvalidInput, NotVerified, Refused
from protocol.exchange import Reply
from protocol.messages import NOT_A_READERS_DOOR, Op
from protocol.receipts import verify_receipt
from protocol.records import Record, Value, decode_body
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.store.callers.attempts import TOO_MANY
from registry.store.memory import MemoryStore
from resolver.client import Client, SyncClient
from resolver.client.client import TOKEN_STAYS, TRACE_IS_PUBLIC
from resolver.client.credentials import IN_CLEAR, TWO_CREDENTIALS, TokenCredential
from resolver.readers import REVOKED
from tests.recursion.tree import ENTERPRISE, SECONDARY, province, recursive
from tests.resolver.readers_house import OWN, READS, RECORDS, VALUES, WRITERS, ReadersHouse
from tests.resolver.servers import ADMIN_ONLY, LOOPS, Peer, Server, ZoneKeys, put, run, serving
from tests.resolver.test_readers import revoke_key

BOTH = pytest.mark.parametrize("loop", LOOPS)
NAMED = "identity that is named"
TOKEN = "token of a named identity"
PLAIN = RECORDS["plain"]


@asynccontextmanager
async def readers_serving(**options: Any) -> AsyncIterator[tuple[Server, ReadersHouse]]:
    store = MemoryStore()
    house = ReadersHouse(store, int(time.time()))
    async with serving(store, writers=WRITERS, **options) as server:
        yield server, house


def kinds(record: Record | None) -> set[str]:
    assert record is not None
    names = {value.type: kind for kind, value in VALUES.items()}
    return {names[value.type] for value in record.values}


async def prove(peer: Peer, key: SigningKey) -> Reply:
    challenge = await peer.ask(Op.AUTHENTICATE, 1, key.public.raw)
    assert isinstance(challenge.payload, bytes)
    node = challenge.proof.key.key
    return await peer.ask(Op.PROVE, key.sign(reading_challenge(challenge.proof.zone.prefix, node, challenge.payload)))


# Connections -----------------------------------------------------------------------------------------


@BOTH
def test_a_connection_becomes_a_readers(loop: str) -> None:
    """Single, pipelined and in long runs; beside a stranger's connection, which is as it was."""

    async def main() -> None:
        async with readers_serving() as (server, house), Peer(server) as peer, Peer(server) as stranger:
            assert kinds((await peer.answer(PLAIN)).record) == {"public"}
            assert (await prove(peer, house.keys[NAMED])).payload == house.names[NAMED].encode()
            assert kinds((await peer.answer(PLAIN)).record) == READS[NAMED]
            for one, wanted in ((peer, READS[NAMED]), (stranger, {"public"})):
                names = [*RECORDS.values()] * 200
                one.writer.write(b"".join(one.resolve(name) for name in names))
                replies = await one.take(len(names))
                assert {frozenset(kinds(decode_body(reply.payload))) for reply in replies} == {frozenset(wanted)}  # type: ignore[arg-type]
                mixed = b"".join(one.resolve(PLAIN, flags) for flags in (0, 1, 2, 0))
                one.writer.write(mixed + one.exchange.ask(Op.PING)[1] + one.resolve(PLAIN))
                replies = await one.take(6)
                assert kinds(decode_body(replies[-1].payload)) == wanted  # type: ignore[arg-type]

    run(main(), loop)


@BOTH
def test_what_is_asked_behind_a_proof_is_the_readers(loop: str) -> None:
    """Requests that are pipelined are answered in order: before the token, behind it, behind a wrong one."""

    async def main() -> None:
        async with readers_serving() as (server, house), Peer(server) as peer:
            ask = peer.exchange.ask
            token, wrong = ask(Op.TOKEN, house.tokens[TOKEN].encode())[1], b"bst_" + b"a" * 43
            peer.writer.write(
                peer.resolve(PLAIN) * 1 + token + peer.resolve(PLAIN) + ask(Op.TOKEN, wrong)[1] + peer.resolve(PLAIN)
            )
            replies = await peer.take(5)
            statuses = [reply.status for reply in replies]
            assert statuses == [Status.OK, Status.OK, Status.OK, Status.NOT_AUTHENTICATED, Status.OK]
            seen = [kinds(decode_body(replies[at].payload)) for at in (0, 2, 4)]  # type: ignore[arg-type]
            assert seen == [{"public"}, READS[TOKEN], {"public"}]

    run(main(), loop)


def test_an_authenticated_connection_that_is_revoked() -> None:
    async def main() -> None:
        async with readers_serving() as (server, house), Peer(server) as peer:
            await prove(peer, house.keys[NAMED])
            assert kinds((await peer.answer(PLAIN)).record) == READS[NAMED]
            revoke_key(house)
            peer.writer.write(peer.resolve(PLAIN) * 1 + peer.resolve(PLAIN) + peer.exchange.ask(Op.PING)[1])
            replies = await peer.take(3)
            assert [reply.status for reply in replies] == [Status.NOT_AUTHENTICATED] * 2 + [Status.OK]

    run(main())


def test_a_challenge_is_of_no_use_at_another_node_of_the_zone() -> None:
    """A node that passes another's challenge on gets a proof for itself, which the other does not take."""

    async def main() -> None:
        store = MemoryStore()
        house = ReadersHouse(store, int(time.time()))
        liar, honest = ZoneKeys(), ZoneKeys()
        liar.renew(33, "node-2")
        key = house.keys[NAMED]
        async with serving(store, liar) as between, serving(store, honest) as server, Peer(server) as relayed:
            challenge = await relayed.ask(Op.AUTHENTICATE, 1, key.public.raw)
            assert isinstance(challenge.payload, bytes)
            assert between.turn.key.public != server.turn.key.public
            # What the client signs, as the one between has sealed the nonce that it was given.
            proof = key.sign(reading_challenge(between.facts.zone, between.turn.key.public, challenge.payload))
            assert (await relayed.ask(Op.PROVE, proof)).status == Status.NOT_AUTHENTICATED

    run(main())


# The SDK ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", ["key", "token"])
def test_a_client_with_a_credential(credential: str) -> None:
    async def main() -> None:
        async with readers_serving() as (server, house):
            given = {"key": house.keys[NAMED], "token": house.tokens[TOKEN]}
            options: dict[str, Any] = {credential: given[credential], "udp": True}
            async with Client(server.address, anchor=server.keys.anchor, **options) as client:
                assert kinds((await client.resolve(PLAIN)).record) == READS[NAMED]
                names = [*RECORDS.values(), f"{OWN}/absent"] * 200
                answers = [one async for one in client.resolve_many(names)]
                assert {one.status for one in answers} == {Status.OK, Status.NOT_FOUND}
                assert all(kinds(one.record) == READS[NAMED] for one in answers if one.found)
                then = int(time.time()) + 60
                assert kinds((await client.resolve_as_of(PLAIN, then)).record) == READS[NAMED]
                assert [kinds(one) async for one in client.history(PLAIN)] == [READS[NAMED]]
                answer, receipt = await client.receipt(RECORDS["templated"])
                assert kinds(answer.record) == READS[NAMED]
                assert verify_receipt(receipt, server.keys.anchor).answer.record == answer.record
                with pytest.raises(InvalidInput) as caught:
                    await client.trace(PLAIN)
                assert caught.value.rule is TRACE_IS_PUBLIC
            async with Client(server.address, anchor=server.keys.anchor) as anybody:
                assert kinds((await anybody.resolve(PLAIN)).record) == {"public"}

    run(main())


def test_the_client_without_await() -> None:
    async def main() -> None:
        async with readers_serving() as (server, house):

            def ask() -> Record | None:
                anchor = server.keys.anchor
                with SyncClient(server.address, anchor=anchor, token=house.tokens[TOKEN]) as client:
                    return client.resolve(PLAIN).record

            assert kinds(await asyncio.to_thread(ask)) == READS[TOKEN]

    run(main())


def test_a_credential_that_is_not_taken_is_an_error_and_no_public_answer() -> None:
    async def main() -> None:
        async with readers_serving() as (server, house):
            for options in ({"key": SigningKey(b"u" * 32)}, {"token": "bst_" + "a" * 43}, {"token": "é" * 9}):
                async with Client(server.address, anchor=server.keys.anchor, **options) as client:  # type: ignore[arg-type]
                    for ask in (client.resolve(PLAIN), client.receipt(PLAIN), client.resolve_as_of(PLAIN, 9)):
                        with pytest.raises(Refused) as caught:
                            await ask
                        assert caught.value.rule in (NOT_PROVEN, TOO_MANY)
            assert len(server.connections.open) <= 1, "connections that were refused are closed"
            with pytest.raises(InvalidInput) as invalid:
                Client(server.address, anchor=server.keys.anchor, key=house.keys[NAMED], token="x")
            assert invalid.value.rule is TWO_CREDENTIALS

    run(main())


def test_a_client_whose_credential_is_revoked() -> None:
    async def main() -> None:
        async with (
            readers_serving() as (server, house),
            Client(server.address, anchor=server.keys.anchor, key=house.keys[NAMED]) as client,
        ):
            assert (await client.resolve(PLAIN)).found
            revoke_key(house)
            with pytest.raises(Refused) as caught:
                await client.resolve(PLAIN)
            assert caught.value.rule is REVOKED
            with pytest.raises(Refused) as caught:
                _ = [one async for one in client.resolve_many([PLAIN])]
            assert (caught.value.rule, caught.value.status) == (REVOKED, Status.NOT_AUTHENTICATED)

    run(main())


@pytest.mark.parametrize(("peer", "in_clear"), [("10.0.0.7", False), ("2001:db8::1", False)])
def test_a_token_does_not_leave_this_machine_in_clear(peer: str, in_clear: bool) -> None:
    class Far:
        def __init__(self) -> None:
            self.peer, self.server = peer, Address("far.example.cn", 26_410)

        def ask(self, op: Op, *arguments: object) -> None:
            raise AssertionError("nothing is asked")

    async def main() -> None:
        with pytest.raises(Refused) as caught:
            await TokenCredential("bst_x", in_clear).prove(Far())  # type: ignore[arg-type]
        assert caught.value.rule is IN_CLEAR

    run(main())


def test_a_token_is_not_shown_to_who_is_not_the_zone() -> None:
    async def main() -> None:
        async with readers_serving() as (server, house):
            told: list[object] = []
            one = server.answerer.one
            server.answerer.one = lambda request: told.append(request) or one(request)  # type: ignore[method-assign,func-returns-value]
            another = ZoneKeys(seed=9)
            with pytest.raises(NotVerified):
                async with Client(server.address, anchor=another.anchor, token=house.tokens[TOKEN]) as client:
                    await client.resolve(PLAIN)
            assert told
            assert not [request for request in told if request[0] == Op.TOKEN]  # type: ignore[index]

    run(main())


# Elsewhere -------------------------------------------------------------------------------------------


def test_a_recursive_node_is_passed_by() -> None:
    """It passes nothing on: its client proves the key to the zone's own servers, and shows a token to none of them."""

    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            here, name = tree.zones[ENTERPRISE], f"{ENTERPRISE}/P5"
            put(here.store, name, Value(1, "URL", b"u"), Value(2, "COST", b"9", permissions=int(ADMIN_ONLY)))
            key = here.keys.key
            for server in (node.address, here.server.address):
                async with Client(server, anchor=tree.anchor, key=key) as client:
                    for answer in (await client.resolve(name), (await client.receipt(name))[0]):
                        assert [value.type for value in answer.values] == ["URL", "COST"]
                    answers = [one async for one in client.resolve_many([name, f"{ENTERPRISE}/P6", name])]
                    assert [len(one.values) for one in answers] == [2, 1, 2]
                    names = [f"{ENTERPRISE}/P{number % 100}" for number in range(1_000)]
                    assert [one.found async for one in client.resolve_many(names)] == [True] * 1_000
            assert here.server.accepted < 20, "connections are kept"
            async with Client(node.address, anchor=tree.anchor, token="bst_" + "a" * 43) as client:
                with pytest.raises(Refused) as caught:
                    await client.resolve(name)
                assert caught.value.rule is TOKEN_STAYS
            async with Client(node.address, anchor=node.keys.anchor, key=key) as client:
                with pytest.raises(Refused) as caught:
                    await client.status()
                assert caught.value.rule is NOT_A_READERS_DOOR

    run(main())


def test_where_a_key_is_unknown_there_is_no_answer() -> None:
    """A key that the named server knows, and that of the zone to which it refers does not."""

    async def main() -> None:
        async with province() as tree:
            above, name = tree.zones[SECONDARY], f"{ENTERPRISE}/P5"
            async with Client(above.server.address, anchor=tree.anchor, key=above.keys.key) as client:
                assert (await client.resolve(f"{SECONDARY}.5/S1")).found
                many = _all(client, [f"{SECONDARY}.5/S1", name])
                for ask in (client.resolve(name), client.receipt(name), many, client.resolve_as_of(name, 9)):
                    with pytest.raises(Refused) as caught:
                        await ask
                    assert caught.value.rule is NOT_PROVEN

    run(main())


async def _all(client: Client, names: list[str]) -> list[Answer]:
    return [one async for one in client.resolve_many(names)]
