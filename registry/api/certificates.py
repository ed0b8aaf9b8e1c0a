"""Certificates for the API: a self-signed one, or a request that a certification authority signs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import Rule, SettingsError
from protocol.status import Status

DAYS: Final = 397
"""How long a self-signed certificate is valid: the longest that browsers take."""

BAD_NAME: Final = Rule(
    "certificate.bad-name",
    Status.SETTINGS,
    "'{name}' cannot stand in a certificate; name a host, like node.example, or an address",
    "“{name}”不能写入证书，请给出主机名（如 node.example）或地址",
)


def make_secret() -> ec.EllipticCurvePrivateKey:
    """A new secret key (P-256, which every TLS library has)."""
    return ec.generate_private_key(ec.SECP256R1())


def secret_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A secret key as PEM (PKCS #8)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def self_signed(key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime) -> bytes:
    """A certificate for hosts and addresses, as PEM, valid from ``now`` on. Raises :class:`SettingsError`."""
    subject = _subject(names)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now.astimezone(UTC) + timedelta(days=DAYS))
        .add_extension(_alternatives(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def signing_request(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> bytes:
    """A certificate signing request (PKCS #10) for hosts and addresses, as PEM. Raises :class:`SettingsError`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(names))
    signed = builder.add_extension(_alternatives(names), critical=False).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def _subject(names: Sequence[str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative(name) for name in names])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode()
    except UnicodeError:
        raise SettingsError(BAD_NAME, name=name) from None
    if not ascii_name or any(one in ascii_name for one in " /:@\0"):
        raise SettingsError(BAD_NAME, name=name)
    return x509.DNSName(ascii_name)
