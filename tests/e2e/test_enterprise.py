"""The life of an enterprise by the commands of an operator, from application to closing, and the log of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from protocol.status import Exit
from tests.e2e.nodes import Node, Outcome, run
from tests.e2e.test_api import api_node, ask
from tests.registry.house import code

CODE: Final = code(7)
APPLICATION: Final = (
    "enterprise", "apply", CODE, "--organisation", "示例泵业", "--nature", 2, "--section", "C", "--division", "34",
    "--contact", "李工", "--email", "li@example.com",
)  # fmt: skip
RECORD: Final = "/api/v1/records/88.118.32001/P1"
BODY: Final = {"values": [{"index": 1, "type": "URL", "data": "https://example.com/p/1"}]}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    one = api_node(tmp_path_factory.mktemp("enterprise") / "node", "127.0.0.34")
    try:
        one.start()
        yield one
    finally:
        code = one.stop()
    assert code == 0, one.said()
    assert "Traceback" not in one.said()


def done(outcome: Outcome) -> Outcome:
    """A command that succeeded."""
    assert outcome.code == 0, outcome.err
    return outcome


def shown(node: Node, *arguments: Any, **options: Any) -> Any:
    """What a command shows, as JSON."""
    return json.loads(done(node.run(*arguments, "--json", **options)).out)


def test_the_life_of_an_enterprise(node: Node) -> None:
    auditor = staff(node, "88.118/U.audit", "auditor")
    assert shown(node, *APPLICATION)["state"] == "applied"
    own = node.run("enterprise", "approve", CODE)
    assert (own.code, "enterprise.review" in own.err) == (Exit.NOT_PERMITTED, True)  # who runs the node does not review

    refused = shown(node, "enterprise", "refuse", CODE, "--reason", "材料不全", env=auditor)
    assert (refused["state"], refused["reason"]) == ("refused", "材料不全")
    early = node.run("prefix", "allot", CODE)
    assert early.code == Exit.CONFLICT, early.err
    done(node.run(*APPLICATION))
    again = node.run(*APPLICATION, env={"BIAOSHI_LANG": "zh"})
    assert (again.code, "已提交申请" in again.err) == (Exit.CONFLICT, True)
    assert "approved" in done(node.run("enterprise", "approve", CODE, env=auditor)).out
    assert CODE in done(node.run("enterprise", "list")).out

    given = shown(node, "prefix", "allot", CODE, "--prefix", "88.118.32001", "--host")
    assert (given["prefix"], given["stage"]) == ("88.118.32001", "hosted")
    done(node.run("identity", "add", "88.118.32001/U.boss", "--role", "enterprise-administrator"))
    boss = {"BIAOSHI_TOKEN": done(node.run("token", "issue", "88.118.32001/U.boss", "--title", "首次")).out.strip()}
    done(node.run("identity", "add", "88.118.32001/U.li", "--role", "enterprise-writer", "--title", "李工", env=boss))
    li = done(node.run("token", "issue", "88.118.32001/U.li", "--operation", "record.write", "--days", 1, env=boss))
    token = li.out.strip()
    assert token.startswith("bst_")
    assert "李工" in done(node.run("identity", "list", "88.118.32001", env=boss)).out

    assert ask(node, "PUT", RECORD, BODY, token=token)[0] == 201
    assert ask(node, "GET", RECORD, token=token)[0] == 403  # the token is good for writing alone
    assert ask(node, "PUT", "/api/v1/records/88.118.32002/P1", BODY, token=token)[0] == 403
    assert shown(node, "resolve", "88.118.32001/P1")["values"][0]["data"] == "https://example.com/p/1"

    done(node.run("enterprise", "suspend", CODE, "--reason", "质量问题"))
    suspended = node.run("resolve", "88.118.32001/P1")
    assert (suspended.code, "suspended" in suspended.out) == (Exit.NOT_FOUND, True), suspended
    status, problem = ask(node, "PUT", RECORD, BODY, token=token)
    assert (status, problem["rule"], "质量问题" in problem["detail"]) == (403, "rights.suspended", True)
    assert "suspended" in done(node.run("prefix", "list")).out
    done(node.run("enterprise", "resume", CODE, "--reason", "已整改"))
    done(node.run("resolve", "88.118.32001/P1"))
    assert ask(node, "PUT", RECORD, BODY, token=token)[0] == 200

    [listed] = done(node.run("token", "list", "88.118.32001/U.li", env=boss)).out.splitlines()
    done(node.run("token", "revoke", "88.118.32001/U.li", listed.split()[0], env=boss))
    status, problem = ask(node, "PUT", RECORD, BODY, token=token)
    assert (status, problem["rule"]) == (401, "identity.not-proven")

    assert node.run("enterprise", "close", CODE, "--reason", "注销").code == Exit.CONFLICT  # it has a prefix
    done(node.run("prefix", "close", "88.118.32001", "--reason", "注销"))
    assert shown(node, "enterprise", "close", CODE, "--reason", "注销")["state"] == "closed"
    gone = node.run("resolve", "88.118.32001/P1")
    assert (gone.code, "withdrawn" in gone.out) == (Exit.NOT_FOUND, True), gone

    log = done(run("audit", "export", "--node", node.directory)).out
    actions = [json.loads(line)["action"] for line in log.splitlines()[1:-1]]
    wanted = ["enterprise.apply", "enterprise.refuse", "enterprise.apply", "enterprise.approve", "prefix.allot",
              "prefix.suspend", "prefix.resume", "identity.revoke", "prefix.close", "enterprise.close"]  # fmt: skip
    steps = iter(actions)
    assert all(one in steps for one in wanted), actions
    assert "hold" in done(run("audit", "verify", "--node", node.directory)).out


def staff(node: Node, name: str, role: str) -> dict[str, str]:
    """A member of the node's staff: the environment in which commands speak for them."""
    done(node.run("identity", "add", name, "--role", role))
    return {"BIAOSHI_TOKEN": done(node.run("token", "issue", name)).out.strip()}


