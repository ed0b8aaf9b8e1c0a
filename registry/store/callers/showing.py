"""Which values of a record a caller may see. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from protocol.identifiers import covers
from protocol.records import Permission, Shown, Value, in_public, readers_naming
from registry.store.callers.permissions import Caller, Operation, allows

IsIn = Callable[[str, str], bool]
"""Whether an identity is in a group, both by their identifiers."""


def shown_to(caller: Caller, prefix: str, now: int, is_in: IsIn) -> Shown:
    """What ``caller`` may see of the values of records of ``prefix`` (normal form).

    Who has RECORD_READ there sees values with ADMIN_READ whole. What a caller sees because it is named as a reader, it
    sees with those readers alone by whom it is named: who else may read it is not its concern. A credential that is
    not good for reading records, or for other prefixes only, shows what anybody may see.
    """
    if not _is_good(caller, prefix, now):
        return in_public
    administers = allows(caller, Operation.RECORD_READ, prefix, now)

    def shown(value: Value) -> Value | None:
        if value.public or (administers and value.permissions & Permission.ADMIN_READ):
            return value
        naming = readers_naming(value, caller.name, is_in) if value.readers else ()
        return msgspec.structs.replace(value, readers=naming) if naming else None

    return shown


def _is_good(caller: Caller, prefix: str, now: int) -> bool:
    """Whether the credential is good for reading records of ``prefix``, whosever it is."""
    return (
        (caller.until is None or now < caller.until)
        and (caller.operations is None or Operation.RECORD_READ in caller.operations)
        and (not caller.limits or any(covers(one, prefix) for one in caller.limits))
    )
