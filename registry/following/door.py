"""The door of a copy: it gives the zone to whoever may follow, sealed by the online key that the zone vouched for.

Who may: the followers that the custody node lists, and whoever has a key of the zone itself, which is how a zone that
lost its store gets it back. Nobody writes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from config.keyfiles import BadKeyFile, read_identity
from config.process import bind, software
from config.settings import Settings
from protocol.errors import BiaoshiError, StoreError
from protocol.node import NodeFacts, OwnKeys, own_keys
from protocol.signatures import PublicKey
from protocol.turn import Turn
from registry.doorway import Doorway
from registry.followers import Followers
from registry.following.identity import Identity
from registry.following.progress import Progress
from registry.putback import PutBack
from registry.rights import Rights
from registry.session import Session
from registry.store.interface import STORE_FAILED, Store
from registry.store.writes import Outcome, Write

DRAIN_SECONDS: Final = 5.0
"""How long a closing door waits for clients to take what was answered."""

OF_THE_ZONE: Final = "(zone)"
"""The name under which the keys of the zone itself follow."""


class CopyDoor:
    """The door of one copy. It opens when the zone has vouched for the online key, and takes up later statements.
    ``view`` are the settings of the copy, ``port`` is where it is served."""

    def __init__(
        self,
        view: Settings,
        port: int,
        store: Store,
        identity: Identity,
        progress: Callable[[], Progress],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._view = view
        self._port = port
        self._store = store
        self._identity = identity
        self._progress = progress
        self._log = log.bind(zone=view.node.prefix)
        self._listed = {PublicKey.parse(one.key): one.name for one in view.registry.followers}
        self._followers = Followers(self._listed)
        self._rights = Rights({}, view.node.prefix, (), self._followers)
        self._facts: NodeFacts | None = None
        self._begun = time.monotonic()
        self._said = ""

    async def look(self) -> None:
        """Open it once there is a statement that holds; to be called about once a second until then."""
        if self._facts is not None:
            return
        own = self._own_keys()
        if own is None:
            return
        loop = asyncio.get_running_loop()
        host = self._view.registry.host
        self._facts = NodeFacts(self._view.node.role, self._view.node.prefix, software(), own.chain, own=own)
        self._turn = Turn(own.key, loop.call_soon, lambda: time.time_ns() // 1_000_000, self._store.rest)
        self._admit_zone()
        self._doorway = Doorway(
            self._turn, self._store, self._nothing_is_written, self._new_session, self._followers, PutBack(), loop
        )
        self._server = await loop.create_server(self._doorway.accept, sock=bind(host, self._port, socket.SOCK_STREAM))
        self._log.info("copy open to followers", host=host, port=self._port)

    def take_up(self) -> None:
        """Seal by the keys that the files have now."""
        if self._facts is None:
            return
        renewed = self._own_keys()
        if renewed is not None:
            self._turn.key = renewed.key
            self._facts.take_up(renewed)
            self._admit_zone()

    def news(self) -> None:
        """The copy has grown."""
        if self._facts is not None:
            self._doorway.polls.news()

    def tick(self) -> None:
        """To be called about twice a second."""
        if self._facts is not None:
            self._doorway.tick()
            self._doorway.sweep()

    async def close(self) -> None:
        """Answer what was asked, and close."""
        if self._facts is None:
            return
        self._server.close()
        self._doorway.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._doorway.empty.wait()

    def _own_keys(self) -> OwnKeys | None:
        """The online key with its statement, None while there is no statement that holds: said once."""
        if not self._view.path(self._view.keys.statement).exists():
            return None
        try:
            return own_keys(self._view.node.prefix, *read_identity(self._view), now=int(time.time()))
        except (BiaoshiError, BadKeyFile) as error:
            if self._said != str(error):
                self._said = str(error)
                self._log.warning("the online key for this copy cannot be used", reason=str(error))
            return None

    def _admit_zone(self) -> None:
        zone = self._identity.zone(int(time.time()))
        keys = zone.keys if zone else ()
        self._followers.admit({**self._listed, **dict.fromkeys(keys, OF_THE_ZONE)})
        self._rights.at_copy = frozenset(keys)

    def _new_session(self) -> Session:
        assert self._facts is not None
        return Session(self._store, self._facts, self._rights, self._status, period=None)

    def _nothing_is_written(self, writes: Sequence[Write], done: Callable[[list[Outcome] | StoreError], None]) -> None:
        done(StoreError(STORE_FAILED, path=str(self._view.store_path), reason="a copy takes no writes"))

    def _status(self) -> dict[str, object]:
        """What STATUS says of the copy; ``end`` and ``seen`` are cursors, by which the zone finds out whether it has
        all that the copy has."""
        assert self._facts is not None
        counts, stands, progress = self._store.counts(), self._store.standing(), self._progress()
        shown = {
            "role": self._facts.role, "zone": self._facts.zone, "software": self._facts.software,
            "registered": sum(counts.active.values()), "prefixes": len(counts.active), "changes": counts.changes,
            "store_bytes": counts.bytes_used, "uptime_s": int(time.monotonic() - self._begun), "worker": os.getpid(),
            **self._facts.status(int(time.time())), **progress.status(time.monotonic()),
            **self._followers.status(counts.changes, asyncio.get_running_loop().time()),
            "end": stands.end.cursor().hex(), "seen": stands.seen.cursor().hex(),
        }  # fmt: skip
        for name in (f"behind_{OF_THE_ZONE}", f"seconds_behind_{OF_THE_ZONE}"):
            shown.pop(name, None)
        shown["concerns"] = " ".join([*str(shown["concerns"]).split(), *progress.concerns])
        return shown