def test_policies_groups_and_keys_by_command(node: Node, tmp_path: Any) -> None:
    assert shown(node, "policy", "show", "88.118.5")["own"] is False
    assert shown(node, "policy", "set", "88.118.5", "--versions", 2, "--days", 30)["versions"] == 2
    assert shown(node, "policy", "show", "88.118.5.1") == {
        "prefix": "88.118.5.1", "versions": 2, "days": 30, "own": False
    }  # fmt: skip
    assert shown(node, "policy", "clear", "88.118.5")["versions"] == 8

    staff(node, "88.118/U.wang", "auditor")
    assert shown(node, "group", "put", "88.118/G.all", "88.118/U.wang")["members"] == ["88.118/U.wang"]
    assert "88.118/U.wang" in done(node.run("group", "show", "88.118/G.all")).out
    done(node.run("group", "delete", "88.118/G.all"))
    assert node.run("group", "show", "88.118/G.all").code == Exit.NOT_FOUND
    public = done(run("key", tmp_path / "wang.pem", "--make")).out.strip()
    assert shown(node, "identity", "key", "88.118/U.wang", public)["kind"] == "key"
    as_wang = done(node.run("api", "token", "--key", tmp_path / "wang.pem")).out.strip()
    assert ask(node, "GET", "/api/v1/audit", token=as_wang)[0] == 200
    disabled = shown(node, "identity", "change", "88.118/U.wang", "--disable")
    assert disabled["disabled"] is True
    assert ask(node, "GET", "/api/v1/audit", token=as_wang)[0] == 403
    unknown = node.run("identity", "show", "88.118/U.nobody", env={"BIAOSHI_LANG": "zh"})
    assert (unknown.code, "U.nobody" in unknown.err) == (Exit.NOT_FOUND, True)
