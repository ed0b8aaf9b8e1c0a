"""What keeps a running node's keys and delegations from ending: decisions, and the task that carries them out.

In the supervisor, once a second: files that have changed are taken up by all processes (SIGHUP); the online key is
renewed where the zone key is on the machine; the chain is fetched from the parent; delegations given to children are
renewed. Decisions are functions of what is there and of ``now``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog

from biaoshi.custody.vouching import vouch_for_followers
from biaoshi.delegation.child import fetch
from biaoshi.delegation.parent import renewal
from biaoshi.online import Next, OnlineKeys
from config.keyfiles import BadKeyFile, other_statements, read_anchor, read_identity, read_secret, vouched_path
from config.load import BadConfiguration, load_settings
from config.places import reachable
from config.settings import Settings
from protocol.errors import BiaoshiError
from protocol.node import NodeFacts, OwnKeys, own_keys
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import due, read_online_key
from protocol.trust import TrustAnchor
from registry.client import RegistryClient

LOOK_SECONDS: Final = 1.0
"""How often files are looked at: how soon what a command has put there is taken up."""

SHOW_SECONDS: Final = 600
"""How long the next online key is shown before it is used, at most; a fiftieth of its validity otherwise."""

FETCH_SECONDS: Final = 3_600
"""How often the chain is fetched from the parent, and children's delegations looked through, at most."""

AGAIN_SECONDS: Final = 10
"""How soon children's delegations are looked through again where that failed."""

REMIND_SECONDS: Final = 86_400
"""How often the log says again what a person should see to."""

_EXPECTED: Final = (BiaoshiError, BadConfiguration, BadKeyFile, OSError)

Step = Literal["nothing", "prepare", "use"]


class OnlineState(NamedTuple):
    """The online key in use, in seconds since 1970; whether the zone's first key signed it; the key after it."""

    since: int
    ends: int
    by_first_key: bool
    following: Next | None


