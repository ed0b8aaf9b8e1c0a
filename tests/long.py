"""How much of the long tests is run: all of it, or a share, BIAOSHI_TEST_SHARE (``make test-long SHARE=0.1``)."""

from __future__ import annotations

import os
import random
from typing import Final

SHARE: Final = float(os.environ.get("BIAOSHI_TEST_SHARE", "1"))


def share(full: int, least: int = 1) -> int:
    """That part of a number."""
    return max(least, round(full * SHARE))


def chance() -> random.Random:
    """Another course of events each time; BIAOSHI_TEST_SEED repeats one, as far as other processes let it."""
    seed = int(os.environ.get("BIAOSHI_TEST_SEED", random.getrandbits(32)))
    print(f"BIAOSHI_TEST_SEED={seed}")  # shown where a test fails
    return random.Random(seed)
