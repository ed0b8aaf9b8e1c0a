"""One writer's session: what it has proven, and what its requests mean. No sockets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from protocol.challenges import CHALLENGE_BYTES
from protocol.errors import BiaoshiError, MessageError, Refused, Rule
from protocol.identifiers import normal, normal_prefix
from protocol.limits import MAX_INDEX, MAX_LIST, MAX_MANY, MAX_MESSAGE_BYTES, MAX_WRITES
from protocol.messages import (
    BAD_ARGUMENTS,
    TOO_MANY,
    Op,
    encode_failure,
    encode_response,
    is_page,
    read_request,
    unknown_to_registry,
)
from protocol.node import NodeFacts, answer_chain_to, answer_common
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.delegations import Delegations, SystemBatch
from registry.feeding import Poll, read_question
from registry.gate import Gate
from registry.intake import read_writes
from registry.minting.desk import MintDesk, Reserved
from registry.rights import (
    NO_PROOF,
    NOT_AUTHENTICATED,
    ONLY_FOLLOWERS,
    OTHER_PREFIX,
    WHOLE_ZONE,
    WHOLE_ZONE_DELEGATES,
    Rights,
    challenge_bytes,
)
from registry.series.desk import SeriesDesk
from registry.statistics.desk import Desk
from registry.store.callers.permissions import Caller, Operation, allows, where
from registry.store.interface import Store
from registry.store.series import Listed, list_page
from registry.store.writes import Outcome, Write
from registry.templates.checking import Checkers
from registry.templates.desk import TemplateDesk


class Batch(NamedTuple):
    """A write request that was understood: what is to be carried out, and what was refused at its place."""

    rid: int
    writes: list[Write]
    refused: dict[int, object]
    items: int

    def response(self, result: list[Outcome] | BiaoshiError) -> bytes:
        """The response, once the writes were carried out or could not be."""
        if isinstance(result, BiaoshiError):
            return encode_failure(self.rid, result)
        if not self.refused:
            return encode_response(self.rid, Status.OK, result)
        outcomes = iter(result)
        items = [self.refused[i] if i in self.refused else next(outcomes) for i in range(self.items)]
        return encode_response(self.rid, Status.OK, items)


Answer = bytes | Batch | SystemBatch | Poll


class Session:
    """The state of one connection to the registry."""

    def __init__(
        self,
        store: Store,
        facts: NodeFacts,
        rights: Rights,
        status: Callable[[], dict[str, object]],
        delegations: Delegations | None = None,
        *,
        period: int | None = 3_600,
        checkers: Checkers | None = None,
        reserved: Reserved | None = None,
    ) -> None:
        """``period`` are the seconds of an hour of statistics; None where there are none, as at a copy. ``checkers``
        are those that all sessions share, ``reserved`` is what all together have minted (``registry.minting.desk``)."""
        self._checkers = checkers or Checkers(store.find)
        self._delegations = delegations
        self._store = store
        self._facts = facts
        self._rights = rights
        self._status = status
        self._claimed: PublicKey | None = None
        self._nonce = b""
        self._key: PublicKey | None = None
        """The key that was proven here. What it is good for is asked of ``rights`` each time: it may be revoked."""
        self._follower: str | None = None
        self._gate = Gate(self._caller, rights.barrier, time.time)
        self._operations: dict[int, Callable[[int, tuple[object, ...]], Answer]] = {
            Op.CHAIN: self._chain,
            Op.STATUS: self._answer_status,
            Op.AUTHENTICATE: self._authenticate,
            Op.PROVE: self._prove,
            Op.WRITE: self._write,
            Op.FETCH: self._fetch,
            Op.RECORDS: self._records,
            Op.SEARCH: self._search,
            Op.CHANGES: self._changes,
            Op.VOUCHED: self._vouched,
        }
        self._operations |= TemplateDesk(store, self._checkers, self._gate).operations
        if period is not None:
            self._operations |= SeriesDesk(store, self._checkers, self._gate).operations
            minting = MintDesk(store, self._gate, time.time, Reserved() if reserved is None else reserved)
            self._operations |= minting.operations
            self._operations |= Desk(store, facts.zone, self._may_read_statistics, time.time, period).operations

    @property
    def proven(self) -> bool:
        """Whether a writer's or a follower's key was proven."""
        return self._key is not None

    def answer(self, request: object) -> Answer:
        """The response to a request, or what comes before there is one: a batch to be written, a wait for news."""
        rid = 0
        try:
            op, rid, arguments = read_request(request)
            operation = self._operations.get(op)
            if operation is not None:
                return operation(rid, arguments)
            if self._delegations is not None:
                if op in self._delegations.for_anybody:
                    return self._delegations.for_anybody[op](rid, arguments)
                if op in self._delegations.for_administrators:
                    self._require_zone(Operation.DELEGATION_CHANGE, WHOLE_ZONE_DELEGATES)
                    return self._delegations.for_administrators[op](rid, arguments)
            common = answer_common(self._facts, op, rid, arguments)
            if common is None:
                raise unknown_to_registry(op)
        except BiaoshiError as error:
            return encode_failure(rid, error)
        else:
            return common

    def _chain(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        below = answer_chain_to(self._facts, rid, arguments, self._store.cut, int(time.time()))
        return encode_response(rid, Status.OK, self._facts.chain) if below is None else below

    def _answer_status(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        return encode_response(rid, Status.OK, self._status())

    # Who is it? -----------------------------------------------------------------------------------

    def _authenticate(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (int(algorithm), bytes(raw)):
                key = PublicKey(algorithm, raw)
            case _:
                reason = "expected [16, rid, algorithm, public key]"
                raise MessageError(BAD_ARGUMENTS, operation="authenticate", reason=reason)
        self._rights.caller(key)
        self._claimed, self._nonce = key, os.urandom(CHALLENGE_BYTES)
        self._key, self._follower = None, None
        return encode_response(rid, Status.OK, self._nonce)

    def _prove(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        match arguments:
            case (bytes(signature),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="prove", reason="expected [17, rid, signature]")
        key, nonce = self._claimed, self._nonce
        self._claimed, self._nonce = None, b""  # a challenge serves once
        challenge = challenge_bytes(self._facts.zone, nonce, at_copy=key in self._rights.at_copy)
        if key is None or not key.verifies(signature, challenge):
            raise Refused(NO_PROOF, Status.NOT_AUTHENTICATED)
        caller = self._rights.caller(key)
        self._key, self._follower = key, self._rights.followers.name(key)
        return encode_response(rid, Status.OK, list(where(caller, Operation.RECORD_WRITE, int(time.time()))))

    # Writing --------------------------------------------------------------------------------------

    def _write(self, rid: int, arguments: tuple[object, ...]) -> Batch:
        caller = self._caller()
        match arguments:
            case (tuple(items),):
                pass
            case _:
                raise MessageError(BAD_ARGUMENTS, operation="write", reason="expected [18, rid, [write, …]]")
        if len(items) > MAX_WRITES:
            raise MessageError(TOO_MANY, operation="write", limit=MAX_WRITES, count=len(items))
        writable = where(caller, Operation.RECORD_WRITE, int(time.time()))
        intake = read_writes(items, writable, self._store.cut, self._rights.barrier, self._checkers.check)
        return Batch(rid, intake.writes, intake.refused, len(items))

    # Reading --------------------------------------------------------------------------------------

    def _fetch(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        self._caller()
        match arguments:
            case (tuple(raw),) if len(raw) <= MAX_MANY and all(type(one) is bytes for one in raw):
                identifiers = [normal(one) for one in raw]
            case _:
                reason = f"expected [19, rid, [identifier, …]], at most {MAX_MANY}"
                raise MessageError(BAD_ARGUMENTS, operation="fetch", reason=reason)
        for identifier in identifiers:
            self._gate.require(Operation.RECORD_READ, identifier.partition(b"/")[0].decode())
        return _fitting(rid, [self._store.find(identifier) for identifier in identifiers])

    def _records(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        self._caller()
        match arguments:
            case (bytes(raw_prefix), (None | bytes()) as cursor, int(limit)) if is_page(cursor, limit):
                prefix = normal_prefix(raw_prefix).decode()
            case _:
                reason = f"expected [20, rid, prefix, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="records", reason=reason)
        self._gate.require(Operation.RECORD_READ, prefix)

        def read(limit: int) -> tuple[list[object], bytes | None]:
            page = list_page(self._store, prefix, cursor, limit)
            return _items(page.entries), page.cursor

        return _page(rid, limit, read)

    def _search(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        self._caller()
        match arguments:
            case (bytes(raw_prefix), int(item), bytes(data), (None | bytes()) as cursor, int(limit)) if (
                type(item) is int and 0 < item <= MAX_INDEX and is_page(cursor, limit)
            ):
                prefix = normal_prefix(raw_prefix).decode()
            case _:
                reason = f"expected [29, rid, prefix, item, data, cursor or nil, limit up to {MAX_LIST}]"
                raise MessageError(BAD_ARGUMENTS, operation="search", reason=reason)
        self._gate.require(Operation.RECORD_READ, prefix)

        def read(limit: int) -> tuple[list[object], bytes | None]:
            page = self._store.search(prefix, item, data, cursor, limit)
            return [(entry.identifier.decode(), entry.body) for entry in page.entries], page.cursor

        return _page(rid, limit, read)

    def _changes(self, rid: int, arguments: tuple[object, ...]) -> Answer:
        if self._follower is None:
            self._caller()
        question = read_question(arguments)
        poll = Poll(rid, question, self._store, self._follower, self._check_feed)
        poll.check()
        return poll if question.wait_ms or self._follower else poll.response(final=True) or b""

    def _vouched(self, rid: int, arguments: tuple[object, ...]) -> bytes:
        if self._follower is None:
            self._caller()
            raise Refused(ONLY_FOLLOWERS, ONLY_FOLLOWERS.status)
        return encode_response(rid, Status.OK, self._rights.vouched.get(self._follower))

    def _caller(self) -> Caller:
        """Who speaks here, as of now. Raises :class:`Refused` where nobody has proven a key, where it was revoked, and
        where it is good for following only."""
        if self._key is None:
            raise Refused(NOT_AUTHENTICATED, Status.NOT_AUTHENTICATED)
        caller = self._rights.caller(self._key)
        if not caller.roles:
            raise Refused(OTHER_PREFIX, Status.NOT_PERMITTED, prefix=self._facts.zone)
        return caller

    def _check_feed(self) -> None:
        if self._follower is None:
            self._require_zone(Operation.FEED_READ, WHOLE_ZONE)

    def _require_zone(self, operation: Operation, rule: Rule) -> None:
        if not self._gate.allows(operation, self._facts.zone):
            raise Refused(rule, rule.status, zone=self._facts.zone)

    def _may_read_statistics(self) -> bool:
        if self._key is None:
            return False
        return allows(self._rights.caller(self._key), Operation.STATISTICS_READ, self._facts.zone, int(time.time()))


def _page(rid: int, limit: int, read: Callable[[int], tuple[list[object], bytes | None]]) -> bytes:
    """A response with as many items as fit one message, up to ``limit``; its cursor goes on from there."""
    while True:
        items, cursor = read(limit)
        response = encode_response(rid, Status.OK, [items, cursor])
        if len(response) <= MAX_MESSAGE_BYTES:
            return response
        limit //= 2


def _items(entries: list[Listed]) -> list[object]:
    return [one if one.members else one[:2] for one in entries]


def _fitting(rid: int, bodies: list[bytes | None]) -> bytes:
    """A response with as many bodies as fit one message: those that do not stay away from its end."""
    response = encode_response(rid, Status.OK, bodies)
    while len(response) > MAX_MESSAGE_BYTES:
        bodies = bodies[: len(bodies) // 2]
        response = encode_response(rid, Status.OK, bodies)
    return response
