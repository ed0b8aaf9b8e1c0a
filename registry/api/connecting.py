"""How commands come to the API of a node: by its address and a token, or by a node's directory and a key of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from config.keyfiles import read_anchor, read_writer_key
from config.places import anchor_path, api_url, key_path, language
from protocol.signatures import SigningKey
from registry.api.client import ApiAddress, ApiClient


def connect(api: str | None, token: str | None, node: Path | None, key: Path | None, ca: Path | None) -> ApiClient:
    """A client of the API that the options of a command name. Raises :class:`~protocol.errors.BiaoshiError`,
    :class:`~config.places.NoNodeRuns`, :class:`~config.keyfiles.BadKeyFile`."""
    if ca is None and node is not None:
        ca = own_certificate(node)
    address = ApiAddress(api_url(api, node), ca)
    if not token:
        secret = SigningKey(read_writer_key(key_path(key, node)))
        token = address.token(secret, read_anchor(anchor_path(None, node)).prefix, language())
    return ApiClient(address, token, language())


_TIMES: Final = frozenset({"applied", "reviewed", "since", "changed", "made", "until"})
"""Members that are seconds since 1970: people are shown the date."""


def own_certificate(node: Path) -> Path | None:
    """The certificate of a node on this machine, where it signed it itself or somebody else did."""
    path = node / "keys/api.crt"
    return path if path.exists() else None


def shown(view: Mapping[str, Any], as_json: bool) -> str:
    """What was answered about one thing: a line of JSON, or a line for each member that says something."""
    if as_json:
        return json.dumps(view, ensure_ascii=False)
    width = max(map(len, view), default=0)
    return "\n".join(
        f"{name:{width}}  {_text(name, one)}" for name, one in view.items() if one not in ("", None, [], 0, False)
    )


def _text(name: str, one: object) -> str:
    if name in _TIMES and type(one) is int:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one))
    if isinstance(one, list) and all(isinstance(member, str) for member in one):
        return " ".join(one)
    return one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
