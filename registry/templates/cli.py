"""The commands ``biaoshi template …``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from config.options import AnchorOption, KeyOption, Node, RegistryOption
from config.places import language
from protocol.errors import RecordError, Rule, SettingsError
from protocol.identifiers import normal_prefix_text
from protocol.limits import MAX_TEMPLATE_VERSION
from protocol.status import Status
from protocol.templates import Template, check_template
from registry.cli import CANNOT_OPEN, connect
from registry.exporting import exported
from registry.templates.client import TemplateClient
from registry.templates.forms import TemplateForm, form_of, read_form, template_of, write_form

NO_ITEM: Final = Rule(
    "template.no-item",
    Status.BAD_REQUEST,
    "version {version} of the template of {prefix} has no item '{item}'; it has {items}",
    "前缀 {prefix} 的模板版本 {version} 没有项“{item}”，现有：{items}",
)


NO_SUCH_ITEM: Final = Rule(
    "template.nowhere",
    Status.BAD_REQUEST,
    "no version of the template of {prefix} has an item '{item}'; 'biaoshi template list' shows them",
    "前缀 {prefix} 的任何模板版本都没有项“{item}”，可用 biaoshi template list 查看",
)
NOT_INDEXED: Final = Rule(
    "template.not-indexed",
    Status.BAD_REQUEST,
    "the item '{item}' of {prefix} is not indexed; a new version of the template may have it indexed, for records that "
    "follow it",
    "前缀 {prefix} 的项“{item}”未建立索引；可在模板的新版本中为其建立索引，对遵循新版本的记录生效",
)


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="template")
    main.command(epilog="Example: biaoshi search 88.118.32001 LOT=B2311 --node ./node")(search)


app = typer.Typer(
    help="Templates: what the records of a prefix consist of. 模板：规定某前缀下记录的内容。",
    epilog="A file and its options: docs/operations.md.",
    no_args_is_help=True,
)


Prefix = Annotated[str, typer.Argument(help="The prefix whose template it is, for example 88.118.32001.")]
Version = Annotated[int, typer.Argument(min=1, max=MAX_TEMPLATE_VERSION, help="Its version.")]


@app.command(epilog="Example: biaoshi template put pumps.toml --node ./node")
def put(
    file: Annotated[Path, typer.Argument(help="The template, JSON or TOML (by the ending .toml).")],
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Keep a template. Without a version in the file it becomes the next one; a version that is there stays as it is.

    保存模板。文件中未写版本号时取下一个版本；已有版本不可修改。
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise SettingsError(CANNOT_OPEN, path=str(file), reason=error.strerror or str(error)) from None
    form = read_form(raw, toml=file.suffix.lower() == ".toml")
    asyncio.run(_put(connect(registry, anchor, key, node), form))


@app.command(epilog="Example: biaoshi template show 88.118.32001 1 --node ./node > pumps.json")
def show(
    prefix: Prefix,
    version: Version,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Show a template as JSON, as `put` takes it.

    以 JSON 显示模板，可再次用于 put。
    """
    asyncio.run(_show(connect(registry, anchor, key, node), normal_prefix_text(prefix), version))


@app.command("list", epilog="Example: biaoshi template list 88.118.32001 --node ./node")
def list_(
    prefix: Prefix,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each version.")] = False,
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """List the versions of a prefix's template.

    列出某前缀的全部模板版本。
    """
    asyncio.run(_list(connect(registry, anchor, key, node), normal_prefix_text(prefix), as_json))


@app.command(epilog="Example: biaoshi template disable 88.118.32001 1 MODEL 2003 --node ./node")
def disable(
    prefix: Prefix,
    version: Version,
    items: Annotated[list[str], typer.Argument(help="Items, by name or index.")],
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Disable items of a template, for good: records that have them keep them, new ones may not have them.

    停用模板中的项（不可恢复）：已有记录保持不变，新记录不得再填写。
    """
    asyncio.run(_disable(connect(registry, anchor, key, node), normal_prefix_text(prefix), version, items))


# What they do ---------------------------------------------------------------------------------------------


def search(
    prefix: Annotated[str, typer.Argument(help="The prefix to search; those below it are not searched.")],
    what: Annotated[str, typer.Argument(metavar="ITEM=VALUE", help="An indexed item of its template, and its data.")],
    registry: RegistryOption = None,
    anchor: AnchorOption = None,
    key: KeyOption = None,
    node: Node = None,
) -> None:
    """Find records of a prefix by what they have in an indexed item of their template; as NDJSON, like export.

    按模板中已索引项的取值查找某前缀下的记录，以 NDJSON 输出（同 export）。
    """
    name, equals, value = what.partition("=")
    if not equals:
        raise typer.BadParameter("write ITEM=VALUE, for example LOT=B2311")
    asyncio.run(_search(connect(registry, anchor, key, node), normal_prefix_text(prefix), name, value))


async def _search(client: TemplateClient, prefix: str, name: str, value: str) -> None:
    async with client:
        found = {item.index: item async for template in client.templates(prefix) if (item := template.find(name))}
        indexed = [index for index, item in found.items() if item.indexed]
        if not indexed:
            raise RecordError(NOT_INDEXED if found else NO_SUCH_ITEM, prefix=prefix, item=name)
        for index in indexed:
            async for listed in client.search(prefix, index, value.encode()):
                print(json.dumps(exported(listed), ensure_ascii=False))


async def _put(client: TemplateClient, form: TemplateForm) -> None:
    async with client:
        version = form.version
        if version is None:
            version = (
                max([one.version async for one in client.templates(normal_prefix_text(form.prefix))], default=0) + 1
            )
        template = template_of(form, version)
        check_template(template)
        changed = await client.put_template(template)
    note = "" if changed else ("（内容未变）" if language() == "zh" else " (as it was)")
    print(f"{template.prefix}  version {template.version}{note}")


async def _show(client: TemplateClient, prefix: str, version: int) -> None:
    async with client:
        print(write_form(await client.template(prefix, version)))


async def _list(client: TemplateClient, prefix: str, as_json: bool) -> None:
    async with client:
        async for template in client.templates(prefix):
            print(msgspec.json.encode(form_of(template)).decode() if as_json else _line(template))


def _line(template: Template) -> str:
    items = " ".join(_shown(item.name, item.disabled) for item in template.items)
    return f"{template.version}  {template.name}  {items}"


def _shown(name: str, disabled: bool) -> str:
    if not disabled:
        return name
    return f"{name}（停用）" if language() == "zh" else f"{name} (disabled)"


async def _disable(client: TemplateClient, prefix: str, version: int, names: list[str]) -> None:
    async with client:
        template = await client.template(prefix, version)
        indexes: list[int] = []
        for name in names:
            item = template.find(name)
            if item is None:
                items = ", ".join(one.shown() for one in template.items)
                raise RecordError(NO_ITEM, prefix=prefix, version=version, item=name, items=items)
            indexes.append(item.index)
        disabled = template.disable(indexes)
        await client.put_template(disabled)
    print(_line(disabled))
