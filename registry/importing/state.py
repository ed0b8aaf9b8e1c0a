"""The work directory of an import: one process at a time, and a state that survives being killed.

The state file is replaced atomically and durably, and only after everything it speaks of is durable. What is in the
directory beyond that (a run half written, lines of the report after the last checkpoint) is dropped on resuming.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from protocol.errors import SettingsError
from registry.importing import rules
from registry.importing.options import ImportOptions
from registry.importing.sorting import Run, sync_directory
from registry.importing.sources import file_size, unreadable

FORMAT: Final = 1
"""Version of the files in a work directory; another one means starting over."""

SORTING: Final = "sorting"
LOADING: Final = "loading"
DONE: Final = "done"

_EDGE_BYTES: Final = 1 << 20
_OWN: Final = "biaoshi-import."
"""How the names of a job's files begin: it never touches others, should a person name a directory in use."""

_LOCK: Final = _OWN + "lock"
_STATE: Final = _OWN + "state.json"
_REPORT: Final = _OWN + "refused.csv"
_RUN: Final = _OWN + "run-"


class InputIdentity(msgspec.Struct, frozen=True):
    """By what a file is known again: size in bytes, time of change in ns, SHA-256 of its first and last MiB."""

    size: int
    mtime_ns: int
    digest: str


class JobState(msgspec.Struct, kw_only=True):
    """How far a job has come, all of it true at one moment.

    ``row`` is the number of the last row read, ``rows`` how many there were, blank ones not counted, and ``spilled``
    how many of them are in the runs. While loading, the first ``processed`` elements are done, the last of them with
    the key ``after`` (hexadecimal); ``first_row`` and ``first_digest`` describe the row that was taken for its
    identifier. ``seconds`` is time at work.
    """

    format: int = FORMAT
    input: InputIdentity
    options: str
    phase: str = SORTING
    row: int = 0
    rows: int = 0
    spilled: int = 0
    runs: list[Run] = []
    report_bytes: int = 0
    refused: int = 0
    odd_urls: int = 0
    registered: int = 0
    unchanged: int = 0
    processed: int = 0
    after: str = ""
    first_row: int = 0
    first_digest: str = ""
    seconds: float = 0.0


def run_name(number: int) -> str:
    """The file name of a run of the job."""
    return f"{_RUN}{number:06d}"


def identify(path: Path) -> InputIdentity:
    """The identity of an ordinary file. Raises :class:`SettingsError`."""
    file_size(path)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.sha256(file.read(_EDGE_BYTES))
            file.seek(max(0, status.st_size - _EDGE_BYTES))
            digest.update(file.read(_EDGE_BYTES))
    except OSError as error:
        raise unreadable(path, error) from None
    return InputIdentity(status.st_size, status.st_mtime_ns, digest.hexdigest())


def options_digest(options: ImportOptions) -> str:
    """By what choices are known again."""
    return hashlib.sha256(msgspec.json.encode(options)).hexdigest()


@contextmanager
def own_files(path: Path) -> Iterator[None]:
    """Turn what the operating system says about the job's own files into :class:`SettingsError`."""
    try:
        yield
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else str(path)
        raise SettingsError(rules.FILES, path=name, reason=error.strerror or str(error)) from None


class WorkDirectory:
    """A directory of one job, locked against other processes while it is open.

    Raises :class:`SettingsError` where another process has it or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.report = path / _REPORT
        with own_files(path):
            self._lock = self._take_lock()

    def load(self) -> JobState | None:
        """The state that was saved last; None where there is none, or none that this version can read."""
        with own_files(self.path):
            try:
                data = (self.path / _STATE).read_bytes()
            except FileNotFoundError:
                return None
        try:
            state = msgspec.json.decode(data, type=JobState)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return state if state.format == FORMAT else None

    def save(self, state: JobState) -> None:
        """Make a state durable in place of the last one."""
        temporary = self.path / f"{_STATE}.tmp"
        with own_files(self.path):
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(state))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / _STATE)
            sync_directory(self.path)

    def drop_all_but(self, runs: list[Run]) -> None:
        """Remove the runs that the state does not know, and anything half written."""
        known = {run.name for run in runs}
        with own_files(self.path):
            for path in [*self.path.glob(f"{_RUN}*"), *self.path.glob(f"{_OWN}*.tmp")]:
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget the job: state first, so that a half-cleared directory is a new one."""
        with own_files(self.path):
            (self.path / _STATE).unlink(missing_ok=True)
            sync_directory(self.path)
            self.drop_all_but([])
            self.report.unlink(missing_ok=True)

    def remove(self) -> None:
        """Clear the directory and remove it, unless somebody has put something else there."""
        self.clear()
        with suppress(OSError):
            (self.path / _LOCK).unlink()
            self.path.rmdir()

    def remove_unused(self) -> None:
        """Remove the directory where no state was ever saved in it, so that there is nothing to continue."""
        with suppress(OSError):  # it is on the way out, and what stays is removed at the next start
            ours = (self.path / _LOCK).stat().st_ino == os.fstat(self._lock.fileno()).st_ino
            if not ours or (self.path / _STATE).exists():
                return  # removed already, and perhaps made anew by another process; or to be continued
            for path in self.path.glob(f"{_OWN}*"):
                path.unlink()
            self.path.rmdir()

    def close(self) -> None:
        """Let other processes have it."""
        self._lock.close()

    def _take_lock(self) -> BinaryIO:
        path = self.path / _LOCK
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock = path.open("ab")
            except FileNotFoundError:
                continue  # the one who had the directory has just removed it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    return lock
            except BlockingIOError:
                lock.close()
                raise SettingsError(rules.BUSY, path=str(self.path)) from None
            except FileNotFoundError:
                pass  # removed between opening and locking: the lock is on a file that nobody else will find
            lock.close()
