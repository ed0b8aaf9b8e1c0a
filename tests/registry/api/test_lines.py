"""Lines of an import: however the stream is cut and however a line is written, it is read as the same writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.records import DEFAULT_PERMISSIONS, Value, check_values
from registry.api import lines
from registry.api.lines import Block, LineBlocks, read_block
from registry.api.reading import check_keys
from registry.json_records import JsonRecord, JsonValue, encode_json_values, json_values
from registry.store.writes import ABSENT, ANY
from tests.fuzz.decoders import meaning
from tests.property.strategies import MANY, value_lists

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ['"', '":', '\\":', " :", "{", "}\n{", "\\", "\n"]
)
PLAIN_VALUES = st.fixed_dictionaries(
    {"index": st.integers(1, 0xFFFF_FFFF), "type": TEXTS.filter(bool), "data": TEXTS},
)
OTHER_VALUES = st.fixed_dictionaries(
    {"index": st.integers(-1, 1 << 33), "type": TEXTS},
    optional={"data": TEXTS, "ttl": st.integers(0, 9), "x": st.none()},
)
ITEMS = st.fixed_dictionaries(
    {"identifier": st.just("88.118.1/").flatmap(lambda head: TEXTS.map(lambda tail: head + tail))},
    optional={
        "values": st.lists(PLAIN_VALUES, max_size=3) | st.lists(OTHER_VALUES, max_size=2),
        "withdraw": st.booleans(),
        "if_version": st.integers(0, 3),
    },
)
WRITERS: list[Callable[[Any], str]] = [
    lambda item: json.dumps(item, ensure_ascii=False, separators=(",", ":")),
    lambda item: json.dumps(item),
    lambda item: json.dumps(item, ensure_ascii=False).replace('": ', '" : '),
    lambda item: "  " + json.dumps(item, separators=(" ,", ":")) + "\t",
]


def one_by_one(block: bytes, first: int, *, update: bool) -> Block:
    """The careful reading, whatever the block looks like."""
    original, lines._read_quickly = lines._read_quickly, lambda block, compare: None
    try:
        return read_block(block, first, update=update)
    finally:
        lines._read_quickly = original


@MANY
@given(st.lists(st.tuples(ITEMS, st.sampled_from(WRITERS)), min_size=1, max_size=6), st.booleans())
@example([({"identifier": "88.118.1/x", "values": [{"index": 1, "type": "T", "data": "x"}]}, WRITERS[0])] * 3, True)
def test_both_ways_read_the_same(items: list[tuple[Any, Callable[[Any], str]]], update: bool) -> None:
    block = "".join(write(item) + "\n" for item, write in items).encode()
    assert meaning(read_block(block, 5, update=update)) == meaning(one_by_one(block, 5, update=update))


def test_plain_lines_are_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the property above would say nothing."""
    item = {"identifier": "88.118.1/x", "values": [{"index": 1, "type": "T", "data": "泵"}]}
    block = "".join(WRITERS[0](item) + "\n" for _ in range(3)).encode()
    monkeypatch.setattr(lines, "_read_line", None)
    read = read_block(block, 1, update=False)
    assert (len(read.items), list(read.lines)) == (3, [1, 2, 3])
    assert {item[1] for item in read.items} == {ABSENT}
    assert {item[1] for item in read_block(block, 1, update=True).items} == {ANY}
    assert len(read_block(block.replace(b"\n", b"\r\n"), 1, update=False).items) == 3


