"""What can be set: defaults, and paths that begin at the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from config import settings
from config.load import load_settings
from protocol.limits import DEFAULT_PORT
from tests.config.writing import LEAST, write


def test_the_least_file_and_the_defaults(tmp_path: Path) -> None:
    loaded = load_settings(write(tmp_path, LEAST))
    assert loaded == settings.Settings(
        node=settings.NodeSettings(role="secondary", prefix="88.118", name="n"),
        directory=str(tmp_path),
        file="biaoshi.toml",
    )
    assert (loaded.resolver.host, loaded.resolver.port, loaded.resolver.workers) == ("127.0.0.1", DEFAULT_PORT, 1)
    assert (loaded.registry.host, loaded.registry.port, loaded.registry.writers) == ("127.0.0.1", DEFAULT_PORT + 1, [])
    assert (loaded.resolver.listing, loaded.resolver.unsealed) == (True, False)
    assert (loaded.log.level, loaded.log.format) == ("info", "text")


def test_nothing_is_open_to_other_machines_by_default() -> None:
    assert {settings.ResolverSettings().host, settings.RegistrySettings().host} == {"127.0.0.1"}


def test_relative_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "below", LEAST + 'data = "../data"\n')
    monkeypatch.chdir(tmp_path)
    loaded = load_settings(path.relative_to(tmp_path))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert loaded.store_path == tmp_path / "below" / "../data"
    assert loaded.run_path == tmp_path / "below/run.json"
    assert loaded.path("keys/online.pem") == tmp_path / "below/keys/online.pem"
    assert loaded.path("/etc/biaoshi/online.pem") == Path("/etc/biaoshi/online.pem")


def test_a_link_to_the_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.toml").symlink_to(write(tmp_path / "real", LEAST))
    assert load_settings(tmp_path / "link.toml").store_path == tmp_path / "real/store"


def test_lists_of_two_files_are_two_lists(tmp_path: Path) -> None:
    one, two = (load_settings(write(tmp_path, LEAST)) for _ in range(2))
    one.keys.zone.append("x")
    assert two.keys.zone == []


@pytest.mark.parametrize("section", [one for one in vars(settings).values() if isinstance(one, type)
                                     and issubclass(one, msgspec.Struct)])  # fmt: skip
def test_every_default_is_a_legal_value(section: Any) -> None:
    hints = get_type_hints(section, include_extras=True)
    for field in msgspec.structs.fields(section):
        if field.default is not msgspec.NODEFAULT:
            assert msgspec.convert(field.default, hints[field.name], strict=True) == field.default