def online_step(state: OnlineState, now: int) -> Step:
    """What is to be done about the online key: make the next when a third of the time is left, use it once it has been
    shown."""
    if state.following is not None:
        shown = min(SHOW_SECONDS, (state.ends - state.since) // 50)
        return "use" if now >= min(state.following.shown_since + shown, state.ends) else "nothing"
    return "prepare" if now >= due(state.since, state.ends) or not state.by_first_key else "nothing"


def pause(length: float) -> float:
    """Seconds between two looks at something that is valid for ``length`` seconds."""
    return max(1.0, min(FETCH_SECONDS, length / 20))


class Fingerprint(NamedTuple):
    """What a file looks like from outside; another one, another content."""

    name: str
    inode: int
    size: int
    changed_ns: int


def fingerprints(settings: Settings) -> tuple[Fingerprint, ...]:
    """Of the configuration and the files of ``[keys]`` that are there."""
    keys = settings.keys
    statement = settings.path(keys.statement)
    names = (keys.online, keys.statement, keys.delegations, keys.successions)
    followers = (vouched_path(settings, one.name) for one in settings.registry.followers if one.online)
    paths = (settings.file_path, *map(settings.path, names), *other_statements(statement), *followers)
    return tuple(found for path in paths if (found := fingerprint(path)) is not None)


def fingerprint(path: Path) -> Fingerprint | None:
    """Of one file; None where there is none."""
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return Fingerprint(path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns)


class Upkeep:
    """Keeps a node's keys. ``notify`` has all its processes take up what is in the files; ``registry`` is the address
    of its own registry."""

    def __init__(
        self,
        settings: Settings,
        zone: str,
        registry: tuple[str, int],
        notify: Callable[[], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._settings = settings
        self._zone = zone
        self._registry = registry
        self._notify = notify
        self._log = log
        self._seen = fingerprints(settings)
        self._own = self._read()
        self._fetch_at = 0.0
        self._children_at = 0.0
        self._remind_at = 0.0
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Look after the keys until cancelled."""
        while True:
            try:
                await self.look(time.time())
                self._well("upkeep")
            except _EXPECTED as error:
                self._trouble("upkeep", "the keys could not be looked after", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float) -> None:
        """Do what is due at ``now`` (seconds since 1970)."""
        self._take_up()
        signer = self._signer()
        if signer is not None:
            self._online(signer, int(now))
            for follower in vouch_for_followers(self._settings, self._zone, signer, int(now)):
                self._log.info("vouched for the online key of a follower", follower=follower.name)
            self._take_up()
        # The first fetch is a person's, with the anchor to begin from.
        if self._settings.keys.parent and self._own.chain.delegations and now >= self._fetch_at:
            length = self._own.delegation_ends - self._own.delegation_since
            self._fetch_at = now + pause(length)
            await self._fetch()
            self._take_up()
        gives = self._settings.node.role != "recursive"  # which has no registry and no children
        if signer is not None and gives and now >= self._children_at:
            self._children_at = now + pause(self._settings.keys.delegation_days * 86_400)
            await self._renew_children(signer, int(now))
        if now >= self._remind_at:
            self._remind_at = now + REMIND_SECONDS
            self._remind(int(now))

    def _take_up(self) -> None:
        seen = fingerprints(self._settings)
        if seen == self._seen:
            return
        self._seen = seen
        self._settings = load_settings(self._settings.file_path)
        self._own = self._read()
        self._notify()
        # The chain may have changed with it, and the key that signs delegations.
        soon = time.time() + LOOK_SECONDS
        self._fetch_at, self._children_at = min(self._fetch_at, soon), min(self._children_at, soon)
        self._log.info("keys taken up", online_key=self._own.claim.key.id.hex(), ends=self._own.claim.not_after)

    def _read(self) -> OwnKeys:
        return own_keys(self._zone, *read_identity(self._settings), now=int(time.time()))

    def _signer(self) -> SigningKey | None:
        """The zone key, where it is on this machine and is the one in use."""
        path = self._settings.path(self._settings.keys.zone_secret)
        if not path.exists():
            return None
        signer = SigningKey(read_secret(path))
        keys = self._settings.keys.zone
        return signer if keys and PublicKey.parse(keys[0]) == signer.public else None

    def _online(self, signer: SigningKey, now: int) -> None:
        keys = self._settings.keys
        files = OnlineKeys(self._settings.path(keys.online), self._settings.path(keys.statement))
        claim = self._own.claim
        statement = read_online_key(self._own.chain.online_keys[0])
        state = OnlineState(claim.not_before, claim.not_after, statement.signed_by(signer.public), files.next())
        match online_step(state, now):
            case "prepare":
                files.prepare(self._zone, self._settings.node.name, signer, now, keys.online_days)
                files.clear(now)
            case "use" if state.following is not None:
                files.use(state.following.key_id)

    async def _fetch(self) -> None:
        try:
            found = await fetch(self._settings, self._settings.keys.parent, None)
        except _EXPECTED as error:
            self._trouble("fetch", "the chain could not be fetched from the parent", error)
            return
        self._well("fetch")
        if found.changed:
            self._log.info("delegation renewed by the parent", ends=found.zone.not_after)

    async def _renew_children(self, signer: SigningKey, now: int) -> None:
        host, port = self._registry
        anchor = TrustAnchor.parse(*read_anchor(self._settings.path("anchor.toml")))
        try:
            async with RegistryClient(reachable(host), port, anchor=anchor, key=signer, timeout=20.0) as client:
                days = self._settings.keys.delegation_days
                async for child, serial, statement in client.delegations():
                    following = statement and renewal(statement, serial, client.zone, signer, days, now)
                    if following:
                        await client.delegate(following.sign(signer))
                        self._log.info("delegation renewed", child=child, serial=following.serial,
                                       ends=following.not_after)  # fmt: skip
        except _EXPECTED as error:
            # The registry may just be taking up the key that signs them; an hour would be long to wait.
            self._children_at = now + AGAIN_SECONDS
            self._trouble("children", "delegations could not be renewed", error)
        else:
            self._well("children")

    def _remind(self, now: int) -> None:
        facts = NodeFacts("", self._zone, "", self._own.chain, own=self._own)
        for rule, days in facts.concerns(now):
            self._log.warning(rule.en.format(days=days), rule=rule.name)

    def _trouble(self, what: str, sentence: str, error: Exception) -> None:
        """Say what went wrong, once while it stays the same."""
        reason = str(error)
        if self._said.get(what) != reason:
            self._said[what] = reason
            self._log.warning(sentence, reason=reason)

    def _well(self, what: str) -> None:
        self._said.pop(what, None)
