"""What ``biaoshi status --top`` shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config.keyfiles import read_anchor, read_secret
from config.places import anchor_path, key_path, language, registry_address
from protocol.address import parse_address
from protocol.identifiers import normal_zone_text
from protocol.limits import DEFAULT_PORT
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor
from registry.statistics.client import StatisticsClient
from registry.statistics.show import (
    ENTERPRISES_HEAD,
    HOURS_HEAD,
    INDUSTRIES_HEAD,
    ZONES_HEAD,
    count_rows,
    hour_rows,
    hours_json,
    totals,
    zone_rows,
    zones_json,
)


def connect(registry: str | None, anchor: Path | None, key: Path | None, node: Path | None) -> StatisticsClient:
    """A client of the registry that the options name, not connected yet. Raises what files and addresses raise."""
    address = parse_address(registry_address(registry, node), DEFAULT_PORT + 1)
    trust = TrustAnchor.parse(*read_anchor(anchor_path(anchor, node)))
    return StatisticsClient(address.host, address.port, anchor=trust, key=SigningKey(read_secret(key_path(key, node))))


def show_top(client: StatisticsClient, zone: str | None, hours: int, as_json: bool) -> None:
    """Show all zones, or the hours and enterprises of one."""
    if zone is None:
        asyncio.run(_show_zones(client, as_json))
    else:
        asyncio.run(_show_zone(client, normal_zone_text(zone), hours, as_json))


async def _show_zones(client: StatisticsClient, as_json: bool) -> None:
    async with client:
        zones = await client.zones()
    if as_json:
        print(json.dumps(zones_json(zones, client.now, client.period), ensure_ascii=False))
        return
    tongue = language()
    _table(ZONES_HEAD[tongue], zone_rows(zones, client.now, client.period, tongue))
    _table(INDUSTRIES_HEAD[tongue], count_rows(totals(zones)["industries"], tongue))


async def _show_zone(client: StatisticsClient, zone: str, hours: int, as_json: bool) -> None:
    async with client:
        await client.zones()  # for its clock and the length of its hours
        found = await client.hours(zone, since=client.now - hours * client.period)
        enterprises = await client.enterprises(zone)
    if as_json:
        print(json.dumps(hours_json(zone, found, enterprises), ensure_ascii=False))
        return
    tongue = language()
    _table(HOURS_HEAD[tongue], hour_rows(found))
    _table(ENTERPRISES_HEAD[tongue], count_rows(enterprises, tongue))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose columns also stand in order where characters are wide. Not cut to the terminal: a number that is
    cut is a wrong number."""
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for name in head:
        numbers = all(row[head.index(name)].replace(",", "").isdigit() for row in rows)
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=200, markup=False, highlight=False).print(table)
