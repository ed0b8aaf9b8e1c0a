"""A province of ten nodes whose every line can be hurt: each node is behind a proxy at the address that others know.

``python -m tests.faults.province DIRECTORY BASE RECORDS KEEP`` makes and runs the nodes as ``biaoshi topology up``
does, but for where they listen: 127.x.101.1 is behind 127.x.1.1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from biaoshi.making import CONFIG_NAME
from biaoshi.topology.copies import zones_in_custody
from biaoshi.topology.make import make_nodes
from biaoshi.topology.place import held, noted, open_place
from biaoshi.topology.plan import Network, Planned, Topology, plan
from biaoshi.topology.plan import Province as Counts
from biaoshi.topology.run import Runner
from config.keyfiles import read_anchor, read_secret
from config.load import put_option, toml_string
from config.process import set_up_log
from config.settings import LogSettings
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.store.lmdb.reader import LmdbReader
from tests.e2e.nodes import CLEAN, children, free_base, run
from tests.faults.proxies import Line, Proxies

START_SECONDS: Final = 90.0
KINDS: Final = ("top", "custody", "secondary", "enterprise", "recursive")

SECONDARIES: Final = ("88.101", "88.102", "88.103")
ENTERPRISES: Final = ("88.101.20001", "88.102.20002", "88.103.20003", "88.101.20004")


def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> float:
    """Wait for something; how long it took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() < begin + seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begin


def planned(base: str, records: int) -> list[Planned]:
    """The ten nodes."""
    counts = Counts(name="Ten", secondaries=len(SECONDARIES), enterprises=len(ENTERPRISES), records=records)
    return plan(Topology(province=counts, network=Network(base=base)))


def real_host(stated: str) -> str:
    """Where a node listens that others know at ``stated``."""
    first, second, third, fourth = stated.split(".")
    return f"{first}.{second}.{int(third) + 100}.{fourth}"


class Province:
    """The running nodes, by their names, and the lines to them."""

    def __init__(self, directory: Path, records: int, keep: int = 10_000_000) -> None:
        self.directory = directory / "province"
        self.records = records
        self.log = directory / "log"
        base = free_base()
        self.nodes = {node.name: node for node in planned(base, records)}
        self.proxies = Proxies()
        self.lines: dict[str, list[Line]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for port in _ports(node, self.nodes.values()):
                stated, real = (node.host, port), (real_host(node.host), port)
                self.lines[node.name].append(self.proxies.line(stated, real))
        arguments = [str(self.directory), base, str(records), str(keep)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.province", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=CLEAN, start_new_session=True,
            )  # fmt: skip
        try:
            until(lambda: self._up() or self._process.poll() is not None, "the start", START_SECONDS)
            assert self._process.poll() is None, self.said()
            self.anchor = self.anchor_of("top")
            until(self.followed, "copies of all zones")
        except BaseException:
            self.close()
            raise

    def _up(self) -> bool:
        run_ = noted(self.directory) if self.directory.exists() else None
        return run_ is not None and run_.up

    def said(self) -> str:
        """What the process that runs the nodes and all nodes have logged."""
        return "".join(path.read_text("utf-8", "replace") for path in [self.log, *self.directory.glob("*/log")])

    def close(self) -> None:
        """Stop all; nobody has met with anything that was not expected."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self.proxies.close()
        assert code == 0, self.said()
        assert "Traceback" not in self.said(), self.said()

    # Who is where ---------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """Where others ask a node."""
        node = self.nodes[name]
        return f"{node.host}:{node.resolver_port}"

    def anchor_of(self, name: str) -> TrustAnchor:
        """The anchor file of a node; that of the recursive node is its own."""
        return TrustAnchor.parse(*read_anchor(self.directory / name / "anchor.toml"))

    def door(self, zone: str) -> str:
        """Where others ask the custody node for a zone."""
        return f"{self.nodes['custody'].host}:{self.nodes[f'secondary-{zone}'].door}"

    @property
    def recursive(self) -> str:
        """Where applications ask."""
        return self.address("recursive-1")

    def registry(self, name: str) -> RegistryClient:
        """A writer's connection to a node, on its own machine: no line is hurt."""
        node = self.nodes[name]
        key = SigningKey(read_secret(self.directory / name / "keys/writer.pem"))
        return RegistryClient(real_host(node.host), node.registry_port, anchor=self.anchor, key=key)

    def store(self, name: str) -> LmdbReader:
        """The records of a node; of a zone's copy, where a prefix is given."""
        place = self.directory / name / "store" if name in self.nodes else self.directory / "custody/store/zones" / name
        return LmdbReader(place)

    # What becomes of them -------------------------------------------------------------------------

    def processes(self, name: str) -> list[int]:
        """The processes of a node, the one that was started first."""
        run_ = noted(self.directory)
        assert run_ is not None
        [pid] = [node.pid for node in run_.nodes if node.name == name]
        return [pid, *children(pid)] if pid else []

    def signal(self, name: str, number: signal.Signals) -> None:
        """Signal all processes of a node."""
        for pid in self.processes(name):
            os.kill(pid, number)

    def cut(self, *names: str) -> None:
        """Cut nodes off from all others."""
        self.proxies.cut(line for name in names for line in self.lines[name])

    def heal(self, *names: str) -> None:
        """Give them their lines back."""
        self.proxies.heal(line for name in names for line in self.lines[name])

    def lose(self, name: str) -> None:
        """Kill a node, and have it stay away."""
        pids = self.processes(name)
        (self.directory / name).rename(self.lost(name))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def give_back(self, name: str) -> None:
        """Have it started again."""
        self.lost(name).rename(self.directory / name)

    def lost(self, name: str) -> Path:
        """Where the directory of a node is meanwhile."""
        return self.directory.with_name(f"lost-{name}")

    def status(self, name: str) -> list[dict[str, Any]]:
        """What ``biaoshi status`` shows of a node, of each copy of the custody node; nothing where none answers."""
        shown = run("status", "--json", "--node", self.directory / name)
        return shown.lines() if shown.code == 0 else []

    def answers(self, name: str) -> bool:
        """Whether a node answers, or all do, where none is named."""
        return all(self.status(one) for one in ([name] if name else self.nodes))

    def followed(self) -> bool:
        """Whether the custody node has all that the zones have."""
        shown = self.status("custody")
        return len(shown) == len(SECONDARIES) and all(
            (one.get("state"), one.get("behind"), one.get("behind_s")) == ("following", 0, 0) for one in shown
        )


def _ports(node: Planned, nodes: Iterable[Planned]) -> list[int]:
    """Where a node is asked by others."""
    if node.role == "custody":
        return [port for zone in zones_in_custody(nodes) for port in (zone.door, zone.door + 1)]
    return [node.resolver_port, node.registry_port] if node.prefix else [node.resolver_port]


def main() -> None:
    """Make and run the nodes."""
    directory, records, keep = Path(sys.argv[1]), int(sys.argv[3]), sys.argv[4]
    nodes = planned(sys.argv[2], records)
    open_place(directory)
    with held(directory):
        make_nodes(nodes, directory, records)
        for node in nodes:
            config = directory / node.name / CONFIG_NAME
            host = toml_string(real_host(node.host))
            put_option(config, "resolver.host", host)
            if node.role != "recursive":
                put_option(config, "registry.host", host)
            if node.prefix:
                put_option(config, "registry.keep", keep)
        Runner(nodes, directory, set_up_log(LogSettings(), "topology")).run(lambda: None)


if __name__ == "__main__":
    main()
