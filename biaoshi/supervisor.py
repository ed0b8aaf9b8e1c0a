"""``biaoshi serve``: starts a node's processes, restarts those that die, stops them together.

One registry process, the only writer, and the configured number of resolver workers; a recursive node has only these.
The registry is up before the workers start, so that the store is there; on SIGTERM or SIGINT all are asked to finish
what they have taken, and after ``GRACE_SECONDS`` made to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from biaoshi.pauses import Pauses
from biaoshi.upkeep import Upkeep
from config.keyfiles import read_identity
from config.places import reachable, server_text
from config.process import bind, set_up_log, stop_event
from config.settings import Settings
from protocol.errors import Rule, SettingsError
from protocol.identifiers import normal_zone_text
from protocol.node import own_keys
from protocol.status import Status
from resolver.recursion.worker import check_recursion

START_SECONDS: Final = 30.0
"""How long a process may take to serve; opening a large store after a crash takes the longest."""

GRACE_SECONDS: Final = 15.0
"""How long a process may take to stop: longer than its own drain time."""

NOT_STARTED: Final = Rule(
    "serve.not-started",
    Status.SETTINGS,
    "the {process} process did not start; what it said is above",
    "{process} 进程未能启动，原因见上方日志",
)
NOT_NOTED: Final = Rule(
    "serve.not-noted",
    Status.SETTINGS,
    "{path} cannot be written: {reason}. The commands find the running node by it",
    "{path} 无法写入：{reason}。各命令依靠该文件找到运行中的节点",
)
NO_ADDRESS: Final = Rule(
    "serve.no-address",
    Status.SETTINGS,
    "{host} port {port} cannot be used: {reason}. Is another node running there?",
    "无法使用地址 {host} 端口 {port}：{reason}。是否已有节点在该地址运行？",
)


class Process:
    """One supervised process: started, watched, started again. ``port`` is where it serves, several with commas."""

    def __init__(
        self, name: str, module: str, config: Path, port: int | str, lifeline: int, log: structlog.stdlib.BoundLogger
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-m", module, str(config), str(port)]
        self._lifeline = lifeline
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._serves = False
        self._changing = asyncio.Lock()  # held while a process is made: one that is not known yet cannot be ended

    async def start(self) -> None:
        """Start it and wait until it serves. Raises :class:`SettingsError`."""
        self._serves = False
        async with self._changing:
            if self._stopping:
                return
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=self._lifeline,
                stdout=asyncio.subprocess.PIPE,
                # A process group of its own: Ctrl-C at the terminal reaches the supervisor, which stops all in order.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                line = await self._process.stdout.readline()
        if line != b"ready\n":
            await self._end()
            raise SettingsError(NOT_STARTED, process=self.name)
        self._serves = True

    def take_up(self) -> None:
        """Have it take up renewed keys; one that is only starting reads them anyway."""
        if self._serves and self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def watch(self) -> None:
        """Start it again whenever it dies."""
        pauses = Pauses()
        while not self._stopping:
            assert self._process is not None
            since = time.monotonic()
            code = await self._process.wait()
            if self._stopping:
                return
            pause = pauses.after(time.monotonic() - since)
            self._log.error("process died; starting it again", name=self.name, exit=code, pause_s=pause)
            await asyncio.sleep(pause)
            if not self._stopping:
                with contextlib.suppress(SettingsError, OSError):  # said in its log; tried again after a longer pause
                    await self.start()

    async def stop(self) -> None:
        """Ask it to finish, and end it when it does not."""
        self._stopping = True
        async with self._changing:
            pass  # what was being started is there now
        await self._end()

    async def _end(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._log.error("process did not stop; killing it", name=self.name)
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process number, 0 while it does not run."""
        return self._process.pid if self._process else 0


async def supervise(settings: Settings, config: Path) -> None:
    """Run a node until SIGTERM or SIGINT. Raises :class:`SettingsError` where it cannot start."""
    log = set_up_log(settings.log, "supervisor")
    zone = normal_zone_text(settings.node.prefix)
    recursive = settings.node.role == "recursive"
    if recursive:
        check_recursion(settings)
    own_keys(zone, *read_identity(settings), now=int(time.time()))
    stop = stop_event()
    resolver, registry = settings.resolver, settings.registry
    with contextlib.ExitStack() as reserved:
        resolver_port = reserve(reserved, resolver.host, resolver.port, datagrams=True)
        registry_port = 0 if recursive else reserve(reserved, registry.host, registry.port, datagrams=False)
        api_port = reserve_api(reserved, settings)
        lifeline = make_lifeline(reserved)
        ports = f"{registry_port},{api_port}"
        writers = [] if recursive else [Process("registry", "registry.server", config, ports, lifeline, log)]
        worker = "resolver.recursion.worker" if recursive else "resolver.worker"
        readers = [
            Process(f"resolver-{i + 1}", worker, config, resolver_port, lifeline, log) for i in range(resolver.workers)
        ]
        processes = [*writers, *readers]
        async with running(writers, readers):
            upkeep = Upkeep(settings, zone, (registry.host, registry_port), lambda: take_up(processes), log)
            keeping = asyncio.create_task(upkeep.run())
            doors = {"resolver": f"{resolver.host}:{resolver_port}"}
            if not recursive:
                doors["registry"] = f"{registry.host}:{registry_port}"
            if api_port:
                doors["api"] = api_url(settings, api_port)
            try:
                with noted(settings, resolver_port, registry_port, pids(processes), api_port=api_port):
                    log.info("node is up", zone=zone, **doors, workers=resolver.workers)
                    await stop.wait()
                    log.info("node is stopping")
            finally:
                keeping.cancel()
    log.info("node has stopped")


