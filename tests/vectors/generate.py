"""Writes the vectors of this directory: ``python -m tests.vectors.generate``.

Bytes are written as hexadecimal. The same bytes come out each time; a test compares them with the files. What the
tests check the vectors *against* is written separately, with plain MessagePack, hashlib and OpenSSL.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

if __package__ in {None, ""}:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgpack

from protocol.errors import BiaoshiError, IdentifierError, MessageError, RecordError, Refused, StoreError
from protocol.identifiers import normal, normal_prefix, parse
from protocol.limits import (
    ABSENT_TTL_SECONDS,
    DELEGATION_TTL_SECONDS,
    MAX_IDENTIFIER_BYTES,
    MAX_PREFIX_BYTES,
    UDP_REQUEST_BYTES,
)
from protocol.merkle import tree
from protocol.messages import BAD_ARGUMENTS, UNKNOWN_OPERATION, Ask, Op, encode_request, encode_response
from protocol.node import NodeFacts, answer_common
from protocol.receipts import verify_receipt
from protocol.records import (
    NO_VALUES_BYTES,
    State,
    Value,
    check_values,
    decode_body,
    encode_body,
    encode_values,
    public_body,
)
from protocol.reports import Report, encode_report, proof_bytes
from protocol.seals import leaf, seal_turn, signed_bytes
from protocol.signatures import SigningKey
from protocol.statements import (
    DELEGATION_CONTEXT,
    ONLINE_KEY_CONTEXT,
    REQUEST_CONTEXT,
    Address,
    Delegation,
    DelegationRequest,
    OnlineKey,
    read_delegation,
    read_online_key,
    read_request,
)
from protocol.status import Status
from protocol.succession import CONTEXT as SUCCESSION_CONTEXT
from protocol.succession import Succession, read_succession
from registry.codes import asking_bytes
from registry.rights import NO_PROOF, NOT_AUTHENTICATED, ONLY_FOLLOWERS, OTHER_PREFIX, UNKNOWN_KEY, challenge_bytes
from registry.statistics.rules import NOT_DELEGATED, USED_NUMBER
from registry.store.feed import DIVERGED
from registry.store.history import FORGOTTEN
from tests.vectors import delegating, reading, relaying, templating
from tests.vectors.actors import (
    ABSENT,
    ANCHOR,
    BODY,
    EARLIER_BODIES,
    ENTERPRISE,
    ENTERPRISE_CHAIN,
    IDENTIFIER,
    KEY_SINCE,
    KEY_UNTIL,
    NOW,
    NOW_MS,
    OTHER_SECONDARY,
    RID,
    SECONDARY,
    SECONDARY_CHAIN,
    SIBLING,
    SINCE,
    STRANGER,
    SUSPENDED_BODY,
    TOP,
    UNTIL,
    VALUES,
    WITHDRAWN_BODY,
    answered,
    key,
)
from tests.vectors.questions import Question, failure
from tests.vectors.series import series, series_questions

HERE: Final = Path(__file__).parent

Json = Any


def rule_of(judge: Callable[[], object]) -> tuple[str, dict[str, Json]]:
    """The rule that the input breaks, and the details."""
    try:
        judge()
    except BiaoshiError as error:
        return error.rule.name, dict(error.details)
    raise AssertionError("nothing is wrong with it")


def shown(value: object) -> Json:
    """A MessagePack value as JSON: binaries as ``{"bin": hex}``, maps as ``{"map": [[key, value], …]}``."""
    if isinstance(value, (bytes, bytearray)):
        return {"bin": value.hex()}
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in value]
    if isinstance(value, dict):
        return {"map": [[shown(name), shown(one)] for name, one in value.items()]}
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


# Identifiers ---------------------------------------------------------------------------------------------

GOOD_IDENTIFIERS: Final[tuple[str, ...]] = (
    "88.118.32001/P0000000123456",
    "88.118.8/JXDY2106023",
    "88.101.0042/0007",
    "88.1001.91320100123/A-1",
    "a/b",
    "abc.Def/abc.Def",
    "ä.Ä.ß/ä",
    "88.118.8/工件号 12/左",
    "88.118.8//",
    "88.118.8/ ",
    "88.118.8/a/b:c?d#e%20",
    "88.118.8/\u3000全角",
    "10.1000/182",
    f"88.118.8/{'x' * (MAX_IDENTIFIER_BYTES - 9)}",
    f"{'a' * MAX_PREFIX_BYTES}/x",
    "泵.阀/1",
)

BAD_IDENTIFIERS: Final[tuple[bytes, ...]] = (
    b"",
    b"/",
    b"88.118.8",
    b"/x",
    b"88.118.8/",
    b"88..8/x",
    b".88/x",
    b"88./x",
    b"./x",
    b"88.118.8/a\x00b",
    b"88.118.8/a\nb",
    b"88.118.8/a\x7f",
    "88.118.8/a\u0085b".encode(),
    "泵\t/x".encode(),
    b"88.118.8/\xff",
    b"88.118.8/\xe6\xb3",
    b"88.118.8/\xed\xa0\x80",
    b"88.118.8/\xc0\x80",
    b"88.118.8/" + b"x" * (MAX_IDENTIFIER_BYTES - 8),
    b"a" * (MAX_PREFIX_BYTES + 1) + b"/x",
)

BAD_PREFIXES: Final = (b"", b"88.", b".88", b"88..8", b"88/118", b"/", b"88\x07", b"\xff", b"a" * 65)


def identifiers() -> Json:
    good = []
    for text in GOOD_IDENTIFIERS:
        raw = text.encode()
        split = parse(raw)
        good.append({
            "text": text, "input": raw.hex(), "normal": normal(raw).hex(),
            "prefix": split.prefix, "suffix": split.suffix,
        })  # fmt: skip
    return {
        "good": good,
        "bad": [_bad(raw, normal) for raw in BAD_IDENTIFIERS],
        "good_prefixes": [
            {"input": raw.hex(), "normal": normal_prefix(raw).hex()}
            for raw in (b"88", b"88.118.32001", b"abc.d", "ä.b".encode(), b"a" * MAX_PREFIX_BYTES)
        ],
        "bad_prefixes": [_bad(raw, normal_prefix) for raw in BAD_PREFIXES],
    }


def _bad(raw: bytes, judge: Callable[[bytes], bytes]) -> Json:
    try:
        judge(raw)
    except IdentifierError as error:
        return {"input": raw.hex(), "rule": error.rule.name, "position": error.details["position"]}
    raise AssertionError(raw)


# Records -------------------------------------------------------------------------------------------------

RECORDS: Final[tuple[tuple[str, int, State, int, tuple[Value, ...]], ...]] = (
    ("one value, everything else by default", 1, State.ACTIVE, NOW, (Value(1, "URL", b"https://example.cn/1"),)),
    ("several values in the order of registration", 3, State.ACTIVE, NOW - 3_600, VALUES),
    ("an empty value", 1, State.ACTIVE, NOW, (Value(7, "NOTE", b""),)),
    ("a time to live of its own", 1, State.ACTIVE, NOW, (Value(1, "URL", b"u", ttl=0),)),
    ("permissions of its own", 1, State.ACTIVE, NOW, (Value(1, "URL", b"u", permissions=15),)),
    ("a timestamp of its own", 1, State.ACTIVE, NOW, (Value(1, "URL", b"u", timestamp=SINCE),)),
    (
        "a value that is not for everybody", 2, State.ACTIVE, NOW,
        (Value(1, "URL", b"u"), Value(2, "PRICE", b"100", permissions=12), Value(3, "NAME", b"n")),
    ),
    (
        "the greatest numbers, a type of the greatest length", (1 << 63) - 1, State.ACTIVE, (1 << 32) - 1,
        (Value((1 << 32) - 1, "T" * 128, bytes(256), ttl=172_800, permissions=15, timestamp=(1 << 32) - 1),),
    ),
    ("for two readers", 2, State.ACTIVE, NOW,
        (Value(1, "URL", b"u"), Value(2, "PRICE", b"100", readers=("88.118.32002", "88.118.32001/G.partners")))),
    ("for whoever proves to be somebody", 1, State.ACTIVE, NOW, (Value(1, "URL", b"u", readers=("*",)),)),
    ("type and data in Chinese", 1, State.ACTIVE, NOW, (Value(2001, "型号", "离心泵".encode()),)),
    ("withdrawn", 4, State.WITHDRAWN, NOW - 60, ()),
    ("suspended", 5, State.SUSPENDED, NOW - 60, ()),
)  # fmt: skip

PLAIN: Final = encode_values([Value(1, "URL", b"u")])

BAD_BODIES: Final[tuple[tuple[str, bytes], ...]] = (
    ("nothing", b""),
    ("no array", b"\x01"),
    ("three elements", b"\x93\x01\x00\x01"),
    ("five elements", b"\x95\x01\x00\x01" + PLAIN + b"\xc0"),
    ("bytes behind it", b"\x94\x01\x00\x01" + PLAIN + b"\x00"),
    ("cut short", (b"\x94\x01\x00\x01" + PLAIN)[:-1]),
    ("version 0", b"\x94\x00\x00\x01" + PLAIN),
    ("a version below 0", b"\x94\xff\x00\x01" + PLAIN),
    ("a fourth state", b"\x94\x01\x03\x01" + PLAIN),
    ("a state that is true", b"\x94\x01\xc3\x01" + PLAIN),
    ("a time with a fraction", b"\x94\x01\x00\xcb\x3f\xf8" + bytes(6) + PLAIN),
    ("values as a map", b"\x94\x01\x00\x01\x80"),
    ("1,001 values", b"\x94\x01\x00\x01\xdc\x03\xe9"),
    ("nested a thousand times", b"\x94\x01\x00\x01" + b"\x91" * 1_000),
)

BAD_VALUES: Final[tuple[tuple[str, bytes], ...]] = (
    ("no values", b"\x90"),
    ("two values of one index", b"\x92\x93\x01\xa1a\xc4\x00\x93\x01\xa1b\xc4\x00"),
    ("index 0", b"\x91\x93\x00\xa1a\xc4\x00"),
    ("index 2^32", b"\x91\x93\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1a\xc4\x00"),
    ("no type", b"\x91\x93\x01\xa0\xc4\x00"),
    ("a type of 129 characters", b"\x91\x93\x01\xd9\x81" + b"T" * 129 + b"\xc4\x00"),
    ("a type that is not UTF-8", b"\x91\x93\x01\xa1\xff\xc4\x00"),
    ("a type as binary", b"\x91\x93\x01\xc4\x01a\xc4\x00"),
    ("data as text", b"\x91\x93\x01\xa1a\xa0"),
    ("a time to live above two days", b"\x91\x94\x01\xa1a\xc4\x00\xce\x00\x02\xa3\x01"),
    ("permissions above 15", b"\x91\x95\x01\xa1a\xc4\x00\x00\x10"),
    ("a timestamp of 2^32", b"\x91\x96\x01\xa1a\xc4\x00\x00\x0e\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
    ("two elements", b"\x91\x92\x01\xa1a"),
    ("seven elements", b"\x91\x97\x01\xa1a\xc4\x00\x00\x0e\x00\x00"),
    ("eight elements", b"\x91\x98\x01\xa1a\xc4\x00\x00\x0e\x00\x90\x00"),
    ("a reader that is no name", b"\x91\x97\x01\xa1a\xc4\x00\x00\x0e\x00\x91\xa3a.."),
    ("a reader not in normal form", b"\x91\x97\x01\xa1a\xc4\x00\x00\x0e\x00\x91\xa3a.b"),
    ("a reader named twice", b"\x91\x97\x01\xa1a\xc4\x00\x00\x0e\x00\x92\xa1*\xa1*"),
    ("four thousand million values announced", b"\xdd\xff\xff\xff\xff"),
)

LOOSE_BODY: Final = bytes.fromhex(
    "dc0004 cf0000000000000001 cc00 d300000000 00000001 dd00000001 dc0003 ce00000001 d903 55524c c60000000175"
)
"""The body of version 1, time 1 and PLAIN, each part in a longer form than needed."""


def records() -> Json:
    good = []
    for name, version, state, time, values in RECORDS:
        encoded = encode_values(values) if values else NO_VALUES_BYTES
        body = encode_body(version, state, time, encoded)
        good.append({
            "name": name, "version": version, "state": int(state), "time": time,
            "values": [
                {"index": value.index, "type": value.type, "data": value.data.hex(), "ttl": value.ttl,
                 "permissions": value.permissions, "timestamp": value.timestamp,
                 **({"readers": list(value.readers)} if value.readers else {})} for value in values
            ],
            "body": body.hex(), "public_body": public_body(body).hex(),
        })  # fmt: skip
    assert decode_body(LOOSE_BODY) == decode_body(encode_body(1, State.ACTIVE, 1, PLAIN))
    return {
        "good": good,
        "same": [{"body": LOOSE_BODY.hex(), "canonical": encode_body(1, State.ACTIVE, 1, PLAIN).hex()}],
        "bad_bodies": [_bad_record(name, raw, decode_body) for name, raw in BAD_BODIES],
        "bad_values": [_bad_record(name, raw, check_values) for name, raw in BAD_VALUES],
    }


def _bad_record(name: str, raw: bytes, judge: Callable[[bytes], object]) -> Json:
    try:
        judge(raw)
    except RecordError as error:
        return {"name": name, "bytes": raw.hex(), "rule": error.rule.name}
    raise AssertionError(name)


# Messages ------------------------------------------------------------------------------------------------

FACTS: Final = NodeFacts("secondary", SECONDARY.prefix, "biaoshi/1", SECONDARY_CHAIN)
WRITER: Final = key("writer")
NONCE: Final = sha256(b"biaoshi test nonce").digest()
REPORTER_PROOF: Final = ENTERPRISE.online.sign(proof_bytes(SECONDARY.prefix, ENTERPRISE.prefix, NONCE))
REPORT: Final = Report(
    ENTERPRISE.prefix, NOW - 3_600, NOW, 1, 1, 0, 1, 7, {ENTERPRISE.prefix: 7}, {"C34": 7}, {"resolved.ok": 12}
)
OTHER_REPORT: Final = Report(ENTERPRISE.prefix, NOW - 3_600, NOW, 1, 1, 0, 1, 8, {}, {}, {})
PROOF: Final = WRITER.sign(challenge_bytes(SECONDARY.prefix, NONCE))
FEED_MARK: Final = NONCE[:8]
FEED_CURSOR: Final = bytes(7) + b"\x03" + FEED_MARK
FEED_PARTS: Final = [[number, FEED_MARK, 1, None, [[IDENTIFIER, None if number else BODY]]] for number in range(3)]
NEW: Final = b"88.118.32001/P0000000123457"
THIRD: Final = b"88.118.32001/P0000000123458"
NEW_VALUES: Final = encode_values([Value(1, "URL", b"https://example.cn/p/123457")])

STATUS_PAYLOAD: Final = {
    "role": "secondary", "zone": "88.118", "software": "biaoshi/1", "registered": 750_000_000, "prefixes": 40_000,
    "changes": 1_500_000_000, "store_bytes": 47_244_640_256, "uptime_s": 86_400, "worker": 4_711,
}  # fmt: skip


def _said(op: Op, *arguments: object) -> tuple[int, object]:
    """What every node answers to HELLO, CHAIN and PING."""
    try:
        wire = answer_common(FACTS, op, RID, arguments)
    except MessageError as error:
        return failure(error)
    assert wire is not None
    _, status, payload = msgpack.unpackb(wire)
    return status, payload


def _bad_identifier(raw: bytes) -> tuple[int, list[object]]:
    try:
        normal(raw)
    except IdentifierError as error:
        return failure(error)
    raise AssertionError(raw)


def questions() -> list[Question]:
    """Name, door, operation, arguments, and what may be answered: name, status, payload."""
    padding = bytes(UDP_REQUEST_BYTES - 17 - len(IDENTIFIER))
    absent = (int(Status.NOT_FOUND), ABSENT_TTL_SECONDS)
    no_slash = _bad_identifier(b"88.118.32001")
    no_key = failure(Refused(NOT_AUTHENTICATED, Status.NOT_AUTHENTICATED))
    unknown = failure(Refused(UNKNOWN_KEY, Status.NOT_PERMITTED, key=str(WRITER.public)))
    refused = failure(Refused(OTHER_PREFIX, Status.NOT_PERMITTED, prefix="88.118.32002"))
    referral = (int(Status.REFERRAL), [SECONDARY.delegate(ENTERPRISE), DELEGATION_TTL_SECONDS])
    child_chain = (0, [[TOP.delegate(SECONDARY), SECONDARY.delegate(ENTERPRISE)], []])
    url = NEW_VALUES
    return [
        ("hello", "both", Op.HELLO, (1,), [("agreed", *_said(Op.HELLO, 1))]),
        ("hello, other version", "both", Op.HELLO, (2, 0), [("refused", *_said(Op.HELLO, 2, 0))]),
        ("hello without seals", "resolver", Op.HELLO, (1, int(Ask.UNSEALED)),
         [("allowed", *_said(Op.HELLO, 1, 1)), ("not allowed", int(Status.NOT_PERMITTED), None)]),
        ("hello without a version", "both", Op.HELLO, (), [("refused", *_said(Op.HELLO))]),
        ("resolve", "resolver", Op.RESOLVE, (IDENTIFIER,),
         [("found", 0, BODY), ("absent", *absent), ("withdrawn", int(Status.WITHDRAWN), WITHDRAWN_BODY),
          ("suspended", int(Status.SUSPENDED), SUSPENDED_BODY),
          ("delegated", *referral)]),
        ("resolve, to keep the answer", "resolver", Op.RESOLVE, (IDENTIFIER, int(Ask.ALONE)), [("found", 0, BODY)]),
        ("resolve over UDP", "resolver", Op.RESOLVE, (IDENTIFIER, 0, padding),
         [("found", 0, BODY), ("too long", int(Status.TRUNCATED), None)]),
        ("resolve below another zone", "resolver", Op.RESOLVE, (b"88.119.1/x",),
         [("refused", int(Status.NOT_RESPONSIBLE), None)]),
        ("resolve what is no identifier", "resolver", Op.RESOLVE, (b"88.118.32001",), [("refused", *no_slash)]),
        ("resolve nothing", "resolver", Op.RESOLVE, (), [("refused", *failure(MessageError(
            BAD_ARGUMENTS, operation="resolve", reason="expected [1, rid, identifier, flags, padding]")))]),
        ("resolve many", "resolver", Op.RESOLVE_MANY, ([IDENTIFIER, ABSENT, b"88.119.1/x", b"88.118.32001"],),
         [("each its own", 0, [BODY, absent, (int(Status.NOT_RESPONSIBLE), None), no_slash]),
          ("delegated", 0, [referral, referral, (int(Status.NOT_RESPONSIBLE), None), no_slash]),
          ("too long for one message", 0, [BODY, absent, (int(Status.TRUNCATED), None), no_slash])]),
        ("list", "resolver", Op.LIST, (b"88.118.32001", None, 2),
         [("a page", 0, [[IDENTIFIER.decode(), NEW.decode()], NEW]),
          ("delegated", *referral), ("nobody may list", int(Status.NOT_PERMITTED), None)]),
        ("list on", "resolver", Op.LIST, (b"88.118.32001", NEW, 2), [("the last page", 0, [[THIRD.decode()], None])]),
        ("as of", "resolver", Op.AS_OF, (IDENTIFIER, NOW - 3_600), [("as it is", 0, BODY), ("delegated", *referral)]),
        ("as of before", "resolver", Op.AS_OF, (IDENTIFIER, NOW - 3_601),
         [("as it was", 0, EARLIER_BODIES[0]),
          ("not kept", *failure(Refused(FORGOTTEN, Status.FORGOTTEN, identifier=IDENTIFIER.decode())))]),
        ("as of the beginning", "resolver", Op.AS_OF, (IDENTIFIER, 0), [("absent", *absent)]),
        ("history", "resolver", Op.HISTORY, (IDENTIFIER, None, 2),
         [("the newest", 0, [[BODY, EARLIER_BODIES[0]], True]), ("absent", *absent), ("delegated", *referral)]),
        ("history on", "resolver", Op.HISTORY, (IDENTIFIER, 2, 2),
         [("the rest", 0, [[EARLIER_BODIES[1]], False])]),
        ("chain", "both", Op.CHAIN, (), [("shown", *_said(Op.CHAIN))]),
        ("chain over UDP", "resolver", Op.CHAIN, (bytes(UDP_REQUEST_BYTES - 14),), [("shown", *_said(Op.CHAIN))]),
        ("chain of a child", "both", Op.CHAIN, (b"", b"88.118.32001"),
         [("shown", *child_chain), ("not delegated", *absent)]),
        ("chain of what lies below a child", "both", Op.CHAIN, (b"", b"88.118.32001.1"), [("delegated", *referral)]),
        ("chain of another's child", "both", Op.CHAIN, (b"", b"88.119"),
         [("refused", int(Status.NOT_RESPONSIBLE), None)]),
        ("ping", "both", Op.PING, (), [("answered", *_said(Op.PING))]),
        ("status", "both", Op.STATUS, (), [("shown", 0, STATUS_PAYLOAD)]),
        ("an operation that is not there", "both", 15, (),
         [("refused", *failure(MessageError(UNKNOWN_OPERATION, op=15)))]),
        *reading.questions(),
        ("authenticate", "registry", Op.AUTHENTICATE, (1, WRITER.public.raw),
         [("challenged", 0, NONCE), ("unknown key", *unknown)]),
        ("prove", "registry", Op.PROVE, (PROOF,),
         [("proven", 0, ["88.118.32001"]),
          ("not proven", *failure(Refused(NO_PROOF, Status.NOT_AUTHENTICATED)))]),
        ("write", "registry", Op.WRITE, ([[NEW, 0, url], [IDENTIFIER, 3, None], [b"88.118.32002/x", None, url],
                                          [ABSENT, None, None]],),
         [("each its own", 0, [[0, 1, True], [0, 4, True], [*refused, False], [int(Status.NOT_FOUND), 0, False]]),
          ("sent again", 0, [[0, 1, False], [0, 4, False], [*refused, False], [int(Status.NOT_FOUND), 0, False]]),
          ("other content is there", 0, [[int(Status.EXISTS), 2, False], [int(Status.CONFLICT), 5, False],
                                         [*refused, False], [int(Status.NOT_FOUND), 0, False]]),
          ("no key proven", *no_key)]),
        ("fetch", "registry", Op.FETCH, ([IDENTIFIER, ABSENT],), [("shown", 0, [BODY, None]), ("no key", *no_key)]),
        ("records", "registry", Op.RECORDS, (b"88.118.32001", None, 1),
         [("a page", 0, [[[IDENTIFIER.decode(), BODY]], IDENTIFIER])]),
        ("search", "registry", Op.SEARCH, (b"88.118.32001", 2_000, b"B2311", None, 10),
         [("nothing found", 0, [[], None])]),
        ("changes", "registry", Op.CHANGES, (None, 100),
         [("the first page", 0, [FEED_PARTS, FEED_CURSOR, False, FEED_CURSOR])]),
        ("changes since", "registry", Op.CHANGES, (FEED_CURSOR, 100, 30_000, 3, FEED_CURSOR),
         [("nothing new", 0, [[], FEED_CURSOR, False, FEED_CURSOR]),
          ("another feed", *failure(StoreError(DIVERGED, number=2)))]),
        ("vouched", "registry", Op.VOUCHED, (),
         [("shown", 0, SECONDARY.online_statement()), ("none", 0, None),
          ("no follower", *failure(Refused(ONLY_FOLLOWERS, Status.NOT_PERMITTED)))]),
        ("reporter", "registry", Op.REPORTER, (ENTERPRISE.online_statement(),),
         [("challenged", 0, NONCE),
          ("not delegated", *failure(Refused(NOT_DELEGATED, Status.NOT_PERMITTED, zone=ENTERPRISE.prefix)))]),
        ("prove reporter", "registry", Op.PROVE_REPORTER, (REPORTER_PROOF,), [("proven", 0, ENTERPRISE.prefix)]),
        ("report", "registry", Op.REPORT, (encode_report(REPORT),),
         [("kept", 0, [1, True]), ("sent again", 0, [1, False])]),
        ("report, other content", "registry", Op.REPORT, (encode_report(OTHER_REPORT),),
         [("refused", *failure(Refused(USED_NUMBER, Status.CONFLICT, sequence=1, last=1, end=NOW)))]),
        ("statistics", "registry", Op.STATISTICS, (2, ENTERPRISE.prefix.encode(), 0, NOW, None, 10),
         [("enterprises", 0, [[[ENTERPRISE.prefix, 7]], None, NOW, 3_600])]),
        *delegating.questions(),
        *relaying.questions(),
        *templating.questions(),
        *series_questions(),
    ]  # fmt: skip


LOOSE_REQUESTS: Final[tuple[tuple[str, str], ...]] = (
    ("an identifier as text", "93 01 cf0123456789abcdef bb" + IDENTIFIER.hex()),
    ("a short rid", "93 01 05 c41b" + IDENTIFIER.hex()),
    ("wide numbers and headers", "dd00000003 cd0001 cf0123456789abcdef c60000001b" + IDENTIFIER.hex()),
)

BAD_REQUESTS: Final[tuple[tuple[str, str], ...]] = (
    ("no array", "01"),
    ("an empty array", "90"),
    ("no rid", "91 01"),
    ("a rid below 0", "92 05 ff"),
    ("a rid that is nil", "92 05 c0"),
    ("a rid that is a float", "92 05 cb3ff0000000000000"),
    ("an operation that is true", "92 c3 cf0000000000000001"),
    ("an operation that is text", "92 a470696e67 cf0000000000000001"),
)


def messages() -> Json:
    requests = []
    for name, door, op, arguments, answers in questions():
        requests.append({
            "name": name, "door": door, "op": int(op), "rid": RID, "arguments": shown(arguments),
            "request": encode_request(op, RID, *arguments).hex(),  # type: ignore[arg-type]
            "responses": [
                {"name": said, "status": status, "payload": shown(payload),
                 "response": encode_response(RID, status, payload).hex()} for said, status, payload in answers
            ],
        })  # fmt: skip
    challenge = challenge_bytes(SECONDARY.prefix, NONCE)
    return {
        "operations": requests,
        "authentication": {
            "seed": WRITER.seed.hex(), "public": WRITER.public.raw.hex(), "zone": SECONDARY.prefix,
            "nonce": NONCE.hex(), "signed": challenge.hex(), "signature": PROOF.hex(),
        },
        "reading": reading.reading(),
        "code": {
            "bytes": delegating.CODE_BYTES.hex(), "text": delegating.CODE, "seed": delegating.CODE_KEY.seed.hex(),
            "public": delegating.CODE_KEY.public.raw.hex(), "request": delegating.REQUEST.hex(),
            "signed": asking_bytes(delegating.REQUEST).hex(), "signature": delegating.SIGNATURE.hex(),
        },
        "same_requests": [{"name": name, "request": _hex(raw)} for name, raw in LOOSE_REQUESTS],
        "bad_requests": [{"name": name, "request": _hex(raw)} for name, raw in BAD_REQUESTS],
    }  # fmt: skip


def _hex(spaced: str) -> str:
    return spaced.replace(" ", "")


# The tree and the seals ----------------------------------------------------------------------------------


def merkle() -> Json:
    return {
        "time": NOW_MS,
        "key": _key(SECONDARY.online),
        "trees": [_turn(size) for size in (1, 2, 3, 5, 8)],
    }


def _turn(size: int) -> Json:
    """A turn of ``size`` bundles; the first has one answer, the second two, and so on."""
    rid = 1_000 * size
    bundles: list[tuple[list[bytes], list[bytes]]] = []
    for number in range(size):
        asked, said = [], []
        for i in range(number + 1):
            rid += 1
            asked.append(encode_request(Op.RESOLVE, rid, b"88.118.32001/P%010d" % rid))
            found = i % 2 == 0
            said.append(encode_response(rid, Status.OK if found else Status.NOT_FOUND, BODY if found else 300))
        bundles.append((asked, said))
    leaves = [leaf(b"".join(asked), b"".join(said)) for asked, said in bundles]
    root, proofs = tree(leaves)
    seals = seal_turn([len(said) for _, said in bundles], leaves, SECONDARY.online, NOW_MS)
    return {
        "size": size,
        "bundles": [
            {
                "requests": [one.hex() for one in asked], "responses": [one.hex() for one in said],
                "leaf": leaves[i].hex(), "proof": proofs[i].hex(), "seal": seals[i].hex(),
            } for i, (asked, said) in enumerate(bundles)
        ],
        "root": root.hex(),
        "signed": signed_bytes(NOW_MS, size, root).hex(),
    }  # fmt: skip


def _key(one: SigningKey) -> Json:
    return {
        "seed": one.seed.hex(), "algorithm": one.public.algorithm, "public": one.public.raw.hex(),
        "id": one.public.id.hex(), "text": str(one.public),
    }  # fmt: skip


# Statements ----------------------------------------------------------------------------------------------


def statements() -> Json:
    several = Delegation(
        "88", "88.118", 7, SINCE, UNTIL, (SECONDARY.key.public, key("next secondary zone").public),
        (Address("a.example.cn", 26_410, 0), Address("2001:db8::1", 443, 26_410, tls=True)),
    )  # fmt: skip
    nowhere = Delegation("", "88", 1, 0, (1 << 63) - 1, (TOP.key.public,), ())
    delegations = [
        ("top to secondary", TOP.key, read_delegation(TOP.delegate(SECONDARY)).claim),
        ("secondary to enterprise", SECONDARY.key, read_delegation(SECONDARY.delegate(ENTERPRISE)).claim),
        ("two keys, two addresses", TOP.key, several),
        ("from the root, for ever, nowhere", key("root zone"), nowhere),
    ]
    online = [
        ("secondary", SECONDARY.key, OnlineKey("88.118", "node-1", SECONDARY.online.public, KEY_SINCE, KEY_UNTIL)),
        ("enterprise", ENTERPRISE.key, OnlineKey("88.118.32001", "泵-1", ENTERPRISE.online.public, 0, (1 << 63) - 1)),
    ]
    return {
        "contexts": {
            "delegation": DELEGATION_CONTEXT.hex(), "online key": ONLINE_KEY_CONTEXT.hex(),
            "delegation request": REQUEST_CONTEXT.hex(), "succession": SUCCESSION_CONTEXT.hex(),
        },
        "keys": {zone.prefix: _key(zone.key) for zone in (TOP, SECONDARY, ENTERPRISE)},
        "delegations": [
            {
                "name": name, "signer": _key(signer), "parent": claim.parent, "child": claim.child,
                "serial": claim.serial, "not_before": claim.not_before, "not_after": claim.not_after,
                "keys": [[one.algorithm, one.raw.hex()] for one in claim.keys],
                "addresses": [[one.host, one.tcp_port, one.udp_port, one.tls] for one in claim.addresses],
                **_statement(claim.sign(signer)),
            } for name, signer, claim in delegations
        ],
        "online_keys": [
            {
                "name": name, "signer": _key(signer), "zone": claim.zone, "node": claim.node,
                "key": [claim.key.algorithm, claim.key.raw.hex()],
                "not_before": claim.not_before, "not_after": claim.not_after, **_statement(claim.sign(signer)),
            } for name, signer, claim in online
        ],
        "requests": [_request(name, raw) for name, raw in (
            ("one key", delegating.REQUEST), ("the next key beside it, at another address", delegating.MOVING),
        )],
        "successions": [_succession("the next key of the secondary's zone", delegating.SUCCESSION)],
        "bad": [
            {"name": name, "kind": kind, "statement": raw.hex(), "rule": rule_of(lambda r=raw, k=kind: _read(k, r))[0]}
            for name, kind, raw in bad_statements()
        ],
    }  # fmt: skip


def _request(name: str, statement: bytes) -> Json:
    claim = read_request(statement)
    return {
        "name": name, "signer": _key(ENTERPRISE.key), "child": claim.child,
        "keys": [[one.algorithm, one.raw.hex()] for one in claim.keys],
        "addresses": [[one.host, one.tcp_port, one.udp_port, one.tls] for one in claim.addresses],
        "made": claim.made, **_statement(statement),
    }  # fmt: skip


def _succession(name: str, statement: bytes) -> Json:
    claim = read_succession(statement)
    return {
        "name": name, "signer": _key(SECONDARY.key), "prefix": claim.prefix,
        "key": [claim.key.algorithm, claim.key.raw.hex()], "next_key": [claim.next.algorithm, claim.next.raw.hex()],
        "made": claim.made, "until": claim.until, **_statement(statement),
    }  # fmt: skip


READERS: Final[dict[str, Callable[[bytes], object]]] = {
    "delegation": read_delegation,
    "online key": read_online_key,
    "delegation request": read_request,
    "succession": read_succession,
}


def _read(kind: str, statement: bytes) -> object:
    return READERS[kind](statement)


def _statement(statement: bytes) -> dict[str, str]:
    body, signature = msgpack.unpackb(statement)
    return {"body": body.hex(), "signature": signature.hex(), "statement": statement.hex()}


def bad_statements() -> list[tuple[str, str, bytes]]:
    """Statements whose shape is wrong, before any signature is looked at."""
    raw = SECONDARY.key.public.raw
    whole = ["88", "88.118", 1, SINCE, UNTIL, [[1, raw]], []]
    mark = ["88.118", "node-1", [1, raw], SINCE, UNTIL]

    def delegation(place: int, value: object) -> bytes:
        return msgpack.packb([msgpack.packb([*whole[:place], value, *whole[place + 1 :]]), bytes(64)])

    def online(place: int, value: object) -> bytes:
        return msgpack.packb([msgpack.packb([*mark[:place], value, *mark[place + 1 :]]), bytes(64)])

    return [
        ("nothing", "delegation", b""),
        ("no array", "delegation", b"\xc0"),
        ("body as text", "delegation", msgpack.packb(["abc", bytes(64)])),
        ("a third element", "delegation", msgpack.packb([msgpack.packb(whole), bytes(64), None])),
        ("longer than 4,096 bytes", "delegation", msgpack.packb([bytes(4_096), bytes(64)])),
        ("six elements", "delegation", msgpack.packb([msgpack.packb(whole[:6]), bytes(64)])),
        ("eight elements", "delegation", msgpack.packb([msgpack.packb([*whole, None]), bytes(64)])),
        ("a parent of 65 characters", "delegation", delegation(0, "8" * 65)),
        ("no child", "delegation", delegation(1, "")),
        ("serial 0", "delegation", delegation(2, 0)),
        ("a time below 0", "delegation", delegation(3, -1)),
        ("a time of 2^63", "delegation", delegation(4, 1 << 63)),
        ("no key", "delegation", delegation(5, [])),
        ("five keys", "delegation", delegation(5, [[1, raw]] * 5)),
        ("a key of 31 bytes", "delegation", delegation(5, [[1, raw[:31]]])),
        ("an algorithm that is not known", "delegation", delegation(5, [[2, raw]])),
        ("17 addresses", "delegation", delegation(6, [["h", 1, 1, False]] * 17)),
        ("port 65,536", "delegation", delegation(6, [["h", 65_536, 1, False]])),
        ("an address without a host", "delegation", delegation(6, [["", 1, 1, False]])),
        ("no node", "online key", online(1, "")),
        ("a node of 65 characters", "online key", online(1, "n" * 65)),
        ("a key as text", "online key", online(2, [1, "k" * 32])),
        ("an algorithm that is not known", "online key", online(2, [3, raw])),
        ("a delegation", "online key", TOP.delegate(SECONDARY)),
        ("three elements", "delegation request", msgpack.packb([msgpack.packb(["88.118", [[1, raw]], []]), bytes(64)])),
        ("no key", "delegation request", msgpack.packb([msgpack.packb(["88.118", [], [], NOW]), bytes(64)])),
        ("signed by its second key", "delegation request", DelegationRequest(
            "88.118", (SECONDARY.key.public, SIBLING.key.public), (), NOW).sign(SIBLING.key)),
        ("signed as a delegation", "delegation request", _signed_as(DELEGATION_CONTEXT, delegating.REQUEST)),
        ("four elements", "succession", msgpack.packb([msgpack.packb(["88", [1, raw], [1, raw], NOW]), bytes(64)])),
        ("signed by the next key", "succession", Succession(
            "88", TOP.key.public, SECONDARY.key.public, NOW, UNTIL).sign(SECONDARY.key)),
    ]  # fmt: skip


def _signed_as(context: bytes, request: bytes) -> bytes:
    """A delegation request of the enterprise, signed over another context."""
    body = msgpack.unpackb(request)[0]
    statement: bytes = msgpack.packb([body, ENTERPRISE.key.sign(context + body)])
    return statement


# Receipts ------------------------------------------------------------------------------------------------


def receipt() -> Json:
    found = answered()
    absent = answered(ABSENT, Status.NOT_FOUND, ABSENT_TTL_SECONDS)
    gone = answered(status=Status.WITHDRAWN, payload=WITHDRAWN_BODY)
    own = answered(online=ENTERPRISE.online)
    of_another_key = OnlineKey(SECONDARY.prefix, "node-2", STRANGER.online.public, KEY_SINCE, KEY_UNTIL)
    while_keys_change = SECONDARY_CHAIN._replace(
        online_keys=(of_another_key.sign(key("next secondary zone")), SECONDARY.online_statement())
    )
    good = [
        ("found", found, SECONDARY_CHAIN),
        ("absent", absent, SECONDARY_CHAIN),
        ("withdrawn", gone, SECONDARY_CHAIN),
        ("found, two delegations", own, ENTERPRISE_CHAIN),
        ("found, beside it an online key that no key of the zone has signed", found, while_keys_change),
    ]
    spelt = answered(b"88.118.32001/p0000000123456")
    other_chain = SECONDARY_CHAIN._replace(online_keys=(OTHER_SECONDARY.online_statement(),))
    bad = [
        ("the answer of another question", found._replace(response=absent.response).receipt(SECONDARY_CHAIN)),
        ("another question", found._replace(request=spelt.request).receipt(SECONDARY_CHAIN)),
        ("the seal of another answer", found._replace(seal=absent.seal).receipt(SECONDARY_CHAIN)),
        ("a chain without the delegation", found.receipt(SECONDARY_CHAIN._replace(delegations=()))),
        ("a chain without the online key", found.receipt(SECONDARY_CHAIN._replace(online_keys=()))),
        ("an online key of another zone", found.receipt(other_chain)),
        ("sealed by an online key that no key of the zone has signed",
         answered(online=STRANGER.online).receipt(while_keys_change)),
        ("a zone that has no say", answered(online=SIBLING.online).receipt(ENTERPRISE_CHAIN._replace(
            delegations=(TOP.delegate(SECONDARY), SECONDARY.delegate(SIBLING)),
            online_keys=(SIBLING.online_statement(),)))),
        ("sealed before the online key was valid",
         answered(time=KEY_SINCE * 1_000 - 1).receipt(SECONDARY_CHAIN)),
        ("sealed after the online key was valid",
         answered(time=(KEY_UNTIL + 1) * 1_000).receipt(SECONDARY_CHAIN)),
        ("a refusal", answered(status=Status.NOT_RESPONSIBLE, payload=None).receipt(SECONDARY_CHAIN)),
        ("a body that is none", answered(payload=b"\x90").receipt(SECONDARY_CHAIN)),
        ("another format", b"\x96\x02" + found.receipt(SECONDARY_CHAIN)[2:]),
        ("cut short", found.receipt(SECONDARY_CHAIN)[:-1]),
        ("bytes behind it", found.receipt(SECONDARY_CHAIN) + b"\x00"),
    ]  # fmt: skip
    return {
        "anchor": {"prefix": ANCHOR.prefix, "key": ANCHOR.key.raw.hex(), "text": str(ANCHOR.key)},
        "good": [
            {
                "name": name, "request": one.request.hex(), "response": one.response.hex(), "seal": one.seal.hex(),
                "delegations": [raw.hex() for raw in chain.delegations],
                "online_keys": [raw.hex() for raw in chain.online_keys],
                "receipt": one.receipt(chain).hex(), **_verdict(one.receipt(chain)),
            } for name, one, chain in good
        ],
        "bad": [
            {"name": name, "receipt": raw.hex(), "rule": rule_of(lambda r=raw: verify_receipt(r, ANCHOR))[0]}
            for name, raw in bad
        ],
    }  # fmt: skip


def _verdict(receipt_bytes: bytes) -> dict[str, Json]:
    answer, proof = verify_receipt(receipt_bytes, ANCHOR)
    return {
        "identifier": answer.identifier, "status": int(answer.status), "zone": proof.zone.prefix,
        "node": proof.key.node, "time": proof.time, "ttl": answer.ttl,
    }  # fmt: skip


# Files ---------------------------------------------------------------------------------------------------

FILES: Final[dict[str, Callable[[], Json]]] = {
    "identifiers.json": identifiers,
    "records.json": records,
    "messages.json": messages,
    "merkle.json": merkle,
    "statements.json": statements,
    "receipt.json": receipt,
    "series.json": series,
    "templates.json": templating.templates,
}


def rendered(name: str) -> str:
    """The text of a file."""
    return json.dumps(FILES[name](), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write all files."""
    for name in FILES:
        (HERE / name).write_text(rendered(name), encoding="utf-8")
        print(f"wrote tests/vectors/{name}")


if __name__ == "__main__":
    main()
