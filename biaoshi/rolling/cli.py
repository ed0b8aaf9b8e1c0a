"""The commands ``biaoshi zone-key …`` and ``biaoshi anchor …``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from biaoshi.rolling.keys import drop_key, new_key, roll_anchor, use_key
from config.keyfiles import AnchorFile, read_anchor, read_delegations, write_anchor
from config.load import load_settings
from config.places import language
from protocol.errors import MessageError, Rule
from protocol.messages import Op
from protocol.status import Status
from protocol.succession import succeed
from resolver.client import UnverifiedClient, load_anchor

ANCHOR_DAYS: Final = 365.0
"""How long both keys of an anchor hold: long enough for whoever updates once a year."""

BAD_REPLY: Final = Rule(
    "anchor.bad-reply",
    Status.BAD_REQUEST,
    "the node's reply holds no successions",
    "节点的应答不含接替声明",
)

Config = Annotated[Path, typer.Option(help="The node's configuration file.")]
CONFIG: Final = Path("biaoshi.toml")


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(zone_key, name="zone-key")
    main.add_typer(anchor, name="anchor")


zone_key = typer.Typer(
    help="Replace the key of a zone in steps. 分步更换区域密钥。",
    epilog="new; then 'biaoshi delegate ask' and 'fetch' (a trust anchor's zone: 'biaoshi anchor roll'); use; drop; "
    "'biaoshi delegate ask' and 'fetch' again.",
    no_args_is_help=True,
)
anchor = typer.Typer(help="Trust anchors whose key changes. 信任锚的密钥更换。", no_args_is_help=True)


@zone_key.command(epilog="Example: biaoshi zone-key new --config node/biaoshi.toml")
def new(config: Config = CONFIG) -> None:
    """Make the next key beside the one in use.

    在现用密钥之外生成下一把密钥。
    """
    print(new_key(load_settings(config)))
    print("下一步：biaoshi delegate ask（信任锚所在区域：biaoshi anchor roll）" if language() == "zh" else
          "next: biaoshi delegate ask (for a trust anchor's zone: biaoshi anchor roll)")  # fmt: skip


@zone_key.command(epilog="Example: biaoshi zone-key use --config node/biaoshi.toml")
def use(config: Config = CONFIG) -> None:
    """Sign with the next key from now on: once the parent's delegation, or the anchors of clients, know it.

    改用新密钥签发（须在上级授权或客户端信任锚已包含新密钥之后）。
    """
    print(use_key(load_settings(config)))
    print("运行中的节点会用新密钥重新签发；之后执行 biaoshi zone-key drop" if language() == "zh" else
          "a running node signs everything anew by itself; then: biaoshi zone-key drop")  # fmt: skip


@zone_key.command(epilog="Example: biaoshi zone-key drop --config node/biaoshi.toml")
def drop(config: Config = CONFIG) -> None:
    """Give up the old key, when 'biaoshi delegate list' shows no delegation that it has signed.

    停用旧密钥。
    """
    print(drop_key(load_settings(config)))
    print("下一步：biaoshi delegate ask" if language() == "zh" else "next: biaoshi delegate ask")


@anchor.command(epilog="Example: biaoshi anchor roll --config top/biaoshi.toml --days 365")
def roll(
    config: Config = CONFIG,
    days: Annotated[float, typer.Option(min=0.0001, max=3_650, help="How long both keys hold.")] = ANCHOR_DAYS,
) -> None:
    """Have the zone's key sign for its next one as trust anchor. The node shows it to whoever asks.

    由现用密钥为下一把信任锚密钥签发接替声明，节点对外公布。
    """
    settings = load_settings(config)
    claim = roll_anchor(settings, days)
    print(f"{claim.key} -> {claim.next}")
    print(settings.path(settings.keys.successions))


@anchor.command(epilog="Examples: biaoshi anchor update anchor.toml --server 10.0.0.5  |  "
                "biaoshi anchor update anchor.toml top/keys/successions")  # fmt: skip
def update(
    file: Annotated[Path, typer.Argument(metavar="ANCHOR", help="The anchor file; it is written anew.")],
    statements: Annotated[Path | None, typer.Argument(help="Successions that the zone has signed.")] = None,
    server: Annotated[str | None, typer.Option(help="Ask this resolver of the zone, host[:port].")] = None,
) -> None:
    """Follow the key of a trust anchor to the next, as the old one has signed.

    按照旧密钥签发的接替声明更新信任锚文件。
    """
    if (statements is None) == (server is None):
        raise typer.BadParameter("name a file of successions, or --server")
    trust = load_anchor(file)
    found = read_delegations(statements) if statements else asyncio.run(_ask(server or ""))
    following = succeed(trust, found, int(time.time()))
    if following != trust:
        key = str(following.next) if following.next else None
        write_anchor(file, AnchorFile(following.prefix, str(following.key), key))
    shown = read_anchor(file)
    print(f"{shown.key}" + (f"\n{shown.next}" if shown.next else ""))


async def _ask(server: str) -> tuple[bytes, ...]:
    # Without seals: each succession proves itself, and an anchor that has missed one cannot verify seals any more.
    async with UnverifiedClient(server) as client:
        match await client.ask(Op.SUCCESSION):
            case tuple(statements) if all(type(one) is bytes for one in statements):
                return statements
    raise MessageError(BAD_REPLY)
