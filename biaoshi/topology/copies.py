"""The custody node of a province: made with a copy, a key and two doors for the zone of every secondary, which lists it
among its followers from its beginning and so vouches for it by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from biaoshi.custody.making import add_zone, custody_settings, find_zone, make_custody
from biaoshi.custody.vouching import read_vouch_request
from biaoshi.making import CONFIG_NAME
from biaoshi.topology.plan import Planned
from config.load import toml_string
from protocol.errors import Rule, SettingsError
from protocol.statements import Address
from protocol.status import Status

NO_CUSTODY: Final = Rule(
    "topology.no-custody",
    Status.SETTINGS,
    "{path} is not there, and the secondary nodes of this province know no other custody node: put it back, take "
    "another --dir, or say custody = 0 in the plan",
    "{path} 不存在，而该部署的二级节点不认识其他托管节点：请将其放回，或改用其他 --dir，或在部署文件中设置 custody = 0",
)


def custody_of(nodes: Iterable[Planned]) -> Planned | None:
    """The custody node of a plan, None where it has none."""
    return next((node for node in nodes if node.role == "custody"), None)


def zones_in_custody(nodes: Iterable[Planned]) -> list[Planned]:
    """The nodes of whose zones the custody node keeps copies."""
    return [node for node in nodes if node.door]


def check_custody(nodes: Sequence[Planned], directory: Path) -> None:
    """Check that secondaries that are there were made with the custody node. Raises :class:`SettingsError`."""
    custody = custody_of(nodes)
    if custody is None or (directory / custody.name / CONFIG_NAME).exists():
        return
    if any((directory / node.name / CONFIG_NAME).exists() for node in zones_in_custody(nodes)):
        raise SettingsError(NO_CUSTODY, path=str(directory / custody.name))


def make_custody_node(node: Planned, zones: Sequence[Planned], anchor: Path, path: Path) -> None:
    """Make the custody node in the directory ``path``, with the top's ``anchor``. Raises :class:`SettingsError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    host = toml_string(node.host)
    more = {"node.name": toml_string(node.name), "resolver.host": host, "registry.host": host}
    add_zones(make_custody(path, more), zones, anchor)


def add_zones(config: Path, zones: Sequence[Planned], anchor: Path) -> None:
    """Put those zones into the configuration of the custody node that are not there yet. Raises
    :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    settings = custody_settings(config)
    there = {zone.prefix for zone in settings.zones}
    for node in zones:
        if node.prefix not in there:
            add_zone(settings, node.prefix, [f"{node.host}:{node.registry_port}"], anchor, node.door)
            settings = custody_settings(config)


def follower_entry(node: Planned, custody: Planned, directory: Path) -> str:
    """The lines by which the node of a zone lists the custody node. Raises :class:`SettingsError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    settings = custody_settings(directory / custody.name / CONFIG_NAME)
    view = settings.copy_of(find_zone(settings, node.prefix))
    return read_vouch_request(view.path(view.keys.online).with_name("vouch.request")).entry


def addresses_of(node: Planned, custody: Planned | None) -> list[Address]:
    """Where a zone is answered for: at its own node, and then at the custody node."""
    addresses = [Address(node.host, node.resolver_port, node.resolver_port)]
    if custody is not None and node.door:
        addresses.append(Address(custody.host, node.door, node.door))
    return addresses
