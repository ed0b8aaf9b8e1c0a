"""Who may report for a zone, and what becomes of a report. Pure: statements, rows and the clock are arguments.

1. This node has delegated just that zone, and has not revoked it.
2. The delegation is valid now.
3. The reporter shows an online key's statement for the zone, signed by a key that the delegation names.
4. The online key is valid now.
5. Its holder signs this node's challenge, which serves once.
6. A report is about the zone that was proven.
7. A number above the last is new; numbers that are passed over are counted as missing.
8. A number up to the last is a duplicate, and a success, where that very report is kept under its hour and number;
   any other content under a used number is refused, naming the last number and hour, so that the reporter goes on
   behind them.

A statement that this node holds itself needs no chain: its own registry checked it when it was stored.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import Refused, Rule
from protocol.reports import Report
from protocol.signatures import PublicKey
from protocol.statements import Delegation, OnlineKey, Unverified, read_delegation
from protocol.status import Status

NOT_DELEGATED: Final = Rule(
    "report.not-delegated",
    Status.NOT_PERMITTED,
    "this node has not delegated '{zone}', or has revoked it; it takes reports from its own children only",
    "本节点没有授权“{zone}”或已撤销授权，只接收直接下级的统计报告",
)
NOT_VALID: Final = Rule(
    "report.not-valid-now",
    Status.NOT_PERMITTED,
    "the {what} of '{zone}' is not valid now (from {since} to {until}, seconds since 1970); renew it",
    "“{zone}”的{what}当前无效（有效期 {since} 至 {until}，Unix 秒），请更新",
)
NOT_SIGNED: Final = Rule(
    "report.not-signed",
    Status.NOT_PERMITTED,
    "the online key shown for '{zone}' is not signed by a key that its delegation names",
    "为“{zone}”出示的在线密钥不是由其授权所列的密钥签署的",
)
NO_PROOF: Final = Rule(
    "report.no-proof",
    Status.NOT_AUTHENTICATED,
    "the signature does not prove the online key that was shown; ask for another challenge",
    "签名不能证明所出示的在线密钥，请重新获取挑战",
)
NOT_PROVEN: Final = Rule(
    "report.not-proven",
    Status.NOT_AUTHENTICATED,
    "prove first that you speak for a zone: show its online key, then sign the challenge",
    "请先证明代表某一区域：出示其在线密钥并对挑战签名",
)
OTHER_ZONE: Final = Rule(
    "report.other-zone",
    Status.NOT_PERMITTED,
    "a report of '{zone}' came from the node of '{proven}'",
    "“{proven}”的节点提交了“{zone}”的统计报告",
)
USED_NUMBER: Final = Rule(
    "report.used-number",
    Status.CONFLICT,
    "report {sequence} is not the one that is kept under its number; the last was {last}, of the hour that ended at "
    "{end} (seconds since 1970). Go on behind it",
    "编号为 {sequence} 的统计报告与已保存的不同；最近一份编号为 {last}，其时段结束于 {end}（Unix 秒），请接续编号",
)


def check_key(shown: Unverified[OnlineKey], delegation: bytes | None, now: int) -> PublicKey:
    """Rules 1 to 4: the key that its holder is to prove. ``delegation`` is what this node holds for the zone that
    the statement names, None where there is none. Raises :class:`Refused`."""
    claim = shown.claim
    granted = check_delegation(claim.zone, delegation, now)
    if not any(shown.signed_by(key) for key in granted.keys):
        raise Refused(NOT_SIGNED, Status.NOT_PERMITTED, zone=claim.zone)
    _check_window("online key", claim.zone, claim.not_before, claim.not_after, now)
    return claim.key


def check_delegation(zone: str, delegation: bytes | None, now: int) -> Delegation:
    """Rules 1 and 2. Raises :class:`Refused`."""
    if delegation is None:
        raise Refused(NOT_DELEGATED, Status.NOT_PERMITTED, zone=zone)
    granted = read_delegation(delegation).claim
    _check_window("delegation", zone, granted.not_before, granted.not_after, now)
    return granted


def is_new(report: Report, last: int, end: int, *, kept: bool) -> bool:
    """Rules 7 and 8: whether a report is new; False for a duplicate. ``last`` is the highest number of the zone so far
    (0: none) and ``end`` the end of its hour; ``kept`` says that just this report is kept. Raises :class:`Refused`."""
    if report.sequence > last:
        return True
    if kept:
        return False
    raise Refused(USED_NUMBER, Status.CONFLICT, sequence=report.sequence, last=last, end=end)


def _check_window(what: str, zone: str, since: int, until: int, now: int) -> None:
    if not since <= now <= until:
        raise Refused(NOT_VALID, Status.NOT_PERMITTED, what=what, zone=zone, since=since, until=until)
