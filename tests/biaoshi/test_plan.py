"""From counts to nodes."""

from __future__ import annotations

from importlib.resources import files

import pytest

from biaoshi.topology.plan import plan, read_topology
from protocol.errors import SettingsError
from protocol.identifiers import covers

JIANGSU = files("config").joinpath("jiangsu.toml").read_text("utf-8")


def test_jiangsu_is_1_1_40_and_n() -> None:
    nodes = plan(read_topology(JIANGSU, "jiangsu.toml"))
    roles = [node.role for node in nodes]
    assert {role: roles.count(role) for role in roles} == {
        "top": 1, "secondary": 40, "enterprise": 80, "custody": 1, "recursive": 1
    }  # fmt: skip
    by_name = {node.name: node for node in nodes}
    assert len(by_name) == len(nodes)
    assert len({node.host for node in nodes}) == len(nodes)
    for place, node in enumerate(nodes):
        if node.parent is not None:
            parent = by_name[node.parent]
            assert covers(parent.prefix, node.prefix)
            assert parent.prefix != node.prefix
            assert nodes.index(parent) < place
    doors = [node.door for node in nodes if node.door]
    assert len(doors) == len(set(doors)) == 40


def test_enterprises_are_dealt_out_evenly() -> None:
    nodes = plan(read_topology('[province]\nname = "P"\nsecondaries = 3\nenterprises = 7\ncustody = 0', "p.toml"))
    below = [sum(node.parent == one.name for node in nodes) for one in nodes if one.role == "secondary"]
    assert below == [3, 2, 2]
    assert not any(node.door for node in nodes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "province"),
        ("[province]", "name"),
        ('[province]\nname = "P"\nsecondaries = 0', "secondaries"),
        ('[province]\nname = "P"\nenterprises = 251', "enterprises"),
        ('[province]\nname = "P"\nsecondary = 4', "secondary"),
        ("[province", "TOML"),
        ('[province]\nname = "P"\n[network]\nbase = "10.0.0.0"', "loopback"),
        ('[province]\nname = "P"\n[network]\nbase = "127.88.0.1"', "loopback"),
        ('[province]\nname = "P"\n[network]\nbase = "localhost"', "loopback"),
    ],
)
def test_what_is_no_province(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_topology(text, "p.toml")
    assert said in str(error.value) or said == "TOML"
    assert str(error.value) != error.value.message("zh")
