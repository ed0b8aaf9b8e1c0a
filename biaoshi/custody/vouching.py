"""The zone's side of custody: statements of the zone's key for the online keys of followers' nodes.

A running node with its zone key does this by itself for all that are listed, and anew when a third of the time is left;
where the key is elsewhere, ``biaoshi vouch`` does it there. Followers take the statements along from the registry.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from config.keyfiles import BadKeyFile, make_private_directory, vouched_path, write_whole
from config.load import toml_string
from config.settings import FollowerSettings, Settings
from protocol.errors import BiaoshiError, Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import OnlineKey, due, read_online_key, window
from protocol.status import Status

BAD_REQUEST: Final = Rule(
    "vouch.bad-request",
    Status.SETTINGS,
    "{path} is no request for a statement: four lines of TOML, zone, name, key and online, as 'biaoshi custody add' "
    "writes them",
    "{path} 不是声明申请文件：应为四行 TOML，zone、name、key 与 online（由 biaoshi custody add 生成）",
)
OTHER_ZONE: Final = Rule(
    "vouch.other-zone",
    Status.SETTINGS,
    "the request is for the zone '{asked}', and this node's is '{zone}'",
    "申请针对的是区域“{asked}”，而本节点的区域是“{zone}”",
)


class VouchRequest(NamedTuple):
    """What a custody node asks a zone for: to be followed with ``key``, and answered for by ``online``."""

    zone: str
    name: str
    key: str
    online: str

    @property
    def entry(self) -> str:
        """The lines for the zone's configuration."""
        return (
            f"[[registry.followers]]\nname = {toml_string(self.name)}\n"
            f"key = {toml_string(self.key)}\nonline = {toml_string(self.online)}\n"
        )


def write_request(path: Path, request: VouchRequest) -> None:
    """Write a request file. Raises :class:`BadKeyFile`."""
    head = (
        "# For the zone's operator: 'biaoshi vouch' signs this; the last three lines go under [[registry.followers]].\n"
        "# 交给区域运维人员：用 biaoshi vouch 签发，并将后三行写入 [[registry.followers]]。\n"
    )
    lines = "".join(f"{name} = {toml_string(value)}\n" for name, value in request._asdict().items())
    write_whole(path, (head + lines).encode())


def read_vouch_request(path: Path) -> VouchRequest:
    """Read a request file. Raises :class:`SettingsError`, :class:`BadKeyFile`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        found = VouchRequest(*(raw[name] for name in VouchRequest._fields))
        if not all(type(one) is str for one in found):
            raise SettingsError(BAD_REQUEST, path=str(path))
        PublicKey.parse(found.online), PublicKey.parse(found.key)
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be read: {error.strerror}", f"无法读取 {path}：{error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, KeyError, BiaoshiError):
        raise SettingsError(BAD_REQUEST, path=str(path)) from None
    return found


def check_zone(request: VouchRequest, zone: str) -> None:
    """Check a request to be for this zone. Raises :class:`SettingsError`."""
    if normal_zone_text(request.zone) != zone:
        raise SettingsError(OTHER_ZONE, asked=request.zone, zone=zone)


def vouch(zone: str, name: str, online: str, signer: SigningKey, now: int, days: float) -> bytes:
    """A statement for an online key."""
    return OnlineKey(zone, name, PublicKey.parse(online), *window(now, days)).sign(signer)


def is_due(statement: bytes | None, online: str, signer: SigningKey, now: int) -> bool:
    """Whether a follower needs a (new) statement: there is none for its key by this zone key, or it ends soon."""
    if statement is None:
        return True
    try:
        read = read_online_key(statement)
    except BiaoshiError:
        return True
    claim = read.claim
    other = claim.key != PublicKey.parse(online) or not read.signed_by(signer.public)
    return other or now >= due(claim.not_before, claim.not_after)


def vouch_for_followers(settings: Settings, zone: str, signer: SigningKey, now: int) -> list[FollowerSettings]:
    """Sign for all listed followers that need it, and put the statements where the registry hands them out; for whom.
    Raises :class:`BadKeyFile`."""
    done: list[FollowerSettings] = []
    for follower in settings.registry.followers:
        path = vouched_path(settings, follower.name)
        if not follower.online:
            continue
        try:
            before = path.read_bytes() if path.exists() else None
        except OSError as error:
            raise BadKeyFile(f"{path} cannot be read: {error.strerror}", f"无法读取 {path}：{error.strerror}") from None
        if is_due(before, follower.online, signer, now):
            make_private_directory(path.parent)
            write_whole(path, vouch(zone, follower.name, follower.online, signer, now, settings.keys.online_days))
            done.append(follower)
    return done
