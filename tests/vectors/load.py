"""Reads the vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    """The content of a file of vectors."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


def unshown(value: Any) -> Any:
    """A MessagePack value from how the vectors show it."""
    match value:
        case {"bin": str(digits)}:
            return bytes.fromhex(digits)
        case {"map": list(pairs)}:
            return {unshown(name): unshown(one) for name, one in pairs}
        case list():
            return [unshown(one) for one in value]
    return value
