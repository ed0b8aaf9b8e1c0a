"""The commands ``biaoshi enterprise …``, clients of the JSON API."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from config.options import ApiOption, AsJson, CaOption, KeyOption, Node, TokenOption
from registry.api.client import quoted
from registry.api.connecting import connect, shown


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="enterprise")


app = typer.Typer(
    help="Enterprises: applications, review, closing. 企业：申请、审核与关闭。",
    epilog="Who may do what: docs/operations.md. Applications are reviewed by an auditor, whose token stands in "
    "BIAOSHI_TOKEN.",
    no_args_is_help=True,
)

Code = Annotated[str, typer.Argument(help="The unified social credit code of the organisation.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]


@app.command(
    "apply",
    epilog="Example: biaoshi enterprise apply 91320100MA00000081 --organisation '示例泵业' --nature 2 --section C "
    "--division 34 --contact '李工' --node ./node",
)
def apply(
    code: Code,
    organisation: Annotated[str, typer.Option(help="Its name.")],
    nature: Annotated[int, typer.Option(min=1, max=5, help="1 state-controlled … 5 private, not for profit.")],
    section: Annotated[str, typer.Option(help="Section of GB/T 4754, for example C.")],
    division: Annotated[str, typer.Option(help="Division of GB/T 4754, for example 34.")],
    contact: Annotated[str, typer.Option(help="Whom to ask.")],
    phone: Annotated[str, typer.Option(help="Their telephone.")] = "",
    email: Annotated[str, typer.Option(help="Their e-mail.")] = "",
    address: Annotated[str, typer.Option(help="Where the organisation is.")] = "",
    prefix: Annotated[str, typer.Option(help="The prefix that it would like.")] = "",
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Apply for an organisation. One that was refused may apply again.

    为企业提交申请；被驳回后可再次申请。
    """
    body = {
        "organisation": organisation, "nature": nature, "credit_code": code, "section": section, "division": division,
        "contact": {"name": contact, "phone": phone, "email": email}, "address": address, "prefix": prefix,
    }  # fmt: skip
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", "enterprises", body), as_json))


@app.command("list", epilog="Example: biaoshi enterprise list --node ./node")
def list_(
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """List the enterprises: credit code, state, prefixes, name.

    列出企业：统一社会信用代码、状态、前缀、名称。
    """
    for one in connect(api, token, node, key, ca).pages("enterprises", "enterprises"):
        print(json.dumps(one, ensure_ascii=False) if as_json else _line(one))


def _line(one: dict[str, Any]) -> str:
    return f"{one['credit_code']}  {one['state']:8}  {' '.join(one['prefixes']) or '-'}  {one['organisation']}"


@app.command("show", epilog="Example: biaoshi enterprise show 91320100MA00000081 --node ./node")
def show(
    code: Code,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show an enterprise.

    显示企业信息。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("GET", f"enterprises/{quoted(code)}"), as_json))


@app.command("approve", epilog="Example: biaoshi enterprise approve 91320100MA00000081 --token $TOKEN")
def approve(
    code: Code,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Accept an application; for auditors.

    通过申请（审核员操作）。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", f"enterprises/{quoted(code)}/approve"), as_json))


@app.command("refuse", epilog="Example: biaoshi enterprise refuse 91320100MA00000081 --reason '材料不全'")
def refuse(
    code: Code,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Turn an application down, with the reason; for auditors.

    驳回申请并说明原因（审核员操作）。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"enterprises/{quoted(code)}/refuse", {"reason": reason}),
            as_json,
        )
    )


@app.command("close", epilog="Example: biaoshi enterprise close 91320100MA00000081 --reason '注销' --node ./node")
def close(
    code: Code,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """End with an enterprise whose prefixes are closed.

    关闭企业（其前缀须先关闭）。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"enterprises/{quoted(code)}/close", {"reason": reason}),
            as_json,
        )
    )


@app.command("suspend", epilog="Example: biaoshi enterprise suspend 91320100MA00000081 --reason '质量问题'")
def suspend(
    code: Code,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Suspend all prefixes of an enterprise that are open.

    停用企业的全部前缀。
    """
    client = connect(api, token, node, key, ca)
    for prefix in client.ask("GET", f"enterprises/{quoted(code)}")["prefixes"]:
        path = f"prefixes/{quoted(prefix)}"
        if client.ask("GET", path)["stage"] not in ("suspended", "closed", "transferred"):
            print(shown(client.ask("POST", f"{path}/suspend", {"reason": reason}), as_json))


@app.command("resume", epilog="Example: biaoshi enterprise resume 91320100MA00000081 --reason '质量问题' --node ./node")
def resume(
    code: Code,
    reason: Reason,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Resume all suspended prefixes of an enterprise.

    恢复企业被停用的全部前缀。
    """
    client = connect(api, token, node, key, ca)
    for prefix in client.ask("GET", f"enterprises/{quoted(code)}")["prefixes"]:
        path = f"prefixes/{quoted(prefix)}"
        if client.ask("GET", path)["stage"] == "suspended":
            print(shown(client.ask("POST", f"{path}/resume", {"reason": reason}), as_json))
