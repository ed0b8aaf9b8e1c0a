"""A token is ``bst_`` and 43 characters: 256 random bits, which need no salt and no slow hash; its SHA-256 is what is
kept, and what it is looked up by."""

from __future__ import annotations

import base64
import os
import re
from hashlib import sha256
from typing import Final

TOKEN_MARK: Final = "bst_"
TOKEN_BYTES: Final = 32

_TOKEN: Final = re.compile(r"bst_[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """A token's secret."""
    return TOKEN_MARK + base64.urlsafe_b64encode(os.urandom(TOKEN_BYTES)).rstrip(b"=").decode()


def token_digest(secret: str) -> str | None:
    """What a token is kept under, hexadecimal; None for what is no token at all."""
    return sha256(secret.encode()).hexdigest() if _TOKEN.fullmatch(secret) else None
