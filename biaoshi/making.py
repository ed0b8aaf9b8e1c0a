"""Make a node: its keys, its configuration, its empty store."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from config.keyfiles import AnchorFile, make_seed, read_secret, write_anchor, write_secret
from config.load import fill, template, toml_string
from config.settings import Settings
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_prefix_text, normal_zone_text
from protocol.signatures import SigningKey
from protocol.statements import OnlineKey
from protocol.status import Status
from registry.store.lmdb.writer import LmdbStore

NOT_EMPTY: Final = Rule(
    "init.not-empty",
    Status.SETTINGS,
    "{path} is not empty; a node is made in a new or empty directory",
    "{path} 不是空目录，请在新建或空的目录中创建节点",
)
CANNOT_WRITE: Final = Rule(
    "init.cannot-write",
    Status.SETTINGS,
    "{path} cannot be written: {reason}",
    "{path} 无法写入：{reason}",
)

ONLINE_DAYS: Final = 90
"""Validity of an online key. Short-lived against a stolen machine, long enough for a node that a person renews."""

CONFIG_NAME: Final = "biaoshi.toml"
ANCHOR_NAME: Final = "anchor.toml"
ZONE_KEY: Final = "keys/zone.pem"
WRITER_KEY: Final = "keys/writer.pem"


def make_node(role: str, prefix: str, directory: Path, *, port: int | None = None) -> Path:
    """Make a node in ``directory`` and return its configuration file. Raises :class:`SettingsError`; a directory in
    which something went wrong has no configuration file."""
    zone = normal_zone_text(prefix) if role == "top" else normal_prefix_text(prefix)
    try:
        if directory.exists() and any(directory.iterdir()):
            raise SettingsError(NOT_EMPTY, path=str(directory))
        (directory / "keys").mkdir(parents=True, exist_ok=True)
        os.chmod(directory / "keys", 0o700)
        zone_key = _make_key(directory / ZONE_KEY)
        writer_key = _make_key(directory / WRITER_KEY)
        name = f"{role}-{zone or 'root'}"[:64]
        renew(zone, name, directory / ZONE_KEY, directory / "keys/online.pem", directory / "keys/online.statement")
        write_anchor(directory / ANCHOR_NAME, AnchorFile(zone, str(zone_key.public)))
        LmdbStore(directory / "store").close()
        options = {"node.prefix": toml_string(zone), "node.name": toml_string(name)}
        if port is not None:
            options["resolver.port"] = str(port)
            options["registry.port"] = str(port + 1 if port else 0)
        writers = (
            "\n[[registry.writers]]\n"
            f'name = "administrator"         # holds {WRITER_KEY}\nkey = "{writer_key.public}"\n'
            f"prefixes = [{toml_string(zone)}]\n"
        )
        text = fill(template(role), options).replace("\n[log]", f"{writers}\n[log]")
        path = directory / CONFIG_NAME
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(directory), reason=error.strerror or str(error)) from error
    return path


def renew(zone: str, name: str, zone_key: Path, online: Path, statement: Path, days: int = ONLINE_DAYS) -> OnlineKey:
    """Make a new online key and have the zone key sign for it; the old one is replaced. The node takes it up when
    it is started again."""
    signer = SigningKey(read_secret(zone_key))
    seed = make_seed()
    now = int(time.time())
    # An hour back, for clients whose clock is behind.
    claim = OnlineKey(zone, name, SigningKey(seed).public, now - 3_600, now + days * 86_400)
    fresh_key, fresh_statement = online.with_suffix(".new"), statement.with_suffix(".new-statement")
    fresh_key.unlink(missing_ok=True)
    write_secret(fresh_key, seed)
    fresh_statement.write_bytes(claim.sign(signer))
    os.replace(fresh_key, online)
    os.replace(fresh_statement, statement)
    return claim


def renew_node(settings: Settings, zone_key: Path, days: int) -> OnlineKey:
    """Renew the online key of a configured node. Raises :class:`SettingsError`."""
    zone = normal_zone_text(settings.node.prefix)
    online, statement = settings.path(settings.keys.online), settings.path(settings.keys.statement)
    try:
        return renew(zone, settings.node.name, zone_key, online, statement, days)
    except OSError as error:
        path = error.filename or statement
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from error


def _make_key(path: Path) -> SigningKey:
    seed = make_seed()
    write_secret(path, seed)
    return SigningKey(seed)
