"""The parent's side: requests and renewals become signed delegations. Decisions alone; the caller has key and clock."""

from __future__ import annotations

from protocol.errors import Refused, Rule
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import Delegation, DelegationRequest, due, read_delegation, window
from protocol.status import Status
from protocol.trust import Zone

NOT_THE_ZONES_KEY = Rule(
    "delegate.other-key",
    Status.NOT_PERMITTED,
    "the key {key} is none of the zone '{zone}'; name its zone key with --zone-key",
    "密钥 {key} 不是区域“{zone}”的密钥，请用 --zone-key 指定区域密钥",
)
ZONE_ENDS = Rule(
    "delegate.zone-ends",
    Status.NOT_PERMITTED,
    "this zone's own delegation ends at {ends} (seconds since 1970); have it renewed first",
    "本区域自身的授权于 {ends}（Unix 秒）到期，请先续签",
)


def check_key(zone: Zone, key: PublicKey) -> None:
    """Check that a key may sign for a zone as it is verified now. Raises :class:`Refused`."""
    if key not in zone.keys:
        raise Refused(NOT_THE_ZONES_KEY, NOT_THE_ZONES_KEY.status, key=str(key), zone=zone.prefix)


def issued(request: DelegationRequest, serial: int, zone: Zone, days: float, now: int) -> Delegation:
    """The delegation that a request asks for: as the next after ``serial``, for so many days, and no longer than the
    zone's own. Raises :class:`Refused`."""
    since, until = _window(zone, days, now)
    return Delegation(zone.prefix, request.child, serial + 1, since, until, request.keys, request.addresses)


def renewed(claim: Delegation, serial: int, zone: Zone, days: float, now: int) -> Delegation:
    """The same delegation for another while, as the next after ``serial``. Raises :class:`Refused`."""
    since, until = _window(zone, days, now)
    return Delegation(zone.prefix, claim.child, serial + 1, since, until, claim.keys, claim.addresses)


def renewal(statement: bytes, serial: int, zone: Zone, signer: SigningKey, days: float, now: int) -> Delegation | None:
    """The renewal of a child's delegation, where it is time: a third is left, or another key of the zone signed it.
    None where it is not, or where nothing is to be gained as the zone's own delegation ends no later."""
    unverified = read_delegation(statement)
    claim = unverified.claim
    by_other = not unverified.signed_by(signer.public)
    if (now < due(claim.not_before, claim.not_after) and not by_other) or zone.not_after <= now:
        return None
    following = renewed(claim, serial, zone, days, now)
    return following if by_other or following.not_after > claim.not_after else None


def _window(zone: Zone, days: float, now: int) -> tuple[int, int]:
    since, until = window(now, days)
    if zone.not_after <= now:
        raise Refused(ZONE_ENDS, ZONE_ENDS.status, ends=zone.not_after)
    return since, min(until, zone.not_after)
