"""A process killed in the midst of changes of enterprises and identities: the log holds, tells of all that was
acknowledged, and of nothing that is not there."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from registry.audit.chain import walk
from registry.audit.log import VOID, kept_entries
from registry.store.lmdb.writer import LmdbStore
from registry.store.system import read_system
from tests.e2e.nodes import CLEAN
from tests.registry.house import ZONE, House

KILLS: Final = 4

CHILD: Final = """
import sys
from pathlib import Path
from registry.store.lmdb.writer import LmdbStore
from registry.store.callers.permissions import Role
from registry.identities.bodies import NewToken
from tests.registry.house import ADMINISTRATOR, NOW, WHY, House

house = House(LmdbStore(Path(sys.argv[1])))
print("open", flush=True)
base = int(sys.argv[2])
for number in range(base, base + 10_000):
    prefix = house.allot(number)
    name = f"{prefix}/U.li"
    house.identity(name, Role.ENTERPRISE_WRITER)
    house.do(house.identities.issue_token(ADMINISTRATOR, name, NewToken(), NOW))
    house.do(house.enterprises.suspend(ADMINISTRATOR, prefix, WHY, NOW))
    print(prefix, flush=True)
"""


def test_a_log_of_killed_processes(tmp_path: Path) -> None:
    draw = random.Random(5)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(1 + kill * 10_000)],
            stdout=subprocess.PIPE, text=True, env=CLEAN | {"PYTHONPATH": "."},
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(draw.uniform(0.05, 0.5))
        child.kill()
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait()
    assert acknowledged

    store = LmdbStore(tmp_path)
    house = House(store)  # takes back what was left half done: on LMDB, nothing
    told: dict[str, list[int]] = {}
    for entry, _ in walk(ZONE, kept_entries(store)):
        assert entry.action != VOID
        told.setdefault(entry.record, []).append(entry.version)
    for record, versions in told.items():
        assert versions == list(range(1, len(versions) + 1))
        assert read_system(store.find(b"\x01" + record.encode()))[0] == versions[-1]
    for prefix in acknowledged:
        assert told[f"allotment/{prefix}"] == [1, 2, 3]
        assert house.rights.barrier(prefix) is not None
        assert len(told[f"identity/{prefix}/U.li"]) == 2
    assert len(set(acknowledged)) == len(acknowledged)
    store.close()
