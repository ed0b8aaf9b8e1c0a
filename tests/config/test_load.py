"""A TOML file to settings: what is shipped loads as it is; what is wrong is named, all of it, in both languages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.load import ROLES, BadConfiguration, fill, load_settings, template, toml_string
from config.settings import RecursionSettings, Settings
from tests.config.writing import KEY, LEAST, OTHER_KEY, problems, refused, write

SHIPPED = sorted(
    path.name
    for path in files("config").iterdir()
    if path.name.endswith(".toml") and "\n[node]\n" in path.read_text("utf-8")  # the others are no node's
)
EVERY_SHIPPED = pytest.mark.parametrize("name", SHIPPED)
WITHOUT_ZONE = ("recursive.toml", "custody.toml")
AUTHORITATIVE = pytest.mark.parametrize("name", [one for one in SHIPPED if one not in WITHOUT_ZONE])


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= one <= "\u9fff" for one in text)


# What is shipped -------------------------------------------------------------------------------------


def test_there_is_a_file_for_every_role() -> None:
    assert {f"{role}.toml" for role in ROLES} == set(SHIPPED)


@EVERY_SHIPPED
def test_shipped_file_loads_as_it_is(name: str) -> None:
    path = Path(str(files("config").joinpath(name)))
    settings = load_settings(path)
    assert f"{settings.node.role}.toml" == name
    assert settings.directory == str(path.parent)
    assert template(settings.node.role) == path.read_text("utf-8")


@AUTHORITATIVE
def test_shipped_file_shows_every_option_with_its_default(name: str) -> None:
    """What an operator reads is all that there is, and what holds when a line is left out."""
    raw = tomllib.loads(files("config").joinpath(name).read_text("utf-8"))
    defaults = msgspec.to_builtins(Settings(node=load_settings(Path(str(files("config").joinpath(name)))).node))
    for name_ in ("directory", "file"):
        defaults.pop(name_)
    for examples in ("writers", "followers"):  # none: an example stands in a comment
        defaults["registry"].pop(examples)
    defaults.pop("zones")  # of a custody node
    defaults["statistics"].pop("industries")  # the same
    defaults.pop("recursion")  # of a recursive node
    assert raw == defaults


def test_the_file_of_a_recursive_node_shows_what_it_goes_by_with_its_defaults() -> None:
    raw = tomllib.loads(template("recursive"))
    defaults = msgspec.to_builtins(
        Settings(node=load_settings(Path(str(files("config").joinpath("recursive.toml")))).node)
    )
    assert (raw["recursion"].pop("anchor"), raw["recursion"].pop("roots")) == ("top-anchor.toml", ["127.0.0.1:26410"])
    assert set(raw["recursion"]) == set(defaults["recursion"]) - {"anchor", "roots"}
    for table, options in raw.items():
        assert options.items() <= defaults[table].items(), table
    assert not {"registry", "statistics"} & set(raw)


def test_the_file_of_a_custody_node_shows_what_it_goes_by_with_its_defaults() -> None:
    raw = tomllib.loads(template("custody"))
    defaults = msgspec.to_builtins(
        Settings(node=load_settings(Path(str(files("config").joinpath("custody.toml")))).node)
    )
    assert not {"keys", "recursion", "statistics", "zones"} & set(raw)
    for table, options in raw.items():
        assert options.items() <= defaults[table].items(), table


def test_examples_of_a_custody_node_in_the_comments(tmp_path: Path) -> None:
    """Their lines, the hash signs taken off and a whole key put in, are entries."""
    text = template("custody").replace("ed25519:…", KEY)
    for table in ("registry.followers", "zones"):
        start = text.index(f"# [[{table}]]")
        block = text[start:].split("\n\n")[0]
        text = text.replace(block, "\n".join(line.removeprefix("# ") for line in block.splitlines()))
    settings = load_settings(write(tmp_path, text))
    assert [one.name for one in settings.registry.followers] == ["custody-2"]
    [zone] = settings.zones
    assert (zone.prefix, zone.port, zone.registry_port) == ("88.118", 26_420, 26_421)
    least = 'servers = ["a"]\nprefix = "88.118"\nport = 26420\nregistry_port = 26421\n'
    least = f'[node]\nrole = "custody"\nprefix = ""\nname = "n"\n[[zones]]\n{least}'
    shown = msgspec.to_builtins(zone) | {"servers": ["a"]}
    assert shown == msgspec.to_builtins(load_settings(write(tmp_path, least)).zones[0]), (
        "what is shown are the defaults"
    )


@AUTHORITATIVE
def test_example_of_a_follower_in_the_comment(name: str, tmp_path: Path) -> None:
    text = files("config").joinpath(name).read_text("utf-8")
    start = text.index("# [[registry.followers]]")
    block = text[start:].split("\n\n")[0]
    example = "\n".join(line.removeprefix("# ") for line in block.splitlines()).replace("ed25519:…", KEY)
    settings = load_settings(write(tmp_path, text.replace(block, example)))
    assert [(one.name, one.key, one.online) for one in settings.registry.followers] == [("custody-1", KEY, KEY)]


@AUTHORITATIVE
def test_shipped_file_explains_every_option(name: str) -> None:
    """At the end of its line, or in the comment above it."""
    unexplained, block = [], False
    for line in files("config").joinpath(name).read_text("utf-8").splitlines():
        if not line.strip():
            block = False
        elif line.startswith("#"):
            block = True
        elif " = " in line and "#" not in line and not block:
            unexplained.append(line.partition(" ")[0])
    assert unexplained == ["host"], "the registry's host is explained at the resolver's"


@EVERY_SHIPPED
def test_choices_in_comments_are_the_choices(name: str) -> None:
    text = files("config").joinpath(name).read_text("utf-8")
    for option, kind in (("role", "node"), ("processes", "node"), ("level", "log"), ("format", "log")):
        [listed] = re.findall(rf"(?m)^{option} = .*# (.+ \| .+)$", text)
        for choice in listed.split(" | "):
            changed = re.sub(rf'(?m)^{option} = "\w+"', f'{option} = "{choice}"', text)
            assert tomllib.loads(changed)[kind][option] == choice
            msgspec.convert(tomllib.loads(changed), Settings, strict=True)


@AUTHORITATIVE
def test_example_of_a_writer_in_the_comment(name: str, tmp_path: Path) -> None:
    """Its lines, the hash signs taken off and a whole key put in, are a writer's entry."""
    text = files("config").joinpath(name).read_text("utf-8")
    start = text.index("# [[registry.writers]]")
    example = "\n".join(line.removeprefix("# ") for line in text[start:].split("\n\n")[0].splitlines())
    settings = load_settings(write(tmp_path, text[:start] + example.replace("ed25519:…", KEY) + "\n"))
    example_of = "88" if settings.node.role == "top" else "88.118.32001"
    assert [writer.prefixes for writer in settings.registry.writers] == [[example_of]]


