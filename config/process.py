"""What every process of a node does at its start: the event loop, the log, the signals, the word "ready"."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import stat
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Any, Final

import structlog

from config.settings import LogSettings

OPEN_FILES: Final = 12_000
"""Files that a process may want open: the connections of one resolver worker (10,000), and room for all else."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine on uvloop, or on plain asyncio where BIAOSHI_LOOP=asyncio is set."""
    allow_open_files()
    if os.environ.get("BIAOSHI_LOOP") == "asyncio":
        asyncio.run(main)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def allow_open_files() -> None:
    """Raise the soft limit of open files, mostly 1,024, as far as it may be and is of use: a connection that cannot be
    taken for want of a file gets neither an answer nor a last word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def set_up_log(settings: LogSettings, process: str) -> structlog.stdlib.BoundLogger:
    """Log to standard error as configured; every line says which process it is from."""
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.format == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger().bind(process=process)
    return log


def software() -> str:
    """Name and version of this program, as nodes tell it."""
    return f"biaoshi/{version('biaoshi')}"


def settle_collector() -> None:
    """Call when everything long-lived is made: the cycle collector then leaves it alone and looks less often for
    cycles, of which answering makes none. On the answering path it saved a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def stop_event() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event


def stop_at_end_of(lifeline: int, stop: asyncio.Event) -> None:
    """Set ``stop`` when the other end of a pipe is closed: whoever started this process and held it has died."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(lifeline)
        stop.set()

    loop.add_reader(lifeline, ended)


def stop_with_supervisor(stop: asyncio.Event) -> None:
    """Set ``stop`` when the supervisor dies, where standard input is the pipe that it holds."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        stop_at_end_of(0, stop)


def on_hangup(take_up: Callable[[], None]) -> None:
    """Have ``take_up`` called at SIGHUP: keys or delegations were renewed."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, take_up)


def say_ready() -> None:
    """Tell the supervisor, on standard output, that this process serves."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket bound with SO_REUSEPORT, so that several processes share the address. Raises
    :class:`OSError`."""
    family = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0][0]
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
