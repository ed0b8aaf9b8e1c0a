"""The commands ``biaoshi identity …``, ``biaoshi group …`` and ``biaoshi token …``, clients of the JSON API."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from config.options import ApiOption, AsJson, CaOption, KeyOption, Node, TokenOption
from config.places import language
from registry.api.client import quoted
from registry.api.connecting import connect, shown
from registry.identities.bodies import MAX_TOKEN_DAYS
from registry.store.callers.permissions import Operation, Role


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="identity")
    main.add_typer(group, name="group")
    main.add_typer(token_app, name="token")


app = typer.Typer(
    help="Identities: persons and programs, and what they may do. 身份：人员与程序及其权限。",
    epilog="Roles: " + ", ".join(Role) + ". The first two are named directly below the zone, the others below the "
    "prefix of an enterprise.",
    no_args_is_help=True,
)
group = typer.Typer(
    help="Groups of identities, for readers of values. 身份组：用于限定值的读者。", no_args_is_help=True
)
token_app = typer.Typer(
    help="Tokens of identities: shown once, limited, revoked at once. 身份令牌：仅显示一次，可限定范围，可随时撤销。",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The identity, for example 88.118.32001/U.li.")]
GroupName = Annotated[str, typer.Argument(help="The group, for example 88.118.32001/G.partners.")]
Roles = Annotated[list[Role] | None, typer.Option("--role", help="May be repeated.")]
Title = Annotated[str | None, typer.Option(help="What people call it.")]


@app.command("add", epilog="Example: biaoshi identity add 88.118.32001/U.li --role enterprise-writer --node ./node")
def add(
    name: Name,
    roles: Annotated[list[Role], typer.Option("--role", help="May be repeated.")],
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Make an identity.

    创建身份。
    """
    body = {"name": name, "roles": roles, "title": title}
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("POST", "identities", body), as_json))


@app.command("list", epilog="Example: biaoshi identity list 88.118.32001 --node ./node")
def list_(
    prefix: Annotated[str, typer.Argument(help="The prefix below which they are named.")],
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """List the identities of a prefix: name, roles, title.

    列出某前缀的身份：名称、角色、称谓。
    """
    for one in connect(api, token, node, key, ca).pages(f"prefixes/{quoted(prefix)}/identities", "identities"):
        print(json.dumps(one, ensure_ascii=False) if as_json else _line(one))


def _line(one: dict[str, Any]) -> str:
    note = "（已停用）" if language() == "zh" else " (disabled)"
    return f"{one['name']}  {','.join(one['roles'])}  {one['title']}{note if one['disabled'] else ''}"


@app.command("show", epilog="Example: biaoshi identity show 88.118.32001/U.li --node ./node")
def show(
    name: Name,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show an identity with its credentials.

    显示身份及其凭证。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("GET", f"identities/{quoted(name)}"), as_json))


@app.command("change", epilog="Example: biaoshi identity change 88.118.32001/U.li --disable --node ./node")
def change(
    name: Name,
    roles: Roles = None,
    title: Title = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Put all its credentials out of use, or back.")
    ] = None,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Change roles or title of an identity, disable it or let it act again.

    修改身份的角色或称谓，停用或启用。
    """
    given = {"roles": roles or None, "title": title, "disabled": disabled}
    body = {member: one for member, one in given.items() if one is not None}
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("PATCH", f"identities/{quoted(name)}", body), as_json))


@app.command("key", epilog="Example: biaoshi identity key 88.118.32001/U.li ed25519:… --node ./node")
def add_key(
    name: Name,
    public: Annotated[str, typer.Argument(help="The public key, as 'biaoshi key FILE' prints it.")],
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Let a public key speak for an identity, natively and over HTTP.

    为身份登记公钥，可用于原生协议和 HTTP。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask("POST", f"keys/{quoted(name)}", {"key": public, "title": title}),
            as_json,
        )
    )


@group.command("put", epilog="Example: biaoshi group put 88.118.32001/G.partners 88.118.32002 --node ./node")
def put_group(
    name: GroupName,
    members: Annotated[list[str], typer.Argument(help="Identities, and prefixes of enterprises.")],
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a group, or replace its members.

    创建身份组或替换其成员。
    """
    print(
        shown(
            connect(api, token, node, key, ca).ask(
                "PUT", f"groups/{quoted(name)}", {"members": members, "title": title}
            ),
            as_json,
        )
    )


@group.command("show", epilog="Example: biaoshi group show 88.118.32001/G.partners --node ./node")
def show_group(
    name: GroupName,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Show a group.

    显示身份组。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("GET", f"groups/{quoted(name)}"), as_json))


@group.command("delete", epilog="Example: biaoshi group delete 88.118.32001/G.partners --node ./node")
def delete_group(
    name: GroupName,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Take a group away: who was in it reads nothing on its account.

    删除身份组。
    """
    connect(api, token, node, key, ca).ask("DELETE", f"groups/{quoted(name)}")


@token_app.command("issue", epilog="Example: biaoshi token issue 88.118.32001/U.li --days 30 --node ./node")
def issue(
    name: Name,
    prefixes: Annotated[list[str] | None, typer.Option("--prefix", help="Good below this alone.")] = None,
    operations: Annotated[list[Operation] | None, typer.Option("--operation", help="Good for this alone.")] = None,
    days: Annotated[float, typer.Option(min=0.0001, max=MAX_TOKEN_DAYS, help="How long it is good for.")] = 90.0,
    title: Annotated[str, typer.Option(help="What it is for.")] = "",
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Issue a token and print it, this once: TOKEN=$(biaoshi token issue …).

    签发令牌并打印（仅此一次）：TOKEN=$(biaoshi token issue …)。
    """
    body = {"title": title, "prefixes": prefixes or None, "operations": operations or None, "days": days}
    issued = connect(api, token, node, key, ca).ask("POST", f"tokens/{quoted(name)}", body)
    print(json.dumps(issued, ensure_ascii=False) if as_json else issued["secret"])


@token_app.command("list", epilog="Example: biaoshi token list 88.118.32001/U.li --node ./node")
def list_tokens(
    name: Name,
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """List the tokens and keys of an identity: id, end (UTC), scope, title.

    列出身份的令牌和密钥：编号、到期时间（UTC）、范围、用途。
    """
    for one in connect(api, token, node, key, ca).ask("GET", f"identities/{quoted(name)}")["credentials"]:
        print(json.dumps(one, ensure_ascii=False) if as_json else _credential_line(one))


def _credential_line(one: dict[str, Any]) -> str:
    end = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one["until"])) if one["until"] else "-"
    return f"{one['id']}  {end}  {' '.join([*one['prefixes'], *one['operations']]) or '*'}  {one['title']}"


@token_app.command("revoke", epilog="Example: biaoshi token revoke 88.118.32001/U.li token-0123456789abcdef")
def revoke(
    name: Name,
    credential: Annotated[str, typer.Argument(help="Its id, as list shows it.")],
    api: ApiOption = None,
    token: TokenOption = None,
    node: Node = None,
    key: KeyOption = None,
    ca: CaOption = None,
    as_json: AsJson = False,
) -> None:
    """Put a token or key out of use, at once.

    立即撤销令牌或密钥。
    """
    client = connect(api, token, node, key, ca)
    print(shown(client.ask("DELETE", f"credentials/{quoted(credential)}/{quoted(name)}"), as_json))
