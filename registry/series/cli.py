"""The commands that suspend and resume, for single identifiers and series alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.options import AnchorOption, KeyOption, Node, RegistryOption
from registry.by_hand import name_of, write_by_hand
from registry.cli import connect, print_all
from registry.store.writes import ANY, RESUME, SUSPEND, Write

Names = Annotated[list[str], typer.Argument(help="Identifiers, or series like '88.118.32001/B-{0001..9999}'.")]


def add_commands(app: typer.Typer) -> None:
    """Put this module's commands into ``app``."""
    app.command(
        epilog="Example: biaoshi suspend 88.118.32001/P001 '88.118.32001/B-{0001..9999}' --node ./node",
    )(suspend)
    app.command(epilog="Example: biaoshi resume 88.118.32001/P001 --node ./node")(resume)


def suspend(
    names: Names,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Suspend identifiers: they are kept, and answer "suspended" until they are resumed.

    暂停标识：内容保留，恢复之前解析返回“已暂停”。
    """
    _switch(names, SUSPEND, registry, anchor, key, node)


def resume(
    names: Names,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Resume identifiers that were suspended: they answer as before.

    恢复已暂停的标识：解析结果与暂停前相同。
    """
    _switch(names, RESUME, registry, anchor, key, node)


def _switch(
    names: list[str], switch: bytes, registry: str | None, anchor: Path | None, key: Path | None, node: Path | None
) -> None:
    writes = [Write(name_of(name), ANY, switch) for name in names]
    print_all(write_by_hand(connect(registry, anchor, key, node), writes))
