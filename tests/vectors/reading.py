"""Readers that prove who they are to a resolver."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from protocol.challenges import NOT_PROVEN, reading_challenge
from protocol.errors import Refused
from protocol.messages import Op
from protocol.status import Status
from registry.store.callers.attempts import TOO_MANY
from resolver.authenticating import IN_CLEAR
from tests.vectors.actors import SECONDARY, key
from tests.vectors.questions import Question, failure

READER: Final = key("reader")
NAME: Final = "88.118.32001/U.li"
NONCE: Final = sha256(b"biaoshi test nonce of a reader").digest()
SIGNED: Final = reading_challenge(SECONDARY.prefix, SECONDARY.online.public, NONCE)
PROOF: Final = READER.sign(SIGNED)
TOKEN: Final = "bst_" + "biaoshi-test-token_" + "0" * 24
PEER: Final = "192.0.2.7"

_NOT_PROVEN: Final = failure(Refused(NOT_PROVEN, NOT_PROVEN.status))
_TOO_OFTEN: Final = failure(Refused(TOO_MANY, Status.TOO_MANY_ATTEMPTS, name=PEER, seconds=2))


def questions() -> list[Question]:
    """How a connection becomes a reader's."""
    return [
        ("authenticate, to read", "resolver", Op.AUTHENTICATE, (1, READER.public.raw), [("challenged", 0, NONCE)]),
        ("prove, to read", "resolver", Op.PROVE, (PROOF,),
         [("proven", 0, NAME), ("not proven", *_NOT_PROVEN), ("wrong too often", *_TOO_OFTEN)]),
        ("token", "resolver", Op.TOKEN, (TOKEN.encode(),),
         [("proven", 0, NAME), ("not proven", *_NOT_PROVEN),
          ("in clear", *failure(Refused(IN_CLEAR, IN_CLEAR.status, address=PEER)))]),
    ]  # fmt: skip


def reading() -> dict[str, str]:
    """What a reader signs."""
    return {
        "seed": READER.seed.hex(), "public": READER.public.raw.hex(), "zone": SECONDARY.prefix,
        "online_key": SECONDARY.online.public.raw.hex(), "nonce": NONCE.hex(), "signed": SIGNED.hex(),
        "signature": PROOF.hex(), "token": TOKEN, "kept": sha256(TOKEN.encode()).hexdigest(),
    }  # fmt: skip
