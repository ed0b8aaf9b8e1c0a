"""``make demo``: one node, a factory's file goes in, every identifier in it resolves, sealed; then the life of three
enterprises; then a whole province.

Nothing is staged: each step is the command or the client that anybody would use, against a real node on loopback.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Final

from rich.table import Table

from bench import enterprise_demo, province_demo
from bench.dataset import HEADERS, Row, rows, write_csv
from bench.running import running
from bench.telling import DemoFailed, command, console, expect, step
from protocol.answers import Answer
from protocol.errors import BiaoshiError
from protocol.receipts import verify_receipt
from protocol.status import Exit, Status
from protocol.trust import TrustAnchor
from resolver.client import SyncClient, load_anchor

ROWS: Final = 100_000
SEED: Final = 20_250_086
CHECKED: Final = 1_000
ABSENT: Final = "88.118.32001/THERE-IS-NO-SUCH-PUMP"
LAST_STEP: Final = 8


def main() -> None:
    """Run the demonstration; exit code 1 where a step fails."""
    begin = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="biaoshi-demo-"))
    try:
        _demonstrate(directory)
        following = enterprise_demo.demonstrate(directory, LAST_STEP + 1)
        province_demo.demonstrate(directory, following)
    except (DemoFailed, BiaoshiError) as error:
        console.print(f"[red]✘ {error}[/red]")
        raise SystemExit(Exit.INTERNAL) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    console.print(f"\n[bold]Done in {time.monotonic() - begin:.1f} s.[/bold] Everything was stopped and removed.")
    console.print("Now your own node:  [cyan].venv/bin/biaoshi init secondary --prefix 88.118 --dir node[/cyan]")


def _demonstrate(directory: Path) -> None:
    console.rule("[bold]Biaoshi 标识 — one node, end to end")
    node, products = directory / "node", directory / "products.csv"

    step(1, "Make a secondary node for 88.118: keys, configuration, empty store", "创建二级节点")
    command("init", "secondary", "--prefix", "88.118", "--dir", str(node), "--port", "0")

    step(2, "Start it: one registry process that writes, one resolver that answers", "启动节点")
    with running(node) as addresses:
        console.print(f"   resolver {addresses['resolver']} (TCP and UDP), registry {addresses['registry']}")

        step(3, f"A factory's file of {ROWS:,} products goes in", "导入工厂的产品文件")
        write_csv(products, rows(ROWS, SEED), HEADERS["en"])
        sample = list(islice(rows(ROWS, SEED), 0, ROWS, ROWS // CHECKED))
        console.print(f"   {products.name}, {products.stat().st_size / 1e6:.1f} MB; its first row:")
        console.print(f"   {', '.join(sample[0])}", style="dim")
        command("import", str(products), "--node", str(node))

        step(4, "Resolve over TCP and over UDP; every answer is verified from the trust anchor", "解析并验证签章")
        anchor = _anchor(node)
        with SyncClient(addresses["resolver"], anchor=anchor) as tcp:
            for row in (sample[1], sample[len(sample) // 2]):
                _show(tcp.resolve(row.identifier), row, "TCP")
            with SyncClient(addresses["resolver"], anchor=anchor, udp=True) as udp:
                _show(udp.resolve(sample[-1].identifier), sample[-1], "UDP")

            step(5, f"{len(sample):,} identifiers from all over the file, each compared with its row", "抽样核对")
            _compare(tcp, sample)

            step(6, "An identifier that nobody registered: its absence is signed as well", "不存在也有签章证明")
            absent = tcp.resolve(ABSENT)
            expect(absent.status is Status.NOT_FOUND, "the absent identifier was found")
            console.print(f"   {absent.identifier}: {absent.status.sentence()} / {absent.status.sentence('zh')}")
            console.print(f"   sealed by {absent.proof.key.node}, verified", style="green")

            step(7, "A receipt, to keep and to check offline; then one with a single bit changed", "回执：离线可验证")
            _, receipt = tcp.receipt(sample[2].identifier)
            verdict = verify_receipt(receipt, anchor)
            console.print(f"   {len(receipt)} bytes prove: {verdict.answer.identifier} → {verdict.answer.url}")
            _forge(receipt, anchor)
            status = tcp.status()
        _table(status)
        step(LAST_STEP, "Stop", "停止节点")
    console.print("   node stopped, store closed cleanly")


def _anchor(node: Path) -> TrustAnchor:
    anchor = load_anchor(node / "anchor.toml")
    console.print(f"   trust anchor: zone {anchor.prefix}, {anchor.key}", style="dim", soft_wrap=True)
    return anchor


def _show(answer: Answer, row: Row, transport: str) -> None:
    expect(answer.url == row.url, f"{row.identifier} resolved to {answer.url}")
    console.print(f"   {transport}  {answer.identifier}")
    for value in answer.values:
        console.print(f"          {value.type:<9} {value.text}")
    console.print(f"        [green]✔ verified[/green]  seal → online key {answer.proof.key.key.id.hex()} → anchor")


def _compare(client: SyncClient, sample: list[Row]) -> None:
    begin = time.perf_counter()
    answers = list(client.resolve_many(row.identifier for row in sample))
    taken = time.perf_counter() - begin
    for row, answer in zip(sample, answers, strict=True):
        texts = {value.type: value.text for value in answer.values}
        expected = {"URL": row.url, "NAME": row.name, "MODEL": row.model, "LOT": row.lot, "PRODUCED": row.produced}
        expect(texts == expected, f"{row.identifier} resolved to {texts}")
    console.print(
        f"   all right, all verified, in {taken * 1000:.0f} ms ({len(sample) / taken:,.0f} verified answers/s)"
    )


def _forge(receipt: bytes, anchor: TrustAnchor) -> None:
    """A receipt with one bit changed must not pass."""
    forged = bytearray(receipt)
    forged[receipt.index(b"https")] ^= 1
    try:
        verify_receipt(bytes(forged), anchor)
    except BiaoshiError as error:
        console.print(f"   one bit changed: refused, because {error}", style="green")
        return
    raise DemoFailed("a forged receipt was accepted")


def _table(status: dict[str, str | int]) -> None:
    registered, size = int(status["registered"]), int(status["store_bytes"])
    table = Table(title="The node now", title_justify="left", show_header=False)
    for name, value in (
        ("zone", status["zone"]),
        ("registered", f"{registered:,}"),
        ("enterprises", status["prefixes"]),
        ("store", f"{size / 1e6:.1f} MB, {size / registered:.0f} bytes a record, keys and index included"),
    ):
        table.add_row(name, str(value))
    console.print()
    console.print(table)


if __name__ == "__main__":
    main()
