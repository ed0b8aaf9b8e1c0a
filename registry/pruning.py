"""When the feed is pruned: once every follower has what goes, and much has come since."""

from __future__ import annotations

from typing import Final

import structlog

from protocol.errors import StoreError
from registry.committer import Committer
from registry.followers import Followers
from registry.store.interface import Store

LEAST_PRUNED: Final = 10
"""A feed is pruned when a tenth of what is kept could go: pruning writes a range for each prefix, however little it
takes away."""


class FeedPruner:
    """Prunes a zone's feed below what its followers have, less ``keep`` changes for those that are not registered.
    Without followers nothing is pruned."""

    def __init__(
        self, store: Store, committer: Committer, followers: Followers, keep: int, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._store = store
        self._committer = committer
        self._followers = followers
        self._keep = keep
        self._log = log
        self._pruned = 0
        self._busy = False

    def look(self) -> None:
        """Prune some where it is time; to be called now and then."""
        held = self._followers.least_held
        if held is None or self._busy:
            return
        below = held - self._keep
        if below - self._pruned > self._keep // LEAST_PRUNED:
            self._busy = True
            self._committer.do(lambda: self._prune(below))

    def _prune(self, below: int) -> None:
        try:
            pruned = self._store.prune(below)
        except StoreError as error:  # a full disk, as of now
            self._log.warning("the feed could not be pruned", reason=str(error))
        else:
            if pruned > self._pruned:
                self._log.info("feed pruned", below=pruned)
            self._pruned = max(self._pruned, pruned)
        self._busy = False
