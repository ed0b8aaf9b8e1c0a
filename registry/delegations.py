"""What a zone's administrators and children ask about delegations: requests to reads and writes of system records.

One of these serves all sessions of a registry, so that two changes of one child's records never cross: the second is
sent away until the first is on the disk. No sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.identifiers import normal_prefix
from protocol.limits import (
    MAX_CODE_ATTEMPTS,
    MAX_CODE_HOURS,
    MAX_LIST,
    MAX_MESSAGE_BYTES,
)
from protocol.messages import BAD_ARGUMENTS, Op, encode_failure, encode_response, is_page
from protocol.signatures import PublicKey
from protocol.statements import DelegationRequest, read_delegation, read_request
from protocol.status import Status
from registry.delegating import (
    WRONG_CODE,
    Code,
    Parent,
    Standing,
    judge_child,
    judge_delegation,
    judge_request,
)
from registry.store.interface import Entry, Page, Store
from registry.store.system import (
    CODES,
    DELEGATIONS,
    REQUESTS,
    child_of,
    find_cut,
    read_system,
    system_identifier,
    system_write,
)
from registry.store.writes import Outcome, Write

UNDER_WAY: Final = Rule(
    "delegating.under-way",
    Status.CONFLICT,
    "another change of the delegation of '{child}' is under way; send this again",
    "“{child}”的授权正在被修改，请重新发送",
)

_SECONDS_BYTES: Final = 8


class SystemBatch(NamedTuple):
    """Writes of system records that were understood, and what to answer once they were carried out or could not be."""

    writes: Sequence[Write]
    response: Callable[[list[Outcome] | BiaoshiError], bytes]


Answer = bytes | SystemBatch


class Delegations:
    """Answers for the zone ``parent``; ``clock`` gives seconds since 1970. ``parent`` is replaced when keys or the
    node's own delegation were renewed."""

    def __init__(self, store: Store, parent: Parent, clock: Callable[[], float]) -> None:
        self.parent = parent
        self._store = store
        self._clock = clock
        self._under_way: set[str] = set()
        self._attempts: dict[str, int] = {}
        self.for_administrators: dict[int, Callable[[int, tuple[object, ...]], Answer]] = {
            Op.DELEGATE: self._delegate,
            Op.REVOKE: self._revoke,
            Op.DELEGATIONS: self._delegations,
            Op.CODE: self._code,
            Op.REQUESTS: self._requests,
        }
        self.for_anybody: dict[int, Callable[[int, tuple[object, ...]], Answer]] = {Op.REQUEST: self._request}

    # Giving and taking back -----------------------------------------------------------------------

    def _delegate(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case (bytes(statement),):
                child = read_delegation(statement).claim.child
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="delegate", reason="expected [22, rid, delegation]")
        standing = self._standing(child)
        if standing.statement == statement:  # sent again
            return encode_response(rid, Status.OK, standing.serial)
        claim = judge_delegation(statement, self.parent, standing, int(self._clock()))
        writes = [system_write(DELEGATIONS, child, {"DELEGATION": statement}, standing.serial)]
        waiting = self._waiting(child)
        if waiting and (waiting.keys, waiting.addresses) == (claim.keys, claim.addresses):
            writes.append(system_write(REQUESTS, child, None))
        return self._carry_out(rid, child, writes, lambda outcome: (int(outcome.status), outcome.version))

    def _revoke(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case (bytes(raw), (None | int()) as serial) if serial is None or serial > 0:
                child = _text(raw)
            case _:
                reason = "expected [23, rid, prefix, serial or nil]"
                raise MessageError(BAD_ARGUMENTS, operation="revoke", reason=reason)
        write = system_write(DELEGATIONS, child, None, serial)
        return self._carry_out(rid, child, [write], lambda outcome: (int(outcome.status), outcome.version))

    # Codes and requests ---------------------------------------------------------------------------

    def _code(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case (bytes(raw), int(algorithm), bytes(public), int(hours)) if 0 < hours <= MAX_CODE_HOURS:
                child, key = _text(raw), PublicKey(algorithm, public)
            case _:
                reason = f"expected [25, rid, prefix, algorithm, public key, hours up to {MAX_CODE_HOURS}]"
                raise MessageError(BAD_ARGUMENTS, operation="code", reason=reason)
        judge_child(child, self.parent, self._standing(child))
        until = int(self._clock()) + hours * 3_600
        contents = {"KEY": bytes((algorithm,)) + key.raw, "UNTIL": until.to_bytes(_SECONDS_BYTES, "big")}
        self._attempts.pop(child, None)
        return self._carry_out(rid, child, [system_write(CODES, child, contents)], lambda _: (int(Status.OK), until))

    def _request(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case (bytes(statement), (None | bytes()) as signature):
                request = read_request(statement)
            case _:
                reason = "expected [26, rid, request, signature or nil]"
                raise MessageError(BAD_ARGUMENTS, operation="request", reason=reason)
        child = request.child
        standing = self._standing(child)
        if self._is_known(statement, request, standing):
            return encode_response(rid, Status.OK, None)
        code = self._code_of(child)
        try:
            judge_request(statement, signature, code, self.parent, standing, int(self._clock()))
        except Refused as refused:
            if refused.rule is not WRONG_CODE or not self._too_many_attempts(child):
                raise
            failure = encode_failure(rid, refused)
            return self._carry_out(rid, child, [system_write(CODES, child, None)], lambda _: failure)
        writes = [system_write(REQUESTS, child, {"REQUEST": statement})]
        if signature is not None:
            writes.append(system_write(CODES, child, None))  # it serves once
        return self._carry_out(rid, child, writes, lambda outcome: (int(outcome.status), None))

    def _is_known(self, statement: bytes, request: DelegationRequest, standing: Standing) -> bool:
        """Whether a request waits already, or asks for what is."""
        _, contents = read_system(self._store.find(system_identifier(REQUESTS, request.child)))
        if contents is not None and contents["REQUEST"] == statement:
            return True
        if standing.statement is None:
            return False
        given = read_delegation(standing.statement).claim
        return (given.keys, given.addresses) == (request.keys, request.addresses)

    def _too_many_attempts(self, child: str) -> bool:
        """Count a wrong code."""
        self._attempts[child] = self._attempts.get(child, 0) + 1
        if self._attempts[child] < MAX_CODE_ATTEMPTS:
            return False
        del self._attempts[child]
        return True

    # Lists ----------------------------------------------------------------------------------------

    def _delegations(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case (bytes(raw), None, int()):
                child = _text(raw)
                serial, contents = read_system(self._store.find(system_identifier(DELEGATIONS, child)))
                found = [(child, serial, contents and contents["DELEGATION"])] if serial else []
                return encode_response(rid, Status.OK, [found, None])
            case (None, (None | bytes()) as cursor, int(limit)) if is_page(cursor, limit):
                return self._page(rid, DELEGATIONS, cursor, limit, _delegation_item)
        reason = f"expected [24, rid, prefix or nil, cursor or nil, limit up to {MAX_LIST}]"
        raise MessageError(BAD_ARGUMENTS, operation="delegations", reason=reason)

    def _requests(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        match arguments:
            case ((None | bytes()) as cursor, int(limit)) if is_page(cursor, limit):
                return self._page(rid, REQUESTS, cursor, limit, _request_item)
        reason = f"expected [27, rid, cursor or nil, limit up to {MAX_LIST}]"
        raise MessageError(BAD_ARGUMENTS, operation="requests", reason=reason)

    def _page(
        self, rid: int, prefix: bytes, cursor: bytes | None, limit: int, item: Callable[[Entry], object]
    ) -> bytes:
        while True:
            page: Page = self._store.scan(prefix.decode(), cursor, limit)
            items = [one for one in map(item, page.entries) if one is not None]
            response = encode_response(rid, Status.OK, [items, page.cursor])
            if len(response) <= MAX_MESSAGE_BYTES:
                return response
            limit //= 2  # statements are long: a shorter page, the cursor goes on from there

    # The store ------------------------------------------------------------------------------------

    def _standing(self, child: str) -> Standing:
        serial, contents = read_system(self._store.find(system_identifier(DELEGATIONS, child)))
        cut = find_cut(self._store.find, child)
        above = cut.child if cut is not None and cut.child != child else None
        return Standing(serial, contents["DELEGATION"] if contents else None, above)

    def _waiting(self, child: str) -> DelegationRequest | None:
        _, contents = read_system(self._store.find(system_identifier(REQUESTS, child)))
        return read_request(contents["REQUEST"]) if contents else None

    def _code_of(self, child: str) -> Code | None:
        _, contents = read_system(self._store.find(system_identifier(CODES, child)))
        if contents is None:
            return None
        raw = contents["KEY"]
        return Code(PublicKey(raw[0], raw[1:]), int.from_bytes(contents["UNTIL"], "big"))

    def _carry_out(
        self, rid: int, child: str, writes: list[Write], answer: Callable[[Outcome], tuple[int, object] | bytes]
    ) -> SystemBatch:
        """Have writes carried out, nothing else about the child meanwhile; ``answer`` makes status and payload, or the
        response, from the outcome of the first. Raises :class:`Refused`."""
        if child in self._under_way:
            raise Refused(UNDER_WAY, UNDER_WAY.status, child=child)
        self._under_way.add(child)

        def response(result: list[Outcome] | BiaoshiError) -> bytes:
            self._under_way.discard(child)
            if isinstance(result, BiaoshiError):
                return encode_failure(rid, result)
            answered = answer(result[0])
            return answered if isinstance(answered, bytes) else encode_response(rid, *answered)

        return SystemBatch(writes, response)


def _delegation_item(entry: Entry) -> object:
    serial, contents = read_system(entry.body)
    return child_of(entry.identifier), serial, contents and contents["DELEGATION"]


def _request_item(entry: Entry) -> object:
    _, contents = read_system(entry.body)
    return contents and contents["REQUEST"]


def _text(raw: bytes) -> str:
    """A prefix in normal form. Raises :class:`~protocol.errors.IdentifierError`."""
    return normal_prefix(raw).decode()
