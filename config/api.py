"""What makes no sense in what a configuration says of the JSON API.

Works on the raw tables, so that it also speaks of a file with other problems: option, and a sentence in each language.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from config.following import Trouble
from config.settings import ApiSettings, RegistrySettings, ResolverSettings

_ANYWHERE = ("0.0.0.0", "::")


def api_meaning(raw: dict[str, Any]) -> Iterator[Trouble]:
    """What is of the right type and yet makes no sense."""
    if "api" not in raw:
        return
    api, node = _table(raw, "api"), _table(raw, "node")
    if node.get("role") in ("recursive", "custody"):
        yield "api", "a node of this role has no registry, and so no API", "此角色的节点没有注册服务，因此没有 API"
    if api.get("enabled", ApiSettings().enabled) is not True:
        return
    certificate, secret = api.get("certificate", ""), api.get("secret", "")
    if bool(certificate) != bool(secret):
        en = "certificate and secret go together; 'biaoshi api certificate' makes both"
        yield ("api.secret" if certificate else "api.certificate", en,
               "certificate 与 secret 须同时设置，可用 biaoshi api certificate 生成")  # fmt: skip
    host = api.get("host", ApiSettings().host)
    plain = not certificate and not secret
    if plain and isinstance(host, str) and not is_loopback(host) and api.get("insecure") is not True:
        en = (
            f"tokens would go over the network in the clear at {host!r}: make a certificate with 'biaoshi api "
            "certificate', or write insecure = true where something else protects them"
        )
        yield (
            "api.host",
            en,
            (f"在 {host!r} 上令牌将以明文传输：请用 biaoshi api certificate 生成证书；或设 insecure = true"),
        )
    yield from _ports(raw, host, api.get("port", ApiSettings().port))


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server at ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ports(raw: dict[str, Any], host: object, port: object) -> Iterator[Trouble]:
    doors = ("resolver", ResolverSettings().host, ResolverSettings().port), (
        "registry", RegistrySettings().host, RegistrySettings().port,
    )  # fmt: skip
    for name, default_host, default_port in doors:
        other = _table(raw, name)
        other_host, other_port = other.get("host", default_host), other.get("port", default_port)
        meet = host == other_host or host in _ANYWHERE or other_host in _ANYWHERE
        if port and port == other_port and meet:
            yield ("api.port", f"{port} is {name}.port as well; each door needs its own",
                   f"{port} 与 {name}.port 相同，各服务须使用不同端口")  # fmt: skip


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}
