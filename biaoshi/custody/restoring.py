"""A lost store rebuilt from a copy: from a custody node over the network, or from a copy's directory.

The new store is made beside the old place and takes that at the end as a whole; what is there goes aside. Stopped at
any moment, the same command goes on. Numbers and marks of the feed are those of the copy, so whoever followed the zone
goes on with its cursor.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from config.settings import Settings
from protocol.address import Address
from protocol.errors import NotVerified, Refused, Rule, SettingsError, StoreError
from protocol.limits import MAX_CHANGES
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.client import OTHER_ZONE, RegistryClient
from registry.following.asking import read_ends
from registry.store.feed import DIVERGED, FeedPage, Position
from registry.store.lmdb.reader import LmdbReader
from registry.store.lmdb.writer import LmdbStore
from registry.store.searching import index_everything

NOT_WHOLE: Final = Rule(
    "restore.not-whole",
    Status.CONFLICT,
    "the copy has never been whole: it lacks records that the zone had. Restore from another, or give --incomplete",
    "该副本从未完整过，缺少本区域的部分记录。请从其他副本恢复，或使用 --incomplete",
)
CANNOT_REPLACE: Final = Rule(
    "restore.cannot-replace",
    Status.SETTINGS,
    "{path} cannot be replaced: {reason}",
    "无法替换 {path}：{reason}",
)

Ask = Callable[[bytes, bytes], Awaitable[FeedPage]]
"""Gives the page behind a cursor, to one that has seen the feed up to there."""


class Copied(NamedTuple):
    """Where a copy ends, what it has seen of the zone's feed, and whether it has ever been whole."""

    end: Position
    seen: Position
    whole: bool


class Restored(NamedTuple):
    """What became of it: changes in the feed, active records, where the store before it is (None: there was none)."""

    changes: int
    registered: int
    before: Path | None


async def restore_from_server(
    settings: Settings,
    address: Address,
    anchor: TrustAnchor,
    key: SigningKey,
    *,
    of_zone: bool = True,
    incomplete: bool = False,
) -> Restored:
    """Rebuild a node's store from the door of a copy, with a key of the zone, or of a follower there (not
    ``of_zone``). Raises :class:`~protocol.errors.BiaoshiError`."""
    async with RegistryClient(address.host, address.port, anchor=anchor, key=key, at_copy=of_zone) as client:
        zone = settings.node.prefix.encode().upper().decode()
        if client.zone.prefix != zone:
            raise NotVerified(OTHER_ZONE, zone=client.zone.prefix, expected=zone)

        async def ends() -> Copied:
            status = await client.status()
            return Copied(*read_ends(status), bool(status.get("whole", 1)))

        async def ask(cursor: bytes, seen: bytes) -> FeedPage:
            return await client.changes(cursor, MAX_CHANGES, seen=seen)

        return await _restore(settings, ask, ends, incomplete=incomplete)


async def restore_from_directory(settings: Settings, directory: Path, *, incomplete: bool = False) -> Restored:
    """Rebuild a node's store from the directory of a copy, of a snapshot of one, or of a backup. Raises
    :class:`~protocol.errors.BiaoshiError`."""
    with closing(LmdbReader(directory)) as reader:

        async def ends() -> Copied:
            reader.rest()
            stands = reader.standing()
            # The store of a zone itself, from a backup, never was a copy.
            return Copied(stands.end, stands.seen, stands.whole or stands.seen == stands.end)

        async def ask(cursor: bytes, seen: bytes) -> FeedPage:
            return reader.changes(cursor, MAX_CHANGES, seen)

        return await _restore(settings, ask, ends, incomplete=incomplete)


async def _restore(
    settings: Settings, ask: Ask, ends: Callable[[], Awaitable[Copied]], *, incomplete: bool
) -> Restored:
    place = settings.store_path
    making = place.with_name(place.name + ".restoring")
    if (place / "data.mdb").exists():
        LmdbStore(place).close()  # which fails while the node runs
    if not (await ends()).whole and not incomplete:
        raise Refused(NOT_WHOLE, NOT_WHOLE.status)
    try:
        await _copy_all(making, ask)
    except (StoreError, Refused) as error:
        if error.rule is not DIVERGED:
            raise
        shutil.rmtree(making, ignore_errors=True)  # begun from another copy
        await _copy_all(making, ask)
    with closing(LmdbStore(making)) as store:
        store.abandon()
        index_everything(store)
        store.inherit((await ends()).seen)
        counts = store.counts()
    return Restored(counts.changes, sum(counts.active.values()), _put_in_place(settings, place, making))


async def _copy_all(making: Path, ask: Ask) -> None:
    with closing(LmdbStore(making)) as store:
        while True:
            stands = store.standing()
            page = await ask((stands.inside or stands.end).cursor(), stands.seen.cursor())
            store.copy(page)
            if not page.more:
                return


def _put_in_place(settings: Settings, place: Path, making: Path) -> Path | None:
    """Put the new store where the node looks for it; where the one before it is then."""
    aside: Path | None = None
    try:
        if place.exists():
            names = (place.with_name(f"{place.name}.before-{number}") for number in count(1))
            aside = next(path for path in names if not path.exists())
            os.replace(place, aside)
        os.replace(making, place)
        # They were compared with the store that is gone: what was told since would be told again.
        shutil.rmtree(settings.counters_path, ignore_errors=True)
    except OSError as error:
        raise SettingsError(CANNOT_REPLACE, path=str(place), reason=error.strerror or str(error)) from error
    return aside
