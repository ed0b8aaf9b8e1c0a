"""Configuration files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from config.load import BadConfiguration, Problem, load_settings

KEY: Final = "ed25519:" + "A" * 43 + "="
OTHER_KEY: Final = "ed25519:" + "B" * 42 + "A="

LEAST: Final = '[node]\nrole = "secondary"\nprefix = "88.118"\nname = "n"\n'
"""The least that a configuration says; everything else has a default."""


def write(directory: Path, text: str | bytes) -> Path:
    """A configuration file of that text."""
    path = directory / "biaoshi.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(directory: Path, text: str | bytes) -> BadConfiguration:
    """What is said of a text that is no usable configuration."""
    with pytest.raises(BadConfiguration) as raised:
        load_settings(write(directory, text))
    return raised.value


def problems(directory: Path, text: str | bytes) -> dict[str, Problem]:
    """What is wrong with a text, by option; each option once."""
    found = refused(directory, text).problems
    by_option = {problem.option: problem for problem in found}
    assert len(by_option) == len(found), found
    return by_option
