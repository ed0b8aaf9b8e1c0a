"""Below a cut a node refers, whatever it still has there; outside its zone it says that it is not responsible."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final

import pytest

from protocol.errors import NotVerified, Refused, Unresolved
from protocol.exchange import Exchange, Reply, read_chain
from protocol.limits import DELEGATION_TTL_SECONDS, MAX_DATAGRAM_BYTES, UDP_REQUEST_BYTES
from protocol.messages import Ask, Op
from protocol.records import Value
from protocol.referrals import read_referral
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor, Verifier, verify_zone
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from resolver.client import Client
from tests.resolver.servers import LOOPS, NOW, ZONE, Peer, ZoneKeys, put, run, serving

BOTH = pytest.mark.parametrize("loop", LOOPS)
CHILD: Final = "88.118.32001"
CHILD_KEYS: Final = (SigningKey(b"c" * 32).public, SigningKey(b"d" * 32).public)
ADDRESSES: Final = (
    Address("resolver-1.identifier.example-pumps.cn", 26_410, 26_410),
    Address("2001:db8:85a3:8d3:1319:8a2e:370:7348", 26_410, 0, tls=True),
)


def delegated(
    keys: ZoneKeys, child: str = CHILD, serial: int = 1, until: int = 0, addresses: tuple[Address, ...] = ADDRESSES
) -> tuple[MemoryStore, Delegation]:
    """A store with records below a child prefix, above and beside it, and the delegation of the child."""
    now = int(time.time())
    claim = Delegation(keys.zone, child, serial, now - 60, until or now + 86_400, CHILD_KEYS, addresses)
    store = MemoryStore()
    for name in (f"{child}/P1", f"{child}.7/P2", f"{child}0/P3", f"{keys.zone}/P4"):
        put(store, name, Value(1, "URL", name.encode()))
    store.apply([system_write(DELEGATIONS, child, {"DELEGATION": claim.sign(keys.key)})], NOW)
    return store, claim


def verified(keys: ZoneKeys, reply: Reply, prefix: str = CHILD) -> Delegation:
    """The delegation of a referral, as a client verifies it."""
    assert reply.status == Status.REFERRAL
    referral = read_referral(reply.payload)
    assert referral.ttl == DELEGATION_TTL_SECONDS
    return Verifier(keys.anchor).refer(reply.proof, referral.statement, prefix, time.time_ns() // 1_000_000)


@BOTH
@pytest.mark.parametrize("name", [f"{CHILD}/P1", f"{CHILD}/absent", f"{CHILD}.7/P2", f"{CHILD}.8.9/x"])
def test_what_is_delegated_is_referred(loop: str, name: str) -> None:
    keys = ZoneKeys()
    store, claim = delegated(keys)

    async def main() -> None:
        async with serving(store, keys) as server, Peer(server) as peer:
            prefix = name.partition("/")[0]
            for flags in ((), (int(Ask.ALONE),), (0, bytes(400))):
                reply = await peer.ask(Op.RESOLVE, name.encode(), *flags)
                assert verified(keys, reply, prefix) == claim
            peer.writer.write(b"".join(peer.resolve(name) for _ in range(30)))  # as clients pipeline
            for one in await peer.take(30):
                assert verified(keys, one, prefix) == claim

    run(main(), loop)


@BOTH
def test_many_lists_and_chains(loop: str) -> None:
    keys = ZoneKeys()
    store, claim = delegated(keys)

    async def main() -> None:
        async with serving(store, keys) as server, Peer(server) as peer:
            names = [f"{CHILD}/P1", f"{ZONE}/P4", f"{CHILD}.7/P2", f"{CHILD}0/P3", "88.119/x"]
            items = (await peer.ask(Op.RESOLVE_MANY, [name.encode() for name in names])).payload
            assert isinstance(items, tuple)
            assert [item[0] if isinstance(item, tuple) else 0 for item in items] == [103, 0, 103, 0, 102]
            for refused in (items[0], items[2]):
                assert read_referral(refused[1]).statement == claim.sign(keys.key)
            for below in (CHILD, f"{CHILD}.7"):
                assert verified(keys, await peer.ask(Op.LIST, below.encode(), None, 10), below) == claim
            names_listed = (await peer.ask(Op.LIST, ZONE.encode(), None, 10)).payload
            assert names_listed == ((f"{ZONE}/P4".encode(), f"{CHILD}0/P3".encode()), None)
            assert (await peer.ask(Op.LIST, b"88.119", None, 10)).status == Status.NOT_RESPONSIBLE

            chain = read_chain((await peer.ask(Op.CHAIN, b"", CHILD.encode())).payload)
            assert chain == Chain((*keys.chain.delegations, claim.sign(keys.key)), ())
            assert verify_zone(keys.anchor, chain.delegations, int(time.time())).keys == CHILD_KEYS
            assert verified(keys, await peer.ask(Op.CHAIN, b"", f"{CHILD}.7".encode()), f"{CHILD}.7") == claim
            assert (await peer.ask(Op.CHAIN, b"", f"{CHILD}0".encode())).status == Status.NOT_FOUND
            assert (await peer.ask(Op.CHAIN, b"", ZONE.encode())).status == Status.NOT_FOUND
            assert (await peer.ask(Op.CHAIN, b"", b"88.119")).status == Status.NOT_RESPONSIBLE
            assert (await peer.ask(Op.CHAIN, b"", b"88..1")).status == Status.BAD_IDENTIFIER
            for arguments in ((b"", 7), (b"", b"88.1", b"")):
                assert (await peer.ask(Op.CHAIN, *arguments)).status == Status.BAD_REQUEST
            # A child's chain is not the node's: what was learnt of the node still holds.
            assert read_chain((await peer.ask(Op.CHAIN)).payload) == keys.chain
            assert peer.exchange.chain == keys.chain

    run(main(), loop)


@BOTH
def test_a_referral_fits_a_datagram(loop: str) -> None:
    """With two addresses, two keys, and the longest prefixes."""
    zone = "88.118" + ".1" * 20
    child = zone + "." + "7" * (63 - len(zone))
    keys = ZoneKeys(zone)
    store, claim = delegated(keys, child)

    async def main() -> None:
        async with serving(store, keys) as server:
            loop_ = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(("127.0.0.1", server.port))
                verifier = Verifier(keys.anchor)
                verifier.learn(keys.chain, time.time_ns() // 1_000_000)
                exchange = Exchange(verifier, 1)
                name = f"{child}/{'P' * 200}".encode()
                wire = exchange.ask(Op.RESOLVE, name, 0, bytes(max(0, UDP_REQUEST_BYTES - 18 - len(name))))[1]
                await loop_.sock_sendall(sock, wire)
                data = await asyncio.wait_for(loop_.sock_recv(sock, 65_536), 10.0)
                assert len(data) <= MAX_DATAGRAM_BYTES
                assert len(data) + 3 * 32 <= MAX_DATAGRAM_BYTES, "and of a turn with 64 others"
                [reply] = exchange.receive_datagram(data, time.time_ns() // 1_000_000)
                assert isinstance(reply, Reply)
                assert verified(keys, reply, child) == claim

    run(main(), loop)


def test_the_client_goes_where_it_is_referred_and_nowhere_else() -> None:
    keys = ZoneKeys()
    store, _ = delegated(keys, addresses=(Address("127.0.0.1", 1, 1),))

    async def main() -> None:
        async with serving(store, keys) as server, Client(server.address, anchor=keys.anchor) as client:
            with pytest.raises(Refused) as refused:
                await client.resolve("88.119/x")
            assert refused.value.status == Status.NOT_RESPONSIBLE
            with pytest.raises(Unresolved) as unresolved:
                await client.resolve(f"{CHILD}/P1")
            assert unresolved.value.details["zone"] == CHILD
            assert "127.0.0.1:1" in str(unresolved.value.details["chain"])
            assert (await client.resolve(f"{ZONE}/P4")).found

    run(main())


def test_the_root_delegates_everything() -> None:
    keys = ZoneKeys("")
    store, claim = delegated(keys, "88")

    async def main() -> None:
        async with serving(store, keys, role="top") as server, Peer(server) as peer:
            assert verified(keys, await peer.ask(Op.RESOLVE, b"88.118.1/x"), "88.118.1") == claim
            assert (await peer.ask(Op.RESOLVE, b"99/x")).status == Status.NOT_FOUND

    run(main())


def test_a_delegation_that_is_over_may_not_be_remembered() -> None:
    keys = ZoneKeys()
    store, _ = delegated(keys, until=int(time.time()) - 10)

    async def main() -> None:
        async with serving(store, keys) as server, Peer(server) as peer:
            reply = await peer.ask(Op.RESOLVE, f"{CHILD}/P1".encode())
            assert reply.status == Status.REFERRAL
            referral = read_referral(reply.payload)
            assert referral.ttl == 0
            with pytest.raises(NotVerified) as raised:
                Verifier(keys.anchor).refer(reply.proof, referral.statement, CHILD, time.time_ns() // 1_000_000)
            assert raised.value.rule.name == "trust.expired"

    run(main())


def test_a_child_speaks_for_neither_sibling_nor_parent() -> None:
    """A node of a child zone that answers for others is not believed, whatever its store has."""
    parent, child = ZoneKeys(), ZoneKeys(CHILD, seed=3)
    now = int(time.time())
    claim = Delegation(ZONE, CHILD, 1, now - 60, now + 86_400, (child.key.public,), ADDRESSES)
    verifier = Verifier(TrustAnchor(ZONE, parent.key.public))
    chain = Chain((claim.sign(parent.key),), child.chain.online_keys)
    assert verifier.learn(chain, now * 1000).prefix == CHILD
    store = MemoryStore()
    sibling = "88.118.32002"
    for name in (f"{sibling}/P1", f"{ZONE}/P1"):
        put(store, name, Value(1, "URL", b"forged"))
    forged = Delegation(ZONE, sibling, 9, now - 60, now + 86_400, (child.key.public,), ADDRESSES).sign(child.key)

    async def main() -> None:
        async with serving(store, child) as server, Peer(server) as peer:
            server.facts.zone = ""  # it claims everything
            for name in (f"{sibling}/P1", f"{ZONE}/P1"):
                with pytest.raises(NotVerified) as raised:
                    await peer.answer(name)
                assert raised.value.rule.name == "trust.foreign-identifier"
            store.apply([system_write(DELEGATIONS, sibling, {"DELEGATION": forged})], NOW)
            reply = await peer.ask(Op.RESOLVE, f"{sibling}/P1".encode())
            with pytest.raises(NotVerified) as raised:
                verifier.refer(reply.proof, read_referral(reply.payload).statement, sibling, now * 1000)
            assert raised.value.rule.name == "trust.lame-referral"

    run(main())
