"""Whether this store was put back to an earlier state, as those say who hold copies of its zone. No sockets.

What such a store registers would take numbers that its copies know for other changes, and it answers without what was
registered since. So nothing is written while a copy has more, and nothing answered (``resolver.authority``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from protocol.errors import BiaoshiError, Refused, Rule, StoreError
from protocol.status import Status
from registry.store.feed import BEGINNING, DIVERGED, PRUNED, Position
from registry.store.interface import Reader

PUT_BACK: Final = Rule(
    "registry.put-back",
    Status.DIVERGED,
    "nothing is written here: {who} has changes of this zone that are not here, so this store was put back to an "
    "earlier state. Restore it with 'biaoshi restore'; or, to give those changes up, have the copy begin anew there "
    "with 'biaoshi custody again'",
    "本节点停止写入：{who} 持有本区域的变更，而此处没有，说明本存储曾被回退到更早的状态。"
    "请用 biaoshi restore 恢复；若放弃这些变更，请在副本处用 biaoshi custody again 让其重新开始",
)


def has_all_of(store: Reader, end: Position, seen: Position) -> bool:
    """Whether a store's feed has the place where a copy ends, and what that copy has seen of the feed. Raises
    :class:`StoreError` where it cannot be read."""
    cursor = None if end == BEGINNING else end.cursor()
    try:
        store.changes(cursor, 1, None if seen == BEGINNING else seen.cursor())
    except StoreError as error:
        if error.rule is DIVERGED:
            return False
        if error.rule is PRUNED:  # behind it, and far
            return True
        raise
    return True


class PutBack:
    """The copies that have said that they have more, by the names of those who hold them; ``changed`` is told of each
    change, and who they are then."""

    def __init__(self, changed: Callable[[Iterable[str]], None] = lambda who: None) -> None:
        self._who: dict[str, None] = {}
        self._changed = changed

    def has_more(self, who: str) -> bool:
        """Somebody's copy has changes that are not here; whether that is news."""
        new = who not in self._who
        self._who[who] = None
        if new:
            self._changed(self._who)
        return new

    def agrees(self, who: str) -> None:
        """Somebody's copy is one of this store."""
        if who in self._who:
            del self._who[who]
            self._changed(self._who)

    def check(self) -> None:
        """Raises :class:`Refused` while a copy has more."""
        if self._who:
            raise self.refusal

    @property
    def refusal(self) -> BiaoshiError:
        """Why nothing is written."""
        return Refused(PUT_BACK, PUT_BACK.status, who=", ".join(self._who))

    def status(self) -> dict[str, object]:
        """For STATUS: whose copies have more."""
        return {"put_back": ", ".join(self._who)} if self._who else {}
