"""What a recursive node answers is what the vectors say: it walks through a tree of authorities that are all here, with
no network and a clock of our own, and its proofs hold for a client that trusts the anchor alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Final

import pytest

from protocol.address import Address
from protocol.errors import Unreachable
from protocol.exchange import Exchange, UnprovenReply
from protocol.framing import decode_one
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.messages import Op, read_response
from protocol.node import NodeFacts
from protocol.relays import read_evidence, read_relayed
from protocol.seals import leaf, seal_turn
from protocol.status import Status
from protocol.trust import Chain, Verifier
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from resolver.answering import Answerer
from resolver.recursion import iteration as iteration_module
from resolver.recursion import upstream as upstream_module
from resolver.recursion.answering import RecursiveAnswerer
from resolver.recursion.cache import Cache
from resolver.recursion.iteration import Iteration
from resolver.recursion.recursion import Recursion
from resolver.recursion.upstream import LATE
from tests.protocol.test_operations import OPERATIONS, request, response, store_with_third_version, withdraw
from tests.vectors.actors import (
    ANCHOR,
    ENTERPRISE,
    IDENTIFIER,
    NOW,
    NOW_MS,
    SECONDARY,
    SIBLING,
    TOP,
    Zone,
)
from tests.vectors.relaying import CHAINS, FIRST, INNER_RID, SECOND, SERVERS, STALE_AGE, STEP_MICROSECONDS

STALE_SECONDS: Final = 86_400


class Authority:
    """A connection to a zone's server, which answers at once and seals each answer alone."""

    usable = True

    def __init__(self, zone: Zone, store: MemoryStore, verifier: Verifier) -> None:
        self.chain: Chain | None = CHAINS[zone.prefix]
        self._zone = zone
        self._answerer = Answerer(store, NodeFacts("node", zone.prefix, "biaoshi/1", self.chain), lambda: NOW)
        self._exchange = Exchange(verifier, INNER_RID)
        verifier.learn(self.chain, NOW_MS)

    def ask(self, op: Op, *arguments: object) -> asyncio.Future[UnprovenReply]:
        _, wire = self._exchange.ask(op, *arguments)
        said = self._answerer.one(decode_one(wire))
        (seal,) = seal_turn([1], [leaf(wire, said)], self._zone.online, NOW_MS)
        (reply,) = self._exchange.receive(said + seal, NOW_MS)
        answered: asyncio.Future[UnprovenReply] = asyncio.get_running_loop().create_future()
        answered.set_result(reply)
        return answered

    def close(self) -> None:
        self.usable = False


class Node:
    """A recursive node, and the tree that it asks. It also is who has asked it."""

    def __init__(self) -> None:
        self.now = NOW
        self.down = False
        self.waiting = 0
        self.said: list[bytes] = []
        self.stores = {TOP: MemoryStore(), SECONDARY: MemoryStore(), ENTERPRISE: store_with_third_version()}
        self.stores[TOP].apply([system_write(DELEGATIONS, SECONDARY.prefix, {"DELEGATION": FIRST})], NOW)
        self.stores[SECONDARY].apply([system_write(DELEGATIONS, ENTERPRISE.prefix, {"DELEGATION": SECOND})], NOW)
        self.zones = {SERVERS[zone.prefix]: zone for zone in self.stores}
        root = Address("top.example.cn", 26_410)
        iteration = Iteration(Verifier(ANCHOR), [root], self._open, STALE_SECONDS, lambda: self.now)
        self.recursion = Recursion(iteration, Cache(1 << 20, STALE_SECONDS), 5.0)
        self.answerer = RecursiveAnswerer(self.recursion, NodeFacts("recursive", "", "biaoshi/1", Chain((), ())))

    async def _open(self, server: Address, verifier: Verifier) -> Authority:
        if self.down:
            raise Unreachable(LATE, server=str(server), seconds=1)
        zone = self.zones[str(server)]
        return Authority(zone, self.stores.get(zone, MemoryStore()), verifier)

    def give_later(self, wire: bytes, response: bytes) -> None:
        self.said.append(response)

    async def ask(self, name: str) -> str:
        """The response to a question of the vectors."""
        asked, wire = request(name), bytes.fromhex(OPERATIONS[name]["request"])
        at_once = self.answerer.plain([asked])
        if at_once is not None:
            return b"".join(at_once).hex()
        if not self.answerer.later(asked, wire, self):
            return self.answerer.one(asked).hex()
        await self.recursion.settle(5.0)
        return self.said.pop().hex()

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        while self.recursion.sweep():
            pass


Prepare = Callable[[Node], object]


def nothing(_: Node) -> None:
    """All as it is."""


def absent(node: Node) -> None:
    node.stores[ENTERPRISE] = MemoryStore()


def withdrawn(node: Node) -> None:
    withdraw(node.stores[ENTERPRISE])


def stale(node: Node) -> None:
    """The answer was remembered, its TTL is over, and nobody answers."""
    node.pass_time(STALE_AGE)
    node.down = True
    node.recursion.iteration.close()


