"""From counts to nodes."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaoshi.topology.plan import Network, Province, Topology, plan, read_topology, topology_text
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
    for node in nodes:
        assert bool(node.samples) == (node.role in ("secondary", "enterprise"))
        if node.role == "secondary":
            hosted = node.samples
            assert covers(node.prefix, hosted)
            assert not any(covers(other.prefix, hosted) for other in nodes if other.role == "enterprise")
    doors = {port for node in nodes if node.door for port in (node.door, node.door + 1)}
    assert len(doors) == 80
    [custody] = [node for node in nodes if node.role == "custody"]
    assert custody.resolver_port == min(doors)


def test_enterprises_are_dealt_out_evenly() -> None:
    nodes = plan(read_topology('[province]\nname = "P"\nsecondaries = 3\nenterprises = 7\ncustody = 0', "p.toml"))
    below = [sum(node.parent == one.name for node in nodes) for one in nodes if one.role == "secondary"]
    assert below == [3, 2, 2]
    assert not any(node.door for node in nodes)


@given(
    name=st.text(max_size=20),
    top=st.sampled_from(["88", "86", "88.A"]),
    counts=st.tuples(st.integers(1, 250), st.integers(0, 250), st.integers(0, 250), st.integers(0, 1)),
    records=st.integers(0, 10_000_000),
    port=st.integers(1, 65_000),
)
def test_a_topology_is_read_as_it_was_written(
    name: str, top: str, counts: tuple[int, int, int, int], records: int, port: int
) -> None:
    secondaries, enterprises, recursives, custody = counts
    province = Province(
        name=name, top=top, secondaries=secondaries, enterprises=enterprises, recursives=recursives, custody=custody,
        records=records,
    )  # fmt: skip
    topology = Topology(province=province, network=Network(base="127.3.0.0", resolver_port=port))
    assert read_topology(topology_text(topology), "p.toml") == topology


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
