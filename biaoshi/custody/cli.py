"""The commands of custody: ``biaoshi custody …`` on the custody node, ``vouch`` and ``restore`` on the zone's side."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from biaoshi.custody.making import add_zone, begin_anew, custody_settings, find_zone
from biaoshi.custody.restoring import Restored, restore_from_directory, restore_from_server
from biaoshi.custody.vouching import check_zone, read_vouch_request, vouch, vouch_for_followers
from config.keyfiles import read_anchor, read_secret, write_whole
from config.load import load_settings
from config.options import AnchorOption
from config.places import language
from config.settings import Settings
from protocol.address import parse_address
from protocol.errors import NotVerified, Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.limits import DEFAULT_PORT
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import read_online_key
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.following.identity import Identity, judge_statement

CONFIG: Final = Path("biaoshi.toml")

CANNOT_READ: Final = Rule(
    "custody.cannot-read", Status.SETTINGS, "{path} cannot be read: {reason}", "{path} 无法读取：{reason}"
)
OTHER_KEY: Final = Rule(
    "vouch.other-key",
    Status.SETTINGS,
    "{path} is not the secret half of a key under [keys] zone",
    "{path} 不是 [keys] zone 中任何公钥对应的私钥",
)
NO_CHAIN: Final = Rule(
    "custody.no-chain",
    Status.NOT_VERIFIED,
    "the chain of '{zone}' is not here yet; start the node, which fetches it from the zone's registry",
    "本地尚无“{zone}”的信任链，请先启动节点，由其从该区域的注册服务获取",
)

app = typer.Typer(
    help="The zones of a custody node. 托管节点所托管的区域。",
    epilog="Begin with: biaoshi init custody --dir custody  |  biaoshi custody add 88.118 --server 10.0.0.5 "
    "--anchor anchor.toml --config custody/biaoshi.toml",
    no_args_is_help=True,
)

CustodyConfig = Annotated[Path, typer.Option("--config", help="The custody node's configuration file.")]
ZoneConfig = Annotated[Path, typer.Option("--config", help="The configuration file of the zone's node.")]
Prefix = Annotated[str, typer.Argument(help="The zone, for example 88.118.")]


@app.command(epilog="Example: biaoshi custody add 88.118 --server 10.0.0.5:26411 --anchor anchor.toml "
             "--config custody/biaoshi.toml")  # fmt: skip
def add(
    prefix: Prefix,
    server: Annotated[list[str], typer.Option(help="Registry of the zone, host[:port]; may be repeated.")],
    anchor: AnchorOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_534, help="Where to answer for it (its registry: the next). 0: free ones."),
    ] = None,
    config: CustodyConfig = CONFIG,
) -> None:
    """Prepare a zone: its keys here, its place in the configuration, and what its own node needs.

    准备一个区域：本地密钥、配置条目，以及该区域节点所需的配置。
    """
    settings = custody_settings(config)
    zone, request, path = add_zone(settings, prefix, server, anchor or Path("anchor.toml"), port)
    print((_ADDED_ZH if language() == "zh" else _ADDED_EN).format(
        zone=zone.prefix or "(root)", config=settings.file_path, request=path, port=zone.port,
        registry_port=zone.registry_port, host=settings.resolver.host,
    ))  # fmt: skip
    print(request.entry)


_ADDED_EN = """{zone} is under [[zones]] of {config}; restart the node to follow it.
The zone's operator puts the lines below into the configuration of the zone's node and restarts it; where its zone key
is on that node, that is all. Otherwise they sign {request} with 'biaoshi vouch'.
To have clients come here while the zone's node is down, its delegation lists {host}:{port} after its own address; to
notice an old backup at its start, its [registry] says custody = ["{host}:{registry_port}"].
"""
_ADDED_ZH = """{zone} 已加入 {config} 的 [[zones]]，重启本节点后开始跟随。
请该区域的运维人员将以下几行写入其节点的配置并重启；若其区域私钥在该节点上，无需其他操作，
否则请用 biaoshi vouch 签发 {request}。
如需在该区域节点停机时由本节点应答，请在其授权的地址中于自身地址之后列出 {host}:{port}；
如需在启动时发现旧备份，请在其 [registry] 中写 custody = ["{host}:{registry_port}"]。
"""


@app.command(epilog="Example: biaoshi custody accept 88.118.statement --config custody/biaoshi.toml")
def accept(
    statement: Annotated[Path, typer.Argument(help="The file that 'biaoshi vouch' has written.")],
    config: CustodyConfig = CONFIG,
) -> None:
    """Take a zone's statement for this node's online key from a file. Not needed where its registry hands it out.

    从文件接收区域签发的声明；若该区域的注册服务会自动提供，则无需此步。
    """
    settings = custody_settings(config)
    raw = _read(statement)
    zone = find_zone(settings, read_online_key(raw).claim.zone)
    identity = Identity(settings.copy_of(zone), TrustAnchor.parse(*read_anchor(settings.path(zone.anchor))))
    known = identity.zone(int(time.time()))
    if known is None or known.prefix != normal_zone_text(zone.prefix):
        raise NotVerified(NO_CHAIN, zone=zone.prefix)
    claim = judge_statement(raw, known, identity.online_key, int(time.time()))
    identity.take_statement(raw, known, int(time.time()))
    until = time.strftime("%Y-%m-%d", time.gmtime(claim.not_after))
    print(f"{claim.zone}  {claim.key.id.hex()}  {'有效期至' if language() == 'zh' else 'until'} {until}")


@app.command(epilog="Example: biaoshi custody again 88.118 --config custody/biaoshi.toml")
def again(prefix: Prefix, config: CustodyConfig = CONFIG) -> None:
    """Remove the copy of a zone and have it taken anew, giving up what only the copy has. The node must be stopped.

    删除某区域的副本并重新复制，放弃只有副本才有的变更。须先停止本节点。
    """
    settings = custody_settings(config)
    path = begin_anew(settings, find_zone(settings, prefix))
    done = "已删除，启动节点后重新复制" if language() == "zh" else "removed; it is taken anew when the node starts"
    print(f"{path} {done}")


# The zone's side ------------------------------------------------------------------------------------------


def vouch_command(
    request: Annotated[
        Path | None, typer.Argument(help="Request of a custody node; without it, for all followers that are listed.")
    ] = None,
    config: ZoneConfig = CONFIG,
    zone_key: Annotated[Path | None, typer.Option(help="The zone's secret key. Default: [keys] zone_secret.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0.0001, max=3_650, help="How long it is valid. Default: [keys] online_days.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: ZONE-NAME.statement.")] = None,
) -> None:
    """Sign for the online key by which a custody node answers for this zone. A node with its zone key does so by itself
    for all that are listed, and anew when a third of the time is left; its registry hands the statements out.

    为托管节点代本区域应答所用的在线密钥签发声明。持有区域私钥的节点会自动为所列跟随者签发和续签。
    """
    settings = load_settings(config)
    zone = normal_zone_text(settings.node.prefix)
    signer = _zone_key(settings, zone_key)
    now = int(time.time())
    if days is not None:
        settings.keys.online_days = days
    if request is None:
        for follower in vouch_for_followers(settings, zone, signer, now):
            print(f"{follower.name}  {follower.online}")
        return
    asked = read_vouch_request(request)
    check_zone(asked, zone)
    path = out or Path(f"{zone or 'root'}-{asked.name}.statement")
    write_whole(path, vouch(zone, asked.name, asked.online, signer, now, settings.keys.online_days))
    vouch_for_followers(settings, zone, signer, now)
    print(path)
    if not any((one.name, one.online) == (asked.name, asked.online) for one in settings.registry.followers):
        print("请将以下几行写入本节点的配置并重启：" if language() == "zh" else
              "put these lines into the node's configuration and restart it:")  # fmt: skip
        print(asked.entry)


def restore_command(
    source: Annotated[
        Path | None, typer.Option("--from", help="Directory of a copy (store/zones/PREFIX there), or of a backup.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Registry door of the copy at a custody node, host[:port].")
    ] = None,
    config: ZoneConfig = CONFIG,
    key: Annotated[
        Path | None, typer.Option(help="A key of the zone, or of a follower there. Default: [keys] zone_secret.")
    ] = None,
    incomplete: Annotated[bool, typer.Option(help="Also from a copy that has never been whole.")] = False,
) -> None:
    """Rebuild the store of a node that has lost it, or was put back, from a copy. The node must be stopped; what is
    there is kept aside. Stopped at any moment, the same command goes on.

    从副本重建丢失或被回退的存储。须先停止节点，原有存储会保留在旁边；中断后重新运行即可继续。
    """
    if (source is None) == (server is None):
        raise typer.BadParameter("name --from DIRECTORY or --server HOST")
    settings = load_settings(config)
    restored = asyncio.run(_restore(settings, source, server, key, incomplete))
    sentence = _RESTORED_ZH if language() == "zh" else _RESTORED_EN
    print(sentence.format(restored.changes, restored.registered))
    if restored.before is not None:
        print(f"{'原存储保留在' if language() == 'zh' else 'the store before it is in'} {restored.before}")


_RESTORED_EN = "restored: {0:,} changes, {1:,} registered identifiers; start the node"
_RESTORED_ZH = "已恢复：{0:,} 条变更，{1:,} 个已注册标识，可启动节点"


async def _restore(
    settings: Settings, source: Path | None, server: str | None, key: Path | None, incomplete: bool
) -> Restored:
    if source is not None:
        return await restore_from_directory(settings, source, incomplete=incomplete)
    assert server is not None
    signer = SigningKey(read_secret(key or settings.path(settings.keys.zone_secret)))
    keys = [PublicKey.parse(one) for one in settings.keys.zone[:2]]
    if keys:
        anchor = TrustAnchor(normal_zone_text(settings.node.prefix), *keys)
    else:
        anchor = TrustAnchor.parse(*read_anchor(settings.path("anchor.toml")))
    address = parse_address(server, DEFAULT_PORT + 1)
    of_zone = key is None or signer.public in keys
    return await restore_from_server(settings, address, anchor, signer, of_zone=of_zone, incomplete=incomplete)


def add_commands(main: typer.Typer) -> None:
    """Put the commands into the one command."""
    main.add_typer(app, name="custody")
    main.command("vouch", epilog="Examples: biaoshi vouch vouch.request --config node/biaoshi.toml  |  "
                 "biaoshi vouch --config node/biaoshi.toml --zone-key /media/usb/zone.pem")(vouch_command)  # fmt: skip
    main.command("restore", epilog="Examples: biaoshi restore --server 10.0.0.9:26421 --config node/biaoshi.toml  |  "
                 "biaoshi restore --from /backup/store --config node/biaoshi.toml")(restore_command)  # fmt: skip


def _zone_key(settings: Settings, option: Path | None) -> SigningKey:
    path = option or settings.path(settings.keys.zone_secret)
    signer = SigningKey(read_secret(path))
    if signer.public not in map(PublicKey.parse, settings.keys.zone):
        raise SettingsError(OTHER_KEY, path=str(path))
    return signer


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(CANNOT_READ, path=str(path), reason=error.strerror or str(error)) from None
