"""The commands ``biaoshi delegate …``: of the parent, and of the child."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from biaoshi.delegation.child import (
    fetch,
    is_taken_up,
    make_request,
    node_address,
    parent_client,
    trusted_anchor,
)
from biaoshi.delegation.parent import check_key, issued, renewal, renewed
from biaoshi.delegation.show import delegation_text, moment, request_text
from config.keyfiles import read_anchor, read_secret, read_writer_key, write_whole
from config.load import load_settings, put_option, toml_string
from config.options import AnchorOption, KeyOption, Node, RegistryOption
from config.places import anchor_path, key_path, language, registry_address
from config.settings import Settings
from protocol.address import parse_address
from protocol.errors import Refused, Rule, SettingsError
from protocol.identifiers import normal_prefix_text
from protocol.limits import DEFAULT_PORT, MAX_CODE_HOURS
from protocol.signatures import SigningKey
from protocol.statements import Delegation, read_delegation, read_request
from protocol.status import Status
from protocol.trust import TrustAnchor
from registry.client import RegistryClient
from registry.codes import CODE_BYTES, code_key, format_code

DELEGATION_DAYS: Final = 90.0

NO_REQUEST: Final = Rule(
    "delegate.no-request",
    Status.NOT_FOUND,
    "no request of '{child}' waits; 'biaoshi delegate requests' lists those that do",
    "没有“{child}”的待处理申请，可用 biaoshi delegate requests 查看",
)
NOT_DELEGATED: Final = Rule(
    "delegate.not-delegated", Status.NOT_FOUND, "'{child}' is not delegated", "“{child}”没有授权"
)
CANNOT_READ: Final = Rule(
    "delegate.cannot-read", Status.SETTINGS, "{path} cannot be read: {reason}", "{path} 无法读取：{reason}"
)
NO_PARENT: Final = Rule(
    "delegate.no-parent",
    Status.SETTINGS,
    "where is the parent's registry? Give --parent HOST:PORT, or write it under [keys] parent",
    "上级注册服务在哪里？请用 --parent 主机:端口 指定，或写入 [keys] parent",
)


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="delegate")


app = typer.Typer(
    help="Delegate prefixes to other nodes, and be delegated. 向下级节点授权，或向上级申请授权。",
    epilog="Child: request or ask, then fetch. Parent: code, requests, issue, renew, revoke, list.",
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Option(help="The child node's configuration file.")]
ZoneKey = Annotated[
    Path | None,
    typer.Option(
        help="The zone's secret key. Default: keys/zone.pem of the node, or what its [keys] zone_secret says."
    ),
]
Addresses = Annotated[
    list[str],
    typer.Option(
        "--address",
        help="Where the zone is served: HOST:PORT, HOST:PORT/UDP-PORT (0: no UDP), with ,tls for TLS. Several, the "
        "preferred first.",
    ),
]
DaysOption = Annotated[float, typer.Option("--days", min=0.0001, max=3_650, help="How long it is valid.")]
ParentOption = Annotated[
    str | None, typer.Option("--parent", help="Registry of the parent, host[:port]. Remembered in the configuration.")
]
Prefix = Annotated[str, typer.Argument(help="The child's prefix, for example 88.118.")]
CONFIG: Final = Path("biaoshi.toml")


# The child ------------------------------------------------------------------------------------------------


@app.command(epilog="Example: biaoshi delegate request --config node/biaoshi.toml --address node.example.cn:26410")
def request(
    address: Addresses,
    config: Config = CONFIG,
    zone_key: ZoneKey = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: PREFIX.request.")] = None,
) -> None:
    """Write a request file for the parent, signed by the zone key.

    生成由区域密钥签署的授权申请文件，交给上级。
    """
    settings = load_settings(config)
    statement = _request(settings, zone_key, address)
    path = out or Path(f"{settings.node.prefix}.request")
    write_whole(path, statement)
    print(path)
    print(request_text(read_request(statement)))


@app.command(epilog="Example: biaoshi delegate ask --parent 10.0.0.5 --anchor top.toml --code ABCD-EFGH-2345-IJKL "
             "--address node.example.cn:26410")  # fmt: skip
def ask(
    address: Addresses,
    config: Config = CONFIG,
    zone_key: ZoneKey = None,
    parent: ParentOption = None,
    anchor: AnchorOption = None,
    code: Annotated[
        str | None,
        typer.Option(help="One-time code from the parent; not needed where it delegates to one of our keys already."),
    ] = None,
) -> None:
    """Ask the parent for a delegation over the network.

    通过网络向上级申请授权。
    """
    settings = load_settings(config)
    trust, _ = trusted_anchor(settings, anchor)
    statement = _request(settings, zone_key, address)
    where = _parent(settings, parent)
    asyncio.run(_ask(where, trust, statement, code_key(code) if code else None))
    _remember(settings, where)
    print("申请已提交，等待上级签发；签发后运行 biaoshi delegate fetch" if language() == "zh" else
          "the request waits for the parent's zone key; then: biaoshi delegate fetch")  # fmt: skip
    print(request_text(read_request(statement)))


async def _ask(parent: str, anchor: TrustAnchor, statement: bytes, code: SigningKey | None) -> None:
    async with parent_client(parent, anchor) as client:
        await client.request(statement, code)


@app.command("fetch", epilog="Example: biaoshi delegate fetch --config node/biaoshi.toml --anchor top.toml")
def fetch_chain(config: Config = CONFIG, parent: ParentOption = None, anchor: AnchorOption = None) -> None:
    """Get the chain of delegations from the parent, verify it and show it from now on.

    从上级获取授权链，验证后启用。
    """
    settings = load_settings(config)
    where = _parent(settings, parent)
    found = asyncio.run(fetch(settings, where, anchor))
    _remember(settings, where)
    print(*map(delegation_text, found.zone.delegations), sep="\n")
    if not found.changed:
        print("与现有授权相同" if language() == "zh" else "as it was")
    elif not asyncio.run(is_taken_up(settings, trusted_anchor(settings, None)[0])):
        print(_NOT_TAKEN_UP_ZH if language() == "zh" else _NOT_TAKEN_UP_EN, file=sys.stderr)


_NOT_TAKEN_UP_EN = "the running node does not show the new chain yet; its log says why"
_NOT_TAKEN_UP_ZH = "运行中的节点尚未启用新的信任链，原因见其日志"


# The parent -----------------------------------------------------------------------------------------------


@app.command(epilog="Example: biaoshi delegate code 88.118 --node ./top")
def code(
    prefix: Prefix,
    hours: Annotated[int, typer.Option(min=1, max=MAX_CODE_HOURS, help="How long it is valid.")] = 24,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Make a one-time code with which a child asks for its delegation; tell it to the child's operator.

    生成一次性口令，下级凭此申请授权。
    """
    text = format_code(os.urandom(CODE_BYTES))
    until = asyncio.run(_code(_client(registry, anchor, key, node), normal_prefix_text(prefix), text, hours))
    print(f"{text}  {'有效期至' if language() == 'zh' else 'until'} {moment(until)}")


