"""Followers and copied zones: what may be set, and that everything wrong is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.writing import KEY, LEAST, problems

CUSTODY = '[node]\nrole = "custody"\nprefix = "{}"\nname = "n"\n'
ZONE = '[[zones]]\nprefix = "{}"\nservers = ["{}"]\nport = {}\nregistry_port = {}\n'


def test_everything_wrong_with_followers(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + f"""
        [registry]
        acknowledge = "later"
        custody = ["a:b:c", ""]
        keep = -1
        [[registry.followers]]
        name = "custody 1"
        key = "ed25519:short"
        online = "no"
        [[registry.followers]]
        name = "two"
        key = "{KEY}"
        [[registry.followers]]
        name = "two"
        key = "{KEY}"
        [[registry.followers]]
        name = ""
    """)  # fmt: skip
    assert set(found) == {
        "registry.acknowledge", "registry.custody[0]", "registry.custody[1]", "registry.keep",
        "registry.followers[0].name", "registry.followers[0].key", "registry.followers[0].online",
        "registry.followers[2].name", "registry.followers[2].key", "registry.followers[3].name",
        "registry.followers[3].key",
    }  # fmt: skip


def test_what_nobody_confirms_is_not_waited_for(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + '[registry]\nacknowledge = "custody"\n')
    assert set(found) == {"registry.acknowledge"}
    assert "[[registry.followers]]" in found["registry.acknowledge"].en


def test_everything_wrong_with_zones(tmp_path: Path) -> None:
    zones = (ZONE.format("88.118", "a:b:c", 7, 7), ZONE.format("88..1", "", 0, 0), ZONE.format("88.118", "a", 7, 8))
    found = problems(tmp_path, CUSTODY.format("88") + "".join(zones) + '[[zones]]\nprefix = "88"\n')
    assert set(found) == {
        "node.prefix", "zones[0].servers[0]", "zones[0].registry_port", "zones[1].prefix", "zones[1].servers[0]",
        "zones[2].prefix", "zones[2].port", "zones[3].servers", "zones[3].port", "zones[3].registry_port",
    }  # fmt: skip
    assert "zones[0].port" in found["zones[0].registry_port"].en


@pytest.mark.parametrize("value", ["1", '"x"', "[1]"])
def test_what_is_no_table(tmp_path: Path, value: str) -> None:
    """It is named and nothing falls over it."""
    assert problems(tmp_path, f"zones = {value}\nregistry = {value}\n" + CUSTODY.format(""))


def test_a_custody_node_is_not_light(tmp_path: Path) -> None:
    assert set(problems(tmp_path, CUSTODY.format("") + 'processes = "light"\n')) == {"node.processes"}


def test_zones_are_for_custody_nodes(tmp_path: Path) -> None:
    assert set(problems(tmp_path, LEAST + ZONE.format("88.1", "a", 1, 2))) == {"zones"}
