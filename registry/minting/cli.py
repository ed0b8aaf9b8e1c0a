"""The commands that mint: ``mint``, and ``rule`` for what is minted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from config.options import AnchorOption, KeyOption, Node, RegistryOption
from config.places import language
from protocol.identifiers import normal_prefix_text
from protocol.limits import DEFAULT_TTL_SECONDS
from registry.cli import (
    Restricted,
    Ttl,
    encoded_values,
    open_as,
    output_file,
)
from registry.minting.client import MintingClient

Prefix = Annotated[str, typer.Argument(help="A prefix, for example 88.118.32001.")]
Name = Annotated[str, typer.Argument(help="Name of the rule.")]


class Format(StrEnum):
    """How identifiers are written, one a line."""

    TXT = "txt"
    CSV = "csv"
    NDJSON = "ndjson"


def _txt(identifiers: Sequence[str]) -> str:
    return "".join(f"{one}\n" for one in identifiers)


def _csv(identifiers: Sequence[str]) -> str:
    return "".join('"{}"\r\n'.format(one.replace('"', '""')) for one in identifiers)


def _ndjson(identifiers: Sequence[str]) -> str:
    return "".join(json.dumps({"identifier": one}, ensure_ascii=False) + "\n" for one in identifiers)


_WRITERS: Final[dict[Format, tuple[str, Callable[[Sequence[str]], str]]]] = {
    Format.TXT: ("", _txt),
    Format.CSV: ("identifier\r\n", _csv),
    Format.NDJSON: ("", _ndjson),
}
"""By format: the first line, and what writes the others. RFC 4180 for CSV."""

_COUNTS: Final = {"en": "{0.minted:,} used, {0.left:,} left", "zh": "已用 {0.minted:,}，剩余 {0.left:,}"}

rules = typer.Typer(help="Rules by which identifiers are minted. 标识发放规则。", no_args_is_help=True)


def add_commands(app: typer.Typer) -> None:
    """Put this module's commands into ``app``."""
    app.command(
        epilog="Example: biaoshi mint 88.118.32001 label --count 5000 --format csv > labels.csv",
    )(mint)
    rules.command(
        "set",
        epilog="Example: biaoshi rule set 88.118.32001 label 'B{date:%y%m%d}-{0001..9999}' --time-zone Asia/Shanghai",
    )(set_rule)
    rules.command("list", epilog="Example: biaoshi rule list 88.118.32001")(list_rules)
    app.add_typer(rules, name="rule")


def mint(
    prefix: Prefix,
    rule: Name,
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many identifiers.")] = 1,
    format_: Annotated[Format, typer.Option("--format", help="How they are written.")] = Format.TXT,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", "-v", help="TYPE=DATA, as in a series: register them with these values."),
    ] = None,
    ttl: Ttl = DEFAULT_TTL_SECONDS,
    restricted: Restricted = False,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output otherwise.")] = None,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Give out the next identifiers of a rule, each once: for a label printer. What is on paper was reserved before.

    按规则发放后续标识，每个只发一次，可供标签打印机使用；输出之前号码已持久保留。
    """
    values = encoded_values(value, ttl, restricted) if value else None
    client = open_as(MintingClient, registry, anchor, key, node)
    asyncio.run(_mint(client, normal_prefix_text(prefix), rule, count, values, format_, out))


def set_rule(
    prefix: Prefix,
    rule: Name,
    text: Annotated[str, typer.Argument(help="Fixed text, {date:%Y%m%d}, and a counter like {0001..9999} or ;gs1.")],
    time_zone: Annotated[str, typer.Option(help="Of its dates: Asia/Shanghai, +08:00, UTC.")] = "UTC",
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Make a rule, or change one that has minted nothing yet.

    创建发放规则，或更改尚未发放过的规则。
    """
    client = open_as(MintingClient, registry, anchor, key, node)
    asyncio.run(_set_rule(client, normal_prefix_text(prefix), rule, text, time_zone))


def list_rules(
    prefix: Prefix,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """List the rules of a prefix and those below it.

    列出某前缀及其下级前缀的发放规则。
    """
    client = open_as(MintingClient, registry, anchor, key, node)
    asyncio.run(_list_rules(client, normal_prefix_text(prefix)))


async def _mint(
    client: MintingClient, prefix: str, rule: str, count: int, values: bytes | None, format_: Format, out: Path | None
) -> None:
    first, write = _WRITERS[format_]
    async with client:
        with output_file(out) as file:
            file.write(first)
            async for identifiers in client.mint(prefix, rule, count, values):
                file.write(write(identifiers))
                file.flush()


async def _set_rule(client: MintingClient, prefix: str, rule: str, text: str, zone: str) -> None:
    async with client:
        version = await client.set_rule(prefix, rule, text, zone)
    print(f"{prefix}  {rule}  version {version}")


async def _list_rules(client: MintingClient, prefix: str) -> None:
    async with client:
        async for one in client.rules(prefix):
            print(f"{one.prefix}  {one.name}  {one.text}  {one.zone}  {_COUNTS[language()].format(one)}")
