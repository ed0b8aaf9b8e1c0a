"""Statistics of a configured node: put together and started by the registry process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import structlog

from config.keyfiles import read_anchor
from config.settings import Settings
from protocol.address import parse_address
from protocol.identifiers import normal_prefix_text
from protocol.limits import DEFAULT_PORT
from protocol.signatures import SigningKey
from protocol.trust import TrustAnchor
from registry.committer import Committer
from registry.statistics.client import ReportClient
from registry.statistics.reporter import OwnLedger, Reporter, Sink
from registry.store.counters import read_counters
from registry.store.interface import Store

OnlineKey = Callable[[], tuple[SigningKey, bytes]]
"""Gives the online key in use and the zone's statement for it."""


def start_statistics(
    settings: Settings,
    zone: str,
    store: Store,
    committer: Committer,
    online: OnlineKey,
    log: structlog.stdlib.BoundLogger,
) -> Callable[[], Awaitable[None]]:
    """Begin to count and to report where the configuration says so; gives what stops it. A node that reports to nobody
    and is no top node does nothing. Raises :class:`~protocol.errors.SettingsError` and
    :class:`~config.keyfiles.BadKeyFile` where the configuration cannot be used."""
    open_sink = _sink(settings, store, committer, online)
    if open_sink is None:
        return _nothing
    statistics = settings.statistics
    reporter = Reporter(
        zone,
        store,
        committer,
        open_sink,
        partial(read_counters, settings.counters_path),
        time.time,
        log,
        period=statistics.period,
        industries={normal_prefix_text(prefix): code for prefix, code in statistics.industries.items()},
    )
    task = asyncio.create_task(reporter.run())
    task.add_done_callback(partial(_tell_end, log))
    return partial(_stop, task)


def _sink(
    settings: Settings, store: Store, committer: Committer, online: OnlineKey
) -> Callable[[], AbstractAsyncContextManager[Sink]] | None:
    """How to connect to where reports go: the parent, a top node's own store, or nowhere."""
    statistics = settings.statistics
    if statistics.report_to:
        address = parse_address(statistics.report_to, DEFAULT_PORT + 1)
        anchor = TrustAnchor.parse(*read_anchor(settings.path(statistics.anchor)))

        def connect() -> ReportClient:
            key, statement = online()
            return ReportClient(address.host, address.port, anchor=anchor, key=key, statement=statement)

        return connect
    if settings.node.role == "top":
        return partial(OwnLedger, store, committer, time.time)
    return None


def _tell_end(log: structlog.stdlib.BoundLogger, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("statistics have stopped; the node goes on without them", reason=repr(error))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])


async def _nothing() -> None:
    """Nothing was started."""
