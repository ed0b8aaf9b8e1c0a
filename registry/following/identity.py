"""What a zone gives a node that answers for it: the chain above, and a statement for the node's online key.

The zone's key stays where it is. It signs the statement as soon as the node is listed with its online key, and again
when a third of the time is left; the follower takes it along with the chain from the zone's registry, over the
connection on which it has proven its key, and believes it only as any stranger would.
"""

from __future__ import annotations

from typing import Final

from config.keyfiles import make_private_directory, read_delegations, read_secret, write_whole
from config.settings import Settings
from protocol.errors import BiaoshiError, NotVerified, Rule
from protocol.node import check_own_key
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import OnlineKey
from protocol.status import Status
from protocol.trust import TrustAnchor, Zone, verify_online_keys, verify_zone

OTHER_KEY: Final = Rule(
    "following.other-key",
    Status.NOT_VERIFIED,
    "the zone's statement is for the online key {given}, and this node answers with {key}: sign the request that "
    "'biaoshi custody add' has written, and list that key under [[registry.followers]], online",
    "区域的声明针对在线密钥 {given}，而本节点使用 {key}：请签发 biaoshi custody add 生成的申请，"
    "并在 [[registry.followers]] 的 online 中列出该公钥",
)


def judge_statement(statement: bytes, zone: Zone, key: PublicKey, now: int) -> OnlineKey:
    """Verify a zone's statement for this online key as of ``now`` (seconds). Raises
    :class:`~protocol.errors.NotVerified`, :class:`~protocol.errors.MessageError`."""
    [claim] = verify_online_keys(zone, (statement,))
    if claim.key != key:
        raise NotVerified(OTHER_KEY, given=str(claim.key), key=str(key))
    return check_own_key(statement, key, zone.prefix, now)


class Identity:
    """The files by which this node answers for a zone; ``view`` are the settings of the copy. Calls raise
    :class:`~config.keyfiles.BadKeyFile` where a file cannot be read or written."""

    def __init__(self, view: Settings, anchor: TrustAnchor) -> None:
        self._anchor = anchor
        self._delegations = view.path(view.keys.delegations)
        self._statement = view.path(view.keys.statement)
        self._online = view.path(view.keys.online)

    @property
    def online_key(self) -> PublicKey:
        """The key by which this node answers."""
        return SigningKey(read_secret(self._online)).public

    def zone(self, now: int) -> Zone | None:
        """The zone by the chain that is here, None where that does not hold."""
        try:
            return verify_zone(self._anchor, read_delegations(self._delegations), now)
        except BiaoshiError:
            return None

    def take_chain(self, delegations: tuple[bytes, ...]) -> bool:
        """Keep a verified chain; whether it is another than before."""
        if delegations == read_delegations(self._delegations):
            return False
        make_private_directory(self._delegations.parent)
        write_whole(self._delegations, b"".join(delegations))
        return True

    def take_statement(self, statement: bytes, zone: Zone, now: int) -> bool:
        """Verify a statement and keep it; whether it is another than before. Raises
        :class:`~protocol.errors.NotVerified`, :class:`~protocol.errors.MessageError`."""
        judge_statement(statement, zone, self.online_key, now)
        if self._statement.exists() and self._statement.read_bytes() == statement:
            return False
        write_whole(self._statement, statement)
        return True
