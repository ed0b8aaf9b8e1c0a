"""Secret keys and trust anchors on disk.

Secret keys are PEM files (PKCS #8, RFC 5958) that every ordinary tool reads, with mode 0600. An anchor is a TOML
file of two lines that may be given to anybody.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgpack
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from config.load import toml_string
from config.settings import Settings

_OTHERS: Final = stat.S_IRWXO
"""What a secret key's mode must not have: rights for those who are neither its owner nor of its group."""


class BadKeyFile(Exception):
    """A key or anchor file that cannot be used; both sentences say why and what to do."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en, zh)
        self.en = en
        self.zh = zh

    def message(self, language: str = "en") -> str:
        """The sentence for a person; ``language`` is ``en`` or ``zh``."""
        return self.zh if language == "zh" else self.en

    def __str__(self) -> str:
        return self.en


class AnchorFile(NamedTuple):
    """What an anchor file says: the zone's prefix and its public key as text, and the next one while they change."""

    prefix: str
    key: str
    next: str | None = None


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
        raise BadKeyFile(f"{path} exists already; it is not overwritten", f"{path} 已存在，不会覆盖") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()  # half a key would stand in the way of a whole one
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> BadKeyFile:
    return BadKeyFile(f"{path} cannot be written: {error.strerror}", f"{path} 无法写入：{error.strerror}")


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a secret key, which only its owner and group may be able to read. Raises :class:`BadKeyFile`."""
    try:
        pem, mode = path.read_bytes(), path.stat().st_mode
        key = load_pem_private_key(pem, password=None)
    except OSError as error:
        raise BadKeyFile(
            f"the key file {path} cannot be read: {error.strerror}", f"无法读取密钥文件 {path}：{error.strerror}"
        ) from None
    except TypeError:
        raise BadKeyFile(
            f"the key file {path} is protected by a passphrase, which a node cannot type in",
            f"密钥文件 {path} 受口令保护，节点无法输入口令",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadKeyFile(f"{path} is no PEM file with a secret key", f"{path} 不是含有私钥的 PEM 文件") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile(
            f"{path} holds a key of another kind; Ed25519 is needed", f"{path} 中的密钥类型不符，需要 Ed25519"
        )
    if mode & _OTHERS:
        raise BadKeyFile(
            f"the key file {path} is open to every user of this machine; close it (chmod 600), and replace the key "
            "where others may have read it",
            f"本机任何用户都能访问密钥文件 {path}；请收紧权限（chmod 600），若可能已被他人读取，请更换密钥",
        )
    return key.private_bytes_raw()


def read_writer_key(path: Path) -> bytes:
    """The secret key of a writer, which a person names by option. Raises :class:`BadKeyFile`."""
    if not path.exists():
        raise BadKeyFile(
            f"there is no writer's key at {path}; name it with --key, or a node on this machine with --node",
            f"没有写入密钥 {path}；请用 --key 指定，或用 --node 指定本机节点的目录",
        )
    return read_secret(path)


def read_reader_key(path: Path) -> bytes:
    """The secret key of an identity, which a person names by option. Raises :class:`BadKeyFile`."""
    if not path.exists():
        raise BadKeyFile(
            f"there is no key at {path}; name another file with --key", f"没有密钥文件 {path}，请用 --key 指定"
        )
    return read_secret(path)


class Identity(NamedTuple):
    """The files by which a node proves who it is: the seed of the online key in use; statements for it and for those
    before and after it; the delegations above; the zone's public keys as text; successions of its key as anchor."""

    seed: bytes
    statements: tuple[bytes, ...]
    delegations: tuple[bytes, ...]
    zone_keys: tuple[str, ...]
    successions: tuple[bytes, ...]


