"""The tables of docs/protocol.md, from the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from protocol import limits
from protocol.status import Status

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "protocol.md"

TOLD: Final = {"MAX_MANY": "many", "MAX_LIST": "list", "MAX_WRITES": "writes", "MAX_MESSAGE_BYTES": "message_bytes"}


def status_table() -> str:
    """One row per status."""
    rows = ["| status | name | meaning | HTTP | exit |", "|---|---|---|---|---|"]
    rows += [
        f"| {status.value} | `{status.name}` | {status.en} | {status.http} | {status.exit.value} |" for status in Status
    ]
    return "\n".join(rows)


def limits_table() -> str:
    """One row per limit, with the first sentence of what the code says about it."""
    rows = ["| name | value | meaning |", "|---|---|---|"]
    for name, meaning in _documented():
        told = f" Told as `{TOLD[name]}`." if name in TOLD else ""
        rows.append(f"| `{name}` | {getattr(limits, name):,} | {meaning}{told} |")
    return "\n".join(rows)


def _documented() -> list[tuple[str, str]]:
    """Each constant of ``protocol.limits`` with the string below it."""
    source = ast.parse((ROOT / "protocol" / "limits.py").read_text(encoding="utf-8"))
    found: list[tuple[str, str]] = []
    for node in source.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.append((name, ""))
            case ast.Expr(value=ast.Constant(value=str(text))) if found:
                found[-1] = (found[-1][0], " ".join(text.split()))
    return found
