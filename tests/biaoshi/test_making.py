"""A node is made whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from biaoshi import making
from config.keyfiles import BadKeyFile
from protocol.errors import SettingsError


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def unwritable(*_: object, **__: object) -> None:
    raise BadKeyFile("keys/zone.pem cannot be written", "keys/zone.pem 无法写入")


@pytest.mark.parametrize("part", ["write_anchor", "fill", "_make_key", "LmdbStore"])
@pytest.mark.parametrize("fails", [full, unwritable])
@pytest.mark.parametrize("there", [False, True])
def test_where_something_cannot_be_written_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, fails: Callable[..., None], there: bool
) -> None:
    directory = tmp_path / "node"
    if there:
        directory.mkdir()
    with monkeypatch.context() as broken:
        broken.setattr(making, part, fails)
        with pytest.raises((SettingsError, BadKeyFile)):
            making.make_node("secondary", "88.118", directory, port=0)
    assert directory.exists() is there
    assert not there or not any(directory.iterdir())
    assert making.make_node("secondary", "88.118", directory, port=0).exists(), "the same can be asked for again"


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(SettingsError):
        making.make_node("secondary", "88.118", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
