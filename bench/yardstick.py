"""What the machine itself can do at this moment, so that figures of different hours and machines can be compared.

Machines are shared: the same processor does half as much in one hour as in another. Two things that a lookup is made of
are timed in the same rounds as the lookups, on the same core, without any of the node's own code: SHA-256 of 200 bytes,
and random reads of the store's records by LMDB, which is the ceiling of what any node in Python can answer from it.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

import lmdb

HASHED_BYTES: Final = 200
"""About the size of an answer's leaf."""

HASHES: Final = 200_000
READS: Final = 200_000


def hashes_per_s(count: int = HASHES) -> float:
    """SHA-256 digests of 200 bytes in one second."""
    data, digest = bytes(HASHED_BYTES), hashlib.sha256
    begin = time.perf_counter()
    for _ in range(count):
        digest(data).digest()
    return count / (time.perf_counter() - begin)


def reads_per_s(store: Path, seed: int, count: int = READS) -> float:
    """Records read in random order, each key existing, in one second. The keys are made beforehand."""
    draw = random.Random(seed)
    with lmdb.open(str(store), readonly=True, lock=False, max_dbs=1, readahead=False) as env:
        records = env.open_db(b"records", create=False)
        with env.begin(db=records) as txn:
            keys = list(txn.cursor().iternext(values=False))
            chosen = draw.choices(keys, k=count)
            get = txn.get
            begin = time.perf_counter()
            for key in chosen:
                get(key)
            return count / (time.perf_counter() - begin)


def main() -> None:
    """Entry point: one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    able = {"machine_hashes_per_s": hashes_per_s(), "machine_reads_per_s": reads_per_s(options.store, options.seed)}
    print(json.dumps(able))


if __name__ == "__main__":
    main()
