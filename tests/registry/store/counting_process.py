"""A worker that counts and waits to be killed: ``counting_process.py DIRECTORY``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from registry.store.counters import TCP_BUNDLES, CounterFile

file = CounterFile(Path(sys.argv[1]))
for _ in range(1_000):
    file.tally[TCP_BUNDLES] += 1
print("counted", flush=True)
time.sleep(60)
