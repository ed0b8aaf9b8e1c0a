"""Configuration files: those that come with the program, and what is wrong with others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from config.load import ROLES, BadConfiguration, fill, load_settings, put_option, template
from config.settings import KeySettings, Settings

KEY = "ed25519:" + "A" * 43 + "="


def load(path: Path, text: str) -> Settings:
    path.write_text(text, "utf-8")
    return load_settings(path)


def problems(path: Path, text: str) -> list[str]:
    with pytest.raises(BadConfiguration) as raised:
        load(path, text)
    for language in ("en", "zh"):
        assert all(problem.sentence(language) in raised.value.message(language) for problem in raised.value.problems)
    return sorted(problem.option for problem in raised.value.problems)


@pytest.mark.parametrize("role", ROLES)
def test_the_file_of_each_role_is_right_as_it_is(role: str, tmp_path: Path) -> None:
    settings = load(tmp_path / "biaoshi.toml", template(role))
    assert settings.node.role == role
    assert settings.file_path == tmp_path / "biaoshi.toml"
    if role == "custody":
        return  # which has the keys of its zones
    given = set(tomllib.loads(template(role))["keys"])
    of_zones = {"delegations", "delegation_days", "successions", "parent"} if role == "recursive" else set()
    assert given == set(KeySettings.__struct_fields__) - of_zones, "every option is explained"


def test_the_root_is_for_a_top_node(tmp_path: Path) -> None:
    root = fill(template("top"), {"node.prefix": '""'})
    assert load(tmp_path / "a.toml", root).node.prefix == ""
    writer = f'[[registry.writers]]\nname = "a"\nkey = "{KEY}"\nprefixes = ["", "88"]\n'
    assert load(tmp_path / "a.toml", root + writer).registry.writers[0].prefixes == ["", "88"]
    assert problems(tmp_path / "a.toml", root + writer.replace('"88"', '"8..8"')) == ["registry.writers[0].prefixes"]
    assert problems(tmp_path / "a.toml", fill(template("secondary"), {"node.prefix": '""'})) == ["node.prefix"]


def test_every_problem_of_the_keys_is_named(tmp_path: Path) -> None:
    text = fill(template("secondary"), {
        "keys.zone": f'["{KEY}", "rsa:x"]', "keys.parent": '"a:b:c"', "keys.online_days": "0",
        "keys.delegation_days": "-1", "keys.delegations": "[]",
    })  # fmt: skip
    expected = ["keys.delegation_days", "keys.delegations", "keys.online_days", "keys.parent", "keys.zone[1]"]
    assert problems(tmp_path / "a.toml", text) == expected


@pytest.mark.parametrize("parent", ["", "10.0.0.5", "10.0.0.5:26411", "[2001:db8::5]:1", "[::1]", "node.example.cn:7"])
def test_addresses_of_a_parent(parent: str, tmp_path: Path) -> None:
    assert load(tmp_path / "a.toml", fill(template("secondary"), {"keys.parent": f'"{parent}"'})).keys.parent == parent


def test_an_option_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "biaoshi.toml"
    path.write_text(template("secondary"), "utf-8")
    before = path.read_text("utf-8").splitlines()
    put_option(path, "keys.parent", '"10.0.0.5:26411"')
    after = path.read_text("utf-8").splitlines()
    assert [line for line in after if line not in before] == [
        next(line for line in after if line.startswith("parent = "))
    ]
    assert "# host[:port]" in next(line for line in after if line.startswith("parent = "))
    assert load_settings(path).keys.parent == "10.0.0.5:26411"
    with pytest.raises(BadConfiguration):
        put_option(tmp_path / "nowhere" / "x.toml", "keys.parent", '""')
