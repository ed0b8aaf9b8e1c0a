"""A TOML file to settings. Every problem is found and named at once, with its option."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from config.api import api_meaning
from config.following import ADDRESS, MAX_PREFIX_BYTES, PREFIX, PUBLIC_KEY, following_meaning
from config.settings import RegistrySettings, ResolverSettings, Role, Settings

ROLES: Final[tuple[str, ...]] = get_args(Role)
_ANY_ADDRESS: Final = ("0.0.0.0", "::")
_NOT_IN_THE_FILE: Final = ("directory", "file")


_INDUSTRY = re.compile(r"[A-T](?:\d{2})?", re.ASCII)

MAX_INDUSTRIES: Final = 120
"""Industries that may be told apart: one report has room for 128."""


class Problem(NamedTuple):
    """What is wrong with one option, or with the file (``option`` is empty)."""

    option: str
    en: str
    zh: str

    def sentence(self, language: str = "en") -> str:
        """The option and what is wrong, for a person."""
        text = self.zh if language == "zh" else self.en
        return f"{self.option}: {text}" if self.option else text


class BadConfiguration(Exception):
    """A configuration that cannot be used: ``problems`` lists each, naming its option."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = problems

    def message(self, language: str = "en") -> str:
        """All problems, one a line, for a person; ``language`` is ``en`` or ``zh``."""
        head = "配置文件无法使用" if language == "zh" else "this configuration cannot be used"
        return "\n".join((f"{self.path}: {head}", *(f"  - {one.sentence(language)}" for one in self.problems)))

    def __str__(self) -> str:
        return self.message()


