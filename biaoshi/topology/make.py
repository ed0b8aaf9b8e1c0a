"""Make the nodes of a plan: keys, configuration, delegations, stores with sample records.

All in one process and without a network, by the rules that hold between nodes elsewhere: a child's request, its
parent's signed statement, judged as a registry does, and the chain, verified from the top's anchor as the child does.

A node is made beside its place and put there when everything is done; so whatever moment this ends at, it may be
called again and goes on with what is there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from biaoshi.delegation.child import judge_chain, make_request
from biaoshi.delegation.parent import issued
from biaoshi.making import ANCHOR_NAME, CANNOT_WRITE, CONFIG_NAME, make_node, make_recursive
from biaoshi.topology.copies import (
    add_zones,
    addresses_of,
    check_custody,
    custody_of,
    follower_entry,
    make_custody_node,
    zones_in_custody,
)
from biaoshi.topology.plan import Planned
from biaoshi.topology.samples import registrations
from config.keyfiles import read_anchor, read_delegations, read_secret, write_anchor, write_whole
from config.load import load_settings, toml_string
from config.settings import Settings
from protocol.errors import Rule, SettingsError
from protocol.signatures import SigningKey
from protocol.statements import Address, read_request
from protocol.status import Status
from protocol.trust import TrustAnchor, Zone, verify_zone
from registry.delegating import Parent, Standing, judge_delegation
from registry.store.lmdb.writer import LmdbStore
from registry.store.system import DELEGATIONS, read_system, system_identifier, system_write
from registry.store.writes import Write

LOADED_AT_ONCE: Final = 10_000
"""Sample records in one transaction: some megabytes."""

OTHER_NODE: Final = Rule(
    "topology.other-node",
    Status.SETTINGS,
    "{path} is a node for '{prefix}' at {address}, and the plan has '{wanted}' at {planned} there: take another --dir, "
    "or the plan that the directory was made from",
    "{path} 是“{prefix}”的节点（{address}），而部署文件要求“{wanted}”（{planned}）："
    "请改用其他 --dir，或使用该目录原来的部署文件",
)
NOT_PLANNED: Final = Rule(
    "topology.not-planned",
    Status.SETTINGS,
    "{path} is no node of the plan: take another --dir, or as many nodes as the directory was made with",
    "{path} 不在部署文件之内：请改用其他 --dir，或保持该目录原来的节点数量",
)

_MAKING: Final = ".making"


class _Authority(NamedTuple):
    """A node with a zone, as its children need it: its zone key, its zone as verified, and the delegations above."""

    directory: Path
    key: SigningKey
    zone: Zone
    chain: tuple[bytes, ...]


def check_there(nodes: Sequence[Planned], directory: Path) -> None:
    """Check that the nodes that are there already are those of the plan. Raises :class:`SettingsError`,
    :class:`~config.load.BadConfiguration`."""
    planned = {node.name: node for node in nodes}
    for config in sorted(directory.glob(f"*/{CONFIG_NAME}")):
        node = planned.get(config.parent.name)
        if node is None:
            raise SettingsError(NOT_PLANNED, path=str(config.parent))
        settings = load_settings(config)
        there = _place(settings)
        if there != node_place(node):
            raise SettingsError(
                OTHER_NODE, path=str(config.parent), prefix=settings.node.prefix, wanted=node.prefix,
                address=f"{there[2]}:{there[3]}", planned=f"{node.host}:{node.resolver_port}",
            )  # fmt: skip
    check_custody(nodes, directory)


def node_place(node: Planned) -> tuple[str, str, str, int, int]:
    """What must not change once a node is made: others have been told."""
    return (node.role, node.prefix, node.host, node.resolver_port, node.registry_port if node.prefix else 0)


def _place(settings: Settings) -> tuple[str, str, str, int, int]:
    resolver, node = settings.resolver, settings.node
    port = settings.zones[0].port if settings.zones else resolver.port
    return (node.role, node.prefix, resolver.host, port, settings.registry.port if node.prefix else 0)


def make_nodes(nodes: Sequence[Planned], directory: Path, records: int) -> int:
    """Make the nodes that are not there yet, parents before children, as ``plan`` gives them, with so many sample
    records each; how many were made. Raises :class:`SettingsError`, :class:`~protocol.errors.StoreError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    workshop = directory / _MAKING
    try:
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir()
        by_name, custody = {node.name: node for node in nodes}, custody_of(nodes)
        zones, anchor = zones_in_custody(nodes), directory / nodes[0].name / ANCHOR_NAME
        missing = [node for node in nodes if not (directory / node.name / CONFIG_NAME).exists()]
        for parent, children in _by_parent(missing).items():
            if parent is not None:
                _make_children(by_name[parent], children, custody, directory, records)
                continue
            for node in children:
                if node.role == "recursive":
                    _make_recursive(node, nodes[0], directory)
                elif node.role == "custody":
                    make_custody_node(node, zones, anchor, workshop / node.name)
                    _settle(workshop / node.name)
                else:
                    _settle(_make(node, None, None, directory, records))
            if custody is not None:  # the secondaries that are made now have a place there
                add_zones(directory / custody.name / CONFIG_NAME, zones, anchor)
        workshop.rmdir()
    except OSError as error:
        path = error.filename or directory
        raise SettingsError(CANNOT_WRITE, path=str(path), reason=error.strerror or str(error)) from error
    return len(missing)


def _by_parent(nodes: Sequence[Planned]) -> dict[str | None, list[Planned]]:
    """Children with their parent, so that all of one are delegated in one transaction. Those without come first."""
    grouped: dict[str | None, list[Planned]] = {None: []}
    for node in nodes:
        grouped.setdefault(node.parent, []).append(node)
    return grouped


def _make(node: Planned, parent: Planned | None, custody: Planned | None, directory: Path, records: int) -> Path:
    """Make a node with a zone, in the workshop; where it is."""
    path = directory / _MAKING / node.name
    config = make_node(node.role, node.prefix, path, more=_options(node, parent))
    if custody is not None and node.door:
        entry = follower_entry(node, custody, directory)
        config.write_text(config.read_text("utf-8").replace("\n[statistics]", f"\n{entry}\n[statistics]"), "utf-8")
    if node.samples and records:
        with closing(LmdbStore(load_settings(config).store_path)) as store:
            for batch in _batches(registrations(node.samples, records)):
                store.bulk_load(batch, int(time.time()))
    return path


def _options(node: Planned, parent: Planned | None) -> dict[str, str]:
    above = toml_string(f"{parent.host}:{parent.registry_port}" if parent else "")
    return {
        "node.name": toml_string(node.name),
        "node.processes": '"light"',
        "keys.parent": above,
        "resolver.host": toml_string(node.host),
        "resolver.port": str(node.resolver_port),
        "registry.host": toml_string(node.host),
        "registry.port": str(node.registry_port),
        "statistics.report_to": above,
    }


def _batches(writes: Iterator[Write]) -> Iterator[list[Write]]:
    while batch := list(islice(writes, LOADED_AT_ONCE)):
        yield batch


def _make_recursive(node: Planned, top: Planned, directory: Path) -> None:
    path = directory / _MAKING / node.name
    root = f"{top.host}:{top.resolver_port}"
    make_recursive(directory / top.name / ANCHOR_NAME, [root], path, more=_options(node, None))
    _settle(path)


def _settle(path: Path) -> None:
    """Put a node that is made in its place."""
    os.rename(path, path.parent.parent / path.name)


# Delegations ------------------------------------------------------------------------------------------


def _make_children(
    parent: Planned, children: Sequence[Planned], custody: Planned | None, directory: Path, records: int
) -> None:
    """Make the children of a node and delegate to them. Should this end before they are in their places, they are made
    anew and their delegations replaced."""
    anchor = directory / "top" / ANCHOR_NAME
    above = _authority(directory / parent.name, anchor)
    made = [_make(child, parent, custody, directory, records) for child in children]
    with closing(LmdbStore(load_settings(above.directory / CONFIG_NAME).store_path)) as store:
        writes = [
            _delegate(above, child, addresses_of(child, custody), path, anchor, store)
            for child, path in zip(children, made, strict=True)
        ]
        store.apply(writes, int(time.time()))
    for path in made:
        _settle(path)


def _authority(directory: Path, anchor: Path) -> _Authority:
    settings = load_settings(directory / CONFIG_NAME)
    chain = read_delegations(settings.path(settings.keys.delegations))
    key = SigningKey(read_secret(settings.path(settings.keys.zone_secret)))
    zone = verify_zone(TrustAnchor.parse(*read_anchor(anchor)), chain, int(time.time()))
    return _Authority(directory, key, zone, chain)


def _delegate(
    above: _Authority, node: Planned, addresses: list[Address], path: Path, anchor: Path, store: LmdbStore
) -> Write:
    """Delegate to a node that was made at ``path``, answered for at ``addresses``: it gets its chain and the top's
    anchor; the write is for the parent's store."""
    settings = load_settings(path / CONFIG_NAME)
    now = int(time.time())
    request = read_request(make_request(settings, settings.path(settings.keys.zone_secret), addresses, now))
    serial, contents = read_system(store.find(system_identifier(DELEGATIONS, node.prefix)))
    statement = issued(request, serial, above.zone, settings.keys.delegation_days, now).sign(above.key)
    parent = Parent(above.zone.prefix, above.zone.keys, above.zone.not_after, len(above.chain))
    judge_delegation(
        statement, parent, Standing(serial, None if contents is None else contents["DELEGATION"], None), now
    )
    chain = (*above.chain, statement)
    top = read_anchor(anchor)
    judge_chain(TrustAnchor.parse(*top), chain, (), node.prefix, settings.keys.zone, now)
    write_whole(settings.path(settings.keys.delegations), b"".join(chain))
    write_anchor(path / ANCHOR_NAME, top)
    return system_write(DELEGATIONS, node.prefix, {"DELEGATION": statement}, serial)