def lame(node: Node) -> None:
    """Another zone's server stands at the enterprise's address."""
    node.zones[SERVERS[ENTERPRISE.prefix]] = SIBLING


CASES: Final[list[tuple[str, str, list[str], Prepare]]] = [
    # the question, the answer, what was asked before, and what has happened then
    ("resolve with proof", "found", [], nothing),
    ("resolve with proof", "found", ["resolve with proof"], nothing),
    ("resolve with proof", "absent", [], absent),
    ("resolve with proof", "withdrawn", [], withdrawn),
    ("resolve with proof", "stale", ["resolve with proof"], stale),
    ("resolve with proof", "another zone's server", [], lame),
    ("resolve with proof over UDP", "found", [], nothing),
    ("resolve with proof over UDP", "found", ["resolve with proof"], nothing),
    ("resolve with proof, sealed alone", "found", [], nothing),
    ("resolve with proof outside the anchor's zone", "refused", [], nothing),
    ("resolve without proof", "found", [], nothing),
    ("resolve without proof", "found", ["resolve with proof"], nothing),
    ("resolve without proof", "absent", [], absent),
    ("resolve without proof", "withdrawn", [], withdrawn),
    ("resolve without proof", "stale", ["resolve with proof"], stale),
    ("resolve without proof", "another zone's server", [], lame),
    ("resolve many at a recursive node", "each its own", [], nothing),
    ("resolve many at a recursive node", "stale", ["resolve with proof"], stale),
    ("chain to a proof", "shown", ["resolve with proof"], nothing),
    ("chain to a proof", "shown", [], nothing),
    ("chain to a proof of the anchor's zone", "shown", ["resolve with proof"], nothing),
    ("chain to a proof of the anchor's zone", "shown", [], nothing),
    ("chain of the root, above the anchor's zone", "not met", ["resolve with proof"], nothing),
    ("trace", "asked", [], nothing),
    ("trace", "remembered", ["resolve with proof"], nothing),
    ("trace", "another zone's server", [], lame),
    ("trace outside the anchor's zone", "failed", [], nothing),
    ("trace what is no identifier", "refused", [], nothing),
]


@pytest.fixture(autouse=True)
def _known_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock of an iteration is ``STEP_MICROSECONDS`` after the one before."""
    ticks = iter(range(1 << 20))
    monkeypatch.setattr(
        iteration_module, "time", SimpleNamespace(monotonic=lambda: next(ticks) * STEP_MICROSECONDS / 1e6)
    )
    monkeypatch.setattr(
        upstream_module, "time", SimpleNamespace(monotonic=time.monotonic, time_ns=lambda: NOW_MS * 1_000_000)
    )


@pytest.mark.parametrize(
    ("name", "said", "before", "prepare"),
    CASES,
    ids=[f"{name}: {said}, after {before or 'nothing'}" for name, said, before, _ in CASES],
)
def test_the_recursive_node(name: str, said: str, before: list[str], prepare: Prepare) -> None:
    async def main() -> None:
        node = Node()
        for one in before:
            await node.ask(one)
        prepare(node)
        assert await node.ask(name) == response(name, said)
        assert node.waiting == 0
        await node.recursion.close()

    asyncio.run(main())


def test_no_answer_of_the_vectors_is_left_out() -> None:
    asked = {(name, said["name"]) for name, one in OPERATIONS.items() if one["door"] == "recursive"
             for said in one["responses"]}  # fmt: skip
    assert asked == {(name, said) for name, said, _, _ in CASES}


def test_an_authority_has_no_trace() -> None:
    answer = Answerer(MemoryStore(), NodeFacts("node", TOP.prefix, "biaoshi/1", CHAINS[TOP.prefix])).one
    assert answer(request("trace at an authority")).hex() == response("trace at an authority", "refused")


@pytest.mark.parametrize(
    ("said", "status"),
    [("found", Status.OK), ("absent", Status.NOT_FOUND), ("withdrawn", Status.WITHDRAWN), ("stale", Status.OK)],
)
def test_the_proofs_hold_for_who_has_the_anchor_and_the_chain(said: str, status: Status) -> None:
    def payload(name: str, said: str) -> object:
        return read_response(decode_one(bytes.fromhex(response(name, said)), MAX_MESSAGE_BYTES)).payload

    verifier = Verifier(ANCHOR)
    delegations, online_keys = payload("chain to a proof", "shown")  # type: ignore[misc]
    verifier.learn(Chain(delegations, online_keys), NOW_MS)
    age = STALE_AGE if said == "stale" else 0
    evidence = read_evidence(payload("resolve with proof", said))
    permitted = STALE_SECONDS if said == "stale" else None
    answer = read_relayed(IDENTIFIER, evidence, verifier, NOW_MS + age * 1_000, permitted)
    assert (answer.status, answer.age, answer.stale) == (status, age, said == "stale")
    assert answer.proof.zone.prefix == ENTERPRISE.prefix
