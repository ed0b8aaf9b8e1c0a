"""Rules of the house that hold over all files: who imports whom, how long a module may be, what a rule must say."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import Rule
from protocol.status import Status

HOUSE = Path(__file__).parents[1]
PACKAGES = ("protocol", "config", "registry", "resolver", "biaoshi", "bench")
SIBLINGS = {*PACKAGES, "tests"}

MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "config": set(),
    "registry": {"protocol", "config"},
    "resolver": {"protocol", "config", "registry"},  # of the registry only its store, see below
    "biaoshi": {"protocol", "config", "registry", "resolver"},
    "bench": {"protocol", "config", "registry", "resolver", "biaoshi"},
}

MAX_LINES = 400
LONGER: dict[str, str] = {
    "bench/dataset.py": "mostly a table of product lines; two halves would have to agree on it",
}
"""Modules above the limit, each with the reason why it is better whole."""

NOT_IN_PROTOCOL = {"socket", "asyncio", "lmdb", "time", "uvloop", "selectors", "select", "threading", "ssl", "os"}


def _modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (HOUSE / package).rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


MODULES = _modules(*PACKAGES)
EVERY = pytest.mark.parametrize("path", MODULES, ids=_name)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), _name(path))


def _imports(path: Path, house: Path = HOUSE) -> Iterator[str]:
    """Full names of what a file imports, also within functions and under TYPE_CHECKING."""
    package = list(path.relative_to(house).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_the_house_is_found() -> None:
    assert {_name(path).partition("/")[0] for path in MODULES} == set(PACKAGES)
    assert len(MODULES) > 50


# Arrows ----------------------------------------------------------------------------------------------


@EVERY
def test_imports_point_one_way(path: Path) -> None:
    package = _name(path).partition("/")[0]
    siblings = {name.partition(".")[0] for name in _imports(path)} & SIBLINGS - {package}
    assert siblings <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", _modules("protocol"), ids=_name)
def test_the_native_protocol_knows_no_other(path: Path) -> None:
    """The room of the Handle protocol rests on errors and status alone, and nothing of the native protocol on it."""
    inside = [name for name in _imports(path) if name.startswith("protocol.handle")]
    outside = {name.rpartition(".")[0] for name in _imports(path) if name.startswith("protocol.")}
    if path.is_relative_to(HOUSE / "protocol/handle"):
        native = {name for name in outside if name != "protocol.handle" and not name.startswith("protocol.handle.")}
        assert native <= {"protocol.errors", "protocol.status"}
    else:
        assert not inside


@pytest.mark.parametrize("path", _modules("resolver"), ids=_name)
def test_resolver_knows_only_the_registrys_store(path: Path) -> None:
    foreign = [
        name
        for name in _imports(path)
        if name.split(".")[0] == "registry" and name != "registry.store" and not name.startswith("registry.store.")
    ]
    assert not foreign


def test_hidden_imports_are_seen(tmp_path: Path) -> None:
    """An import within a function, and those by relative names."""
    path = tmp_path / "registry/store/bad.py"
    path.parent.mkdir(parents=True)
    path.write_text("def f():\n    import resolver.client\n    from .. import cli\n    from . import codec as c\n")
    assert list(_imports(path, tmp_path)) == ["resolver.client", "registry.cli", "registry.store.codec"]


@pytest.mark.parametrize("path", _modules("protocol"), ids=_name)
def test_protocol_is_pure(path: Path) -> None:
    """No socket, no event loop, no database and no clock: what it needs comes in as arguments."""
    assert not {name.partition(".")[0] for name in _imports(path)} & NOT_IN_PROTOCOL
    calls = {node.func.id for node in ast.walk(_tree(path)) if isinstance(node, ast.Call) and _is_name(node.func)}
    assert not calls & {"open", "print", "input"}


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


# Shape -----------------------------------------------------------------------------------------------


@EVERY
def test_no_module_is_too_long(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MAX_LINES or LONGER.get(_name(path)), f"{lines} lines: divide it, or list it with the reason"


def test_every_exception_to_the_length_is_needed() -> None:
    for name in LONGER:
        assert len((HOUSE / name).read_text("utf-8").splitlines()) > MAX_LINES, f"{name} is short enough now"


@EVERY
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(_tree(path))


@EVERY
def test_no_broad_except(path: Path) -> None:
    """Nothing is caught that was not expected. ``except BaseException`` may only put something in order and go on
    raising."""
    for handler in ast.walk(_tree(path)):
        if not isinstance(handler, ast.ExceptHandler):
            continue
        where = f"{_name(path)}:{handler.lineno}"
        assert handler.type is not None, f"{where}: bare except"
        names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        assert "Exception" not in names, f"{where}: except Exception"
        if "BaseException" in names:
            last = handler.body[-1]
            assert isinstance(last, ast.Raise), f"{where}: except BaseException that does not raise again"
            assert last.exc is None, f"{where}: except BaseException that raises something else"


@EVERY
def test_only_commands_print(path: Path) -> None:
    """Libraries and servers log or return; printing is for the command line."""
    if path.name.endswith("cli.py") or _name(path).startswith("bench/"):
        return
    prints = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call) and _calls(node, "print")]
    assert not prints


def _calls(node: ast.Call, name: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == name


# Sentences -------------------------------------------------------------------------------------------


def _rules() -> list[Rule]:
    for package in ("protocol", "config", "registry", "resolver", "biaoshi"):
        for module in pkgutil.walk_packages([str(HOUSE / package)], f"{package}."):
            importlib.import_module(module.name)
    return sorted(Rule.known.values(), key=lambda rule: rule.name)


RULES = _rules()


def _parameters(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def _is_chinese(sentence: str) -> bool:
    return any("\u4e00" <= one <= "\u9fff" for one in sentence)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_speaks_both_languages(rule: Rule) -> None:
    assert rule.en
    assert not _is_chinese(rule.en)
    # A detail that is itself a sentence comes once in each language: {reason} and {reason_zh}.
    assert _parameters(rule.en) == {name.removesuffix("_zh") for name in _parameters(rule.zh)}
    only_parameters = not "".join(text for text, *_ in string.Formatter().parse(rule.en)).strip(": ")
    assert _is_chinese(rule.zh) or only_parameters
    assert all(name.isidentifier() for name in _parameters(rule.en)), "parameters are named"
    area, dot, what = rule.name.partition(".")
    assert area
    assert dot
    assert what
    assert rule.name == rule.name.lower()


def test_there_are_rules() -> None:
    assert len(RULES) > 60


@pytest.mark.parametrize("status", Status, ids=lambda status: status.label)
def test_a_status_speaks_both_languages(status: Status) -> None:
    assert status.en
    assert _is_chinese(status.zh)
    assert not _parameters(status.en + status.zh)


@EVERY
def test_raised_rules_get_their_parameters(path: Path) -> None:
    """Where a rule and its details stand in one ``raise``, the details are those that the sentence wants."""
    module = importlib.import_module(_name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        call = node.exc
        if not call.args or not isinstance(call.args[0], ast.Name) or any(word.arg is None for word in call.keywords):
            continue
        rule = getattr(module, call.args[0].id, None)
        if isinstance(rule, Rule):
            given = {word.arg for word in call.keywords}
            assert _parameters(rule.en) <= given, f"{_name(path)}:{node.lineno}: {rule.name}"
