"""Requests to responses, at a recursive node: at once where the cache has the answer, or later.

What is in the cache is answered as an authoritative node answers from its store, column by column, with one look-up and
no object per request. Only what is not there costs more: it waits, with a function that gives the answer to whoever
asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

import msgpack

from protocol.errors import BiaoshiError, IdentifierError, MessageError
from protocol.identifiers import covers, normal, normal_prefix
from protocol.limits import ABSENT_TTL_SECONDS, MAX_MANY, MAX_MESSAGE_BYTES
from protocol.messages import (
    BAD_ARGUMENTS,
    TOO_MANY,
    UNKNOWN_OPERATION,
    Ask,
    Op,
    encode_failure,
    encode_response,
    read_request,
)
from protocol.node import NodeFacts, answer_common
from protocol.runs import Run
from protocol.status import Status
from resolver.answering import Apart, Sink
from resolver.recursion.cache import PLAIN, PROOF
from resolver.recursion.recursion import OVERLOADED, Parts, Recursion, failure_parts
from resolver.recursion.walk import Step

MAX_WAITING: Final = 1_000
"""Requests of one connection (over UDP: of all sources) that wait for their answer; more are answered OVERLOADED."""

_ECHO: Final = Struct(">BQ").pack
_RID64: Final = 0xCF
_ARRAY3: Final = b"\x93"
_ORDINARY: Final = frozenset((Ask.NOTHING, Ask.PROOF))
_NIL: Final = b"\xc0"
_ANY_SUFFIX: Final = b"/-"
_LEFT_OUT: Final = msgpack.packb((int(Status.TRUNCATED), None))
_MANY_OVERHEAD: Final = 64


class RecursiveAnswerer:
    """Answers requests from a recursion and its cache."""

    def __init__(self, recursion: Recursion, facts: NodeFacts) -> None:
        self._recursion = recursion
        self._cache = recursion.cache
        self._counters = recursion.cache.counters
        self._facts = facts
        self._started = time.monotonic()

    def run(self, run: Run) -> list[bytes] | None:
        """The responses to a run, where all are in the cache."""
        return self._run(run.echoes, run.identifiers, run.flags)

    def _run(self, echoes: Sequence[bytes], identifiers: Sequence[bytes], flags: int) -> list[bytes] | None:
        entries = list(map(self._cache.get, identifiers))
        if not all(entries):
            return None
        self._counters.hits += len(entries)
        self._cache.note(identifiers[0])
        if flags:
            parts = [_ARRAY3] * (5 * len(entries))
            parts[1::5] = echoes
            for place, field in enumerate(PROOF, start=2):
                parts[place::5] = map(field, entries)  # type: ignore[arg-type]
        else:
            parts = [_ARRAY3] * (3 * len(entries))
            parts[1::3] = echoes
            parts[2::3] = map(PLAIN, entries)  # type: ignore[arg-type]
        return parts

    def single(self, echo: bytes, identifier: bytes) -> bytes | None:
        """The response to one plain resolve."""
        entry = self._cache.get(identifier)
        if entry is None:
            return None
        self._counters.hits += 1
        self._cache.note(identifier)
        return _ARRAY3 + echo + entry[0]

    def plain(self, requests: Sequence[object]) -> list[bytes] | None:
        """What :meth:`run` gives, from decoded messages."""
        questions = list(map(_question, requests))
        flags = {question[2] for question in questions if question is not None}
        if None in questions or len(flags) != 1:
            return None
        rids, identifiers, _ = zip(*questions, strict=True)
        return self._run([_ECHO(_RID64, rid) for rid in rids], identifiers, flags.pop())

    def apart(self, pairs: list[tuple[object, bytes]], sink: Sink) -> Apart:
        """Answer together what is in the cache; have the others answered later."""
        wires: list[bytes] = []
        responses: list[bytes] = []
        rest: list[tuple[object, bytes]] = []
        for message, wire in pairs:
            question = _question(message)
            if question is None:
                rest.append((message, wire))
                continue
            response = self._resolve(*question, wire, sink)
            if response is not None:
                wires.append(wire)
                responses.append(response)
        return Apart(wires, responses, rest)

    def later(self, request: object, wire: bytes, sink: Sink) -> bool:
        """Take a question that needs others, or one that is to be sealed alone; False for whatever :meth:`one` can
        answer."""
        try:
            op, rid, arguments = read_request(request)
            match op, arguments:
                case Op.RESOLVE, (bytes(identifier), *_) if len(arguments) <= 3:
                    flags = _flags(arguments)
                    response = self._resolve(rid, identifier, flags & Ask.PROOF, wire, sink)
                    if response is not None:
                        sink.give_later(wire, response)
                    return True
                case Op.RESOLVE_MANY, (tuple(identifiers),) if set(map(type, identifiers)) <= {bytes}:
                    if len(identifiers) <= MAX_MANY:
                        _Gathering(self, rid, identifiers, wire, sink)
                        return True
                case Op.CHAIN, (_, bytes(raw)) if raw:
                    return self._chain_later(rid, raw, wire, sink)
                case Op.TRACE, (bytes(identifier),):
                    return self._trace(rid, identifier, wire, sink)
        except MessageError:
            pass
        return False

    def one(self, request: object) -> bytes:
        """The response to any request that :meth:`later` leaves."""
        rid = 0
        try:
            op, rid, arguments = read_request(request)
            common = answer_common(self._facts, op, rid, arguments)
            if common is not None:
                return common
            return self._particular(op, rid, arguments)
        except BiaoshiError as error:
            return encode_failure(rid, error)

    # Resolving ------------------------------------------------------------------------------------

    def _resolve(self, rid: int, identifier: bytes, proof: int, wire: bytes, sink: Sink) -> bytes | None:
        """The response where it can be given at once; otherwise ``sink`` gets it."""
        echo = _ECHO(_RID64, rid)

        def give(parts: Parts) -> None:
            sink.waiting -= 1
            sink.give_later(wire, _response(echo, parts, proof))

        known = self.known(identifier)
        if isinstance(known, bytes):
            if sink.waiting >= MAX_WAITING:
                return _response(echo, OVERLOADED, proof)
            sink.waiting += 1
            self._recursion.ask(known, give)
            return None
        return _response(echo, known, proof)

    def known(self, identifier: bytes) -> Parts | bytes:
        """What is known of an identifier in any spelling; its normal form where nothing is."""
        entry, key = self._cache.get(identifier), identifier
        if entry is None:
            try:
                key = normal(identifier)
            except IdentifierError as error:
                return failure_parts(error)
            if not covers(self._recursion.top, key.partition(b"/")[0].decode()):
                return _FOREIGN
            entry = self._cache.find(key)
            if entry is None:
                return key
        self._counters.hits += 1
        self._cache.note(key)
        return entry[:4]

    def ask(self, key: bytes, then: Callable[[Parts], None]) -> None:
        """Ask for what is not known."""
        self._recursion.ask(key, then)

    def _chain_later(self, rid: int, raw: bytes, wire: bytes, sink: Sink) -> bool:
        """Where no zone is known that covers a prefix, look for it, so that every worker can show the chain to an
        answer that
        another has given; False where the chain is at hand or cannot be had."""
        try:
            prefix = normal_prefix(raw)
        except IdentifierError:
            return False
        if self._recursion.iteration.knows(prefix.decode()) or sink.waiting >= MAX_WAITING:
            return False
        known = self.known(prefix + _ANY_SUFFIX)
        if not isinstance(known, bytes):
            return False

        def give(_: Parts) -> None:
            sink.waiting -= 1
            sink.give_later(wire, self._chain(rid, prefix))

        sink.waiting += 1
        self.ask(known, give)
        return True

    def _chain(self, rid: int, prefix: bytes) -> bytes:
        chain = self._recursion.iteration.chain(prefix.decode())
        if chain is None:
            return encode_response(rid, Status.NOT_FOUND, ABSENT_TTL_SECONDS)
        return encode_response(rid, Status.OK, chain)

    def _trace(self, rid: int, identifier: bytes, wire: bytes, sink: Sink) -> bool:
        try:
            key = normal(identifier)
        except IdentifierError:
            return False
        if sink.waiting >= MAX_WAITING:
            sink.give_later(wire, encode_response(rid, Status.OVERLOADED, None))
            return True

        def give(steps: list[Step]) -> None:
            sink.waiting -= 1
            shown = [[one.zone, one.server, one.cached, round(one.seconds * 1e6), one.said] for one in steps]
            sink.give_later(wire, encode_response(rid, Status.OK, shown))

        sink.waiting += 1
        self._recursion.trace(key, give)
        return True

    # Everything else ------------------------------------------------------------------------------

    def _particular(self, op: int, rid: int, arguments: tuple[object, ...]) -> bytes:
        match op, arguments:
            case Op.CHAIN, (_, bytes(raw)):
                return self._chain(rid, normal_prefix(raw) if raw else b"")
            case Op.CHAIN, _:
                raise MessageError(BAD_ARGUMENTS, operation="chain", reason="expected [4, rid, padding, prefix]")
            case Op.STATUS, _:
                return encode_response(rid, Status.OK, self._status())
            case Op.TRACE, (bytes(identifier),):
                normal(identifier)
        match op, arguments:
            case Op.RESOLVE, _:
                reason = "expected [1, rid, identifier, flags, padding]"
                raise MessageError(BAD_ARGUMENTS, operation="resolve", reason=reason)
            case Op.RESOLVE_MANY, (tuple(identifiers),) if len(identifiers) > MAX_MANY:
                raise MessageError(TOO_MANY, operation="resolve-many", limit=MAX_MANY, count=len(identifiers))
            case Op.RESOLVE_MANY, _:
                raise MessageError(BAD_ARGUMENTS, operation="resolve-many", reason="expected [2, rid, [identifier, …]]")
            case Op.TRACE, _:
                raise MessageError(BAD_ARGUMENTS, operation="trace", reason="expected [8, rid, identifier]")
        raise MessageError(UNKNOWN_OPERATION, op=op)

    def _status(self) -> dict[str, object]:
        cache, counters, facts = self._cache, self._counters, self._facts
        return {
            "role": facts.role,
            "zone": facts.zone,
            "software": facts.software,
            "hits": counters.hits,
            "misses": counters.misses,
            "stale": counters.stale,
            "prefetches": counters.prefetches,
            "evictions": counters.evictions,
            "answers": len(cache),
            "stale_answers": cache.stale_count,
            "cache_bytes": cache.bytes,
            "delegations": len(self._recursion.iteration.delegations),
            "asking": self._recursion.asking,
            "uptime_s": int(time.monotonic() - self._started),
            "worker": os.getpid(),
            **facts.status(self._recursion.iteration.now()),
        }


class _Gathering:
    """A resolve-many whose items come one by one."""

    def __init__(
        self, answerer: RecursiveAnswerer, rid: int, identifiers: tuple[bytes, ...], wire: bytes, sink: Sink
    ) -> None:
        self._head = _ARRAY3 + _ECHO(_RID64, rid) + msgpack.packb(int(Status.OK))
        self._wire = wire
        self._sink = sink
        self._items: list[bytes] = [b""] * len(identifiers)
        self._left = 1
        sink.waiting += 1
        for place, identifier in enumerate(identifiers):
            known = answerer.known(identifier)
            if isinstance(known, bytes):
                if sink.waiting >= MAX_WAITING:
                    self._items[place] = _item(OVERLOADED)
                    continue
                self._left += 1
                sink.waiting += 1
                answerer.ask(known, self._put(place))
            else:
                self._items[place] = _item(known)
        self._one_less()

    def _put(self, place: int) -> Callable[[Parts], None]:
        def put(parts: Parts) -> None:
            self._items[place] = _item(parts)
            self._one_less()

        return put

    def _one_less(self) -> None:
        self._left -= 1
        self._sink.waiting -= 1
        if not self._left:
            items = _cut(self._items)
            head = msgpack.Packer().pack_array_header(len(items))
            self._sink.give_later(self._wire, b"".join((self._head, head, *items)))


_FOREIGN: Final[Parts] = (
    msgpack.packb(int(Status.NOT_RESPONSIBLE)) + _NIL, msgpack.packb(int(Status.NOT_RESPONSIBLE)) + _NIL, b"", b"",
)  # fmt: skip


def _question(message: object) -> tuple[int, bytes, int] | None:
    """rid, identifier and flags of an ordinary resolve: plain or with proof."""
    match message:
        case (Op.RESOLVE, int(rid), bytes(identifier), *more) if len(more) <= 2:
            flags = more[0] if more else 0
            if type(rid) is int and 0 <= rid < 1 << 64 and type(flags) is int and flags in _ORDINARY:
                return rid, identifier, flags
    return None


def _flags(arguments: tuple[object, ...]) -> int:
    flags = arguments[1] if len(arguments) > 1 else 0
    return flags if isinstance(flags, int) else 0


def _response(echo: bytes, parts: Parts, proof: int) -> bytes:
    return b"".join((_ARRAY3, echo, *parts[1:])) if proof else _ARRAY3 + echo + parts[0]


def _item(parts: Parts) -> bytes:
    """An item of a resolve-many: the body alone where it is OK, else status and payload."""
    plain = parts[0]
    return plain[1:] if plain[0] == Status.OK else b"\x92" + plain


def _cut(items: list[bytes]) -> list[bytes]:
    """As many items as fit one message; for the others the client asks again."""
    room = MAX_MESSAGE_BYTES - _MANY_OVERHEAD
    if sum(map(len, items)) <= room:
        return items
    cut: list[bytes] = []
    for item in items:
        room -= len(item)
        cut.append(item if room >= len(_LEFT_OUT) * (len(items) - len(cut)) else _LEFT_OUT)
    return cut
