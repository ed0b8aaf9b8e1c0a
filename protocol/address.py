"""Server addresses as people write them."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from protocol.errors import Rule, SettingsError
from protocol.limits import DEFAULT_PORT
from protocol.status import Status

BAD_ADDRESS: Final = Rule(
    "address.malformed",
    Status.SETTINGS,
    "'{text}' is no address; write host, host:port or [IPv6]:port",
    "“{text}”不是合法的地址，请写成 主机、主机:端口 或 [IPv6]:端口",
)


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Read an address. Raises :class:`SettingsError`."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise SettingsError(BAD_ADDRESS, text=text)
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not _is_host(host) or (port and not _is_port(port)):
        raise SettingsError(BAD_ADDRESS, text=text)
    return Address(host, int(port) if port else default_port)


def is_loopback(address: str) -> bool:
    """Whether an IP address, as a socket gives it, is this machine's own; False for what is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _is_host(text: str) -> bool:
    """Whether it may be looked up: an empty or overlong label would be refused with no sentence for a person."""
    try:
        return bool(text.encode("idna"))
    except UnicodeError:
        return False


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65_535