async def _code(client: RegistryClient, child: str, text: str, hours: int) -> int:
    async with client:
        return await client.make_code(child, code_key(text).public, hours)


@app.command(epilog="Example: biaoshi delegate requests --node ./top")
def requests(
    registry: RegistryOption = None, anchor: AnchorOption = None, key: KeyOption = None, node: Node = None
) -> None:
    """List the requests that wait for the zone key.

    列出等待签发的申请。
    """
    for statement in asyncio.run(_requests(_client(registry, anchor, key, node))):
        print(request_text(read_request(statement)))


async def _requests(client: RegistryClient) -> list[bytes]:
    async with client:
        return [statement async for statement in client.requests()]


@app.command(epilog="Examples: biaoshi delegate issue 88.118.request --node ./top  |  "
             "biaoshi delegate issue 88.118 --node ./top --days 30 --zone-key /media/usb/zone.pem")  # fmt: skip
def issue(
    wanted: Annotated[str, typer.Argument(metavar="REQUEST-FILE|PREFIX", help="A request file, or who asked.")],
    zone_key: ZoneKey = None,
    days: DaysOption = DELEGATION_DAYS,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    node: Node = None,
) -> None:
    """Sign and store the delegation that was asked for. Compare its keys with the child's operator first, unless the
    request came with a code.

    签发所申请的授权。若申请不是凭口令提交的，请先与下级核对公钥。
    """
    file = Path(wanted)
    statement: bytes | None = None
    if file.is_file():
        try:
            statement = file.read_bytes()
        except OSError as error:
            raise SettingsError(CANNOT_READ, path=wanted, reason=error.strerror or str(error)) from None
    signer = _zone_key(zone_key, node)
    print(
        delegation_text(asyncio.run(_issue(_signing(registry, anchor, signer, node), statement, wanted, signer, days)))
    )


async def _issue(
    client: RegistryClient, statement: bytes | None, who: str, signer: SigningKey, days: float
) -> Delegation:
    async with client:
        if statement is None:
            child = normal_prefix_text(who)
            waiting = [one async for one in client.requests() if read_request(one).child == child]
            if not waiting:
                raise Refused(NO_REQUEST, NO_REQUEST.status, child=child)
            statement = waiting[0]
        wish = read_request(statement)
        serial, _ = await client.delegation(wish.child)
        return await _store(client, issued(wish, serial, client.zone, days, int(time.time())), signer)


