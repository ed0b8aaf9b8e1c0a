"""The callers for whom a node's configuration speaks: the keys in ``[[registry.writers]]`` and the zone's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from protocol.identifiers import covers
from protocol.signatures import PublicKey
from registry.store.callers.permissions import Caller, Operation, Role

WRITERS_OPERATIONS: Final = frozenset({
    Operation.RECORD_READ, Operation.RECORD_WRITE, Operation.TEMPLATE_READ, Operation.TEMPLATE_CHANGE,
    Operation.POLICY_READ, Operation.POLICY_CHANGE,
})  # fmt: skip
"""What a key of the configuration may do that is not for the whole zone: records, and what they consist of."""


def configured(
    writers: Mapping[PublicKey, Iterable[str]], zone: str, zone_keys: Iterable[PublicKey]
) -> dict[PublicKey, Caller]:
    """The callers by key. ``writers`` have the prefixes of each, in normal form; what may write the whole zone is a
    node administrator, and the zone's own keys are."""
    callers = {key: _caller(key, tuple(prefixes), zone) for key, prefixes in writers.items()}
    return callers | {key: _caller(key, (zone,), zone) for key in zone_keys}


def _caller(key: PublicKey, prefixes: tuple[str, ...], zone: str) -> Caller:
    if any(covers(one, zone) for one in prefixes):
        return Caller(str(key), frozenset({Role.NODE_ADMINISTRATOR}), prefixes)
    return Caller(str(key), frozenset({Role.ENTERPRISE_ADMINISTRATOR}), prefixes, WRITERS_OPERATIONS)
