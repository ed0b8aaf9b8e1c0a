"""A recursive node that lies is caught: whatever it relays is verified from the anchor, or is no answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pytest

from protocol.answers import Answer
from protocol.errors import BiaoshiError, NotVerified
from protocol.framing import MessageStream
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_STALE_SECONDS
from protocol.messages import Op, encode_request, encode_response
from protocol.records import State, Value, encode_body, encode_values
from protocol.seals import leaf, seal_turn
from protocol.signatures import SigningKey
from protocol.statements import Delegation, OnlineKey
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor
from resolver.client import Client
from tests.resolver.servers import run
from tests.vectors.actors import key

NAME: Final = b"88.118.32001/P1"
OTHER: Final = b"88.118.32001/P2"
TTL: Final = 600


def body(url: bytes, ttl: int = TTL) -> bytes:
    """A record."""
    return encode_body(1, State.ACTIVE, 1_700_000_000, encode_values([Value(1, "URL", url, ttl=ttl)]))


TRUE: Final = body(b"https://example.cn/true")
FALSE: Final = body(b"https://example.cn/false")
WITHDRAWN: Final = encode_body(2, State.WITHDRAWN, 1_700_000_000, b"\x90")


class Authority:
    """A zone with its keys, delegated from the top."""

    def __init__(self, *path: str, top: str = "top") -> None:
        now = int(time.time())
        self.prefix = path[-1]
        self.online = key(f"online {self.prefix} {top}")
        delegations = []
        for parent, child in pairwise(path):
            claim = Delegation(parent, child, 1, now - 900_000, now + 86_400, (self._zone_key(child, top).public,), ())
            delegations.append(claim.sign(self._zone_key(parent, top)))
        online = OnlineKey(self.prefix, "node", self.online.public, now - 900_000, now + 86_400)
        self.chain = Chain(tuple(delegations), (online.sign(self._zone_key(self.prefix, top)),))

    @staticmethod
    def _zone_key(zone: str, top: str) -> SigningKey:
        return key(f"{top} zone {zone}")

    def says(
        self,
        name: bytes = NAME,
        status: int = Status.OK,
        payload: object = TRUE,
        *,
        ago: float = 0.0,
        op: Op = Op.RESOLVE,
        n: int = 1,
        rid: int = 5,
        others: int = 0,
    ) -> tuple[bytes, bytes, bytes]:
        """Evidence that it has said so, ``ago`` seconds."""
        request = encode_request(op, 5, [name] if op is Op.RESOLVE_MANY else name, 1)
        response = encode_response(rid, status, payload)
        leaves = [leaf(request, response), *[bytes([i]) * 32 for i in range(others)]]
        moment = int((time.time() - ago) * 1_000)
        return request, response, seal_turn([n] * len(leaves), leaves, self.online, moment)[0]


TOP: Final = TrustAnchor("88", key("top zone 88").public)
ENTERPRISE: Final = Authority("88", "88.118", "88.118.32001")
SECONDARY: Final = Authority("88", "88.118")
FOREIGN: Final = Authority("88", "88.119")
SIBLING: Final = Authority("88", "88.118", "88.118.32002")
THIEF: Final = Authority("88", "88.118", "88.118.32001", top="stolen")


@dataclass
class Lie:
    """What a recursive node answers: a status and payload to RESOLVE, and a chain to CHAIN."""

    status: int
    payload: object
    chain: Chain | None = ENTERPRISE.chain


class Lying:
    """A recursive node that answers as it is told, under no seal at all: nobody looks at it."""

    def __init__(self, lie: Lie) -> None:
        self.lie = lie
        self.asked: list[int] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        stream = MessageStream()
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                stream.feed(data)
                for message, _ in stream.take_each():
                    assert isinstance(message, tuple)
                    op, rid, *arguments = message
                    self.asked.append(op)
                    writer.write(self.answer(op, rid, arguments))
        writer.close()

    def answer(self, op: int, rid: int, arguments: list[Any]) -> bytes:
        """The response to a request."""
        if op == Op.HELLO:
            return encode_response(rid, Status.OK, [1, "biaoshi/1", "recursive", "", {}])
        if op == Op.CHAIN and len(arguments) > 1:
            if self.lie.chain is None:
                return encode_response(rid, Status.NOT_FOUND, 300)
            return encode_response(rid, Status.OK, self.lie.chain)
        if op == Op.CHAIN:
            seal = seal_turn([1], [bytes(32)], THIEF.online, int(time.time() * 1_000))[0]
            return encode_response(rid, Status.OK, THIEF.chain) + seal
        return encode_response(rid, self.lie.status, self.lie.payload)


@contextlib.asynccontextmanager
async def lying(lie: Lie) -> AsyncIterator[str]:
    """Its address."""
    server = await asyncio.start_server(Lying(lie).handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def outcome(lie: Lie) -> Answer | BiaoshiError:
    """What a client with the top's anchor makes of it."""
    outcomes: list[Answer | BiaoshiError] = []

    async def main() -> None:
        async with lying(lie) as address, Client(address, anchor=TOP, timeout=10) as client:
            try:
                outcomes.append(await client.resolve(NAME.decode()))
            except BiaoshiError as error:
                outcomes.append(error)
            for way in (client.receipt, _many(client)):  # all ways agree
                first = outcomes[0]
                if isinstance(first, BiaoshiError):
                    with pytest.raises(BiaoshiError) as caught:
                        await way(NAME.decode())
                    assert caught.value.rule is first.rule
                else:
                    await way(NAME.decode())

    run(main())
    return outcomes[0]


