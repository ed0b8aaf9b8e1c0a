"""Decoders on any bytes: a value or a documented error, in bounded time and memory."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BiaoshiError
from protocol.framing import MAX_ITEMS, READ_BYTES, MessageStream, decode_one
from protocol.gs1.digital_links import parse_link
from protocol.gs1.element_strings import parse_elements
from protocol.gs1.mapping import make_mapping
from protocol.kept import read_data
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.receipts import verify_receipt
from protocol.records import check_values, decode_body, split_body
from protocol.statements import read_delegation, read_online_key, read_request
from protocol.succession import read_succession
from protocol.templates import read_template
from tests.fuzz.decoders import JUDGES, asking
from tests.fuzz.seeds import HOSTILE, found, seeds
from tests.property.strategies import FEW, MANY, damaged, messagepack
from tests.vectors.actors import ANCHOR, NOW_MS

EVERY_JUDGE = pytest.mark.parametrize("name", JUDGES)


@EVERY_JUDGE
@MANY
@given(data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes) -> None:
    JUDGES[name](data)


@EVERY_JUDGE
@MANY
@given(data=messagepack())
def test_any_messagepack(name: str, data: bytes) -> None:
    JUDGES[name](data)


@EVERY_JUDGE
@MANY
@given(data=damaged(seeds()))
def test_any_damage_to_good_bytes(name: str, data: bytes) -> None:
    JUDGES[name](data)


@EVERY_JUDGE
def test_every_vector(name: str) -> None:
    for data in seeds():
        JUDGES[name](data)


@EVERY_JUDGE
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bytes(name: str, what: str) -> None:
    data = HOSTILE[what]
    if name in {"stream", "exchange"}:
        data = data[:100_000]  # these judges take it in pieces of a few bytes
    JUDGES[name](data)


@pytest.mark.parametrize("what", found())
def test_what_the_fuzzer_has_found(what: str) -> None:
    name, data = found()[what]
    JUDGES[name](data)


# Time and memory -----------------------------------------------------------------------------------------
#
# The bounds, in bytes of Python's memory while a decoder works on n bytes. They are what the worst of HOSTILE takes,
# rounded up:
#
#   a stream                  82,000,000 for an instant (1,024 levels of arrays that announce 20,000 elements; see
#                             MAX_ITEMS) plus 80 n (empty maps); what *waits* keeps 4 n + 65,000, of which
#                             a decoder's stack is 40,000
#   one message               11,000,000 + 80 n
#   a receipt                 11,000,000 + 80 n
#   bodies, values, statements 16 n + 10,000
#   links and element strings of GS1 16 n + 100,000
#   the rule of a prefix      16 n + 3,000,000 (pairs of places of two forms)

STREAM_BYTES = 8 * MAX_ITEMS * 1_024
ONE_BYTES = 11_000_000


def stream(data: bytes) -> object:
    waiting = MessageStream()
    waiting.feed(data)
    waiting.take(1_000_000)
    return waiting


def exchange(data: bytes) -> object:
    asked = asking(knowing=True)
    for at in range(0, len(data), READ_BYTES):
        asked.receive(data[at : at + READ_BYTES], NOW_MS)
    return asked


BOUNDS = {
    "stream": (stream, STREAM_BYTES, 80),
    "exchange": (exchange, STREAM_BYTES, 160),
    "one message": (lambda data: decode_one(data, MAX_MESSAGE_BYTES), ONE_BYTES, 80),
    "receipt": (lambda data: verify_receipt(data, ANCHOR), ONE_BYTES, 80),
    "body": (decode_body, 10_000, 16),
    "head of a body": (split_body, 10_000, 16),
    "values": (check_values, 10_000, 16),
    "data": (read_data, 10_000, 16),
    "template": (read_template, 10_000, 16),
    "delegation": (read_delegation, 10_000, 16),
    "online key": (read_online_key, 10_000, 16),
    "request": (read_request, 10_000, 16),
    "succession": (read_succession, 10_000, 16),
    "GS1 link": (lambda data: parse_link(data.decode("latin-1")), 100_000, 16),
    "GS1 element string": (lambda data: parse_elements(data.decode("latin-1")), 100_000, 16),
    "GS1 rule": (lambda data: make_mapping("88.118", data.decode("latin-1").split("\n")), 3_000_000, 16),
}


def measured(decoder: object, data: bytes) -> tuple[int, int, float]:
    """Peak and kept memory, and seconds of the processor."""
    kept: object = None
    tracemalloc.start()
    begun = time.process_time()
    with contextlib.suppress(BiaoshiError):
        kept = decoder(data)  # type: ignore[operator]
    seconds = time.process_time() - begun
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak, held, seconds


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("what", HOSTILE)
def test_memory_and_time_are_bounded(name: str, what: str) -> None:
    decoder, base, per_byte = BOUNDS[name]
    data = HOSTILE[what]
    asking(knowing=True)  # what is made once is not counted
    peak, _, seconds = measured(decoder, data)
    assert peak <= base + per_byte * len(data)
    assert seconds < 10, "of the processor; where nothing else runs the worst takes half of one"


@pytest.mark.parametrize("what", HOSTILE)
def test_what_waits_takes_no_more_than_was_sent(what: str) -> None:
    data = HOSTILE[what]
    _, held, _ = measured(stream, data)
    complete = what in {"fifty arrays of 20,000 empty maps", "an array of 20,000 empty maps"}
    assert complete or held <= 4 * len(data) + 65_000


@FEW
@given(data=damaged(tuple(HOSTILE[what][:6_000] for what in HOSTILE)))
def test_damaged_hostile_bytes(data: bytes) -> None:
    for judge in JUDGES.values():
        judge(data)
