"""The command line against a real node: every command, every exit code, both languages, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from protocol.status import Exit
from tests.conftest import MakeNode
from tests.e2e.nodes import CLEAN, Node, change, run

ZH = {"BIAOSHI_LANG": "zh"}
COMMANDS = ("init", "serve", "renew", "key", "resolve", "verify", "list", "status", "register", "update", "delete")
COMMANDS += ("import", "export", "suspend", "resume")


def register(node: Node, identifier: str, *values: str) -> None:
    outcome = node.run("register", identifier, *(part for value in values for part in ("-v", value)))
    assert outcome.code == 0, outcome.err


# One record's life -----------------------------------------------------------------------------------


def test_life_of_a_record(node: Node) -> None:
    pump = "88.118.1/P0001"
    made = node.run("register", pump, "-v", "URL=https://example.com/p1", "-v", "NAME=齿轮泵")
    assert (made.code, made.out) == (0, f"{pump}  version 1\n")

    shown = node.run("resolve", pump)
    assert shown.code == 0
    assert "https://example.com/p1" in shown.out
    assert "齿轮泵" in shown.out
    assert "✔ verified" in shown.out

    again = node.run("register", pump, "-v", "URL=https://example.com/p1", "-v", "NAME=齿轮泵")
    assert (again.code, again.out) == (0, f"{pump}  version 1 (as it was)\n")

    other = node.run("register", pump, "-v", "URL=https://example.com/other")
    assert other.code == Exit.CONFLICT
    assert pump in other.err
    assert "registered already" in other.err
    assert "biaoshi update" in other.err
    again = node.run("register", pump, "-v", "URL=https://example.com/other", env=ZH)
    assert "biaoshi update" in again.err

    updated = node.run("update", pump, "-v", "URL=https://example.com/p2")
    assert (updated.code, updated.out) == (0, f"{pump}  version 2\n")
    late = node.run("update", pump, "-v", "URL=https://example.com/p3", "--if-version", 1)
    assert late.code == Exit.CONFLICT

    [answer] = node.run("resolve", "--json", pump).lines()
    assert answer["status"] == "ok"
    assert answer["version"] == 2
    assert answer["values"] == [{"index": 1, "type": "URL", "data": "https://example.com/p2", "ttl": 86_400}]
    assert answer["proof"]["zone"] == "88.118"
    assert answer["proof"]["node"] == "secondary-88.118"

    gone = node.run("delete", pump)
    assert (gone.code, gone.out) == (0, f"{pump}  version 3\n")
    assert node.run("delete", pump).out == f"{pump}  version 3 (as it was)\n"
    withdrawn = node.run("resolve", pump)
    assert withdrawn.code == Exit.NOT_FOUND
    assert "withdrawn" in withdrawn.out
    assert node.run("update", pump, "-v", "URL=https://example.com/p4").code == Exit.NOT_FOUND
    assert node.run("register", pump, "-v", "URL=https://example.com/p4").out == f"{pump}  version 4\n"


def test_what_a_record_was(node: Node) -> None:
    pump = "88.118.1/P0002"
    register(node, pump, "URL=https://example.com/1")
    assert node.run("update", pump, "-v", "URL=https://example.com/2").code == 0
    assert node.run("delete", pump).code == 0
    history = node.run("history", pump)
    assert history.code == 0
    assert [line.split(",")[0] for line in history.out.splitlines() if line.startswith("version")] == [
        "version 3", "version 2", "version 1",
    ]  # fmt: skip
    assert "withdrawn" in history.out
    assert "注销" in node.run("history", pump, env=ZH).out
    versions = [json.loads(line)["version"] for line in node.run("history", pump, "--json").out.splitlines()]
    assert versions == [3, 2, 1]
    now = node.run("resolve", pump, "--as-of", "2100-01-01")
    assert now.code == Exit.NOT_FOUND
    assert "withdrawn" in now.out
    before = node.run("resolve", pump, "--as-of", "2000-01-01T00:00:00+08:00")
    assert before.code == Exit.NOT_FOUND
    assert "no such identifier" in before.out
    assert node.run("resolve", pump, "--as-of", "yesterday").code == Exit.BAD_INPUT
    assert node.run("resolve", pump, "--as-of", "2000-01-01", "--udp").code == Exit.USAGE
    assert node.run("history", "88.118.1/never").code == Exit.NOT_FOUND


def test_values_indexes_ttl_and_restriction(node: Node) -> None:
    part = "88.118.2/part"
    made = node.run("register", part, "-v", "URL=https://a.example/?a=b", "-v", "2001:批次=", "--ttl", 60)
    assert made.code == 0, made.err
    [answer] = node.run("resolve", "--json", part).lines()
    assert [(one["index"], one["type"], one["data"], one["ttl"]) for one in answer["values"]] == [
        (1, "URL", "https://a.example/?a=b", 60),
        (2001, "批次", "", 60),
    ]
    assert answer["ttl"] == 60

    secret = "88.118.2/secret"
    assert node.run("register", secret, "-v", "PRICE=12", "--restricted").code == 0
    [answer] = node.run("resolve", "--json", secret).lines()
    assert (answer["status"], answer["values"]) == ("ok", [])
    assert '"PRICE"' in node.run("export", "88.118.2").out


def test_prefix_letters_compare_without_case(node: Node) -> None:
    register(node, "88.118.a3/Case", "NAME=x")
    assert node.run("resolve", "88.118.A3/Case").code == 0
    assert node.run("resolve", "88.118.a3/case").code == Exit.NOT_FOUND


def test_resolve_from_standard_input_keeps_the_order(node: Node) -> None:
    names = [f"88.118.4/{i}" for i in (3, 1, 2)]
    for name in names:
        register(node, name, f"NAME={name}")
    wanted = [*names, "88.118.4/absent", names[0]]
    outcome = node.run("resolve", "--json", "-", stdin="\n".join(wanted) + "\n")
    assert outcome.code == Exit.NOT_FOUND
    assert [line["identifier"] for line in outcome.lines()] == wanted
    assert [line["status"] for line in outcome.lines()] == ["ok", "ok", "ok", "not_found", "ok"]


def test_resolve_over_udp_and_with_a_trace(node: Node) -> None:
    register(node, "88.118.5/u", "URL=https://example.com/u")
    outcome = node.run("resolve", "88.118.5/u", "--udp", "--trace")
    assert outcome.code == 0
    assert "https://example.com/u" in outcome.out
    assert "verified" in outcome.err
    large = "x" * 4_000
    register(node, "88.118.5/large", f"TEXT={large}")
    [answer] = node.run("resolve", "88.118.5/large", "--udp", "--json").lines()
    assert answer["values"][0]["data"] == large


def test_list_with_and_without_limit(node: Node) -> None:
    for name in ("88.118.6/b", "88.118.6/a", "88.118.6.1/c", "88.118.6/gone"):
        register(node, name, "NAME=x")
    assert node.run("delete", "88.118.6/gone").code == 0
    assert node.run("list", "88.118.6").out.split() == ["88.118.6/a", "88.118.6/b", "88.118.6.1/c"]
    assert node.run("list", "88.118.6", "--limit", 2).out.split() == ["88.118.6/a", "88.118.6/b"]
    assert node.run("list", "88.118.66").out == ""
    assert node.run("list", "88.119").code == Exit.NOT_FOUND
    assert node.run("list", "88..118").code == Exit.BAD_INPUT


def test_status_in_text_and_json(node: Node) -> None:
    [shown] = node.run("status", "--json").lines()
    assert shown["role"] == "secondary"
    assert shown["zone"] == "88.118"
    assert shown["store_bytes"] > 0
    assert "registered" in node.run("status").out
    assert "已注册" in node.run("status", env=ZH).out
    for env in ({}, ZH):
        for line in node.run("status", env=env).out.splitlines():
            [value] = [at for at in range(len(line)) if cell_len(line[:at]) == 16]
            assert line[value - 1] == " ", line
            assert line[value] != " ", line


# Receipts --------------------------------------------------------------------------------------------


def test_receipt_is_checked_offline_and_a_forged_one_refused(node: Node, tmp_path: Path) -> None:
    register(node, "88.118.7/r", "URL=https://example.com/r")
    receipt, anchor = tmp_path / "r.receipt", node.directory / "anchor.toml"
    assert node.run("resolve", "88.118.7/r", "--receipt", receipt).code == 0

    checked = run("verify", receipt, "--anchor", anchor, "--json", cwd=tmp_path)
    assert checked.code == 0
    assert checked.lines()[0]["values"][0]["data"] == "https://example.com/r"

    forged = bytearray(receipt.read_bytes())
    forged[forged.index(b"https")] ^= 1
    (tmp_path / "forged").write_bytes(forged)
    refused = run("verify", tmp_path / "forged", "--anchor", anchor)
    assert (refused.code, refused.out) == (Exit.NOT_VERIFIED, "")
    assert "does not cover" in refused.err
    assert "签章" in run("verify", tmp_path / "forged", "--anchor", anchor, env=ZH).err


def test_receipt_of_an_absence(node: Node, tmp_path: Path) -> None:
    receipt = tmp_path / "absent.receipt"
    assert node.run("resolve", "88.118.7/nothing", "--receipt", receipt).code == Exit.NOT_FOUND
    [shown] = node.run("verify", receipt, "--json").lines()
    assert shown["status"] == "not_found"


@pytest.mark.parametrize("content", [b"", b"no receipt", b"\x96\x01", bytes(2_200_000)], ids=len)
def test_a_file_that_is_no_receipt(node: Node, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    outcome = node.run("verify", tmp_path / "file")
    assert outcome.code in (Exit.BAD_INPUT, Exit.NOT_VERIFIED)
    assert outcome.err.startswith("biaoshi: ")
    assert outcome.out == ""


def test_files_that_cannot_be_read_or_written(node: Node, tmp_path: Path) -> None:
    register(node, "88.118.7/w", "NAME=w")
    assert node.run("verify", tmp_path / "missing").code == Exit.SETTINGS
    assert node.run("resolve", "88.118.7/w", "--receipt", tmp_path / "no/such/place").code == Exit.SETTINGS
    assert node.run("export", "88.118.7", "--out", tmp_path / "no/such/place").code == Exit.SETTINGS
    assert node.run("import", tmp_path / "missing.csv").code in (Exit.SETTINGS, Exit.BAD_INPUT)


# What goes wrong -------------------------------------------------------------------------------------


def test_not_registered(node: Node) -> None:
    absent = node.run("resolve", "88.118.8/absent")
    assert absent.code == Exit.NOT_FOUND
    assert "no such identifier" in absent.out
    assert "标识不存在" in node.run("resolve", "88.118.8/absent", env=ZH).out
    [answer] = node.run("resolve", "--json", "88.118.8/absent").lines()
    assert answer["status"] == "not_found"
    assert node.run("resolve", "10.1/elsewhere").code == Exit.NOT_FOUND
    update = node.run("update", "88.118.8/absent", "-v", "NAME=x")
    assert update.code == Exit.NOT_FOUND
    assert "biaoshi register" in update.err
    assert node.run("delete", "88.118.8/absent").code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("identifier", "rule"),
    [
        ("88.118.9", "no '/'"),
        ("/x", "prefix before '/' is empty"),
        ("88.118.9/", "suffix after '/'"),
        ("88..9/x", "empty segment at byte 3"),
        ("88.118.9/a\tb", "U+0009 at byte 10"),
        ("88.118.9/" + "x" * 480, "489 bytes"),
        ("88." + "1" * 62 + "/x", "65 bytes"),
        ("88.118.9/\udcff", "not UTF-8 at byte 9"),
    ],
)
def test_bad_identifier(node: Node, identifier: str, rule: str) -> None:
    for command in (["resolve", identifier], ["register", identifier, "-v", "NAME=x"], ["delete", identifier]):
        outcome = node.run(*command)
        assert outcome.code == Exit.BAD_INPUT, outcome
        assert rule in outcome.err


def test_bad_identifiers_on_standard_input(node: Node) -> None:
    register(node, "88.118.9/good", "NAME=x")
    lines = ["88.118.9/good", "", "no-slash", "  ", "10.1/foreign", "88.118.9/absent", "88.118.9/good"]
    given = "\r\n".join(lines).encode() + "\n88.118.9/泵\n".encode("gb18030")
    for more in ([], ["--udp"], ["--trace"]):
        outcome = node.run("resolve", "-", *more, stdin=given)
        assert outcome.code == Exit.PARTLY_REFUSED, outcome
        assert outcome.out.count("88.118.9/good") == 2
        assert "no such identifier" in outcome.out
        faults = [line for line in outcome.err.splitlines() if line.startswith("biaoshi: ")]
        assert [line.partition(")")[0] for line in faults] == [
            "biaoshi: line 3 (no-slash", "biaoshi: line 5 (10.1/foreign", "biaoshi: line 8 (88.118.9/\\udcb1\\udcc3",
        ]  # fmt: skip
    told = node.run("resolve", "-", "--json", stdin=given)
    assert told.code == Exit.PARTLY_REFUSED
    assert [(one["status"], one.get("line")) for one in told.lines()] == [
        ("ok", None), ("bad_identifier", 3), ("not_responsible", 5), ("not_found", None), ("ok", None),
        ("bad_identifier", 8),
    ]  # fmt: skip
    assert told.lines()[1]["rule"] == "identifier.no-slash"
    assert "第 3 行" in node.run("resolve", "-", stdin=given, env=ZH).err
    assert node.run("resolve", "-", stdin="\n88.118.9/absent\n \n").code == Exit.NOT_FOUND
    assert node.run("resolve", "-", stdin="\n88.118.9/good\n \n").code == 0


def test_a_bad_line_among_thousands_on_standard_input(node: Node) -> None:
    register(node, "88.118.9/one", "NAME=x")
    lines = ["88.118.9/one"] * 3_000
    lines[1_234] = "bare"
    outcome = node.run("resolve", "-", "--json", stdin="\n".join(lines))
    assert outcome.code == Exit.PARTLY_REFUSED
    assert [one["status"] for one in outcome.lines()].count("ok") == 2_999
    assert outcome.lines()[1_234]["line"] == 1_235


@pytest.mark.parametrize(
    "value",
    [
        "URL",
        "=x",
        "0:URL=x",
        "4294967296:URL=x",
        "9" * 200 + ":URL=x",
        "T" * 129 + "=x",
        "URL=" + "x" * 16_385,
    ],
    ids=lambda value: value[:20].encode("ascii", "replace").decode(),
)
def test_bad_value(node: Node, value: str) -> None:
    outcome = node.run("register", "88.118.9/v", "-v", value)
    assert outcome.code == Exit.BAD_INPUT, outcome
    assert outcome.err.startswith("biaoshi: ")
    assert node.run("resolve", "88.118.9/v").code == Exit.NOT_FOUND


@pytest.mark.parametrize("url", ["", "example.com/p", "https://a b", "https://"])
def test_a_url_that_is_none_is_taken_with_a_warning(node: Node, url: str) -> None:
    made = node.run("register", "88.118.18/u", "-v", f"URL={url}")
    assert made.code in (0, Exit.CONFLICT)
    assert f"'{url}' is no URL" in made.err
    updated = node.run("update", "88.118.18/u", "-v", f"URL={url}", env=ZH)
    assert updated.code == 0
    assert "不是合法的网址" in updated.err
    assert node.run("update", "88.118.18/u", "-v", "URL=https://例子.cn/泵", "-v", "FOO BAR=x").err == ""


def test_two_values_of_one_index(node: Node) -> None:
    outcome = node.run("register", "88.118.9/v", "-v", "1:URL=x", "-v", "1:NAME=y")
    assert outcome.code == Exit.BAD_INPUT
    assert "index 1" in outcome.err
    assert "索引 1" in node.run("register", "88.118.9/v", "-v", "1:URL=x", "-v", "1:NAME=y", env=ZH).err


def test_wrong_key_and_foreign_prefix(node: Node, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    made = run("key", stranger, "--make")
    assert made.code == 0
    outcome = node.run("register", "88.118.10/x", "-v", "NAME=x", "--key", stranger)
    assert outcome.code == Exit.NOT_PERMITTED
    assert made.out.strip() in outcome.err
    assert "无权" in node.run("register", "88.118.10/x", "-v", "NAME=x", "--key", stranger, env=ZH).err
    assert node.run("export", "88.118.10", "--key", stranger).code == Exit.NOT_PERMITTED

    foreign = node.run("register", "88.119.1/x", "-v", "NAME=x")
    assert foreign.code == Exit.NOT_PERMITTED
    assert "88.119.1" in foreign.err
    assert node.run("delete", "88.119.1/x").code == Exit.NOT_PERMITTED


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\n"], ids=["empty", "cut"])
def test_unusable_key_file(node: Node, tmp_path: Path, content: str) -> None:
    (tmp_path / "key.pem").write_text(content)
    for path in (tmp_path / "key.pem", tmp_path / "missing.pem", tmp_path):
        assert node.run("register", "88.118.10/x", "-v", "NAME=x", "--key", path).code == Exit.SETTINGS
        assert run("key", path).code == Exit.SETTINGS


def test_a_missing_writer_key_names_the_options(node: Node, tmp_path: Path) -> None:
    anchor = node.directory / "anchor.toml"
    for more in ([], ["--key", tmp_path / "missing.pem"]):
        outcome = run("register", "88.118.10/x", "-v", "NAME=x", "--anchor", anchor, *more, cwd=tmp_path)
        assert outcome.code == Exit.SETTINGS
        assert "--key" in outcome.err
        assert "--node" in outcome.err
    assert "--key" in run("status", "--top", "--anchor", anchor, cwd=tmp_path, env=ZH).err


def test_the_other_port(node: Node) -> None:
    resolver, registry = node.address("resolver"), node.address("registry")
    for words in (["resolve", "88.118.1/x"], ["resolve", "-"], ["list", "88.118"]):
        outcome = node.run(*words, "--server", registry, stdin="88.118.1/x\n")
        assert outcome.code == Exit.BAD_INPUT
        assert "port of a registry" in outcome.err, outcome
    assert "注册服务的端口" in node.run("resolve", "88.118.1/x", "--server", registry, env=ZH).err
    outcome = node.run("register", "88.118.1/x", "-v", "NAME=x", "--registry", resolver)
    assert "port of a resolver" in outcome.err


def _dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port: int = probe.getsockname()[1]
    return port


def test_dead_server(node: Node) -> None:
    dead = f"127.0.0.2:{_dead_port()}"
    asked = [
        node.run(*words, "--server", dead) for words in (["resolve", "88.118.1/x"], ["list", "88.118"], ["status"])
    ]
    asked.append(node.run("resolve", "88.118.1/x", "--udp", "--server", dead))
    asked.append(node.run("register", "88.118.1/x", "-v", "NAME=x", "--registry", dead))
    asked.append(node.run("export", "88.118.1", "--registry", dead))
    for outcome in asked:
        assert outcome.code == Exit.UNREACHABLE
        assert dead in outcome.err
        assert "Is the node running" in outcome.err
    assert "无法连接" in node.run("status", "--server", dead, env=ZH).err


def test_dead_server_and_many_identifiers(node: Node) -> None:
    """Everything that was under way fails; one sentence is said."""
    wanted = "".join(f"88.118.1/{i}\n" for i in range(3_000))
    outcome = node.run("resolve", "-", "--server", f"127.0.0.2:{_dead_port()}", stdin=wanted)
    assert outcome.code == Exit.UNREACHABLE
    assert len(outcome.err.splitlines()) == 1


def test_server_that_never_answers(node: Node) -> None:
    with socket.create_server(("127.0.0.2", 0)) as silent:
        server = f"127.0.0.2:{silent.getsockname()[1]}"
        outcome = node.run("resolve", "88.118.1/x", "--server", server, "--timeout", 0.3)
    assert outcome.code == Exit.UNREACHABLE
    assert "within 0.3 s" in outcome.err


def test_unusable_addresses(node: Node) -> None:
    for text in ("", ":1", "host:port", "host:65536", "[::1"):
        if text:
            assert node.run("status", "--server", text).code == Exit.SETTINGS
    for text in ("a..b", "x" * 64):
        assert node.run("status", "--server", text).code == Exit.SETTINGS
        assert node.run("export", "88.118", "--registry", text).code == Exit.SETTINGS
    assert node.run("status", "--server", "no-such-host.invalid").code == Exit.UNREACHABLE


def test_wrong_anchor(node: Node, tmp_path: Path) -> None:
    assert run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "other", "--port", 0).code == 0
    wrong = tmp_path / "other/anchor.toml"
    register(node, "88.118.11/x", "NAME=x")
    receipt = tmp_path / "receipt"
    assert node.run("resolve", "88.118.11/x", "--receipt", receipt).code == 0
    for words in (
        ["resolve", "88.118.11/x"],
        ["resolve", "88.118.11/x", "--udp"],
        ["list", "88.118"],
        ["status"],
        ["verify", receipt],
        ["register", "88.118.11/x", "-v", "NAME=y"],
        ["export", "88.118"],
    ):
        outcome = node.run(*words, "--anchor", wrong)
        assert (outcome.code, outcome.out) == (Exit.NOT_VERIFIED, ""), (words, outcome)
        assert "not signed by a key of '88.118'" in outcome.err


def test_unusable_anchor(node: Node, tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.toml"
    assert node.run("status", "--anchor", anchor).code == Exit.SETTINGS
    for content in ("", "prefix = 1", 'prefix = "88"\nkey = 3', "\x00", "[["):
        anchor.write_text(content)
        assert node.run("status", "--anchor", anchor).code == Exit.SETTINGS
    anchor.write_text('prefix = "88"\nkey = "ed25519:xyz"\n')
    assert node.run("status", "--anchor", anchor).code in (Exit.SETTINGS, Exit.BAD_INPUT)


# Files in and out ------------------------------------------------------------------------------------


def test_import_reports_what_it_refuses(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text(
        "identifier,URL,NAME\n88.118.12/1,https://example.com/1,甲\n88.118.12/,https://example.com/2,乙\n"
        "88.118.12/3,https://example.com/3,丙\n88.200.1/4,https://example.com/4,丁\n",
        "utf-8",
    )
    checked = node.run("import", file, "--check")
    assert checked.code == Exit.PARTLY_REFUSED
    assert node.run("list", "88.118.12").out == ""

    outcome = node.run("import", file)
    assert outcome.code == Exit.PARTLY_REFUSED
    assert "2 registered" in outcome.out
    assert "2 refused" in outcome.out
    report = (tmp_path / "products.csv.refused.csv").read_text("utf-8")
    assert "suffix" in report
    assert "88.200.1" in report
    assert node.run("list", "88.118.12").out.split() == ["88.118.12/1", "88.118.12/3"]
    [answer] = node.run("resolve", "--json", "88.118.12/3").lines()
    assert [value["data"] for value in answer["values"]] == ["https://example.com/3", "丙"]


def test_import_in_chinese(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "产品.csv"
    file.write_bytes(
        "标识,网址\nP1,https://example.com/1\nP2,https://example.com/2\n,https://example.com/3\n".encode("gb18030")
    )
    outcome = node.run("import", file, "--prefix", "88.118.13", env=ZH)
    assert outcome.code == Exit.PARTLY_REFUSED, outcome
    assert "新注册 2" in outcome.out
    assert "3 行" in outcome.err
    assert "拒绝 1" in outcome.err
    assert "refused" not in (outcome.out + outcome.err).replace(".refused.csv", "")
    again = node.run("import", file, "--prefix", "88.118.13", env=ZH)
    assert again.code == Exit.PARTLY_REFUSED
    assert "已存在 2" in again.out
    assert node.run("list", "88.118.13").out.split() == ["88.118.13/P1", "88.118.13/P2"]
    [answer] = node.run("resolve", "--json", "88.118.13/P1").lines()
    assert answer["version"] == 1


def test_an_import_that_is_stopped_says_how_to_go_on(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text("identifier,NAME\n" + "".join(f"88.118.17/{i},n\n" for i in range(300_000)))
    words = [sys.executable, "-m", "biaoshi.cli", "import", str(file), "--node", str(node.directory)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN, start_new_session=True,
        # What a shell runs in the background ignores SIGINT, and so would all that these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while not (tmp_path / "many.csv.import").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the process that sorts gets it, too
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where it was" in told.decode()
    assert "Traceback" not in told.decode()
    done = node.run("import", file)
    assert done.code == 0
    assert "300,000 rows" in done.out


def test_export_goes_into_another_node_unchanged(node: Node, make_node: MakeNode, tmp_path: Path) -> None:
    register(node, "88.118.14/ordinary", "URL=https://example.com/1", 'NAME=泵 " , ; \\ 😀')
    register(node, "88.118.14.5/deeper", "12:A=1", "3:B=", "7:C=x\ny")
    register(node, "88.118.14/withdrawn", "NAME=x")
    assert node.run("delete", "88.118.14/withdrawn").code == 0
    assert node.run("register", "88.118.14/secret", "-v", "PRICE=1", "--restricted", "--ttl", 5).code == 0
    values = [{"index": 1, "type": "URL", "data": "u"},
              {"index": 2, "type": "COST", "data": "9", "readers": ["88.118.15", "88.118.14/U.li"]}]  # fmt: skip
    some = tmp_path / "some.ndjson"
    some.write_text(json.dumps({"identifier": "88.118.14/some", "values": values}) + "\n", "utf-8")
    assert node.run("import", some).code == 0
    [shown] = node.run("resolve", "88.118.14/some", "--json").lines()
    assert [value["type"] for value in shown["values"]] == ["URL"]
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    assert node.run("export", "88.118.14", "--out", first).code == 0
    assert node.run("export", "88.118.14").out == first.read_text("utf-8")
    records = [json.loads(line) for line in first.read_text("utf-8").splitlines()]
    assert [one["identifier"] for one in records] == [
        "88.118.14/ordinary", "88.118.14/secret", "88.118.14/some", "88.118.14.5/deeper",
    ]  # fmt: skip
    assert records[2]["values"] == values

    other = make_node("127.0.0.3")
    other.start()
    taken = other.run("import", first)
    assert taken.code == 0, taken
    assert other.run("export", "88.118", "--out", second).code == 0
    assert second.read_text("utf-8") == first.read_text("utf-8")
    [answer] = other.run("resolve", "--json", "88.118.14/secret").lines()
    assert answer["values"] == []


def test_a_reader_that_stops_reading_is_no_error_of_ours(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text("identifier,NAME\n" + "".join(f"88.118.15/{'x' * 100}{i},n\n" for i in range(2_000)))
    assert node.run("import", file).code == 0
    with subprocess.Popen(
        [sys.executable, "-m", "biaoshi.cli", "list", "88.118.15", "--node", str(node.directory)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"88.118.15/")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_a_terminal_that_knows_no_chinese(node: Node) -> None:
    register(node, "88.118.16/泵", "NAME=齿轮泵😀")
    outcome = node.run("resolve", "88.118.16/泵", env={"PYTHONIOENCODING": "ascii"})
    assert outcome.code == 0
    assert "version 1" in outcome.out
    assert node.run("resolve", "88.118.16/无", env={"PYTHONIOENCODING": "gbk"}).code == Exit.NOT_FOUND


# Help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert f"biaoshi {command}" in outcome.out
    assert "Example" in outcome.out
    assert any("\u4e00" <= one <= "\u9fff" for one in outcome.out)


def test_help_names_every_command() -> None:
    outcome = run("-h")
    assert outcome.code == 0
    for command in COMMANDS:
        assert f" {command} " in outcome.out
    assert run().code in (0, Exit.USAGE)


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["resolve"],
        ["init", "moon", "--prefix", "88", "--dir", "x"],
        ["resolve", "a/b", "c/d", "--receipt", "f"],
    ],
)
def test_wrong_use(words: list[str], tmp_path: Path) -> None:
    outcome = run(*words, cwd=tmp_path)
    assert outcome.code == Exit.USAGE
    assert not list(tmp_path.iterdir())


# Making a node ---------------------------------------------------------------------------------------


def test_init_makes_what_it_says(tmp_path: Path) -> None:
    directory = tmp_path / "a/node"
    outcome = run("init", "enterprise", "--prefix", "88.118.a1", "--dir", directory, "--port", 4_000)
    assert outcome.code == 0
    for name in ("biaoshi.toml", "anchor.toml", "keys/zone.pem", "keys/writer.pem"):
        assert str(directory / name) in outcome.out
    for name in ("zone.pem", "writer.pem", "online.pem"):
        assert stat.S_IMODE((directory / "keys" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "keys").stat().st_mode) == 0o700
    text = (directory / "biaoshi.toml").read_text("utf-8")
    assert 'prefix = "88.118.A1"' in text
    assert "port = 4000" in text
    assert "port = 4001" in text
    public = run("key", directory / "keys/writer.pem")
    assert public.code == 0
    assert public.out.strip() in text
    assert "节点已创建" in run("init", "secondary", "--prefix", "88", "--dir", tmp_path / "b", env=ZH).out


def test_init_twice_or_over_something(tmp_path: Path) -> None:
    assert run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "node").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "node").rglob("*") if path.is_file()}
    again = run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "node")
    assert again.code == Exit.SETTINGS
    assert "not empty" in again.err
    assert "不是空目录" in run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "node", env=ZH).err
    assert {path: path.read_bytes() for path in (tmp_path / "node").rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("x")
    assert run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "file").code == Exit.SETTINGS
    assert run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "file/below").code == Exit.SETTINGS
    (tmp_path / "empty").mkdir()
    assert run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "empty").code == 0


@pytest.mark.parametrize("prefix", ["", "88..1", "88/1", ".88", "88\n", "8" * 65, "\udcff"])
def test_init_with_a_bad_prefix(tmp_path: Path, prefix: str) -> None:
    assert run("init", "secondary", "--prefix", prefix, "--dir", tmp_path / "node").code == Exit.BAD_INPUT
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize("prefix", ['88."1"', "88.\\1", "88.一 二", "88.#1", "88.'"])
def test_any_legal_prefix_makes_a_usable_node(tmp_path: Path, prefix: str) -> None:
    assert run("init", "secondary", "--prefix", prefix, "--dir", tmp_path / "node").code == 0
    renewed = run("renew", "--config", tmp_path / "node/biaoshi.toml")
    assert renewed.code == 0, renewed.err
    outcome = run("status", "--anchor", tmp_path / "node/anchor.toml", "--server", f"127.0.0.2:{_dead_port()}")
    assert outcome.code == Exit.UNREACHABLE


def test_key_never_overwrites(tmp_path: Path) -> None:
    made = run("key", tmp_path / "k.pem", "--make")
    assert made.out.startswith("ed25519:")
    assert run("key", tmp_path / "k.pem", "--make").code == Exit.SETTINGS
    assert run("key", tmp_path / "k.pem").out == made.out


# Serving ---------------------------------------------------------------------------------------------


def test_configuration_with_many_mistakes_names_each(make_node: MakeNode) -> None:
    config = make_node().config
    for option, value in (
        ("role", '"moon"'),
        ("port", "70000"),
        ("workers", "0"),
        ("level", '"loud"'),
        ("listing", "1"),
    ):
        change(config, option, value)
    config.write_text(config.read_text("utf-8").replace("unsealed =", "unseeled ="), "utf-8")
    for command in ("serve", "renew"):
        outcome = run(command, "--config", config)
        assert outcome.code == Exit.SETTINGS
        for named in (
            "node.role", "'moon'", "resolver.port", "70000", "registry.port", "resolver.workers", "resolver.listing",
            "resolver.unseeled", "'unsealed'", "log.level", "'loud'",
        ):  # fmt: skip
            assert named in outcome.err


@pytest.mark.parametrize("content", [b"[", b"\xff\xfe", b""], ids=["not TOML", "not UTF-8", "empty"])
def test_configuration_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "biaoshi.toml").write_bytes(content)
    assert run("serve", cwd=tmp_path).code == Exit.SETTINGS
    assert run("serve", "--config", tmp_path / "missing.toml").code == Exit.SETTINGS


def test_serve_with_a_port_in_use(node: Node, make_node: MakeNode) -> None:
    other = make_node("127.0.0.2")
    port = node.address("resolver").rpartition(":")[2]
    other.config.write_text(other.config.read_text("utf-8").replace("port = 0", f"port = {port}", 1), "utf-8")
    outcome = run("serve", "--config", other.config)
    assert outcome.code == Exit.SETTINGS
    assert port in outcome.err
    assert "Is another node running there?" in outcome.err
    assert not (other.directory / "run.json").exists()


@pytest.mark.parametrize("missing", ["keys/online.pem", "keys/online.statement"])
def test_serve_without_a_key_file(make_node: MakeNode, missing: str) -> None:
    node = make_node()
    (node.directory / missing).unlink()
    outcome = run("serve", "--config", node.config)
    assert outcome.code == Exit.SETTINGS
    assert missing in outcome.err


def test_serve_with_a_statement_for_another_key(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    (one.directory / "keys/online.statement").write_bytes((two.directory / "keys/online.statement").read_bytes())
    outcome = run("serve", "--config", one.config)
    assert outcome.code == Exit.SETTINGS
    assert "biaoshi renew" in outcome.err


def test_serve_with_a_damaged_statement(make_node: MakeNode) -> None:
    node = make_node()
    (node.directory / "keys/online.statement").write_bytes(b"\x92")
    outcome = run("serve", "--config", node.config)
    assert outcome.code not in (0, Exit.INTERNAL, Exit.USAGE)
    assert outcome.err.startswith("biaoshi: ")


def test_serve_where_there_is_no_such_address(make_node: MakeNode) -> None:
    outcome = run("serve", "--config", make_node("192.0.2.1").config)
    assert outcome.code == Exit.SETTINGS
    assert "192.0.2.1" in outcome.err


def test_serve_with_a_writer_whose_prefix_is_none(make_node: MakeNode) -> None:
    node = make_node()
    change(node.config, "prefixes", '["88.118..1"]')
    outcome = run("serve", "--config", node.config)
    assert outcome.code == Exit.SETTINGS
    assert "registry.writers[0].prefixes" in outcome.err


def test_renewed_key_serves_after_a_restart(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    node.start()
    register(node, "88.118.1/x", "NAME=x")
    receipt = tmp_path / "old.receipt"
    assert node.run("resolve", "88.118.1/x", "--receipt", receipt).code == 0
    [before] = node.run("resolve", "--json", "88.118.1/x").lines()
    zone_key = tmp_path / "usb.pem"
    (node.directory / "keys/zone.pem").rename(zone_key)
    assert run("renew", "--config", node.config).code == Exit.SETTINGS
    assert run("renew", "--config", node.config, "--zone-key", zone_key, "--days", 7).code == 0
    assert node.run("resolve", "88.118.1/x").code == 0, "the running node goes on with the old key"
    assert node.stop() == 0
    node.start()
    [after] = node.run("resolve", "--json", "88.118.1/x").lines()
    assert after["proof"]["key_id"] != before["proof"]["key_id"]
    assert after["values"] == before["values"]
    assert node.run("verify", receipt).code == 0, "old receipts go on proving"


def test_renew_where_nothing_can_be_written(make_node: MakeNode) -> None:
    node = make_node()
    change(node.config, "statement", '"nowhere/online.statement"')
    outcome = run("renew", "--config", node.config)
    assert outcome.code == Exit.SETTINGS
    assert "nowhere" in outcome.err


def test_serve_with_an_expired_online_key(make_node: MakeNode) -> None:
    node = make_node()
    expire(node)
    outcome = run("serve", "--config", node.config)
    assert outcome.code == Exit.SETTINGS
    assert "biaoshi renew" in outcome.err
    assert "biaoshi renew" in run("serve", "--config", node.config, env=ZH).err
    assert "valid for 90 days" in run("renew", "--config", node.config).out
    assert "有效期 90 天" in run("renew", "--config", node.config, env=ZH).out
    node.start()


def expire(node: Node) -> None:
    """Sign the node's online key as one of last year."""
    from config.keyfiles import read_secret
    from protocol.signatures import SigningKey
    from protocol.statements import OnlineKey

    zone = SigningKey(read_secret(node.directory / "keys/zone.pem"))
    online = SigningKey(read_secret(node.directory / "keys/online.pem"))
    claim = OnlineKey(node.prefix, "secondary-88.118", online.public, 1_600_000_000, 1_700_000_000)
    (node.directory / "keys/online.statement").write_bytes(claim.sign(zone))
