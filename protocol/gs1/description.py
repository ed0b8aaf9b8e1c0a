"""What a resolver says of itself at ``/.well-known/gs1resolver`` (GS1-Conformant Resolver, description file)."""

from __future__ import annotations

from typing import Any, Final

from protocol.gs1.link_types import VOCABULARY

PATH: Final = "/.well-known/gs1resolver"


def description(name: str, root: str, *, terms: str = "", contact: str = "") -> dict[str, Any]:
    """The description, ready for JSON: all primary keys; link types of GS1; the default is a link, never a link set;
    which data may stand beside which is not checked. ``root`` is the stem of the resolver's links, ``terms`` the
    address of its terms of use, ``contact`` the name of who runs it."""
    said: dict[str, Any] = {
        "name": name,
        "resolverRoot": root,
        "supportedPrimaryKeys": ["all"],
        "supportedLinkType": [{"namespace": VOCABULARY, "prefix": "gs1:"}],
        "linkTypeDefaultCanBeLinkset": False,
        "validatesAIcombinations": False,
    }
    if terms:
        said["termsOfUse"] = terms
    if contact:
        said["contact"] = {"fn": contact}
    return said
