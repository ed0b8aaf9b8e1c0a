"""What a supervisor notes of its node. Starting and restarting is shown with real processes in tests/faults."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from biaoshi.making import make_node
from biaoshi.supervisor import noted
from config.load import load_settings
from protocol.errors import SettingsError


def test_the_note(tmp_path: Path) -> None:
    settings = load_settings(make_node("secondary", "88.118", tmp_path / "node", port=0))
    with noted(settings, 4001, 4002, {"registry": 7}):
        told = json.loads(settings.run_path.read_text("utf-8"))
    assert told == {
        "pid": os.getpid(), "resolver": ["127.0.0.1", 4001], "registry": ["127.0.0.1", 4002],
        "processes": {"registry": 7},
    }  # fmt: skip
    assert not settings.run_path.exists()
    with noted(settings, 4001, 0, {}):
        assert "registry" not in json.loads(settings.run_path.read_text("utf-8"))


def test_a_note_that_cannot_be_written(tmp_path: Path) -> None:
    settings = load_settings(make_node("secondary", "88.118", tmp_path / "node", port=0))
    settings.run_path.mkdir()
    (settings.run_path / "something").touch()
    with pytest.raises(SettingsError) as raised, noted(settings, 4001, 4002, {}):
        pass
    assert str(settings.run_path) in str(raised.value)
    assert not list(settings.run_path.parent.glob("*.tmp"))
