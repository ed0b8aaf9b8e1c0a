"""What the registry process says beside its store."""

from __future__ import annotations

import shutil
from pathlib import Path

from registry.putback import PutBack
from registry.store.notice import PutBackNotice


def test_a_notice_is_there_while_a_copy_has_more(tmp_path: Path) -> None:
    notice = PutBackNotice(tmp_path)
    put_back = PutBack(notice.write)
    assert notice.read() == []
    assert put_back.has_more("托管一")
    assert put_back.has_more("10.0.0.9:26421")
    assert not put_back.has_more("托管一")
    assert notice.read() == ["托管一", "10.0.0.9:26421"]
    put_back.agrees("托管一")
    assert notice.read() == ["10.0.0.9:26421"]
    put_back.agrees("10.0.0.9:26421")
    put_back.agrees("10.0.0.9:26421")
    assert notice.read() == []
    assert list(tmp_path.iterdir()) == []


def test_a_notice_goes_with_its_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    PutBackNotice(store).write(["one"])
    shutil.move(store, tmp_path / "store.before-1")
    store.mkdir()
    assert PutBackNotice(store).read() == []