# Whole files -----------------------------------------------------------------------------------------


def test_every_option_set(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, f"""
        [node]
        role = "enterprise"
        prefix = "88.118.0042"
        name = "工厂一"
        data = "/srv/store"
        processes = "several"
        [keys]
        online = "a.pem"
        statement = "b"
        zone = ["{KEY}", "{OTHER_KEY}"]
        zone_secret = "c"
        online_days = 2
        delegations = "d"
        delegation_days = 0.5
        successions = "e"
        parent = "[::1]:26411"
        [resolver]
        host = "::"
        port = 0
        workers = 256
        listing = false
        unsealed = true
        tokens_in_clear = true
        cache_bytes = 0
        [registry]
        host = "node.example.cn"
        port = 65535
        acknowledge = "custody"
        custody = ["custody.example.cn:26421"]
        keep = 0
        [[registry.writers]]
        name = "one"
        key = "{KEY}"
        prefixes = ["88.118.0042", "88.118.0042.a"]
        [[registry.writers]]
        name = "two"
        key = "{OTHER_KEY}"
        prefixes = ["88.118.0042.B"]
        [[registry.followers]]
        name = "custody-1"
        key = "{KEY}"
        online = "{OTHER_KEY}"
        [api]
        enabled = true
        host = "0.0.0.0"
        port = 1
        certificate = "keys/api.crt"
        secret = "keys/api.pem"
        insecure = true
        [statistics]
        report_to = "top.example.cn:26411"
        anchor = "f"
        period = 60
        [statistics.industries]
        "88.118.0042.B" = "C34"
        [enterprises]
        first_number = 10001
        digits = 11
        [log]
        level = "debug"
        format = "json"
    """))  # fmt: skip
    assert msgspec.to_builtins(settings) == {
        "node": {
            "role": "enterprise", "prefix": "88.118.0042", "name": "工厂一", "data": "/srv/store",
            "processes": "several",
        },
        "keys": {
            "zone": [KEY, OTHER_KEY], "zone_secret": "c", "online": "a.pem", "statement": "b", "online_days": 2,
            "delegations": "d", "delegation_days": 0.5, "successions": "e", "parent": "[::1]:26411",
        },
        "resolver": {"host": "::", "port": 0, "workers": 256, "listing": False, "unsealed": True,
                "tokens_in_clear": True, "cache_bytes": 0},
        "registry": {"host": "node.example.cn", "port": 65_535, "writers": [
            {"name": "one", "key": KEY, "prefixes": ["88.118.0042", "88.118.0042.a"]},
            {"name": "two", "key": OTHER_KEY, "prefixes": ["88.118.0042.B"]},
        ], "followers": [{"name": "custody-1", "key": KEY, "online": OTHER_KEY}], "acknowledge": "custody",
            "custody": ["custody.example.cn:26421"], "keep": 0},
        "api": {
            "enabled": True, "host": "0.0.0.0", "port": 1, "certificate": "keys/api.crt", "secret": "keys/api.pem",
            "insecure": True,
        },
        "zones": [],
        "statistics": {
            "report_to": "top.example.cn:26411", "anchor": "f", "period": 60, "industries": {"88.118.0042.B": "C34"},
        },
        "recursion": msgspec.to_builtins(RecursionSettings()),
        "enterprises": {"first_number": 10_001, "digits": 11},
        "log": {"level": "debug", "format": "json"},
        "file": "biaoshi.toml",
        "directory": str(tmp_path),
    }  # fmt: skip


