"""One-time codes: what an operator of the parent tells one of the child, instead of comparing fingerprints.

A code is 80 random bits, as sixteen letters and digits in groups of four. Both sides make a signing key of it. The
parent keeps the public half alone, and the child signs its request with the secret one: so neither the store nor the
wire has what would let somebody else ask in the child's name, and who holds up a request cannot put another in its
place.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final

from protocol.errors import Rule, SettingsError
from protocol.signatures import SigningKey
from protocol.status import Status

CODE_BYTES: Final = 10
"""Eighty bits: more than anybody can try within the hours that a code lives, also against the public key."""

KEY_CONTEXT: Final = b"biaoshi code 1\x00"
ASK_CONTEXT: Final = b"biaoshi ask 1\x00"

BAD_CODE: Final = Rule(
    "code.malformed",
    Status.BAD_REQUEST,
    "'{text}' is no code; it has sixteen letters and digits in groups of four, like ABCD-EFGH-2345-IJKL",
    "“{text}”不是合法的一次性口令，应为四个一组的十六位字母数字，如 ABCD-EFGH-2345-IJKL",
)


def format_code(random: bytes) -> str:
    """The code of ``CODE_BYTES`` random bytes."""
    text = base64.b32encode(random).decode()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def code_key(code: str) -> SigningKey:
    """The key that a code stands for, however it is spaced and in either case. Raises :class:`SettingsError`."""
    try:
        raw = base64.b32decode("".join(code.split()).replace("-", "").upper())
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != CODE_BYTES:
        raise SettingsError(BAD_CODE, text=code)
    return SigningKey(sha256(KEY_CONTEXT + raw).digest())


def asking_bytes(request: bytes) -> bytes:
    """What the key of a code signs: context and the whole request statement."""
    return ASK_CONTEXT + request
