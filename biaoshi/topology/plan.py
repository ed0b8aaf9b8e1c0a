"""From counts to nodes: who they are, who their parents are, where they are served. No files, no sockets."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

import msgspec

from config.load import toml_string
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_prefix_text
from protocol.status import Status

BAD_PLAN: Final = Rule(
    "topology.bad-plan",
    Status.SETTINGS,
    "{path} describes no province: {reason}",
    "{path} 不是合法的省级部署文件：{reason}",
)
NOT_LOOPBACK: Final = Rule(
    "topology.not-loopback",
    Status.SETTINGS,
    "network.base is {base}; a province in small lives on loopback, on a network like 127.88.0.0",
    "network.base 为 {base}，小型省级部署只能使用回环地址，例如 127.88.0.0",
)

Count = Annotated[int, msgspec.Meta(ge=0, le=250)]
"""Nodes of one kind: the last number of their addresses."""

_Port = Annotated[int, msgspec.Meta(ge=1, le=65_000)]


class Province(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """[province]: how many nodes of which kind."""

    name: str
    top: str = "88"
    secondaries: Annotated[int, msgspec.Meta(ge=1, le=250)] = 40
    enterprises: Count = 80
    recursives: Count = 1
    custody: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    first_secondary: Annotated[int, msgspec.Meta(ge=1, le=9_000)] = 101
    first_enterprise: Annotated[int, msgspec.Meta(ge=1, le=90_000)] = 20_001
    records: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 1_000


class Network(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """[network]: where they are served."""

    base: str = "127.88.0.0"
    resolver_port: _Port = 26_410
    registry_port: _Port = 26_411
    first_door_port: _Port = 26_500


class Topology(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file like ``config/jiangsu.toml``."""

    province: Province
    network: Network = msgspec.field(default_factory=Network)


class Planned(NamedTuple):
    """One node of a plan. ``name`` is its directory; ``parent`` names another node, None for the top and for those that
    are no part of the tree. ``door`` is the port at which the custody node answers for it, 0 for none; at the next port
    it gives the copy to those who may follow. The custody node itself has the ports of its first zone."""

    name: str
    role: str
    prefix: str
    parent: str | None
    host: str
    resolver_port: int
    registry_port: int
    samples: str = ""
    door: int = 0


def read_topology(text: str, path: str) -> Topology:
    """The topology in a TOML text. Raises :class:`SettingsError`, naming ``path``."""
    try:
        topology = msgspec.convert(tomllib.loads(text), Topology)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(BAD_PLAN, path=path, reason=str(error).replace("`", "'")) from None
    base = topology.network.base
    try:
        loopback = ipaddress.IPv4Address(base).is_loopback and base.endswith(".0.0")
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(NOT_LOOPBACK, base=base)
    topology.province.top = normal_prefix_text(topology.province.top)
    return topology


def topology_text(topology: Topology) -> str:
    """The TOML text of a topology: what :func:`read_topology` reads it from."""
    lines: list[str] = []
    for table, options in msgspec.to_builtins(topology).items():
        lines.append(f"[{table}]")
        for option, value in options.items():
            lines.append(f"{option} = {value if isinstance(value, int) else toml_string(value)}")
        lines.append("")
    return "\n".join(lines)


def plan(topology: Topology) -> list[Planned]:
    """The nodes, parents before children, the recursive nodes last."""
    return list(_plan(topology.province, topology.network))


def _plan(province: Province, network: Network) -> Iterator[Planned]:
    base = network.base.removesuffix(".0.0")
    ports = network.resolver_port, network.registry_port
    yield Planned("top", "top", province.top, None, f"{base}.0.1", *ports)
    secondaries: list[Planned] = []
    for i in range(province.secondaries):
        prefix = f"{province.top}.{province.first_secondary + i}"
        door = network.first_door_port + 2 * i if province.custody else 0
        secondaries.append(
            Planned(
                f"secondary-{prefix}",
                "secondary",
                prefix,
                "top",
                f"{base}.1.{i + 1}",
                *ports,
                f"{prefix}.{province.first_enterprise - 1}",
                door,
            )
        )
    yield from secondaries
    for i in range(province.enterprises):
        parent = secondaries[i % len(secondaries)]
        prefix = f"{parent.prefix}.{province.first_enterprise + i}"
        yield Planned(f"enterprise-{prefix}", "enterprise", prefix, parent.name, f"{base}.2.{i + 1}", *ports, prefix)
    if province.custody:
        first = network.first_door_port
        yield Planned("custody", "custody", "", None, f"{base}.0.2", first, first + 1)
    for i in range(province.recursives):
        yield Planned(f"recursive-{i + 1}", "recursive", "", None, f"{base}.0.{11 + i}", *ports)