def read_identity(settings: Settings) -> Identity:
    """Read what ``[keys]`` names. Raises :class:`BadKeyFile`."""
    keys = settings.keys
    seed = read_secret(settings.path(keys.online))
    statements = [_read(settings.path(keys.statement))]
    for path in other_statements(settings.path(keys.statement)):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile: it is not shown any more
            statements.append(path.read_bytes())
    delegations = read_delegations(settings.path(keys.delegations))
    successions = read_delegations(settings.path(keys.successions))
    return Identity(seed, tuple(statements), delegations, tuple(keys.zone), successions)


def vouched_path(settings: Settings, follower: str) -> Path:
    """Where the zone's statement for the online key of a follower's node lies: beside that for the node's own."""
    return settings.path(settings.keys.statement).parent / "followers" / f"{follower}.statement"


def read_vouched(settings: Settings) -> dict[str, bytes]:
    """The zone's statements for the online keys of its followers, by their names, those that are there. Raises
    :class:`BadKeyFile`."""
    paths = {one.name: vouched_path(settings, one.name) for one in settings.registry.followers if one.online}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def statement_beside(statement: Path, key_id: str) -> Path:
    """Where a statement for another online key lies: beside the one that ``[keys]`` names, with the key's id."""
    return statement.with_name(f"{statement.stem}-{key_id}{statement.suffix}")


def other_statements(statement: Path) -> list[Path]:
    """The statements that lie beside the one that ``[keys]`` names: for keys before and after the one in use."""
    return sorted(statement.parent.glob(f"{statement.stem}-*{statement.suffix}"))


def read_delegations(path: Path) -> tuple[bytes, ...]:
    """The statements in a file of delegations, one behind the other; none where there is no file. Raises
    :class:`BadKeyFile`."""
    if not path.exists():
        return ()
    raw = _read(path)
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(raw)
    ends = [0]
    try:
        while ends[-1] < len(raw):
            unpacker.skip()
            ends.append(unpacker.tell())
    except (msgpack.UnpackException, ValueError):
        raise BadKeyFile(
            f"{path} holds no delegations; fetch them again with 'biaoshi delegate fetch'",
            f"{path} 不是授权文件，请用 biaoshi delegate fetch 重新获取",
        ) from None
    return tuple(raw[begin:end] for begin, end in pairwise(ends))


def make_private_directory(path: Path) -> None:
    """Make a directory for keys, closed to others. Raises :class:`BadKeyFile`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in its place as a whole: whoever reads it has the old one or the new one, also after a power failure.
    Raises :class:`BadKeyFile`."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be written: {error.strerror}", f"{path} 无法写入：{error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be read: {error.strerror}", f"无法读取 {path}：{error.strerror}") from None


def write_anchor(path: Path, anchor: AnchorFile) -> None:
    """Write an anchor file."""
    text = (
        "# A trust anchor: with this file anybody can verify the answers of this zone and of all below it.\n"
        "# 信任锚：持有此文件即可离线验证本区域及其下级的全部应答。\n"
        f'prefix = {toml_string(anchor.prefix)}\nkey = "{anchor.key}"\n'
    )
    if anchor.next is not None:
        text += f'next = "{anchor.next}"\n'
    write_whole(path, text.encode())


def read_anchor(path: Path) -> AnchorFile:
    """Read an anchor file. Raises :class:`BadKeyFile`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadKeyFile(
            f"the anchor file {path} cannot be read: {error.strerror}; name it with --anchor, or a node with --node",
            f"无法读取信任锚文件 {path}：{error.strerror}；请用 --anchor 指定，或用 --node 指定节点目录",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise BadKeyFile(
            f"{path} is no anchor file: two lines of TOML, prefix and key",
            f"{path} 不是信任锚文件：应为两行 TOML，prefix 与 key",
        ) from None
    prefix, key, following = raw.get("prefix"), raw.get("key"), raw.get("next")
    if not isinstance(prefix, str) or not isinstance(key, str) or not isinstance(following, str | None):
        raise BadKeyFile(
            f"{path} is no anchor file: two lines of TOML, prefix and key",
            f"{path} 不是信任锚文件：应为两行 TOML，prefix 与 key",
        )
    return AnchorFile(prefix, key, following)
