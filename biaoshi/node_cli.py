"""The commands of a node as a whole: init, serve, renew, key, status."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import resolver.cli
from biaoshi.custody.making import make_custody
from biaoshi.custody.running import supervise_copies
from biaoshi.custody.showing import followers_of, is_custody, status_text, statuses
from biaoshi.light import serve_light
from biaoshi.making import ANCHOR_NAME, CONFIG_NAME, WRITER_KEY, ZONE_KEY, make_node, make_recursive, renew_node
from biaoshi.supervisor import supervise
from config.keyfiles import make_seed, read_secret, write_secret
from config.load import ROLES, load_settings
from config.options import AnchorOption, AsJson, KeyOption, Node, RegistryOption, Server
from config.places import language
from config.process import run
from protocol.errors import render
from protocol.signatures import SigningKey
from registry.putback import PUT_BACK
from registry.statistics.cli import connect, show_top


def add_commands(app: typer.Typer) -> None:
    """Put this module's commands into ``app``."""
    app.command(
        epilog="Examples: biaoshi init secondary --prefix 88.118 --dir ./node  |  "
        "biaoshi init recursive --anchor top/anchor.toml --root 127.0.0.1:26410 --dir ./recursive"
    )(init)
    app.command(epilog=f"Example: biaoshi serve --config node/{CONFIG_NAME}")(serve)
    app.command(epilog=f"Example: biaoshi renew --config node/{CONFIG_NAME} --zone-key /media/usb/zone.pem")(renew)
    app.command(epilog="Example: biaoshi key keys/writer.pem")(key)
    app.command(
        epilog="Examples: biaoshi status --node ./node  |  biaoshi status --top --node ./top  |  "
        "biaoshi status --top --zone 88.118 --hours 24 --json --node ./top"
    )(status)


