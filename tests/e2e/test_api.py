"""The JSON API of real nodes: made, asked for a token, secured, by the ordinary commands; what docs/api.md shows."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.nodes import CLEAN, Node, change, run

HOST: Final = "127.0.0.31"
DOCUMENT: Final = Path(__file__).parents[2] / "docs/api.md"


def api_node(directory: Path, host: str = HOST, light: bool = False) -> Node:
    """A node that serves the API, not started."""
    node = Node(directory, host)
    change(node.config, "enabled", "true")
    if light:
        change(node.config, "processes", '"light"')
    return node


def url_of(node: Node) -> str:
    """Where its API is."""
    url: str = json.loads((node.directory / "run.json").read_text("utf-8"))["api"]
    return url


def token_of(node: Node) -> str:
    """A token, by the command."""
    outcome = node.run("api", "token")
    assert outcome.code == 0, outcome.err
    return outcome.out.strip()


def ask(
    node: Node, method: str, path: str, body: Any = None, context: ssl.SSLContext | None = None, token: str = ""
) -> tuple[int, Any]:
    """One request; status and content."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    headers = {"Content-Type": kind, "Authorization": f"Bearer {token or token_of(node)}"}
    request = urllib.request.Request(url_of(node) + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as response:
            status, raw = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    lines = [json.loads(line) for line in raw.splitlines()]
    return status, lines[0] if len(lines) == 1 else lines


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    one = api_node(tmp_path_factory.mktemp("api") / "node")
    try:
        one.start()
        yield one
    finally:
        code = one.stop()
    assert code == 0, one.said()
    assert "Traceback" not in one.said()


def test_what_is_registered_over_http_resolves_and_the_other_way_round(node: Node) -> None:
    body = {"values": [{"index": 1, "type": "URL", "data": "https://example.com/泵"}]}
    assert ask(node, "PUT", "/api/v1/records/88.118.1/P%2F1", body)[0] == 201
    [shown] = node.run("resolve", "88.118.1/P/1", "--json").lines()
    assert shown["values"][0]["data"] == "https://example.com/泵"
    assert node.run("register", "88.118.1/P2", "-v", "URL=https://example.com/2").code == 0
    assert ask(node, "GET", "/api/v1/records/88.118.1/P2")[1]["version"] == 1
    assert node.run("update", "88.118.1/P/1", "-v", "URL=https://example.com/1", "--if-version", "1").code == 0
    assert ask(node, "GET", "/api/v1/records/88.118.1/P%2F1")[1]["version"] == 2
    exported = node.run("export", "88.118.1").out.encode()
    assert ask(node, "POST", "/api/v1/prefixes/88.118.1/records:import", exported)[1][-1]["unchanged"] == 2
    status, shown = ask(node, "GET", "/api/v1/status")
    assert (status, shown["zone"], shown["role"]) == (200, "88.118", "secondary")


def test_a_key_that_may_write_little_gets_a_token_for_little(node: Node, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    assert run("key", stranger, "--make").code == 0
    refused = node.run("api", "token", "--key", stranger)
    assert refused.code == 6
    assert "is not known on this node" in refused.err
    refused = node.run("api", "token", "--key", stranger, env={"BIAOSHI_LANG": "zh"})
    assert "无权" in refused.err
    other = node.run("api", "token", "--zone", "88.119")
    assert other.code == 8
    assert "nothing was signed" in other.err


def test_a_node_without_the_api_is_said_to_have_none(make_node: Any, tmp_path: Path) -> None:
    plain = make_node("127.0.0.32")
    outcome = plain.run("api", "token")
    assert outcome.code == 9
    assert "api" in outcome.err
    assert (
        run("api", "token", "--url", "ftp://x", "--zone", "88", "--key", plain.directory / "keys/writer.pem").code == 9
    )
    unreachable = run(
        "api", "token", "--url", "http://127.0.0.32:1", "--zone", "88", "--key", plain.directory / "keys/writer.pem"
    )
    assert unreachable.code == 7


def test_init_with_the_api_makes_a_node_that_serves_it(tmp_path: Path) -> None:
    made = run("init", "secondary", "--prefix", "88.118", "--dir", tmp_path / "node", "--port", 0, "--api")
    assert made.code == 0
    assert re.search(r"(?m)^enabled = true ", (tmp_path / "node/biaoshi.toml").read_text("utf-8"))
    assert run("init", "custody", "--dir", tmp_path / "custody", "--api").code == 2


def test_a_light_node_serves_it_over_tls_by_one_command(tmp_path: Path) -> None:
    light = api_node(tmp_path / "node", "127.0.0.33", light=True)
    made = run("api", "certificate", "--config", light.config, "--name", "127.0.0.33", "--name", "node.example")
    assert made.code == 0, made.err
    secret = light.directory / "keys/api.pem"
    assert secret.stat().st_mode & 0o777 == 0o600
    try:
        light.start()
        assert url_of(light).startswith("https://")
        context = ssl.create_default_context(cafile=light.directory / "keys/api.crt")
        body = {"values": [{"index": 1, "type": "TEXT", "data": "x"}]}
        assert ask(light, "PUT", "/api/v1/records/88.118.1/x", body, context)[0] == 201
        assert light.run("resolve", "88.118.1/x").code == 0
        command = ("identity", "add", "88.118/U.wang", "--role", "auditor", "--api", url_of(light))
        token = ("--token", token_of(light))
        assert run(*command, *token).code == 7  # nothing says that it is the node
        added = run(*command, *token, "--ca", light.directory / "keys/api.crt")
        assert (added.code, "88.118/U.wang" in added.out) == (0, True), added.err
    finally:
        assert light.stop() == 0
    assert "Traceback" not in light.said()


def test_a_signing_request_is_made_for_an_authority(tmp_path: Path) -> None:
    node = api_node(tmp_path / "node")
    made = run("api", "certificate", "--config", node.config, "--name", "node.example", "--request")
    assert made.code == 0, made.err
    assert b"BEGIN CERTIFICATE REQUEST" in (node.directory / "keys/api.csr").read_bytes()
    assert run("api", "certificate", "--config", node.config, "--name", "no host").code == 9


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None, reason="curl or openssl is missing"
)
def test_what_the_document_shows_works(node: Node, tmp_path: Path) -> None:
    """The commands of docs/api.md, one block after the other in one shell."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    shown = [block for block in blocks if "biaoshi init" not in block and "biaoshi serve" not in block]
    assert len(shown) >= 5
    script = 'set -eu\nbiaoshi() { PYTHON -m biaoshi.cli "$@"; }\n' + "\n".join(shown)
    script = script.replace("PYTHON", sys.executable).replace("http://127.0.0.1:26412", url_of(node))
    script = script.replace("--node node", f"--node {node.directory}").replace("node/keys", f"{node.directory}/keys")
    script = script.replace("node/anchor.toml", f"{node.directory}/anchor.toml")
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=CLEAN, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"problem"' not in done.stdout
    assert '"kind":"done"' in done.stdout
    assert done.stdout.count('"rule"') == 1, done.stdout  # the one that the document shows