@app.command(
    epilog="Examples: biaoshi delegate renew 88.118 --node ./top  |  biaoshi delegate renew --due --node ./top"
)
def renew(
    prefix: Annotated[str | None, typer.Argument(help="The child's prefix; or --due.")] = None,
    all_due: Annotated[bool, typer.Option("--due", help="All with a third of their time left.")] = False,
    zone_key: ZoneKey = None,
    days: DaysOption = DELEGATION_DAYS,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    node: Node = None,
) -> None:
    """Renew a delegation, or all that are due, with the same keys and addresses.

    续签一个或全部即将到期的授权，密钥与地址不变。
    """
    if (prefix is None) == (not all_due):
        raise typer.BadParameter("name a PREFIX, or --due")
    signer = _zone_key(zone_key, node)
    child = normal_prefix_text(prefix) if prefix is not None else None
    for claim in asyncio.run(_renew(_signing(registry, anchor, signer, node), child, signer, days)):
        print(delegation_text(claim))


async def _renew(client: RegistryClient, child: str | None, signer: SigningKey, days: float) -> list[Delegation]:
    async with client:
        if child is not None:
            serial, statement = await client.delegation(child)
            if statement is None:
                raise Refused(NOT_DELEGATED, NOT_DELEGATED.status, child=child)
            claim = read_delegation(statement).claim
            found: list[Delegation | None] = [renewed(claim, serial, client.zone, days, int(time.time()))]
        else:
            found = [
                renewal(statement, serial, client.zone, signer, days, int(time.time()))
                async for _, serial, statement in client.delegations() if statement is not None
            ]  # fmt: skip
        return [await _store(client, claim, signer) for claim in found if claim is not None]


async def _store(client: RegistryClient, claim: Delegation, signer: SigningKey) -> Delegation:
    check_key(client.zone, signer.public)
    await client.delegate(claim.sign(signer))
    return claim


@app.command(epilog="Example: biaoshi delegate revoke 88.118 --node ./top")
def revoke(
    prefix: Prefix,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Take a delegation back. Clients that ask here know it at once, others within 10 minutes; who holds the chain and
    never asks the parent believes it until it ends.

    撤销授权。查询本节点的客户端立即得知，其他客户端在 10 分钟内得知。
    """
    child = normal_prefix_text(prefix)
    serial = asyncio.run(_revoke(_client(registry, anchor, key, node), child))
    print(f"{child}  {'已撤销，序号' if language() == 'zh' else 'revoked, serial'} {serial}")


async def _revoke(client: RegistryClient, child: str) -> int:
    async with client:
        return await client.revoke(child)


@app.command("list", epilog="Example: biaoshi delegate list --node ./top")
def list_delegations(
    registry: RegistryOption = None, anchor: AnchorOption = None, key: KeyOption = None, node: Node = None
) -> None:
    """List the delegations, revoked ones included.

    列出全部授权，包括已撤销的。
    """
    asyncio.run(_list(_client(registry, anchor, key, node)))


async def _list(client: RegistryClient) -> None:
    async with client:
        async for child, serial, statement in client.delegations():
            if statement is None:
                print(f"{child}  {'序号' if language() == 'zh' else 'serial'} {serial}  "
                      f"{'已撤销' if language() == 'zh' else 'revoked'}")  # fmt: skip
            else:
                print(delegation_text(read_delegation(statement).claim))


# Arguments and text ---------------------------------------------------------------------------------------


def _request(settings: Settings, zone_key: Path | None, addresses: list[str]) -> bytes:
    path = zone_key or settings.path(settings.keys.zone_secret)
    return make_request(settings, path, [node_address(text) for text in addresses], int(time.time()))


def _parent(settings: Settings, parent: str | None) -> str:
    where = parent or settings.keys.parent
    if not where:
        raise SettingsError(NO_PARENT)
    parse_address(where)
    return where


def _remember(settings: Settings, parent: str) -> None:
    if settings.keys.parent != parent:
        put_option(settings.file_path, "keys.parent", toml_string(parent))


def _zone_key(option: Path | None, node: Path | None) -> SigningKey:
    if option is None and node is not None and (node / CONFIG).exists():
        settings = load_settings(node / CONFIG)
        option = settings.path(settings.keys.zone_secret)
    return SigningKey(read_secret(option or (node or Path()) / "keys/zone.pem"))


def _client(registry: str | None, anchor: Path | None, key: Path | None, node: Path | None) -> RegistryClient:
    return _signing(registry, anchor, SigningKey(read_writer_key(key_path(key, node))), node)


def _signing(registry: str | None, anchor: Path | None, key: SigningKey, node: Path | None) -> RegistryClient:
    """A connection that proves the zone's key, which may do everything."""
    host, port = parse_address(registry_address(registry, node), DEFAULT_PORT + 1)
    return RegistryClient(host, port, anchor=TrustAnchor.parse(*read_anchor(anchor_path(anchor, node))), key=key)
