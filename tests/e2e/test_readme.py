"""What the READMEs show is what happens: every command with its output, and the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from biaoshi.cli import app
from tests.e2e.tours import ROOT, Tour, alike, programs, steps

READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}


@pytest.mark.parametrize("language", READMES)
def test_tour(language: str, tmp_path: Path) -> None:
    text = READMES[language].read_text("utf-8")
    taken = steps(text)
    [program] = programs(text)
    assert len(taken) >= 10
    tour = Tour(tmp_path, language)
    try:
        for step in taken:
            said = tour.take(step)
            assert list(map(alike, said)) == list(map(alike, step.shown)), step.command
        url, first, second = tour.run(program)
        assert re.fullmatch(r"https://example\.com/p/123456 \d{13}", url)
        assert [first, second] == ["88.118.32001/V002 ok", "88.118.32001/V003 ok"]
    finally:
        code = tour.stop()
    assert code == 0


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = (READMES[language].read_text("utf-8") for language in ("en", "zh"))
    assert [step.command for step in steps(english)] == [step.command for step in steps(chinese)]
    assert programs(english) == programs(chinese)


def test_both_readmes_have_the_same_figures() -> None:
    """Every figure of the tables, row by row, and every file and page that they point to."""
    english, chinese = (READMES[language].read_text("utf-8") for language in ("en", "zh"))
    measured = [[re.findall(r"\d[\d,.]*", cells) for cells in re.findall(r"(?m)^\|[^|]*\|(.*\d.*)\|$", text)]
                for text in (english, chinese)]  # fmt: skip
    assert measured[0] == measured[1]
    assert measured[0]
    for pattern in (r"`make [\w =]+`", r"\]\((docs/[^)]+)\)"):
        found = [sorted(set(re.findall(pattern, text))) for text in (english, chinese)]
        assert found[0] == found[1]
        assert found[0]


@pytest.mark.parametrize("language", READMES)
def test_every_link_leads_somewhere(language: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", READMES[language].read_text("utf-8"))
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


# Examples in help and documentation ------------------------------------------------------------------

COMMANDS: Any = typer.main.get_command(app)
for name in COMMANDS.list_commands(None):
    COMMANDS.get_command(None, name)  # loads it
WrongUse = typer.BadParameter.__mro__[1]
"""What the library raises for every line that it cannot read."""


def leaves(command: Any = COMMANDS, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that lead to it."""
    for name, one in command.commands.items():
        if hasattr(one, "commands"):
            yield from leaves(one, *path, name)
        else:
            yield (*path, name), one


def parse(line: str) -> None:
    """Read a command line as the program would, without carrying it out. Raises ``WrongUse``."""
    words = shlex.split(line, comments=True)
    for sign in (">", "|", "&", ";"):
        words = words[: words.index(sign)] if sign in words else words
    assert words.pop(0) == "biaoshi"
    command = COMMANDS
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            raise WrongUse(f"no command in: {line}")
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


def examples(text: str) -> list[str]:
    """The example lines of a help text."""
    _, _, listed = text.partition(": ")
    return [one.strip().removesuffix(".") for one in re.split(r"  \|  ", listed)]


@pytest.mark.parametrize("path", [path for path, _ in leaves()], ids=" ".join)
def test_examples_in_help_are_command_lines(path: tuple[str, ...]) -> None:
    epilog = dict(leaves())[path].epilog
    assert epilog is not None
    assert re.match(r"Examples?: biaoshi ", epilog)
    for example in examples(epilog):
        assert example.startswith(f"biaoshi {' '.join(path)} "), example
        parse(example)


def test_the_first_steps_in_help_are_command_lines() -> None:
    assert COMMANDS.epilog is not None
    lines, _, _ = COMMANDS.epilog.partition(". Exit codes")
    assert len(examples(lines)) == 2
    for example in examples(lines):
        parse(example)


@pytest.mark.parametrize(
    "line",
    [
        "biaoshi fly",
        "biaoshi delegate",
        "biaoshi delegate fly",
        "biaoshi resolve --no-such-option x",
        "biaoshi init secondary --prefix 88.118",
        "biaoshi init secondary --prefix 88.118 --dir node --port many",
        "biaoshi renew --days 0",
    ],
)
def test_a_wrong_example_would_be_seen(line: str) -> None:
    with pytest.raises(WrongUse):
        parse(line)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")) + list(READMES.values()), ids=lambda page: page.name
)
def test_command_lines_in_documentation(page: Path) -> None:
    """In code blocks and between backquotes."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```$", text)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    named = {" ".join(("biaoshi", *path)) for path, _ in leaves()}
    inline = re.findall(r"`(biaoshi [a-z]+ [^`]+)`", re.sub(r"(?ms)^```.*?^```$|`biaoshi test key`", "", text))
    lines += [line for line in inline if line not in named]  # a command that is only named has no options
    for line in lines:
        if re.match(r"biaoshi [a-z]", line) and "COMMAND" not in line and "命令" not in line:
            parse(line)
