"""Reading with a key through the command, at a node in processes of its own: workers know what the registry knows."""

from __future__ import annotations

from pathlib import Path

from config.keyfiles import make_seed, write_secret
from protocol.status import Exit
from tests.e2e.nodes import Node


def test_values_that_are_not_for_everybody(node: Node, tmp_path: Path) -> None:
    name, writer = "88.118.71/P1", node.directory / "keys" / "writer.pem"
    assert node.run("register", name, "-v", "COST=9.5", "--restricted").code == 0
    [public] = node.run("resolve", "--json", name).lines()
    assert (public["status"], public["values"]) == ("ok", [])
    [whole] = node.run("resolve", "--json", name, "--key", writer).lines()
    assert [value["data"] for value in whole["values"]] == ["9.5"]
    [version] = node.run("history", "--json", name, "--key", writer).lines()
    assert [value["data"] for value in version["values"]] == ["9.5"]

    receipt = tmp_path / "p1.receipt"
    assert node.run("resolve", name, "--key", writer, "--receipt", receipt).code == 0
    [kept] = node.run("verify", "--json", receipt).lines()
    assert kept["values"] == whole["values"]

    stranger = tmp_path / "stranger.pem"
    write_secret(stranger, make_seed())
    refused = node.run("resolve", name, "--key", stranger)
    assert (refused.code, refused.out) == (Exit.NOT_PERMITTED, "")
    assert "proves nobody" in refused.err
    assert node.run("resolve", name, "--token", "bst_" + "a" * 43).code == Exit.NOT_PERMITTED
    assert node.run("resolve", name, "--key", writer, "--token", "x").code == Exit.BAD_INPUT
    assert node.run("resolve", name, "--key", writer, "--udp").code == Exit.USAGE
    assert node.run("resolve", name, "--key", tmp_path / "none.pem").code == Exit.SETTINGS
