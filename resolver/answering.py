"""Requests to responses, at an authoritative node.

An answerer knows a store's reader and what the node is; it knows no connection. Two ways lead through it:
:meth:`Answerer.run` takes many plain resolves at once, column by column, with no object made per request but the
parts of its response; :meth:`Answerer.one` takes any single request, with care.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple, Protocol, cast

import msgpack

from protocol.errors import BiaoshiError, IdentifierError, MessageError
from protocol.identifiers import covers, normal, normal_prefix
from protocol.limits import (
    ABSENT_TTL_SECONDS,
    MAX_LIST,
    MAX_MANY,
    MAX_MESSAGE_BYTES,
)
from protocol.messages import (
    BAD_ARGUMENTS,
    TOO_MANY,
    Op,
    encode_failure,
    encode_response,
    failure_payload,
    is_page,
    read_request,
    unknown_to_resolver,
)
from protocol.node import NodeFacts, answer_chain_to, answer_common
from protocol.records import NOT_SHOWN, State, bare_body, split_body
from protocol.referrals import referral_payload
from protocol.runs import Run
from protocol.status import Status
from registry.store.counters import OK, Tally, new_tally, number_of
from registry.store.interface import Reader
from registry.store.recent import RecentCounts
from registry.store.series import Listed, list_page
from resolver.looking_back import LookingBack

PARTS: Final = 4
"""Parts of one response of :meth:`Answerer.run`: array head, echoed rid, status with the header of the body, body."""

_ECHO: Final = Struct(">BQ").pack
_RID64: Final = 0xCF
_ARRAY3: Final = b"\x93"
_RESOLVES: Final = {int(Op.RESOLVE)}
_NO_FLAGS: Final = {0}
_BYTES: Final = {bytes}
_INT: Final = {int}


class _OkHeads(dict[int, bytes]):
    """By length of the body: status OK and the header of a binary of that length, made at its first use."""

    def __missing__(self, length: int) -> bytes:
        packed: bytes = msgpack.packb(bytes(length))
        head = self[length] = bytes((Status.OK,)) + packed[: len(packed) - length]
        return head


_ok_head: Final = _OkHeads().__getitem__

_READ_AT_ONCE: Final = 250
"""Identifiers of a resolve-many that are read together: no more than these are read in vain where they do not fit."""

_MANY_OVERHEAD: Final = 64
"""Bytes of a resolve-many response around its items."""


class Sink(Protocol):
    """Who has asked, for what cannot be answered at once. ``waiting`` counts such requests."""

    waiting: int

    def give_later(self, wire: bytes, response: bytes) -> None:
        """Take the response to a request, given as it came."""
        ...


class Answering(Protocol):
    """What the doors ask. None or False always means that nothing has been done."""

    def run(self, run: Run) -> list[bytes] | None:
        """The responses to a run, as the same number of parts each, to be joined; None where one of them needs care."""
        ...

    def single(self, echo: bytes, identifier: bytes) -> bytes | None:
        """The response to one plain resolve."""
        ...

    def plain(self, requests: Sequence[object]) -> list[bytes] | None:
        """What :meth:`run` gives, from decoded messages; None also where one of them is no ordinary resolve."""
        ...

    def apart(self, pairs: list[tuple[object, bytes]], sink: Sink) -> Apart:
        """Take what can be answered together, or later, from requests of which some need care."""
        ...

    def later(self, request: object, wire: bytes, sink: Sink) -> bool:
        """Whether a request is answered through ``sink``, now or later."""
        ...

    def one(self, request: object) -> bytes:
        """The response to any one request; whatever is wrong with it is in the response."""
        ...


class Apart(NamedTuple):
    """Requests that were answered together, with their responses, and those that each are to be looked at."""

    wires: list[bytes]
    responses: list[bytes]
    rest: list[tuple[object, bytes]]


class Answerer:
    """Answers requests from what ``reader`` sees; counts outcomes in ``tally``; ``clock`` gives seconds since 1970."""

    def __init__(
        self, reader: Reader, facts: NodeFacts, clock: Callable[[], float] = time.time, tally: Tally | None = None
    ) -> None:
        self._reader = reader
        self._facts = facts
        self._clock = clock
        self._tally = new_tally() if tally is None else tally
        self._started = time.monotonic()
        self._counts = RecentCounts(reader.counts)
        self._operations: dict[int, Callable[[int, tuple[object, ...]], bytes]] = {
            Op.RESOLVE: self._resolve,
            Op.RESOLVE_MANY: self._resolve_many,
            Op.LIST: self._list,
            Op.CHAIN: self._chain,
            Op.STATUS: self._status,
            **LookingBack(reader, self._elsewhere).operations,
        }

    def run(self, run: Run) -> list[bytes] | None:
        """The responses to a run; where the flag PROOF is set, too: what this node answers is its own proof."""
        return self._run(run.echoes, run.identifiers)

    def apart(self, pairs: list[tuple[object, bytes]], sink: Sink) -> Apart:
        """Nothing is answered later here: each is looked at by itself."""
        return Apart([], [], pairs)

    def later(self, request: object, wire: bytes, sink: Sink) -> bool:
        """Nothing is answered later here."""
        return False

    def _run(self, echoes: Sequence[bytes], identifiers: Sequence[bytes]) -> list[bytes] | None:
        """The responses to plain resolves, ``PARTS`` parts each, to be joined; None, and nothing done, where a stored
        record cannot be read: each request is then to be looked at by itself. An echo is a rid as it was encoded."""
        try:
            bodies = self._reader.get_many(identifiers)
        except BiaoshiError:
            return None
        if not all(bodies):  # quicker than to look for None; a body is never empty
            self._tally[OK] += len(bodies) - bodies.count(None)
            return [part for asked in zip(echoes, identifiers, bodies, strict=True) for part in self._parts(*asked)]
        self._tally[OK] += len(bodies)
        present = cast(list[bytes], bodies)
        parts = [_ARRAY3] * (PARTS * len(bodies))
        parts[1::PARTS] = echoes
        parts[2::PARTS] = map(_ok_head, map(len, present))
        parts[3::PARTS] = present
        return parts

    def single(self, echo: bytes, identifier: bytes) -> bytes | None:
        """The same for one request, the usual number from a client that does not pipeline."""
        try:
            body = self._reader.get(identifier)
        except BiaoshiError:
            return None
        if body is None:
            return self._not_active(_rid(echo), identifier)
        self._tally[OK] += 1
        return _ARRAY3 + echo + _ok_head(len(body)) + body

    def plain(self, requests: Sequence[object]) -> list[bytes] | None:
        """What :meth:`run` gives, from decoded messages; None also where any of them is no plain resolve."""
        try:
            columns = tuple(zip(*requests, strict=True))
            if len(columns) == 3:
                ops, rids, identifiers = columns
            else:
                ops, rids, identifiers, flags, _ = columns
                if set(flags) != _NO_FLAGS:
                    return None
            if set(ops) != _RESOLVES or set(map(type, identifiers)) != _BYTES or set(map(type, rids)) != _INT:
                return None
            return self._run(list(map(_ECHO, repeat(_RID64), rids)), identifiers)
        except (TypeError, ValueError, struct_error):
            return None  # something is out of the ordinary: each request is looked at by itself

    def one(self, request: object) -> bytes:
        """The response to any one request; whatever is wrong with it is in the response."""
        rid = op = 0
        try:
            op, rid, arguments = read_request(request)
            operation = self._operations.get(op)
            if operation is not None:
                return operation(rid, arguments)
            common = answer_common(self._facts, op, rid, arguments)
            if common is None:
                raise unknown_to_resolver(op)
        except BiaoshiError as error:
            if op == Op.RESOLVE:
                self._tally[number_of(error.status)] += 1
            return encode_failure(rid, error)
        else:
            return common

    # Resolving ------------------------------------------------------------------------------------

    def _parts(self, echo: bytes, identifier: bytes, body: bytes | None) -> tuple[bytes, bytes, bytes, bytes]:
        if body is None:
            return self._not_active(_rid(echo), identifier), b"", b"", b""
        return _ARRAY3, echo, _ok_head(len(body)), body

    def _resolve(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(identifier), *_) if len(arguments) <= 3:
                body = self._reader.get(identifier)
                if body is None:
                    return self._not_active(rid, identifier)
                self._tally[OK] += 1
                return encode_response(rid, Status.OK, body)
        raise MessageError(BAD_ARGUMENTS, operation="resolve", reason="expected [1, rid, identifier, flags, padding]")

    def _resolve_many(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (tuple(identifiers),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="resolve-many", reason="expected [2, rid, [identifier, …]]")
        if len(identifiers) > MAX_MANY:
            raise MessageError(TOO_MANY, operation="resolve-many", limit=MAX_MANY, count=len(identifiers))
        if not set(map(type, identifiers)) <= _BYTES:
            raise MessageError(BAD_ARGUMENTS, operation="resolve-many", reason="every identifier is a string")
        items: list[object] = []
        room = MAX_MESSAGE_BYTES
        for start in range(0, len(identifiers), _READ_AT_ONCE):
            found = self._reader.get_many(identifiers[start : start + _READ_AT_ONCE])
            self._tally[OK] += len(found) - found.count(None)
            items += found
            room -= sum(len(body) for body in found if body is not None)
            if room < 0:  # the others are not in this answer in any case
                items += [(int(Status.TRUNCATED), None)] * (len(identifiers) - len(items))
                break
        if None in items:
            items = [
                self._absence(identifier) if item is None else item
                for identifier, item in zip(identifiers, items, strict=True)
            ]
        response = encode_response(rid, Status.OK, items)
        if len(response) > MAX_MESSAGE_BYTES:
            return encode_response(rid, Status.OK, _cut(items))
        return response

    def _not_active(self, rid: int, identifier: bytes) -> bytes:
        """The response for an identifier that ``get_many`` had nothing for, with the reason."""
        try:
            status, payload = self._absence(identifier)
        except BiaoshiError as error:
            self._tally[number_of(error.status)] += 1
            return encode_failure(rid, error)
        return encode_response(rid, status, payload)

    def _absence(self, identifier: bytes) -> tuple[int, object]:
        """Status and payload for an identifier without an active record, counted."""
        status, payload = self._reason(identifier)
        self._tally[number_of(status)] += 1
        return status, payload

    def _reason(self, identifier: bytes) -> tuple[int, object]:
        try:
            wanted = normal(identifier)
        except IdentifierError as error:
            return int(error.status), failure_payload(error)
        elsewhere = self._elsewhere(wanted)
        if elsewhere is not None:
            return elsewhere
        body = self._reader.find(wanted)
        if body is None:
            return int(Status.NOT_FOUND), ABSENT_TTL_SECONDS
        head = split_body(body)
        if head.state is not State.ACTIVE:
            return int(NOT_SHOWN[head.state]), bare_body(head)
        answered = self._reader.get(wanted)
        return (int(Status.NOT_FOUND), ABSENT_TTL_SECONDS) if answered is None else (int(Status.OK), answered)

    def _elsewhere(self, identifier: bytes) -> tuple[int, object] | None:
        """Status and payload where nobody is answered here about an identifier in normal form."""
        prefix = identifier.partition(b"/")[0].decode()
        if not covers(self._facts.zone, prefix):
            return int(Status.NOT_RESPONSIBLE), None
        closure = self._reader.closure(prefix)
        if closure is not None:
            return int(closure), None
        cut = self._reader.cut(prefix)
        if cut is not None:
            return int(Status.REFERRAL), referral_payload(cut.statement, int(self._clock()))
        return None

    # Everything else ------------------------------------------------------------------------------

    def _list(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        if not self._facts.listing:
            return encode_response(rid, Status.NOT_PERMITTED, None)
        match arguments:
            case (bytes(raw_prefix), (None | bytes()) as cursor, int(limit)) if is_page(cursor, limit):
                prefix = normal_prefix(raw_prefix).decode()
            case _:
                reason = f"expected [3, rid, prefix, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="list", reason=reason)
        if not covers(self._facts.zone, prefix):
            return encode_response(rid, Status.NOT_RESPONSIBLE, None)
        closure = self._reader.closure(prefix)
        if closure is not None:
            return encode_response(rid, closure, None)
        cut = self._reader.cut(prefix)
        if cut is not None:
            return encode_response(rid, Status.REFERRAL, referral_payload(cut.statement, int(self._clock())))
        page = list_page(self._reader, prefix, cursor, limit)
        active = [entry for entry in page.entries if split_body(entry.body).state is State.ACTIVE]
        names = [[one.name, one.members] if one.members else one.name for one in self._answered_here(active)]
        return encode_response(rid, Status.OK, [names, page.cursor])

    def _answered_here(self, entries: list[Listed]) -> list[Listed]:
        """Without those below a prefix that others answer for, or that is suspended or closed."""
        prefixes = {entry.name.partition("/")[0] for entry in entries}
        reader = self._reader
        off = {one for one in prefixes if reader.cut(one) is not None or reader.closure(one) is not None}
        return [one for one in entries if one.name.partition("/")[0] not in off] if off else entries

    def _chain(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        below = answer_chain_to(self._facts, rid, arguments, self._reader.cut, int(self._clock()))
        return encode_response(rid, Status.OK, self._facts.chain) if below is None else below

    def _status(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        counts, facts = self._counts(), self._facts
        return encode_response(rid, Status.OK, {
            "role": facts.role,
            "zone": facts.zone,
            "software": facts.software,
            "registered": sum(counts.active.values()),
            "prefixes": len(counts.active),
            "changes": counts.changes,
            "store_bytes": counts.bytes_used,
            "uptime_s": int(time.monotonic() - self._started),
            "worker": os.getpid(),
            **facts.status(int(self._clock())),
        })  # fmt: skip


def _rid(echo: bytes) -> int:
    return int.from_bytes(echo[1:], "big")


def _cut(items: list[object]) -> list[object]:
    """As many items as fit one message; for the others the client asks again."""
    room = MAX_MESSAGE_BYTES - _MANY_OVERHEAD
    cut: list[object] = []
    for item in items:
        room -= len(msgpack.packb(item))
        # Five bytes stand for one that is left out.
        cut.append(item if room >= 5 * (len(items) - len(cut)) else (int(Status.TRUNCATED), None))
    return cut
