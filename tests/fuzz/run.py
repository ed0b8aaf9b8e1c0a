"""The fuzzer: ``python -m tests.fuzz.run [--seconds N] [TARGET …]``.

Searches each target of ``decoders`` for N seconds with atheris (libFuzzer, led by what of our code is reached), from
``seeds`` and from what earlier runs have found on. Everything is in ``build/fuzz/TARGET``: ``corpus``, ``log``, and
what a judge did not pass, ``crash-…``. ``--input FILE`` judges such a file again, with the traceback.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Final

LONGEST: Final = 4_096
"""Bytes that are tried: more would make each try slower. Larger ones, meant to hurt, are in the property tests."""

SLOWEST_SECONDS: Final = 10
"""A try that takes longer is a finding."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point. 0 where nothing was found, 1 where something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__.partition("\n\n")[2])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them where none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 60 where nothing is said")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time")
    parser.add_argument("--directory", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--input", type=Path, help="judge this file and do not search; with one TARGET")
    options = parser.parse_args(arguments)
    try:
        import atheris
    except ImportError:
        parser.exit(2, "atheris is not installed: pip install 'atheris>=2.3' (it is made for Python below 3.14)\n")
    # Imported now, for only what is imported here can be seen from within.
    with atheris.instrument_imports(include=["protocol", "registry", "resolver"]):
        from tests.fuzz.decoders import JUDGES
    targets = options.targets or list(JUDGES)
    if unknown := [name for name in targets if name not in JUDGES]:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(JUDGES)}")
    if options.input is not None:
        if len(options.targets) != 1:
            parser.error("--input goes with one TARGET")
        JUDGES[targets[0]](options.input.read_bytes())
        print(f"{targets[0]}: passes")
        return 0
    _write_seeds(options.directory / "seeds")
    waiting, running, found = list(targets), {}, 0
    while waiting or running:
        while waiting and len(running) < options.jobs:
            name = waiting.pop(0)
            running[_search(name, options.directory, options.seconds)] = name
        pid, status = os.wait()
        name = running.pop(pid)
        found += _tell(name, options.directory / name, os.waitstatus_to_exitcode(status))
    return int(found > 0)


def _write_seeds(directory: Path) -> None:
    from tests.fuzz.seeds import HOSTILE, seeds

    directory.mkdir(parents=True, exist_ok=True)
    for data in (*seeds(), *HOSTILE.values()):
        if len(data) <= LONGEST:
            (directory / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _search(name: str, directory: Path, seconds: int) -> int:
    """Search one target in a process of its own; its number."""
    import atheris

    from tests.fuzz.decoders import JUDGES

    place = directory / name
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    atheris.Setup([
        sys.argv[0], f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST_SECONDS}",
        f"-artifact_prefix={place}/", str(place / "corpus"), str(directory / "seeds"),
    ], JUDGES[name])  # fmt: skip
    atheris.Fuzz()  # never comes back
    os._exit(3)


def _tell(name: str, place: Path, code: int) -> bool:
    """Say what came of a search; whether something was found."""
    log = (place / "log").read_text("utf-8", "replace")
    done = re.search(r"(?m)^#(\d+)\s+DONE\s+cov: (\d+) .* corp: (\d+)/", log)
    if code == 0 and done:
        runs, coverage, corpus = map(int, done.groups())
        print(f"{name:<12} {runs:>9,} tries, coverage {coverage}, {corpus} kept", flush=True)
        return False
    lines = [line for line in log.splitlines() if not re.match(r"#\d+\s", line)]
    print(f"{name:<12} ended with {code}:", *lines[-60:], sep="\n    ")
    if written := re.search(r"Test unit written to (\S+)", log):
        file = Path(written[1])
        print(f"    bytes.fromhex('{file.read_bytes().hex()}')")
        print(f"    again: python -m tests.fuzz.run {name} --input {file}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
