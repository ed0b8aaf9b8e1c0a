"""Who is calling: keys of the configuration, the zone's own, and those of identities.

What a caller may do is for the table in :mod:`registry.store.callers.permissions`. A key in ``[[registry.writers]]``
is a writer below its prefixes; where these are the whole zone, it is a node administrator, as the zone's own keys are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from protocol.errors import Refused, Rule
from protocol.identifiers import covers
from protocol.signatures import PublicKey
from protocol.status import Status
from registry.followers import Followers
from registry.store.callers.configured import configured
from registry.store.callers.permissions import Caller

PROVE_CONTEXT: Final = b"biaoshi prove 1\x00"
COPY_CONTEXT: Final = b"biaoshi prove at copy 1\x00"
"""For a key of the zone at a copy: what it signs there is of no use at the zone's own registry, where it may write."""

UNKNOWN_KEY: Final = Rule(
    "rights.unknown-key",
    Status.NOT_PERMITTED,
    "the key {key} is not known on this node, or was revoked; an operator adds it under [[registry.writers]]",
    "密钥 {key} 在本节点无权操作（未登记或已撤销），请由运维人员加入 [[registry.writers]]",
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
SUSPENDED: Final = Rule(
    "rights.suspended",
    Status.SUSPENDED,
    "'{prefix}' is suspended, and nothing is written below it: {reason}",
    "“{prefix}”已停用，不能写入：{reason}",
)
CLOSED: Final = Rule(
    "rights.closed",
    Status.WITHDRAWN,
    "'{prefix}' is closed, and nothing is written below it",
    "“{prefix}”已关闭，不能写入",
)
NOT_OPEN: Final = Rule(
    "rights.not-open",
    Status.NOT_PERMITTED,
    "'{prefix}' is {stage}: nothing is written below it here; an administrator of the node hosts it first",
    "“{prefix}”当前状态为 {stage}，不能在本节点写入；请由节点管理员先开通托管",
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
    """Callers by key. The zone's own keys may do everything in it; ``followers`` may follow its feed, and ``vouched``
    are the zone's statements for the online keys of their nodes, by their names. ``identities`` gives the caller for
    whom a key of an identity speaks, and ``barrier`` what stands in the way of writing below a prefix, whoever asks;
    both know what was changed a moment ago."""

    def __init__(
        self,
        writers: Mapping[PublicKey, Iterable[str]],
        zone: str,
        zone_keys: Iterable[PublicKey] = (),
        followers: Followers | None = None,
    ) -> None:
        self._zone = zone
        self._writers = {key: tuple(prefixes) for key, prefixes in writers.items()}
        self.followers = followers or Followers({})
        self.vouched: Mapping[str, bytes] = {}
        self.at_copy: frozenset[PublicKey] = frozenset()
        """Keys of the zone itself, where this is the door of a copy."""
        self.identities: Callable[[PublicKey], Caller | None] = lambda _: None
        self.barrier: Callable[[str], Refused | None] = lambda _: None
        self.take_up(zone_keys)

    def take_up(self, zone_keys: Iterable[PublicKey]) -> None:
        """Go by these keys of the zone from now on."""
        self._callers = configured(self._writers, self._zone, zone_keys)

    def is_configured(self, key: PublicKey) -> bool:
        """Whether a key is one of the configuration, or of the zone."""
        return key in self._callers or self.followers.name(key) is not None

    def caller(self, key: PublicKey) -> Caller:
        """Who speaks by a key, as of now; who may follow only has no role. Raises :class:`Refused` for an unknown one,
        also one that was revoked."""
        caller = self._callers.get(key) or self.identities(key)
        if caller is not None:
            return caller
        if self.followers.name(key) is None:
            raise Refused(UNKNOWN_KEY, Status.NOT_PERMITTED, key=str(key))
        return Caller(str(key), frozenset(), ())


def permits(prefixes: tuple[str, ...], prefix: str) -> bool:
    """Whether a key with these prefixes may write below ``prefix``, in normal form."""
    return any(covers(one, prefix) for one in prefixes)


def challenge_bytes(zone: str, nonce: bytes, *, at_copy: bool = False) -> bytes:
    """What a key signs to prove itself: context, length and name of the node's zone, nonce. The zone is in it so that
    a node cannot pass on another node's challenge; and as copies are of the same zone, a key of the zone has another
    context there (``at_copy``)."""
    name = zone.encode()
    return (COPY_CONTEXT if at_copy else PROVE_CONTEXT) + bytes((len(name),)) + name + nonce
