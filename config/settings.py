"""What can be set. The TOML files beside this module explain each option to an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Days = Annotated[float, msgspec.Meta(gt=0, le=3_650)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Role = Literal["top", "secondary", "enterprise", "recursive", "custody"]
Processes = Literal["several", "light"]


class NodeSettings(msgspec.Struct, kw_only=True):
    """[node]: who this node is."""

    role: Role
    prefix: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    data: str = "store"
    processes: Processes = "several"


class KeySettings(msgspec.Struct, kw_only=True):
    """[keys]: what proves who this node is; files are relative to the configuration file."""

    zone: Annotated[list[str], msgspec.Meta(max_length=4)] = msgspec.field(default_factory=list)
    zone_secret: str = "keys/zone.pem"
    online: str = "keys/online.pem"
    statement: str = "keys/online.statement"
    online_days: Days = 90.0
    delegations: str = "keys/delegations"
    delegation_days: Days = 90.0
    parent: str = ""
    successions: str = "keys/successions"


class ResolverSettings(msgspec.Struct, kw_only=True):
    """[resolver]: the read side."""

    host: str = "127.0.0.1"
    port: Port = 26_410
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    listing: bool = True
    unsealed: bool = False
    tokens_in_clear: bool = False
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1 << 29


class RecursionSettings(msgspec.Struct, kw_only=True):
    """[recursion]: where a recursive node begins, and how much it remembers."""

    anchor: str = ""
    roots: list[Annotated[str, msgspec.Meta(min_length=1)]] = msgspec.field(default_factory=list)
    cache_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 1 << 28
    stale_seconds: Annotated[int, msgspec.Meta(ge=0, le=2_592_000)] = 86_400
    patience_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.5


class WriterSettings(msgspec.Struct, kw_only=True):
    """[[registry.writers]]: a key that may write."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    key: str
    prefixes: Annotated[list[str], msgspec.Meta(min_length=1)]


class FollowerSettings(msgspec.Struct, kw_only=True):
    """[[registry.followers]]: a key that may follow the zone's feed; ``online`` is the key by which its node answers
    for the zone, where it does."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    key: str
    online: str = ""


class RegistrySettings(msgspec.Struct, kw_only=True):
    """[registry]: the write side."""

    host: str = "127.0.0.1"
    port: Port = 26_411
    writers: list[WriterSettings] = msgspec.field(default_factory=list)
    followers: list[FollowerSettings] = msgspec.field(default_factory=list)
    acknowledge: Literal["disk", "custody"] = "disk"
    custody: list[Annotated[str, msgspec.Meta(min_length=1)]] = msgspec.field(default_factory=list)
    keep: Annotated[int, msgspec.Meta(ge=0)] = 10_000_000


class ApiSettings(msgspec.Struct, kw_only=True):
    """[api]: the JSON API of the registry, over HTTP."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 26_412
    certificate: str = ""
    secret: str = ""
    insecure: bool = False

    @property
    def secure(self) -> bool:
        """Whether it is served over TLS."""
        return bool(self.certificate)


class ZoneSettings(msgspec.Struct, kw_only=True):
    """[[zones]]: a zone of which a custody node keeps a copy."""

    prefix: str
    servers: Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)]
    anchor: str = "anchor.toml"
    key: str = "keys/follower.pem"
    port: Port
    registry_port: Port


class StatisticsSettings(msgspec.Struct, kw_only=True):
    """[statistics]: what is counted by the hour, and to whom it is told."""

    report_to: str = ""
    anchor: str = "anchor.toml"
    period: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 3_600
    industries: dict[str, str] = msgspec.field(default_factory=dict)


class EnterpriseSettings(msgspec.Struct, kw_only=True):
    """[enterprises]: the prefixes that are given to enterprises below the zone, in order."""

    first_number: Annotated[int, msgspec.Meta(ge=0)] = 1
    digits: Annotated[int, msgspec.Meta(ge=1, le=18)] = 5


class LogSettings(msgspec.Struct, kw_only=True):
    """[log]: what is said on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(msgspec.Struct, kw_only=True):
    """A whole configuration file. ``directory`` is where it lies: relative paths begin there; ``file`` is its name."""

    node: NodeSettings
    keys: KeySettings = msgspec.field(default_factory=KeySettings)
    recursion: RecursionSettings = msgspec.field(default_factory=RecursionSettings)
    resolver: ResolverSettings = msgspec.field(default_factory=ResolverSettings)
    registry: RegistrySettings = msgspec.field(default_factory=RegistrySettings)
    api: ApiSettings = msgspec.field(default_factory=ApiSettings)
    zones: list[ZoneSettings] = msgspec.field(default_factory=list)
    statistics: StatisticsSettings = msgspec.field(default_factory=StatisticsSettings)
    enterprises: EnterpriseSettings = msgspec.field(default_factory=EnterpriseSettings)
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    directory: str = "."
    file: str = ""

    def path(self, name: str) -> Path:
        """A path from the file, made absolute."""
        return Path(self.directory) / name

    @property
    def file_path(self) -> Path:
        """The configuration file itself."""
        return self.path(self.file)

    def copy_of(self, zone: ZoneSettings) -> Settings:
        """The settings by which this node keeps and serves its copy of a zone."""
        prefix = zone.prefix.encode().upper().decode()  # in normal form: ASCII letters only
        name = prefix or "root"  # which no prefix in normal form is
        keys = f"keys/zones/{name}"
        replace = msgspec.structs.replace
        return replace(
            self,
            node=replace(self.node, prefix=prefix, data=f"{self.node.data}/zones/{name}"),
            keys=KeySettings(
                online=f"{keys}/online.pem",
                statement=f"{keys}/online.statement",
                delegations=f"{keys}/delegations",
                successions=f"{keys}/successions",
            ),
            resolver=replace(self.resolver, port=zone.port),
            registry=replace(self.registry, port=zone.registry_port),
        )

    @property
    def store_path(self) -> Path:
        """The directory of the store."""
        return self.path(self.node.data)

    @property
    def counters_path(self) -> Path:
        """The directory of the files in which the resolver workers count."""
        return self.path("counters")

    @property
    def run_path(self) -> Path:
        """Where a running node notes its process and addresses."""
        return self.path("run.json")
