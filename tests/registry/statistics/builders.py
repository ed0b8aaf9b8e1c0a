"""What the tests of statistics build with: a top zone, children with keys and delegations, reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from protocol.reports import Report
from protocol.signatures import SigningKey
from protocol.statements import Delegation, OnlineKey
from registry.store.interface import Store
from registry.store.system import DELEGATIONS, system_write

NOW: Final = 1_700_000_000
TOP: Final = "88"


class Child:
    """A zone with its keys, and what makes it a child of the top."""

    def __init__(self, zone: str, seed: int = 1) -> None:
        self.zone = zone
        self.key = SigningKey(bytes([seed]) * 32)
        self.online = SigningKey(bytes([seed + 100]) * 32)

    def delegation(self, serial: int = 1, since: int = NOW - 100, until: int = NOW + 10**8) -> bytes:
        """The top's word for the zone."""
        claim = Delegation(TOP, self.zone, serial, since, until, (self.key.public,), ())
        return claim.sign(SigningKey(b"T" * 32))

    def statement(
        self,
        since: int = NOW - 100,
        until: int = NOW + 10**8,
        signer: SigningKey | None = None,
        zone: str | None = None,
    ) -> bytes:
        """The zone's word for its online key."""
        claim = OnlineKey(self.zone if zone is None else zone, "node", self.online.public, since, until)
        return claim.sign(signer or self.key)

    def delegate(self, store: Store, statement: bytes | None = None) -> None:
        """Put the delegation into the top's store."""
        contents = {"DELEGATION": statement or self.delegation()}
        store.apply([system_write(DELEGATIONS, self.zone, contents)], NOW)

    def revoke(self, store: Store) -> None:
        """Take it back."""
        store.apply([system_write(DELEGATIONS, self.zone, None)], NOW)


def report(
    sequence: int,
    zone: str = "88.118",
    start: int | None = None,
    counts: Mapping[str, int] | None = None,
    enterprises: Mapping[str, int] | None = None,
    **changes: object,
) -> Report:
    """A report of an hour of its own."""
    begin = NOW + 3_600 * sequence if start is None else start
    levels = dict(enterprises if enterprises is not None else {"88.118.1": sequence})
    made = Report(
        zone, begin, begin + 3_600, sequence, sequence, 0, 1, sum(levels.values()), levels, {"C34": 1},
        dict(counts if counts is not None else {"resolved.ok": sequence}),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)
