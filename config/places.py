"""Where a command finds the node, the anchor and the key: options, environment, a node's directory, defaults.

The order is: the command's own option; the directory given by ``--node`` or BIAOSHI_NODE, whose ``run.json`` has the
addresses of the running node; the defaults. A directory in which no node runs is an error: at the default address there
may be another node.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

DEFAULT_RESOLVER: Final = "127.0.0.1:26410"
DEFAULT_REGISTRY: Final = "127.0.0.1:26411"
DEFAULT_API: Final = "http://127.0.0.1:26412"


class NoNodeRuns(Exception):
    """The directory that is to say where a node answers has none that runs, or none with that door."""

    def __init__(self, node: Path, side: str) -> None:
        super().__init__(node, side)
        self._node, self._side = node, side

    def message(self, language: str = "en") -> str:
        """The sentence for a person; ``language`` is ``en`` or ``zh``."""
        option = {"resolver": "--server", "registry": "--registry", "api": "--api"}[self._side]
        side = {"api": "JSON API"}.get(self._side, self._side)
        if language == "zh":
            return f"{self._node} 中没有运行带 {side} 的节点，请用 biaoshi serve 启动，或用 {option} 给出地址"
        return (
            f"no node with a {side} runs in {self._node}; start it with 'biaoshi serve --config "
            f"{self._node}/biaoshi.toml', or name an address with {option}"
        )

    def __str__(self) -> str:
        return self.message()


def language() -> str:
    """The language of sentences for people: ``zh`` where BIAOSHI_LANG, LC_ALL, LC_MESSAGES or LANG says so."""
    for name in ("BIAOSHI_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def resolver_address(option: str | None, node: Path | None) -> str:
    """Address of the resolver to ask. Raises :class:`NoNodeRuns`."""
    return option or _running(node, "resolver") or DEFAULT_RESOLVER


def registry_address(option: str | None, node: Path | None) -> str:
    """Address of the registry to write to. Raises :class:`NoNodeRuns`."""
    return option or _running(node, "registry") or DEFAULT_REGISTRY


def api_url(option: str | None, node: Path | None) -> str:
    """The URL at which the JSON API of a node begins. Raises :class:`NoNodeRuns`."""
    if option or node is None:
        return option or DEFAULT_API
    try:
        url = json.loads((node / "run.json").read_text("utf-8"))["api"]
    except (OSError, ValueError, KeyError, TypeError):
        raise NoNodeRuns(node, "api") from None
    return str(url)


def anchor_path(option: Path | None, node: Path | None) -> Path:
    """The trust anchor's file."""
    return option or (node or Path()) / "anchor.toml"


def key_path(option: Path | None, node: Path | None) -> Path:
    """The writer's secret key."""
    return option or (node or Path()) / "keys/writer.pem"


def reachable(host: str) -> str:
    """An address at which this machine reaches a server that listens everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def server_text(host: str, port: int) -> str:
    """``host:port``, with brackets where the host has colons itself."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _running(node: Path | None, side: str) -> str | None:
    """The address that a running node noted, None where no directory was named."""
    if node is None:
        return None
    try:
        run: dict[str, Any] = json.loads((node / "run.json").read_text("utf-8"))
        host, port = run[side]
        return server_text(reachable(host), port)
    except (OSError, ValueError, KeyError, TypeError):  # none there, or not written by a node
        raise NoNodeRuns(node, side) from None
