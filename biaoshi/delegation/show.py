"""Delegations and requests, for a person to read."""

from __future__ import annotations

import time

from biaoshi.delegation.child import address_text
from config.places import language
from protocol.statements import Delegation, DelegationRequest
from protocol.trust import ALWAYS


def moment(seconds: int) -> str:
    """A time, in seconds since 1970 UTC."""
    if seconds >= ALWAYS:
        return "∞"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(min(seconds, 253_402_300_799)))


def delegation_text(claim: Delegation) -> str:
    """A delegation on one line."""
    zh = language() == "zh"
    places = " ".join(address_text(address) for address in claim.addresses)
    keys = " ".join(key.id.hex() for key in claim.keys)
    serial, until, over = ("序号", "有效期至", "已过期") if zh else ("serial", "until", "over")
    ended = f" ({over})" if claim.not_after < time.time() else ""
    return f"{claim.child}  {serial} {claim.serial}  {until} {moment(claim.not_after)}{ended}  {places}  {keys}"


def request_text(request: DelegationRequest) -> str:
    """A request with its keys and addresses, which two operators compare."""
    made = "制作于" if language() == "zh" else "made"
    lines = [f"{request.child}  {made} {moment(request.made)}"]
    lines += [f"  {key}" for key in request.keys]
    lines += [f"  {address_text(address)}" for address in request.addresses]
    return "\n".join(lines)
