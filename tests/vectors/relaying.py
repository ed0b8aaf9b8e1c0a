"""What is asked of a recursive node whose anchor is that of ``TOP``: answers with the authority's proof and without,
the chain to a proof, the steps that lead to an answer.

Each zone is served at an address of its own, to which the recursive node's first question has the rid ``INNER_RID``.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import IdentifierError, MessageError, Unresolved
from protocol.identifiers import normal
from protocol.limits import ABSENT_TTL_SECONDS, UDP_REQUEST_BYTES
from protocol.messages import UNKNOWN_OPERATION, Ask, Op
from protocol.status import Status
from protocol.trust import Chain
from resolver.recursion.walk import LAME, NOT_RESPONSIBLE
from tests.vectors.actors import (
    BODY,
    ENTERPRISE,
    IDENTIFIER,
    RID,
    SECONDARY,
    SIBLING,
    TOP,
    WITHDRAWN_BODY,
    Exchanged,
    answered,
)
from tests.vectors.questions import Question, failure

INNER_RID: Final = RID + 1
STALE_AGE: Final = 4_000
"""Seconds after the answer at which the zone's servers are down. Its TTL is that of its shortest value, 3,600 s."""

STEP_MICROSECONDS: Final = 250
"""How far the clock goes from one look to the next: how long each server takes to answer."""

SERVERS: Final = {
    TOP.prefix: "top.example.cn:26410",
    SECONDARY.prefix: "secondary.example.cn:26410",
    ENTERPRISE.prefix: "enterprise.example.cn:26410",
}
FIRST: Final = TOP.delegate(SECONDARY, host="secondary.example.cn")
SECOND: Final = SECONDARY.delegate(ENTERPRISE, host="enterprise.example.cn")
CHAINS: Final = {
    TOP.prefix: Chain((), (TOP.online_statement(),)),
    SECONDARY.prefix: Chain((FIRST,), (SECONDARY.online_statement(),)),
    ENTERPRISE.prefix: Chain((FIRST, SECOND), (ENTERPRISE.online_statement(),)),
    SIBLING.prefix: Chain((FIRST, SECONDARY.delegate(SIBLING)), (SIBLING.online_statement(),)),
}

FOUND: Final = answered(online=ENTERPRISE.online, rid=INNER_RID)
ABSENT: Final = answered(status=Status.NOT_FOUND, payload=ABSENT_TTL_SECONDS, online=ENTERPRISE.online, rid=INNER_RID)
WITHDRAWN: Final = answered(status=Status.WITHDRAWN, payload=WITHDRAWN_BODY, online=ENTERPRISE.online, rid=INNER_RID)
"""What the enterprise's server answers, sealed alone."""

_LAME_REASON: Final = f"it is a server of '{SIBLING.prefix}'"
_ASKED: Final = " → ".join(f"{zone} [{server}]" for zone, server in SERVERS.items())
LAME_SERVER: Final = Unresolved(
    LAME, server=SERVERS[ENTERPRISE.prefix], zone=ENTERPRISE.prefix, reason=_LAME_REASON, chain=_ASKED
)
"""Where another zone's server stands at the enterprise's address."""


def proof(one: Exchanged) -> list[bytes]:
    """The payload of a relayed answer."""
    return [one.request, one.response, one.seal]


def questions() -> list[Question]:
    """RESOLVE, RESOLVE_MANY, CHAIN and TRACE at a recursive node."""
    stale, absent = int(Status.STALE), (int(Status.NOT_FOUND), ABSENT_TTL_SECONDS)
    foreign = (int(Status.NOT_RESPONSIBLE), None)
    padding = bytes(UDP_REQUEST_BYTES - 17 - len(IDENTIFIER))
    lame = failure(LAME_SERVER)
    try:
        normal(b"88.118.32001")
    except IdentifierError as error:
        no_slash = failure(error)
    outside = Unresolved(NOT_RESPONSIBLE, prefix="99", top=TOP.prefix, chain="-")
    enterprise = ENTERPRISE.prefix
    referred = [
        [TOP.prefix, SERVERS[TOP.prefix], False, STEP_MICROSECONDS, "refers to 88.118, serial 1"],
        [SECONDARY.prefix, SERVERS[SECONDARY.prefix], False, STEP_MICROSECONDS, "refers to 88.118.32001, serial 1"],
    ]
    answer_step = [enterprise, SERVERS[enterprise], False, STEP_MICROSECONDS, "ok"]
    # The clock is looked at once more where an answer is judged and found wrong.
    lame_step = [enterprise, SERVERS[enterprise], False, 2 * STEP_MICROSECONDS, LAME_SERVER.message()]
    return [
        ("resolve with proof", "recursive", Op.RESOLVE, (IDENTIFIER, int(Ask.PROOF)),
         [("found", 0, proof(FOUND)), ("absent", 0, proof(ABSENT)), ("withdrawn", 0, proof(WITHDRAWN)),
          ("stale", stale, proof(FOUND)), ("another zone's server", *lame)]),
        ("resolve with proof over UDP", "recursive", Op.RESOLVE, (IDENTIFIER, int(Ask.PROOF), padding),
         [("found", 0, proof(FOUND))]),
        ("resolve with proof, sealed alone", "recursive", Op.RESOLVE, (IDENTIFIER, int(Ask.ALONE | Ask.PROOF)),
         [("found", 0, proof(FOUND))]),
        ("resolve with proof outside the anchor's zone", "recursive", Op.RESOLVE, (b"99/x", int(Ask.PROOF)),
         [("refused", *foreign)]),
        ("resolve without proof", "recursive", Op.RESOLVE, (IDENTIFIER,),
         [("found", 0, BODY), ("absent", *absent), ("withdrawn", int(Status.WITHDRAWN), WITHDRAWN_BODY),
          ("stale", stale, [0, BODY, STALE_AGE]), ("another zone's server", *lame)]),
        ("resolve many at a recursive node", "recursive", Op.RESOLVE_MANY, ([IDENTIFIER, b"99/x", b"88.118.32001"],),
         [("each its own", 0, [BODY, foreign, no_slash]),
          ("stale", 0, [[stale, [0, BODY, STALE_AGE]], foreign, no_slash])]),
        ("chain to a proof", "recursive", Op.CHAIN, (b"", enterprise.encode()),
         [("shown", 0, CHAINS[enterprise])]),
        ("chain to a proof of the anchor's zone", "recursive", Op.CHAIN, (b"", TOP.prefix.encode()),
         [("shown", 0, CHAINS[TOP.prefix])]),
        ("chain of the root, above the anchor's zone", "recursive", Op.CHAIN, (b"", b""), [("not met", *absent)]),
        ("trace", "recursive", Op.TRACE, (IDENTIFIER,),
         [("asked", 0, [*referred, answer_step]),
          ("remembered", 0, [[enterprise, "", True, 0, "in the cache for another 3600 s"]]),
          ("another zone's server", 0, [*referred, lame_step, ["", "", False, 0, LAME_SERVER.message()]])]),
        ("trace outside the anchor's zone", "recursive", Op.TRACE, (b"99/x",),
         [("failed", 0, [["", "", False, 0, outside.message()]])]),
        ("trace what is no identifier", "recursive", Op.TRACE, (b"88.118.32001",), [("refused", *no_slash)]),
        ("trace at an authority", "resolver", Op.TRACE, (IDENTIFIER,),
         [("refused", *failure(MessageError(UNKNOWN_OPERATION, op=int(Op.TRACE))))]),
    ]  # fmt: skip
