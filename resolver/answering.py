"""Requests to responses.

An answerer knows a store's reader and what the node is; it knows no connection. Two ways lead through it:
:meth:`Answerer.plain` takes a run of ordinary resolves at once, with no object made per request but the
response itself, and declines anything else; :meth:`Answerer.one` takes any single request, with care.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as struct_error
from typing import Final

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
from registry.store.interface import Reader

_SHORT_HEAD: Final = Struct(">BBQBBB").pack
_LONG_HEAD: Final = Struct(">BBQBBH").pack
_RESOLVES: Final = {int(Op.RESOLVE)}
_NO_FLAGS: Final = {0}
_BYTES: Final = {bytes}

_MANY_OVERHEAD: Final = 64
"""Bytes of a resolve-many response around its items."""


class Answerer:
    """Answers requests from what ``reader`` sees."""

    def __init__(self, reader: Reader, facts: NodeFacts) -> None:
        self._reader = reader
        self._facts = facts
        self._started = time.monotonic()
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
            heads = [
                _SHORT_HEAD(0x93, 0xCF, rid, 0, 0xC4, len(body)) if body and len(body) < 256
                else self._uncommon_head(rid, body, identifier)
                for rid, body, identifier in zip(rids, bodies, identifiers, strict=True)
            ]  # fmt: skip
        except (TypeError, ValueError, struct_error, BiaoshiError):
            return None  # something is out of the ordinary: each request is looked at by itself
        parts = [b""] * (2 * len(heads))
        parts[::2] = heads
        parts[1::2] = [body or b"" for body in bodies]
        return parts

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

    def _uncommon_head(self, rid: int, body: bytes | None, identifier: bytes) -> bytes:
        """What stands before a long body, or is the whole response where there is none."""
        if body is None:
            return self._not_active(rid, identifier)
        return _LONG_HEAD(0x93, 0xCF, rid, 0, 0xC5, len(body))

    def _resolve(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(identifier), *_) if len(arguments) <= 3:
                body = self._reader.get_many((identifier,))[0]
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
        counts = self._reader.counts()
        facts = self._facts
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