def load_settings(path: Path) -> Settings:
    """Read and check a configuration file. Raises :class:`BadConfiguration`."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadConfiguration(
            path, [Problem("", f"it cannot be read: {error.strerror}", f"无法读取：{error.strerror}")]
        ) from None
    except UnicodeDecodeError as error:
        raise BadConfiguration(
            path, [Problem("", f"it is not UTF-8 at byte {error.start}", f"第 {error.start} 字节处不是合法的 UTF-8")]
        ) from None
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfiguration(path, [Problem("", f"it is not TOML: {error}", f"不是合法的 TOML：{error}")]) from None
    problems: list[Problem] = []
    settings = _section(Settings, raw, "", problems)
    problems += _meaning(raw)
    if problems or not isinstance(settings, Settings):
        raise BadConfiguration(path, problems)
    settings.directory, settings.file = str(path.resolve().parent), path.name
    return settings


def template(role: str) -> str:
    """The commented configuration file of a role."""
    return files("config").joinpath(f"{role}.toml").read_text("utf-8")


def toml_string(text: str) -> str:
    """``text`` as a TOML string."""
    # The escapes of JSON are TOML's as well; TOML wants one more.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def fill(text: str, options: dict[str, str]) -> str:
    """A template with the values (TOML) of some options, ``section.option``, put in; its comments stay."""
    section = ""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] \t")
        option, equals, _ = line.partition(" = ")
        name = f"{section}.{option}"
        if equals and name in options:
            _, hash_sign, comment = line.partition("#")
            line = f"{option} = {options[name]}"
            if hash_sign:
                line = f"{line:<29} # {comment.strip()}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def put_option(path: Path, option: str, value: str) -> None:
    """Put another value (TOML) behind an option, ``section.option``, of a configuration file, which stays as it is
    otherwise. Raises :class:`BadConfiguration`."""
    try:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(fill(path.read_text("utf-8"), {option: value}), "utf-8")
        os.replace(fresh, path)
    except OSError as error:
        en, zh = f"it cannot be written: {error.strerror}", f"无法写入：{error.strerror}"
        raise BadConfiguration(path, [Problem("", en, zh)]) from None


def _section(type_: Any, raw: dict[str, Any], where: str, problems: list[Problem]) -> Any:
    """Convert one table field by field, so that one problem does not hide the next; None where there were any."""
    hints = get_type_hints(type_, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(type_) if field.name not in _NOT_IN_THE_FILE}
    before = len(problems)
    for name in [one for one in raw if one not in fields]:
        close = difflib.get_close_matches(name, fields, n=1)
        en = f"; did you mean '{close[0]}'?" if close else ""
        zh = f"，是否应为“{close[0]}”？" if close else ""
        problems.append(Problem(where + name, f"there is no such option{en}", f"没有这个选项{zh}"))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in raw:
            if field.required:
                en, zh = ("section", "配置段") if _is_section(hints[name]) else ("option", "选项")
                problems.append(Problem(where + name, f"this {en} is required", f"缺少必需的{zh}"))
            continue
        values[name] = _option(hints[name], raw[name], f"{where}{name}", problems)
    return type_(**values) if len(problems) == before else None


def _option(hint: Any, raw: Any, name: str, problems: list[Problem]) -> Any:
    if _is_section(hint):
        if isinstance(raw, dict):
            return _section(hint, raw, f"{name}.", problems)
        en, zh = f"this is a section; write [{name}] above its options", f"这是一个配置段，请在其选项之上写 [{name}]"
        problems.append(Problem(name, en, zh))
        return None
    inner = get_args(hint)
    if inner and _is_section(inner[0]) and isinstance(raw, list):
        return [_entry(inner[0], entry, f"{name}[{i}]", problems) for i, entry in enumerate(raw)]
    try:
        return msgspec.convert(raw, hint, strict=True)
    except msgspec.ValidationError as error:
        problems.append(_unfit(name, raw, hint, str(error)))
        return None


def _entry(type_: Any, raw: Any, name: str, problems: list[Problem]) -> Any:
    if isinstance(raw, dict):
        return _section(type_, raw, f"{name}.", problems)
    problems.append(Problem(name, "this is a table; write its options under [[…]]", "这是一个表，请写在 [[…]] 之下"))
    return None


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _unfit(name: str, raw: Any, hint: Any, message: str) -> Problem:
    """A value of the wrong type or out of bounds."""
    if get_origin(hint) is Literal:
        choices = ", ".join(get_args(hint))
        return Problem(name, f"{raw!r} is not one of {choices}", f"{raw!r} 不在可选值之内：{choices}")
    reason, _, place = message.partition(" - at `$")
    if place and isinstance(raw, list):  # an entry of a list: [2]
        place = place.rstrip("`")
        name, raw = name + place, raw[int(place.strip("[]"))]
    en, zh = _wanted(reason)
    return Problem(name, f"{raw!r} will not do: {en}", f"{raw!r} 不合法：{zh}")


_WANTED: Final[dict[str, tuple[str, str]]] = {
    r"Expected `int` >= (\d+)": ("it is at least {}", "不得小于 {}"),
    r"Expected `int` <= (\d+)": ("it is at most {}", "不得大于 {}"),
    r"Expected `str` of length >= 1": ("it must not be empty", "不能为空"),
    r"Expected `str` of length <= (\d+)": ("it has at most {} characters", "最多 {} 个字符"),
    r"Expected `array` of length >= 1": ("at least one is needed", "至少需要一项"),
    r"Expected `int`.*": ("write a whole number, like 26410", "应为整数，如 26410"),
    r"Expected `bool`.*": ("write true or false", "应为 true 或 false"),
    r"Expected `str`.*": ('write text between quotes, like "text"', '应为带引号的文本，如 "text"'),
    r"Expected `array`.*": ('write a list, like ["one", "two"]', '应为列表，如 ["one", "two"]'),
}
"""The library's sentences, and ours for them."""


def _wanted(reason: str) -> tuple[str, str]:
    for pattern, (en, zh) in _WANTED.items():
        if found := re.fullmatch(pattern, reason):
            return en.format(*found.groups()), zh.format(*found.groups())
    return reason, reason