def _many(client: Client) -> Callable[[str], Any]:
    async def many(name: str) -> list[Answer]:
        return [answer async for answer in client.resolve_many([name, name])]

    return many


def relayed(status: int, evidence: tuple[bytes, bytes, bytes], chain: Chain | None = ENTERPRISE.chain) -> Lie:
    return Lie(status, evidence, chain)


def truths() -> dict[str, tuple[Lie, Status, bool]]:
    """Made when they are told, as they have a time."""
    return {
        "a record": (relayed(0, ENTERPRISE.says()), Status.OK, False),
        "a record as old as its TTL": (relayed(0, ENTERPRISE.says(ago=TTL)), Status.OK, False),
        "among other leaves of a turn": (relayed(0, ENTERPRISE.says(others=5)), Status.OK, False),
        "an absence": (relayed(0, ENTERPRISE.says(status=100, payload=300)), Status.NOT_FOUND, False),
        "a withdrawal": (relayed(0, ENTERPRISE.says(status=101, payload=WITHDRAWN)), Status.WITHDRAWN, False),
        "a suspension": (relayed(0, ENTERPRISE.says(status=105, payload=None)), Status.SUSPENDED, False),
        "the parent's word": (
            relayed(0, SECONDARY.says(status=100, payload=300), SECONDARY.chain), Status.NOT_FOUND, False,
        ),
        "a stale answer, marked": (relayed(104, ENTERPRISE.says(ago=TTL + 40_000)), Status.OK, True),
    }  # fmt: skip


@pytest.mark.parametrize("name", truths())
def test_the_truth_is_believed(name: str) -> None:
    lie, status, stale = truths()[name]
    answer = outcome(lie)
    assert isinstance(answer, Answer), answer
    assert (answer.status, answer.stale) == (status, stale)
    if answer.found:
        assert answer.url == "https://example.cn/true"


def altered(evidence: tuple[bytes, bytes, bytes], part: int) -> tuple[bytes, bytes, bytes]:
    """Evidence with one byte of a part changed, near its end."""
    parts = [bytearray(one) for one in evidence]
    parts[part][-3] ^= 1
    request, response, seal = map(bytes, parts)
    return request, response, seal


def with_response(payload: object, status: int = 0) -> tuple[bytes, bytes, bytes]:
    """True evidence in which the response has been exchanged."""
    request, _, seal = ENTERPRISE.says()
    return request, encode_response(5, status, payload), seal


TOLERANCE_S: Final = CLOCK_TOLERANCE_MS / 1_000


