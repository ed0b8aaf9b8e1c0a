"""Which delegations a zone gives, and which requests for them it takes: rules without a store, a socket or a clock.

The zone key alone signs delegations, and it need not be on the node; so the registry judges a signed statement as any
stranger would. That the serial counts on is the version of the record it is kept in: whoever is late is told the
current one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.errors import Refused, Rule
from protocol.identifiers import covers, normal_prefix_text
from protocol.limits import MAX_CHAIN, MAX_REQUEST_AGE_SECONDS
from protocol.node import OwnKeys
from protocol.signatures import PublicKey
from protocol.statements import Delegation, DelegationRequest, read_delegation, read_request
from protocol.status import Status
from registry.codes import asking_bytes


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"delegating.{name}", status, en, zh)


NO_ZONE_KEY: Final = _rule(
    "no-zone-key",
    Status.NOT_PERMITTED,
    "this node does not know its zone's public key; write it under [keys] zone",
    "本节点不知道其区域的公钥，请写入 [keys] zone",
)
OTHER_PARENT: Final = _rule(
    "other-parent",
    Status.BAD_REQUEST,
    "the delegation is by '{parent}', and this node's zone is '{zone}'",
    "该授权由“{parent}”发出，而本节点的区域是“{zone}”",
)
NOT_BELOW: Final = _rule(
    "not-below",
    Status.BAD_REQUEST,
    "'{child}' does not lie below this node's zone '{zone}'",
    "“{child}”不在本节点区域“{zone}”之下",
)
NOT_NORMAL: Final = _rule(
    "not-normal",
    Status.BAD_REQUEST,
    "'{child}' is not in normal form; write '{normal}'",
    "“{child}”不是规范形式，应写为“{normal}”",
)
BAD_SIGNATURE: Final = _rule(
    "bad-signature",
    Status.NOT_VERIFIED,
    "the delegation of '{child}' is signed by none of the zone's keys",
    "“{child}”的授权不是由本区域的密钥签署的",
)
BELOW_A_CUT: Final = _rule(
    "below-a-cut",
    Status.REFERRAL,
    "'{child}' lies below '{above}', which is delegated: its delegation is for the node there to give",
    "“{child}”位于已授权的“{above}”之下，应由该处的节点授权",
)
TOO_DEEP: Final = _rule(
    "too-deep",
    Status.BAD_REQUEST,
    "'{child}' would be {depth} delegations below the trust anchor; at most {limit} are allowed",
    "“{child}”距信任锚将有 {depth} 级授权，超过上限 {limit}",
)
NO_ADDRESS: Final = _rule(
    "no-address",
    Status.BAD_REQUEST,
    "'{child}' has no address; name at least one that serves TCP",
    "“{child}”没有地址，请至少提供一个 TCP 服务地址",
)
NO_TIME: Final = _rule(
    "no-time",
    Status.BAD_REQUEST,
    "the delegation of '{child}' would be valid from {since} to {until} (seconds since 1970), and now is {now}",
    "“{child}”的授权有效期为 {since} 至 {until}（Unix 秒），而当前时间为 {now}",
)
OUTLIVES: Final = _rule(
    "outlives",
    Status.BAD_REQUEST,
    "the delegation of '{child}' would last until {until}, longer than this zone's own, which ends at {ends} "
    "(seconds since 1970)",
    "“{child}”的授权将持续至 {until}，超过本区域自身授权的期限 {ends}（Unix 秒）",
)
OTHER_SERIAL: Final = _rule(
    "serial",
    Status.CONFLICT,
    "the delegation of '{child}' has the serial {serial} now; the next one has {next}, not {given}",
    "“{child}”的授权当前序号为 {serial}，下一个应为 {next}，而不是 {given}",
)
NO_CODE: Final = _rule(
    "no-code",
    Status.NOT_PERMITTED,
    "there is no valid code for '{child}'; have one made with 'biaoshi delegate code' at the parent",
    "“{child}”没有有效的一次性口令，请在上级用 biaoshi delegate code 生成",
)
WRONG_CODE: Final = _rule(
    "wrong-code",
    Status.NOT_PERMITTED,
    "this is not the code for '{child}'",
    "这不是“{child}”的一次性口令",
)
REQUEST_AGE: Final = _rule(
    "request-age",
    Status.BAD_REQUEST,
    "the request was made at {made}, and now is {now} (seconds since 1970): make it anew, or set the clock right",
    "该申请的制作时间为 {made}，而当前时间为 {now}（Unix 秒）：请重新制作，或校正时钟",
)


class Parent(NamedTuple):
    """The zone that delegates: its keys, when its own delegation ends, how many delegations it is below the anchor."""

    zone: str
    keys: tuple[PublicKey, ...]
    ends: int
    depth: int

    @classmethod
    def of(cls, zone: str, own: OwnKeys) -> Parent:
        """What a node's own keys and chain say."""
        return cls(zone, own.zone_keys, own.delegation_ends, len(own.chain.delegations))


