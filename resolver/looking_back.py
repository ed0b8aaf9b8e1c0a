"""AS_OF and HISTORY: what a record was, at an authoritative node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgpack

from protocol.errors import MessageError
from protocol.identifiers import normal
from protocol.limits import ABSENT_TTL_SECONDS, MAX_LIST, MAX_MESSAGE_BYTES
from protocol.messages import BAD_ARGUMENTS, Op, encode_response, is_page
from protocol.records import NOT_SHOWN, State, bare_body, split_body
from protocol.status import Status
from registry.store.history import as_of
from registry.store.interface import Reader

_OVERHEAD_BYTES: Final = 64
"""Bytes of a response around its bodies."""

Elsewhere = Callable[[bytes], tuple[int, object] | None]


class LookingBack:
    """Answers from what ``reader`` sees; ``elsewhere`` gives status and payload where somebody else answers for an
    identifier."""

    def __init__(self, reader: Reader, elsewhere: Elsewhere) -> None:
        self._reader = reader
        self._elsewhere = elsewhere
        self.operations: dict[int, Callable[[int, tuple[object, ...]], bytes]] = {
            Op.AS_OF: self._as_of,
            Op.HISTORY: self._history,
        }

    def _as_of(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(identifier), int(at)) if type(at) is int and at >= 0:
                wanted = normal(identifier)
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="as-of", reason="expected [9, rid, identifier, seconds]")
        status, payload = self._elsewhere(wanted) or self._stood(wanted, at)
        return encode_response(rid, status, payload)

    def _stood(self, identifier: bytes, at: int) -> tuple[int, object]:
        body = as_of(identifier, self._reader.history(identifier), at)
        if body is None:
            return int(Status.NOT_FOUND), ABSENT_TTL_SECONDS
        head = split_body(body)
        if head.state is not State.ACTIVE:
            return int(NOT_SHOWN[head.state]), bare_body(head)
        return int(Status.OK), self._reader.shown(identifier, body)

    def _shown(self, identifier: bytes, body: bytes) -> bytes:
        head = split_body(body)
        return self._reader.shown(identifier, body) if head.state is State.ACTIVE else bare_body(head)

    def _history(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(identifier), (None | int()) as before, int(limit)) if is_page(None, limit) and (
                before is None or (type(before) is int and before > 0)
            ):
                wanted = normal(identifier)
            case _:
                reason = f"expected [10, rid, identifier, version or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="history", reason=reason)
        elsewhere = self._elsewhere(wanted)
        if elsewhere is not None:
            return encode_response(rid, *elsewhere)
        bodies = self._reader.history(wanted)
        if not bodies:
            return encode_response(rid, Status.NOT_FOUND, ABSENT_TTL_SECONDS)
        asked = [body for body in bodies if before is None or split_body(body).version < before]
        room, shown = MAX_MESSAGE_BYTES - _OVERHEAD_BYTES, list[bytes]()
        for body in asked[:limit]:
            shown.append(self._shown(wanted, body))
            room -= len(msgpack.packb(shown[-1]))
            if room < 0:
                shown.pop()
                break
        return encode_response(rid, Status.OK, [shown, len(shown) < len(asked)])
