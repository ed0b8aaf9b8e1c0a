"""``biaoshi api``: a token for programs, and a certificate for the node."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from config.keyfiles import BadKeyFile, read_anchor, read_writer_key, write_whole
from config.load import load_settings, put_option, toml_string
from config.options import ApiOption, CaOption, KeyOption, Node
from config.places import anchor_path, api_url, key_path, language
from protocol.identifiers import normal_zone_text
from protocol.signatures import SigningKey
from registry.api.certificates import make_secret, secret_pem, self_signed, signing_request
from registry.api.client import ApiAddress
from registry.api.connecting import own_certificate


def add_commands(main: typer.Typer) -> None:
    """Put this module's commands into ``main``."""
    main.add_typer(app, name="api")


app = typer.Typer(help="The JSON API: tokens, certificates. JSON API：令牌与证书。", no_args_is_help=True)

_NOWHERE: Final = ("0.0.0.0", "::")


@app.command(
    epilog="Examples: biaoshi api token --node ./node  |  "
    "biaoshi api token --api https://node.example:26412 --zone 88.118 --key pumps.pem --ca api.crt"
)
def token(
    url: ApiOption = None,
    zone: Annotated[str | None, typer.Option(help="The node's zone. Default: that of anchor.toml.")] = None,
    key: KeyOption = None,
    ca: CaOption = None,
    node: Node = None,
) -> None:
    """Get a token for a key, and print it: TOKEN=$(biaoshi api token --node ./node).

    用密钥换取令牌并打印：TOKEN=$(biaoshi api token --node ./node)。
    """
    expected = read_anchor(anchor_path(None, node)).prefix if zone is None else normal_zone_text(zone)
    if ca is None and node is not None:
        ca = own_certificate(node)
    address = ApiAddress(api_url(url, node), ca)
    print(address.token(SigningKey(read_writer_key(key_path(key, node))), expected, language()))


@app.command(
    epilog="Examples: biaoshi api certificate --config node/biaoshi.toml --name node.example  |  "
    "biaoshi api certificate --config node/biaoshi.toml --name node.example --request"
)
def certificate(
    config: Annotated[Path, typer.Option(help="The node's configuration file.")] = Path("biaoshi.toml"),
    name: Annotated[
        list[str] | None, typer.Option(help="Host or address by which clients reach it; may be repeated.")
    ] = None,
    request: Annotated[
        bool, typer.Option("--request", help="Make a signing request (CSR) for a certification authority instead.")
    ] = False,
) -> None:
    """Have the API speak TLS: a secret key and a self-signed certificate, and both in the configuration.

    为 API 启用 TLS：生成私钥和自签名证书，并写入配置文件。
    """
    settings = load_settings(config)
    names = list(name or [])
    if not names:
        host = settings.api.host
        names = [socket.gethostname(), "localhost", "127.0.0.1"]
        names += [host] if host not in (*_NOWHERE, *names) else []
    made = make_secret()
    signed = signing_request(made, names) if request else self_signed(made, names, datetime.now(UTC))
    secret, target = settings.path("keys/api.pem"), settings.path("keys/api.csr" if request else "keys/api.crt")
    _write_secret(secret, secret_pem(made))
    write_whole(target, signed)
    put_option(config, "api.secret", toml_string("keys/api.pem"))
    put_option(config, "api.certificate", toml_string("keys/api.crt"))
    sentences = (_REQUEST_ZH, _MADE_ZH) if language() == "zh" else (_REQUEST_EN, _MADE_EN)
    print(sentences[0 if request else 1].format(target, settings.path("keys/api.crt"), config, ", ".join(names)))


_MADE_EN = """certificate  {0}  for {3}
Give it to clients (curl --cacert, biaoshi api token --ca). Set enabled = true and host under [api] in {2}, and restart
the node; a later certificate is taken up by itself."""
_MADE_ZH = """证书  {0}  适用于 {3}
请将其交给客户端（curl --cacert，biaoshi api token --ca）。在 {2} 的 [api] 中设置 enabled = true 和 host，然后重启节点；
以后更换证书会自动启用。"""
_REQUEST_EN = """signing request  {0}  for {3}
Have it signed, put the certificate (with its chain) at {1}, then set enabled = true and host under [api] in {2}, and
restart the node."""
_REQUEST_ZH = """证书签名请求  {0}  适用于 {3}
请交由证书机构签发，将证书（含证书链）放到 {1}，再在 {2} 的 [api] 中设置 enabled = true 和 host，然后重启节点。"""


def _write_secret(path: Path, pem: bytes) -> None:
    """Write a secret key, with nobody else reading it at any moment, over an older one. Raises :class:`BadKeyFile`."""
    fresh = path.with_name(path.name + ".new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise BadKeyFile(f"{path} cannot be written: {error.strerror}", f"{path} 无法写入：{error.strerror}") from None
