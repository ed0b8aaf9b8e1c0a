"""Templates from the command line: put, filled by an import, answered by the resolver, exported and read back."""

from __future__ import annotations

import json
from pathlib import Path

from protocol.status import Exit
from tests.e2e.nodes import Node

ZH = {"BIAOSHI_LANG": "zh"}
TOML = """
prefix = "88.118.707"
name = "pump"
industry = "C34"
items = [
    { index = 2000, name = "NAME", zh = "产品名称", required = true, max_length = 20 },
    { index = 2001, name = "DAY", zh = "生产日期", type = "date" },
    { index = 2002, name = "PAGE", type = "url", value_type = "URL", computed = "https://example.com/p/{suffix}" },
    { index = 2003, name = "COST", type = "number", permissions = 12 },
]
"""


def test_life_of_a_template(node: Node, tmp_path: Path) -> None:
    form = tmp_path / "pump.toml"
    form.write_text(TOML, "utf-8")
    assert (made := node.run("template", "put", form)).out == "88.118.707  version 1\n", made.err
    assert node.run("template", "put", form).out == "88.118.707  version 2\n"  # the next one

    table = tmp_path / "rows.csv"
    table.write_text("标识,产品名称,生产日期,COST\nP1,齿轮泵,2026-01-31,9.5\nP2,泵,31.1.2026,x\n", "utf-8")
    options = ("--prefix", "88.118.707", "--template", "1")
    checked = node.run("import", table, *options, "--check")
    assert (checked.code, checked.out.splitlines()[0]) == (Exit.PARTLY_REFUSED, "2 rows checked, 1 would be refused")
    loaded = node.run("import", table, *options, env=ZH)
    assert loaded.code == Exit.PARTLY_REFUSED, loaded.err
    report = (tmp_path / "rows.csv.refused.csv").read_text("utf-8-sig")
    assert "2001 生产日期" in report
    assert "2003 COST" in report

    shown = node.run("resolve", "88.118.707/P1", "--json")
    values = json.loads(shown.out)["values"]
    assert [(one["index"], one["type"], one["data"]) for one in values] == [
        (2000, "NAME", "齿轮泵"), (2001, "DAY", "2026-01-31"), (2002, "URL", "https://example.com/p/P1"),
    ]  # fmt: skip

    exported = node.run("export", "88.118.707")
    assert [json.loads(line) for line in exported.out.splitlines()] == [
        {"identifier": "88.118.707/P1", "template": 1, "values": [
            {"index": 2000, "data": "齿轮泵"}, {"index": 2001, "data": "2026-01-31"}, {"index": 2003, "data": "9.5"},
        ]}
    ]  # fmt: skip
    (tmp_path / "rows.ndjson").write_text(exported.out, "utf-8")
    assert "0 registered, 1 there already" in node.run("import", tmp_path / "rows.ndjson").out

    one = ("register", "88.118.707/P3", "--template", 1)
    assert node.run(*one, "-v", "2001=2026-02-01", "-v", "NAME=pump").out == "88.118.707/P3  version 1\n"
    assert node.run(*one, "-v", "NAME=pump", "-v", "2001=2026-02-01").out == "88.118.707/P3  version 1 (as it was)\n"
    changed = node.run("update", "88.118.707/P3", "--template", 1, "-v", "NAME=valve")
    assert (changed.code, changed.out) == (0, "88.118.707/P3  version 2\n")
    for given, said in [(("-v", "DAY=today"), "2001 DAY is 'today'"), (("-v", "X=1"), "2000 NAME, 2001 DAY"),
                         (("-v", "DAY"), "ITEM=DATA"), ((), "2000 NAME is missing")]:  # fmt: skip
        refused = node.run(*one, *given)
        assert refused.code == Exit.BAD_INPUT
        assert said in refused.err
    assert "no template of version 9" in node.run("register", "88.118.707/P4", "--template", 9, "-v", "NAME=x").err
    assert "at least one value" in node.run("register", "88.118.707/P4").err

    gone = node.run("template", "disable", "88.118.707", 1, "DAY", "2003")
    assert gone.out == "1  pump  NAME DAY (disabled) PAGE COST (disabled)\n", gone.err
    assert json.loads(node.run("resolve", "88.118.707/P1", "--json").out)["values"] == values
    assert node.run("import", table, *options).code == Exit.BAD_INPUT

    listed = node.run("template", "list", "88.118.707", env=ZH)
    assert listed.out == "1  pump  NAME DAY（停用） PAGE COST（停用）\n2  pump  NAME DAY PAGE COST\n"
    as_json = node.run("template", "list", "88.118.707", "--json").out.splitlines()
    whole = node.run("template", "show", "88.118.707", 2)
    assert json.loads(whole.out) == json.loads(as_json[1])
    again = tmp_path / "again.json"
    again.write_text(whole.out, "utf-8")
    assert node.run("template", "put", again).out == "88.118.707  version 2 (as it was)\n"


def test_what_is_wrong_is_said(node: Node, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"prefix":"88.118.8","name":"n","items":[{"index":2000,"name":"1","pattern":"("}]}', "utf-8")
    refused = node.run("template", "put", bad, env=ZH)
    assert refused.code == Exit.BAD_INPUT
    assert "项 2000 的名称不可用" in refused.err
    assert "匹配模式" in refused.err
    for arguments, code, said in [
        (("put", tmp_path / "none.json"), Exit.SETTINGS, "cannot be opened"),
        (("show", "88.118.8", 1), Exit.BAD_INPUT, "no template of version 1"),
        (("show", "88..8", 1), Exit.BAD_INPUT, "empty segment"),
        (("list", "89.1"), Exit.NOT_PERMITTED, "may not write below '89.1'"),
        (("disable", "88.118.8", 1, "A"), Exit.BAD_INPUT, "no template of version 1"),
    ]:
        outcome = node.run("template", *arguments)
        assert (outcome.code, outcome.out) == (code, "")
        assert said in outcome.err
    table = tmp_path / "rows.csv"
    table.write_text("id,A\nP1,x\n", "utf-8")
    for text in ("1", "88.118.8/", "88.118.8/x", "88.118.8/0", "88.118.8/9999999"):
        outcome = node.run("import", table, "--template", text)
        assert outcome.code == Exit.BAD_INPUT
        assert "names no template" in outcome.err
