"""The fuzzer itself: a short search of every target, and that what is wrong is found and can be judged again."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.decoders import JUDGES

ROOT = Path(__file__).parents[2]

PLANTED = """
import atheris
with atheris.instrument_imports(include=["protocol"]):
    from tests.fuzz import decoders, run
honest = decoders.JUDGES["identifier"]
def wrong(data):
    assert b"\\xe6" not in data, "planted"
    honest(data)
decoders.JUDGES["identifier"] = wrong
import sys
sys.exit(run.main())
"""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: it has no release for this Python (it is made for those below 3.14)",
)


def fuzz(directory: Path, *arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", script] if script else ["-m", "tests.fuzz.run"]
    return subprocess.run(
        [sys.executable, *program, "--directory", str(directory), *arguments],
        capture_output=True, text=True, check=False, timeout=110, cwd=ROOT,
    )  # fmt: skip


def test_every_target_for_a_moment(tmp_path: Path) -> None:
    """What this finds in a second, anybody finds."""
    done = fuzz(tmp_path, "--seconds", "1", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(re.findall(r"(?m)^(\w+) +(\S+ tries, coverage \d+), \d+ kept$", done.stdout))
    assert set(told) == set(JUDGES)
    for name, line in told.items():
        tries, coverage = (int(one.replace(",", "")) for one in re.findall(r"[\d,]*\d", line))
        assert tries > 20, name
        assert coverage > 5, f"{name}: what is searched cannot be seen from within"


def test_what_is_wrong_is_found_and_can_be_judged_again(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", "1", "--jobs", "2", "identifier", "body", script=PLANTED)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "planted" in done.stdout
    assert re.search(r"(?m)^body .* tries", done.stdout), "the others are searched all the same"
    [file] = (tmp_path / "identifier").glob("crash-*")
    assert b"\xe6" in file.read_bytes()
    assert f"bytes.fromhex('{file.read_bytes().hex()}')" in done.stdout
    assert f"python -m tests.fuzz.run identifier --input {file}" in done.stdout

    again = fuzz(tmp_path, "identifier", "--input", str(file), script=PLANTED)
    assert "AssertionError: planted" in again.stderr
    assert again.returncode != 0
    honest = fuzz(tmp_path, "identifier", "--input", str(file))
    assert (honest.returncode, honest.stdout) == (0, "identifier: passes\n")


def test_wrong_use(tmp_path: Path) -> None:
    unknown = fuzz(tmp_path, "indentifier")
    assert unknown.returncode == 2
    assert "no target indentifier; there are stream, " in unknown.stderr
    assert fuzz(tmp_path, "--input", "x").returncode == 2
    assert not list(tmp_path.iterdir())