@pytest.mark.parametrize(
    "line",
    [
        b'{"identifier":"88.118.1/x","identifier":"88.118.1/y","values":[{"index":1,"type":"T","data":"x"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"index":2,"type":"T","data":"x"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index" :1,"index":2,"type":"T","data":"x"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"index"\t:2,"type":"T","data":"x"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"index":2,"type" :"T","data":"\\":"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"\\u0069ndex":2,"type":"T","data":"x"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"index":2,"type":"T","data":"\\u0022:"}]}',
        b'{"identifier":"88.118.1/x","values":[{"index":1,"index":2,"type":"T","data":"\\"\\u003a"}]}',
    ],
)
@pytest.mark.parametrize("among", [1, 3])
def test_a_key_twice_is_found_in_any_disguise(line: bytes, among: int) -> None:
    other = b'{"identifier":"88.118.1/o","values":[{"index":1,"type":"T","data":"o"}]}'
    read = read_block(b"\n".join([other] * (among - 1) + [line, b""]), 1, update=False)
    assert [(one.line, one.error.rule.name) for one in read.refused] == [(among, "api.key-twice")]
    assert len(read.items) == among - 1


@MANY
@given(
    st.recursive(
        st.text(max_size=5) | st.integers(), lambda one: st.lists(one) | st.dictionaries(TEXTS, one), max_leaves=12
    )
)
def test_no_text_with_each_key_once_is_refused(content: object) -> None:
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, separators=(",", ":"))):
        check_keys(text.encode())


LINES = st.lists(st.binary(max_size=30).map(lambda one: one.replace(b"\n", b"")) | st.just(b"x" * 60), max_size=12)


@MANY
@given(LINES, st.lists(st.integers(1, 40), max_size=30), st.booleans(), st.booleans())
def test_however_a_stream_is_cut_its_lines_are_the_same(
    given_lines: list[bytes], sizes: list[int], ended: bool, eager: bool
) -> None:
    lines.MAX_LINE_BYTES, kept = 40, lines.MAX_LINE_BYTES
    lines.BLOCK_BYTES, kept_block = 80, lines.BLOCK_BYTES
    lines.MAX_BLOCK_LINES, kept_lines = 3, lines.MAX_BLOCK_LINES
    try:
        stream = b"\n".join(given_lines) + (b"\n" if ended and given_lines else b"")
        blocks = LineBlocks()
        found: dict[int, bytes] = {}
        refused: list[int] = []

        def take(block: lines.Lines) -> None:
            assert block.text.count(b"\n") <= 3
            for number, line in enumerate(block.text.split(b"\n"), start=block.first):
                if number <= block.last and line:
                    assert number not in found
                    found[number] = line
            refused.extend(one.line for one in block.refused)

        at = 0
        for size in [*sizes, len(stream)]:
            blocks.feed(stream[at : at + size])
            at += size
            while blocks.is_due or (eager and blocks.has_lines):
                take(blocks.take())
        while blocks.has_lines:
            take(blocks.take())
        rest = blocks.end()
        take(rest)
        expected = {number: line for number, line in enumerate(given_lines, start=1) if line}
        assert {number: line for number, line in expected.items() if number not in refused} == found
        assert all(len(expected[number]) > 40 for number in refused)
        assert rest.last == stream.count(b"\n") + (bool(stream) and not stream.endswith(b"\n"))
    finally:
        lines.MAX_LINE_BYTES, lines.BLOCK_BYTES, lines.MAX_BLOCK_LINES = kept, kept_block, kept_lines


# Values and JSON ---------------------------------------------------------------------------------------------------


@MANY
@given(value_lists)
def test_values_survive_json(kept: list[Value]) -> None:
    timeless = [msgspec.structs.replace(one, timestamp=0) for one in kept]
    text = msgspec.json.encode(JsonRecord(identifier="88.118.1/x", values=json_values(timeless)))
    again = msgspec.json.decode(text, type=JsonRecord)
    assert check_values(encode_json_values(again.values)) == timeless
    check_keys(text)
    for shown in json.loads(text)["values"]:
        assert ("data" in shown) != ("data_base64" in shown)
        assert shown.get("permissions") != DEFAULT_PERMISSIONS


@MANY
@given(st.lists(st.builds(JsonValue, st.integers(1, 9), TEXTS.filter(bool), TEXTS), max_size=4))
def test_what_is_taken_comes_back(values: list[JsonValue]) -> None:
    unique = list({one.index: one for one in values}.values())
    if unique:
        assert json_values(check_values(encode_json_values(unique))) == unique
