"""The rule for one write, given what is there."""

from __future__ import annotations

from protocol.records import NO_VALUES_BYTES, Head, State, encode_body
from protocol.status import Status
from registry.store.writes import ABSENT, ANY, Outcome, Write


def decide(write: Write, current: Head | None, now: int) -> tuple[Outcome, bytes | None]:
    """What becomes of ``write``: its outcome, and the new body where something changes.

    Versions go on counting over a withdrawal, so that an old version number never comes back.
    """
    version = current.version if current else 0
    active = current is not None and current.state is State.ACTIVE
    if write.values is None:
        return _withdraw(write, version, active, now)
    if active and current is not None and current.values == write.values:
        return Outcome(Status.OK, version, changed=False), None
    if active and write.compare == ABSENT:
        return Outcome(Status.EXISTS, version, changed=False), None
    if write.compare not in (ANY, ABSENT, version):
        return Outcome(Status.CONFLICT if version else Status.NOT_FOUND, version, changed=False), None
    body = encode_body(version + 1, State.ACTIVE, now, write.values)
    return Outcome(Status.OK, version + 1, changed=True), body


def _withdraw(write: Write, version: int, active: bool, now: int) -> tuple[Outcome, bytes | None]:
    if not version:
        return Outcome(Status.NOT_FOUND, 0, changed=False), None
    if not active:
        return Outcome(Status.OK, version, changed=False), None
    if write.compare not in (ANY, version):
        return Outcome(Status.CONFLICT, version, changed=False), None
    body = encode_body(version + 1, State.WITHDRAWN, now, NO_VALUES_BYTES)
    return Outcome(Status.OK, version + 1, changed=True), body
