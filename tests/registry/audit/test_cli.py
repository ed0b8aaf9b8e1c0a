"""``biaoshi audit`` on a node's directory: exported, verified, and every kind of tampering told of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from biaoshi.making import make_node
from config.load import load_settings
from protocol.status import Exit
from registry.audit.log import AUDIT, entry_name
from registry.store.lmdb.writer import LmdbStore
from registry.store.writes import ANY, Write
from tests.e2e.nodes import run
from tests.registry.house import ADMINISTRATOR, NOW, WHY, ZONE, House


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node on which one enterprise got a prefix that was suspended and resumed."""
    directory = tmp_path_factory.mktemp("audit") / "node"
    config = make_node("secondary", ZONE, directory, port=0)
    store = LmdbStore(load_settings(config).store_path)
    house = House(store)
    prefix = house.allot()
    house.do(house.enterprises.suspend(ADMINISTRATOR, prefix, WHY, NOW))
    house.do(house.enterprises.resume(ADMINISTRATOR, prefix, WHY, NOW))
    store.close()
    return directory


@pytest.fixture
def node(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(made, tmp_path / "node"))


def test_export_and_verify(node: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.ndjson"
    assert run("audit", "export", "--node", node, "--out", out).code == 0
    first, *entries, head = map(json.loads, out.read_text("utf-8").splitlines())
    assert first == {"audit": 1, "zone": ZONE}
    assert [one["action"] for one in entries] == [
        "enterprise.apply", "enterprise.approve", "prefix.allot", "enterprise.prefix", "prefix.host",
        "prefix.suspend", "prefix.resume",
    ]  # fmt: skip
    assert entries[5]["actor"] == ADMINISTRATOR.name
    assert (entries[5]["record"], entries[5]["reason"]) == ("allotment/88.118.00001", WHY.reason)
    assert head["entries"] == len(entries) == 7

    printed = run("audit", "export", "--node", node)
    assert printed.out.splitlines()[:-1] == out.read_text("utf-8").splitlines()[:-1]
    by_file = run("audit", "verify", out, "--anchor", node / "anchor.toml")
    assert (by_file.code, "7 entries hold" in by_file.out, head["link"] in by_file.out) == (0, True, True)
    by_store = run("audit", "verify", "--node", node)
    assert (by_store.code, head["link"] in by_store.out) == (0, True)
    assert "7 条" in run("audit", "verify", "--node", node, env={"BIAOSHI_LANG": "zh"}).out


def test_an_edited_file(node: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.ndjson"
    run("audit", "export", "--node", node, "--out", out)
    out.write_text(out.read_text("utf-8").replace("prefix.suspend", "prefix.suspenD"), "utf-8")
    told = run("audit", "verify", out, "--node", node)
    assert told.code == Exit.NOT_VERIFIED
    assert "entry 5" in told.err
    assert "第 5 条" in run("audit", "verify", out, "--node", node, env={"BIAOSHI_LANG": "zh"}).err


def test_an_edited_store(node: Path, tmp_path: Path) -> None:
    """An entry that was put in place of another, by one who knows the format and may write the disk."""
    head = tmp_path / "head.ndjson"
    assert run("audit", "export", "--node", node, "--head-only", "--out", head).code == 0
    assert len(head.read_text("utf-8").splitlines()) == 2
    assert run("audit", "verify", "--node", node, "--against", head).code == 0

    config = node / "biaoshi.toml"
    store = LmdbStore(load_settings(config).store_path)
    store.apply([Write(AUDIT + b"/" + entry_name(6).encode(), ANY, None)], NOW)
    store.close()
    for command in (("verify", "--node", node), ("export", "--node", node)):
        told = run("audit", *command)
        assert (told.code, "entry 6" in told.err) == (Exit.NOT_VERIFIED, True)


def test_what_was_cut_off_the_end(node: Path, tmp_path: Path) -> None:
    """The store of yesterday put in place of today's: by itself it is whole, beside a later head it is not."""
    yesterday = tmp_path / "yesterday"
    shutil.copytree(node, yesterday)
    store = LmdbStore(load_settings(node / "biaoshi.toml").store_path)
    house = House(store)
    house.do(house.enterprises.suspend(ADMINISTRATOR, "88.118.00001", WHY, NOW))
    store.close()
    head = tmp_path / "head.ndjson"
    run("audit", "export", "--node", node, "--head-only", "--out", head)
    assert run("audit", "verify", "--node", node, "--against", head).code == 0
    assert run("audit", "verify", "--node", yesterday).code == 0
    told = run("audit", "verify", "--node", yesterday, "--against", head)
    assert told.code == Exit.NOT_VERIFIED
    assert "ends after 7 entries" in told.err
    assert "there were 8" in told.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify",), Exit.SETTINGS),
        (("export",), Exit.SETTINGS),
        (("verify", "nowhere.ndjson", "--node", "NODE"), Exit.SETTINGS),
        (("verify", "NODE/biaoshi.toml", "--node", "NODE"), Exit.NOT_VERIFIED),
        (("verify", "/dev/null", "--node", "NODE"), Exit.NOT_VERIFIED),
        (("export", "--node", "NODE", "--out", "/nowhere/x"), Exit.SETTINGS),
    ],
)
def test_what_does_not_work_is_said_in_a_sentence(made: Path, arguments: tuple[str, ...], code: Exit) -> None:
    told = run("audit", *(one.replace("NODE", str(made)) for one in arguments), cwd=made.parent)
    assert told.code == code
    assert told.err.startswith("biaoshi: ")
    assert told.err.count("\n") == 1
