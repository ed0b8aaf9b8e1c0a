"""The nodes of a province as they are made: keys, chains, delegations and records fit, whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biaoshi.custody.making import custody_settings
from biaoshi.delegation.child import judge_chain
from biaoshi.making import CANNOT_WRITE, CONFIG_NAME
from biaoshi.topology.copies import NO_CUSTODY, custody_of
from biaoshi.topology.make import NOT_PLANNED, OTHER_NODE, check_there, make_nodes
from biaoshi.topology.plan import Planned, plan, read_topology
from biaoshi.topology.samples import sample
from config.keyfiles import read_anchor, read_delegations, read_identity, read_secret
from config.load import load_settings
from protocol.errors import SettingsError
from protocol.node import own_keys
from protocol.signatures import SigningKey
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
    custody = custody_of(nodes)
    for node in nodes:
        if node.role == "custody":
            check_copies(nodes, node, directory)
            continue
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
        own = Address(node.host, node.resolver_port, node.resolver_port)
        copy = [Address(custody.host, node.door, node.door)] if custody and node.door else []
        assert claim.addresses == (own, *copy)
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


# With a custody node -----------------------------------------------------------------------------------


def in_custody(secondaries: int = 2, enterprises: int = 3) -> list[Planned]:
    return plan(
        read_topology(SMALL.replace("custody = 0", "custody = 1").format(secondaries, enterprises, 90), "p.toml")
    )


def check_copies(nodes: list[Planned], custody: Planned, directory: Path) -> None:
    """The custody node has each secondary's zone, at the ports that are planned, and each secondary lists it."""
    settings = custody_settings(directory / custody.name / CONFIG_NAME)
    assert (settings.resolver.host, settings.registry.host) == (custody.host, custody.host)
    secondaries = [node for node in nodes if node.role == "secondary"]
    assert [zone.prefix for zone in settings.zones] == [node.prefix for node in secondaries]
    top = read_anchor(directory / "top/anchor.toml")
    key = SigningKey(read_secret(settings.path("keys/follower.pem"))).public
    for node, zone in zip(secondaries, settings.zones, strict=True):
        assert zone.servers == [f"{node.host}:{node.registry_port}"]
        assert (zone.port, zone.registry_port) == (node.door, node.door + 1)
        assert read_anchor(settings.path(zone.anchor)) == top
        view = settings.copy_of(zone)
        online = SigningKey(read_secret(view.path(view.keys.online))).public
        [follower] = load_settings(directory / node.name / CONFIG_NAME).registry.followers
        assert (follower.name, follower.key, follower.online) == (custody.name, str(key), str(online))
    ports = [port for zone in settings.zones for port in (zone.port, zone.registry_port)]
    assert len(set(ports)) == len(ports)


def test_a_custody_node(tmp_path: Path) -> None:
    nodes = in_custody()
    assert make_nodes(nodes, tmp_path, RECORDS) == len(nodes) == 8
    assert set(check(nodes, tmp_path).values()) == {1}
    check_there(nodes, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert make_nodes(nodes, tmp_path, RECORDS) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_more_secondaries_later_are_in_custody_as_well(tmp_path: Path) -> None:
    make_nodes(in_custody(1, 0), tmp_path, RECORDS)
    more = in_custody(3, 0)
    check_there(more, tmp_path)
    assert make_nodes(more, tmp_path, RECORDS) == 2
    assert set(check(more, tmp_path).values()) == {1}


@pytest.mark.parametrize("step", range(1, 9))
def test_ended_before_one_of_them_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    nodes = in_custody()
    _fail_at(monkeypatch, step)
    with pytest.raises(SettingsError):
        make_nodes(nodes, tmp_path, RECORDS)
    monkeypatch.undo()
    check_there(nodes, tmp_path)
    make_nodes(nodes, tmp_path, RECORDS)
    assert set(check(nodes, tmp_path).values()) <= {1, 2}


def test_a_province_that_knows_no_custody_node_gets_none(tmp_path: Path) -> None:
    make_nodes(small(), tmp_path, 0)
    with pytest.raises(SettingsError) as raised:
        check_there(in_custody(), tmp_path)
    assert raised.value.rule is NO_CUSTODY
    assert str(tmp_path / "custody") in str(raised.value)
