"""Requests to responses.

An answerer knows a store's reader and what the node is; it knows no connection. Two ways lead through it:
:meth:`Answerer.plain` takes a run of ordinary resolves at once, with no object made per request but the
response itself, and declines anything else; :meth:`Answerer.one` takes any single request, with care.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from struct import Struct
from struct import error as struct_error
from typing import Final, cast

import msgpack

from protocol.errors import BiaoshiError, IdentifierError, MessageError
from protocol.identifiers import covers, normal, normal_prefix
from protocol.limits import (
    ABSENT_TTL_SECONDS,
    MAX_CURSOR_BYTES,
    MAX_LIST,
    MAX_MANY,
    MAX_MESSAGE_BYTES,
)
from protocol.messages import (
    BAD_ARGUMENTS,
    TOO_MANY,
    UNKNOWN_OPERATION,
    Op,
    encode_failure,
    encode_response,
    failure_payload,
    read_request,
)
from protocol.node import NodeFacts, answer_common
from protocol.records import State, public_body, split_body
from protocol.status import Status
from registry.store.interface import Counts, Reader

# The head of an OK response as one struct: array of 3 and rid, status 0 and binary with its length.
_SHORT_HEAD: Final = Struct(">HQHB").pack
_LONG_HEAD: Final = Struct(">HQHH").pack
_BEGIN: Final = 0x93CF
_OK_SHORT: Final = 0x00C4
_OK_LONG: Final = 0x00C5
_SHORT: Final = 255
_RESOLVE: Final = int(Op.RESOLVE)
_RESOLVES: Final = {_RESOLVE}
_NO_FLAGS: Final = {0}
_BYTES: Final = {bytes}

STATUS_SECONDS: Final = 1.0
"""How old the counts in a status may be: they are summed over all prefixes, which must not be had at every request."""

_MANY_OVERHEAD: Final = 64
"""Bytes of a resolve-many response around its items."""


class Answerer:
    """Answers requests from what ``reader`` sees."""

    def __init__(self, reader: Reader, facts: NodeFacts) -> None:
        self._reader = reader
        self._facts = facts
        self._started = self._counted = time.monotonic()
        self._counts: Counts | None = None
        self._operations: dict[int, Callable[[int, tuple[object, ...]], bytes]] = {
            Op.RESOLVE: self._resolve,
            Op.RESOLVE_MANY: self._resolve_many,
            Op.LIST: self._list,
            Op.STATUS: self._status,
        }

    def plain(self, requests: Sequence[object]) -> list[bytes] | None:
        """The responses to requests that are all resolves without flags, as two parts each (head and body, the
        latter empty where nothing is found); None, and nothing done, where any of them is something else."""
        try:
            if len(requests) == 1:
                return self._plain_single(requests[0])
            columns = tuple(zip(*requests, strict=True))
            if len(columns) == 3:
                ops, rids, identifiers = columns
            else:
                ops, rids, identifiers, flags, _ = columns
                if set(flags) != _NO_FLAGS:
                    return None
            if set(ops) != _RESOLVES or set(map(type, identifiers)) != _BYTES:
                return None
            bodies = self._reader.get_many(identifiers)
            parts = [b""] * (2 * len(bodies))
            all_there = None not in bodies
            present = cast(list[bytes], bodies) if all_there else [body or b"" for body in bodies]
            if all_there and max(map(len, present)) <= _SHORT:
                parts[::2] = map(_SHORT_HEAD, repeat(_BEGIN), rids, repeat(_OK_SHORT), map(len, present))
            else:
                parts[::2] = map(self._head, rids, bodies, identifiers)
            parts[1::2] = present
        except (TypeError, ValueError, struct_error, BiaoshiError):
            return None  # something is out of the ordinary: each request is looked at by itself
        return parts

    def _plain_single(self, request: object) -> list[bytes] | None:
        """The same for one request, the usual number from a client that does not pipeline: half the time."""
        if type(request) is not tuple or len(request) != 3 or request[0] != _RESOLVE or type(request[2]) is not bytes:
            return None
        _, rid, identifier = request
        body = self._reader.get(identifier)
        return [self._head(rid, body, identifier), body or b""]

    def one(self, request: object) -> bytes:
        """The response to any one request; whatever is wrong with it is in the response."""
        rid = 0
        try:
            op, rid, arguments = read_request(request)
            operation = self._operations.get(op)
            if operation is not None:
                return operation(rid, arguments)
            common = answer_common(self._facts, op, rid, arguments)
            if common is None:
                raise MessageError(UNKNOWN_OPERATION, op=op)
        except BiaoshiError as error:
            return encode_failure(rid, error)
        else:
            return common

    # Resolving ------------------------------------------------------------------------------------

    def _head(self, rid: int, body: bytes | None, identifier: bytes) -> bytes:
        """What stands before a body, or is the whole response where there is none."""
        if body is None:
            return self._not_active(rid, identifier)
        if len(body) > _SHORT:
            return _LONG_HEAD(_BEGIN, rid, _OK_LONG, len(body))
        return _SHORT_HEAD(_BEGIN, rid, _OK_SHORT, len(body))

    def _resolve(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(identifier), *_) if len(arguments) <= 3:
                body = self._reader.get(identifier)
                if body is None:
                    return self._not_active(rid, identifier)
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
        items: list[object] = list(self._reader.get_many(identifiers))
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
            return encode_failure(rid, error)
        return encode_response(rid, status, payload)

    def _absence(self, identifier: bytes) -> tuple[int, object]:
        """Status and payload for an identifier without an active record."""
        try:
            wanted = normal(identifier)
        except IdentifierError as error:
            return int(error.status), failure_payload(error)
        if not covers(self._facts.zone, wanted.partition(b"/")[0].decode()):
            return int(Status.NOT_RESPONSIBLE), None
        body = self._reader.find(wanted)
        if body is None:
            return int(Status.NOT_FOUND), ABSENT_TTL_SECONDS
        if split_body(body).state is State.WITHDRAWN:
            return int(Status.WITHDRAWN), body
        return int(Status.OK), public_body(body)

    # Everything else ------------------------------------------------------------------------------

    def _list(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        if not self._facts.listing:
            return encode_response(rid, Status.NOT_PERMITTED, None)
        match arguments:
            case (bytes(raw_prefix), (None | bytes()) as cursor, int(limit)) if (
                0 < limit <= MAX_LIST and len(cursor or b"") <= MAX_CURSOR_BYTES
            ):
                prefix = normal_prefix(raw_prefix).decode()
            case _:
                reason = f"expected [3, rid, prefix, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="list", reason=reason)
        if not covers(self._facts.zone, prefix):
            return encode_response(rid, Status.NOT_RESPONSIBLE, None)
        page = self._reader.scan(prefix, cursor, limit)
        active = [entry.identifier.decode() for entry in page.entries if split_body(entry.body).state is State.ACTIVE]
        return encode_response(rid, Status.OK, [active, page.cursor])

    def _status(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        now = time.monotonic()
        if self._counts is None or now - self._counted > STATUS_SECONDS:
            self._counts, self._counted = self._reader.counts(), now
        counts, facts = self._counts, self._facts
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
        })  # fmt: skip


def _cut(items: list[object]) -> list[object]:
    """As many items as fit one message; for the others the client asks again."""
    room = MAX_MESSAGE_BYTES - _MANY_OVERHEAD
    cut: list[object] = []
    for item in items:
        room -= len(msgpack.packb(item))
        # Five bytes stand for one that is left out.
        cut.append(item if room >= 5 * (len(items) - len(cut)) else (int(Status.TRUNCATED), None))
    return cut