@contextlib.asynccontextmanager
async def running(writers: Sequence[Process], readers: Sequence[Process]) -> AsyncIterator[None]:
    """Start processes, and again those that die, until the end of the block. Readers stop first: while they drain,
    nothing new is written that they would have to show. Raises :class:`SettingsError`."""
    watchers: list[asyncio.Task[None]] = []
    try:
        for process in (*writers, *readers):
            await process.start()
            watchers.append(asyncio.create_task(process.watch()))
        yield
    finally:
        for some in (readers, writers):
            await asyncio.gather(*(process.stop() for process in some))
        for watcher in watchers:
            watcher.cancel()


def pids(processes: Sequence[Process]) -> dict[str, int]:
    """The numbers of processes by their names."""
    return {process.name: process.pid for process in processes}


def make_lifeline(stack: contextlib.ExitStack) -> int:
    """The reading end of a pipe whose other end this process alone has, while ``stack`` lives: when this process dies,
    however that comes about, its children see the end and stop, so that none is left that nobody looks after."""
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, theirs)
    stack.callback(os.close, ours)
    return theirs


def take_up(processes: Sequence[Process]) -> None:
    """Have all take up renewed keys."""
    for process in processes:
        process.take_up()


def reserve(stack: contextlib.ExitStack, host: str, port: int, *, datagrams: bool) -> int:
    """Find the port to be served, a free one for 0, and hold its TCP side so that nobody else gets it while ``stack``
    lives. A port that somebody else serves already is refused here, where it can be said plainly. Raises
    :class:`SettingsError`."""
    try:
        _refuse_served(host, port)
        for _ in range(100):
            held = bind(host, port, socket.SOCK_STREAM)
            found: int = held.getsockname()[1]
            try:
                if datagrams:
                    bind(host, found, socket.SOCK_DGRAM).close()
            except OSError:
                held.close()
                if port:
                    raise
                continue
            stack.callback(held.close)
            return found
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(NO_ADDRESS, host=host, port=port, reason=reason) from error
    raise SettingsError(NO_ADDRESS, host=host, port=port, reason="none is free for both TCP and UDP")


def reserve_api(stack: contextlib.ExitStack, settings: Settings) -> int:
    """The same for the port of the JSON API; 0 where it is not served."""
    api = settings.api
    return reserve(stack, api.host, api.port, datagrams=False) if api.enabled else 0


def api_url(settings: Settings, port: int) -> str:
    """Where the API of a node is, for those on this machine."""
    scheme = "https" if settings.api.secure else "http"
    return f"{scheme}://{server_text(reachable(settings.api.host), port)}"


def _refuse_served(host: str, port: int) -> None:
    """Without SO_REUSEPORT binding fails where anybody has the port, another node included."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


@contextlib.contextmanager
def noted(
    settings: Settings,
    resolver_port: int,
    registry_port: int,
    processes: Mapping[str, int],
    zones: Mapping[str, object] | None = None,
    *,
    api_port: int = 0,
) -> Iterator[None]:
    """Until the end of the block, have the running node's addresses (port 0: it has none) and its processes, by name,
    where the commands find them; of a custody node the addresses for each of its ``zones``. Raises
    :class:`SettingsError`; what another node has noted there stays, where this one comes to nothing before."""
    run = {
        "pid": os.getpid(),
        **({"resolver": [settings.resolver.host, resolver_port]} if resolver_port else {}),
        **({"registry": [settings.registry.host, registry_port]} if registry_port else {}),
        **({"api": api_url(settings, api_port)} if api_port else {}),
        "processes": dict(processes),
        **({} if zones is None else {"zones": zones}),
    }
    temporary = settings.run_path.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps(run, indent=2) + "\n", "utf-8")
        os.replace(temporary, settings.run_path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SettingsError(NOT_NOTED, path=str(settings.run_path), reason=error.strerror or str(error)) from error
    try:
        yield
    finally:
        settings.run_path.unlink(missing_ok=True)
