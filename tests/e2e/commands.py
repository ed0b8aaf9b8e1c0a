"""One run of ``biaoshi`` in a process of its own, forked from one that has everything imported already.

A command is a process with arguments, environment, directory, streams and exit code of its own, as a shell would start
it, but without the third of a second that Python takes to import it all: there are hundreds of them in these tests. The
README's tour and the nodes themselves are started the ordinary way.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final

_STREAMS: Final = ("stdin", "stdout", "stderr")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.e2e.warm"])


def run_forked(
    arguments: Sequence[bytes], stdin: bytes, env: Mapping[str, str], cwd: Path | None, timeout: float
) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error. Raises :class:`subprocess.TimeoutExpired`."""
    with tempfile.TemporaryDirectory() as place:
        paths = [os.path.join(place, name) for name in _STREAMS]
        Path(paths[0]).write_bytes(stdin)
        process = _forks.Process(target=_command, args=(arguments, paths, dict(env), cwd and str(cwd)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(arguments, timeout)
        # A signal is a negative code here and in subprocess alike.
        return process.exitcode, Path(paths[1]).read_bytes(), Path(paths[2]).read_bytes()


def _command(arguments: Sequence[bytes], paths: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
    """In the new process: take up what a shell would have given, and go."""
    for number, path in enumerate(paths):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), encoding="utf-8", line_buffering=True
    )
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    sys.argv = ["biaoshi", *map(os.fsdecode, arguments)]
    from biaoshi.cli import main  # imported in the process that this one was forked from

    main()
