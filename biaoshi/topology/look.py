"""What is seen of a running province: every node is asked over the network, its process looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from biaoshi.making import ANCHOR_NAME
from biaoshi.topology.copies import zones_in_custody
from biaoshi.topology.keeping import State
from biaoshi.topology.place import NodeRun
from biaoshi.topology.plan import Planned
from config.keyfiles import BadKeyFile, read_anchor
from protocol.errors import BiaoshiError
from protocol.trust import TrustAnchor
from resolver.client import Client

AT_ONCE: Final = 16
"""Nodes that are asked at one time."""

PATIENCE_SECONDS: Final = 5.0
"""How long a node may take to answer."""


class Seen(NamedTuple):
    """One node: how it is run, whether it answers, what it has registered, and its memory in bytes, of which pages that
    several processes share are counted in part. The custody node answers when it does so for every zone that it has a
    copy of; what is registered in the copies is counted for it."""

    node: Planned
    run: NodeRun
    answers: bool
    records: int
    memory: int


async def look(nodes: Sequence[Planned], runs: Mapping[str, NodeRun], directory: Path) -> list[Seen]:
    """Ask all nodes. One whose files are lost does not answer."""
    room = asyncio.Semaphore(AT_ONCE)
    nobody = NodeRun("", 0, State.STOPPED, 0.0, 0)
    return await asyncio.gather(*(_look(node, nodes, runs.get(node.name, nobody), directory, room) for node in nodes))


async def _look(
    node: Planned, nodes: Sequence[Planned], run: NodeRun, directory: Path, room: asyncio.Semaphore
) -> Seen:
    memory = sum(map(memory_of, [run.pid, *_started_by(run.pid)])) if run.pid else 0
    custody = node.role == "custody"
    ports = [zone.door for zone in zones_in_custody(nodes)] if custody else [node.resolver_port]
    try:  # the copies are verified from the top, as everywhere; the custody node has no zone of its own
        file = read_anchor(directory / (nodes[0].name if custody else node.name) / ANCHOR_NAME)
    except BadKeyFile:
        return Seen(node, run, False, 0, memory)
    anchor = TrustAnchor.parse(*file)
    registered = await asyncio.gather(*(_registered(f"{node.host}:{port}", anchor, room) for port in ports))
    return Seen(node, run, None not in registered, sum(filter(None, registered)), memory)


async def _registered(server: str, anchor: TrustAnchor, room: asyncio.Semaphore) -> int | None:
    """How many identifiers a server has, None where it does not answer."""
    async with room:
        try:
            async with Client(server, anchor=anchor, timeout=PATIENCE_SECONDS, retries=0) as client:
                status = await client.status()
        except BiaoshiError:
            return None
    return int(status.get("registered", 0))


def _started_by(pid: int) -> list[int]:
    """The processes that a process has started itself."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has for itself, and its part of those it shares; 0 where it is not there."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    [kib] = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")] or ["0"]
    return int(kib) << 10
