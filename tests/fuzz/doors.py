"""What a server makes of a stranger's requests: judges like those of ``decoders``, for the doors of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from protocol.errors import BiaoshiError, MessageError, StoreError
from protocol.framing import MessageStream, decode_one, split
from protocol.identifiers import covers, normal
from protocol.kept import is_templated
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.messages import Op, encode_failure, encode_request, read_request, read_response, refusal
from protocol.node import NodeFacts
from protocol.records import encode_values
from protocol.runs import read_run, read_single
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.delegations import SystemBatch
from registry.feeding import Poll
from registry.intake import read_write
from registry.rights import Rights, challenge_bytes, permits
from registry.session import Batch, Session
from registry.store.memory import MemoryStore
from registry.store.system import is_system
from registry.store.writes import ANY, Write
from resolver.answering import Answerer
from resolver.authenticating import AUTHENTICATING, Authentication
from resolver.readers import Readers
from tests.vectors.actors import IDENTIFIER, SECONDARY_CHAIN, VALUES

MOST: Final = 256
"""Requests of a run, and messages of a stream that are judged."""

ZONE: Final = "88.118"
FACTS: Final = NodeFacts("secondary", ZONE, "biaoshi/fuzz", SECONDARY_CHAIN)
WRITER: Final = SigningKey(b"w" * 32)
RIGHTS: Final = Rights({WRITER.public: [ZONE]}, ZONE)


def stock() -> MemoryStore:
    """A store with a record and a withdrawn one."""
    store = MemoryStore()
    values = encode_values(VALUES)
    store.apply([Write(IDENTIFIER, ANY, values), Write(b"88.118.1/gone", ANY, values)], 1)
    store.apply([Write(b"88.118.1/gone", ANY, None)], 2)
    return store


def messages(data: bytes) -> Iterator[tuple[object, bytes]]:
    """The first messages of a stream, up to one that is none."""
    stream = MessageStream()
    try:
        stream.feed(data)
        for _ in range(MOST):
            taken, wire = stream.take(1)
            if not taken:
                return
            yield taken[0], wire
    except MessageError:
        return


@cache
def answerer() -> Answerer:
    """What a resolver's worker asks."""
    return Answerer(stock(), FACTS)


def check_response(request: object, wire: bytes) -> tuple[int, object]:
    """A response is one message, answers its request, and has a status of the table; status and payload."""
    assert len(wire) <= MAX_MESSAGE_BYTES
    response = read_response(decode_one(wire, MAX_MESSAGE_BYTES))
    try:
        rid = read_request(request)[1]
    except MessageError:
        assert response.status == Status.BAD_REQUEST
    else:
        assert response.rid == rid
    status = Status(response.status)
    if status is not Status.OK:
        assert str(refusal(response.status, response.payload))
    return response.status, response.payload


def judge_resolver(data: bytes) -> None:
    """Every request gets a response; the quick ways say the same as the careful one."""
    asking = answerer()
    for message, wire in messages(data):
        careful = check_response(message, asking.one(message))
        parts = asking.plain([message])
        if parts is not None:
            assert check_response(message, b"".join(parts)) == careful
        single = read_single(wire)
        if single is not None:
            response = asking.single(*single)
            assert response is not None
            assert check_response(message, response) == careful


def judge_run(data: bytes) -> None:
    """A run is what its bytes decode to: resolves, one behind the other, and nothing else."""
    run, single = read_run(data, MOST), read_single(data)
    if run is None:
        assert single is None
        return
    found = [message for message, _ in split(data)]
    assert 0 < len(found) == len(run.echoes) == len(run.identifiers) <= MOST
    assert single in (None, (run.echoes[0], run.identifiers[0]))
    for message, echo, identifier in zip(found, run.echoes, run.identifiers, strict=True):
        op, rid, (asked, *more) = read_request(message)
        assert (op, b"\xcf" + rid.to_bytes(8, "big"), asked) == (Op.RESOLVE, echo, identifier)
        assert (more[0] if more else 0) == run.flags
        assert len(more) <= 2


