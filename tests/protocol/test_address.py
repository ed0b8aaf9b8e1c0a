"""Addresses as people write them."""

from __future__ import annotations

import pytest

from protocol.address import Address, parse_address
from protocol.errors import SettingsError
from protocol.limits import DEFAULT_PORT


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("node.example.cn", "node.example.cn", DEFAULT_PORT),
        ("node.example.cn:80", "node.example.cn", 80),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:443", "::1", 443),
        ("[::1]", "::1", DEFAULT_PORT),
        ("2001:db8::1", "2001:db8::1", DEFAULT_PORT),
    ],
)
def test_good_addresses(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["", ":80", "a:b", "a:65536", "a:-1", "a:٣", "[::1", "[::1]x", "[]:80", "[::1]:x"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_address(text)


@pytest.mark.parametrize("text", ["a..b", ".", "x" * 64 + ".cn:80", "\ud800", "host:" + "9" * 5_000])
def test_what_cannot_even_be_looked_up(text: str) -> None:
    """Python's own functions meet these with errors that say nothing to a person."""
    with pytest.raises(SettingsError):
        parse_address(text)
