"""Files that may not be read, also where the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65_534


@pytest.fixture
def without_rights(tmp_path: Path) -> Iterator[None]:
    """In a directory that the process may enter, everything that the test made and makes there is closed to it."""
    for path in (tmp_path / "biaoshi.toml", tmp_path / "closed"):
        path.write_text("")
        path.chmod(0)
    (tmp_path / "locked").mkdir(mode=0o555)
    opened = [one for one in tmp_path.parents if one.stat().st_uid == os.geteuid() and not one.stat().st_mode & 0o001]
    modes = {one: one.stat().st_mode for one in (*opened, tmp_path)}
    for one, mode in modes.items():
        one.chmod(mode | 0o055)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for one, mode in modes.items():
            one.chmod(mode)
