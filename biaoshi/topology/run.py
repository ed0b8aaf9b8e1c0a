"""Run the nodes of a province: one process each, forked from this one, which has everything imported already. The
custody node has two more below its own, one that follows and one that answers.

There is no event loop and no thread here, so that a fork is a fork: what a node needs it makes for itself. What is to
be done is decided by ``keeping``; here are the processes, the signals and the clock.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NoReturn

import structlog

from biaoshi.custody.running import supervise_copies
from biaoshi.light import serve_light
from biaoshi.making import CONFIG_NAME
from biaoshi.topology.keeping import ALIVE, Keeping
from biaoshi.topology.place import LOG_NAME, NodeRun, ProvinceRun, note
from biaoshi.topology.plan import Planned
from config.keyfiles import BadKeyFile
from config.load import BadConfiguration, load_settings
from config.process import run
from protocol.errors import BiaoshiError, Rule, SettingsError
from protocol.status import Status

NOT_STARTED: Final = Rule(
    "topology.not-started",
    Status.SETTINGS,
    "the node {node} did not start, and all were stopped: {said} ({log})",
    "节点 {node} 未能启动，已停止全部节点：{said}（{log}）",
)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_FIRST_FREE: Final = 3
"""File descriptors below are standard input, output and error."""


class Runner:
    """Runs the nodes in ``directory`` until SIGINT or SIGTERM; ``log`` is told what dies."""

    def __init__(self, nodes: Sequence[Planned], directory: Path, log: structlog.stdlib.BoundLogger) -> None:
        waves = [[node.name for node in wave] for _, wave in groupby(nodes, lambda node: node.role)]
        self._keeping = Keeping(waves)
        self._directory = directory
        self._log = log
        self._pids: dict[int, str] = {}
        self._ready: dict[int, str] = {}  # the ends of pipes at which nodes say that they serve
        self._selector = selectors.DefaultSelector()
        self._began = time.time()
        self._noted = b""
        self._stop = False

    def run(self, up: Callable[[], None]) -> None:
        """Start all and keep them; ``up`` is called when all serve. Raises :class:`SettingsError` where one did not
        start, with all others stopped."""
        heard, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        waked = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._selector.register(heard, selectors.EVENT_READ)
        # What is there now will be there in every node: left alone by the collector, its pages stay shared.
        gc.collect()
        gc.freeze()
        try:
            self._keep(heard, up)
        finally:
            self._end_all()
            signal.set_wakeup_fd(waked)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            for end in (heard, wake, self._lifeline, self._held):
                os.close(end)
            gc.unfreeze()

    def _keep(self, heard: int, up: Callable[[], None]) -> None:
        keeping = self._keeping
        was_up = False
        while not keeping.ended:
            now = time.monotonic()
            if (self._stop or keeping.failed) and not keeping.stopping:
                self._signal(keeping.stop(now), signal.SIGTERM)
            self._signal(keeping.to_kill(now), signal.SIGKILL)
            for name in keeping.to_start(now):
                self._start(name)
            self._note()
            if keeping.up and not was_up and not keeping.stopping:
                was_up = True
                up()
                continue  # it took its time
            due = keeping.next_due()
            for key, _ in self._selector.select(None if due is None else max(0.0, due - time.monotonic()) + 0.01):
                if key.fd == heard:
                    with contextlib.suppress(BlockingIOError):
                        os.read(heard, 4_096)
                else:
                    self._hear(key.fd)
            self._reap()
        self._note()
        if keeping.failed is not None:
            path = self._directory / keeping.failed / LOG_NAME
            raise SettingsError(NOT_STARTED, node=keeping.failed, said=_last_line(path), log=str(path))

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._stop = True

    # Processes ------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        ready, say = os.pipe2(os.O_CLOEXEC)
        # A signal between the fork and the child's own handlers would be lost in those of this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._be(name, say)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(say)
        self._pids[pid] = name
        self._ready[ready] = name
        self._selector.register(ready, selectors.EVENT_READ)
        self._keeping.started(name, time.monotonic())

    def _be(self, name: str, say: int) -> NoReturn:
        """What a forked process does: it is the node, and never comes back."""
        code = 1
        try:
            os.setsid()  # Ctrl-C at the terminal is for the process that stops all in order
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            directory = self._directory / name
            _redirect(directory / LOG_NAME)
            _close_all_but(self._lifeline, say)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

            def up() -> None:
                os.write(say, b"\n")
                os.close(say)

            config = (directory / CONFIG_NAME).resolve()
            settings = load_settings(config)
            if settings.node.role == "custody":  # which has processes of its own, and looks after them
                run(supervise_copies(settings, config, up, self._lifeline))
            else:
                run(serve_light(settings, up, self._lifeline))
            code = 0
        except (BiaoshiError, BadConfiguration, BadKeyFile, OSError) as error:
            sys.stderr.write(f"{name}: {error}\n")
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _hear(self, ready: int) -> None:
        """A node serves, or its process has ended before it did."""
        self._selector.unregister(ready)
        name = self._ready.pop(ready)
        if os.read(ready, 1):
            self._keeping.serves(name, time.monotonic())
        os.close(ready)

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            name = self._pids.pop(pid)
            self._keeping.died(name, time.monotonic())
            if not self._keeping.stopping:
                again = self._keeping.nodes[name]
                self._log.error("node died", node=name, exit=os.waitstatus_to_exitcode(status),
                                again_in_s=round(again.due - again.since, 1))  # fmt: skip

    def _signal(self, names: Sequence[str], number: signal.Signals) -> None:
        wanted = set(names)
        for pid, name in self._pids.items():
            if name in wanted:
                os.kill(pid, number)  # not reaped yet, so the number is still its own

    def _end_all(self) -> None:
        """Leave no process behind, whatever ended the loop."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()
        for ready in self._ready:
            os.close(ready)
        self._ready.clear()

    def _note(self) -> None:
        """Write what the nodes do, where it has changed."""
        pids = {name: pid for pid, name in self._pids.items()}
        offset = time.time() - time.monotonic()
        nodes = [
            NodeRun(
                node.name,
                pids.get(node.name, 0) if node.state in ALIVE else 0,
                node.state.value,
                round(node.since + offset, 1) if node.since else self._began,
                node.restarts,
            )
            for node in self._keeping.nodes.values()
        ]
        shape = repr([(node.name, node.pid, node.state, node.restarts) for node in nodes]).encode()
        if shape != self._noted:
            self._noted = shape
            note(self._directory, ProvinceRun(os.getpid(), self._began, self._keeping.up, nodes))


def _redirect(log: Path) -> None:
    """What is said goes to the node's log."""
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    for standard, file in enumerate((nothing, said, said)):
        os.dup2(file, standard)


def _close_all_but(*kept: int) -> None:
    """Close what belongs to the process that forked: other nodes' pipes, its lock, its end of the lifeline. Its objects
    stay referenced by the frames below this one, so that none of them closes a descriptor of ours later."""
    at = _FIRST_FREE
    for one in sorted(kept):
        os.closerange(at, one)
        at = one + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return "-"
    return lines[-1] if lines else "-"