class Standing(NamedTuple):
    """What the store says about a child: its last delegation's serial (0: never one) and statement (None: none, or
    revoked), and the delegated prefix above it, if any."""

    serial: int
    statement: bytes | None
    above: str | None


class Code(NamedTuple):
    """A one-time code as the parent keeps it; ``until`` is in seconds since 1970."""

    key: PublicKey
    until: int


def judge_delegation(statement: bytes, parent: Parent, standing: Standing, now: int) -> Delegation:
    """The delegation that a signed statement makes, to be kept as the next version. Raises :class:`Refused`, or
    :class:`~protocol.errors.InvalidInput` where it is no statement."""
    unverified = read_delegation(statement)
    claim = unverified.claim
    child = claim.child
    if not parent.keys:
        raise Refused(NO_ZONE_KEY, NO_ZONE_KEY.status)
    if claim.parent != parent.zone:
        raise Refused(OTHER_PARENT, OTHER_PARENT.status, parent=claim.parent, zone=parent.zone)
    judge_child(child, parent, standing)
    if not any(unverified.signed_by(key) for key in parent.keys):
        raise Refused(BAD_SIGNATURE, BAD_SIGNATURE.status, child=child)
    if not any(address.tcp_port for address in claim.addresses):
        raise Refused(NO_ADDRESS, NO_ADDRESS.status, child=child)
    if claim.not_after < claim.not_before or claim.not_after < now:
        since, until = claim.not_before, claim.not_after
        raise Refused(NO_TIME, NO_TIME.status, child=child, since=since, until=until, now=now)
    if claim.not_after > parent.ends:
        raise Refused(OUTLIVES, OUTLIVES.status, child=child, until=claim.not_after, ends=parent.ends)
    if claim.serial != standing.serial + 1:
        following = standing.serial + 1
        raise Refused(
            OTHER_SERIAL, OTHER_SERIAL.status, child=child, serial=standing.serial, next=following, given=claim.serial
        )
    return claim


def judge_child(child: str, parent: Parent, standing: Standing) -> None:
    """Whether a zone may delegate a prefix at all. Raises :class:`Refused`,
    :class:`~protocol.errors.IdentifierError`."""
    normal = normal_prefix_text(child)
    if normal != child:
        raise Refused(NOT_NORMAL, NOT_NORMAL.status, child=child, normal=normal)
    if child == parent.zone or not covers(parent.zone, child):
        raise Refused(NOT_BELOW, NOT_BELOW.status, child=child, zone=parent.zone)
    if standing.above is not None:
        raise Refused(BELOW_A_CUT, BELOW_A_CUT.status, child=child, above=standing.above)
    if parent.depth + 1 > MAX_CHAIN:
        raise Refused(TOO_DEEP, TOO_DEEP.status, child=child, depth=parent.depth + 1, limit=MAX_CHAIN)


def judge_request(
    statement: bytes, signature: bytes | None, code: Code | None, parent: Parent, standing: Standing, now: int
) -> DelegationRequest:
    """A request that may wait for the zone key: with a code it is signed by the code's key; without one it must be by a
    key that the child's delegation names already. Raises :class:`Refused`, :class:`~protocol.errors.NotVerified`,
    :class:`~protocol.errors.InvalidInput`."""
    request = read_request(statement)
    child = request.child
    judge_child(child, parent, standing)
    if not any(address.tcp_port for address in request.addresses):
        raise Refused(NO_ADDRESS, NO_ADDRESS.status, child=child)
    if abs(now - request.made) > MAX_REQUEST_AGE_SECONDS:
        raise Refused(REQUEST_AGE, REQUEST_AGE.status, made=request.made, now=now)
    if signature is None:
        if standing.statement is None or request.keys[0] not in read_delegation(standing.statement).claim.keys:
            raise Refused(NO_CODE, NO_CODE.status, child=child)
    elif code is None or now > code.until:
        raise Refused(NO_CODE, NO_CODE.status, child=child)
    elif not code.key.verifies(signature, asking_bytes(statement)):
        raise Refused(WRONG_CODE, WRONG_CODE.status, child=child)
    return request
