"""What a question of the vectors is."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.errors import BiaoshiError
from protocol.messages import failure_payload

Answer = tuple[str, int, object]
"""Name, status, payload."""

Question = tuple[str, str, int, tuple[object, ...], Sequence[Answer]]
"""Name, door, operation, arguments, and what may be answered. A door is ``resolver`` or ``registry`` of an
authoritative node, ``both`` of these, or ``recursive``, the resolver's port of a recursive node."""


def failure(error: BiaoshiError) -> tuple[int, list[object]]:
    """Status and payload of the answer that carries an error."""
    return int(error.status), failure_payload(error)