def lies() -> dict[str, tuple[Lie, str]]:
    """Made when they are told, as they have a time."""
    return {
        "an altered record": (relayed(0, with_response(FALSE)), "trust.bad-seal"),
        "one byte of the record": (relayed(0, altered(ENTERPRISE.says(), 1)), "trust.bad-seal"),
        "one byte of the signature": (relayed(0, altered(ENTERPRISE.says(), 2)), "trust.bad-seal"),
        "the answer of another identifier": (relayed(0, ENTERPRISE.says(OTHER, payload=FALSE)), "relay.other-question"),
        "the question put in the other's place": (
            relayed(0, (ENTERPRISE.says()[0], *ENTERPRISE.says(OTHER, payload=FALSE)[1:])), "trust.bad-seal",
        ),
        "an old answer": (relayed(0, ENTERPRISE.says(ago=TTL + TOLERANCE_S + 5)), "relay.too-old"),
        "an old absence": (
            relayed(0, ENTERPRISE.says(status=100, payload=300, ago=300 + TOLERANCE_S + 5)), "relay.too-old",
        ),
        "an answer that is too stale": (
            relayed(104, ENTERPRISE.says(ago=TTL + MAX_STALE_SECONDS + TOLERANCE_S + 5)), "relay.too-old",
        ),
        "an answer from the future": (relayed(0, ENTERPRISE.says(ago=-TOLERANCE_S - 600)), "trust.clock-ahead"),
        "an absence without proof": (Lie(100, 300), "client.no-evidence"),
        "a withdrawal without proof": (Lie(101, WITHDRAWN), "client.no-evidence"),
        "a suspension without proof": (Lie(105, None), "client.no-evidence"),
        "a referral without proof": (Lie(103, [b"", 600]), "client.no-evidence"),
        "a record without proof": (Lie(0, FALSE), "relay.malformed"),
        "a stale record without proof": (Lie(104, [0, FALSE, 700]), "relay.malformed"),
        "an absence sealed over a record's seal": (relayed(0, with_response(300, 100)), "trust.bad-seal"),
        "an absence by a zone beside": (
            relayed(0, SIBLING.says(status=100, payload=300), SIBLING.chain), "trust.foreign-identifier",
        ),
        "a record by a foreign zone": (
            relayed(0, FOREIGN.says(payload=FALSE), FOREIGN.chain), "trust.foreign-identifier",
        ),
        "a record by a thief": (relayed(0, THIEF.says(payload=FALSE), THIEF.chain), "trust.bad-signature"),
        "a thief's record, the true chain": (relayed(0, THIEF.says(payload=FALSE)), "trust.unknown-key"),
        "no chain": (relayed(0, ENTERPRISE.says(), None), "trust.unknown-key"),
        "the chain of another zone": (relayed(0, ENTERPRISE.says(), FOREIGN.chain), "trust.unknown-key"),
        "a chain with its delegation left out": (
            relayed(0, ENTERPRISE.says(), Chain(ENTERPRISE.chain.delegations[1:], ENTERPRISE.chain.online_keys)),
            "trust.broken-chain",
        ),
        "a resolve-many in place of a resolve": (relayed(0, ENTERPRISE.says(op=Op.RESOLVE_MANY)), "relay.malformed"),
        "a seal over several answers": (relayed(0, ENTERPRISE.says(n=2)), "relay.malformed"),
        "a response to another request": (relayed(0, ENTERPRISE.says(rid=6)), "relay.malformed"),
        "a stale answer within": (relayed(0, ENTERPRISE.says(status=104, payload=[0, FALSE, 1])), "relay.malformed"),
        "garbage": (Lie(0, [b"a", b"b", b"c"]), "message.not-a-request"),
        "numbers": (Lie(0, [1, 2, 3]), "relay.malformed"),
        "nothing": (Lie(0, None), "relay.malformed"),
        "a sealed refusal": (relayed(0, ENTERPRISE.says(status=501, payload=None)), "message.refused"),
    }  # fmt: skip


@pytest.mark.parametrize("name", lies())
def test_a_lie_is_caught(name: str) -> None:
    lie, rule = lies()[name]
    error = outcome(lie)
    assert isinstance(error, BiaoshiError), error
    assert error.rule.name == rule


def test_an_authority_with_a_wrong_key_is_not_taken_for_a_recursive_node() -> None:
    """Who is not recursive, and whose seal does not hold, is refused with that reason."""

    class Authoritative(Lying):
        def answer(self, op: int, rid: int, arguments: list[Any]) -> bytes:
            if op == Op.HELLO:
                return encode_response(rid, Status.OK, [1, "biaoshi/1", "secondary", "88.118", {}])
            return super().answer(op, rid, arguments)

    async def main() -> None:
        server = await asyncio.start_server(Authoritative(Lie(0, FALSE)).handle, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(address, anchor=TOP, timeout=10) as client:
            with pytest.raises(NotVerified):
                await client.resolve(NAME.decode())
        server.close()

    run(main())
