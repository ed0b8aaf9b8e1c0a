"""Secret keys and trust anchors on disk.

Secret keys are PEM files (PKCS #8, RFC 5958) that every ordinary tool reads, with mode 0600. An anchor is a TOML
file of two lines that may be given to anybody.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from config.settings import Settings


class BadKeyFile(Exception):
    """A key or anchor file that cannot be used; the message says why and what to do."""


class AnchorFile(NamedTuple):
    """What an anchor file says: the zone's prefix and its public key as text."""

    prefix: str
    key: str


def make_seed() -> bytes:
    """A new secret key: 32 bytes from the operating system."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def write_secret(path: Path, seed: bytes) -> None:
    """Write a secret key, never over an existing file. Raises :class:`BadKeyFile`."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadKeyFile(f"{path} exists already; it is not overwritten") from None
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a secret key. Raises :class:`BadKeyFile`."""
    try:
        pem = path.read_bytes()
        key = load_pem_private_key(pem, password=None)
    except OSError as error:
        raise BadKeyFile(f"the key file {path} cannot be read: {error.strerror}") from None
    except TypeError:
        raise BadKeyFile(f"the key file {path} is protected by a passphrase, which a node cannot type in") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadKeyFile(f"{path} is no PEM file with a secret key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile(f"{path} holds a key of another kind; Ed25519 is needed")
    return key.private_bytes_raw()


class Identity(NamedTuple):
    """The files by which a node proves who it is: the online key's seed, its statement, the delegations above."""

    seed: bytes
    statement: bytes
    delegations: tuple[bytes, ...]


def read_identity(settings: Settings) -> Identity:
    """Read what ``[keys]`` names. Raises :class:`BadKeyFile`."""
    keys = settings.keys
    seed = read_secret(settings.path(keys.online))
    statement, *delegations = (_read(settings.path(name)) for name in (keys.statement, *keys.delegations))
    return Identity(seed, statement, tuple(delegations))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be read: {error.strerror}") from None


def write_anchor(path: Path, anchor: AnchorFile) -> None:
    """Write an anchor file."""
    text = (
        "# A trust anchor: with this file anybody can verify the answers of this zone and of all below it.\n"
        "# 信任锚：持有此文件即可离线验证本区域及其下级的全部应答。\n"
        f'prefix = "{anchor.prefix}"\nkey = "{anchor.key}"\n'
    )
    path.write_text(text, "utf-8")


def read_anchor(path: Path) -> AnchorFile:
    """Read an anchor file. Raises :class:`BadKeyFile`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadKeyFile(f"the anchor file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise BadKeyFile(f"{path} is no anchor file: two lines of TOML, prefix and key") from None
    prefix, key = raw.get("prefix"), raw.get("key")
    if not isinstance(prefix, str) or not isinstance(key, str):
        raise BadKeyFile(f"{path} is no anchor file: two lines of TOML, prefix and key")
    return AnchorFile(prefix, key)
