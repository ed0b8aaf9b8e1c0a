"""Vectors of series: patterns and their members, what stands in the way of what, bodies of members, and operations."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import IdentifierError, Refused
from protocol.members import Members
from protocol.messages import Op, failure_payload
from protocol.records import Head, Permission, State, Value, encode_body, encode_values
from protocol.series import parse_series
from protocol.status import Status
from registry.minting.desk import EXHAUSTED
from registry.series.desk import STANDS
from registry.store.series import series_identifier

PATTERNS: Final = (
    "88.118.32001/B2311-{000001..999999}",
    "88.118.32001/U{0000..FFFF;hex}-CN",
    "88.118.32001/K{000..ZZZ;base36}",
    "88.118.32001/{690123400001..690123499999;gs1}",
    "88.118.32001/{{泵}}{7..9}",
    "88.118.32001/{000000000000000001..000000999999999999}",
)
REFUSED: Final = (
    "88.118.32001/B2311", "88.118.32001/{1..2}{1..2}", "88.118.32001/{1..2", "88.118.32001/{1..20}",
    "88.118.32001/{2..1}",
    "88.118.32001/{0..G;hex}", "88.118.32001/{0..F;hex;gs1}", "88.118.32001/{0..9;octal}",
    "88.118.32001/{0000000000000..9999999999999}", "88..32001/{0..9}",
)  # fmt: skip
PAIRS: Final = (
    ("88.1/A{00..19}", "88.1/A{10..29}"),
    ("88.1/A{00..19}", "88.1/A{20..29}"),
    ("88.1/A{00..19}", "88.1/A1{5..7}"),
    ("88.1/A{00..19}", "88.1/A{1A..1F;hex}"),
    ("88.1/A{00..19}", "88.2/A{00..19}"),
    ("88.1/{000000000..00ZZZZZZZ;base36}0A", "88.1/{000000000..00ZZZZZZZ;base36}0B"),
    ("88.1/{000000000000..999999999999;gs1}", "88.1/590123412345{7..7}"),
    ("88.1/{000000000000..999999999999;gs1}", "88.1/590123412345{8..9}"),
    ("88.1/{000000000000..999999999999;gs1}", "88.1/5901{00000000..99999999;gs1}"),
    ("88.1/{000000000000..999999999999;gs1}", "88.1/1300{00000000..99999999;gs1}"),
)
KEPT: Final = (
    Value(1, "URL", b"https://example.cn/{identifier}?n={counter}"),
    Value(2, "NAME", "泵 {suffix} {{{prefix}}}".encode()),
    Value(3, "COST", b"{counter}", permissions=int(Permission.ADMIN_READ | Permission.ADMIN_WRITE)),
    Value(4, "PLAIN", b"\xff{", ttl=60),
)
VERSION: Final = 3
TIME: Final = 1_700_000_000

SERIES: Final = b"88.118.32001/B2311-{000001..999999}"
SERIES_BODY: Final = encode_body(1, State.ACTIVE, TIME, encode_values(KEPT[:1]))

Json = Any


def series() -> Json:
    """The content of ``series.json``."""
    return {
        "patterns": [_pattern(text) for text in PATTERNS],
        "refused": [{"pattern": text, "rule": _rule_of(text)} for text in REFUSED],
        "pairs": [
            {"one": one, "other": other, "meet": parse_series(one).meets(parse_series(other))} for one, other in PAIRS
        ],
        "members": [body for text in PATTERNS[1:5] for body in _bodies(text)],
    }


def _pattern(text: str) -> Json:
    one = parse_series(text)
    assert str(one) == text
    return {
        "pattern": text, "count": one.count, "shape": one.shape.decode(),
        "record": series_identifier(one).decode(),
        "members": [{"n": n, "suffix": one.member(n).decode()} for n in sorted({0, 1, one.count // 2, one.count - 1})],
    }  # fmt: skip


def _rule_of(text: str) -> str:
    try:
        parse_series(text)
    except IdentifierError as error:
        return error.rule.name
    raise AssertionError(text)


def _bodies(text: str) -> list[Json]:
    one = parse_series(text)
    kept = encode_values(KEPT)
    members = Members(one, Head(VERSION, State.ACTIVE, TIME, kept))
    return [
        {
            "pattern": text, "kept": encode_body(VERSION, State.ACTIVE, TIME, kept).hex(),
            "suffix": one.member(n).decode(),
            "body": members.whole(one.member(n)).hex(), "public_body": members.public(one.member(n)).hex(),
        }
        for n in (0, one.count - 1)
    ]  # fmt: skip


def series_questions() -> list[Any]:
    """Operations of series and minting, as ``generate.questions`` has others."""
    values = encode_values(KEPT[:1])
    stands = Refused(STANDS, Status.EXISTS, series="88.118.32001/B2311-{0..9}", other=SERIES.decode())
    used_up = Refused(EXHAUSTED, Status.NOT_FOUND, name="label")
    prefix, label = b"88.118.32001", "B{date:%Y%m%d}-{0001..9999}"
    return [
        ("suspend and resume", "registry", Op.WRITE, ([[prefix + b"/P1", None, 2], [prefix + b"/P2", 4, 0]],),
         [("done", 0, [[0, 2, True], [0, 5, True]]),
          ("there is nothing", 0, [[int(Status.NOT_FOUND), 0, False], [int(Status.WITHDRAWN), 4, False]])]),
        ("series", "registry", Op.SERIES, ([[SERIES, 0, values], [b"88.118.32001/B2311-{0..9}", 0, values],
                                            [SERIES, 1, 2], [SERIES, None, 0], [SERIES, 3, None]],),
         [("each its own", 0, [[0, 1, True], [int(Status.EXISTS), failure_payload(stands), False], [0, 2, True],
                               [0, 3, True], [0, 4, True]])]),
        ("series of a prefix", "registry", Op.SERIES_OF, (prefix, None, 10),
         [("a page", 0, [[[SERIES.decode(), SERIES_BODY, 999_999]], None])]),
        ("a series", "registry", Op.SERIES_OF, (SERIES, None, 1),
         [("shown", 0, [[[SERIES.decode(), SERIES_BODY, 999_999]], None]), ("never registered", 0, [[], None])]),
        ("rule", "registry", Op.RULE, (prefix, b"label", label.encode(), b"Asia/Shanghai"),
         [("made", 0, 1)]),
        ("rules", "registry", Op.RULES, (prefix, None, 10),
         [("a page", 0, [[["88.118.32001", "label", label, "Asia/Shanghai", 2, 9_997]], None])]),
        ("mint", "registry", Op.MINT, (prefix, b"label", 2, None),
         [("given", 0, [[b"88.118.32001/B20231115-0001", b"88.118.32001/B20231115-0002"], 9_997]),
          ("used up", int(Status.NOT_FOUND), failure_payload(used_up))]),
    ]  # fmt: skip