BROKEN = f"""
nodes = 1
[node]
role = "moon"
prefix = "88..118"
nmae = "n"
[key]
online = "x"
[keys]
zone = ["a", 7]
[resolver]
port = 70000
workers = 0
listing = "yes"
unseeled = true
[registry]
host = "a..b"
[[registry.writers]]
name = ""
key = "ed25519:short"
prefixes = []
[[registry.writers]]
key = "{KEY}"
prefixes = ["88.118"]
[log]
level = "loud"
format = 1
"""


def test_every_problem_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, BROKEN)
    assert set(found) == {
        "nodes", "key", "node.role", "node.prefix", "node.nmae", "node.name", "keys.zone[0]", "keys.zone[1]",
        "resolver.port", "resolver.workers", "resolver.listing", "resolver.unseeled", "registry.host",
        "registry.writers[0].name",
        "registry.writers[0].key", "registry.writers[0].prefixes", "registry.writers[1].name", "log.level",
        "log.format",
    }  # fmt: skip
    error = refused(tmp_path, BROKEN)
    for language in ("en", "zh"):
        head, *lines = error.message(language).splitlines()
        assert head.startswith(f"{tmp_path / 'biaoshi.toml'}: ")
        assert len(lines) == len(found)
        for problem, line in zip(error.problems, lines, strict=True):
            assert line.startswith(f"  - {problem.option}: ")
    assert str(error) == error.message("en")


