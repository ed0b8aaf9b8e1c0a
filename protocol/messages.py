"""Requests and responses.

::

    request  = [op, rid, argument, ...]
    response = [rid, status, payload]

``rid`` is an unsigned 64-bit integer of the client's choice, starting at random; it is always written in nine bytes
(0xcf). ``docs/protocol.md`` has every operation byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, NamedTuple

import msgpack

from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.limits import MAX_CURSOR_BYTES, MAX_LIST
from protocol.status import Status

MAX_RID: Final = 0xFFFF_FFFF_FFFF_FFFF

_RESPONSE_HEAD: Final = Struct(">HQ").pack


def _rule(name: str, en: str, zh: str, status: Status = Status.BAD_REQUEST) -> Rule:
    return Rule(f"message.{name}", status, en, zh)


NOT_A_REQUEST: Final = _rule(
    "not-a-request",
    "a request is an array [op, rid, …] with rid below 2^64",
    "请求应为数组 [op, rid, …]，且 rid 小于 2^64",
)
NOT_A_RESPONSE: Final = _rule(
    "not-a-response", "a response is an array [rid, status, payload]", "应答应为数组 [rid, status, payload]"
)
UNKNOWN_OPERATION: Final = _rule(
    "unknown-operation", "there is no operation {op} here", "此处没有操作 {op}", Status.UNKNOWN_OPERATION
)
REGISTRYS_PORT: Final = _rule(
    "registrys-port",
    "this is the port of a registry, which does not resolve (operation {op}); ask the resolver's, usually the number "
    "before it",
    "这是注册服务的端口，不提供解析（操作 {op}）；请改用解析服务的端口，通常比它小 1",
    Status.UNKNOWN_OPERATION,
)
RESOLVERS_PORT: Final = _rule(
    "resolvers-port",
    "this is the port of a resolver, which registers nothing (operation {op}); ask the registry's, usually the number "
    "behind it",
    "这是解析服务的端口，不受理注册（操作 {op}）；请改用注册服务的端口，通常比它大 1",
    Status.UNKNOWN_OPERATION,
)
NOT_A_READERS_DOOR: Final = _rule(
    "not-a-readers-door",
    "nobody proves here who it is (operation {op}): that is for the zone's own servers, over TCP; a recursive node "
    "passes no credential on",
    "此处不能证明身份（操作 {op}）：请通过 TCP 直接访问区域自身的服务器；递归节点不转交凭证",
    Status.UNKNOWN_OPERATION,
)
BAD_ARGUMENTS: Final = _rule("bad-arguments", "{operation}: {reason}", "{operation} 的参数不合法：{reason}")
TOO_MANY: Final = _rule(
    "too-many",
    "{operation} takes at most {limit} at a time, not {count}",
    "{operation} 一次最多 {limit} 个，而不是 {count} 个",
    Status.TOO_LARGE,
)
REFUSED: Final = _rule("refused", "the node answered: {sentence}", "节点答复：{sentence}")


class Op(IntEnum):
    """Operations by number. Below 16 the resolver answers, from 16 the registry; AUTHENTICATE and PROVE both do."""

    HELLO = 0
    RESOLVE = 1
    RESOLVE_MANY = 2
    LIST = 3
    CHAIN = 4
    PING = 5
    STATUS = 6
    SUCCESSION = 7
    TRACE = 8
    AS_OF = 9
    HISTORY = 10
    TOKEN = 11
    AUTHENTICATE = 16
    PROVE = 17
    WRITE = 18
    FETCH = 19
    RECORDS = 20
    CHANGES = 21
    DELEGATE = 22
    REVOKE = 23
    DELEGATIONS = 24
    CODE = 25
    REQUEST = 26
    REQUESTS = 27
    VOUCHED = 28
    SEARCH = 29
    SERIES = 32
    SERIES_OF = 33
    RULE = 34
    RULES = 35
    MINT = 36
    REPORTER = 40
    PROVE_REPORTER = 41
    REPORT = 42
    STATISTICS = 43
    TEMPLATE = 44
    TEMPLATES = 45


_RESOLVERS: Final = frozenset({Op.RESOLVE, Op.RESOLVE_MANY, Op.LIST, Op.TRACE, Op.AS_OF, Op.HISTORY, Op.TOKEN})
_READERS: Final = frozenset({Op.AUTHENTICATE, Op.PROVE, Op.TOKEN})
_REGISTRYS: Final = frozenset(op for op in Op if op >= Op.AUTHENTICATE)


class Ask(IntFlag):
    """Flags of RESOLVE and HELLO."""

    NOTHING = 0
    ALONE = 1
    """RESOLVE: seal this answer in a bundle of its own, to keep it as a receipt."""
    PROOF = 2
    """RESOLVE, to a recursive node: hand on the authority's own answer with its seal (``relays``)."""
    UNSEALED = 1
    """HELLO: leave the seals out on this connection, if the node allows it."""