def _meaning(raw: dict[str, Any]) -> list[Problem]:
    """What is of the right type and yet makes no sense. Works on the raw tables, so that it also speaks of a file with
    other problems."""
    node, resolver, registry, api = (_table(raw, name) for name in ("node", "resolver", "registry", "api"))
    problems: list[Problem] = []
    prefix = node.get("prefix")
    is_root = prefix == "" and node.get("role") in ("top", "recursive", "custody")
    zone = _normal(prefix) if isinstance(prefix, str) and (is_root or _is_prefix(prefix)) else None
    if isinstance(prefix, str) and zone is None:
        problems.append(Problem(
            "node.prefix",
            f"{prefix!r} is no prefix: segments joined by dots, like 88.118, at most 64 bytes; the root, which is "
            "empty, is for the role top",
            f"{prefix!r} 不是合法的前缀：应为以点连接的分段，如 88.118，最多 64 字节；空前缀（根）仅用于 top 角色",
        ))  # fmt: skip
    problems += _recursion_meaning(node, raw.get("recursion"))
    problems += _address_meaning(resolver, registry, api)
    workers = resolver.get("workers")
    if node.get("processes") == "light" and isinstance(workers, int) and 1 < workers <= 256:
        en = 'a light node answers in its one process; leave workers at 1, or take processes = "several"'
        problems.append(Problem(
            "resolver.workers", en, "轻量节点只有一个进程，请将 workers 保持为 1，或改用 processes = \"several\""
        ))  # fmt: skip
    problems += _keys_meaning(_table(raw, "keys"))
    problems += [Problem(*one) for one in (*following_meaning(raw), *api_meaning(raw))]
    writers = registry.get("writers")
    seen: dict[str, str] = {}
    for i, writer in enumerate(writers if isinstance(writers, list) else []):
        if isinstance(writer, dict):
            problems += _writer_meaning(writer, f"registry.writers[{i}]", zone, seen)
    return problems + _industry_meaning(_table(raw, "statistics").get("industries"), zone)


def _address_meaning(resolver: dict[str, Any], registry: dict[str, Any], api: dict[str, Any]) -> list[Problem]:
    problems = [
        Problem(f"{name}.host", f"{host!r} is no host name and no address", f"{host!r} 不是主机名，也不是地址")
        for name, table in (("resolver", resolver), ("registry", registry), ("api", api))
        if isinstance(host := table.get("host"), str) and not _is_host(host)
    ]
    host, port = (registry.get(name, getattr(RegistrySettings(), name)) for name in ("host", "port"))
    other_host, other_port = (resolver.get(name, getattr(ResolverSettings(), name)) for name in ("host", "port"))
    if port and port == other_port and (host == other_host or host in _ANY_ADDRESS or other_host in _ANY_ADDRESS):
        problems.append(Problem(
            "registry.port", f"{port} is resolver.port as well; the two need their own",
            f"{port} 与 resolver.port 相同，两者须使用不同端口",
        ))  # fmt: skip
    return problems


def _recursion_meaning(node: dict[str, Any], recursion: Any) -> list[Problem]:
    if node.get("role") != "recursive":
        if recursion is None:
            return []
        return [Problem("recursion", "this section is for the role recursive", "此配置段仅用于 recursive 角色")]
    problems: list[Problem] = []
    if node.get("prefix"):
        en = "a recursive node has no zone of its own; leave the prefix empty"
        problems.append(Problem("node.prefix", en, "递归节点没有自己的区域，前缀应为空"))
    table = recursion if isinstance(recursion, dict) else {}
    if not table.get("anchor"):
        en = "name the trust anchor file of the top node, from which everything is verified"
        problems.append(Problem("recursion.anchor", en, "请指定顶级节点的信任锚文件，一切验证由此开始"))
    if not table.get("roots"):
        en = "name at least one address of the top node, host:port"
        problems.append(Problem("recursion.roots", en, "请至少写一个顶级节点的地址（主机:端口）"))
    return problems


