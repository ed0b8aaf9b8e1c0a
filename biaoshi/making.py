"""Make a node: its keys, its configuration, its empty store."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from biaoshi.online import OnlineKeys
from config.keyfiles import AnchorFile, make_seed, read_anchor, read_secret, write_anchor, write_secret
from config.load import fill, template, toml_string
from config.settings import Settings
from protocol.address import parse_address
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
TOP_ANCHOR_NAME: Final = "top-anchor.toml"
NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})
ZONE_KEY: Final = "keys/zone.pem"
WRITER_KEY: Final = "keys/writer.pem"


def make_node(
    role: str, prefix: str, directory: Path, *, port: int | None = None, more: Mapping[str, str] = NOTHING_MORE
) -> Path:
    """Make a node in ``directory`` and return its configuration file. ``more`` are values (TOML) of further options,
    ``section.option``. Raises :class:`SettingsError`; where something went wrong the directory is as it was."""
    zone = normal_zone_text(prefix) if role == "top" else normal_prefix_text(prefix)
    with filling(directory):
        zone_key = _make_key(directory / ZONE_KEY)
        writer_key = _make_key(directory / WRITER_KEY)
        name = f"{role}-{zone or 'root'}"[:64]
        OnlineKeys(directory / "keys/online.pem", directory / "keys/online.statement").make_first(
            zone, name, zone_key, int(time.time()), ONLINE_DAYS
        )
        write_anchor(directory / ANCHOR_NAME, AnchorFile(zone, str(zone_key.public)))
        LmdbStore(directory / "store").close()
        options = {
            "node.prefix": toml_string(zone), "node.name": toml_string(name), "keys.zone": f'["{zone_key.public}"]'
        }  # fmt: skip
        if port is not None:
            options["resolver.port"] = str(port)
            options["registry.port"] = str(port + 1 if port else 0)
            options["api.port"] = str(port + 2 if port else 0)
        writers = (
            "\n[[registry.writers]]\n"
            f'name = "administrator"         # holds {WRITER_KEY}\nkey = "{writer_key.public}"\n'
            f"prefixes = [{toml_string(zone)}]\n"
        )
        text = fill(template(role), {**options, **more}).replace("\n[statistics]", f"{writers}\n[statistics]")
        path = directory / CONFIG_NAME
        path.write_text(text, "utf-8")
    return path


def make_recursive(
    anchor: Path,
    roots: Sequence[str],
    directory: Path,
    *,
    port: int | None = None,
    more: Mapping[str, str] = NOTHING_MORE,
) -> Path:
    """Make a recursive node in ``directory``: a zone key of its own, whose anchor is for those who trust the node,
    and a copy of the top node's ``anchor``. Returns the configuration file; ``more`` as in :func:`make_node`. Raises
    :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    top = read_anchor(anchor)
    addresses = [str(parse_address(root)) for root in roots]
    with filling(directory):
        zone_key = _make_key(directory / ZONE_KEY)
        name = "recursive"
        OnlineKeys(directory / "keys/online.pem", directory / "keys/online.statement").make_first(
            "", name, zone_key, int(time.time()), ONLINE_DAYS
        )
        write_anchor(directory / ANCHOR_NAME, AnchorFile("", str(zone_key.public)))
        write_anchor(directory / TOP_ANCHOR_NAME, top)
        options = {
            "node.name": toml_string(name),
            "keys.zone": f'["{zone_key.public}"]',
            "recursion.roots": f"[{', '.join(map(toml_string, addresses))}]",
        }
        if port is not None:
            options["resolver.port"] = str(port)
        path = directory / CONFIG_NAME
        path.write_text(fill(template("recursive"), {**options, **more}), "utf-8")
    return path


@contextlib.contextmanager
def filling(directory: Path) -> Iterator[None]:
    """A new or empty directory, with one for keys in it, to be filled; where something goes wrong nothing is left in
    it, so that the same command can be given again. Raises :class:`SettingsError`."""
    try:
        there = directory.exists()
        if there and any(directory.iterdir()):
            raise SettingsError(NOT_EMPTY, path=str(directory))
        try:
            (directory / "keys").mkdir(parents=True)
            os.chmod(directory / "keys", 0o700)
            yield
        except BaseException:
            for made in directory.iterdir() if there else [directory]:
                shutil.rmtree(made, ignore_errors=True) if made.is_dir() else made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(CANNOT_WRITE, path=str(directory), reason=error.strerror or str(error)) from error


def renew_node(settings: Settings, zone_key: Path, days: float) -> OnlineKey:
    """Make a new online key of a configured node and put it in use. Raises :class:`SettingsError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    zone = normal_zone_text(settings.node.prefix)
    signer = SigningKey(read_secret(zone_key))
    keys = OnlineKeys(settings.path(settings.keys.online), settings.path(settings.keys.statement))
    try:
        claim = keys.prepare(zone, settings.node.name, signer, int(time.time()), days)
        keys.use(claim.key.id)
    except OSError as error:
        path = error.filename or keys.statement
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from error
    return claim


def _make_key(path: Path) -> SigningKey:
    seed = make_seed()
    write_secret(path, seed)
    return SigningKey(seed)
