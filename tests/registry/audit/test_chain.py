"""The audit log: whatever is done to it is found."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import BiaoshiError, NotVerified
from protocol.signatures import SigningKey
from protocol.trust import Chain, TrustAnchor
from registry.audit.chain import (
    CUT_OFF,
    OTHER_HISTORY,
    Entry,
    Link,
    decode_entry,
    encode_entry,
    first_link,
    walk,
)
from registry.audit.export import FOREIGN, SignedHead, export, head_alone, read_head, sign_head, verify, verify_kept
from registry.audit.log import AUDIT, KeptEntry, entry_write, find_end, kept_entries
from registry.store.memory import MemoryStore
from registry.store.writes import ANY, Write
from tests.vectors.actors import ENTERPRISE, ENTERPRISE_CHAIN, NOW, SECONDARY, SECONDARY_CHAIN, TOP

ZONE = SECONDARY.prefix
ANCHOR = TrustAnchor(TOP.prefix, TOP.key.public)


def entry(number: int, actor: str = "88.118/U.li", **changes: str) -> Entry:
    return Entry(
        number=number, time=NOW + number, actor=actor, action="prefix.suspend", record=f"allotment/88.118.{number}",
        version=number + 1, reason=changes.get("reason", "质量问题\n\"x\""), details={"to": "节点", "a": "\u0001"},
    )  # fmt: skip


def log(count: int, zone: str = ZONE, **changes: str) -> MemoryStore:
    store, link = MemoryStore(), first_link(zone)
    for number in range(count):
        write, link = entry_write(link, entry(number, **changes))
        store.apply([write], NOW)
    return store


def sign(link: Link) -> SignedHead:
    return sign_head(ZONE, link, NOW, SECONDARY.online, SECONDARY_CHAIN)


def exported(count: int) -> list[bytes]:
    return list(export(ZONE, kept_entries(log(count)), sign))


WHOLE = exported(5)


def test_a_log_that_holds() -> None:
    for count in (0, 1, 5):
        lines = exported(count)
        assert len(lines) == count + 2
        head = verify(lines, ANCHOR)
        assert (head.zone, head.entries) == (ZONE, count)
        assert verify_kept(ZONE, kept_entries(log(count)), ANCHOR).link == head.link
        own = TrustAnchor(ZONE, SECONDARY.key.public)
        assert verify(lines, own).entries == count


def test_the_link_of_the_head_is_written_in_one_way_only() -> None:
    lines = exported(3)
    link = msgspec.json.decode(lines[-1])["link"].encode()
    for written in (link.upper(), link[:8] + b" " + link[8:], link + b"\\n"):
        with pytest.raises(NotVerified):
            verify([*lines[:-1], lines[-1].replace(link, written)], ANCHOR)


@given(
    at=st.integers(0, len(b"".join(WHOLE)) - 1), byte=st.integers(0, 255), how=st.sampled_from(["set", "cut", "put"])
)
@settings(max_examples=600, deadline=None)
def test_every_edit_of_a_byte_is_found(at: int, byte: int, how: str) -> None:
    """Changed, left out or put in, anywhere in the file: blanks, line ends and the head included."""
    whole = b"".join(WHOLE)
    middle = {"set": bytes((byte,)) + whole[at + 1 :], "cut": whole[at + 1 :], "put": bytes((byte,)) + whole[at:]}[how]
    edited = whole[:at] + middle
    if edited != whole:
        with pytest.raises(BiaoshiError):
            verify(edited.splitlines(keepends=True), ANCHOR)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_edit_of_lines_is_found(data: st.DataObject) -> None:
    """Lines moved, doubled, left out, cut off the end, or those of another log put in."""
    other = list(export(ZONE, kept_entries(log(5, reason="other")), sign))
    edited = data.draw(st.lists(st.sampled_from(WHOLE + other), max_size=9))
    if edited not in (WHOLE, other):
        with pytest.raises(BiaoshiError):
            verify(edited, ANCHOR)


@given(
    number=st.integers(0, 4),
    field=st.sampled_from(["time", "actor", "action", "record", "version", "reason", "details"]),
    value=st.text(max_size=3),
)
def test_an_edit_in_the_store_is_found(number: int, field: str, value: str) -> None:
    """Also of one who makes the entry's own link anew: the next does not follow from it."""
    store = log(5)
    kept = list(kept_entries(store))
    old = decode_entry(kept[number].raw, number)
    changed = {"time": len(value), "version": len(value), "details": {value: value}}.get(field, value)
    new = Entry(**({name: getattr(old, name) for name in Entry.__struct_fields__} | {field: changed}))
    if new == old:
        return
    before = first_link(ZONE) if number == 0 else Link(number, kept[number - 1].link)
    write, behind = entry_write(before, new)
    store.apply([write._replace(compare=ANY)], NOW)
    if number < 4:
        with pytest.raises(NotVerified):
            verify_kept(ZONE, kept_entries(store), ANCHOR)
    head = sign(Link(5, kept[-1].link))
    with pytest.raises(NotVerified):
        verify_kept(ZONE, kept_entries(store), ANCHOR, head)
    assert behind.link != kept[number].link


