"""``python -m tests.faults.shifted SECONDS serve --config …``: the command ``biaoshi`` on a machine whose clock is
ahead by so many seconds, or behind. What measures time, as ``time.monotonic`` does, goes on as it is."""

from __future__ import annotations

import sys
import time


def shift(seconds: int) -> None:
    """Have the clock of this process differ from now on."""
    clock, clock_ns = time.time, time.time_ns
    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + seconds * 1_000_000_000


if __name__ == "__main__":
    shift(int(sys.argv.pop(1)))
    sys.argv[0] = "biaoshi"
    from biaoshi.cli import main  # which imports what takes the clock as it finds it

    main()
