"""What is asked about delegations, codes and requests for them, and the succession of the zone's key.

The parent is ``SECONDARY``, delegated until ``UNTIL``; the child is ``ENTERPRISE``. Its code is of ten fixed bytes.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import Refused
from protocol.limits import UDP_REQUEST_BYTES
from protocol.messages import Op
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, DelegationRequest
from protocol.status import Status
from protocol.succession import Succession
from registry.codes import asking_bytes, code_key, format_code
from registry.delegating import (
    BAD_SIGNATURE,
    BELOW_A_CUT,
    NO_ADDRESS,
    NO_CODE,
    NO_TIME,
    NOT_BELOW,
    NOT_NORMAL,
    OTHER_PARENT,
    OTHER_SERIAL,
    OUTLIVES,
    REQUEST_AGE,
    WRONG_CODE,
)
from registry.delegations import UNDER_WAY
from registry.rights import NOT_AUTHENTICATED, WHOLE_ZONE_DELEGATES
from registry.store.system import DELEGATIONS, system_identifier
from tests.vectors.actors import ENTERPRISE, NOW, SECONDARY, SIBLING, SINCE, STRANGER, TOP, UNTIL, key
from tests.vectors.questions import Question, failure

CHILD: Final = ENTERPRISE.prefix
HOME: Final = (Address("node.example.cn", 26_410, 26_410),)
MOVED: Final = (Address("new.example.cn", 26_410, 0),)
NEXT_KEY: Final = key("next enterprise zone")

CODE_BYTES: Final = b"0123456789"
CODE: Final = format_code(CODE_BYTES)
CODE_KEY: Final = code_key(CODE)
OTHER_CODE_KEY: Final = code_key(format_code(b"9876543210"))
HOURS: Final = 24

SUCCESSION: Final = Succession(
    SECONDARY.prefix, SECONDARY.key.public, key("next secondary zone").public, NOW - 86_400, UNTIL
).sign(SECONDARY.key)

REQUEST: Final = DelegationRequest(CHILD, (ENTERPRISE.key.public,), HOME, NOW).sign(ENTERPRISE.key)
SIGNATURE: Final = CODE_KEY.sign(asking_bytes(REQUEST))
OLD_REQUEST: Final = DelegationRequest(CHILD, (ENTERPRISE.key.public,), HOME, NOW - 2 * 86_400).sign(ENTERPRISE.key)
MOVING: Final = DelegationRequest(CHILD, (ENTERPRISE.key.public, NEXT_KEY.public), MOVED, NOW).sign(ENTERPRISE.key)

FIRST: Final = SECONDARY.delegate(ENTERPRISE)
SECOND: Final = SECONDARY.delegate(ENTERPRISE, serial=2)


def bent(signer: SigningKey = SECONDARY.key, **parts: Any) -> bytes:
    """The first delegation with some of its parts replaced."""
    whole: dict[str, Any] = {
        "parent": SECONDARY.prefix, "child": CHILD, "serial": 1, "not_before": SINCE, "not_after": UNTIL,
        "keys": (ENTERPRISE.key.public,), "addresses": HOME,
    }  # fmt: skip
    return Delegation(**(whole | parts)).sign(signer)


REFUSED: Final = [
    ("of another parent", bent(parent=TOP.prefix),
     Refused(OTHER_PARENT, OTHER_PARENT.status, parent=TOP.prefix, zone=SECONDARY.prefix)),
    ("not in normal form", bent(child="88.118.abc"),
     Refused(NOT_NORMAL, NOT_NORMAL.status, child="88.118.abc", normal="88.118.ABC")),
    ("not below the zone", bent(child=SECONDARY.prefix),
     Refused(NOT_BELOW, NOT_BELOW.status, child=SECONDARY.prefix, zone=SECONDARY.prefix)),
    ("below a delegated prefix", bent(child=f"{SIBLING.prefix}.1"),
     Refused(BELOW_A_CUT, BELOW_A_CUT.status, child=f"{SIBLING.prefix}.1", above=SIBLING.prefix)),
    ("signed by another key", bent(STRANGER.key), Refused(BAD_SIGNATURE, BAD_SIGNATURE.status, child=CHILD)),
    ("without an address", bent(addresses=(Address("node.example.cn", 0, 26_410),)),
     Refused(NO_ADDRESS, NO_ADDRESS.status, child=CHILD)),
    ("that is over", bent(not_after=NOW - 1),
     Refused(NO_TIME, NO_TIME.status, child=CHILD, since=SINCE, until=NOW - 1, now=NOW)),
    ("that outlasts the zone's own", bent(not_after=UNTIL + 1),
     Refused(OUTLIVES, OUTLIVES.status, child=CHILD, until=UNTIL + 1, ends=UNTIL)),
]  # fmt: skip
"""Delegations that are refused, where ``SIBLING`` is delegated and nothing else: what they are, and why."""


def questions() -> list[Question]:
    """Operations 7 and 22 to 27."""
    child = CHILD.encode()
    wrong_serial = Refused(OTHER_SERIAL, OTHER_SERIAL.status, child=CHILD, serial=2, next=3, given=1)
    no_code = failure(Refused(NO_CODE, NO_CODE.status, child=CHILD))
    cursor = system_identifier(DELEGATIONS, CHILD)
    code_public = CODE_KEY.public.raw
    revoked_sibling = [SIBLING.prefix, 2, None]
    return [
        ("succession", "both", Op.SUCCESSION, (), [("none", 0, []), ("shown", 0, [SUCCESSION])]),
        ("succession over UDP", "resolver", Op.SUCCESSION, (bytes(UDP_REQUEST_BYTES - 14),),
         [("shown", 0, [SUCCESSION])]),
        ("delegate", "registry", Op.DELEGATE, (FIRST,),
         [("stored", 0, 1), ("sent again", 0, 1), ("serial used", *failure(wrong_serial)),
          ("another change under way", *failure(Refused(UNDER_WAY, UNDER_WAY.status, child=CHILD))),
          ("no key proven", *failure(Refused(NOT_AUTHENTICATED, Status.NOT_AUTHENTICATED))),
          ("not the whole zone", *failure(
              Refused(WHOLE_ZONE_DELEGATES, WHOLE_ZONE_DELEGATES.status, zone=SECONDARY.prefix)))]),
        ("delegate anew", "registry", Op.DELEGATE, (SECOND,), [("stored", 0, 2)]),
        *[(f"delegate, {what}", "registry", Op.DELEGATE, (statement,), [("refused", *failure(error))])
          for what, statement, error in REFUSED],
        ("revoke", "registry", Op.REVOKE, (child, 1),
         [("revoked", 0, 2), ("sent again", 0, 2), ("another serial", int(Status.CONFLICT), 2),
          ("never delegated", int(Status.NOT_FOUND), 0)]),
        ("revoke whatever is there", "registry", Op.REVOKE, (child, None), [("revoked", 0, 3)]),
        ("delegations", "registry", Op.DELEGATIONS, (None, None, 10),
         [("a page", 0, [[[CHILD, 1, FIRST], revoked_sibling], None]), ("none", 0, [[], None])]),
        ("delegations, one at a time", "registry", Op.DELEGATIONS, (None, None, 1),
         [("a page", 0, [[[CHILD, 1, FIRST]], cursor])]),
        ("delegations on", "registry", Op.DELEGATIONS, (None, cursor, 1),
         [("the last page", 0, [[revoked_sibling], None])]),
        ("delegation of one child", "registry", Op.DELEGATIONS, (child, None, 1),
         [("shown", 0, [[[CHILD, 1, FIRST]], None]), ("revoked", 0, [[[CHILD, 2, None]], None]),
          ("never delegated", 0, [[], None])]),
        ("code", "registry", Op.CODE, (child, 1, code_public, HOURS), [("valid until", 0, NOW + HOURS * 3_600)]),
        ("code for what is no child", "registry", Op.CODE, (b"88.119.1", 1, code_public, HOURS),
         [("refused", *failure(Refused(NOT_BELOW, NOT_BELOW.status, child="88.119.1", zone=SECONDARY.prefix)))]),
        ("request with a code", "registry", Op.REQUEST, (REQUEST, SIGNATURE),
         [("waits", 0, None), ("sent again", 0, None), ("no valid code", *no_code)]),
        ("request with another code", "registry", Op.REQUEST, (REQUEST, OTHER_CODE_KEY.sign(asking_bytes(REQUEST))),
         [("refused", *failure(Refused(WRONG_CODE, WRONG_CODE.status, child=CHILD)))]),
        ("request of two days ago", "registry", Op.REQUEST, (OLD_REQUEST, CODE_KEY.sign(asking_bytes(OLD_REQUEST))),
         [("refused", *failure(Refused(REQUEST_AGE, REQUEST_AGE.status, made=NOW - 2 * 86_400, now=NOW)))]),
        ("request without a code", "registry", Op.REQUEST, (MOVING, None),
         [("waits", 0, None), ("not delegated", *no_code)]),
        ("requests", "registry", Op.REQUESTS, (None, 10), [("a page", 0, [[REQUEST], None]), ("none", 0, [[], None])]),
    ]  # fmt: skip