@pytest.mark.parametrize("number", range(5))
def test_an_entry_that_was_withdrawn_from_the_store_is_missed(number: int) -> None:
    store = log(5)
    store.apply([Write(AUDIT + b"/%016x" % number, ANY, None)], NOW)
    with pytest.raises(NotVerified):
        verify_kept(ZONE, kept_entries(store), ANCHOR)


def test_what_was_cut_off_shows_by_a_head_from_before() -> None:
    head = read_head(exported(5))
    verify_kept(ZONE, kept_entries(log(3)), ANCHOR)  # by itself it is a log
    with pytest.raises(NotVerified) as caught:
        verify_kept(ZONE, kept_entries(log(3)), ANCHOR, head)
    assert (caught.value.rule, caught.value.details) == (CUT_OFF, {"found": 3, "stated": 5})
    with pytest.raises(NotVerified) as caught:
        verify(exported(3), ANCHOR, head)
    assert caught.value.rule is CUT_OFF
    verify_kept(ZONE, kept_entries(log(7)), ANCHOR, head)
    assert verify(exported(7), ANCHOR, head).entries == 7
    verify(exported(7), ANCHOR, read_head(head_alone(ZONE, head)))
    verify(exported(7), ANCHOR, read_head(exported(0)))


def test_a_log_that_was_written_anew_is_another() -> None:
    head = read_head(exported(5))
    anew = log(7, reason="never")
    verify_kept(ZONE, kept_entries(anew), ANCHOR)
    with pytest.raises(NotVerified) as caught:
        verify_kept(ZONE, kept_entries(anew), ANCHOR, head)
    assert caught.value.rule is OTHER_HISTORY


def test_a_head_is_good_only_where_the_anchor_vouches() -> None:
    link = Link(0, first_link(ZONE).link)
    stranger = SigningKey(b"x" * 32)
    bad: list[Callable[[], SignedHead]] = [
        lambda: sign_head(ZONE, link, NOW, stranger, SECONDARY_CHAIN),
        lambda: sign_head(ZONE, link, NOW + 10**9, SECONDARY.online, SECONDARY_CHAIN),
        lambda: sign_head(ZONE, link, NOW, ENTERPRISE.online, ENTERPRISE_CHAIN),
        lambda: sign_head(ZONE, link, NOW, SECONDARY.online, Chain(SECONDARY_CHAIN.delegations, ())),
    ]
    for make in bad:
        with pytest.raises(NotVerified):
            verify(list(head_alone(ZONE, make())), ANCHOR)
    head = sign_head(ENTERPRISE.prefix, first_link(ENTERPRISE.prefix), NOW, ENTERPRISE.online, ENTERPRISE_CHAIN)
    verify(list(head_alone(ENTERPRISE.prefix, head)), ANCHOR)
    with pytest.raises(NotVerified) as caught:
        verify(exported(1), ANCHOR, head)
    assert caught.value.rule is FOREIGN


def test_a_damaged_log_is_not_signed() -> None:
    store = log(3)
    store.apply([Write(AUDIT + b"/%016x" % 1, ANY, None)], NOW)
    lines = export(ZONE, kept_entries(store), sign)
    with pytest.raises(NotVerified):
        list(lines)


@given(st.integers(0, 70))
def test_the_end_is_found(count: int) -> None:
    store = log(count)
    ends = [link for _, link in walk(ZONE, kept_entries(store))]
    assert find_end(store.find, ZONE) == (ends[-1] if ends else first_link(ZONE))
    assert [one.raw for one in kept_entries(store, count // 2)] == [
        one.raw for one in list(kept_entries(store))[count // 2 :]
    ]


def test_canonical_bytes_are_in_order_of_names() -> None:
    assert encode_entry(entry(1)) == encode_entry(decode_entry(encode_entry(entry(1)), 1))
    with pytest.raises(NotVerified):  # the same entry in other bytes
        list(walk(ZONE, [KeptEntry(encode_entry(entry(0)) + b"\x00", b"")]))