def test_both_languages_say_it(tmp_path: Path) -> None:
    """The Chinese sentences are not the English ones, and none has a sentence of a library in it."""
    for problem in problems(tmp_path, BROKEN).values():
        assert is_chinese(problem.zh), problem
        assert not is_chinese(problem.en), problem
        assert "xpected" not in problem.en + problem.zh
        assert "`" not in problem.en + problem.zh
    assert is_chinese(refused(tmp_path, BROKEN).message("zh").splitlines()[0])


def test_the_same_file_is_told_the_same_way_each_time(tmp_path: Path) -> None:
    """In the order of the file, and not in one that changes from run to run."""
    path = write(tmp_path, "[node]\n" + "".join(f"option{i} = 1\n" for i in range(20)))
    script = (
        f"from config.load import *\ntry: load_settings(Path({str(path)!r}))\nexcept BadConfiguration as e: print(e)"
    )
    said = set()
    for seed in "123":
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        said.add(
            subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True).stdout.decode()
        )
    assert len(said) == 1
    named = re.findall(r"node\.option(\d+)", said.pop())
    assert named == [str(i) for i in range(20)]


# One option at a time --------------------------------------------------------------------------------


def section(option: str, value: str) -> str:
    """The least file, with one option set."""
    table, _, name = option.rpartition(".")
    lines = [line for line in LEAST.splitlines() if not (table == "node" and line.startswith(f"{name} "))]
    return "\n".join([*lines, *([] if table == "node" else [f"[{table}]"]), f"{name} = {value}", ""])


@pytest.mark.parametrize(
    ("option", "value", "en", "zh"),
    [
        ("node.role", '"root"', "'root' is not one of top, secondary", "'root' 不在可选值之内：top, secondary"),
        ("node.role", "1", "1 is not one of top, secondary, enterprise", "1 不在可选值之内：top, secondary"),
        ("node.name", '""', "'' will not do: it must not be empty", "'' 不合法：不能为空"),
        ("node.name", f'"{"n" * 65}"', "at most 64 characters", "最多 64 个字符"),
        ("node.name", "2024-01-01", "text between quotes", "带引号的文本"),
        ("node.data", "1", "1 will not do: write text between quotes", "1 不合法：应为带引号的文本"),
        ("resolver.port", "65536", "65536 will not do: it is at most 65535", "65536 不合法：不得大于 65535"),
        ("resolver.port", "-1", "-1 will not do: it is at least 0", "-1 不合法：不得小于 0"),
        ("resolver.port", '"26410"', "'26410' will not do: write a whole number", "'26410' 不合法：应为整数"),
        ("resolver.port", "26410.0", "write a whole number", "应为整数"),
        ("resolver.port", "nan", "write a whole number", "应为整数"),
        ("resolver.port", "true", "write a whole number", "应为整数"),
        ("resolver.port", "9" * 40, "it is at most 65535", "不得大于 65535"),
        ("registry.port", "70000", "70000 will not do: it is at most 65535", "不得大于 65535"),
        ("resolver.workers", "0", "0 will not do: it is at least 1", "不得小于 1"),
        ("resolver.workers", "257", "at most 256", "不得大于 256"),
        ("resolver.listing", "1", "1 will not do: write true or false", "1 不合法：应为 true 或 false"),
        ("resolver.unsealed", '"no"', "write true or false", "应为 true 或 false"),
        ("keys.zone", '"one"', "'one' will not do: write a list", "'one' 不合法：应为列表"),
        ("keys.online", "[]", "[] will not do: write text", "[] 不合法：应为带引号的文本"),
        ("log.level", '"loud"', "'loud' is not one of debug, info, warning, error", "不在可选值之内"),
        ("log.format", "{}", "{} is not one of text, json", "不在可选值之内"),
        ("resolver.host", '"a..b"', "'a..b' is no host name and no address", "'a..b' 不是主机名，也不是地址"),
        ("resolver.host", '""', "'' is no host name", "'' 不是主机名"),
        ("registry.host", f'"{"h" * 64}"', "is no host name", "不是主机名"),
        ("registry.host", '"\\u0000"', "is no host name", "不是主机名"),
    ],
)  # fmt: skip
def test_wrong_value(tmp_path: Path, option: str, value: str, en: str, zh: str) -> None:
    found = problems(tmp_path, section(option, value))
    assert set(found) == {option}
    assert en in found[option].en
    assert zh in found[option].zh
    assert found[option].sentence() == f"{option}: {found[option].en}"
    assert found[option].sentence("zh") == f"{option}: {found[option].zh}"


