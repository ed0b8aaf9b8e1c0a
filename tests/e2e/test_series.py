"""Series and suspension through the command, at a node in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

from protocol.status import Exit
from tests.conftest import MakeNode
from tests.e2e.nodes import Node


def test_life_of_a_series(node: Node) -> None:
    pattern, url = "88.118.61/B2311-{000001..999999}", "URL=https://example.com/p/{suffix}?n={counter}"
    made = node.run("register", pattern, "-v", url)
    assert (made.code, made.out) == (0, f"{pattern}  version 1\n")
    assert node.run("register", pattern, "-v", url).out == f"{pattern}  version 1 (as it was)\n"
    assert node.run("register", pattern, "-v", "URL=https://example.com/").code == Exit.CONFLICT

    [answer] = node.run("resolve", "--json", "88.118.61/B2311-000777").lines()
    assert answer["version"] == 1
    assert answer["values"][0]["data"] == "https://example.com/p/B2311-000777?n=000777"
    for absent in ("88.118.61/B2311-000000", "88.118.61/B2311-0000001", "88.118.61/B2311-00000A"):
        assert node.run("resolve", absent).code == Exit.NOT_FOUND
    assert node.run("list", "88.118.61").out == f"{pattern}\n"

    # One member is replaced, one suspended, one withdrawn; the others stay.
    assert node.run("register", "88.118.61/B2311-000001", "-v", "NAME=own").code == Exit.CONFLICT
    assert node.run("update", "88.118.61/B2311-000001", "-v", "NAME=own").out == "88.118.61/B2311-000001  version 2\n"
    assert node.run("suspend", "88.118.61/B2311-000002").code == 0
    assert node.run("delete", "88.118.61/B2311-000003").code == 0
    names = [f"88.118.61/B2311-{number:06d}" for number in range(1, 5)]
    answers = node.run("resolve", "--json", *names).lines()
    assert [one["status"] for one in answers] == ["ok", "suspended", "withdrawn", "ok"]
    assert answers[0]["values"][0]["data"] == "own"
    held = node.run("resolve", names[1])
    assert held.code == Exit.NOT_FOUND
    assert "suspended" in held.out
    assert node.run("resume", names[1]).code == 0
    assert node.run("resolve", names[1]).code == 0

    # The series as a whole.
    assert node.run("suspend", pattern).code == 0
    assert [one["status"] for one in node.run("resolve", "--json", *names).lines()] == [
        "ok", "ok", "withdrawn", "suspended",
    ]  # fmt: skip
    assert node.run("resume", pattern).code == 0
    assert node.run("update", pattern, "-v", "NAME=all").out == f"{pattern}  version 4\n"
    assert node.run("resolve", "--json", names[3]).lines()[0]["values"][0]["data"] == "all"
    assert node.run("delete", pattern).code == 0
    assert [one["status"] for one in node.run("resolve", "--json", names[0], names[3]).lines()] == ["ok", "withdrawn"]


def test_a_series_follows_a_template(node: Node, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        'prefix = "88.118.66"\nname = "pump"\n[[items]]\nindex = 2000\nname = "MODEL"\nmax_length = 6\n'
        '[[items]]\nindex = 2001\nname = "PAGE"\ntype = "url"\ncomputed = "https://example.com/{suffix}"\n',
        "utf-8",
    )
    assert node.run("template", "put", tmp_path / "t.toml").code == 0
    made = node.run("register", "88.118.66/T-{001..999}", "--template", 1, "-v", "MODEL=A456")
    assert made.code == 0, made.err
    [answer] = node.run("resolve", "--json", "88.118.66/T-042").lines()
    assert [(value["type"], value["data"]) for value in answer["values"]] == [
        ("MODEL", "A456"), ("PAGE", "https://example.com/T-042"),
    ]  # fmt: skip
    refused = node.run("register", "88.118.66/U-{001..999}", "--template", 1, "-v", "MODEL=A456-4-long")
    assert refused.code == Exit.BAD_INPUT
    assert "MODEL" in refused.err


def test_series_that_meet_something_name_it(node: Node) -> None:
    assert node.run("register", "88.118.62/A-{00..99}", "-v", "NAME=a").code == 0
    refused = node.run("register", "88.118.62/A-{50..60;hex}", "-v", "NAME=b")
    assert refused.code == Exit.CONFLICT
    assert "88.118.62/A-{00..99}" in refused.err
    assert node.run("register", "88.118.62/B-07", "-v", "NAME=one").code == 0
    refused = node.run("register", "88.118.62/B-{00..99}", "-v", "NAME=b")
    assert "88.118.62/B-07" in refused.err
    assert node.run("register", "88.118.62/A-{5..2}", "-v", "NAME=b").code == Exit.BAD_INPUT
    assert node.run("register", "88.119/A-{1..2}", "-v", "NAME=b").code == Exit.NOT_PERMITTED
    assert node.run("register", "88.118.62/C-{1..2}", "-v", "NAME={what}").code == Exit.BAD_INPUT


def test_a_series_is_one_row_of_an_export(node: Node, make_node: MakeNode, tmp_path: Path) -> None:
    assert (
        node.run("register", "88.118.63/{{x}}{000..999;gs1}", "-v", "NAME=a", "-v", "URL=https://e.cn/{suffix}").code
        == 0
    )
    assert node.run("register", "88.118.63/single", "-v", "NAME=b").code == 0
    assert node.run("update", "88.118.63/{x}0017", "-v", "NAME=own").code == 0
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    assert node.run("export", "88.118.63", "--out", first).code == 0
    rows = [json.loads(line) for line in first.read_text("utf-8").splitlines()]
    assert [one.get("series") or one["identifier"] for one in rows] == [
        "88.118.63/{{x}}{000..999;gs1}", "88.118.63/single", "88.118.63/{x}0017",
    ]  # fmt: skip
    other = make_node("127.0.0.4")
    other.start()
    taken = other.run("import", first, "--update")
    assert taken.code == 0, taken
    assert other.run("export", "88.118", "--out", second).code == 0
    assert second.read_text("utf-8") == first.read_text("utf-8")
    [answer] = other.run("resolve", "--json", "88.118.63/{x}0024").lines()
    assert answer["values"][1]["data"] == "https://e.cn/%7Bx%7D0024"
