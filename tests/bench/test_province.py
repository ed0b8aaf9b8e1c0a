"""The benchmark of a province: what it asks, and that nothing wrong gets past it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench import node, province
from bench.node import BenchFailed, generate
from bench.province import Extent, measure_province, running, sample_names
from biaoshi.topology.plan import plan, read_topology
from tests.e2e.nodes import free_base, run

TINY = Extent(secondaries=1, enterprises=2, records=10, seconds=0.2, rounds=1, cold=2)


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any core, and where nobody else serves."""
    for module, name in ((province, "SERVER_CORE"), (node, "GENERATOR_CORE")):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(province, "BASE", free_base())


def test_names() -> None:
    nodes = [one for one in plan(read_topology('[province]\nname = "P"', "p.toml")) if one.samples]
    names = sample_names(nodes, 5)
    every = list(names.every())
    assert len(set(every)) == len(every) == 5 * len(nodes) == 600
    urls = {identifier: names.url(identifier.encode()) for identifier in every}
    assert len(set(urls.values())) == 600
    draw = random.Random(1)
    drawn = {names.draw(draw) for _ in range(10_000)}
    assert drawn == set(every)
    assert len(names.zones) == 120


def test_figures(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in measure_province(tmp_path, TINY)}
    assert set(figures) == {"province_up_s", "province_lookups_per_s", "province_cold_ms", "province_memory_mib"}
    assert all(figure.value > 0 for figure in figures.values())


def test_a_wrong_answer_fails_it(tmp_path: Path) -> None:
    directory = tmp_path / "province"
    load = ("bench.province", "--dir", str(directory))
    with running(directory, TINY):
        enterprise = directory / "enterprise-88.101.20001"
        for number in range(10):
            name = f"88.101.20001/P{number:013d}"
            assert run("update", name, "-v", "URL=https://example.cn/other", "--node", enterprise).code == 0
        with pytest.raises(BenchFailed, match="/other"):
            generate(*load, "--warm")
        with pytest.raises(BenchFailed, match="/other"):
            generate(*load, "--cold", "20")
