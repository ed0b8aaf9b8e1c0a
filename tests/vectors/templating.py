"""Templates, the records that follow one, what is answered for these, and what is asked about templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgpack
import msgspec

from protocol.computed import ComputedText
from protocol.errors import BiaoshiError, RecordError, Refused
from protocol.kept import encode_data
from protocol.messages import Op, failure_payload
from protocol.patterns import compile_pattern
from protocol.records import State, encode_body
from protocol.status import Status
from protocol.templated import Checker, Expander
from protocol.templates import Item, Problems, Template, check_change, check_template, encode_template, read_template
from registry.rights import NOT_AUTHENTICATED, OTHER_PREFIX
from registry.templates.checking import NO_SUCH
from tests.vectors.actors import NOW

Json = Any

PREFIX: Final = "88.118.32001"
PUMP: Final = Template(PREFIX, 1, "齿轮泵", "C34", (
    Item(index=2_000, name="PRODUCT_NAME", zh="产品名称", en="Product name", required=True, max_length=20),
    Item(index=2_001, name="PRODUCED", zh="生产日期", type="date", ttl=3_600),
    Item(index=2_002, name="PAGE", type="url", value_type="URL", computed="https://example.cn/p/{suffix}"),
    Item(index=2_003, name="POWER", zh="功率", type="number", unit="kW", indexed=True),
    Item(index=2_004, name="COST", type="number", permissions=12),
    Item(index=2_005, name="DRAWING", zh="图纸", type="url", readers=("88.118.32002", "88.118.32001/G.partners")),
    Item(index=70_000, name="CODE", pattern="[A-Z]{2}-\\d{4}|无"),
))  # fmt: skip
LEAST: Final = Template("88.118", 999_999, "t", "", (Item(index=2_000, name="A"),))
DISABLED: Final = PUMP.disable([2_003])

RECORDS: Final[tuple[tuple[str, str, int, tuple[tuple[int, bytes], ...]], ...]] = (
    ("every item", f"{PREFIX}/P0000000000001", 1, (
        (2_000, "齿轮泵".encode()), (2_001, b"2026-01-31"), (2_003, b"-7.50"), (2_004, b"100"),
        (2_005, b"https://example.cn/d/1"), (70_000, b"AB-1234"))),
    ("what is required alone", f"{PREFIX}/P2", 300, ((2_000, b"pump"),)),
    ("a suffix that is escaped in a URL", f"{PREFIX}/工件 12/左?#", 1, ((2_000, b"pump"),)),
    ("data of 256 bytes", f"{PREFIX}/P3", 1, ((2_000, b"pump"), (2_005, b"https://e.cn/" + b"x" * 243))),
)  # fmt: skip

REFUSED: Final[tuple[tuple[str, bytes], ...]] = (
    ("several things at once", encode_data(1, [(2_001, b"31.1.2026"), (2_002, b"x"), (2_003, b"1e3"), (2_050, b"y")])),
    ("too long, and no match", encode_data(1, [(2_000, "泵".encode() * 21), (70_000, b"AB-12345")])),
    ("empty, not UTF-8, no URL", encode_data(1, [(2_000, b""), (2_004, b"\xff"), (2_005, b"example.cn")])),
    ("indexes that do not ascend", encode_data(1, [(2_001, b"2026-01-31"), (2_000, b"pump"), (2_000, b"pump")])),
)

MALFORMED: Final[tuple[tuple[str, bytes], ...]] = (
    ("no data", b"\x91\x01"),
    ("version 0", b"\x92\x00\x90"),
    ("version 1,000,000", b"\x92\xce\x00\x0f\x42\x40\x90"),
    ("a longer form than needed", b"\x92\xcd\x00\x01\x90"),
    ("an index below 2,000", b"\x92\x01\x91\x92\xcd\x07\xcf\xc4\x00"),
    ("data as text", b"\x92\x01\x91\x92\xcd\x07\xd0\xa1x"),
    ("bytes behind it", b"\x92\x01\x90\x00"),
)

BAD: Final[tuple[tuple[str, Template], ...]] = (
    ("no items", msgspec.structs.replace(PUMP, items=())),
    ("a prefix not in normal form", msgspec.structs.replace(PUMP, prefix="88.abc")),
    ("items out of order, of one name", msgspec.structs.replace(PUMP, items=(
        PUMP.items[1], LEAST.items[0], msgspec.structs.replace(PUMP.items[3], name="A")))),
    ("much that is wrong with items", msgspec.structs.replace(PUMP, items=(
        Item(index=2_000, name="1", min_length=2, max_length=1), Item(index=2_001, name="B", pattern="(a)"),
        Item(index=2_002, name="C", computed="{x}", required=True), Item(index=2_003, name="D", readers=("a",)),
        Item(index=2_004, name="E", pattern="a*a")))),
)  # fmt: skip

COMPUTED: Final = (
    ("https://example.cn/p/{suffix}", False), ("https://example.cn/p/{suffix}", True), ("{identifier}|{prefix}", False),
    ("{identifier}", True), ("{{{suffix}}}", False), ("无", False),
)  # fmt: skip
BAD_COMPUTED: Final = ("{", "}", "{}", "{Suffix}", "{suffix", "{counter}", "{suffix}" * 9, "x" * 1_025)
PATTERNS: Final = (
    ("[A-Z]{2}-\\d{4}|无", ("AB-1234", "无", "AB-123", "ab-1234", "AB-12345", "无无", "")),
    ("[^-]+-\\w*", ("a-b_1", "a-", "-b", "a-b-c")),
    (".?", ("", "\n", "ab")),
)
BAD_PATTERNS: Final = ("(a)", "a**", "[b-a]", "[]", "\\n", "a{2,1}", "^a", "a*a", "[A-Z]+[A-Z0-9]*", "a" * 257)


def templates() -> Json:
    """The file of these vectors."""
    expander, checker = Expander(PUMP), Checker(PUMP)
    records = []
    for name, identifier, version, data in RECORDS:
        values = encode_data(PUMP.version, data)
        checker.check(values)
        body = encode_body(version, State.ACTIVE, NOW, values)
        shown = encode_body(version, State.ACTIVE, NOW, expander.values(data, identifier.encode()))
        records.append({
            "name": name, "identifier": identifier, "data": [[index, one.hex()] for index, one in data],
            "values": values.hex(), "body": body.hex(), "answered": shown.hex(),
        })  # fmt: skip
    some = ("工件 12/左?#", "P1")
    return {
        "templates": [
            {"name": name, "bytes": encode_template(one).hex()}
            for name, one in (("every kind of item", PUMP), ("one item disabled", DISABLED), ("the least", LEAST))
        ],
        "bad": [{"name": name, "bytes": encode_template(one).hex(), "rules": _rules(one)} for name, one in BAD],
        "records": records,
        "refused": [{"name": name, "values": raw.hex(), "rules": _broken(raw)} for name, raw in REFUSED],
        "malformed": [{"name": name, "values": raw.hex(), "rule": "record.malformed"} for name, raw in MALFORMED],
        "computed": [
            {"text": text, "url": url, "identifier": f"{PREFIX}/{suffix}", "data": _filled(text, url, suffix).hex()}
            for text, url in COMPUTED for suffix in some
        ],
        "bad_computed": [{"text": text, "rule": _rule(ComputedText, text)} for text in BAD_COMPUTED],
        "patterns": [
            {"pattern": pattern, "texts": {text: bool(compile_pattern(pattern).fullmatch(text)) for text in texts}}
            for pattern, texts in PATTERNS
        ],
        "bad_patterns": [{"pattern": pattern, "rule": _rule(compile_pattern, pattern)} for pattern in BAD_PATTERNS],
    }  # fmt: skip


def _rules(template: Template) -> list[str]:
    try:
        check_template(read_template(encode_template(template)))
    except Problems as error:
        return [one.rule.name for one in error.problems]
    raise AssertionError(template)


def _broken(values: bytes) -> list[Json]:
    """The rules that a record breaks, with the item or index."""
    try:
        Checker(PUMP).check(values)
    except Problems as error:
        return [[one.rule.name, one.details.get("item", one.details.get("index"))] for one in error.problems]
    raise AssertionError(values)


def _rule(judge: Any, text: str) -> str:
    try:
        judge(text)
    except RecordError as error:
        return error.rule.name
    raise AssertionError(text)


def _filled(text: str, url: bool, suffix: str) -> bytes:
    return ComputedText(text, url=url).fill(f"{PREFIX}/{suffix}".encode(), PREFIX.encode(), suffix.encode())


# Questions -----------------------------------------------------------------------------------------------

GOOD_VALUES: Final = encode_data(1, RECORDS[0][3])
OTHER_NAME: Final = msgspec.structs.replace(PUMP, name="other")


def _failure(error: BiaoshiError) -> tuple[int, list[object]]:
    return int(error.status), failure_payload(error)


def _refusal(judge: Any, *arguments: object) -> tuple[int, list[object]]:
    try:
        judge(*arguments)
    except BiaoshiError as error:
        return _failure(error)
    raise AssertionError(arguments)


def questions() -> list[tuple[str, str, int, tuple[object, ...], Sequence[tuple[str, int, object]]]]:
    """Operations 44 and 45, and WRITE of what follows a template."""
    raw = encode_template(PUMP)
    no_key = _failure(Refused(NOT_AUTHENTICATED, Status.NOT_AUTHENTICATED))
    other = _failure(Refused(OTHER_PREFIX, Status.NOT_PERMITTED, prefix="88.118"))
    broken = _refusal(Checker(PUMP).check, REFUSED[0][1])
    none = _failure(RecordError(NO_SUCH, prefix=PREFIX, version=2))
    first = RECORDS[0][1].encode()
    return [
        ("template", "registry", Op.TEMPLATE, (raw,),
         [("kept", 0, True), ("sent again", 0, False), ("no key proven", *no_key)]),
        ("template, an item disabled", "registry", Op.TEMPLATE, (encode_template(DISABLED),), [("kept", 0, True)]),
        ("template, otherwise changed", "registry", Op.TEMPLATE, (encode_template(OTHER_NAME),),
         [("refused", *_refusal(check_change, PUMP, OTHER_NAME))]),
        ("template of another prefix", "registry", Op.TEMPLATE, (encode_template(LEAST),), [("refused", *other)]),
        ("template that is not usable", "registry", Op.TEMPLATE, (encode_template(BAD[0][1]),),
         [("refused", *_refusal(check_template, BAD[0][1]))]),
        ("one template", "registry", Op.TEMPLATES, (PREFIX.encode(), 1),
         [("shown", 0, [[raw], None]), ("none", 0, [[], None])]),
        ("templates", "registry", Op.TEMPLATES, (PREFIX.encode(), None, 10), [("a page", 0, [[raw], None])]),
        ("write what follows a template", "registry", Op.WRITE, (
            [[first, 0, GOOD_VALUES], [f"{PREFIX}/B".encode(), 0, REFUSED[0][1]],
             [f"{PREFIX}/C".encode(), 0, msgpack.packb([2, []])]],),
         [("each its own", 0, [[0, 1, True], [*broken, False], [*none, False]])]),
        ("fetch what follows a template", "registry", Op.FETCH, ([first],),
         [("as it is kept", 0, [encode_body(1, State.ACTIVE, NOW, GOOD_VALUES)])]),
        ("resolve what follows a template", "resolver", Op.RESOLVE, (first,),
         [("expanded", 0, encode_body(1, State.ACTIVE, NOW, Expander(PUMP).values(RECORDS[0][3], first)))]),
    ]  # fmt: skip
