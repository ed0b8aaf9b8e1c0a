"""The life of an enterprise and of its prefixes: which step leads where. Pure.

::

    enterprise   apply → APPLIED ─ approve → APPROVED ─ close → CLOSED (apply begins anew)
                            └ refuse → REFUSED ─ apply → APPLIED

    prefix       allot → ALLOTTED ─ host → HOSTED ⇄ delegate/host ⇄ DELEGATED
                 ALLOTTED, HOSTED, DELEGATED ─ suspend → SUSPENDED ─ resume → what it was
                 HOSTED ─ transfer → TRANSFERRING ─ arrive → TRANSFERRED      (host: gives the transfer up)
                 any ─ close → CLOSED, for good: a prefix is never given twice
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from protocol.errors import Refused, Rule
from protocol.status import Status
from registry.enterprises.bodies import MAX_PREFIXES, Allotment, Enterprise, State
from registry.store.allotments import Stage


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"enterprise.{name}", status, en, zh)


NOT_NOW: Final = _rule(
    "not-now",
    Status.CONFLICT,
    "'{step}' is not possible for the enterprise {code}: it is {state}",
    "企业 {code} 当前状态为 {state}，不能执行“{step}”",
)
DUPLICATE: Final = _rule(
    "duplicate",
    Status.EXISTS,
    "the organisation with the credit code {code} has applied already; its application is {state}",
    "统一社会信用代码为 {code} 的组织已提交申请，当前状态为 {state}",
)
NO_ENTERPRISE: Final = _rule(
    "unknown",
    Status.NOT_FOUND,
    "there is no enterprise with the credit code {code} here",
    "本节点没有统一社会信用代码为 {code} 的企业",
)
TOO_MANY_PREFIXES: Final = _rule(
    "too-many-prefixes",
    Status.CONFLICT,
    "the enterprise {code} has {limit} prefixes, and no more are given",
    "企业 {code} 已有 {limit} 个前缀，不再分配",
)
HAS_PREFIXES: Final = _rule(
    "has-prefixes",
    Status.CONFLICT,
    "the enterprise {code} still has '{prefix}'; close its prefixes first",
    "企业 {code} 仍持有前缀“{prefix}”，请先关闭其前缀",
)
NOT_IN_STAGE: Final = Rule(
    "prefix.not-now",
    Status.CONFLICT,
    "'{step}' is not possible for the prefix '{prefix}': it is {stage}",
    "前缀“{prefix}”当前状态为 {stage}，不能执行“{step}”",
)
STILL_DELEGATED: Final = Rule(
    "prefix.still-delegated",
    Status.CONFLICT,
    "'{prefix}' is delegated to another node; revoke that first with 'biaoshi delegate revoke'",
    "“{prefix}”已授权给其他节点，请先用 biaoshi delegate revoke 撤销",
)
NOT_DELEGATED: Final = Rule(
    "prefix.not-delegated",
    Status.CONFLICT,
    "'{prefix}' is not delegated yet; issue the delegation to its node first, with 'biaoshi delegate issue'",
    "“{prefix}”尚未授权，请先用 biaoshi delegate issue 授权给目标节点",
)
HAS_RECORDS: Final = Rule(
    "prefix.has-records",
    Status.CONFLICT,
    "'{prefix}' has {count} records here, which would be cut off; transfer it instead",
    "“{prefix}”在本节点有 {count} 条记录，直接委托将无法解析，请改用迁移",
)

_REVIEWS: Final[Mapping[tuple[State | None, str], State]] = {
    (None, "apply"): State.APPLIED,
    (State.REFUSED, "apply"): State.APPLIED,
    (State.CLOSED, "apply"): State.APPLIED,
    (State.APPLIED, "approve"): State.APPROVED,
    (State.APPLIED, "refuse"): State.REFUSED,
    (State.APPROVED, "close"): State.CLOSED,
}

_STEPS: Final[Mapping[tuple[Stage, str], Stage]] = {
    (Stage.ALLOTTED, "host"): Stage.HOSTED,
    (Stage.DELEGATED, "host"): Stage.HOSTED,
    (Stage.TRANSFERRING, "host"): Stage.HOSTED,
    (Stage.ALLOTTED, "delegate"): Stage.DELEGATED,
    (Stage.HOSTED, "delegate"): Stage.DELEGATED,
    (Stage.HOSTED, "transfer"): Stage.TRANSFERRING,
    (Stage.TRANSFERRING, "arrive"): Stage.TRANSFERRED,
    **{(stage, "suspend"): Stage.SUSPENDED for stage in (Stage.ALLOTTED, Stage.HOSTED, Stage.DELEGATED)},
    **{(stage, "close"): Stage.CLOSED for stage in Stage if stage is not Stage.CLOSED},
}


class Ground(NamedTuple):
    """What there is at a prefix besides its allotment: whether it is delegated, and how many records are below."""

    delegated: bool
    records: int


def review(code: str, enterprise: Enterprise | None, step: str) -> State:
    """The state after a step. Raises :class:`Refused`."""
    state = None if enterprise is None else enterprise.state
    after = _REVIEWS.get((state, step))
    if after is not None:
        return after
    if state is None:
        raise Refused(NO_ENTERPRISE, NO_ENTERPRISE.status, code=code)
    if step == "apply":
        raise Refused(DUPLICATE, DUPLICATE.status, code=code, state=state.name.lower())
    raise Refused(NOT_NOW, NOT_NOW.status, code=code, state=state.name.lower(), step=step)


def move(prefix: str, allotment: Allotment, step: str, ground: Ground, now: int, reason: str, to: str) -> Allotment:
    """The allotment after a step. Raises :class:`Refused`."""
    stage = allotment.stage
    if stage is Stage.SUSPENDED and step == "resume":
        after: Stage | None = allotment.before
    else:
        after = _STEPS.get((stage, step))
    if after is None:
        raise Refused(NOT_IN_STAGE, NOT_IN_STAGE.status, prefix=prefix, stage=stage.name.lower(), step=step)
    if step in ("host", "transfer") and ground.delegated:
        raise Refused(STILL_DELEGATED, STILL_DELEGATED.status, prefix=prefix)
    if step in ("delegate", "arrive") and not ground.delegated:
        raise Refused(NOT_DELEGATED, NOT_DELEGATED.status, prefix=prefix)
    if step == "delegate" and ground.records:
        raise Refused(HAS_RECORDS, HAS_RECORDS.status, prefix=prefix, count=ground.records)
    before = stage if after is Stage.SUSPENDED else allotment.before
    return msgspec.structs.replace(
        allotment, stage=after, changed=now, reason=reason, before=before, to=to or allotment.to
    )


def add_prefix(code: str, enterprise: Enterprise, prefix: str) -> Enterprise:
    """An approved enterprise with one prefix more. Raises :class:`Refused`."""
    if enterprise.state is not State.APPROVED:
        raise Refused(NOT_NOW, NOT_NOW.status, code=code, state=enterprise.state.name.lower(), step="allot")
    if len(enterprise.prefixes) >= MAX_PREFIXES:
        raise Refused(TOO_MANY_PREFIXES, TOO_MANY_PREFIXES.status, code=code, limit=MAX_PREFIXES)
    return msgspec.structs.replace(enterprise, prefixes=(*enterprise.prefixes, prefix))
