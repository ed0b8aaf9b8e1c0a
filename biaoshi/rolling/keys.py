"""Another key for a zone: made beside the old one, used once all above know it, and then alone.

A zone that another delegates goes through four steps, each of which may be followed by any time: the new key is made
and asked for beside the old; the parent issues a delegation that names both; the new one signs; a delegation for it
alone. For the zone of a trust anchor the succession of the anchor takes the place of the delegation.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from biaoshi.making import renew_node
from config.keyfiles import (
    AnchorFile,
    make_seed,
    read_anchor,
    read_delegations,
    read_secret,
    write_anchor,
    write_secret,
    write_whole,
)
from config.load import load_settings, put_option
from config.settings import Settings
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import read_delegation
from protocol.status import Status
from protocol.succession import Succession, read_succession

NO_ZONE_KEY: Final = Rule(
    "zone-key.unknown",
    Status.SETTINGS,
    "{path} is not the secret half of the first key under [keys] zone",
    "{path} 不是 [keys] zone 中第一把公钥对应的私钥",
)
UNDER_WAY: Final = Rule(
    "zone-key.under-way",
    Status.SETTINGS,
    "the zone has two keys already; go on with 'biaoshi zone-key use' or 'biaoshi zone-key drop'",
    "该区域已有两把密钥，请继续执行 biaoshi zone-key use 或 biaoshi zone-key drop",
)
NOTHING_UNDER_WAY: Final = Rule(
    "zone-key.nothing-under-way",
    Status.SETTINGS,
    "the zone has one key only; begin with 'biaoshi zone-key new'",
    "该区域只有一把密钥，请先执行 biaoshi zone-key new",
)
NOT_DELEGATED: Final = Rule(
    "zone-key.not-delegated",
    Status.SETTINGS,
    "the parent's delegation does not name the new key yet: 'biaoshi delegate ask', have it issued, "
    "then 'biaoshi delegate fetch'",
    "上级的授权尚未包含新密钥：请先 biaoshi delegate ask，待上级签发后再 biaoshi delegate fetch",
)
NO_SUCCESSION: Final = Rule(
    "zone-key.no-succession",
    Status.SETTINGS,
    "clients hold the old key as their anchor; sign for the new one first with 'biaoshi anchor roll', and wait until "
    "they have followed",
    "客户端仍以旧密钥为信任锚，请先用 biaoshi anchor roll 签发接替声明，并等待客户端更新",
)
STILL_OLD: Final = Rule(
    "zone-key.still-old",
    Status.SETTINGS,
    "the old key signs still; first 'biaoshi zone-key use'",
    "仍在使用旧密钥签发，请先执行 biaoshi zone-key use",
)


def next_path(settings: Settings) -> Path:
    """Where the secret half of a zone's next key lies."""
    path = settings.path(settings.keys.zone_secret)
    return path.with_name(f"{path.stem}-next{path.suffix}")


def new_key(settings: Settings) -> PublicKey:
    """Make the next key of a zone and name it in the configuration behind the old one. Raises :class:`SettingsError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    old = _signer(settings)
    if len(settings.keys.zone) > 1:
        raise SettingsError(UNDER_WAY)
    seed = make_seed()
    write_secret(next_path(settings), seed)
    following = SigningKey(seed).public
    _put_keys(settings, old.public, following)
    return following


def use_key(settings: Settings) -> PublicKey:
    """Sign with the next key from now on: the online key anew at once, delegations by the running node. Raises
    :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    if len(settings.keys.zone) < 2:
        raise SettingsError(NOTHING_UNDER_WAY)
    path = settings.path(settings.keys.zone_secret)
    old, second = map(PublicKey.parse, settings.keys.zone[:2])
    following = SigningKey(read_secret(path))
    if following.public != second or next_path(settings).exists():  # else it was stopped behind the renaming
        _signer(settings)
        following = SigningKey(read_secret(next_path(settings)))
        _check_known(settings, old, following.public)
        kept = path.with_name(f"{path.stem}-old{path.suffix}")
        kept.unlink(missing_ok=True)
        write_secret(kept, read_secret(path))
        os.replace(next_path(settings), path)
    _put_keys(settings, following.public, old)
    renew_node(load_settings(settings.file_path), path, settings.keys.online_days)
    return following.public


def drop_key(settings: Settings) -> PublicKey:
    """Name the new key alone. Raises :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    signer = _signer(settings)
    if len(settings.keys.zone) < 2:
        raise SettingsError(NOTHING_UNDER_WAY)
    if next_path(settings).exists():
        raise SettingsError(STILL_OLD)
    _put_keys(settings, signer.public)
    return signer.public


def roll_anchor(settings: Settings, days: float) -> Succession:
    """Have the zone's key sign for the next one as trust anchor, and show it; both hold for so many days. Raises
    :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    old = _signer(settings)
    if len(settings.keys.zone) < 2 or not next_path(settings).exists():
        raise SettingsError(NOTHING_UNDER_WAY)
    following = SigningKey(read_secret(next_path(settings))).public
    zone = normal_zone_text(settings.node.prefix)
    now = int(time.time())
    claim = Succession(zone, old.public, following, now, now + round(days * 86_400))
    path = settings.path(settings.keys.successions)
    before = [one for one in read_delegations(path) if read_succession(one).key != old.public]
    write_whole(path, b"".join((*before, claim.sign(old))))
    anchor = settings.path("anchor.toml")
    if read_anchor(anchor).prefix == zone:
        write_anchor(anchor, AnchorFile(zone, str(old.public), str(following)))
    return claim


def _signer(settings: Settings) -> SigningKey:
    path = settings.path(settings.keys.zone_secret)
    signer = SigningKey(read_secret(path))
    if not settings.keys.zone or PublicKey.parse(settings.keys.zone[0]) != signer.public:
        raise SettingsError(NO_ZONE_KEY, path=str(path))
    return signer


def _check_known(settings: Settings, old: PublicKey, following: PublicKey) -> None:
    """Whoever verifies this zone must know the next key before it signs."""
    delegations = read_delegations(settings.path(settings.keys.delegations))
    if delegations:
        if following not in read_delegation(delegations[-1]).claim.keys:
            raise SettingsError(NOT_DELEGATED)
        return
    successions = map(read_succession, read_delegations(settings.path(settings.keys.successions)))
    if not any((one.key, one.next) == (old, following) for one in successions):
        raise SettingsError(NO_SUCCESSION)


def _put_keys(settings: Settings, *keys: PublicKey) -> None:
    put_option(settings.file_path, "keys.zone", "[" + ", ".join(f'"{key}"' for key in keys) + "]")
