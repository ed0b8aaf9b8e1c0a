"""Where commands look: their option first, then the node's directory, then the defaults; and which language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.places import (
    DEFAULT_REGISTRY,
    DEFAULT_RESOLVER,
    NoNodeRuns,
    anchor_path,
    key_path,
    language,
    registry_address,
    resolver_address,
)
from protocol.address import Address, parse_address
from protocol.limits import DEFAULT_PORT

Ask = Callable[[str | None, Path | None], str]
EITHER = pytest.mark.parametrize(("ask", "default"), [(resolver_address, DEFAULT_RESOLVER),
                                                      (registry_address, DEFAULT_REGISTRY)])  # fmt: skip


def run_json(directory: Path, content: object) -> Path:
    """A node's directory with that ``run.json``."""
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / "run.json").write_text(text, "utf-8")
    return directory


RUNNING = {"pid": 1, "resolver": ["127.0.0.1", 4001], "registry": ["::1", 4002], "processes": {}}


def test_addresses_of_a_running_node(tmp_path: Path) -> None:
    node = run_json(tmp_path, RUNNING)
    assert resolver_address(None, node) == "127.0.0.1:4001"
    assert registry_address(None, node) == "[::1]:4002"
    assert parse_address(registry_address(None, node)) == Address("::1", 4002)


def test_a_node_that_serves_all_addresses_is_found_on_this_machine(tmp_path: Path) -> None:
    node = run_json(tmp_path, {"resolver": ["0.0.0.0", 4001], "registry": ["::", 4002]})
    assert resolver_address(None, node) == "127.0.0.1:4001"
    assert registry_address(None, node) == "[::1]:4002"


@EITHER
def test_the_option_comes_first(tmp_path: Path, ask: Ask, default: str) -> None:
    assert ask("10.0.0.5", run_json(tmp_path, RUNNING)) == "10.0.0.5"
    assert ask("10.0.0.5", None) == "10.0.0.5"


@EITHER
def test_the_default_comes_last(tmp_path: Path, ask: Ask, default: str) -> None:
    assert ask(None, None) == default
    assert ask("", None) == default, "an empty environment variable is none"


@EITHER
@pytest.mark.parametrize("where", [".", "no/such/directory"])
def test_a_directory_in_which_no_node_runs(tmp_path: Path, ask: Ask, default: str, where: str) -> None:
    """At the default address there may be another node, whose answers would be taken for this one's."""
    with pytest.raises(NoNodeRuns) as raised:
        ask(None, tmp_path / where)
    assert str(tmp_path / where) in raised.value.message("zh")
    assert "biaoshi serve --config" in str(raised.value)
    assert ("--server" if ask is resolver_address else "--registry") in str(raised.value)


def test_defaults_are_those_of_the_settings() -> None:
    assert parse_address(DEFAULT_RESOLVER).port == DEFAULT_PORT
    assert parse_address(DEFAULT_REGISTRY).port == DEFAULT_PORT + 1


@EITHER
@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "{}",
        {"resolver": None, "registry": None},
        {"resolver": [], "registry": []},
        {"resolver": 5, "registry": 5},
        {"resolver": [4001, "127.0.0.1"], "registry": [None, 1]},
        {"resolver": ["a", 1, 2], "registry": ["a"]},
    ],
    ids=repr,
)
def test_a_note_that_no_node_wrote(tmp_path: Path, content: object, ask: Ask, default: str) -> None:
    with pytest.raises(NoNodeRuns):
        ask(None, run_json(tmp_path, content))


@EITHER
def test_a_note_that_cannot_be_read(tmp_path: Path, ask: Ask, default: str) -> None:
    (tmp_path / "run.json").write_bytes(b"\xff\xfe")
    with pytest.raises(NoNodeRuns):
        ask(None, tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "run.json").mkdir()
    with pytest.raises(NoNodeRuns):
        ask(None, tmp_path)


@pytest.mark.parametrize(("ask", "name"), [(anchor_path, "anchor.toml"), (key_path, "keys/writer.pem")])
def test_files(ask: Callable[[Path | None, Path | None], Path], name: str) -> None:
    assert ask(None, None) == Path(name)
    assert ask(None, Path("node")) == Path("node") / name
    assert ask(Path("other"), Path("node")) == Path("other")


# Language --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "ZH"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN", "LC_MESSAGES": "en_US"}, "en"),
        ({"LC_MESSAGES": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "zh_TW", "BIAOSHI_LANG": "en"}, "en"),
        ({"LC_ALL": "C", "BIAOSHI_LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN", "BIAOSHI_LANG": ""}, "zh"),
    ],
)
def test_language(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("BIAOSHI_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == expected
