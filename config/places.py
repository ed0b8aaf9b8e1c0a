"""Where a command finds the node, the anchor and the key: options, environment, a node's directory, defaults.

The order is: the command's own option; the directory given by ``--node`` or BIAOSHI_NODE, whose ``run.json`` has the
addresses of the running node; the defaults.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

DEFAULT_RESOLVER: Final = "127.0.0.1:26410"
DEFAULT_REGISTRY: Final = "127.0.0.1:26411"


def language() -> str:
    """The language of sentences for people: ``zh`` where BIAOSHI_LANG, LC_ALL, LC_MESSAGES or LANG says so."""
    for name in ("BIAOSHI_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def resolver_address(option: str | None, node: Path | None) -> str:
    """Address of the resolver to ask."""
    return option or _running(node, "resolver") or DEFAULT_RESOLVER


def registry_address(option: str | None, node: Path | None) -> str:
    """Address of the registry to write to."""
    return option or _running(node, "registry") or DEFAULT_REGISTRY


def anchor_path(option: Path | None, node: Path | None) -> Path:
    """The trust anchor's file."""
    return option or (node or Path()) / "anchor.toml"


def key_path(option: Path | None, node: Path | None) -> Path:
    """The writer's secret key."""
    return option or (node or Path()) / "keys/writer.pem"


def _running(node: Path | None, side: str) -> str | None:
    """The address that a running node noted, None where none runs in that directory."""
    if node is None:
        return None
    try:
        run: dict[str, Any] = json.loads((node / "run.json").read_text("utf-8"))
        host, port = run[side]
        bracketed = f"[{host}]" if ":" in host else host
    except (OSError, ValueError, KeyError, TypeError):  # none there, or not written by a node
        return None
    return f"{bracketed}:{port}"
