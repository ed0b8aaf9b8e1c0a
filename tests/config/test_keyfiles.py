"""Secret keys and anchors on disk: what other tools read, what is refused, in both languages."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from config.keyfiles import (
    AnchorFile,
    BadKeyFile,
    Identity,
    make_seed,
    read_anchor,
    read_identity,
    read_secret,
    write_anchor,
    write_secret,
)
from config.load import load_settings
from protocol.signatures import SigningKey
from tests.config.writing import LEAST, write

SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED)


def refused(function: Callable[[Path], object], path: Path) -> BadKeyFile:
    """What is said of a file; each sentence names it, and each is in its language."""
    with pytest.raises(BadKeyFile) as raised:
        function(path)
    error = raised.value
    assert str(path) in error.en
    assert str(path) in error.zh
    assert (str(error), error.message(), error.message("zh")) == (error.en, error.en, error.zh)
    assert any("\u4e00" <= one <= "\u9fff" for one in error.zh)
    assert not any("\u4e00" <= one <= "\u9fff" for one in error.en)
    return error


# Secret keys -----------------------------------------------------------------------------------------


def test_a_key_comes_back(tmp_path: Path) -> None:
    write_secret(tmp_path / "key.pem", SEED)
    assert read_secret(tmp_path / "key.pem") == SEED
    # RFC 8410, section 7: version 0, id-Ed25519, the seed in an octet string within an octet string.
    [begin, body, end] = (tmp_path / "key.pem").read_text("ascii").splitlines()
    assert (begin, end) == ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
    assert body == "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def test_keys_are_new_each_time() -> None:
    assert len({make_seed() for _ in range(10)}) == 10
    assert len(make_seed()) == 32


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_a_key(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_secret(tmp_path / "key.pem", SEED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "usable"), [(0o600, True), (0o640, True), (0o400, True), (0o604, False), (0o666, False)]
)
def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path, mode: int, usable: bool) -> None:
    path = tmp_path / "key.pem"
    write_secret(path, SEED)
    path.chmod(mode)
    if usable:
        assert read_secret(path) == SEED
    else:
        with pytest.raises(BadKeyFile, match="chmod 600") as caught:
            read_secret(path)
        assert "chmod 600" in caught.value.zh


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_secret(path, SEED)
    before = path.read_bytes()
    assert "not overwritten" in refused(lambda path: write_secret(path, make_seed()), path).en
    assert path.read_bytes() == before
    (tmp_path / "link.pem").symlink_to(tmp_path / "target.pem")
    refused(lambda path: write_secret(path, SEED), tmp_path / "link.pem")
    assert not (tmp_path / "target.pem").exists(), "nor is it written where a link points"


def test_a_key_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert "No such file" in refused(lambda path: write_secret(path, SEED), tmp_path / "no/key.pem").en


def test_a_key_in_a_locked_directory(tmp_path: Path, without_rights: None) -> None:
    assert "Permission denied" in refused(lambda path: write_secret(path, SEED), tmp_path / "locked/key.pem").en


def test_a_key_on_a_full_disk_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused(lambda path: write_secret(path, SEED), tmp_path / "key.pem").en
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write_secret(tmp_path / "key.pem", SEED)


PRIVATE = {
    "RSA": rsa.generate_private_key(65_537, 2_048),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "X25519": x25519.X25519PrivateKey.generate(),
}


@pytest.mark.parametrize("kind", PRIVATE)
def test_a_key_of_another_kind(tmp_path: Path, kind: str) -> None:
    pem = PRIVATE[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    error = refused(read_secret, write(tmp_path, pem))
    assert "another kind; Ed25519 is needed" in error.en
    assert "需要 Ed25519" in error.zh


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    error = refused(read_secret, write(tmp_path, pem))
    assert "passphrase" in error.en
    assert "口令" in error.zh


PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a line of text\n",
        b"\x00\xff" * 500,
        PEM[:40],
        PEM.replace(b"MC4C", b"MC4D"),
        PEM.replace(b"BCIE", b"!!!!"),
        PEM.replace(b"PRIVATE", b"PUBLIC"),
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        CERTIFICATE,
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        SEED,
        b'prefix = "88"\nkey = "ed25519:..."\n',
    ],
    ids=["empty", "text", "noise", "cut", "no version", "no base64", "wrong label", "public key", "certificate", "DER",
         "bare seed", "an anchor"],
)  # fmt: skip
def test_what_is_no_secret_key(tmp_path: Path, content: bytes) -> None:
    error = refused(read_secret, write(tmp_path, content))
    assert "is no PEM file with a secret key" in error.en
    assert "不是含有私钥的 PEM 文件" in error.zh


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in refused(read_secret, tmp_path / "missing.pem").en
    assert "Is a directory" in refused(read_secret, tmp_path).en


def test_a_key_that_may_not_be_read(tmp_path: Path, without_rights: None) -> None:
    error = refused(read_secret, tmp_path / "closed")
    assert "cannot be read: Permission denied" in error.en
    assert "无法读取密钥文件" in error.zh


def test_text_around_the_key_does_no_harm(tmp_path: Path) -> None:
    """As ``openssl pkey -text`` writes it."""
    path = write(tmp_path, b"ED25519 Private-Key:\n" + PEM + b"\n")
    path.chmod(0o600)
    assert read_secret(path) == SEED


def test_openssl_reads_what_we_write(tmp_path: Path) -> None:
    write_secret(tmp_path / "key.pem", SEED)
    try:
        done = subprocess.run(
            ["openssl", "pkey", "-in", str(tmp_path / "key.pem"), "-pubout", "-outform", "DER"],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl, the other tool, is not installed")
    assert done.stdout[-32:] == SigningKey(SEED).public.raw


# Who a node is ---------------------------------------------------------------------------------------


def test_identity(tmp_path: Path) -> None:
    write_secret(tmp_path / "online.pem", SEED)
    statements = [msgpack.packb([name, b"signature"]) for name in (b"one", b"two")]
    (tmp_path / "statement").write_bytes(b"statement")
    (tmp_path / "delegations").write_bytes(b"".join(statements))
    keys = '[keys]\nonline = "online.pem"\nstatement = "statement"\ndelegations = "delegations"\n'
    settings = load_settings(write(tmp_path, LEAST + keys))
    assert read_identity(settings) == Identity(SEED, (b"statement",), tuple(statements), (), ())
    for name in ("statement", "online.pem"):
        (tmp_path / name).rename(tmp_path / "away")
        error = refused(lambda _: read_identity(settings), tmp_path / name)
        assert "cannot be read: No such file" in error.en
        assert "无法读取" in error.zh
        (tmp_path / "away").rename(tmp_path / name)
    (tmp_path / "delegations").write_bytes(statements[0] + b"\x92")
    assert "delegate fetch" in refused(lambda _: read_identity(settings), tmp_path / "delegations").en
    (tmp_path / "delegations").unlink()
    assert read_identity(settings).delegations == ()


# Anchors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "88", "88.118", '88."1"', "88.\\", "88.标识", "88.#"])
def test_an_anchor_comes_back(tmp_path: Path, prefix: str) -> None:
    anchor = AnchorFile(prefix, str(SigningKey(SEED).public))
    write_anchor(tmp_path / "anchor.toml", anchor)
    assert read_anchor(tmp_path / "anchor.toml") == anchor
    assert (tmp_path / "anchor.toml").read_text("utf-8").count("\n# ") == 1, "it explains itself in both languages"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"prefix = 1\nkey = 'x'\n",
        b"prefix = '88'\n",
        b"key = 'x'\n",
        b"prefix = '88'\nkey = ['x']\n",
        b"[anchor]\nprefix = '88'\nkey = 'x'\n",
        b"\xff\xfe",
        b"[[",
        b"x = " + b"[" * 5_000,
        PEM,
    ],
    ids=["empty", "number", "no key", "no prefix", "list", "in a section", "not UTF-8", "not TOML", "deep", "a key"],
)
def test_what_is_no_anchor(tmp_path: Path, content: bytes) -> None:
    error = refused(read_anchor, write(tmp_path, content))
    assert "is no anchor file: two lines of TOML" in error.en
    assert "不是信任锚文件" in error.zh


def test_an_anchor_that_is_not_there(tmp_path: Path) -> None:
    error = refused(read_anchor, tmp_path / "anchor.toml")
    assert "No such file" in error.en
    for way in ("--anchor", "--node"):
        assert way in error.en
        assert way in error.zh
    assert "Is a directory" in refused(read_anchor, tmp_path).en


def test_an_anchor_that_may_not_be_read(tmp_path: Path, without_rights: None) -> None:
    assert "Permission denied" in refused(read_anchor, tmp_path / "closed").en
