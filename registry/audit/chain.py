"""Entries of the audit log and how each is bound to all before it. Pure.

::

    entry  = [1, number, time, actor, action, record, version, reason, details]      MessagePack, shortest forms
    link 0 = SHA-256("biaoshi audit 1" ‖ 00 ‖ zone)
    link n+1 = SHA-256(link n ‖ entry n)

Numbers count from 0 without a gap. ``record`` names the system record that was changed (``allotment/88.118.32001``),
``version`` is the one that it has since; ``time`` is in seconds since 1970 UTC. Whoever holds the last link, and how
many entries there are, holds the whole log: no entry can be changed, left out, put in or moved without another link at
its end. What was cut off the end shows by comparing with a *head* from before: count and link, signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

import msgspec

from protocol.errors import NotVerified, Rule, StoreError
from protocol.signatures import PublicKey, SigningKey
from protocol.status import Status

CHAIN_CONTEXT: Final = b"biaoshi audit 1\x00"
HEAD_CONTEXT: Final = b"biaoshi audit head 1\x00"
FORMAT: Final = 1
LINK_BYTES: Final = 32

_U63: Final = (1 << 63) - 1

DAMAGED: Final = Rule(
    "audit.damaged",
    Status.NOT_VERIFIED,
    "the audit log is not as it was written: at entry {number}, {reason}",
    "审计日志已被改动：第 {number} 条，{reason_zh}",
)
CUT_OFF: Final = Rule(
    "audit.cut-off",
    Status.NOT_VERIFIED,
    "the audit log ends after {found} entries, and there were {stated} when its head was signed",
    "审计日志只有 {found} 条，而签署日志头时有 {stated} 条",
)
OTHER_HISTORY: Final = Rule(
    "audit.other-history",
    Status.NOT_VERIFIED,
    "the first {stated} entries of the audit log are not those for which this head was signed",
    "审计日志的前 {stated} 条与所签署的日志头不符",
)
BAD_HEAD: Final = Rule(
    "audit.bad-head",
    Status.NOT_VERIFIED,
    "the head of the audit log is not signed by an online key of the zone that was valid then",
    "审计日志头不是由本区域当时有效的在线密钥签署的",
)
NOT_AN_ENTRY: Final = Rule(
    "audit.not-an-entry",
    Status.STORE_FAILED,
    "entry {number} of the audit log cannot be read: {reason}",
    "审计日志第 {number} 条无法读取：{reason}",
)


class Entry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One change. ``actor`` is the name of who made it, ``details`` are short texts by name."""

    format: Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    number: Annotated[int, msgspec.Meta(ge=0, le=_U63)]
    time: Annotated[int, msgspec.Meta(ge=0, le=_U63)]
    actor: str
    action: str
    record: str
    version: Annotated[int, msgspec.Meta(ge=0, le=_U63)]
    reason: str
    details: dict[str, str]


class Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How far a log goes: ``entries`` of them, the last link behind; as of ``time``, seconds since 1970 UTC."""

    zone: str
    entries: Annotated[int, msgspec.Meta(ge=0, le=_U63)]
    link: Annotated[bytes, msgspec.Meta(min_length=LINK_BYTES, max_length=LINK_BYTES)]
    time: Annotated[int, msgspec.Meta(ge=0, le=_U63)]

    def sign(self, key: SigningKey) -> bytes:
        """The signature of an online key over it."""
        return key.sign(HEAD_CONTEXT + _encode(self))

    def is_signed(self, signature: bytes, key: PublicKey) -> bool:
        """Whether the signature is that of ``key``."""
        return key.verifies(signature, HEAD_CONTEXT + _encode(self))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Entry).decode


class Link(NamedTuple):
    """Where a log stands: the number of the next entry, and what stands for all before it."""

    number: int
    link: bytes


def first_link(zone: str) -> Link:
    """The log of a zone before its first entry."""
    return Link(0, sha256(CHAIN_CONTEXT + zone.encode()).digest())


def encode_entry(entry: Entry) -> bytes:
    """The canonical bytes of an entry. Its details are in the order of their names."""
    details = dict(sorted(entry.details.items()))
    return _encode(msgspec.structs.replace(entry, details=details))


def decode_entry(raw: bytes, number: int) -> Entry:
    """Read what :func:`encode_entry` wrote. Raises :class:`StoreError`."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(NOT_AN_ENTRY, number=number, reason=str(error)) from None


def follow(link: Link, raw: bytes) -> Link:
    """The link behind an entry."""
    return Link(link.number + 1, sha256(link.link + raw).digest())


def walk(zone: str, entries: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[Entry, Link]]:
    """Verify entries from the first on, each with the link that is kept beside it; gives each, with the link behind it,
    and remembers none. Raises :class:`NotVerified` at the first that is not right."""
    link = first_link(zone)
    for raw, kept in entries:
        number = link.number
        try:
            entry = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(number, f"it is none ({error})", f"内容不是日志条目（{error}）") from None
        if entry.number != number:
            raise damaged(number, f"number {entry.number} stands in its place", f"此处为第 {entry.number} 条")
        if encode_entry(entry) != raw:
            raise damaged(number, "its bytes are not in canonical form", "字节不是规范形式")
        link = follow(link, raw)
        if link.link != kept:
            raise damaged(number, "its link does not follow from what is before it", "链接值与之前的内容不符")
        yield entry, link


def damaged(number: int, reason: str, reason_zh: str) -> NotVerified:
    """The error for an entry that is not as it was written."""
    return NotVerified(DAMAGED, number=number, reason=reason, reason_zh=reason_zh)


class HeadCheck:
    """Whether a log goes on from where a head was signed, seen while it is walked."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._met = head.entries == 0 and head.link == first_link(head.zone).link
        self._seen = 0

    def look(self, link: Link) -> None:
        """Take the link behind an entry."""
        self._seen = link.number
        if link.number == self._head.entries:
            self._met = link.link == self._head.link

    def end(self) -> None:
        """The log is over. Raises :class:`NotVerified` where it is shorter, or another."""
        if self._seen < self._head.entries:
            raise NotVerified(CUT_OFF, found=self._seen, stated=self._head.entries)
        if not self._met:
            raise NotVerified(OTHER_HISTORY, stated=self._head.entries)
