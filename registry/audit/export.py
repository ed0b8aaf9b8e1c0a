"""The audit log as a file that proves itself: NDJSON, one entry a line, between a line that says whose it is and its
head.

::

    {"audit":1,"zone":"88.118"}
    {"number":0,"time":…,"actor":…,"action":…,"record":…,"version":…,"reason":…,"details":{…},"link":"…"}
    …
    {"entries":1,"link":"…","time":…,"signature":"…","delegations":[…],"online_keys":[…]}

A line is read only in the very bytes in which it is written here, so that no edit goes unseen, be it a blank. The head
is signed by an online key of the zone and carries what vouches for that key, so a file is verified with the trust
anchor alone, and at any time. Lines come and go one by one: a log of any length takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from protocol.errors import NotVerified, Rule
from protocol.signatures import SigningKey
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor, verify_online_keys, verify_zone
from registry.audit.chain import (
    BAD_HEAD,
    CUT_OFF,
    Entry,
    Head,
    HeadCheck,
    Link,
    damaged,
    encode_entry,
    first_link,
    follow,
    walk,
)
from registry.audit.log import KeptEntry

FORMAT: Final = 1

MAX_LINE_BYTES: Final = 65_536
"""Bytes of one line: an entry has some hundred, a head with its chain some thousand."""

NOT_A_LOG: Final = Rule(
    "audit.not-a-log",
    Status.NOT_VERIFIED,
    "this is no audit log as 'biaoshi audit export' writes it: {reason}",
    "这不是 biaoshi audit export 导出的审计日志：{reason_zh}",
)
FOREIGN: Final = Rule(
    "audit.foreign-head",
    Status.NOT_VERIFIED,
    "the head of the audit log of '{zone}' is signed for the zone '{signer}'",
    "审计日志属于区域“{zone}”，其日志头却由区域“{signer}”签署",
)


class _First(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audit: int
    zone: str


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    time: int
    actor: str
    action: str
    record: str
    version: int
    reason: str
    details: dict[str, str]
    link: str


class _Last(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entries: int
    link: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]+\Z")]
    time: int
    signature: bytes
    delegations: tuple[bytes, ...]
    online_keys: tuple[bytes, ...]


class SignedHead(NamedTuple):
    """A head with its signature, and the chain that is to vouch for the key; nothing of it verified."""

    head: Head
    signature: bytes
    chain: Chain

    def verify(self, anchor: TrustAnchor) -> None:
        """See that an online key of the zone has signed it, as the anchor vouches, at its time. Raises
        :class:`NotVerified`, :class:`~protocol.errors.MessageError`."""
        zone = verify_zone(anchor, self.chain.delegations, self.head.time)
        if zone.prefix != self.head.zone:
            raise NotVerified(FOREIGN, zone=self.head.zone, signer=zone.prefix)
        for key in verify_online_keys(zone, self.chain.online_keys):
            if key.not_before <= self.head.time <= key.not_after and self.head.is_signed(self.signature, key.key):
                return
        raise NotVerified(BAD_HEAD)


_Kind = TypeVar("_Kind", _First, _Line, _Last)
_encode: Final = msgspec.json.Encoder().encode


def export(zone: str, entries: Iterable[KeptEntry], sign: Callable[[Link], SignedHead]) -> Iterator[bytes]:
    """The lines of the file, each with its end. The log is verified on the way: a damaged one is not signed. Raises
    :class:`NotVerified`."""
    yield _encode(_First(FORMAT, zone)) + b"\n"
    end = first_link(zone)
    for entry, end in walk(zone, entries):
        yield _encode(_shown(entry, end)) + b"\n"
    yield head_line(sign(end))


def head_alone(zone: str, signed: SignedHead) -> Iterator[bytes]:
    """The file without its entries: to be kept elsewhere, and later compared with."""
    yield _encode(_First(FORMAT, zone)) + b"\n"
    yield head_line(signed)


def sign_head(zone: str, link: Link, now: int, key: SigningKey, chain: Chain) -> SignedHead:
    """Sign for a log that stands at ``link`` now."""
    head = Head(zone, link.number, link.link, now)
    return SignedHead(head, head.sign(key), Chain(chain.delegations, chain.online_keys[:1]))


def head_line(signed: SignedHead) -> bytes:
    """The last line of the file."""
    head, chain = signed.head, signed.chain
    return _encode(_Last(
        head.entries, head.link.hex(), head.time, signed.signature, chain.delegations, chain.online_keys
    )) + b"\n"  # fmt: skip


def verify(lines: Iterable[bytes], anchor: TrustAnchor, against: SignedHead | None = None) -> Head:
    """Verify a file, line by line, by the anchor; it must also go on from where the head ``against`` was signed. Gives
    its head. Raises :class:`NotVerified`, :class:`~protocol.errors.MessageError`."""
    iterator = iter(lines)
    zone = _read_first(next(iterator, b"")).zone
    check = None if against is None else _check(against, zone, anchor)
    link = first_link(zone)
    last = next(iterator, b"")
    for line in iterator:
        link = _follow(link, last)
        if check is not None:
            check.look(link)
        last = line
    signed = _read_head(zone, last)
    if signed.head.entries != link.number:
        raise NotVerified(CUT_OFF, found=link.number, stated=signed.head.entries)
    if signed.head.link != link.link:
        raise damaged(link.number, "the head has another link", "日志头的链接值不符")
    signed.verify(anchor)
    if check is not None:
        check.end()
    return signed.head


def verify_kept(
    zone: str, entries: Iterable[KeptEntry], anchor: TrustAnchor, against: SignedHead | None = None
) -> Link:
    """Verify a log in its store, which has no head of its own; gives where it ends. Raises :class:`NotVerified`."""
    end = first_link(zone)
    check = None if against is None else _check(against, zone, anchor)
    for _, end in walk(zone, entries):
        if check is not None:
            check.look(end)
    if check is not None:
        check.end()
    return end


def read_head(lines: Iterable[bytes]) -> SignedHead:
    """The head of a file, whatever stands between; not verified. Raises :class:`NotVerified`."""
    iterator = iter(lines)
    zone = _read_first(next(iterator, b"")).zone
    last = b""
    for line in iterator:
        last = line
    return _read_head(zone, last)


def _check(against: SignedHead, zone: str, anchor: TrustAnchor) -> HeadCheck:
    against.verify(anchor)
    if against.head.zone != zone:
        raise NotVerified(FOREIGN, zone=zone, signer=against.head.zone)
    return HeadCheck(against.head)


def _read_first(line: bytes) -> _First:
    first = _read(line, _First)
    if first is None or first.audit != FORMAT:
        raise NotVerified(NOT_A_LOG, reason="its first line does not say so", reason_zh="首行不是日志声明")
    return first


def _read_head(zone: str, line: bytes) -> SignedHead:
    last = _read(line, _Last)
    if last is None:
        raise NotVerified(NOT_A_LOG, reason="its last line is no head", reason_zh="末行不是日志头")
    try:
        head = Head(zone, last.entries, bytes.fromhex(last.link), last.time)
        msgspec.convert(msgspec.to_builtins(head, builtin_types=(bytes,)), Head)
    except (ValueError, msgspec.ValidationError) as error:
        raise NotVerified(NOT_A_LOG, reason=f"its head, {error}", reason_zh=f"日志头有误（{error}）") from None
    return SignedHead(head, last.signature, Chain(last.delegations, last.online_keys))


def _follow(link: Link, line: bytes) -> Link:
    read = _read(line, _Line)
    if read is None:
        raise damaged(link.number, "the line is not as it was written", "该行不是导出时的内容")
    entry = Entry(
        number=read.number, time=read.time, actor=read.actor, action=read.action, record=read.record,
        version=read.version, reason=read.reason, details=read.details,
    )  # fmt: skip
    if entry.number != link.number:
        raise damaged(link.number, f"number {entry.number} stands in its place", f"此处为第 {entry.number} 条")
    try:
        link = follow(link, encode_entry(entry))
    except OverflowError as error:
        raise damaged(link.number, str(error), str(error)) from None
    if link.link.hex() != read.link:
        raise damaged(entry.number, "its link does not follow from what is before it", "链接值与之前的内容不符")
    return link


def _read(line: bytes, kind: type[_Kind]) -> _Kind | None:
    """A line of one kind; None for any other bytes than those that are written for it."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        read = msgspec.json.decode(line, type=kind)
        return read if _encode(read) + b"\n" == line else None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _shown(entry: Entry, link: Link) -> _Line:
    details = dict(sorted(entry.details.items()))
    return _Line(
        entry.number, entry.time, entry.actor, entry.action, entry.record, entry.version, entry.reason, details,
        link.link.hex(),
    )  # fmt: skip