def _industry_meaning(industries: Any, zone: str | None) -> list[Problem]:
    problems: list[Problem] = []
    for prefix, code in industries.items() if isinstance(industries, dict) else ():
        where = f"statistics.industries.{prefix}"
        if zone is not None and not _lies_in(prefix.upper(), zone):
            problems.append(Problem(
                where, f"it does not lie in this node's zone '{zone}'", f"不在本节点的区域“{zone}”之内"
            ))  # fmt: skip
        if isinstance(code, str) and not _INDUSTRY.fullmatch(code):
            problems.append(Problem(
                where, f"{code!r} is no industry of GB/T 4754: a section from A to T and a division, like C34",
                f"{code!r} 不是 GB/T 4754 行业代码：应为门类字母 A–T 加两位大类，如 C34",
            ))  # fmt: skip
    if isinstance(industries, dict) and len(set(map(str, industries.values()))) > MAX_INDUSTRIES:
        problems.append(Problem(
            "statistics.industries", f"more than {MAX_INDUSTRIES} industries; GB/T 4754 has 97 divisions",
            f"行业超过 {MAX_INDUSTRIES} 个，GB/T 4754 只有 97 个大类",
        ))  # fmt: skip
    return problems


def _keys_meaning(keys: dict[str, Any]) -> list[Problem]:
    zone, parent = keys.get("zone"), keys.get("parent")
    problems = [
        Problem(f"keys.zone[{i}]", "a public key looks like ed25519: and 44 characters of base64",
                "公钥应为 ed25519: 加 44 个 base64 字符")
        for i, key in enumerate(zone if isinstance(zone, list) else [])
        if isinstance(key, str) and not PUBLIC_KEY.fullmatch(key)
    ]  # fmt: skip
    if isinstance(parent, str) and parent and not ADDRESS.fullmatch(parent):
        problems.append(Problem(
            "keys.parent", f"{parent!r} is no address; write host, host:port or [IPv6]:port",
            f"{parent!r} 不是合法的地址，请写成 主机、主机:端口 或 [IPv6]:端口",
        ))  # fmt: skip
    return problems


def _writer_meaning(writer: dict[str, Any], where: str, zone: str | None, seen: dict[str, str]) -> list[Problem]:
    """``seen``: the keys of the writers before this one, and where they stand."""
    problems: list[Problem] = []
    key, prefixes = writer.get("key"), writer.get("prefixes")
    if isinstance(key, str) and not PUBLIC_KEY.fullmatch(key):
        problems.append(Problem(
            f"{where}.key", "a public key looks like ed25519: and 44 characters of base64",
            "公钥应为 ed25519: 加 44 个 base64 字符",
        ))  # fmt: skip
    elif isinstance(key, str) and seen.setdefault(key, where) != where:
        problems.append(Problem(
            f"{where}.key", f"{seen[key]} has this key already; list all its prefixes there",
            f"{seen[key]} 已使用此公钥，请把其全部前缀写在那里",
        ))  # fmt: skip
    foreign = [
        below for below in (prefixes if isinstance(prefixes, list) else [])
        if zone is not None and isinstance(below, str) and not _lies_in(_normal(below), zone)
    ]  # fmt: skip
    problems += [
        Problem(f"{where}.prefixes", f"'{below}' does not lie in this node's zone '{zone}'",
                f"“{below}”不在本节点的区域“{zone}”之内")
        for below in foreign
    ]  # fmt: skip
    return problems


def _lies_in(prefix: str, zone: str) -> bool:
    return prefix == zone or (_is_prefix(prefix) and (not zone or prefix.startswith(zone + ".")))


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def _is_prefix(text: str) -> bool:
    return PREFIX.fullmatch(text) is not None and len(text.encode()) <= MAX_PREFIX_BYTES


def _normal(prefix: str) -> str:
    """The form in which prefixes compare: ASCII letters in upper case, others as they are."""
    return prefix.encode().upper().decode()


def _is_host(text: str) -> bool:
    """Whether this may be looked up at all: what the resolver of names takes, whether there is such a host or not."""
    try:
        return bool(text.encode("idna")) and "\0" not in text
    except UnicodeError:
        return False