class Response(NamedTuple):
    """One response as it came, not verified."""

    rid: int
    status: int
    payload: object


def encode_request(op: Op, rid: int, *arguments: object) -> bytes:
    """The bytes of a request."""
    head = bytes((0x92 + len(arguments), op, 0xCF)) + rid.to_bytes(8, "big")
    return head + b"".join([msgpack.packb(argument) for argument in arguments])


def encode_response(rid: int, status: int, payload: object) -> bytes:
    """The bytes of a response. Raises :class:`struct.error` where ``rid`` is none."""
    return b"".join((_RESPONSE_HEAD(0x93CF, rid), msgpack.packb(int(status)), msgpack.packb(payload)))


def encode_failure(rid: int, error: BiaoshiError) -> bytes:
    """The response that carries an error: payload ``[rule, {detail: value}]``."""
    return encode_response(rid, error.status, failure_payload(error))


def failure_payload(error: BiaoshiError) -> list[object]:
    """The payload of a response that carries an error."""
    return [error.rule.name, error.details]


def read_response(message: object) -> Response:
    """Check a decoded message to be a response. Raises :class:`MessageError`."""
    if type(message) is tuple and len(message) == 3:
        rid, status, payload = message
        if type(rid) is int and 0 <= rid <= MAX_RID and type(status) is int:
            return Response(rid, status, payload)
    raise MessageError(NOT_A_RESPONSE)


def read_request(message: object) -> tuple[int, int, tuple[object, ...]]:
    """Check a decoded message to be a request: op, rid, arguments. Raises :class:`MessageError`."""
    if type(message) is tuple and len(message) >= 2:
        op, rid, *arguments = message
        if type(op) is int and type(rid) is int and 0 <= rid <= MAX_RID:
            return op, rid, tuple(arguments)
    raise MessageError(NOT_A_REQUEST)


def is_page(cursor: bytes | None, limit: int) -> bool:
    """Whether a page of a list may be asked for so: ``limit`` is no boolean, which Python takes for an integer."""
    return type(limit) is int and 0 < limit <= MAX_LIST and len(cursor or b"") <= MAX_CURSOR_BYTES


def unknown_to_registry(op: int) -> MessageError:
    """The error for an operation that a registry does not have."""
    return MessageError(REGISTRYS_PORT if op in _RESOLVERS else UNKNOWN_OPERATION, op=op)


def unknown_to_resolver(op: int) -> MessageError:
    """The error for an operation that a resolver, or its door, does not have."""
    if op in _READERS:
        return MessageError(NOT_A_READERS_DOOR, op=op)
    return MessageError(RESOLVERS_PORT if op in _REGISTRYS else UNKNOWN_OPERATION, op=op)


def refusal(status: int, payload: object) -> Refused:
    """The error for a response whose status is not OK, from its payload."""
    known = Status.named(status)
    match payload:
        case (bytes(name), Mapping() as details):
            rule = Rule.known.get(name.decode("utf-8", "replace"))
            if rule is not None:
                return Refused(rule, known, **_details(details))
    return Refused(REFUSED, known, sentence=known.sentence())


def _details(raw: Mapping[object, object]) -> dict[str, str | int | float]:
    details: dict[str, str | int | float] = {}
    for key, value in raw.items():
        if isinstance(key, bytes) and isinstance(value, (bytes, int, float)):
            shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            details[key.decode("utf-8", "replace")] = shown
    return details
