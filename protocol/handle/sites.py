"""Where a prefix is served: data of ``HS_SITE`` values (RFC 3651, section 3.2.2), also the answer to ``SITE_INFO``::

    site      = format u16 · major u8 · minor u8 · serial u16 · kind u8 · hash option u8 · hash filter text
                · attributes (count, name text · value text ...) · servers (count, server ...)
    server    = number u32 · address (16 bytes) · public key octets · interfaces (count, interface ...)
    interface = serves u8 · transport u8 · port u32

An IPv4 address stands in the last four bytes, with zeros before it.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

from protocol.errors import MessageError
from protocol.handle.fields import Fields, many, octets, rule, text, u8, u16, u32

FORMAT: Final = 1

NOT_A_SITE: Final = rule(
    "site",
    "the site information is not usable: {what} is {number}, which this protocol does not know",
    "站点信息不可用：{what} 为 {number}，本协议没有这一取值",
)
NO_ADDRESS: Final = rule(
    "address",
    "'{address}' is no IP address that this protocol can carry",
    "“{address}”不是本协议可表示的 IP 地址",
)

_ADDRESS_BYTES: Final = 16
_IPV4_LEAD: Final = bytes(12)
_LEAST_SERVER_BYTES: Final = 4 + _ADDRESS_BYTES + 4 + 4
_INTERFACE_BYTES: Final = 6
_LEAST_ATTRIBUTE_BYTES: Final = 8
_PRIMARY: Final = 0x80
_MULTI_PRIMARY: Final = 0x40


class HashOption(IntEnum):
    """By what part of a handle a site's servers share the handles among them."""

    PREFIX = 0
    SUFFIX = 1
    HANDLE = 2


class Serves(IntEnum):
    """What an interface is for."""

    NOTHING = 0
    ADMINISTRATION = 1
    QUERIES = 2
    BOTH = 3


class Transport(IntEnum):
    """How an interface is spoken to."""

    UDP = 0
    TCP = 1
    HTTP = 2
    HTTPS = 3


_HASH_OPTIONS: Final = frozenset(HashOption)
_SERVES: Final = frozenset(Serves)
_TRANSPORTS: Final = frozenset(Transport)


class Interface(msgspec.Struct, frozen=True):
    """A port of a server."""

    serves: Serves
    transport: Transport
    port: int


class Server(msgspec.Struct, frozen=True):
    """One server of a site; ``public_key`` is data of an ``HS_PUBKEY`` value, or empty."""

    number: int
    address: IPv4Address | IPv6Address
    public_key: bytes
    interfaces: tuple[Interface, ...]


class Site(msgspec.Struct, frozen=True):
    """A site: servers that have the same handles. ``serial`` grows with each change, 16 bits."""

    serial: int
    servers: tuple[Server, ...]
    attributes: tuple[tuple[str, str], ...] = ()
    primary: bool = True
    multi_primary: bool = False
    hash_option: HashOption = HashOption.HANDLE
    hash_filter: str = ""
    version: tuple[int, int] = (2, 11)
    format: int = FORMAT


def read_site(data: bytes) -> Site:
    """The data of an ``HS_SITE`` value. Raises :class:`MessageError`."""
    fields = Fields(data)
    format_, major, minor = fields.u16("format"), fields.u8("version"), fields.u8("version")
    serial, kind, option = fields.u16("serial"), fields.u8("kind"), fields.u8("hash option")
    if option not in _HASH_OPTIONS:
        raise MessageError(NOT_A_SITE, what="hash option", number=option)
    hash_filter = fields.text("hash filter")
    attributes = fields.many(_read_attribute, _LEAST_ATTRIBUTE_BYTES, "attributes")
    servers = fields.many(_read_server, _LEAST_SERVER_BYTES, "servers")
    fields.finish("HS_SITE")
    return Site(
        serial, servers, attributes, bool(kind & _PRIMARY), bool(kind & _MULTI_PRIMARY),
        HashOption(option), hash_filter, (major, minor), format_,
    )  # fmt: skip


def encode_site(site: Site) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    kind = (_PRIMARY if site.primary else 0) | (_MULTI_PRIMARY if site.multi_primary else 0)
    head = u16(site.format) + b"".join(map(u8, site.version)) + u16(site.serial) + u8(kind) + u8(site.hash_option)
    attributes = many(text(name) + text(value) for name, value in site.attributes)
    return head + text(site.hash_filter) + attributes + many(map(_encode_server, site.servers))


def _read_attribute(fields: Fields) -> tuple[str, str]:
    return fields.text("attribute"), fields.text("attribute")


def _read_server(fields: Fields) -> Server:
    number, address = fields.u32("server"), fields.exactly(_ADDRESS_BYTES, "address")
    return Server(
        number,
        IPv4Address(address[12:]) if address.startswith(_IPV4_LEAD) else IPv6Address(address),
        fields.octets("public key"),
        fields.many(_read_interface, _INTERFACE_BYTES, "interfaces"),
    )


def _read_interface(fields: Fields) -> Interface:
    serves, transport, port = fields.u8("interface"), fields.u8("transport"), fields.u32("port")
    if serves not in _SERVES:
        raise MessageError(NOT_A_SITE, what="interface", number=serves)
    if transport not in _TRANSPORTS:
        raise MessageError(NOT_A_SITE, what="transport", number=transport)
    return Interface(Serves(serves), Transport(transport), port)


def _encode_server(server: Server) -> bytes:
    interfaces = many(u8(one.serves) + u8(one.transport) + u32(one.port) for one in server.interfaces)
    return u32(server.number) + _packed(server.address) + octets(server.public_key) + interfaces


def _packed(address: IPv4Address | IPv6Address) -> bytes:
    if isinstance(address, IPv4Address):
        return _IPV4_LEAD + address.packed
    if address.packed.startswith(_IPV4_LEAD):  # it would be taken for an IPv4 address
        raise MessageError(NO_ADDRESS, address=str(address))
    return address.packed


def parse_address(address: str) -> IPv4Address | IPv6Address:
    """An address as people write it. Raises :class:`MessageError`."""
    try:
        parsed = ip_address(address)
    except ValueError:
        raise MessageError(NO_ADDRESS, address=address) from None
    _packed(parsed)
    return parsed
