"""Every decoder that sees bytes of a stranger, with what it may answer, and what must be true of a value.

A judge takes any bytes. It returns quietly where the decoder gave a value that passes its checks, or one of its
documented errors; any other exception is a finding. Used by the property tests and by the fuzzer.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, TypeVar

import msgpack
import msgspec

from protocol.errors import (
    BiaoshiError,
    IdentifierError,
    InvalidInput,
    MessageError,
    NotVerified,
    RecordError,
    Refused,
    StoreError,
)
from protocol.exchange import Exchange, Reply
from protocol.framing import MessageStream, decode_one, split
from protocol.identifiers import Identifier, normal, normal_prefix, parse
from protocol.kept import decode_kept, encode_data, is_templated, read_data
from protocol.limits import MAX_IDENTIFIER_BYTES, MAX_MESSAGE_BYTES, MAX_PREFIX_BYTES
from protocol.messages import Op, read_request, read_response, refusal
from protocol.receipts import verify_receipt
from protocol.records import (
    BAD_READER,
    MAX_RECORD_BYTES,
    NO_VALUES,
    SAME_INDEX,
    State,
    are_public,
    check_values,
    decode_body,
    encode_body,
    encode_values,
    public_body,
    split_body,
)
from protocol.seals import encode_seal, is_seal, read_seal
from protocol.series import Series, parse_series
from protocol.statements import read_delegation, read_online_key
from protocol.statements import read_request as read_delegation_request
from protocol.succession import read_succession
from protocol.templated import Checker, Expander
from protocol.templates import check_template, encode_template, most_added, read_template
from registry.api.items import item_write, refusal_of
from registry.api.lines import Block, read_block
from registry.api.reading import read_json
from registry.api.records import BatchInput
from registry.audit.chain import Entry, encode_entry, first_link, follow
from registry.audit.export import export, sign_head, verify
from registry.audit.log import KeptEntry
from registry.feeding import read_page
from registry.intake import read_writes
from registry.store.feed import FeedPage
from registry.store.memory import MemoryStore
from registry.store.series import SERIES, series_identifier, series_of
from registry.templates.checking import Checkers
from tests.fuzz.doors import DOORS
from tests.fuzz.gs1 import GS1
from tests.fuzz.handles import HANDLES
from tests.protocol import plain
from tests.protocol.simulator import Server, client
from tests.registry.store.builders import everything
from tests.vectors.actors import ANCHOR, IDENTIFIER, NOW, NOW_MS, SECONDARY, SECONDARY_CHAIN, TOP
from tests.vectors.templating import PUMP

Judge = Callable[[bytes], None]
Value = TypeVar("Value")


def attempt(function: Callable[[bytes], Value], data: bytes, error: type[BiaoshiError]) -> Value | BiaoshiError:
    """What a decoder makes of bytes: a value, or its documented error, which must have a sentence."""
    try:
        return function(data)
    except error as refused:
        fault = refused
    assert str(fault)
    return fault


def same(one: object, other: object) -> bool:
    """Equality that also holds for NaN and for any depth."""
    return marshal.dumps(one, 2) == marshal.dumps(other, 2)


# Streams -------------------------------------------------------------------------------------------------


def taken(pieces: Iterator[bytes]) -> tuple[list[object], bytes, str]:
    """Messages, their bytes, and the name of the rule that ended it (or none)."""
    stream = MessageStream()
    messages: list[object] = []
    wires: list[bytes] = []
    try:
        for piece in pieces:
            stream.feed(piece)
            for message, wire in stream.take_each():
                messages.append(message)
                wires.append(wire)
        while rest := stream.take(2)[0]:
            messages += rest
    except MessageError as error:
        return messages, b"".join(wires), error.rule.name
    return messages, b"".join(wires), ""


def cuts(data: bytes) -> Iterator[bytes]:
    """The bytes in pieces whose lengths depend on the bytes themselves."""
    at = 0
    while at < len(data):
        length = 1 + data[at] % 13
        yield data[at : at + length]
        at += length


def judge_stream(data: bytes) -> None:
    """Whole, in pieces and byte by byte: the same messages, the same bytes, and an end for the same reason."""
    whole = taken(iter((data,)))
    assert data.startswith(whole[1])
    pieces = taken(cuts(data))
    assert same(pieces[0], whole[0])
    assert pieces[1] == whole[1]
    # An array announced too large is refused when the decoder sees it, which may be once its message is whole.
    assert pieces[2] in {whole[2], ""}
    if len(data) <= 512:
        single = taken(data[i : i + 1] for i in range(len(data)))
        assert same(single[0], whole[0])
        assert single[1] == whole[1]


def judge_datagram(data: bytes) -> None:
    """One message, and what it may claim to be."""
    try:
        message = decode_one(data, MAX_MESSAGE_BYTES)
    except MessageError:
        return
    ((again, wire),) = split(data)
    assert same(again, message)
    assert wire == data
    try:
        op, rid, arguments = read_request(message)
        assert same((op, rid, *arguments), message)
    except MessageError:
        pass
    try:
        response = read_response(message)
        assert str(refusal(response.status, response.payload))
    except MessageError:
        pass
    try:
        seal = read_seal(message)
        assert is_seal(message)
        assert read_seal(decode_one(encode_seal(seal), MAX_MESSAGE_BYTES)) == seal
    except MessageError:
        pass


# Identifiers and records ---------------------------------------------------------------------------------


def judge_identifier(data: bytes) -> None:
    """A normal form is its own; parts put together are the whole."""
    form = attempt(normal, data, IdentifierError)
    if isinstance(form, BiaoshiError):
        assert 0 <= int(form.details["position"]) <= len(data)
    else:
        assert normal(form) == form
        assert len(form) == len(data) <= MAX_IDENTIFIER_BYTES
        parsed = parse(data)
        assert str(parsed).encode() == form
        assert parse(str(parsed)) == parsed == Identifier(*form.decode().split("/", 1))
        assert normal_prefix(data.split(b"/", 1)[0]) == parsed.prefix.encode()
    prefix = attempt(normal_prefix, data, IdentifierError)
    if isinstance(prefix, BiaoshiError):
        assert 0 <= int(prefix.details["position"]) <= len(data)
    else:
        assert len(prefix) <= MAX_PREFIX_BYTES
        assert normal(prefix + b"/x") == prefix + b"/x"


def judge_body(data: bytes) -> None:
    """A body that decodes has a head, a public body, and a canonical form that means the same."""
    head = attempt(split_body, data, RecordError)
    record = attempt(decode_body, data, RecordError)
    if isinstance(record, BiaoshiError):
        return
    assert not isinstance(head, BiaoshiError)
    assert head[:3] == record[:3]
    public = decode_body(public_body(data))
    assert public.values == tuple(value for value in record.values if value.public)
    encoded = attempt(lambda _: encode_values(record.values), data, RecordError)
    if isinstance(encoded, BiaoshiError):
        assert encoded.rule in (NO_VALUES, SAME_INDEX, BAD_READER)
    else:
        canonical = encode_body(record.version, record.state, record.time, encoded)
        assert decode_body(canonical) == record
        assert len(canonical) <= len(data)


def judge_page(data: bytes) -> None:
    """A page of a feed that was read is the same when it is sent on, and a copy takes it or says why not."""
    page = attempt(lambda data: read_page(decode_one(data)), data, MessageError)
    if isinstance(page, FeedPage):
        assert read_page(decode_one(msgpack.packb(page))) == page
        store = MemoryStore()
        with contextlib.suppress(BiaoshiError):
            store.copy(page)
            everything(store)


def judge_values(data: bytes) -> None:
    """Values that pass may be written, and both ways to check them agree."""
    values = attempt(check_values, data, RecordError)
    public = attempt(are_public, data, RecordError)
    if isinstance(values, BiaoshiError):
        assert isinstance(public, BiaoshiError)
        assert public.rule is values.rule
    else:
        assert len(data) <= MAX_RECORD_BYTES
        assert check_values(encode_values(values)) == values
        assert public == all(value.public for value in values)


def judge_data(data: bytes) -> None:
    """Data that follow a template are kept as they came; what is right by the template has an answer of its values."""
    found = attempt(read_data, data, RecordError)
    assert is_templated(data) or isinstance(found, BiaoshiError)
    if isinstance(found, BiaoshiError):
        return
    assert encode_data(*found) == data
    assert decode_kept(encode_body(7, State.ACTIVE, 1, data))[4:] == (found[0], tuple(found[1]))
    if not isinstance(attempt(Checker(PUMP).check, data, RecordError), BiaoshiError):
        values = Expander(PUMP).values(found[1], IDENTIFIER)
        record = decode_body(encode_body(7, State.ACTIVE, 1, values))
        assert len(values) <= MAX_RECORD_BYTES
        assert all(value.public for value in record.values)
        assert {value.index for value in record.values} <= {index for index, _ in found[1]} | {2_002}


def judge_template(data: bytes) -> None:
    """A template that was read is the same when it is written; one that is usable checks and expands."""
    template = attempt(read_template, data, RecordError)
    if isinstance(template, BiaoshiError):
        return
    assert read_template(encode_template(template)) == template
    if attempt(check_template, template, RecordError) is None:  # type: ignore[arg-type]
        attempt(Checker(template).check, encode_data(template.version, []), RecordError)
        values = Expander(template).values([], b"8/" + b"%" * (MAX_IDENTIFIER_BYTES - 2))
        assert len(values) <= most_added(template) <= MAX_RECORD_BYTES


# Statements and receipts ---------------------------------------------------------------------------------


def judge_delegation(data: bytes) -> None:
    """A claim that was read can be made again."""
    try:
        unverified = read_delegation(data)
    except MessageError:
        return
    assert read_delegation(unverified.claim.sign(TOP.key)).claim == unverified.claim
    unverified.signed_by(TOP.key.public)


def judge_online_key(data: bytes) -> None:
    """The same for an online key."""
    try:
        unverified = read_online_key(data)
    except MessageError:
        return
    assert read_online_key(unverified.claim.sign(TOP.key)).claim == unverified.claim
    unverified.signed_by(TOP.key.public)


def judge_request(data: bytes) -> None:
    """A request that was read was signed by its first key."""
    try:
        request = read_delegation_request(data)
    except (MessageError, NotVerified):
        return
    plain.statement_body(data, b"biaoshi delegation request 1\x00", [request.keys[0].raw])


def judge_succession(data: bytes) -> None:
    """A succession that was read was signed by the key that it replaces."""
    try:
        succession = read_succession(data)
    except (MessageError, NotVerified):
        return
    plain.statement_body(data, b"biaoshi succession 1\x00", [succession.key.raw])


def judge_receipt(data: bytes) -> None:
    """A receipt that holds holds for a verifier that shares no code with ours."""
    try:
        answer, _ = verify_receipt(data, ANCHOR)
    except (MessageError, RecordError, IdentifierError, NotVerified, Refused):
        return
    identifier, status, _ = plain.receipt_answer(data, ANCHOR.prefix, ANCHOR.key.raw)
    assert (answer.identifier.encode(), int(answer.status)) == (identifier, status)


# Conversations -------------------------------------------------------------------------------------------


@cache
def conversation() -> tuple[tuple[tuple[object, ...], ...], bytes, dict[int, tuple[int, object]]]:
    """Questions, what an honest server sends for them, and the true answers by rid."""
    questions: tuple[tuple[object, ...], ...] = (
        (Op.CHAIN,),
        (Op.RESOLVE, IDENTIFIER),
        (Op.RESOLVE, b"88.118.32001/absent", 1),
        (Op.PING,),
    )
    exchange = client(knowing=SECONDARY_CHAIN)
    connection = Server(bundle=2).connect()
    for question in questions:
        connection.stream.feed(exchange.ask(*question)[1])  # type: ignore[arg-type]
    connection.server.turn()
    data = connection.take()
    return questions, data, {reply.rid: (reply.status, reply.payload) for reply in exchange.receive(data, NOW_MS)}


def asking(*, knowing: bool) -> Exchange:
    """A client that has asked the questions of the conversation."""
    exchange = client(knowing=SECONDARY_CHAIN if knowing else None)
    for question in conversation()[0]:
        exchange.ask(*question)  # type: ignore[arg-type]
    return exchange


def judge_exchange(data: bytes) -> None:
    """Whatever a server sends, a verified reply is a true one."""
    truth = conversation()[2]
    for knowing in (True, False):
        exchange = asking(knowing=knowing)
        try:
            for piece in cuts(data):
                for reply in exchange.receive(piece, NOW_MS):
                    assert isinstance(reply, Reply)
                    assert same(truth[reply.rid], (reply.status, reply.payload))
        except (MessageError, NotVerified):
            pass


def judge_datagrams(data: bytes) -> None:
    """The same for one datagram, after which the true answers still count."""
    _, honest, truth = conversation()
    exchange = asking(knowing=True)
    settled = set()
    try:
        for reply in exchange.receive_datagram(data, NOW_MS):
            settled.add(reply.rid)
            if isinstance(reply, Reply):
                assert same(truth[reply.rid], (reply.status, reply.payload))
            else:
                assert reply.status == 305
    except (MessageError, NotVerified):
        pass
    assert settled <= set(truth)
    if not settled:
        assert len(exchange.receive_datagram(honest, NOW_MS)) == len(truth)


def judge_pattern(data: bytes) -> None:
    """A series comes back from its pattern and from its place in a store, and its members are identifiers."""
    series = attempt(lambda data: parse_series(data.decode("utf-8", "surrogateescape")), data, IdentifierError)
    if isinstance(series, Series):
        assert parse_series(str(series)) == series
        assert series_of(series_identifier(series)) == series
        for n in (0, series.count - 1):
            normal(f"{series.prefix}/".encode() + series.member(n))
            assert series.place(series.member(n)) == n
    place = attempt(series_of, SERIES + b"/" + data, StoreError)
    if isinstance(place, Series):
        assert series_identifier(place) == SERIES + b"/" + data


@cache
def honest_log() -> bytes:
    """An audit log of some entries, exported."""
    link, kept = first_link(SECONDARY.prefix), list[KeptEntry]()
    for number in range(3):
        entry = Entry(
            number=number, time=NOW, actor="88.118/U.li", action="prefix.suspend", record="allotment/88.118.32001",
            version=number + 1, reason="质量问题", details={"to": "x"},
        )  # fmt: skip
        link = follow(link, encode_entry(entry))
        kept.append(KeptEntry(encode_entry(entry), link.link))
    return b"".join(
        export(
            SECONDARY.prefix, kept, lambda end: sign_head(SECONDARY.prefix, end, NOW, SECONDARY.online, SECONDARY_CHAIN)
        )
    )


def judge_audit(data: bytes) -> None:
    """Only what was exported is verified, to the byte."""
    head = attempt(lambda data: verify(data.splitlines(keepends=True), ANCHOR), data, BiaoshiError)
    if not isinstance(head, BiaoshiError):
        assert data == honest_log()


# Over HTTP ----------------------------------------------------------------------------------------------


def meaning(block: Block) -> object:
    """What becomes of each line of an import, the checks that all writes go through included."""
    intake = read_writes(block.items, ("88.118.1",), lambda _: None, lambda _: None, Checkers(lambda _: None).check)
    refused = {one.line: one.error.rule.name for one in block.refused}
    refused |= {block.lines[i]: refusal_of(payload).rule.name for i, payload in intake.refused.items()}
    accepted = [number for i, number in enumerate(block.lines) if i not in intake.refused]
    return dict(zip(accepted, intake.writes, strict=True)), refused


def judge_lines(data: bytes) -> None:
    """A block of lines is read as its lines are, each by itself."""
    each = Block([], lines := [], [])
    for number, line in enumerate(data.split(b"\n"), start=1):
        read = read_block(line, number, update=False)
        each.items.extend(read.items)
        each.refused.extend(read.refused)
        lines.extend(read.lines)
    assert meaning(read_block(data, 1, update=False)) == meaning(each)


_decode_batch: Final = msgspec.json.Decoder(BatchInput)


def judge_json(data: bytes) -> None:
    """A JSON body: of the type, and its keys once each; or refused."""
    found = attempt(lambda raw: read_json(raw, _decode_batch), data, InvalidInput)
    if isinstance(found, BatchInput):
        for item in found.records:
            attempt(lambda _, item=item: item_write(item, update=True), data, BiaoshiError)  # type: ignore[misc]


JUDGES: Final[dict[str, Judge]] = {
    "stream": judge_stream,
    "datagram": judge_datagram,
    "identifier": judge_identifier,
    "pattern": judge_pattern,
    "body": judge_body,
    "values": judge_values,
    "data": judge_data,
    "template": judge_template,
    "page": judge_page,
    "delegation": judge_delegation,
    "online_key": judge_online_key,
    "request": judge_request,
    "succession": judge_succession,
    "receipt": judge_receipt,
    "audit": judge_audit,
    "exchange": judge_exchange,
    "datagrams": judge_datagrams,
    "lines": judge_lines,
    "json": judge_json,
    **DOORS,
    **HANDLES,
    **GS1,
}
