"""The options that many commands have in common, with their help and environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", envvar="BIAOSHI_NODE", help="Directory of a node on this machine: its address, anchor and keys."
    ),
]
Server = Annotated[
    str | None, typer.Option(envvar="BIAOSHI_SERVER", help="Resolver to ask, host[:port]. Default 127.0.0.1:26410.")
]
RegistryOption = Annotated[
    str | None,
    typer.Option("--registry", envvar="BIAOSHI_REGISTRY", help="Registry, host[:port]. Default 127.0.0.1:26411."),
]
AnchorOption = Annotated[
    Path | None, typer.Option("--anchor", envvar="BIAOSHI_ANCHOR", help="Trust anchor file. Default anchor.toml.")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", envvar="BIAOSHI_KEY", help="Secret key that may write. Default keys/writer.pem.")
]
ApiOption = Annotated[
    str | None,
    typer.Option("--api", "--url", envvar="BIAOSHI_API", help="JSON API of the node. Default http://127.0.0.1:26412."),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="BIAOSHI_TOKEN", help="Token to ask with. Default: a key (--key, --node) proves itself."
    ),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", envvar="BIAOSHI_CA", help="Certificate (PEM) by which the API is known.")
]
ReaderKey = Annotated[
    Path | None,
    typer.Option("--key", help="Secret key of an identity: answers have what it may read besides. Over TCP only."),
]
ReaderToken = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="BIAOSHI_READ_TOKEN",
        help="The same by a token, which is sent to nodes on this machine alone, as through a TLS tunnel.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]
