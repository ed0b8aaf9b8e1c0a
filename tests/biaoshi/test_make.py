"""The nodes of a province as they are made: keys, chains, delegations and records fit, whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biaoshi.delegation.child import judge_chain
from biaoshi.making import CANNOT_WRITE, CONFIG_NAME
from biaoshi.topology.make import NOT_PLANNED, OTHER_NODE, ROLES, check_there, make_nodes
from biaoshi.topology.plan import Planned, plan, read_topology
from biaoshi.topology.samples import sample
from config.keyfiles import read_anchor, read_delegations, read_identity
from config.load import load_settings
from protocol.errors import SettingsError
from protocol.node import own_keys
from protocol.statements import Address, read_delegation
from protocol.trust import TrustAnchor
from registry.store.lmdb.reader import LmdbReader
from resolver.recursion.worker import check_recursion

RECORDS = 3
SMALL = '[province]\nname = "P"\nsecondaries = {}\nenterprises = {}\ncustody = 0\n[network]\nbase = "127.{}.0.0"\n'


def small(secondaries: int = 2, enterprises: int = 3, base: int = 90) -> list[Planned]:
    return plan(read_topology(SMALL.format(secondaries, enterprises, base), "p.toml"))


def check(nodes: list[Planned], directory: Path) -> dict[str, int]:
    """Every node as it should be; the serials of the delegations by child."""
    now = int(time.time())
    file = read_anchor(directory / "top/anchor.toml")
    anchor = TrustAnchor.parse(*file)
    by_name = {node.name: node for node in nodes}
    serials: dict[str, int] = {}
    for node in nodes:
        settings = load_settings(directory / node.name / CONFIG_NAME)
        assert settings.node.processes == "light"
        assert settings.node.role == node.role
        assert settings.resolver.host == node.host
        own_keys(node.prefix, *read_identity(settings), now=now)
        if node.role == "recursive":
            assert check_recursion(settings) == (anchor, [(nodes[0].host, nodes[0].resolver_port)])
            continue
        assert settings.registry.host == node.host
        assert read_anchor(directory / node.name / "anchor.toml") == file
        reader = LmdbReader(settings.store_path)
        if node.samples:
            assert reader.counts().active == {node.samples: RECORDS}
            assert reader.get(sample(node.samples, RECORDS - 1).identifier.encode())
        reader.close()
        if node.parent is None:
            continue
        parent = by_name[node.parent]
        assert settings.keys.parent == settings.statistics.report_to == f"{parent.host}:{parent.registry_port}"
        chain = read_delegations(settings.path(settings.keys.delegations))
        judge_chain(anchor, chain, (), node.prefix, settings.keys.zone, now)
        given = LmdbReader(load_settings(directory / parent.name / CONFIG_NAME).store_path)
        cut = given.cut(node.prefix)
        given.close()
        assert cut is not None
        assert cut.statement == chain[-1], "the parent refers to it by the statement that it shows"
        claim = read_delegation(chain[-1]).claim
        assert claim.addresses == (Address(node.host, node.resolver_port, node.resolver_port),)
        assert claim.serial == cut.serial
        serials[node.prefix] = claim.serial
    return serials


def test_all_of_it(tmp_path: Path) -> None:
    nodes = small()
    assert make_nodes(nodes, tmp_path, RECORDS) == len(nodes) == 7
    assert set(check(nodes, tmp_path).values()) == {1}
    check_there(nodes, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert make_nodes(nodes, tmp_path, RECORDS) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_more_enterprises_later(tmp_path: Path) -> None:
    make_nodes(small(2, 2), tmp_path, RECORDS)
    more = small(2, 5)
    check_there(more, tmp_path)
    assert make_nodes(more, tmp_path, RECORDS) == 3
    assert set(check(more, tmp_path).values()) == {1}


@pytest.mark.parametrize("step", range(1, 8))
def test_ended_before_a_node_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Whichever it is: the next time goes on. A child that was delegated to and then lost is delegated to anew."""
    nodes = small()
    _fail_at(monkeypatch, step)
    with pytest.raises(SettingsError) as raised:
        make_nodes(nodes, tmp_path, RECORDS)
    assert raised.value.rule is CANNOT_WRITE
    monkeypatch.undo()
    check_there(nodes, tmp_path)
    assert make_nodes(nodes, tmp_path, RECORDS) == len(nodes) - step + 1
    assert set(check(nodes, tmp_path).values()) <= {1, 2}


def _fail_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    rename: Callable[[Path, Path], None] = os.rename
    done: list[Path] = []

    def fail(old: Path, new: Path) -> None:
        done.append(new)
        if len(done) == step:
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(os, "rename", fail)


def test_what_is_there_must_be_what_was_planned(tmp_path: Path) -> None:
    make_nodes(small(), tmp_path, 0)
    for other, wanted in ((small(enterprises=2), NOT_PLANNED), (small(base=91), OTHER_NODE)):
        with pytest.raises(SettingsError) as raised:
            check_there(other, tmp_path)
        assert raised.value.rule is wanted
        assert str(tmp_path) in str(raised.value)


def test_a_custody_node_is_planned_and_not_made(tmp_path: Path) -> None:
    """Until there is somebody to serve the role."""
    planned = plan(read_topology('[province]\nname = "P"\nsecondaries = 1\nenterprises = 0', "p.toml"))
    assert [node.role for node in planned if node.role not in ROLES] == ["custody"]
