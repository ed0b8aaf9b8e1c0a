"""What makes no sense in what a configuration says of copies: who may follow a zone, and whom a custody node follows.

Works on the raw tables, so that it also speaks of a file with other problems: option, and a sentence in each language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

PUBLIC_KEY: Final = re.compile(r"ed25519:[A-Za-z0-9+/]{43}=")
ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+)(?::[0-9]{1,5})?")
PREFIX: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f/.]+(?:\.[^\x00-\x1f\x7f-\x9f/.]+)*")
MAX_PREFIX_BYTES: Final = 64
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)
"""Names of followers stand in names of counters and of files."""

Trouble = tuple[str, str, str]


def following_meaning(raw: dict[str, Any]) -> list[Trouble]:
    """What is of the right type and yet makes no sense."""
    node, registry = _table(raw, "node"), _table(raw, "registry")
    followers = [one for one in _list(registry.get("followers")) if isinstance(one, dict)]
    troubles = [*_followers(followers), *_addresses("registry.custody", registry.get("custody"))]
    if registry.get("acknowledge") == "custody" and not followers:
        troubles.append((
            "registry.acknowledge", "nobody could confirm anything: there are no [[registry.followers]]",
            "没有 [[registry.followers]]，无人可以确认",
        ))  # fmt: skip
    custody = node.get("role") == "custody"
    if custody and node.get("prefix"):
        en = "a custody node has no zone of its own; leave the prefix empty, and name those it copies under [[zones]]"
        troubles.append(("node.prefix", en, "托管节点没有自己的区域，前缀应为空，所托管的区域写在 [[zones]] 之下"))
    if custody and node.get("processes") == "light":
        troubles.append(("node.processes", "a custody node is never light", "托管节点不能使用 light 模式"))
    if not custody and "zones" in raw:
        troubles.append(("zones", "these are for the role custody", "此项仅用于 custody 角色"))
    return [*troubles, *_zones([one for one in _list(raw.get("zones")) if isinstance(one, dict)])]


def _followers(followers: list[dict[str, Any]]) -> Iterator[Trouble]:
    seen: dict[object, str] = {}
    for i, follower in enumerate(followers):
        where = f"registry.followers[{i}]"
        for option in ("key", "online"):
            key = follower.get(option)
            if isinstance(key, str) and key and not PUBLIC_KEY.fullmatch(key):
                yield (f"{where}.{option}", "a public key looks like ed25519: and 44 characters of base64",
                       "公钥应为 ed25519: 加 44 个 base64 字符")  # fmt: skip
        name = follower.get("name")
        if isinstance(name, str) and 0 < len(name) <= 32 and not NAME.fullmatch(name):
            yield (f"{where}.name", f"{name!r} will not do: letters, digits, '.' and '-' of ASCII",
                   f"{name!r} 不合法：只能使用 ASCII 字母、数字、“.”与“-”")  # fmt: skip
        for option in ("name", "key"):
            value = follower.get(option)
            if isinstance(value, str) and seen.setdefault((option, value), where) != where:
                yield (f"{where}.{option}", f"{seen[option, value]} has it already", f"{seen[option, value]} 已使用")


def _zones(zones: list[dict[str, Any]]) -> Iterator[Trouble]:
    prefixes: dict[str, str] = {}
    ports: dict[int, str] = {}
    for i, zone in enumerate(zones):
        where = f"zones[{i}]"
        prefix = zone.get("prefix")
        if isinstance(prefix, str):
            if prefix and not (PREFIX.fullmatch(prefix) and len(prefix.encode()) <= MAX_PREFIX_BYTES):
                yield (f"{where}.prefix", f"{prefix!r} is no prefix: segments joined by dots, like 88.118",
                       f"{prefix!r} 不是合法的前缀：应为以点连接的分段，如 88.118")  # fmt: skip
            elif prefixes.setdefault(prefix.encode().upper().decode(), where) != where:
                yield f"{where}.prefix", "this zone is there already", "该区域已存在"
        yield from _addresses(f"{where}.servers", zone.get("servers"))
        for option in ("port", "registry_port"):
            port, name = zone.get(option), f"{where}.{option}"
            if type(port) is int and port and ports.setdefault(port, name) != name:
                yield name, f"{port} is {ports[port]} as well; each door needs its own", f"{port} 与 {ports[port]} 相同"


def _addresses(where: str, addresses: object) -> Iterator[Trouble]:
    for i, address in enumerate(_list(addresses)):
        if isinstance(address, str) and address and not ADDRESS.fullmatch(address):
            yield (f"{where}[{i}]", f"{address!r} is no address; write host, host:port or [IPv6]:port",
                   f"{address!r} 不是合法的地址，请写成 主机、主机:端口 或 [IPv6]:端口")  # fmt: skip


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
