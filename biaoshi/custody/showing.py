"""What the copies of a custody node on this machine say of themselves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from biaoshi.custody.making import custody_settings
from biaoshi.making import CONFIG_NAME
from config.keyfiles import read_anchor
from config.load import BadConfiguration
from config.places import NoNodeRuns, anchor_path, reachable, registry_address
from config.settings import Settings
from protocol.address import parse_address
from protocol.errors import BiaoshiError, Rule, Unreachable
from protocol.identifiers import normal_zone_text
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.following.progress import DIVERGES

NO_DOOR: Final = Rule(
    "custody.no-door",
    Status.UNREACHABLE,
    "not open yet: the zone has not vouched for this node's online key. Give {request} to its operator",
    "尚未开放：该区域还没有为本节点的在线密钥签发声明，请将 {request} 交给其运维人员",
)


def is_custody(node: Path | None) -> bool:
    """Whether this is the directory of a custody node."""
    if node is None:
        return False
    try:
        custody_settings(node / CONFIG_NAME)
    except (BiaoshiError, BadConfiguration):
        return False
    return True


def statuses(node: Path) -> list[dict[str, Any]]:
    """For each zone what its copy says; ``error`` where it says nothing. Raises
    :class:`~config.keyfiles.BadKeyFile`."""
    settings = custody_settings(node / CONFIG_NAME)
    try:
        doors = json.loads(settings.run_path.read_text("utf-8"))["zones"]
    except (OSError, ValueError, KeyError):
        doors = {}
    return asyncio.run(_statuses(settings, doors))


async def _statuses(settings: Settings, doors: dict[str, Any]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_status(settings, i, doors) for i in range(len(settings.zones)))))


async def _status(settings: Settings, number: int, doors: dict[str, Any]) -> dict[str, Any]:
    zone = settings.zones[number]
    view = settings.copy_of(zone)
    prefix = normal_zone_text(zone.prefix)
    statement = view.path(view.keys.statement)
    try:
        if not statement.exists():
            raise Unreachable(NO_DOOR, request=str(statement.with_name("vouch.request")))
        host, port = doors.get(prefix, {}).get("registry", (view.registry.host, view.registry.port))
        anchor = TrustAnchor.parse(*read_anchor(settings.path(zone.anchor)))
        async with RegistryClient(reachable(host), port, anchor=anchor, key=None, timeout=10.0) as client:
            return {"zone": prefix, **await client.status()}
    except BiaoshiError as error:
        return {
            "zone": prefix,
            "error": error.rule.name,
            "reason": error.message("en"),
            "reason_zh": error.message("zh"),
        }


_STATES_ZH: Final = {
    "copying": "首次复制中", "following": "跟随中", "unreachable": "无法跟随", "diverged": "已分叉（DIVERGED）",
}  # fmt: skip


def status_text(status: dict[str, Any], language: str) -> str:
    """One copy for a person."""
    zh = language == "zh"
    zone = status["zone"] or "(root)"
    if "error" in status:
        return f"{zone}  {status['reason_zh' if zh else 'reason']}"
    state = str(status["state"])
    shown = _STATES_ZH.get(state, state) if zh else state.upper() if state == "diverged" else state
    behind = f"落后 {status['behind']:,} 条、{status['behind_s']:,} 秒" if zh else (
        f"behind {status['behind']:,} changes, {status['behind_s']:,} s"
    )  # fmt: skip
    registered = f"{'已注册' if zh else 'registered'} {status['registered']:,}"
    lines = [f"{zone}  {shown}  {behind}  {registered}"]
    if state == "diverged":
        sentence = DIVERGES.zh if zh else DIVERGES.en
        lines.append(f"! {sentence.format(zone=status['zone'])}")
    elif status.get("trouble"):
        lines.append(f"! {status['trouble']}")
    return "\n".join(lines)


def followers_of(node: Path | None, anchor: Path | None) -> dict[str, str | int]:
    """What the registry of a running node says of those who follow it, nothing where none does or it does not run; its
    whole status where its store was put back.
    Raises :class:`~config.keyfiles.BadKeyFile`."""
    if node is None:
        return {}
    try:
        address = parse_address(registry_address(None, node))
    except NoNodeRuns:
        return {}
    trust = TrustAnchor.parse(*read_anchor(anchor_path(anchor, node)))

    async def ask() -> dict[str, str | int]:
        async with RegistryClient(*address, anchor=trust, key=None, timeout=10.0) as client:
            return await client.status()

    try:
        status = asyncio.run(ask())
    except BiaoshiError:  # the resolver's answer is what was asked for
        return {}
    if "put_back" in status:  # its resolver answers nobody, so this is all there is
        return status
    shown = ("behind_", "seconds_behind_")
    return {name: value for name, value in status.items() if name.startswith(shown)}
