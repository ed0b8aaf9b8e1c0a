"""``biaoshi topology``: a whole province in small, on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from biaoshi.making import ANCHOR_NAME
from biaoshi.topology.keeping import GRACE_SECONDS, State
from biaoshi.topology.look import Seen, look, memory_of
from biaoshi.topology.make import check_there, make_nodes
from biaoshi.topology.place import (
    NO_TOPOLOGY,
    TOPOLOGY_NAME,
    held,
    noted,
    open_place,
    plan_there,
    read_plan,
    runner,
    write_plan,
)
from biaoshi.topology.plan import Planned, Topology, plan
from biaoshi.topology.run import Runner
from biaoshi.topology.samples import sample
from config.keyfiles import read_anchor
from config.places import language
from config.process import set_up_log
from config.settings import LogSettings
from protocol.errors import BiaoshiError, Rule, SettingsError, Unreachable
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import SyncClient

NOT_STOPPED: Final = Rule(
    "topology.not-stopped",
    Status.UNREACHABLE,
    "the province in {path} has not stopped within {seconds} s; its process is {pid}",
    "{path} 中的省级部署在 {seconds} 秒内未停止，其进程号为 {pid}",
)

_LOOK_SECONDS: Final = 0.05
"""Between two looks whether a province has stopped."""


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="topology")


app = typer.Typer(
    help="A whole province in small on this machine: top, custody, secondary, enterprise and recursive nodes, on "
    "loopback. "
    "在本机回环地址上运行小型省级部署。",
    no_args_is_help=True,
)

Directory = Annotated[Path, typer.Option("--dir", help="The directory of the province.")]
HERE: Final = Path("province")


@app.command(
    epilog="Examples: biaoshi topology up --config config/jiangsu.toml --secondaries 4 --enterprises 8 --dir ./province"
    "  |  biaoshi topology up --dir ./province"
)
def up(
    config: Annotated[
        Path | None, typer.Option(help="A plan like config/jiangsu.toml. Default: that of a province already made.")
    ] = None,
    directory: Directory = HERE,
    secondaries: Annotated[int | None, typer.Option(min=1, max=250, help="Instead of the plan's number.")] = None,
    enterprises: Annotated[int | None, typer.Option(min=0, max=250, help="Instead of the plan's number.")] = None,
    records: Annotated[int | None, typer.Option(min=0, max=10_000_000, help="Sample records of each node.")] = None,
) -> None:
    """Make a province where there is none, and run its nodes until Ctrl-C or 'topology down'.

    All keys, delegations and sample records are made. Run again on the same directory it goes on with what is there,
    and makes what the plan has more. A node that dies is started again. Exit codes: 0 when stopped, 9 where it cannot
    be made or started.

    创建并运行小型省级部署，直到 Ctrl-C 或 topology down。再次运行时沿用已有数据，退出的节点会自动重启。
    退出码：0 正常停止，9 无法创建或启动。
    """
    begin = time.monotonic()
    if config is None and not (directory / TOPOLOGY_NAME).exists():
        raise SettingsError(NO_TOPOLOGY, path=str(directory))
    topology = read_plan(config) if config else plan_there(directory)
    numbers = {"secondaries": secondaries, "enterprises": enterprises, "records": records}
    given = {name: number for name, number in numbers.items() if number is not None}
    topology.province = msgspec.structs.replace(topology.province, **given)
    nodes = plan(topology)
    open_place(directory)
    with held(directory):
        check_there(nodes, directory)
        write_plan(directory, topology)
        made = make_nodes(nodes, directory, topology.province.records)
        _say(
            f"{len(nodes)} nodes, {made} of them made in {time.monotonic() - begin:.1f} s",
            f"共 {len(nodes)} 个节点，其中新建 {made} 个，用时 {time.monotonic() - begin:.1f} 秒",
        )
        log = set_up_log(LogSettings(), "topology")
        Runner(nodes, directory, log).run(lambda: _tell_up(topology, nodes, directory, begin))
    _say("all nodes have stopped", "全部节点已停止")


def _tell_up(topology: Topology, nodes: list[Planned], directory: Path, begin: float) -> None:
    """Resolve one identifier, from the top's anchor alone, and say that the province is up."""
    anchor = directory / "top" / ANCHOR_NAME
    doors = [node for node in nodes if node.role == "recursive"] or nodes[:1]
    server = f"{doors[0].host}:{doors[0].resolver_port}"
    below = next((node.samples for node in reversed(nodes) if node.samples), nodes[0].prefix)
    name = sample(below, 0).identifier
    zh = language() == "zh"
    asked = time.perf_counter()
    try:
        with SyncClient(server, anchor=TrustAnchor.parse(*read_anchor(anchor)), timeout=20.0) as client:
            answer = client.resolve(name)
    except BiaoshiError as error:  # the nodes run, and may yet answer
        _say(error.message(), error.message("zh"))
    else:
        taken = (time.perf_counter() - asked) * 1_000
        _say(
            f"{name}: {answer.status.label}, verified from {anchor} in {taken:.0f} ms",
            f"{name}：{answer.status.sentence('zh')}，已自 {anchor} 验证，用时 {taken:.0f} 毫秒",
        )
    province, ready = topology.province.name, time.monotonic() - begin
    _say(f"{province} is up after {ready:.1f} s", f"{province} 已就绪，用时 {ready:.1f} 秒")
    for title, title_zh, command in (
        ("resolve", "解析", f"biaoshi resolve {name} --server {server} --anchor {anchor}"),
        ("look", "查看", f"biaoshi topology status --dir {directory}"),
        ("stop", "停止", f"biaoshi topology down --dir {directory}"),
    ):
        print(f"  {title_zh if zh else title:<8} {command}", flush=True)


