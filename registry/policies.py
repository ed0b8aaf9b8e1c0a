"""What can be asked about policies of history: how many earlier versions of records a prefix keeps, and how long."""

from __future__ import annotations

import msgspec

from protocol.identifiers import normal_prefix_text
from registry.changes import Change, Event
from registry.store.callers.permissions import Caller, Operation, check
from registry.store.history import Policy, find_policy, policy_write
from registry.store.shelf import Reading
from registry.store.system import POLICIES, read_system, system_identifier
from registry.store.writes import ABSENT


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that holds for a prefix: up to `versions` earlier versions of a record, each for `days` days after it
    gave way to the next. `own`: it was set for this very prefix, not for one above, nor by default."""

    prefix: str
    versions: int
    days: int
    own: bool


class Policies:
    """The policies in a store."""

    def __init__(self, store: Reading) -> None:
        self._store = store

    def policy(self, caller: Caller, prefix: str, now: int) -> PolicyView:
        """The policy that holds for a prefix."""
        prefix = normal_prefix_text(prefix)
        check(caller, Operation.POLICY_READ, prefix, now)
        return _view(prefix, find_policy(self._store.find, prefix), own=self._found(prefix)[1])

    def change(self, caller: Caller, prefix: str, policy: Policy | None, now: int) -> Change[PolicyView]:
        """Set the policy of a prefix; None: that of the prefix above holds again. Versions are let go as records
        change."""
        prefix = normal_prefix_text(prefix)
        check(caller, Operation.POLICY_CHANGE, prefix, now)
        version, there = self._found(prefix)
        holding = find_policy(self._store.find, prefix)
        if policy is None:
            after = find_policy(self._store.find, prefix.rpartition(".")[0]) if "." in prefix else Policy()
            result = _view(prefix, after, own=False)
        else:
            result = _view(prefix, policy, own=True)
        if there == (policy is not None) and (policy is None or policy == holding):
            return Change((), (), result)
        details = {} if policy is None else {"versions": str(policy.versions), "days": str(policy.days)}
        event = Event(caller.name, "policy.set" if policy else "policy.clear", 0, version + 1, details=details)
        return Change((event,), (policy_write(prefix, policy, version if there else ABSENT),), result)

    def _found(self, prefix: str) -> tuple[int, bool]:
        """Version of the record of a prefix's own policy, and whether it has one."""
        version, contents = read_system(self._store.find(system_identifier(POLICIES, prefix)))
        return version, contents is not None


def _view(prefix: str, policy: Policy, *, own: bool) -> PolicyView:
    return PolicyView(prefix=prefix, versions=policy.versions, days=policy.days, own=own)
