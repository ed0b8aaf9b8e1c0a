"""Data of the types that have a form: HS_ADMIN, HS_VLIST, HS_SITE, HS_PUBKEY, HS_ALIAS, HS_CERT, HS_SIGNATURE."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError, Rule
from protocol.handle import fields
from protocol.handle.administration import ALL_RIGHTS, Administrator, AdminRight
from protocol.handle.keys import BAD_KEY, MAX_NUMBER_BYTES, OtherKey, RSAKey, encode_key, read_key
from protocol.handle.signed import NOT_SIGNED, Signed
from protocol.handle.sites import (
    NO_ADDRESS,
    NOT_A_SITE,
    HashOption,
    Interface,
    Server,
    Serves,
    Site,
    Transport,
    encode_site,
    parse_address,
    read_site,
)
from protocol.handle.typed import encode_data, read_data
from protocol.handle.values import Reference
from tests.property.handles import data as all_data
from tests.property.strategies import MANY
from tests.vectors.load import load

RECORDED = {one["type"]: bytes.fromhex(one["hex"]) for one in load("handle/data")["data"]}

NODE = Site(
    serial=1,
    servers=(
        Server(
            1,
            IPv4Address("127.0.0.1"),
            b"",
            (
                Interface(Serves.BOTH, Transport.TCP, 2_641),
                Interface(Serves.QUERIES, Transport.UDP, 2_641),
                Interface(Serves.BOTH, Transport.HTTP, 8_000),
            ),
        ),
    ),
    attributes=(("desc", "测试"),),
)

EXPECTED: dict[str, Any] = {
    "HS_ADMIN": Administrator(ALL_RIGHTS, Reference("0.NA/88.118.1", 200)),
    "HS_VLIST": (Reference("0.NA/88.118.1", 300), Reference("0.NA/88.118.1", 301)),
    "HS_SITE": NODE,
    "HS_PUBKEY": RSAKey(0x8000_0000_0000_0001, 65_537),
    "HS_CERT": Signed(b'{"alg":"RS256"}', b"{}", b"\0"),
    "HS_ALIAS": "88.118.1/电机",
}


def refused(rule: Rule, type_: str, data: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        read_data(type_, data)
    assert caught.value.rule is rule
    assert caught.value.message("zh") != caught.value.message("en")


@pytest.mark.parametrize("type_", EXPECTED)
def test_written_by_hand(type_: str) -> None:
    assert read_data(type_, RECORDED[type_]) == EXPECTED[type_]
    assert encode_data(EXPECTED[type_]) == RECORDED[type_]


@MANY
@given(typed=all_data)
def test_data_comes_back(typed: tuple[str, Any]) -> None:
    type_, data = typed
    assert read_data(type_, encode_data(data)) == data


@MANY
@given(typed=all_data, extra=st.binary(min_size=1, max_size=8), share=st.floats(0, 1, exclude_max=True))
def test_neither_less_nor_more(typed: tuple[str, Any], extra: bytes, share: float) -> None:
    type_, data = typed
    if isinstance(data, (str, bytes, OtherKey, Signed)):
        return  # these have no end of their own
    encoded = encode_data(data)
    refused(fields.LEFT_OVER, type_, encoded + extra)
    with pytest.raises(MessageError):
        read_data(type_, encoded[: int(share * len(encoded))])


def test_types_without_a_form_keep_their_bytes() -> None:
    for type_ in ("URL", "HS_SECKEY", "HS_SITES", "HS_ADMIN.X", "hſ_admin"):
        assert read_data(type_, b"\xff") == b"\xff"


def test_types_do_not_mind_case() -> None:
    assert read_data("hs_site.prefix", RECORDED["HS_SITE"]) == NODE
    assert read_data("Hs_Admin", RECORDED["HS_ADMIN"]) == EXPECTED["HS_ADMIN"]


def test_rights() -> None:
    """Of the recorded record that may neither delete handles nor add prefixes: ``011111110011``, bit 11 first."""
    some = Administrator(int("011111110011", 2), Reference("0.NA/88.118.1", 200))
    lacking = {right.name for right in AdminRight if not some.may(right)}
    assert lacking == {"LIST_HANDLES", "ADD_PREFIX", "DELETE_PREFIX"}
    assert sum(AdminRight) == ALL_RIGHTS


# Sites -------------------------------------------------------------------------------------------------


def test_addresses() -> None:
    for address in ("2001:db8::1", "::ffff:10.0.0.1", "fe80::1"):
        server = Server(1, IPv6Address(address), b"", ())
        site = Site(1, (server,))
        assert read_site(encode_site(site)) == site
        assert parse_address(address) == server.address
    assert parse_address("10.0.0.1") == IPv4Address("10.0.0.1")


@pytest.mark.parametrize("address", ["::1", "::", "", "localhost", "10.0.0", "10.0.0.1:80"])
def test_addresses_that_have_no_place(address: str) -> None:
    """Those of IPv6 that would be taken for one of IPv4 are among them."""
    with pytest.raises(MessageError) as caught:
        parse_address(address)
    assert caught.value.rule is NO_ADDRESS
    if ":" in address and address.count(".") == 0:
        with pytest.raises(MessageError):
            encode_site(Site(1, (Server(1, IPv6Address(address), b"", ()),)))


def test_a_site_of_no_kind() -> None:
    good = RECORDED["HS_SITE"]
    interface = len(good) - 18
    for at, number in ((7, 3), (interface, 4), (interface + 1, 4)):
        refused(NOT_A_SITE, "HS_SITE", good[:at] + bytes([number]) + good[at + 1 :])
    refused(fields.TOO_MANY, "HS_SITE", good[:12] + b"\xff" * 4 + good[16:])


def test_hash_options_and_kinds() -> None:
    for option in HashOption:
        for primary in (True, False):
            site = msgspec.structs.replace(NODE, hash_option=option, primary=primary, multi_primary=not primary)
            assert read_site(encode_site(site)) == site


# Keys --------------------------------------------------------------------------------------------------


def test_numbers_have_room_for_a_sign() -> None:
    """As Java writes them; read without, too."""
    assert encode_key(RSAKey(0x7F, 3)).endswith(b"\0\0\0\x01\x7f")
    assert encode_key(RSAKey(0x80, 3)).endswith(b"\0\0\0\x02\x00\x80")
    head = encode_key(RSAKey(0x80, 3))[:-6]
    assert read_key(head + b"\0\0\0\x01\x80") == RSAKey(0x80, 3)


def test_keys_that_are_none() -> None:
    head = encode_key(RSAKey(0x80, 3))[:-6]
    refused(BAD_KEY, "HS_PUBKEY", head + bytes(4))
    refused(BAD_KEY, "HS_PUBKEY", head + b"\0\0\0\x01\x00")
    refused(BAD_KEY, "HS_PUBKEY", head + (MAX_NUMBER_BYTES + 1).to_bytes(4, "big") + b"\x01" * (MAX_NUMBER_BYTES + 1))
    for number in (0, -1, 1 << 8 * MAX_NUMBER_BYTES):
        with pytest.raises(MessageError) as caught:
            encode_key(RSAKey(number, 3))
        assert caught.value.rule is BAD_KEY


def test_other_keys_keep_their_bytes() -> None:
    key = OtherKey("SM2_PUB_KEY", b"\x04" + bytes(64))
    assert read_key(encode_key(key)) == key


# Signed statements ---------------------------------------------------------------------------------------


def test_a_certificate_taken_apart() -> None:
    signed = read_data("HS_CERT", RECORDED["HS_CERT"])
    assert isinstance(signed, Signed)
    assert json.loads(signed.header) == {"alg": "RS256"}
    assert RECORDED["HS_CERT"].startswith(signed.covered + b".")


@pytest.mark.parametrize(
    "data",
    [b"", b"e30", b"e30.e30", b"e30.e30.AA.AA", b"e30=.e30.AA", b"e3.e30.AA", b"e30.e30.A", b"e30.e30.AB",
     b"e30.e3 0.AA", b"e30.e30.+/8", b"e30.e30.\xff"],
)  # fmt: skip
def test_what_is_no_signed_statement(data: bytes) -> None:
    refused(NOT_SIGNED, "HS_SIGNATURE", data)


def test_an_alias_is_text() -> None:
    refused(fields.NOT_TEXT, "HS_ALIAS", b"\xff")
    with pytest.raises(MessageError) as caught:
        encode_data("\ud800")
    assert caught.value.rule is fields.NOT_ENCODABLE
