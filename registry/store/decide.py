"""The rule for one write, given what is there."""

from __future__ import annotations

from protocol.records import NO_VALUES_BYTES, Head, State, encode_body
from protocol.status import Status
from registry.store.writes import ABSENT, ANY, RESUME, SUSPEND, Outcome, Write


def decide(write: Write, current: Head | None, now: int) -> tuple[Outcome, bytes | None]:
    """What becomes of ``write``: its outcome, and the new body where something changes.

    Versions go on counting over a withdrawal, so that an old version number never comes back. What is suspended is
    still there: it may be updated and withdrawn, and stays suspended until it is resumed."""
    version = current.version if current else 0
    if current is None or current.state is State.WITHDRAWN:
        return _without_record(write, version, now)
    if write.values is None:
        return _change(write, current, State.WITHDRAWN, NO_VALUES_BYTES, now)
    if write.values in (SUSPEND, RESUME):
        state = State.SUSPENDED if write.values == SUSPEND else State.ACTIVE
        if current.state is state:
            return Outcome(Status.OK, version, changed=False), None
        return _change(write, current, state, current.values, now)
    if current.values == write.values:
        return Outcome(Status.OK, version, changed=False), None
    if write.compare == ABSENT:
        return Outcome(Status.EXISTS, version, changed=False), None
    return _change(write, current, current.state, write.values, now)


def becomes_shown(write: Write, current: Head | None) -> bool:
    """Whether what :func:`decide` has made a body of will be shown: an update does not resume what is suspended."""
    if write.values is None or write.values == SUSPEND:
        return False
    return write.values == RESUME or current is None or current.state is not State.SUSPENDED


def _without_record(write: Write, version: int, now: int) -> tuple[Outcome, bytes | None]:
    """Where nothing was ever registered, or was withdrawn."""
    if write.values is None:
        return Outcome(Status.OK if version else Status.NOT_FOUND, version, changed=False), None
    if write.values in (SUSPEND, RESUME):
        return Outcome(Status.WITHDRAWN if version else Status.NOT_FOUND, version, changed=False), None
    if write.compare not in (ANY, ABSENT, version):
        return Outcome(Status.CONFLICT if version else Status.NOT_FOUND, version, changed=False), None
    body = encode_body(version + 1, State.ACTIVE, now, write.values)
    return Outcome(Status.OK, version + 1, changed=True), body


def _change(write: Write, current: Head, state: State, values: bytes, now: int) -> tuple[Outcome, bytes | None]:
    if write.compare not in (ANY, current.version):
        return Outcome(Status.CONFLICT, current.version, changed=False), None
    body = encode_body(current.version + 1, state, now, values)
    return Outcome(Status.OK, current.version + 1, changed=True), body
