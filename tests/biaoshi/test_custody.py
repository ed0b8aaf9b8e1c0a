"""Custody by files: a zone prepared, a request signed, a store rebuilt."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaoshi.custody import restoring
from biaoshi.custody.making import add_zone, begin_anew, custody_settings, find_zone, make_custody
from biaoshi.custody.restoring import restore_from_directory
from biaoshi.custody.vouching import (
    VouchRequest,
    check_zone,
    is_due,
    read_vouch_request,
    vouch,
    vouch_for_followers,
    write_request,
)
from biaoshi.making import make_node
from config.keyfiles import BadKeyFile, read_secret, read_vouched
from config.load import load_settings
from config.settings import Settings
from protocol.errors import BiaoshiError, Refused, SettingsError, StoreError
from protocol.signatures import SigningKey
from protocol.statements import read_online_key
from registry.store.lmdb.writer import LmdbStore
from tests.registry.store.builders import ascending, check_agreement, everything, put
from tests.registry.store.test_copying import check_same, history, take
from tests.vectors.actors import NOW

DAY: Final = 86_400
ZONE_KEY, OTHER_KEY, ONLINE = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


@pytest.fixture
def secondary(tmp_path: Path) -> Settings:
    return load_settings(make_node("secondary", "88.118", tmp_path / "node"))


@pytest.fixture
def custody(tmp_path: Path) -> Settings:
    return custody_settings(make_custody(tmp_path / "custody"))


# A zone on the custody node --------------------------------------------------------------------------


def test_a_zone_is_prepared(secondary: Settings, custody: Settings) -> None:
    prepared = add_zone(custody, "88.118", ["10.0.0.5"], secondary.path("anchor.toml"), None)
    again = custody_settings(custody.file_path)
    assert again.zones == [prepared.zone]
    assert prepared.zone.servers == ["10.0.0.5:26411"]
    view = again.copy_of(prepared.zone)
    assert (view.node.prefix, view.store_path) == ("88.118", custody.path("store/zones/88.118"))
    assert str(SigningKey(read_secret(view.path(view.keys.online))).public) == prepared.request.online
    assert view.path(view.keys.online).parent.stat().st_mode & 0o077 == 0
    assert read_vouch_request(prepared.path) == prepared.request
    second = add_zone(again, "88.119", ["[::1]:7"], secondary.path("anchor.toml"), None)
    assert second.zone.port == prepared.zone.port + 2
    assert second.request.key == prepared.request.key
    assert second.request.online != prepared.request.online
    assert find_zone(custody_settings(custody.file_path), "88.119") == second.zone
    root = add_zone(custody_settings(custody.file_path), "", ["a"], secondary.path("anchor.toml"), 0)
    assert again.copy_of(root.zone).store_path == custody.path("store/zones/root")


def test_a_zone_is_prepared_once(secondary: Settings, custody: Settings) -> None:
    add_zone(custody, "88.118", ["a"], secondary.path("anchor.toml"), None)
    settings = custody_settings(custody.file_path)
    with pytest.raises(SettingsError, match="already"):
        add_zone(settings, "88.118", ["a"], secondary.path("anchor.toml"), None)
    with pytest.raises(SettingsError, match="custody add"):
        find_zone(settings, "88.119")
    with pytest.raises(SettingsError, match="not the configuration of a custody node"):
        custody_settings(secondary.file_path)
    with pytest.raises(SettingsError, match="not empty"):
        make_custody(Path(custody.directory))


def test_a_copy_begins_anew(secondary: Settings, custody: Settings) -> None:
    zone = add_zone(custody, "88.118", ["a"], secondary.path("anchor.toml"), None).zone
    path = custody.copy_of(zone).store_path
    with LmdbStoreOpen(path) as store:
        store.apply([put("88.118/x")], 1)
        with pytest.raises(StoreError, match="another process writes"):
            begin_anew(custody, zone)
    assert begin_anew(custody, zone) == path
    assert not path.exists()


class LmdbStoreOpen:
    """A store that is closed in the end."""

    def __init__(self, path: Path) -> None:
        self._store = LmdbStore(path)

    def __enter__(self) -> LmdbStore:
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.close()


# Vouching --------------------------------------------------------------------------------------------


def test_requests_and_what_is_none(tmp_path: Path) -> None:
    request = VouchRequest("88.118", "custody-1", str(OTHER_KEY.public), str(ONLINE.public))
    write_request(tmp_path / "r", request)
    assert read_vouch_request(tmp_path / "r") == request
    check_zone(request, "88.118")
    with pytest.raises(SettingsError, match="for the zone"):
        check_zone(request, "88.119")
    good = (tmp_path / "r").read_text("utf-8")
    for bad in ("", "zone = 1", good.replace("ed25519:", "rsa:", 1), good.replace("88.118", "\x00"), "[" * 5_000):
        (tmp_path / "r").write_text(bad, "utf-8")
        with pytest.raises(SettingsError, match="no request"):
            read_vouch_request(tmp_path / "r")
    with pytest.raises(BadKeyFile):
        read_vouch_request(tmp_path / "nothing")


@given(st.integers(0, 200 * DAY), st.sampled_from([1.0, 30.0, 90.0]))
def test_a_statement_is_renewed_when_a_third_is_left(seconds: int, days: float) -> None:
    statement = vouch("88.118", "custody-1", str(ONLINE.public), ZONE_KEY, NOW, days)
    claim = read_online_key(statement).claim
    left = claim.not_after - (NOW + seconds)
    due = left <= (claim.not_after - claim.not_before) // 3
    assert is_due(statement, str(ONLINE.public), ZONE_KEY, NOW + seconds) == due
    assert is_due(statement, str(OTHER_KEY.public), ZONE_KEY, NOW)
    assert is_due(statement, str(ONLINE.public), OTHER_KEY, NOW)


@given(st.none() | st.binary(max_size=40))
def test_what_is_no_statement_is_made_anew(raw: bytes | None) -> None:
    assert is_due(raw, str(ONLINE.public), ZONE_KEY, NOW)


def test_followers_that_are_listed_are_vouched_for(secondary: Settings) -> None:
    text = secondary.file_path.read_text("utf-8")
    entries = VouchRequest("88.118", "one", str(OTHER_KEY.public), str(ONLINE.public)).entry
    entries += f'[[registry.followers]]\nname = "two"\nkey = "{ZONE_KEY.public}"\n'
    secondary.file_path.write_text(text.replace("\n[statistics]\n", f"\n{entries}\n[statistics]\n"), "utf-8")
    settings = load_settings(secondary.file_path)
    assert read_vouched(settings) == {}
    signer = SigningKey(read_secret(settings.path("keys/zone.pem")))
    assert [one.name for one in vouch_for_followers(settings, "88.118", signer, NOW)] == ["one"]
    [(name, statement)] = read_vouched(settings).items()
    read = read_online_key(statement)
    assert (name, read.claim.zone, read.claim.key) == ("one", "88.118", ONLINE.public)
    assert read.signed_by(signer.public)
    assert vouch_for_followers(settings, "88.118", signer, NOW) == []
    assert vouch_for_followers(settings, "88.118", signer, NOW + 80 * DAY)


# Restoring -------------------------------------------------------------------------------------------


def restore(settings: Settings, source: Path, *, incomplete: bool = False) -> restoring.Restored:
    return asyncio.run(restore_from_directory(settings, source, incomplete=incomplete))


def test_a_store_is_rebuilt_and_followers_go_on(secondary: Settings, tmp_path: Path) -> None:
    """Whoever followed the lost store goes on with its cursor."""
    copy, other = LmdbStore(tmp_path / "copy"), LmdbStore(tmp_path / "other")
    with LmdbStoreOpen(secondary.store_path) as source:
        history(source)
        take(source, copy)
        take(source, other, 100, 6)
    copy.close()
    secondary.counters_path.mkdir()
    restored = restore(secondary, tmp_path / "copy")
    assert restored.before == secondary.path("store.before-1")
    assert not secondary.counters_path.exists()
    with LmdbStoreOpen(secondary.store_path) as store, LmdbStoreOpen(restored.before) as before:
        check_same(before, store)
        assert restored[:2] == (store.counts().changes, sum(store.counts().active.values()))
        store.apply([put("88.1/000"), put("88.118/new")], 9)
        take(store, other)
        check_same(store, other)
    other.close()


def test_a_restore_goes_on_where_it_was_stopped(
    secondary: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "MAX_CHANGES", 50)
    with LmdbStoreOpen(tmp_path / "copy") as copy:
        history(copy)
        before = everything(copy)
    making = secondary.path("store.restoring")
    with LmdbStoreOpen(tmp_path / "copy") as copy, LmdbStoreOpen(making) as half:
        take(copy, half, 50, 7)
    restore(secondary, tmp_path / "copy")
    assert not making.exists()
    with LmdbStoreOpen(secondary.store_path) as store:
        assert check_agreement(store) == before


def test_what_was_begun_from_another_copy_is_thrown_away(secondary: Settings, tmp_path: Path) -> None:
    with LmdbStoreOpen(secondary.path("store.restoring")) as other:
        other.apply([put("88.118/other")], 1)
    with LmdbStoreOpen(tmp_path / "copy") as copy:
        copy.bulk_load(ascending("88.118", range(600)), 1)
    restore(secondary, tmp_path / "copy")
    with LmdbStoreOpen(secondary.store_path) as store:
        assert len(everything(store)) == 600


def test_a_copy_that_was_never_whole(secondary: Settings, tmp_path: Path) -> None:
    with LmdbStoreOpen(tmp_path / "source") as source, LmdbStoreOpen(tmp_path / "copy") as copy:
        history(source)
        copy.copy(source.changes(None, 20))
    with pytest.raises(Refused, match="never been whole"):
        restore(secondary, tmp_path / "copy")
    assert restore(secondary, tmp_path / "copy", incomplete=True).registered == 18, "and two templates"


def test_what_the_copy_had_seen_of_lost_changes_is_told_to_others(secondary: Settings, tmp_path: Path) -> None:
    """A copy that was behind had bodies of later changes: after the restore its feed names them all again."""
    source, copy = LmdbStore(tmp_path / "source"), LmdbStore(tmp_path / "copy")
    history(source)
    take(source, copy)
    source.apply([put(f"88.1/{number:03d}") for number in range(40)], 9)
    copy.copy(source.changes(copy.standing().end.cursor(), 5))
    end, seen = copy.standing().end, copy.standing().seen
    assert (end.number, seen.number) == (source.standing().end.number - 35, source.standing().end.number)
    source.close()
    copy.close()
    restore(secondary, tmp_path / "copy")
    with LmdbStoreOpen(secondary.store_path) as store:
        assert store.standing().end.number > end.number
        page = store.changes(end.cursor(), 10_000, seen.cursor())
        assert {identifier for part in page.parts for identifier, _ in part.records} == set(everything(store))


def test_not_while_the_node_runs(secondary: Settings, tmp_path: Path) -> None:
    LmdbStore(tmp_path / "copy").close()
    with LmdbStoreOpen(secondary.store_path), pytest.raises(StoreError, match="another process writes"):
        restore(secondary, tmp_path / "copy")


def test_from_where_there_is_no_store(secondary: Settings, tmp_path: Path) -> None:
    with pytest.raises(BiaoshiError, match="no store"):
        restore(secondary, tmp_path / "nothing")
    assert not secondary.path("store.restoring").exists()
    shutil.rmtree(secondary.store_path)
    with LmdbStoreOpen(tmp_path / "copy") as copy:
        copy.apply([put("88.118/x")], 1)
    assert restore(secondary, tmp_path / "copy").before is None
