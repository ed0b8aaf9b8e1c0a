"""Who may do what: one table of roles and operations. Pure.

What a role does not have in the table it may not do. *Below* means below the caller's own prefixes: the zone for the
node's staff and its own keys, the enterprise's prefixes for its identities, and never more than the credential that was
shown is good for. *Self* means about the caller itself.

A node administrator runs the node, and does not review applications: who allots prefixes is not who approves of the
enterprises that get them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from protocol.errors import Refused, Rule
from protocol.identifiers import covers
from protocol.status import Status

NOT_ALLOWED: Final = Rule(
    "permission.not-allowed",
    Status.NOT_PERMITTED,
    "'{caller}' may not do this ({operation}) at '{prefix}'; an administrator gives roles, and credentials their scope",
    "“{caller}”无权在“{prefix}”执行此操作（{operation}），请由管理员授予相应角色或凭证",
)
ENDED: Final = Rule(
    "permission.ended",
    Status.NOT_AUTHENTICATED,
    "the credential of '{caller}' was valid until {until} (seconds since 1970); have another one issued",
    "“{caller}”的凭证已于 {until}（Unix 秒）失效，请重新签发",
)


class Role(StrEnum):
    """What an identity is. The first two are staff of the node, the others belong to an enterprise."""

    NODE_ADMINISTRATOR = "node-administrator"
    AUDITOR = "auditor"
    ENTERPRISE_ADMINISTRATOR = "enterprise-administrator"
    ENTERPRISE_WRITER = "enterprise-writer"
    READER = "reader"


STAFF: Final = frozenset({Role.NODE_ADMINISTRATOR, Role.AUDITOR})


class Operation(StrEnum):
    """What can be allowed. Names are stable: credentials are scoped by them, and the audit log has them."""

    ENTERPRISE_APPLY = "enterprise.apply"
    ENTERPRISE_REVIEW = "enterprise.review"
    ENTERPRISE_READ = "enterprise.read"
    PREFIX_ALLOT = "prefix.allot"
    PREFIX_OPEN = "prefix.open"
    """Host a prefix here, or let it be served by a node of its own."""
    PREFIX_SUSPEND = "prefix.suspend"
    """Suspend and resume."""
    PREFIX_CLOSE = "prefix.close"
    PREFIX_TRANSFER = "prefix.transfer"
    IDENTITY_READ = "identity.read"
    IDENTITY_CHANGE = "identity.change"
    GROUP_READ = "group.read"
    GROUP_CHANGE = "group.change"
    CREDENTIAL_ISSUE = "credential.issue"
    CREDENTIAL_REVOKE = "credential.revoke"
    RECORD_READ = "record.read"
    """Records whole, withdrawn ones and values for few included."""
    RECORD_WRITE = "record.write"
    """Records and series, minting included."""
    TEMPLATE_READ = "template.read"
    TEMPLATE_CHANGE = "template.change"
    POLICY_READ = "policy.read"
    POLICY_CHANGE = "policy.change"
    """How many earlier versions of records are kept, and for how long."""
    DELEGATION_CHANGE = "delegation.change"
    STATISTICS_READ = "statistics.read"
    FEED_READ = "feed.read"
    AUDIT_READ = "audit.read"


class Scope(Enum):
    """Where a role may do something."""

    BELOW = "below"
    SELF = "self"


_OF_EVERY_MEMBER: Final = {
    Operation.ENTERPRISE_READ: Scope.BELOW,
    Operation.GROUP_READ: Scope.BELOW,
    Operation.RECORD_READ: Scope.BELOW,
    Operation.TEMPLATE_READ: Scope.BELOW,
    Operation.POLICY_READ: Scope.BELOW,
    Operation.IDENTITY_READ: Scope.SELF,
    Operation.CREDENTIAL_ISSUE: Scope.SELF,
    Operation.CREDENTIAL_REVOKE: Scope.SELF,
}

TABLE: Final[Mapping[Role, Mapping[Operation, Scope]]] = {
    Role.NODE_ADMINISTRATOR: dict.fromkeys(
        (operation for operation in Operation if operation is not Operation.ENTERPRISE_REVIEW), Scope.BELOW
    ),
    Role.AUDITOR: {
        Operation.ENTERPRISE_REVIEW: Scope.BELOW,
        Operation.ENTERPRISE_READ: Scope.BELOW,
        Operation.PREFIX_SUSPEND: Scope.BELOW,
        Operation.IDENTITY_READ: Scope.BELOW,
        Operation.GROUP_READ: Scope.BELOW,
        Operation.TEMPLATE_READ: Scope.BELOW,
        Operation.POLICY_READ: Scope.BELOW,
        Operation.STATISTICS_READ: Scope.BELOW,
        Operation.AUDIT_READ: Scope.BELOW,
        Operation.CREDENTIAL_ISSUE: Scope.SELF,
        Operation.CREDENTIAL_REVOKE: Scope.SELF,
    },
    Role.ENTERPRISE_ADMINISTRATOR: _OF_EVERY_MEMBER
    | dict.fromkeys(
        (
            Operation.IDENTITY_READ,
            Operation.IDENTITY_CHANGE,
            Operation.GROUP_CHANGE,
            Operation.CREDENTIAL_ISSUE,
            Operation.CREDENTIAL_REVOKE,
            Operation.RECORD_WRITE,
            Operation.TEMPLATE_CHANGE,
            Operation.POLICY_CHANGE,
        ),
        Scope.BELOW,
    ),
    Role.ENTERPRISE_WRITER: _OF_EVERY_MEMBER | {Operation.RECORD_WRITE: Scope.BELOW},
    Role.READER: _OF_EVERY_MEMBER,
}


class Caller(NamedTuple):
    """Who asks, as its credential says.

    ``name`` is that of an identity, or a key as text. ``prefixes`` is what is the caller's own, within what the
    credential is good for; ``operations`` are those of the credential, None for all; ``until`` is when it ends, in
    seconds since 1970, None for never; ``limits`` are the prefixes that it is limited to, whosever they are, none
    where it is not.
    """

    name: str
    roles: frozenset[Role]
    prefixes: tuple[str, ...]
    operations: frozenset[Operation] | None = None
    until: int | None = None
    limits: tuple[str, ...] = ()


def allows(caller: Caller, operation: Operation, prefix: str, now: int, about: str = "") -> bool:
    """Whether ``caller`` may carry out ``operation`` at ``prefix`` (normal form), ``about`` an identity where it is
    about one."""
    if caller.until is not None and now >= caller.until:
        return False
    if caller.operations is not None and operation not in caller.operations:
        return False
    scopes = {TABLE[role].get(operation) for role in caller.roles}
    if Scope.SELF in scopes and about and about == caller.name:
        return True
    return Scope.BELOW in scopes and any(covers(own, prefix) for own in caller.prefixes)


def check(caller: Caller, operation: Operation, prefix: str, now: int, about: str = "") -> None:
    """Raise :class:`Refused` where the table does not allow it."""
    if allows(caller, operation, prefix, now, about):
        return
    check_lasting(caller, now)
    raise Refused(NOT_ALLOWED, NOT_ALLOWED.status, caller=caller.name, operation=str(operation), prefix=prefix)


def check_lasting(caller: Caller, now: int) -> None:
    """Raise :class:`Refused` where the caller's credential has ended."""
    if caller.until is not None and now >= caller.until:
        raise Refused(ENDED, ENDED.status, caller=caller.name, until=caller.until)


def where(caller: Caller, operation: Operation, now: int) -> tuple[str, ...]:
    """The prefixes at and below which ``caller`` may carry out ``operation``."""
    return tuple(prefix for prefix in caller.prefixes if allows(caller, operation, prefix, now))


def within(prefixes: Iterable[str], limits: Iterable[str]) -> tuple[str, ...]:
    """What lies below one of ``prefixes`` and one of ``limits``, as prefixes."""
    limits = tuple(limits)
    common = {
        one if covers(limit, one) else limit
        for one in prefixes
        for limit in limits
        if covers(limit, one) or covers(one, limit)
    }
    return tuple(sorted(common))
