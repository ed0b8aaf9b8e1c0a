"""Keys as text, key ids, and the test vectors of RFC 8032."""

from __future__ import annotations

import pytest

from protocol.errors import MessageError
from protocol.signatures import PublicKey, SigningKey
from tests.protocol import plain

RFC_8032 = [  # section 7.1: seed, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert key.public.verifies(bytes.fromhex(signature), bytes.fromhex(message))
    assert not key.public.verifies(bytes.fromhex(signature), bytes.fromhex(message) + b"x")


def test_no_flipped_bit_of_a_signature_is_accepted() -> None:
    key = SigningKey(bytes(32))
    signature = key.sign(b"message")
    for bit in range(8 * len(signature)):
        bent = bytearray(signature)
        bent[bit >> 3] ^= 1 << (bit & 7)
        assert not key.public.verifies(bytes(bent), b"message")


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_what_is_no_signature_is_not_accepted(signature: bytes) -> None:
    assert not SigningKey(bytes(32)).public.verifies(signature, b"")


def test_a_key_of_low_order_verifies_nothing() -> None:
    """With the neutral element as key, R = 0 and S = 0 would hold for any message."""
    assert not PublicKey(1, b"\x01" + bytes(31)).verifies(b"\x01" + bytes(63), b"anything")


def test_the_key_id_is_the_beginning_of_a_digest_of_algorithm_and_key() -> None:
    public = SigningKey(bytes(32)).public
    assert public.id == plain.key_id(public.raw)
    assert public.raw == plain.public_of(bytes(32))


def test_public_keys_as_text() -> None:
    public = SigningKey(bytes(32)).public
    assert str(public) == "ed25519:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="
    assert PublicKey.parse(str(public)) == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519",
        "ed25519:",
        "ed25519:O2on",
        "ed25519:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik",
        "sm2:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
        "ed25519:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=!",
        "ed25519:泵",
        "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
    ],
)
def test_text_that_is_no_public_key(text: str) -> None:
    with pytest.raises(MessageError) as caught:
        PublicKey.parse(text)
    assert caught.value.rule.name == "key.malformed"


def test_a_long_wrong_key_makes_no_long_error() -> None:
    """A node sends the error back: it must fit a message whatever was sent."""
    with pytest.raises(MessageError) as caught:
        PublicKey(1, bytes(1_000_000))
    assert len(str(caught.value)) < 200


def test_an_algorithm_that_is_not_known() -> None:
    with pytest.raises(MessageError) as caught:
        PublicKey(2, bytes(32))
    assert caught.value.rule.name == "key.unknown-algorithm"


def test_a_seed_has_32_bytes_and_is_not_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        SigningKey(bytes(31))
    assert "seed" not in repr(SigningKey(b"s" * 32))
    assert "ssss" not in repr(SigningKey(b"s" * 32))
