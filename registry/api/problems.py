"""Errors as ``application/problem+json`` (RFC 9457): the rule that was broken, for people and for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from protocol.errors import BiaoshiError
from protocol.status import Status
from registry.api import rules

PROBLEM_JSON: Final = "application/problem+json"
RULES_URL: Final = "https://biaoshi.example/rules/"
"""What the ``type`` of a problem begins with; behind it comes the name of the rule."""

_BY_RULE: Final = {
    rules.NO_METHOD.name: 405,
    rules.BODY_TOO_SLOW.name: 408,
    rules.OTHER_CONTENT.name: 415,
}
"""Where HTTP has a code of its own for what the table of statuses has under a wider one."""

_BY_STATUS: Final = {
    Status.REFERRAL: 421,  # 307 would need the other node's URL, and have the client send its token there
}

Parameter = str | int | float


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong. `rule` is a stable name, `outcome` the node's own status, `detail` a sentence that says what to
    do; `parameters` are its details, like the `position` of a fault in an identifier."""

    type: str
    title: str
    status: int
    detail: str
    rule: str
    outcome: str
    request: str
    identifier: str | None = None
    parameters: dict[str, Parameter] | None = None


def http_status(error: BiaoshiError, *, conditional: bool = False) -> int:
    """The HTTP status of an error; ``conditional`` says that the request had a precondition (RFC 9110, 13.1)."""
    if conditional and error.rule in (rules.NOT_CARRIED_OUT, rules.NOT_REGISTERED):
        return 412
    return _BY_RULE.get(error.rule.name) or _BY_STATUS.get(error.status) or error.status.http


def problem(error: BiaoshiError, status: int, request: str, language: str) -> Problem:
    """The problem that an error is, for the request with this id."""
    details = {name: _text(one) if isinstance(one, str) else one for name, one in error.details.items()}
    identifier = details.pop("identifier", None)
    return Problem(
        RULES_URL + error.rule.name,
        HTTPStatus(status).phrase,
        status,
        _text(error.message(language)),
        error.rule.name,
        error.status.label,
        request,
        None if identifier is None else str(identifier),
        details or None,
    )


def _text(text: str) -> str:
    """Text that can be encoded: bytes of a header that are no UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "replace").decode()
