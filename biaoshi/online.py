"""The files of a node's online keys: the one in use, the next, and statements for those before.

In use is the key in ``keys/online.pem``; its statement is found by the key that it names, so that one rename, of the
secret key, puts another in use, and a node that starts at any moment has a key and its statement. Beside these lie,
with the key's id in their names: the next key with its statement, shown before it is used; and statements of those
before, shown until they end, since answers sealed by them go on being verified.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from config.keyfiles import make_seed, other_statements, statement_beside, write_secret, write_whole
from protocol.errors import BiaoshiError
from protocol.signatures import SigningKey
from protocol.statements import OnlineKey, read_online_key, window

_DROP_SECONDS: Final = 86_400
"""How long a statement lies beside after its end."""


class Next(NamedTuple):
    """A key that is shown and not yet in use. ``shown_since`` is in seconds since 1970."""

    key_id: bytes
    shown_since: int


class OnlineKeys:
    """The files at the paths that ``[keys]`` names. Calls raise :class:`OSError` or
    :class:`~config.keyfiles.BadKeyFile` where a file cannot be read or written."""

    def __init__(self, online: Path, statement: Path) -> None:
        self.online = online
        self.statement = statement

    def make_first(self, zone: str, node: str, zone_key: SigningKey, now: int, days: float) -> OnlineKey:
        """Make the first key of a new node."""
        seed = make_seed()
        claim = _claim(zone, node, seed, now, days)
        write_secret(self.online, seed)
        write_whole(self.statement, claim.sign(zone_key))
        return claim

    def prepare(self, zone: str, node: str, zone_key: SigningKey, now: int, days: float) -> OnlineKey:
        """Make the next key, to be shown and not yet used."""
        seed = make_seed()
        claim = _claim(zone, node, seed, now, days)
        key_id = claim.key.id.hex()
        write_whole(statement_beside(self.statement, key_id), claim.sign(zone_key))
        write_secret(statement_beside(self.online, key_id), seed)
        return claim

    def next(self) -> Next | None:
        """The key that was prepared, the latest where there are several."""
        prepared = [
            Next(bytes.fromhex(path.stem.rpartition("-")[2]), int(path.stat().st_mtime))
            for path in other_statements(self.online)
        ]
        return max(prepared, key=lambda one: one.shown_since, default=None)

    def use(self, key_id: bytes) -> None:
        """Put a prepared key in use. Whatever moment it is stopped at, it may be called again."""
        with contextlib.suppress(FileNotFoundError, BiaoshiError):  # one that is lost or damaged need not be shown
            now_used = self.statement.read_bytes()
            before = read_online_key(now_used).claim.key.id
            if before != key_id:
                write_whole(statement_beside(self.statement, before.hex()), now_used)
        os.replace(statement_beside(self.online, key_id.hex()), self.online)
        beside = statement_beside(self.statement, key_id.hex())
        write_whole(self.statement, beside.read_bytes())
        beside.unlink()
        for other in other_statements(self.online):  # prepared earlier, and overtaken
            other.unlink()

    def clear(self, now: int) -> None:
        """Remove statements that ended long ago, and what else was left of other keys."""
        for path in other_statements(self.statement):
            try:
                ends = read_online_key(path.read_bytes()).claim.not_after
            except BiaoshiError:
                continue  # not ours
            if ends + _DROP_SECONDS < now:
                path.unlink()
                statement_beside(self.online, path.stem.rpartition("-")[2]).unlink(missing_ok=True)


def _claim(zone: str, node: str, seed: bytes, now: int, days: float) -> OnlineKey:
    return OnlineKey(zone, node, SigningKey(seed).public, *window(now, days))
