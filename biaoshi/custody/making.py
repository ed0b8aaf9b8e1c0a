"""Make a custody node, and prepare a zone on it: its online key, its place in the configuration, the request for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from biaoshi.custody.vouching import VouchRequest, write_request
from biaoshi.making import CANNOT_WRITE, CONFIG_NAME, filling
from config.keyfiles import make_private_directory, make_seed, read_anchor, read_secret, write_anchor, write_secret
from config.load import fill, load_settings, template, toml_string
from config.settings import Settings, ZoneSettings
from protocol.address import parse_address
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.limits import DEFAULT_PORT
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.store.lmdb.writer import LmdbStore

FIRST_PORT: Final = DEFAULT_PORT + 10
"""The port of the first zone: behind those of other nodes on the same machine."""

THERE_ALREADY: Final = Rule(
    "custody.there-already",
    Status.SETTINGS,
    "the zone '{zone}' is under [[zones]] already",
    "区域“{zone}”已在 [[zones]] 中",
)
NOT_THERE: Final = Rule(
    "custody.not-there",
    Status.SETTINGS,
    "the zone '{zone}' is not under [[zones]]; 'biaoshi custody add' prepares it",
    "[[zones]] 中没有区域“{zone}”，请先运行 biaoshi custody add",
)
OF_CUSTODY: Final = Rule(
    "custody.other-role",
    Status.SETTINGS,
    "{path} is not the configuration of a custody node",
    "{path} 不是托管节点的配置文件",
)


class Prepared(NamedTuple):
    """A zone that was prepared: its place in the configuration, the request for the zone and where that lies."""

    zone: ZoneSettings
    request: VouchRequest
    path: Path


def make_custody(directory: Path, more: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Make a custody node without zones and return its configuration file. ``more`` are values (TOML) of further
    options, ``section.option``. Raises :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`; where something
    went wrong the directory is as it was."""
    with filling(directory):
        write_secret(directory / "keys/follower.pem", make_seed())
        path = directory / CONFIG_NAME
        path.write_text(fill(template("custody"), dict(more)), "utf-8")
    return path


def custody_settings(config: Path) -> Settings:
    """The settings of a custody node. Raises :class:`SettingsError`, :class:`~config.load.BadConfiguration`."""
    settings = load_settings(config)
    if settings.node.role != "custody":
        raise SettingsError(OF_CUSTODY, path=str(config))
    return settings


def find_zone(settings: Settings, prefix: str) -> ZoneSettings:
    """The zone of a custody node with this prefix. Raises :class:`SettingsError`."""
    zone = normal_zone_text(prefix)
    for one in settings.zones:
        if normal_zone_text(one.prefix) == zone:
            return one
    raise SettingsError(NOT_THERE, zone=zone)


def add_zone(settings: Settings, prefix: str, servers: Sequence[str], anchor: Path, port: int | None) -> Prepared:
    """Prepare a zone: make the online key by which this node will answer for it, keep its anchor, put it into the
    configuration. Raises :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    name = normal_zone_text(prefix)
    if any(normal_zone_text(one.prefix) == name for one in settings.zones):
        raise SettingsError(THERE_ALREADY, zone=name)
    addresses = [str(parse_address(server, DEFAULT_PORT + 1)) for server in servers]
    trust = read_anchor(anchor)
    if port is None:
        port = max([FIRST_PORT - 2, *(one.port for one in settings.zones)]) + 2
    directory = f"keys/zones/{name or 'root'}"
    zone = ZoneSettings(
        prefix=name, servers=addresses, anchor=f"{directory}/anchor.toml", port=port,
        registry_port=port + 1 if port else 0,
    )  # fmt: skip
    view = settings.copy_of(zone)
    make_private_directory(view.path(view.keys.online).parent)
    write_anchor(settings.path(zone.anchor), trust)
    online = view.path(view.keys.online)
    if not online.exists():  # from an earlier attempt
        write_secret(online, make_seed())
    request = VouchRequest(
        name, settings.node.name, str(SigningKey(read_secret(settings.path(zone.key))).public),
        str(SigningKey(read_secret(online)).public),
    )  # fmt: skip
    path = settings.path(f"{directory}/vouch.request")
    write_request(path, request)
    _append(settings.file_path, zone)
    return Prepared(zone, request, path)


def begin_anew(settings: Settings, zone: ZoneSettings) -> Path:
    """Remove a copy, so that it is taken anew. Raises :class:`~protocol.errors.StoreError` where the node runs."""
    path = settings.copy_of(zone).store_path
    LmdbStore(path).close()  # which fails while somebody else has it
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from error
    return path


def _append(path: Path, zone: ZoneSettings) -> None:
    servers = ", ".join(map(toml_string, zone.servers))
    entry = (
        f"\n[[zones]]\nprefix = {toml_string(zone.prefix)}\nservers = [{servers}]\n"
        f"anchor = {toml_string(zone.anchor)}\nport = {zone.port}\nregistry_port = {zone.registry_port}\n"
    )
    try:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(path.read_text("utf-8").rstrip("\n") + "\n" + entry, "utf-8")
        load_settings(fresh)
        os.replace(fresh, path)
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from error
