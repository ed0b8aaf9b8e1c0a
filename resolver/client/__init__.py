"""The SDK: ask nodes, get verified answers.

::

    async with Client("127.0.0.1:26410", anchor=load_anchor("anchor.toml")) as client:
        answer = await client.resolve("88.118.32001/P0000000123456")
        print(answer.url, answer.proof.time)

With ``key=SigningKey(…)`` or ``token="bst_…"`` of an identity they have what that reader may read besides.
Answers are verified unless you ask for an :class:`UnverifiedClient`, whose answers are of another type. All errors
are :class:`~protocol.errors.BiaoshiError`. :class:`SyncClient` is the same without ``await``.
"""

from pathlib import Path

from config.keyfiles import read_anchor
from protocol.trust import TrustAnchor
from resolver.client.client import Client, UnverifiedClient
from resolver.client.resolving import Unanswered
from resolver.client.sync import SyncClient

__all__ = ["Client", "SyncClient", "Unanswered", "UnverifiedClient", "load_anchor"]


def load_anchor(path: str | Path) -> TrustAnchor:
    """Read a trust anchor's file. Raises :class:`~config.keyfiles.BadKeyFile`."""
    return TrustAnchor.parse(*read_anchor(Path(path)))
