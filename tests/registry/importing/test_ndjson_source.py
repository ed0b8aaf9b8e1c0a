from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol import records
from protocol.errors import InvalidInput, Rule
from registry.importing import ImportOptions, rules
from registry.importing.columns import plan_columns
from registry.importing.json_mapping import JsonMapping
from registry.importing.ndjson_source import NdjsonSource
from registry.importing.sources import MAX_LINE_CHARACTERS

FLAT = {"identifier": "88.118/1", "URL": "u", "NAME": "n"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.ndjson"


def read(
    path: Path, after: int = 0, **more: object
) -> tuple[dict[int, tuple[str, list[records.Value]]], dict[int, Rule]]:
    """Records and rules of refusals by row number."""
    options = ImportOptions(**more)  # type: ignore[arg-type]
    source = NdjsonSource(path, options)
    mapping = JsonMapping(plan_columns(source.header, options, open_ended=True))
    good: dict[int, tuple[str, list[records.Value]]] = {}
    bad: dict[int, Rule] = {}

    def refuse(row: int, identifier: str, fault: InvalidInput) -> None:
        assert isinstance(mapping.shown(b"{}"), str)
        assert fault.message("zh")
        bad[row] = fault.rule

    for row, line in source.rows(refuse, after):
        try:
            identifier, values = mapping.convert(line)
        except InvalidInput as fault:
            refuse(row, mapping.shown(line), fault)
        else:
            good[row] = identifier.decode(), records.check_values(values)
    assert source.position().done == path.stat().st_size
    return good, bad


def write(path: Path, *lines: object, encoding: str = "utf-8") -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_bytes("\n".join(texts).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_flat_lines(path: Path, encoding: str) -> None:
    first = {"标识": "88.118/甲", "网址": "https://例子.cn", "批次": 20250086, "重量": 1.50, "合格": True, "颜色": None}
    write(path, first, "", {"批次": "x", "标识": "88.118/2", "网址": "v"}, encoding=encoding)
    good, bad = read(path)
    assert bad == {}
    assert good[1][0] == "88.118/甲"
    assert [(value.index, value.type, value.text) for value in good[1][1]] == [
        (1, "URL", "https://例子.cn"),
        (2, "LOT", "20250086"),
        (3, "重量", "1.5"),
        (4, "合格", "true"),
    ]
    assert [(value.index, value.text) for value in good[3][1]] == [(1, "v"), (2, "x")]


def test_numbers_keep_their_digits(path: Path) -> None:
    write(path, '{"id":"a/1","x":1.50,"y":123456789012345678901234567890,"z":1E5}')
    assert [value.text for value in read(path)[0][1][1]] == ["1.50", "123456789012345678901234567890", "1E5"]


def test_whole_lines(path: Path) -> None:
    values = [{"index": 7, "type": "URL", "data": "泵"}, {"index": 2, "type": "NAME", "data": "n", "ttl": 60}]
    write(path, {"identifier": "88.118/1", "values": values})
    assert read(path)[0][1] == (
        "88.118/1",
        [records.Value(7, "URL", "泵".encode()), records.Value(2, "NAME", b"n", 60)],
    )


def test_whole_lines_as_an_export_writes_them(path: Path) -> None:
    values = [{"index": 1, "type": "KEY", "data_base64": "/wA=", "permissions": 12}]
    write(path, {"identifier": "88.118/1", "values": values})
    assert read(path)[0][1][1] == [records.Value(1, "KEY", b"\xff\x00", permissions=12)]
    readers = ["88.118.32002", "88.118.32001/G.partners", "*"]
    write(path, {"identifier": "88.118/1", "values": [{"index": 1, "type": "COST", "data": "9", "readers": readers}]})
    assert read(path)[0][1][1] == [records.Value(1, "COST", b"9", readers=tuple(readers))]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [{"index": 0, "type": "URL", "data": "x"}],
        [{"index": 1, "type": "", "data": "x"}],
        [{"index": 1, "type": "URL", "data": 5}],
        [{"index": 1, "type": "URL"}],
        [{"index": 1, "type": "URL", "data": "x", "permissions": 16}],
        [{"index": 1, "type": "URL", "data": "x", "timestamp": 1}],
        [{"index": 1, "type": "URL", "data": "x", "readers": "*"}],
        [{"index": 1, "type": "URL", "data": "x", "readers": ["no name/"]}],
        [{"index": 1, "type": "URL", "data": "x", "readers": ["*", "*"]}],
        [{"index": 1, "type": "URL", "data": "x", "data_base64": "eA=="}],
        [{"index": 1, "type": "URL", "data_base64": "no base64"}],
        [{"index": 1, "type": "URL", "data": "x", "ttl": 999_999}],
        [{"index": 1, "type": "URL", "data": "x"}] * 2,
        [{"index": 1, "type": "URL", "data": "x" * 16_385}],
        [{"index": 1, "type": "A", "data": "x" * 16_384}, {"index": 2, "type": "B", "data": "x" * 16_384}],
        ["x"],
    ],
)
def test_whole_lines_that_are_refused(path: Path, values: object) -> None:
    write(path, FLAT, {"identifier": "88.118/2", "values": values}, {**FLAT, "values": [], "note": "x"})
    good, bad = read(path)
    assert (set(good), set(bad)) == ({1}, {2, 3})


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", rules.BAD_JSON),
        ("[1]", rules.BAD_JSON),
        ("[" * 50_000, rules.BAD_JSON),
        ('{"identifier":"\\ud800/1","URL":"u"}', rules.BAD_JSON),
        ({"URL": "u"}, rules.EMPTY_IDENTIFIER),
        ({"identifier": ["x"], "URL": "u"}, rules.NOT_PLAIN),
        ({"identifier": "88/1", "URL": {"x": 1}}, rules.NOT_PLAIN),
        ({"identifier": "88/1", "URL": ""}, rules.NO_VALUE),
        ({"identifier": "88/1", "URL": "u", "new": "x"}, rules.UNKNOWN_KEY),
        ('{"identifier":8.81E+13,"URL":"u"}', rules.SCIENTIFIC),
        ({"identifier": "88/1", "URL": "x" * 2_000_000}, rules.ROW_TOO_LONG),
    ],
)
def test_lines_that_are_refused(path: Path, line: object, rule: Rule) -> None:
    write(path, FLAT, line, {**FLAT, "identifier": "88.118/3"})
    good, bad = read(path)
    assert bad == {2: rule}
    assert set(good) == {1, 3}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_broken_byte_costs_its_line(path: Path, encoding: str) -> None:
    lines = [json.dumps({**FLAT, "NAME": "液压泵和阀门"}, ensure_ascii=False).encode(encoding) for _ in range(5)]
    lines[2] = lines[2].replace(b'"u"', b'"\xff"')
    path.write_bytes(b"\n".join(lines))
    good, bad = read(path)
    assert (set(good), bad) == ({1, 2, 4, 5}, {3: rules.NOT_TEXT})


def test_keys_can_be_declared_and_left_out(path: Path) -> None:
    write(path, "broken", FLAT, {**FLAT, "LOT": "7", "note": "x"})
    good, bad = read(path, columns=("LOT=LOT:2000", "note="))
    assert set(bad) == {1}
    assert [(value.index, value.type) for value in good[3][1]] == [(1, "URL"), (2, "NAME"), (2000, "LOT")]


def test_lines_already_done_are_passed_over(path: Path) -> None:
    write(path, FLAT, "broken", FLAT, FLAT)
    good, bad = read(path, after=2)
    assert (set(good), bad) == ({3, 4}, {})


def test_a_file_without_line_ends_is_refused_for_these(path: Path) -> None:
    write(path, {**FLAT, "note": "x" * MAX_LINE_CHARACTERS})
    with pytest.raises(InvalidInput) as caught:
        NdjsonSource(path, ImportOptions())
    assert caught.value.rule is rules.ROW_TOO_LONG


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InvalidInput) as caught:
        NdjsonSource(path, ImportOptions())
    assert caught.value.rule is rules.NO_HEADER
