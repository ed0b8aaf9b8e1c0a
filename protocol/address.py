"""Server addresses as people write them."""

from __future__ import annotations

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
    if not host or (port and not (port.isascii() and port.isdecimal() and int(port) <= 65_535)):
        raise SettingsError(BAD_ADDRESS, text=text)
    return Address(host, int(port) if port else default_port)
