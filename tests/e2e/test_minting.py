"""Minting through the command, at a node in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

from protocol.status import Exit
from tests.e2e.nodes import Node


def test_labels_for_a_printer(node: Node, tmp_path: Path) -> None:
    prefix = "88.118.64"
    assert node.run("mint", prefix, "label").code == Exit.NOT_FOUND
    made = node.run("rule", "set", prefix, "label", "B-{0001..9999}", "--time-zone", "+08:00")
    assert (made.code, made.out) == (0, f"{prefix}  label  version 1\n")
    assert node.run("register", f"{prefix}/B-0002", "-v", "NAME=by hand").code == 0

    assert node.run("mint", prefix, "label", "--count", 3).out.split() == [
        f"{prefix}/B-0001", f"{prefix}/B-0003", f"{prefix}/B-0004",
    ]  # fmt: skip
    assert node.run("mint", prefix, "label", "--format", "csv").out == f'identifier\r\n"{prefix}/B-0005"\r\n'
    target = tmp_path / "labels.ndjson"
    done = node.run(
        "mint",
        prefix,
        "label",
        "--count",
        5_000,
        "--format",
        "ndjson",
        "--out",
        target,
        "-v",
        "URL=https://e.cn/{counter}",
    )
    assert done.code == 0, done.err
    minted = [json.loads(line)["identifier"] for line in target.read_text("utf-8").splitlines()]
    assert minted == [f"{prefix}/B-{number:04d}" for number in range(6, 5_006)]
    [answer] = node.run("resolve", "--json", minted[-1]).lines()
    assert answer["values"][0]["data"] == "https://e.cn/5005"
    assert f"{prefix}  label  B-{{0001..9999}}  +08:00  5,005 used, 4,994 left" in node.run("rule", "list", prefix).out

    assert node.run("rule", "set", prefix, "label", "C-{0001..9999}").code == Exit.CONFLICT
    assert node.run("rule", "set", prefix, "bad", "C-{date:%B}{0001..9999}").code == Exit.BAD_INPUT
    rest = node.run("mint", prefix, "label", "--count", 5_000)
    assert rest.code == Exit.NOT_FOUND
    assert len(rest.out.split()) == 4_994  # what was reserved was given, before it said that there is no more
    assert "last number" in rest.err
