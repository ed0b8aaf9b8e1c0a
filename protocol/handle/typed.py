"""Data by the type of their value (RFC 3651, section 3.2): one way in and out for all that have a form.

Types are compared without regard to ASCII case, and ``HS_SITE.PREFIX`` or ``HS_SITE.6`` is a site like ``HS_SITE``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocol.errors import MessageError
from protocol.handle.administration import (
    Administrator,
    encode_administrator,
    encode_references,
    read_administrator,
    read_references,
)
from protocol.handle.fields import NOT_TEXT, utf8
from protocol.handle.keys import OtherKey, RSAKey, encode_key, read_key
from protocol.handle.signed import Signed, encode_signed, read_signed
from protocol.handle.sites import Site, encode_site, read_site
from protocol.handle.values import Reference

Data = Administrator | tuple[Reference, ...] | Site | RSAKey | OtherKey | Signed | str | bytes


def read_alias(data: bytes) -> str:
    """The handle that an ``HS_ALIAS`` value stands for. Raises :class:`MessageError`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MessageError(NOT_TEXT, field="HS_ALIAS", position=0) from None


_READERS: Final[dict[str, Callable[[bytes], Data]]] = {
    "HS_ADMIN": read_administrator,
    "HS_VLIST": read_references,
    "HS_SITE": read_site,
    "HS_PUBKEY": read_key,
    "HS_CERT": read_signed,
    "HS_SIGNATURE": read_signed,
    "HS_ALIAS": read_alias,
}


def read_data(type_: str, data: bytes) -> Data:
    """The data of a value; bytes as they are where its type has no form. Raises :class:`MessageError`."""
    name = type_.upper() if type_.isascii() else type_
    read = read_site if name.startswith("HS_SITE.") else _READERS.get(name)
    return data if read is None else read(data)


def encode_data(data: Data) -> bytes:
    """Its bytes. Raises :class:`MessageError` for what does not fit."""
    match data:
        case bytes():
            return data
        case str():
            return utf8(data)
        case Administrator():
            return encode_administrator(data)
        case Site():
            return encode_site(data)
        case RSAKey() | OtherKey():
            return encode_key(data)
        case Signed():
            return encode_signed(data)
        case _:
            return encode_references(data)
