"""The client's half of a connection, without the connection: requests out, verified replies in.

An :class:`Exchange` numbers requests, keeps their bytes until a seal covers them, and hands out replies only
when their seal holds. A seal under an online key that is not known yet is put aside and ``wants_chain`` is
set; the answer to the next CHAIN request decides. Anything that cannot be right raises, and the
connection is to be closed then: a stream whose bundles do not add up proves nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol.errors import MessageError, NotVerified, Rule
from protocol.framing import MessageStream, split
from protocol.limits import MAX_BUNDLE_BYTES
from protocol.messages import MAX_RID, Op, Response, encode_request, read_response
from protocol.seals import Seal, is_seal, leaf, read_seal
from protocol.status import Status
from protocol.trust import UNKNOWN_KEY, Chain, Proof, Verifier

UNASKED: Final = Rule(
    "exchange.unasked",
    Status.NOT_VERIFIED,
    "the node answered a question that was not asked (rid {rid})",
    "节点应答了未曾提出的问题（rid {rid}）",
)
WRONG_COUNT: Final = Rule(
    "exchange.wrong-count",
    Status.NOT_VERIFIED,
    "a seal covers {n} responses where {count} came",
    "签章声称覆盖 {n} 个应答，实际收到 {count} 个",
)
TOO_MUCH: Final = Rule(
    "exchange.too-much",
    Status.NOT_VERIFIED,
    "more than {limit} bytes of responses came without a seal",
    "超过 {limit} 字节的应答没有签章",
)
BAD_CHAIN: Final = Rule(
    "exchange.bad-chain",
    Status.NOT_VERIFIED,
    "the chain has another shape than [[delegation, …], [online key, …]]",
    "信任链的格式不是 [[授权, …], [在线密钥, …]]",
)


class Evidence(NamedTuple):
    """The bytes of one question and its answer that were sealed alone: what a receipt is made of."""

    request: bytes
    response: bytes
    seal: bytes


@dataclass(frozen=True, slots=True)
class UnprovenReply:
    """A response on a connection without seals."""

    rid: int
    status: int
    payload: object


@dataclass(frozen=True, slots=True)
class Reply(UnprovenReply):
    """A response that a verified seal covers. ``evidence`` is there when it was sealed alone."""

    proof: Proof
    evidence: Evidence | None


class _Bundle(NamedTuple):
    responses: list[Response]
    wires: list[bytes]
    seal: Seal
    seal_wire: bytes


class Exchange:
    """One connection's questions and answers. Without a verifier it expects no seals and gives
    :class:`UnprovenReply`."""

    def __init__(self, verifier: Verifier | None, first_rid: int) -> None:
        self._verifier = verifier
        self._next_rid = first_rid & MAX_RID
        self._asked: dict[int, bytes] = {}
        self._chain_rids: set[int] = set()
        self._stream = MessageStream()
        self._responses: list[Response] = []
        self._wires: list[bytes] = []
        self._held = 0
        self._aside: list[_Bundle] = []
        self._aside_rids: set[int] = set()
        self._aside_bytes = 0
        self.chain: Chain | None = None
        """The chain that the node last showed on this connection, in a verified answer."""

    @property
    def wants_chain(self) -> bool:
        """Whether answers wait for a CHAIN request that has not been made."""
        return bool(self._aside) and not self._chain_rids

    @property
    def outstanding(self) -> int:
        """Requests without a verified reply."""
        return len(self._asked)

    def ask(self, op: Op, *arguments: object) -> tuple[int, bytes]:
        """A new request: its rid and its bytes."""
        rid = self._next_rid
        self._next_rid = (rid + 1) & MAX_RID
        wire = encode_request(op, rid, *arguments)
        self._asked[rid] = wire
        if op is Op.CHAIN and len(arguments) < 2:  # with a prefix it asks for a child's chain, which has no online keys
            self._chain_rids.add(rid)
        return rid, wire

    def receive(self, data: bytes, now_ms: int) -> list[UnprovenReply]:
        """Take in what the node sent, give the replies that are settled by it. With a verifier these are
        all :class:`Reply`. Raises :class:`MessageError` or :class:`NotVerified`: close the connection then."""
        self._stream.feed(data)
        replies: list[UnprovenReply] = []
        while (
            messages := self._stream.take_each()
        ):  # again, since a fault behind good messages is told at the next call
            self._take_in(messages, now_ms, replies)
        return replies

    def receive_datagram(self, data: bytes, now_ms: int) -> list[UnprovenReply]:
        """The same for one datagram, which holds whole bundles. Where it raises, only this datagram is to be thrown
        away, and every question stays; with the rule ``UNKNOWN_KEY`` it may be given again once the chain has come. A
        lone TRUNCATED comes without a seal and is given as it is: all it can do is send us to TCP, and the true answer
        may still come."""
        messages = split(data)
        if len(messages) == 1 and not is_seal(messages[0][0]):
            response = read_response(messages[0][0])
            if response.status == Status.TRUNCATED:
                if response.rid not in self._asked:
                    raise NotVerified(UNASKED, rid=response.rid)
                return [UnprovenReply(*response)]
        replies: list[UnprovenReply] = []
        try:
            self._take_in(messages, now_ms, replies)
        except (MessageError, NotVerified):
            if not replies:
                raise
            # Behind a bundle that holds came something else: the bundle holds all the same.
        finally:
            self._responses, self._wires, self._held = [], [], 0
            aside = self._take_aside()
        if aside and not replies:
            # Not kept here: one that is forged would take the place of the true one.
            raise NotVerified(UNKNOWN_KEY, key_id=aside[0].seal.key_id.hex())
        return replies

    def forget(self, rid: int) -> None:
        """Give up on a request whose answer may never come, as over UDP."""
        self._asked.pop(rid, None)
        self._chain_rids.discard(rid)

    def _take_aside(self) -> list[_Bundle]:
        """What waits for its key, which waits no more."""
        aside, self._aside = self._aside, []
        self._aside_rids.clear()
        self._aside_bytes = 0
        return aside

    def _take_in(self, messages: list[tuple[object, bytes]], now_ms: int, replies: list[UnprovenReply]) -> None:
        for message, wire in messages:
            if self._verifier is None:
                if not is_seal(message):  # a node that insists on seals may add them; nobody looks
                    replies.append(self._unproven(read_response(message)))
            elif is_seal(message):
                replies += self._sealed(self._verifier, read_seal(message), wire, now_ms)
            else:
                self._responses.append(read_response(message))
                self._wires.append(wire)
                self._held += len(wire)
                if self._held > MAX_BUNDLE_BYTES:
                    raise NotVerified(TOO_MUCH, limit=MAX_BUNDLE_BYTES)

    def _unproven(self, response: Response) -> UnprovenReply:
        if self._asked.pop(response.rid, None) is None:
            raise NotVerified(UNASKED, rid=response.rid)
        return UnprovenReply(*response)

    def _sealed(self, verifier: Verifier, seal: Seal, seal_wire: bytes, now_ms: int) -> list[Reply]:
        bundle = _Bundle(self._responses, self._wires, seal, seal_wire)
        self._responses, self._wires, self._held = [], [], 0
        if seal.n != len(bundle.responses):
            raise NotVerified(WRONG_COUNT, n=seal.n, count=len(bundle.responses))
        chain = self._chain_in(bundle)
        if chain is None:
            if verifier.knows(seal.key_id, seal.time // 1000):
                return self._settle(verifier, bundle, now_ms)
            self._put_aside(bundle)
            return []
        if self._aside or not verifier.knows(seal.key_id, seal.time // 1000):
            verifier.learn(chain, now_ms)
        # A key that the chain does not vouch for either is refused here.
        return [reply for one in (bundle, *self._take_aside()) for reply in self._settle(verifier, one, now_ms)]

    def _put_aside(self, bundle: _Bundle) -> None:
        """Keep a bundle until its key is known; one that no chain can help is refused now."""
        for response in bundle.responses:
            if response.rid not in self._asked or response.rid in self._aside_rids:
                raise NotVerified(UNASKED, rid=response.rid)
        length = sum(map(len, bundle.wires))
        if self._aside_bytes + length > MAX_BUNDLE_BYTES:
            raise NotVerified(UNKNOWN_KEY, key_id=bundle.seal.key_id.hex())
        self._aside.append(bundle)
        self._aside_rids.update(response.rid for response in bundle.responses)
        self._aside_bytes += length

    def _settle(self, verifier: Verifier, bundle: _Bundle, now_ms: int) -> list[Reply]:
        """Verify a bundle under a key that is known, and then forget its questions: a datagram that only looks like
        an answer must not take the place of the true one."""
        requests: list[bytes] = []
        for response in bundle.responses:
            request = self._asked.get(response.rid)
            if request is None:
                raise NotVerified(UNASKED, rid=response.rid)
            requests.append(request)
        proof = verifier.check(bundle.seal, leaf(b"".join(requests), b"".join(bundle.wires)), now_ms)
        for response in bundle.responses:
            if self._asked.pop(response.rid, None) is None:
                raise NotVerified(UNASKED, rid=response.rid)
            if response.rid in self._chain_rids:
                self._chain_rids.discard(response.rid)
                if response.status == Status.OK:
                    self.chain = read_chain(response.payload)
        evidence = None
        if len(requests) == 1:
            evidence = Evidence(requests[0], bundle.wires[0], bundle.seal_wire)
        return [Reply(*response, proof, evidence) for response in bundle.responses]

    def _chain_in(self, bundle: _Bundle) -> Chain | None:
        for response in bundle.responses:
            if response.rid in self._chain_rids and response.status == Status.OK:
                return read_chain(response.payload)
        return None


def read_chain(payload: object) -> Chain:
    """Check the payload of a CHAIN response to be one. Raises :class:`MessageError`."""
    match payload:
        case (tuple(delegations), tuple(online_keys)):
            if all(type(statement) is bytes for statement in (*delegations, *online_keys)):
                return Chain(delegations, online_keys)
    raise MessageError(BAD_CHAIN)
