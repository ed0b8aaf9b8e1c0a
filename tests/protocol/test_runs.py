"""Runs are read exactly as the ordinary decoder reads them, or not at all."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protocol.runs
from protocol.framing import split
from protocol.messages import MAX_RID, Ask, Op, encode_request
from protocol.runs import read_run, read_single

MOST = 16

rids = st.integers(0, MAX_RID)


@st.composite
def runs(draw: st.DrawFn) -> list[bytes]:
    """Requests of one shape."""
    size = draw(st.integers(1, 40))
    padding = draw(st.one_of(st.none(), st.integers(0, 300)))
    flags = draw(st.sampled_from([0, int(Ask.PROOF)]))
    more = ((flags,) if flags else ()) if padding is None else (flags, bytes(padding))
    return [
        encode_request(Op.RESOLVE, draw(rids), draw(st.binary(min_size=size, max_size=size)), *more)
        for _ in range(draw(st.integers(1, MOST)))
    ]


def agrees(data: bytes) -> bool:
    """Whether the bytes are a run; then it must be what the ordinary decoder makes of them."""
    run = read_run(data, MOST)
    if run is None:
        return False
    messages = [message for message, _ in split(data)]
    rebuilt = []
    for echo, identifier in zip(run.echoes, run.identifiers, strict=True):
        assert echo[0] == 0xCF
        rebuilt.append((int(Op.RESOLVE), int.from_bytes(echo[1:], "big"), identifier))
    assert [message[:3] for message in messages] == rebuilt  # type: ignore[index]
    assert {message[3] if len(message) > 3 else 0 for message in messages} == {run.flags}  # type: ignore[arg-type,index]
    return True


@given(runs())
def test_a_run_is_taken(wires: list[bytes]) -> None:
    assert agrees(b"".join(wires))


@given(runs(), st.data())
def test_a_run_with_one_byte_changed_or_cut_is_read_alike_or_not_at_all(
    wires: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(wires))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] = data.draw(st.integers(0, 255))
    agrees(bytes(whole))


@given(st.lists(runs(), min_size=2, max_size=3))
def test_runs_of_several_shapes_are_read_alike_or_not_at_all(several: list[list[bytes]]) -> None:
    agrees(b"".join(wire for wires in several for wire in wires))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    agrees(data)
    read_single(data)


def test_more_than_the_limit_is_no_run() -> None:
    wire = encode_request(Op.RESOLVE, 7, b"88.118/x")
    assert read_run(wire * MOST, MOST) is not None
    assert read_run(wire * (MOST + 1), MOST) is None


@pytest.mark.parametrize(
    "request_",
    [
        [2, 7, b"88.118/x"],
        [1, 7, "88.118/x"],
        [1, 7, b""],
        [1, 7, b"x" * 256],
        [1, 7, b"88.118/x", 1, b""],
        [1, 7, b"88.118/x", 0, "padding"],
        [1, 7, b"88.118/x", 0],
        [1, 7, b"88.118/x", 1],
        [1, 7, b"88.118/x", 3],
        [1, 7, b"88.118/x", 3, b""],
    ],
)
def test_what_is_no_plain_resolve_is_left_alone(request_: list[object]) -> None:
    wire = msgpack.packb(request_)
    wire = wire.replace(b"\x07", b"\xcf" + bytes(7) + b"\x07", 1)
    assert read_run(wire, MOST) is None
    assert read_single(wire) is None


@given(rids, st.binary(min_size=1, max_size=255))
def test_a_single_one(rid: int, identifier: bytes) -> None:
    wire = encode_request(Op.RESOLVE, rid, identifier)
    assert read_single(wire) == (wire[2:11], identifier)
    assert read_single(wire + b"\xc0") is None
    assert read_single(wire[:-1]) is None


def test_a_stranger_who_fills_the_shapes_keeps_nobody_from_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.runs.MAX_SHAPES", 50)
    monkeypatch.setattr("protocol.runs._shapes", {})
    for padding in range(200):
        assert read_run(encode_request(Op.RESOLVE, 7, b"88.118/x", 0, bytes(padding)), MOST) is not None
    assert 0 < len(protocol.runs._shapes) <= 50
    assert read_run(encode_request(Op.RESOLVE, 7, b"88.118/other") * MOST, MOST) is not None