def judge_readers(data: bytes) -> None:
    """A stranger becomes nobody's reader, whatever it proves; a reader is answered whatever a stranger is."""
    readers = Readers(answerer()._reader, FACTS, {WRITER.public: [ZONE]}, (), steady=lambda: 0.0)
    stranger = Authentication(readers, "127.0.0.1")
    reader = readers.answerer(lambda: readers.by_key(WRITER.public))
    for message, _ in messages(data):
        try:
            op, _, arguments = read_request(message)
        except MessageError:
            continue
        if op not in AUTHENTICATING:
            everybodys = check_response(message, answerer().one(message))
            assert check_response(message, reader.one(message))[0] == everybodys[0]
            continue
        status, _ = check_response(message, stranger.answer(message, WRITER.public))
        assert stranger.answerer is None
        assert status != Status.OK or (op == Op.AUTHENTICATE and len(arguments) == 2)


def judge_registry(data: bytes) -> None:
    """A stranger gets nothing written and no rights; a writer's batch is checked write by write."""
    store = stock()
    before = store.counts()
    stranger, writer = (Session(store, FACTS, RIGHTS, lambda: {"zone": ZONE}) for _ in range(2))
    _prove(writer)
    for message, _ in messages(data):
        refused = stranger.answer(message)
        assert isinstance(refused, bytes)
        check_response(message, refused)
        answer = writer.answer(message)
        if isinstance(answer, Batch):
            _check_batch(answer, message)
            check_response(message, answer.response(store.apply(answer.writes, 3)))
            before = store.counts()
        elif isinstance(answer, SystemBatch):
            assert all(is_system(write.identifier) for write in answer.writes)
            check_response(message, answer.response(store.apply(answer.writes, 3)))
            before = store.counts()
        elif isinstance(answer, Poll):
            check_response(message, _waited(answer))
        else:
            check_response(message, answer)
    assert store.counts() == before
    status, _ = check_response((int(Op.FETCH), 1), _asked(stranger, Op.FETCH, [IDENTIFIER]))
    assert status == Status.NOT_AUTHENTICATED


def _waited(poll: Poll) -> bytes:
    """What comes of a wait for news whose time is up."""
    try:
        return poll.response(final=True) or b""
    except StoreError as error:
        return encode_failure(poll.rid, error)


def _asked(session: Session, op: Op, *arguments: object) -> bytes:
    answer = session.answer(decode_one(encode_request(op, 1, *arguments)))
    assert isinstance(answer, bytes)
    return answer


def _prove(session: Session) -> None:
    _, nonce = check_response((0, 1), _asked(session, Op.AUTHENTICATE, 1, WRITER.public.raw))
    assert isinstance(nonce, bytes)
    signature = WRITER.sign(challenge_bytes(ZONE, nonce))
    assert check_response((0, 1), _asked(session, Op.PROVE, signature))[0] == Status.OK


def _check_batch(batch: Batch, message: object) -> None:
    """The batch is what each write by itself would be, and lies in the zone."""
    _, _, (items,) = read_request(message)
    assert isinstance(items, tuple)
    assert len(items) == batch.items == len(batch.writes) + len(batch.refused)
    writes = iter(batch.writes)
    for i, item in enumerate(items):
        try:
            alone = read_write(item)
        except BiaoshiError:
            assert i in batch.refused
            continue
        prefix = alone.identifier.partition(b"/")[0].decode()
        if permits((ZONE,), prefix) and i in batch.refused:
            assert is_templated(alone.values or b""), "only a template can still refuse it"
        assert permits((ZONE,), prefix) or i in batch.refused
        if i not in batch.refused:
            assert next(writes) == alone
            assert covers(ZONE, prefix)
            assert normal(alone.identifier) == alone.identifier


DOORS: Final[dict[str, Callable[[bytes], None]]] = {
    "resolver": judge_resolver,
    "run": judge_run,
    "readers": judge_readers,
    "registry": judge_registry,
}
