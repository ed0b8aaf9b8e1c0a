"""Where searching begins: everything in the vectors, and bytes meant to hurt."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgpack

from protocol.framing import split
from protocol.statements import Address, DelegationRequest
from protocol.succession import Succession
from tests.fuzz.decoders import conversation, honest_log
from tests.fuzz.gs1 import GS1_SEEDS
from tests.fuzz.handles import handle_seeds
from tests.vectors.actors import BODY, IDENTIFIER, NOW, SECONDARY, SECONDARY_CHAIN, TOP, answered
from tests.vectors.generate import FEED_CURSOR, FEED_MARK, FEED_PARTS, FILES
from tests.vectors.load import load

HOSTILE: Final[dict[str, bytes]] = {
    "arrays in arrays": b"\x91" * 1_000_000,
    "arrays in arrays, just not too deep": b"\x91" * 500 + b"\xc0",
    "maps in maps": b"\x81" * 1_000_000,
    "maps in maps, just not too deep": b"\x81\x01" * 500 + b"\xc0",
    "pairs, one inside the other": b"\x92\x01" * 500_000,
    "maps as keys": b"\x81" * 400 + b"\xc0" * 401,
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "text of four thousand million": b"\xdb\xff\xff\xff\xff",
    "a binary of four thousand million": b"\xc6\xff\xff\xff\xff",
    "an extension of four thousand million": b"\xc9\xff\xff\xff\xff\x05",
    "nested arrays of 20,000": b"\xdc\x4e\x20" * 1_000,
    "nested arrays of 20,000, wide": b"\xdd\x00\x00\x4e\x20" * 1_000,
    "nested arrays of 65,535": b"\xdc\xff\xff" * 1_000,
    "nested arrays of a million": b"\xdd\x00\x10\x00\x00" * 1_000,
    "nested maps of 64": b"\xde\x00\x40\x01" * 1_000,
    "an array of 20,000 empty maps": b"\xdc\x4e\x20" + b"\x80" * 20_000,
    "fifty arrays of 20,000 empty maps": b"\xdc\x00\x32" + (b"\xdc\x4e\x20" + b"\x80" * 20_000) * 50,
    "a million small numbers": b"\x01" * 1_000_000,
    "extension 1": b"\xd4\x05\x00",
    "extension 8": b"\xc7\x03\x05abc",
    "extension without data": b"\xc7\x00\x05",
    "timestamp 32": b"\xd6\xff\x00\x00\x00\x01",
    "timestamp 64": b"\xd7\xff" + bytes(8),
    "timestamp 64, too many nanoseconds": b"\xd7\xff" + b"\xff" * 8,
    "timestamp 96": b"\xc7\x0c\xff" + b"\xff" * 12,
    "timestamp of no length": b"\xc7\x00\xff",
    "not a number": b"\xcb\x7f\xf8" + bytes(6),
    "not a number as key": b"\x82\xcb\x7f\xf8" + bytes(6) + b"\x01\xcb\x7f\xf8" + bytes(6) + b"\x02",
    "infinity": b"\x93\x01\xca\x7f\x80\x00\x00\xca\xff\x80\x00\x00",
    "the largest integer": b"\x93\xcf" + b"\xff" * 8 + b"\x00\xc0",
    "the smallest integer": b"\x93\xd3\x80" + bytes(7) + b"\x00\xc0",
    "text that is not UTF-8": b"\x93\x01\x00\xa2\xff\xfe",
    "text with a surrogate": b"\x93\x01\x00\xa3\xed\xa0\x80",
    "the byte that is never used": b"\xc1",
    "a rid that is true": b"\x93\xc3\x00\xc0",
    "details called rule, status and self": b"\x93\x01\xcd\x01\x2c\x92\xb5message.bad-arguments"
    b"\x83\xa4rule\x01\xa6status\x01\xa4self\x01",
    "body: version 2^64-1": b"\x94\xcf" + b"\xff" * 8 + b"\x00\xcf" + b"\xff" * 8 + b"\x90",
    "body: nested values": b"\x94\x01\x00\x01" + b"\x91" * 30_000,
    "body: values announced": b"\x94\x01\x00\x01\xdd\xff\xff\xff\xff",
    "body: not a number": b"\x94\xcb\x7f\xf8" + bytes(6) + b"\x00\x01\x90",
    "values: announced": b"\xdd\xff\xff\xff\xff",
    "values: data announced": b"\x91\x93\x01\xa1a\xc6\xff\xff\xff\xff",
    "values: text with a surrogate": b"\x91\x93\x01\xa3\xed\xa0\x80\xc4\x00",
    "values: timestamp": b"\x91\x93\xd6\xff\x00\x00\x00\x01\xa1a\xc4\x00",
    "values: 150,000 of them": b"\xdd\x00\x02\x49\xf0" + b"\x93\x01\xa1a\xc4\x00" * 150_000,
    "statement: nested": b"\x92\xc5\x0f\xa0" + b"\x97" * 4_000 + b"\xc4\x00",
    "statement: keys announced": b"\x92\xc4\x0d\x97\xa0\xa288\x01\x01\x01\xdd\xff\xff\xff\xff\xc4\x00",
    "receipt: messages nested": b"\x96\x01" + 3 * (b"\xc5\x13\x88" + b"\xdd\x00\x10\x00\x00" * 1_000) + b"\x90\x90",
    "receipt: links announced": b"\x96\x01\xc4\x00\xc4\x00\xc4\x00\xdd\xff\xff\xff\xff",
    "GS1 rule: the longest forms, alike to the end": b"\n".join(
        b"a" * 380 + b"{gtin=0%02d}/{cpv}~{lot}~{serial}" % n for n in range(16)
    ),
    "GS1 link: nothing but qualifiers": b"/21/a" * 1_600,
    "GS1 elements: one lot, again and again": b"10A\x1d" * 1_770,
    "receipt: keys announced": b"\x96\x01\xc4\x00\xc4\x00\xc4\x00\x90\xdd\xff\xff\xff\xff",
}


LINE: Final = b'{"identifier":"88.118.1/x","values":[{"index":1,"type":"URL","data":"https://example.com/"}]}\n'
"""A line of an import over HTTP."""


@cache
def found() -> dict[str, tuple[str, bytes]]:
    """What the fuzzer has found, made small: by what it is, the target and the bytes."""
    exchanged = answered()
    as_text = exchanged._replace(seal=exchanged.seal.replace(b"\xc4\x08", b"\xd9\x08", 1))
    chain, resolved, seal = (wire for _, wire in split(conversation()[1])[:3])
    refused = chain[:10] + b"\x01" + chain[11:]  # another status
    other_key = seal.replace(SECONDARY.online.public.id, bytes(8))
    return {
        "a receipt whose seal names its key in text": ("receipt", as_text.receipt(SECONDARY_CHAIN)),
        # It waits for its key; the true chain, when it comes, must not be lost for its sake.
        "a datagram under an unknown key": ("datagrams", refused + resolved + other_key),
        "a form of a GS1 rule that is not UTF-8": ("gs1_rule", b"{gtin}\xff"),
    }


def _signed() -> Iterator[bytes]:
    """Statements that the vectors do not have."""
    address = Address("node.example.cn", 26_410, 26_410)
    yield DelegationRequest(SECONDARY.prefix, (SECONDARY.key.public,), (address,), NOW).sign(SECONDARY.key)
    old, new = TOP.key, TOP.online
    yield Succession(TOP.prefix, old.public, new.public, NOW, NOW + 86_400).sign(old)


@cache
def seeds() -> tuple[bytes, ...]:
    """All byte strings of the vectors, a conversation, statements, what was found: shortest first, each once."""
    vectors = {bytes.fromhex(digits) for name in FILES for digits in _strings(load(name.removesuffix(".json")))}
    ranged = [3, FEED_MARK, 2, [IDENTIFIER, IDENTIFIER], [[IDENTIFIER, BODY]]]
    page = [[*FEED_PARTS, ranged], FEED_CURSOR, False, FEED_CURSOR]
    vectors.add(msgpack.packb(page))
    vectors |= {LINE, LINE * 3, b'{"records":[' + LINE.strip() + b"]}"}
    patterns = [one["pattern"].encode() for one in load("series")["patterns"]]
    records = [one["record"].encode() for one in load("series")["patterns"]]
    vectors |= {*patterns, *(record.partition(b"/")[2] for record in records)}
    vectors.add(msgpack.packb([[[0, FEED_MARK, 1, None, [[records[0], BODY]]]], FEED_CURSOR, False, FEED_CURSOR]))
    vectors |= handle_seeds()
    vectors |= set(GS1_SEEDS)
    all_of_them = {*vectors, conversation()[1], honest_log(), *_signed(), *(data for _, data in found().values())}
    return tuple(sorted(all_of_them, key=lambda one: (len(one), one)))


def _strings(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for one in value.values():
                yield from _strings(one)
        case list():
            for one in value:
                yield from _strings(one)
        case str() if len(value) % 2 == 0 and all(digit in "0123456789abcdef" for digit in value):
            yield value
