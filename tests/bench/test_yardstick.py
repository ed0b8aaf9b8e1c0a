"""What the machine can do, told beside the figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import yardstick
from registry.store.lmdb.writer import LmdbStore
from tests.registry.store.builders import ascending


def test_a_store_is_read_and_hashes_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LmdbStore(tmp_path / "store")
    store.apply(ascending("88.118", range(100)), 1)
    store.close()
    monkeypatch.setattr(yardstick, "HASHES", 100)
    assert yardstick.hashes_per_s(100) > 0
    assert yardstick.reads_per_s(tmp_path / "store", seed=1, count=500) > 0
    monkeypatch.setattr(sys, "argv", ["yardstick", "--store", str(tmp_path / "store")])
    yardstick.main()
    assert set(json.loads(capsys.readouterr().out)) == {"machine_hashes_per_s", "machine_reads_per_s"}
