"""Referrals: what a node answers for a prefix that it has delegated.

::

    payload of REFERRAL = [delegation statement, ttl]

The statement is the parent's, signed by its zone key, and says where to go on; ``ttl`` is for how many seconds it may
be remembered. What it claims is verified by :meth:`protocol.trust.Verifier.refer`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.errors import MessageError, Rule
from protocol.limits import DELEGATION_TTL_SECONDS, MAX_STATEMENT_BYTES
from protocol.statements import read_delegation
from protocol.status import Status

MALFORMED: Final = Rule(
    "referral.malformed",
    Status.BAD_REQUEST,
    "a referral is [delegation statement, ttl in seconds]",
    "转介应为 [授权声明, 以秒为单位的 ttl]",
)


class Cut(NamedTuple):
    """Where a node's zone is cut: a prefix that it has delegated, by this statement with this serial."""

    child: str
    serial: int
    statement: bytes


class Referral(NamedTuple):
    """A referral as it came, not verified."""

    statement: bytes
    ttl: int


def referral_payload(statement: bytes, now: int) -> list[object]:
    """The payload for a delegation that the node holds, at ``now`` (seconds since 1970)."""
    left = read_delegation(statement).claim.not_after - now
    return [statement, max(0, min(DELEGATION_TTL_SECONDS, left))]


def read_referral(payload: object) -> Referral:
    """Check the payload of a REFERRAL to be one. Raises :class:`MessageError`."""
    match payload:
        case (bytes(statement), int(ttl)) if len(statement) <= MAX_STATEMENT_BYTES and 0 <= ttl < 1 << 31:
            return Referral(statement, min(ttl, DELEGATION_TTL_SECONDS))
    raise MessageError(MALFORMED)