def test_a_light_node_has_no_workers(tmp_path: Path) -> None:
    light = LEAST + 'processes = "light"\n[resolver]\nworkers = '
    assert load_settings(write(tmp_path, light + "1")).node.processes == "light"
    found = problems(tmp_path, light + "2")
    assert set(found) == {"resolver.workers"}
    assert "its one process" in found["resolver.workers"].en
    assert "一个进程" in found["resolver.workers"].zh
    assert load_settings(write(tmp_path, (light + "2").replace("light", "several"))).resolver.workers == 2


@pytest.mark.parametrize("value", ["88", "88.118", "88.101.0042", "88.一二", "a.b", "8" * 64])
def test_prefixes(tmp_path: Path, value: str) -> None:
    assert load_settings(write(tmp_path, section("node.prefix", toml_string(value)))).node.prefix == value


@pytest.mark.parametrize("value", ["", ".88", "88.", "88..1", "88/1", "88\n1", "8" * 65, "标" * 22, "\x7f", "\x85"])
def test_what_is_no_prefix(tmp_path: Path, value: str) -> None:
    found = problems(tmp_path, section("node.prefix", toml_string(value)))
    assert set(found) == {"node.prefix"}
    assert "is no prefix" in found["node.prefix"].en
    assert "不是合法的前缀" in found["node.prefix"].zh


@pytest.mark.parametrize("missing", ["role", "prefix", "name"])
def test_missing_option(tmp_path: Path, missing: str) -> None:
    text = "".join(line + "\n" for line in LEAST.splitlines() if not line.startswith(missing))
    found = problems(tmp_path, text)
    assert set(found) == {f"node.{missing}"}
    assert found[f"node.{missing}"].en == "this option is required"
    assert found[f"node.{missing}"].zh == "缺少必需的选项"


def test_missing_section(tmp_path: Path) -> None:
    found = problems(tmp_path, '[log]\nlevel = "info"\n')
    assert set(found) == {"node"}
    assert found["node"].en == "this section is required"
    assert found["node"].zh == "缺少必需的配置段"


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("resolver.worker", "workers"),
        ("resolver.hsot", "host"),
        ("node.rule", "role"),
        ("keys.delegation", "delegations"),
        ("log.Level", "level"),
    ],
)
def test_misspelt_option_is_met_with_the_right_one(tmp_path: Path, option: str, meant: str) -> None:
    table, _, name = option.partition(".")
    text = LEAST + ("" if table == "node" else f"[{table}]\n") + f"{name} = 1\n"
    found = problems(tmp_path, text)
    assert set(found) == {option}
    assert found[option].en == f"there is no such option; did you mean '{meant}'?"
    assert found[option].zh == f"没有这个选项，是否应为“{meant}”？"


@pytest.mark.parametrize("name", ["zzzzzz", "directory", "file", '"key with spaces"'])
def test_unknown_option_that_is_like_none(tmp_path: Path, name: str) -> None:
    """``directory`` and ``file`` are fields of the settings and yet nothing that a file may say."""
    found = problems(tmp_path, f"{name} = 1\n{LEAST}")
    assert set(found) == {name.strip('"')}
    assert "no such option" in found[name.strip('"')].en
    assert "没有这个选项" in found[name.strip('"')].zh


