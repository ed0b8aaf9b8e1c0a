"""The commands ``biaoshi prefix …`` and ``biaoshi policy …``, clients of the JSON API."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from config.options import ApiOption, AsJson, CaOption, KeyOption, Node, TokenOption
from registry.api.client import quoted
from registry.api.connecting import connect, shown
from registry.store.history import MAX_DAYS, MAX_VERSIONS


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="prefix")
    main.add_typer(policy, name="policy")


app = typer.Typer(
    help="Prefixes of enterprises, from allotting to closing. 企业前缀：分配、托管、停用、关闭、迁移。",
    no_args_is_help=True,
)
policy = typer.Typer(
    help="How many earlier versions of its records a prefix keeps. 历史策略：某前缀保留多少历史版本。",
    no_args_is_help=True,
)

Prefix = Annotated[str, typer.Argument(help="The prefix, for example 88.118.32001.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]


@app.command(
    "allot",
    epilog="Examples: biaoshi prefix allot 91320100MA00000081 --node ./node  |  "
    "biaoshi prefix allot 91320100MA00000081 --prefix 88.118.32001 --host --node ./node",
)
def allot(
    code: Annotated[str, typer.Argument(help="The unified social credit code of an approved enterprise.")],
    prefix: Annotated[
        str | None, typer.Option(help="This one. Default: that of its application, or the next free number.")
    ] = None,
    host: Annotated[bool, typer.Option("--host", help="Serve it from this node at once.")] = False,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Give an enterprise a prefix.

    为企业分配前缀。
    """
    client = connect(api, token, node, key, ca)
    given = client.ask("POST", f"enterprises/{quoted(code)}/prefixes", {"prefix": prefix})
    if host:
        given = client.ask("POST", f"prefixes/{quoted(given['prefix'])}/host")
    print(shown(given, as_json))


@app.command("list", epilog="Example: biaoshi prefix list --node ./node")
def list_(
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """List the prefixes that were given: prefix, stage, credit code of its enterprise.

    列出已分配的前缀：前缀、状态、企业的统一社会信用代码。
    """
    for one in connect(api, token, node, key, ca).pages("prefixes", "prefixes"):
        print(json.dumps(one, ensure_ascii=False) if as_json else _line(one))


def _line(one: dict[str, Any]) -> str:
    return f"{one['prefix']}  {one['stage']:10}  {one['enterprise']}"


@app.command("show", epilog="Example: biaoshi prefix show 88.118.32001 --node ./node")
def show(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show a prefix.

    显示前缀信息。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("GET", f"prefixes/{quoted(prefix)}"), as_json))


@app.command("host", epilog="Example: biaoshi prefix host 88.118.32001 --node ./node")
def host(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Serve a prefix from this node.

    由本节点托管前缀。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", f"prefixes/{quoted(prefix)}/host"), as_json))


@app.command("delegate", epilog="Example: biaoshi prefix delegate 88.118.32001 --node ./node")
def delegate(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Note that a prefix, delegated by now, is served by the enterprise's own node.

    登记前缀已授权给企业自己的节点。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", f"prefixes/{quoted(prefix)}/delegate"), as_json))


@app.command("arrive", epilog="Example: biaoshi prefix arrive 88.118.32001 --node ./node")
def arrive(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """End a move: the prefix is served by another node.

    结束迁移：前缀已由另一节点负责。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", f"prefixes/{quoted(prefix)}/arrive"), as_json))


@app.command("suspend", epilog="Example: biaoshi prefix suspend 88.118.32001 --reason '…' --node ./node")
def suspend(
    prefix: Prefix,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Have everything below a prefix answer SUSPENDED, and refuse writes.

    停用前缀：解析返回“已停用”，拒绝写入。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"prefixes/{quoted(prefix)}/suspend", {"reason": reason}),
            as_json,
        )
    )


@app.command("resume", epilog="Example: biaoshi prefix resume 88.118.32001 --reason '…' --node ./node")
def resume(
    prefix: Prefix,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Have a suspended prefix be as it was.

    恢复被停用的前缀。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"prefixes/{quoted(prefix)}/resume", {"reason": reason}),
            as_json,
        )
    )


@app.command("close", epilog="Example: biaoshi prefix close 88.118.32001 --reason '…' --node ./node")
def close(
    prefix: Prefix,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Have everything below a prefix answer WITHDRAWN, for good.

    永久关闭前缀：解析返回“已注销”。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"prefixes/{quoted(prefix)}/close", {"reason": reason}),
            as_json,
        )
    )


@app.command("transfer", epilog="Example: biaoshi prefix transfer 88.118.32001 --to 南京节点 --reason '…'")
def transfer(
    prefix: Prefix,
    to: Annotated[str, typer.Option(help="The node to which it goes, for people.")],
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Begin to move a prefix to another node: from now on nothing is written to it here.

    开始迁移前缀：自此不再接受写入。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask(
                "POST", f"prefixes/{quoted(prefix)}/transfer", {"to": to, "reason": reason}
            ),
            as_json,
        )
    )


@policy.command("set", epilog="Example: biaoshi policy set 88.118.32001 --versions 20 --days 3650 --node ./node")
def set_policy(
    prefix: Prefix,
    versions: Annotated[int, typer.Option(min=0, max=MAX_VERSIONS, help="Earlier versions of a record.")],
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Days after they gave way to the next.")],
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Say how many earlier versions are kept, and for how long.

    设置保留的历史版本数量与天数。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask(
                "PUT", f"prefixes/{quoted(prefix)}/policy", {"versions": versions, "days": days}
            ),
            as_json,
        )
    )


@policy.command("show", epilog="Example: biaoshi policy show 88.118.32001 --node ./node")
def show_policy(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show the policy that holds for a prefix.

    显示对某前缀生效的历史策略。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("GET", f"prefixes/{quoted(prefix)}/policy"), as_json))


@policy.command("clear", epilog="Example: biaoshi policy clear 88.118.32001 --node ./node")
def clear_policy(
    prefix: Prefix,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Have the policy of the prefix above hold again.

    取消本前缀的策略，恢复上级前缀的策略。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("DELETE", f"prefixes/{quoted(prefix)}/policy"), as_json))
