"""Sorting and writing a run in a process of its own, while the program goes on reading.

The process is a fork: it has the elements without their being sent. It does nothing but sort, write to the file that
was opened for it, and end; all that makes the run count is done here after it has succeeded, namely the file's name and
the checkpoint. Should the program be killed, what is left is a process that writes to a file without importance and
ends by itself; it holds neither the lock of the work directory nor a connection.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from protocol.errors import SettingsError
from registry.importing import rules
from registry.importing.options import Tuning
from registry.importing.sorting import Run, publish_run, temporary_of, write_elements, write_run

_LOOK_SECONDS: Final = 0.005
"""Between two looks whether the process has ended; it works for about a second."""

_FAILED: Final = 255
"""Exit code for anything but an error of the operating system, whose number is the code otherwise."""

_FIRST_FREE: Final = 3
"""File descriptors below are standard input, output and error."""


class _Child(NamedTuple):
    pid: int
    name: str
    rows: int


class RunWriter:
    """Writes runs into ``directory``, one at a time. Raises ``OSError`` where the files fail."""

    def __init__(self, directory: Path, tuning: Tuning) -> None:
        self._directory = directory
        self._tuning = tuning
        self._child: _Child | None = None
        self._written: Run | None = None

    def begin(self, name: str, elements: list[bytes]) -> None:
        """Begin to write a run; :meth:`finish` gives it. The elements are not needed here any more."""
        assert self._child is None
        assert self._written is None
        handle = os.open(temporary_of(self._directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        try:
            pid = os.fork()
            if pid == 0:
                _write_and_end(handle, elements, self._tuning)
        except OSError:  # no room for another process: it takes longer, that is all
            self._written = write_run(self._directory, name, elements, self._tuning)
        else:
            self._child = _Child(pid, name, len(elements))
        finally:
            os.close(handle)

    async def finish(self) -> Run | None:
        """Wait for the run that was begun; None where there is none. Raises :class:`SettingsError` where the process
        did not come to its end."""
        written, self._written = self._written, None
        child = self._child
        if child is None:
            return written
        while True:
            pid, status = os.waitpid(child.pid, os.WNOHANG)  # noqa: ASYNC222  # does not wait
            if pid:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._child = None
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return publish_run(self._directory, child.name, child.rows)
        temporary = temporary_of(self._directory, child.name)
        temporary.unlink(missing_ok=True)
        if 0 < code < _FAILED:
            raise OSError(code, os.strerror(code), str(temporary))
        raise SettingsError(rules.SORTER_ENDED, signal=max(-code, 0))

    def close(self) -> None:
        """Give up a run that is being written."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
            temporary_of(self._directory, child.name).unlink(missing_ok=True)


def _write_and_end(handle: int, elements: list[bytes], tuning: Tuning) -> NoReturn:
    """What the forked process does. Other threads of the program do not exist here, and locks that they held will never
    be free: nothing is called that could want one. Ending without Python's own end leaves the program's buffers be."""
    code = _FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # is for the program, which will end us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The lock of the work directory must be free as soon as the program has gone, its connection closed.
        os.closerange(_FIRST_FREE, handle)
        os.closerange(max(_FIRST_FREE, handle + 1), os.sysconf("SC_OPEN_MAX"))
        write_elements(handle, elements, tuning)
        code = 0
    except OSError as error:
        code = error.errno or _FAILED
    finally:
        os._exit(code)