@pytest.mark.parametrize("value", ["1", '"x"', "[]", "[1]"])
def test_value_where_a_section_belongs(tmp_path: Path, value: str) -> None:
    found = problems(tmp_path, f"resolver = {value}\n{LEAST}")
    assert set(found) == {"resolver"}
    assert "[resolver]" in found["resolver"].en
    assert "[resolver]" in found["resolver"].zh


# What makes no sense ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[resolver]\nport = 5000\n[registry]\nport = 5000\n",
        "[resolver]\nport = 26411\n",
        "[registry]\nport = 26410\n",
        '[resolver]\nhost = "127.0.0.1"\n[registry]\nport = 26410\n',
        '[resolver]\nhost = "0.0.0.0"\nport = 5000\n[registry]\nport = 5000\n',
        '[registry]\nhost = "::"\nport = 26410\n',
    ],
)
def test_one_port_for_two(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, LEAST + text)
    assert set(found) == {"registry.port"}
    assert "resolver.port as well" in found["registry.port"].en
    assert "须使用不同端口" in found["registry.port"].zh


@pytest.mark.parametrize(
    "text",
    [
        "[resolver]\nport = 0\n[registry]\nport = 0\n",
        '[resolver]\nhost = "127.0.0.2"\nport = 5000\n[registry]\nport = 5000\n',
    ],
)
def test_one_port_that_is_none(tmp_path: Path, text: str) -> None:
    load_settings(write(tmp_path, LEAST + text))


def test_hosts_of_a_wrong_type_are_told_as_that(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + "[resolver]\nhost = [1]\n[registry]\nhost = {}\nport = 26410\n")
    assert set(found) == {"resolver.host", "registry.host"}


def writer(key: str = KEY, prefixes: str = '["88.118"]') -> str:
    return f'[[registry.writers]]\nname = "w"\nkey = "{key}"\nprefixes = {prefixes}\n'


@pytest.mark.parametrize(
    "key",
    ["", KEY[8:], KEY[:-1], KEY + "=", KEY.replace("ed25519", "sm2"), KEY.replace("A", "-", 1), KEY + "\\n", " " + KEY],
)
def test_what_is_no_public_key(tmp_path: Path, key: str) -> None:
    found = problems(tmp_path, LEAST + writer(key))
    assert set(found) == {"registry.writers[0].key"}
    assert "44 characters" in found["registry.writers[0].key"].en
    assert "44 个" in found["registry.writers[0].key"].zh


def test_one_key_for_two_writers(tmp_path: Path) -> None:
    """Only one entry could count; which one, nobody would know."""
    found = problems(tmp_path, LEAST + writer() + writer(OTHER_KEY) + writer(prefixes='["88.118.1"]'))
    assert set(found) == {"registry.writers[2].key"}
    assert "registry.writers[0] has this key already" in found["registry.writers[2].key"].en
    assert "registry.writers[0] 已使用此公钥" in found["registry.writers[2].key"].zh


@pytest.mark.parametrize("below", ["88.119", "88", "88.1180", "88.118..1", "88.118.", "", "88.118.1/x"])
def test_prefix_of_a_writer_outside_the_zone(tmp_path: Path, below: str) -> None:
    found = problems(tmp_path, LEAST + writer(prefixes=f'["88.118.1", "{below}"]'))
    assert set(found) == {"registry.writers[0].prefixes"}
    assert f"'{below}' does not lie in this node's zone '88.118'" in found["registry.writers[0].prefixes"].en
    assert "不在本节点的区域" in found["registry.writers[0].prefixes"].zh


def test_every_foreign_prefix_is_named(tmp_path: Path) -> None:
    found = refused(tmp_path, LEAST + writer(prefixes='["88.119", "88.118.1", "99"]')).problems
    assert [problem.option for problem in found] == ["registry.writers[0].prefixes"] * 2
    assert ["88.119" in found[0].en, "99" in found[1].en] == [True, True]


