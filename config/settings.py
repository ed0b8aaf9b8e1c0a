"""What can be set. The TOML files beside this module explain each option to an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Role = Literal["top", "secondary", "enterprise"]


class NodeSettings(msgspec.Struct, kw_only=True):
    """[node]: who this node is."""

    role: Role
    prefix: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    data: str = "store"


class KeySettings(msgspec.Struct, kw_only=True):
    """[keys]: files that prove who this node is, relative to the configuration file."""

    online: str = "keys/online.pem"
    statement: str = "keys/online.statement"
    delegations: list[str] = msgspec.field(default_factory=list)


class ResolverSettings(msgspec.Struct, kw_only=True):
    """[resolver]: the read side."""

    host: str = "127.0.0.1"
    port: Port = 26_410
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    listing: bool = True
    unsealed: bool = False


class WriterSettings(msgspec.Struct, kw_only=True):
    """[[registry.writers]]: a key that may write."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    key: str
    prefixes: Annotated[list[str], msgspec.Meta(min_length=1)]


class RegistrySettings(msgspec.Struct, kw_only=True):
    """[registry]: the write side."""

    host: str = "127.0.0.1"
    port: Port = 26_411
    writers: list[WriterSettings] = msgspec.field(default_factory=list)


class LogSettings(msgspec.Struct, kw_only=True):
    """[log]: what is said on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(msgspec.Struct, kw_only=True):
    """A whole configuration file. ``directory`` is where it lies: relative paths begin there."""

    node: NodeSettings
    keys: KeySettings = msgspec.field(default_factory=KeySettings)
    resolver: ResolverSettings = msgspec.field(default_factory=ResolverSettings)
    registry: RegistrySettings = msgspec.field(default_factory=RegistrySettings)
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    directory: str = "."

    def path(self, name: str) -> Path:
        """A path from the file, made absolute."""
        return Path(self.directory) / name

    @property
    def store_path(self) -> Path:
        """The directory of the store."""
        return self.path(self.node.data)

    @property
    def run_path(self) -> Path:
        """Where a running node notes its process and addresses."""
        return self.path("run.json")