def init(
    role: Annotated[str, typer.Argument(help=" or ".join(ROLES))],
    directory: Annotated[
        Path, typer.Option("--dir", help="A new or empty directory for keys, configuration and store.")
    ],
    prefix: Annotated[
        str | None,
        typer.Option(help="The zone this node is authoritative for, for example 88.118; for a top also '', the root."),
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(envvar="BIAOSHI_ANCHOR", help="For a recursive node: the top node's anchor file.")
    ] = None,
    root: Annotated[
        list[str] | None, typer.Option(help="For a recursive node: an address of the top node; may be repeated.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_534, help="Resolver port (registry: the next). 0: free ones.")
    ] = None,
) -> None:
    """Make a node: zone key, online key, a writer's key, commented configuration, empty store.

    创建节点：区域密钥、在线密钥、写入密钥、带注释的配置文件和空的存储。
    """
    if role not in ROLES:
        raise typer.BadParameter(
            f"'{role}' is no role this version serves; it is {' or '.join(ROLES)}", param_hint="ROLE"
        )
    if role == "custody":
        if prefix or anchor or root or port is not None:
            raise typer.BadParameter("a custody node is made with --dir alone; its zones come by 'biaoshi custody add'")
        path = make_custody(directory)
        print((_CUSTODY_ZH if language() == "zh" else _CUSTODY_EN).format(directory, path))
        return
    if role == "recursive":
        if prefix or anchor is None or not root:
            raise typer.BadParameter("a recursive node is made with --anchor and --root, and has no --prefix")
        path = make_recursive(anchor, root, directory, port=port)
        print((_RECURSIVE_ZH if language() == "zh" else _RECURSIVE_EN).format(
            directory, path, directory / ANCHOR_NAME, anchor
        ))  # fmt: skip
        return
    if prefix is None:
        raise typer.BadParameter(f"a {role} node is made with --prefix", param_hint="--prefix")
    path = make_node(role, prefix, directory, port=port)
    print((_MADE_ZH if language() == "zh" else _MADE_EN).format(
        directory, path, directory / ANCHOR_NAME, directory / ZONE_KEY, directory / WRITER_KEY
    ))  # fmt: skip


_MADE_EN = """node made in {0}
  configuration  {1}
  trust anchor   {2} (give it to anybody)
  zone key       {3} (keep it elsewhere; only renewing needs it)
  writer's key   {4}
start it: biaoshi serve --config {1}"""
_MADE_ZH = """节点已创建：{0}
  配置          {1}
  信任锚        {2}（可公开）
  区域私钥      {3}（请离线保管，仅更新在线密钥时需要）
  写入私钥      {4}
启动：biaoshi serve --config {1}"""


_CUSTODY_EN = """custody node made in {0}
  configuration  {1}
  its key        {0}/keys/follower.pem
for each zone: biaoshi custody add PREFIX --server HOST --anchor FILE --config {1}"""
_CUSTODY_ZH = """托管节点已创建：{0}
  配置          {1}
  自身私钥      {0}/keys/follower.pem
添加区域：biaoshi custody add 前缀 --server 主机 --anchor 文件 --config {1}"""

_RECURSIVE_EN = """recursive node made in {0}
  configuration  {1}
  trust anchor   {3} is what clients need; its answers carry the proof
  its own anchor {2}, for clients that trust this node and leave the proof to it
start it: biaoshi serve --config {1}"""
_RECURSIVE_ZH = """递归节点已创建：{0}
  配置          {1}
  信任锚        客户端使用 {3} 即可，应答自带证明
  自身信任锚    {2}（供信任本节点、由其代为验证的客户端使用）
启动：biaoshi serve --config {1}"""


def serve(
    config: Annotated[Path, typer.Option(help="The node's configuration file.")] = Path(CONFIG_NAME),
) -> None:
    """Run a node until Ctrl-C or SIGTERM.

    运行节点，直到 Ctrl-C 或 SIGTERM。
    """
    settings = load_settings(config)
    if settings.node.role == "custody":
        run(supervise_copies(settings, config.resolve()))
        return
    run(serve_light(settings) if settings.node.processes == "light" else supervise(settings, config.resolve()))


def renew(
    config: Annotated[Path, typer.Option(help="The node's configuration file.")] = Path(CONFIG_NAME),
    zone_key: Annotated[
        Path | None, typer.Option(help=f"The zone's secret key. Default: {ZONE_KEY} beside it.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.0001, max=3_650, help="How long it is valid. Default: [keys] online_days.")
    ] = None,
) -> None:
    """Make a new online key, signed by the zone key. A running node takes it up by itself.

    生成由区域密钥签发的新在线密钥，运行中的节点会自动启用。
    """
    settings = load_settings(config)
    days = days or settings.keys.online_days
    claim = renew_node(settings, zone_key or settings.path(settings.keys.zone_secret), days)
    print((_RENEWED_ZH if language() == "zh" else _RENEWED_EN).format(claim.key.id.hex(), f"{days:g}"))


_RENEWED_EN = "online key {} valid for {} days; a running node takes it up by itself"
_RENEWED_ZH = "在线密钥 {} 已生成，有效期 {} 天，运行中的节点会自动启用"


def key(
    file: Annotated[Path, typer.Argument(help="A secret key file. It is made where it does not exist, with --make.")],
    make: Annotated[bool, typer.Option("--make", help="Make a new key in this file first.")] = False,
) -> None:
    """Print the public key of a secret key file, as configuration and anchors want it.

    显示私钥文件对应的公钥。
    """
    if make:
        write_secret(file, make_seed())
    print(SigningKey(read_secret(file)).public)


def status(
    server: Server = None,
    anchor: AnchorOption = None,
    node: Node = None,
    as_json: AsJson = False,
    top: Annotated[bool, typer.Option("--top", help="The sums of all secondaries, as they told them here.")] = False,
    zone: Annotated[str | None, typer.Option(help="With --top: the hours and enterprises of one of them.")] = None,
    hours: Annotated[int, typer.Option(min=1, help="With --zone: how many hours back.")] = 24,
    registry_option: RegistryOption = None,
    key: KeyOption = None,
) -> None:
    """Show what a node says of itself: zone, registrations, store size. With --top: what its children reported to it.

    显示节点状态：区域、注册数量与存储大小。加 --top 显示各下级节点上报的统计汇总。
    """
    if top:
        show_top(connect(registry_option, anchor, key, node), zone, hours, as_json)
    elif zone is not None:
        raise typer.BadParameter("--zone goes with --top")
    elif node is not None and server is None and is_custody(node):
        for copy in statuses(node):
            print(json.dumps(copy, ensure_ascii=False) if as_json else status_text(copy, language()))
    else:
        more = {} if server else followers_of(node, anchor)
        resolver.cli.status(server, anchor, node, as_json, more)
        if who := more.get("put_back"):
            print(f"! {render(PUT_BACK.name, {'who': who}, language())}", file=sys.stderr if as_json else sys.stdout)