def test_prefixes_compare_as_identifiers_do(tmp_path: Path) -> None:
    """ASCII letters without regard to case, all others exactly."""
    zone = section("node.prefix", '"88.aß"')
    load_settings(write(tmp_path, zone + writer(prefixes='["88.Aß", "88.aß.x"]')))
    assert set(problems(tmp_path, zone + writer(prefixes='["88.ass"]'))) == {"registry.writers[0].prefixes"}


def test_prefixes_of_a_zone_that_is_none_are_not_blamed(tmp_path: Path) -> None:
    assert set(problems(tmp_path, section("node.prefix", '"88..1"') + writer())) == {"node.prefix"}


@pytest.mark.parametrize("value", ['"x"', "[1]", '["x", {}]', "{}"])
def test_writers_that_are_no_tables(tmp_path: Path, value: str) -> None:
    found = problems(tmp_path, LEAST + f"[registry]\nwriters = {value}\n")
    assert all(option.startswith("registry.writers") for option in found)
    assert all(is_chinese(problem.zh) for problem in found.values())


# Files that are none ---------------------------------------------------------------------------------


def unusable(path: Path) -> tuple[str, str]:
    with pytest.raises(BadConfiguration) as raised:
        load_settings(path)
    [problem] = raised.value.problems
    assert problem.option == ""
    assert raised.value.message() == f"{path}: this configuration cannot be used\n  - {problem.en}"
    assert raised.value.message("zh") == f"{path}: 配置文件无法使用\n  - {problem.zh}"
    return problem.en, problem.zh


def test_missing_file(tmp_path: Path) -> None:
    assert unusable(tmp_path / "missing.toml") == (
        "it cannot be read: No such file or directory",
        "无法读取：No such file or directory",
    )


def test_directory_instead_of_a_file(tmp_path: Path) -> None:
    assert unusable(tmp_path)[0] == "it cannot be read: Is a directory"


def test_unreadable_file(tmp_path: Path, without_rights: None) -> None:
    path = tmp_path / "biaoshi.toml"
    assert unusable(path)[0] == "it cannot be read: Permission denied"


@pytest.mark.parametrize("text", ["[", "a = ", "[node]\n[node]\n", "a = 1\na = 2\n", "a = " + "[" * 5_000], ids=len)
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    en, zh = unusable(write(tmp_path, text))
    assert en.startswith("it is not TOML: ")
    assert zh.startswith("不是合法的 TOML：")


def test_toml_in_another_encoding(tmp_path: Path) -> None:
    """The byte is named, so that it can be found."""
    path = write(tmp_path, '[node]\nname = "工厂"\n'.encode("gb18030"))
    assert unusable(path) == ("it is not UTF-8 at byte 15", "第 15 字节处不是合法的 UTF-8")


def test_empty_file(tmp_path: Path) -> None:
    assert set(problems(tmp_path, "")) == {"node"}


# Filling a template ----------------------------------------------------------------------------------


@AUTHORITATIVE
def test_fill_sets_what_it_is_told_and_keeps_the_rest(name: str, tmp_path: Path) -> None:
    text = template(name.removesuffix(".toml"))
    options = {"node.prefix": '"88.7"', "resolver.port": "0", "registry.port": "1234", "log.level": '"debug"'}
    filled = fill(text, options)
    before, after = tomllib.loads(text), tomllib.loads(filled)
    expected: dict[str, Any] = {table: dict(content) for table, content in before.items()}
    for option, value in options.items():
        table, _, key = option.partition(".")
        expected[table][key] = tomllib.loads(f"x = {value}")["x"]
    assert after == expected
    assert [line.partition("#")[2].strip() for line in filled.splitlines()] == [
        line.partition("#")[2].strip() for line in text.splitlines()
    ]
    load_settings(write(tmp_path, filled))


@pytest.mark.parametrize("text", ["88", '8"8', "a\\b", "标识", "\t", "#", "'", "\x1f", "\x7f", "\x85"])
def test_text_as_toml(text: str) -> None:
    assert tomllib.loads(f"x = {toml_string(text)}")["x"] == text
