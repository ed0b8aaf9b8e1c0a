"""Gates for whoever may write below some prefixes."""

from __future__ import annotations

from protocol.errors import Refused
from protocol.status import Status
from registry.gate import Gate
from registry.rights import NOT_AUTHENTICATED
from registry.store.callers.permissions import Caller, Role


def open_gate(*prefixes: str) -> Gate:
    """The gate of a writer below these prefixes; of nobody, where there are none."""

    def caller() -> Caller:
        if not prefixes:
            raise Refused(NOT_AUTHENTICATED, Status.NOT_AUTHENTICATED)
        return Caller("writer", frozenset({Role.ENTERPRISE_WRITER}), prefixes)

    return Gate(caller, lambda _: None, lambda: 0.0)
