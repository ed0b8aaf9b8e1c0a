"""The second part of ``make demo``: three enterprises, from their applications on, at a node with its JSON API.

Each acts under its own key or token, as the command's option or environment says; what one may not do is tried, too.
"""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path
from typing import Final

from bench.dataset import HEADERS, rows, write_csv
from bench.running import running
from bench.telling import command, console, expect, refused, step
from protocol.status import Exit

PUMPS: Final = "91320115MA1000011A"
VALVES: Final = "91320211MA1000022R"
CABLES: Final = "91320281MA1000033A"
ROWS: Final = 2_000
SEED: Final = 20_250_087
MEMBER: Final = "88.118.32002/B2311-000777"
SHARED: Final = "88.118.32001/DRAWING-A456"
STEPS: Final = 6


def demonstrate(directory: Path, first: int) -> int:
    """Run it below ``directory``; ``first`` is the number of its first step, what it gives that of the next. Raises
    :class:`~bench.telling.DemoFailed`, :class:`~protocol.errors.BiaoshiError`."""
    console.print()
    console.rule("[bold]Three enterprises — applications, rights, series, a log of it all")
    node = directory / "enterprises"
    at = ("--node", str(node))

    step(
        first,
        "A node with its JSON API, and an auditor, who is not whoever runs it",
        "启动带 JSON API 的节点，设审核员",
    )
    command("init", "secondary", "--prefix", "88.118", "--dir", str(node), "--port", "0", "--api")
    with running(node) as addresses:
        console.print(f"   JSON API {addresses['api']}")
        command("identity", "add", "88.118/U.audit", "--role", "auditor", *at)
        auditor = {"BIAOSHI_TOKEN": command("token", "issue", "88.118/U.audit", *at, quiet=True).strip()}

        step(
            first + 1,
            "Three apply; one is refused with a reason, two are given prefixes",
            "三家申请，一家退回",
        )
        _apply(at, auditor)

        step(first + 2, "One imports a file, one registers a million numbers at once, each under its own key",
             "一家导入文件，一家一次注册一百万个序列号")  # fmt: skip
        pumps, valves = (_writer(directory, at, prefix) for prefix in ("88.118.32001", "88.118.32002"))
        _register(directory, node, pumps, valves)

        step(first + 3, "A value for the other alone: nobody else sees that it is there", "仅对另一家企业可见的值")
        _share(directory, node, pumps, valves)

        step(first + 4, "One is suspended, which everybody is told, and resumed", "暂停与恢复")
        _suspend(at, valves, node)

        step(first + 5, "Who has done what, when and why: the log's chain of hashes holds", "审计日志：哈希链验证")
        command("audit", "verify", *at)
    console.print("   node stopped")
    return first + STEPS


def _apply(at: tuple[str, str], auditor: dict[str, str]) -> None:
    for code, name, division in ((PUMPS, "江宁泵业", "34"), (VALVES, "太湖阀门", "34"), (CABLES, "无名电缆", "38")):
        command(
            "enterprise", "apply", code, "--organisation", name, "--nature", "5", "--section", "C", "--division",
            division, "--contact", "李工", "--phone", "025-00000000", *at, quiet=True,
        )  # fmt: skip
    command("enterprise", "refuse", CABLES, "--reason", "营业执照与申请名称不符", *at, env=auditor)
    for code, prefix in ((PUMPS, "88.118.32001"), (VALVES, "88.118.32002")):
        command("enterprise", "approve", code, *at, env=auditor)
        command("prefix", "allot", code, "--prefix", prefix, "--host", *at)


def _writer(directory: Path, at: tuple[str, str], prefix: str) -> Path:
    """The key of a writer of an enterprise, of which the node knows the public half."""
    key = directory / f"{prefix}.pem"
    public = command("key", str(key), "--make", quiet=True).strip()
    command("identity", "add", f"{prefix}/U.erp", "--role", "enterprise-writer", *at)
    command("identity", "key", f"{prefix}/U.erp", public, *at, quiet=True)
    return key


def _register(directory: Path, node: Path, pumps: Path, valves: Path) -> None:
    file = directory / "pumps.csv"
    own = (row for row in rows(40 * ROWS, SEED) if row.identifier.startswith("88.118.32001/"))
    write_csv(file, islice(own, ROWS), HEADERS["zh"])
    command("import", str(file), "--node", str(node), "--key", str(pumps))
    with file.open(encoding="utf-8", newline="") as lines:
        named = next(islice(csv.reader(lines), 1, None))[0]
    as_valves = ("--node", str(node), "--key", str(valves))
    refused(Exit.NOT_PERMITTED, "register", "88.118.32001/NOT-MINE", "-v", "NAME=x", *as_valves)
    series = "88.118.32002/B2311-{000001..999999}"
    page = "URL=https://valves.example/p/{suffix}"
    command("register", series, "-v", page, "-v", "NAME=溢流阀 Relief valve", *as_valves)
    command("resolve", named, MEMBER, "--node", str(node))


def _share(directory: Path, node: Path, pumps: Path, valves: Path) -> None:
    row = {"identifier": SHARED, "values": [
        {"index": 1, "type": "NAME", "data": "液压泵 A456 图纸"},
        {"index": 2, "type": "DRAWING", "data": "https://pumps.example/A456-4.step", "readers": ["88.118.32002"]},
    ]}  # fmt: skip
    file = directory / "drawing.ndjson"
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    console.print(f"   {file.read_text('utf-8').strip()}", style="dim", markup=False, soft_wrap=True)
    command("import", str(file), "--node", str(node), "--key", str(pumps))
    anybody = command("resolve", SHARED, "--json", "--node", str(node), quiet=True)
    expect("A456-4.step" not in anybody, "anybody sees the drawing")
    console.print("   anybody: a name and no drawing, sealed")
    partner = command("resolve", SHARED, "--json", "--node", str(node), "--key", str(valves), quiet=True)
    expect("A456-4.step" in partner, "the partner does not see the drawing")
    console.print("   who proves to be of 88.118.32002: the drawing, too, sealed as well")


def _suspend(at: tuple[str, str], valves: Path, node: Path) -> None:
    command("enterprise", "suspend", VALVES, "--reason", "产品质量抽检不合格", *at)
    refused(Exit.NOT_FOUND, "resolve", MEMBER, *at)
    refused(Exit.NOT_FOUND, "register", "88.118.32002/X", "-v", "NAME=x", "--node", str(node), "--key", str(valves))
    command("enterprise", "resume", VALVES, "--reason", "整改合格", *at)
    command("resolve", MEMBER, *at)
