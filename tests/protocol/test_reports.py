"""Reports as bytes."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError
from protocol.limits import MAX_REPORT_BYTES
from protocol.reports import Report, encode_report, proof_bytes, read_report

GOOD = ["88.118", 100, 200, 3, 5, 0, 1, 7, {"88.118.1": 7}, {"C34": 7}, {"resolved.ok": 1}]
COUNTS = st.integers(0, (1 << 63) - 1)


def test_it_reads_as_it_was_written() -> None:
    report = read_report(msgpack.packb(GOOD))
    assert report == Report(*GOOD)  # type: ignore[arg-type]
    assert encode_report(report) == msgpack.packb(GOOD)


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, "8" * 65), (0, b"88"), (1, -1), (1, 201), (2, 1.5), (3, 0), (3, 6), (4, 0), (5, 1), (6, 0), (7, -1),
        (8, {"88.118.1": -1}), (8, {"8" * 65: 1}), (9, {"C34567890": 1}), (9, {f"C{i}": 1 for i in range(129)}),
        (10, {"Bad name": 1}), (10, {"x" * 33: 1}), (10, {f"{'a' * (i + 1)}": 1 for i in range(65)}), (10, {"a": True}),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused(index: int, value: object) -> None:
    raw = msgpack.packb([value if i == index else one for i, one in enumerate(GOOD)])
    with pytest.raises(MessageError, match="no report"):
        read_report(raw)


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x90", msgpack.packb(GOOD[:-1]), msgpack.packb([*GOOD, 1]),
                                 msgpack.packb(GOOD) + b"\x00", bytes(MAX_REPORT_BYTES + 1)])  # fmt: skip
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(MessageError, match="no report"):
        read_report(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        report = read_report(raw)
    except MessageError:
        return
    assert read_report(encode_report(report)) == report


def test_what_is_signed_tells_the_zones_apart() -> None:
    nonce = bytes(32)
    proofs = {
        proof_bytes(*zones, nonce) for zones in (("88", "88.1"), ("88.1", "88"), ("", "88"), ("88", ""), ("8", "8"))
    }
    assert len(proofs) == 5
    assert proof_bytes("88", "88.118", nonce) == b"biaoshi report 1\x00\x0288\x0688.118" + nonce
