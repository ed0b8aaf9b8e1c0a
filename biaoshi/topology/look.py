"""What is seen of a running province: every node is asked over the network, its process looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from biaoshi.making import ANCHOR_NAME
from biaoshi.topology.keeping import State
from biaoshi.topology.place import NodeRun
from biaoshi.topology.plan import Planned
from config.keyfiles import read_anchor
from protocol.errors import BiaoshiError
from protocol.trust import TrustAnchor
from resolver.client import Client

AT_ONCE: Final = 16
"""Nodes that are asked at one time."""

PATIENCE_SECONDS: Final = 5.0
"""How long a node may take to answer."""


class Seen(NamedTuple):
    """One node: how it is run, whether it answers, what it has registered, and its memory in bytes, of which pages that
    several processes share are counted in part."""

    node: Planned
    run: NodeRun
    answers: bool
    records: int
    memory: int


async def look(nodes: Sequence[Planned], runs: Mapping[str, NodeRun], directory: Path) -> list[Seen]:
    """Ask all nodes. Raises :class:`~config.keyfiles.BadKeyFile`."""
    room = asyncio.Semaphore(AT_ONCE)
    nobody = NodeRun("", 0, State.STOPPED, 0.0, 0)
    return await asyncio.gather(*(_look(node, runs.get(node.name, nobody), directory, room) for node in nodes))


async def _look(node: Planned, run: NodeRun, directory: Path, room: asyncio.Semaphore) -> Seen:
    memory = memory_of(run.pid) if run.pid else 0
    anchor = TrustAnchor.parse(*read_anchor(directory / node.name / ANCHOR_NAME))
    server = f"{node.host}:{node.resolver_port}"
    async with room:
        try:
            async with Client(server, anchor=anchor, timeout=PATIENCE_SECONDS, retries=0) as client:
                status = await client.status()
        except BiaoshiError:
            return Seen(node, run, False, 0, memory)
    return Seen(node, run, True, int(status.get("registered", 0)), memory)


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has for itself, and its part of those it shares; 0 where it is not there."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    [kib] = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")] or ["0"]
    return int(kib) << 10