@app.command(epilog="Example: biaoshi topology down --dir ./province")
def down(directory: Directory = HERE) -> None:
    """Stop all nodes of a province, and wait until they have. Exit codes: 0 when nothing runs any more, 7 otherwise.

    停止全部节点并等待结束。退出码：0 已全部停止，7 未能停止。
    """
    plan_there(directory)
    pid = runner(directory)
    if not pid:
        _say(f"nothing runs in {directory}", f"{directory} 中没有正在运行的节点")
        return
    os.kill(pid, signal.SIGTERM)
    seconds = 2 * GRACE_SECONDS
    deadline = time.monotonic() + seconds
    while runner(directory) == pid:
        if time.monotonic() > deadline:
            raise Unreachable(NOT_STOPPED, path=str(directory), seconds=round(seconds), pid=pid)
        time.sleep(_LOOK_SECONDS)
    _say(f"the province in {directory} has stopped", f"{directory} 中的省级部署已停止")


@app.command(epilog="Examples: biaoshi topology status --dir ./province  |  biaoshi topology status --json")
def status(
    directory: Directory = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one line a node.")] = False,
) -> None:
    """Show every node: address, role, prefix, records, what it does, restarts, memory (shared pages in part).

    Exit codes: 0 when all answer, 7 otherwise.

    显示每个节点：地址、角色、前缀、记录数、状态、重启次数与内存（共享页按比例计入）。退出码：0 全部应答，7 否则。
    """
    nodes = plan(plan_there(directory))
    run = noted(directory)
    runs = {one.name: one for one in run.nodes} if run else {}
    seen = asyncio.run(look(nodes, runs, directory)) if run else []
    if run is None:
        _say(f"nothing runs in {directory}", f"{directory} 中没有正在运行的节点")
    elif as_json:
        for one in seen:
            print(json.dumps(_json(one), ensure_ascii=False))
    else:
        _show(seen, memory_of(run.pid))
    if len(seen) < len(nodes) or not all(one.answers for one in seen):
        raise SystemExit(Exit.UNREACHABLE)


def _json(one: Seen) -> dict[str, str | int | bool]:
    node = one.node
    return {
        "name": node.name, "role": node.role, "prefix": node.prefix, "address": f"{node.host}:{node.resolver_port}",
        "records": one.records, "state": one.run.state, "answers": one.answers, "restarts": one.run.restarts,
        "since": int(one.run.since), "pid": one.run.pid, "memory": one.memory,
    }  # fmt: skip


class _Words(NamedTuple):
    headings: tuple[str, ...]
    states: dict[str, str]
    silent: str
    total: str


_EN: Final = _Words(
    ("address", "role", "prefix", "records", "state", "restarts", "memory"),
    {state.value: state.value for state in State},
    "does not answer",
    "{answering} of {count} answer",
)
_ZH: Final = _Words(
    ("地址", "角色", "前缀", "记录数", "状态", "重启次数", "内存"),
    {
        State.WAITING: "等待启动", State.STARTING: "启动中", State.SERVING: "服务中", State.DIED: "已退出，待重启",
        State.STOPPING: "停止中", State.STOPPED: "已停止",
    },
    "无应答",
    "{answering}/{count} 有应答",
)  # fmt: skip


def _show(seen: list[Seen], runner_memory: int) -> None:
    words = _ZH if language() == "zh" else _EN
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(words.headings):
        table.add_column(heading, justify="right" if place in (3, 5, 6) else "left", no_wrap=True)
    for one in seen:
        node, serving = one.node, one.run.state == State.SERVING
        state = words.silent if serving and not one.answers else words.states[one.run.state]
        table.add_row(
            f"{node.host}:{node.resolver_port}", node.role, node.prefix, f"{one.records:,}", state,
            str(one.run.restarts), _mib(one.memory),
        )  # fmt: skip
    answering = sum(one.answers for one in seen)
    memory = sum(one.memory for one in seen) + runner_memory
    records = sum(one.records for one in seen if one.node.role != "custody")  # whose are copies
    table.add_row(
        "", "", "", f"{records:,}", words.total.format(answering=answering, count=len(seen)),
        str(sum(one.run.restarts for one in seen)), _mib(memory),
    )  # fmt: skip
    Console(width=120).print(table)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


def _say(en: str, zh: str) -> None:
    print(zh if language() == "zh" else en, flush=True)
