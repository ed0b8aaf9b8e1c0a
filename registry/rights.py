"""Who may write: keys and the prefixes below which each may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from protocol.errors import Refused, Rule
from protocol.identifiers import covers
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.followers import Followers

CHALLENGE_BYTES: Final = 32
PROVE_CONTEXT: Final = b"biaoshi prove 1\x00"
COPY_CONTEXT: Final = b"biaoshi prove at copy 1\x00"
"""For a key of the zone at a copy: what it signs there is of no use at the zone's own registry, where it may write."""

UNKNOWN_KEY: Final = Rule(
    "rights.unknown-key",
    Status.NOT_PERMITTED,
    "the key {key} may not write on this node; an operator adds it under [[registry.writers]]",
    "密钥 {key} 无权在本节点写入，请由运维人员加入 [[registry.writers]]",
)
NO_PROOF: Final = Rule(
    "rights.no-proof",
    Status.NOT_AUTHENTICATED,
    "the signature does not prove the key that was named",
    "签名不能证明所声明的密钥",
)
NOT_AUTHENTICATED: Final = Rule(
    "rights.not-authenticated",
    Status.NOT_AUTHENTICATED,
    "prove a key first: authenticate, then sign the challenge",
    "请先完成身份认证：发起认证并对挑战签名",
)
OTHER_PREFIX: Final = Rule(
    "rights.other-prefix",
    Status.NOT_PERMITTED,
    "this key may not write below '{prefix}'",
    "该密钥无权写入前缀“{prefix}”",
)
DELEGATED: Final = Rule(
    "rights.delegated",
    Status.REFERRAL,
    "'{prefix}' is served by another node, since '{child}' is delegated: register it there, or revoke the delegation",
    "“{prefix}”由其他节点负责（“{child}”已授权）：请在该节点注册，或先撤销授权",
)
WHOLE_ZONE: Final = Rule(
    "rights.whole-zone",
    Status.NOT_PERMITTED,
    "the change feed is for followers, and for keys that may write the whole zone '{zone}'",
    "变更流只对跟随者和可写整个区域“{zone}”的密钥开放",
)
ONLY_FOLLOWERS: Final = Rule(
    "rights.only-followers",
    Status.NOT_PERMITTED,
    "this is for followers; an operator adds the key under [[registry.followers]]",
    "此操作只对跟随者开放，请由运维人员将密钥加入 [[registry.followers]]",
)
WHOLE_ZONE_DELEGATES: Final = Rule(
    "rights.whole-zone-delegates",
    Status.NOT_PERMITTED,
    "delegations are for keys that may write the whole zone '{zone}'",
    "授权操作只对可写整个区域“{zone}”的密钥开放",
)


class Rights:
    """The table of keys and prefixes. The zone's own keys may write all of it; ``followers`` may follow its feed, and
    ``vouched`` are the zone's statements for the online keys of their nodes, by their names."""

    def __init__(
        self,
        writers: Mapping[PublicKey, Iterable[str]],
        zone: str = "",
        zone_keys: Iterable[PublicKey] = (),
        followers: Followers | None = None,
    ) -> None:
        self._writers = {key: tuple(prefixes) for key, prefixes in writers.items()}
        self._zone = zone
        self.followers = followers or Followers({})
        self.vouched: Mapping[str, bytes] = {}
        self.at_copy: frozenset[PublicKey] = frozenset()
        """Keys of the zone itself, where this is the door of a copy."""
        self.take_up(zone_keys)

    def take_up(self, zone_keys: Iterable[PublicKey]) -> None:
        """Go by these keys of the zone from now on."""
        self._prefixes = self._writers | dict.fromkeys(zone_keys, (self._zone,))

    def prefixes(self, key: PublicKey) -> tuple[str, ...]:
        """The prefixes below which a key may write, none for one that may follow only. Raises :class:`Refused` for an
        unknown one."""
        prefixes = self._prefixes.get(key)
        if prefixes is not None:
            return prefixes
        if self.followers.name(key) is None:
            raise Refused(UNKNOWN_KEY, Status.NOT_PERMITTED, key=str(key))
        return ()


def permits(prefixes: tuple[str, ...], prefix: str) -> bool:
    """Whether a key with these prefixes may write below ``prefix``, in normal form."""
    return any(covers(one, prefix) for one in prefixes)


def challenge_bytes(zone: str, nonce: bytes, *, at_copy: bool = False) -> bytes:
    """What a key signs to prove itself: context, length and name of the node's zone, nonce. The zone is in it so that
    a node cannot pass on another node's challenge; and as copies are of the same zone, a key of the zone has another
    context there (``at_copy``)."""
    name = zone.encode()
    return (COPY_CONTEXT if at_copy else PROVE_CONTEXT) + bytes((len(name),)) + name + nonce
