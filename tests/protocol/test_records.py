"""Records: the vectors, every bound from both sides, and what bodies never show."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from protocol.errors import RecordError
from protocol.limits import MAX_DATA_BYTES, MAX_READERS, MAX_RECORD_BYTES, MAX_VALUES
from protocol.records import (
    NO_VALUES_BYTES,
    Permission,
    Record,
    State,
    Value,
    are_public,
    check_values,
    decode_body,
    decode_values_of_all,
    encode_body,
    encode_plain_values,
    encode_values,
    may_read,
    public_body,
    split_body,
)
from protocol.status import Status
from tests.vectors.load import load

VECTORS = load("records")


def value_of(vector: Any) -> Value:
    readers = tuple(vector.get("readers", ()))
    return Value(**{**vector, "data": bytes.fromhex(vector["data"]), "readers": readers})


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["name"])
def test_good_records(vector: Any) -> None:
    body = bytes.fromhex(vector["body"])
    values = tuple(value_of(one) for one in vector["values"])
    record = Record(vector["version"], State(vector["state"]), vector["time"], values)
    assert decode_body(body) == record
    encoded = encode_values(values) if values else NO_VALUES_BYTES
    assert encode_body(record.version, record.state, record.time, encoded) == body
    assert split_body(body) == (record.version, record.state, record.time, encoded)
    public = bytes.fromhex(vector["public_body"])
    assert public_body(body) == public
    assert decode_body(public).values == tuple(value for value in values if value.public)


@pytest.mark.parametrize("vector", VECTORS["same"])
def test_longer_forms_mean_the_same(vector: Any) -> None:
    loose, canonical = bytes.fromhex(vector["body"]), bytes.fromhex(vector["canonical"])
    record = decode_body(loose)
    assert record == decode_body(canonical)
    assert encode_body(record.version, record.state, record.time, encode_values(record.values)) == canonical


@pytest.mark.parametrize("vector", VECTORS["bad_bodies"], ids=lambda one: one["name"])
def test_bad_bodies(vector: Any) -> None:
    with pytest.raises(RecordError) as caught:
        decode_body(bytes.fromhex(vector["bytes"]))
    assert caught.value.rule.name == vector["rule"]


@pytest.mark.parametrize("vector", VECTORS["bad_values"], ids=lambda one: one["name"])
def test_bad_values(vector: Any) -> None:
    with pytest.raises(RecordError) as caught:
        check_values(bytes.fromhex(vector["bytes"]))
    assert caught.value.rule.name == vector["rule"]
    assert caught.value.status is Status.BAD_RECORD


def test_as_many_values_as_allowed_and_one_more() -> None:
    values = [Value(i + 1, "N", b"") for i in range(MAX_VALUES + 1)]
    assert check_values(encode_values(values[:-1])) == values[:-1]
    with pytest.raises(RecordError, match="1001 values; at most 1000"):
        encode_values(values)


def test_as_much_data_as_allowed_and_one_byte_more() -> None:
    whole = Value(1, "N", bytes(MAX_DATA_BYTES))
    assert check_values(encode_values([whole])) == [whole]
    with pytest.raises(RecordError) as caught:
        encode_values([Value(1, "N", bytes(MAX_DATA_BYTES + 1))])
    assert caught.value.rule.name == "record.malformed"


def test_a_record_of_the_greatest_length_and_one_byte_more() -> None:
    room = MAX_RECORD_BYTES - len(encode_values([Value(1, "N", bytes(MAX_DATA_BYTES)), Value(2, "N", bytes(300))]))
    values = [Value(1, "N", bytes(MAX_DATA_BYTES)), Value(2, "N", bytes(300 + room))]
    encoded = encode_values(values)
    assert len(encoded) == MAX_RECORD_BYTES
    body = encode_body((1 << 64) - 1, State.ACTIVE, (1 << 64) - 1, encoded)
    assert decode_body(body).values == tuple(values)
    with pytest.raises(RecordError, match="32769 bytes"):
        encode_values([values[0], Value(2, "N", bytes(301 + room))])


@pytest.mark.parametrize(
    "value",
    [
        Value(0, "N", b""),
        Value(-1, "N", b""),
        Value(1 << 32, "N", b""),
        Value(1 << 64, "N", b""),
        Value(-(1 << 63) - 1, "N", b""),
        Value(1, "", b""),
        Value(1, "\ud800", b""),
        Value(1, "N", b"", ttl=-1),
        Value(1, "N", b"", ttl=172_801),
        Value(1, "N", b"", permissions=16),
        Value(1, "N", b"", timestamp=1 << 70),
    ],
    ids=repr,
)
def test_values_made_wrong_are_refused_when_they_are_encoded(value: Value) -> None:
    with pytest.raises(RecordError):
        encode_values([value])


def test_the_index_that_comes_twice_is_named() -> None:
    values = [Value(i, "N", b"") for i in (1, 5, 7, 5, 1)]
    with pytest.raises(RecordError) as caught:
        encode_values(values)
    assert caught.value.details == {"index": 5}


def test_plain_values_have_the_same_bytes() -> None:
    rows = [(1, "URL", b"u"), (2, "N", b"n")]
    assert encode_plain_values(rows) == encode_values([Value(*row) for row in rows])


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (Value(1, "N", b""), 3),
        (Value(1, "N", b"", ttl=5), 4),
        (Value(1, "N", b"", permissions=15), 5),
        (Value(1, "N", b"", timestamp=5), 6),
        (Value(1, "N", b"", ttl=5, timestamp=5), 6),
        (Value(1, "N", b"", readers=("*",)), 7),
    ],
)
def test_trailing_defaults_are_left_out(value: Value, elements: int) -> None:
    assert len(msgpack.unpackb(encode_values([value]))[0]) == elements


def test_the_permissions_are_the_bits_of_the_handle_system() -> None:
    assert [int(one) for one in Permission] == [1, 2, 4, 8]
    assert Value(1, "N", b"").permissions == 0b1110
    assert [Value(1, "N", b"", permissions=bits).public for bits in (0, 2, 12, 15)] == [False, True, False, True]


def test_a_record_without_public_values_shows_none_of_them() -> None:
    secret = encode_values([Value(1, "PRICE", b"100", permissions=12)])
    assert public_body(encode_body(1, State.ACTIVE, 5, secret)) == b"\x94\x01\x00\x05\x90"


def test_a_value_for_some_is_not_in_the_public_body() -> None:
    """Whatever its permissions say; and nothing of it is left, not even who may read it."""
    values = [Value(1, "URL", b"u"), Value(2, "COST", b"9", readers=("88.118.32002", "88.118.32001/U.li"))]
    body = encode_body(1, State.ACTIVE, 5, encode_values(values))
    assert public_body(body) == encode_body(1, State.ACTIVE, 5, encode_values(values[:1]))
    assert not are_public(encode_values(values))


@pytest.mark.parametrize("reader", ["", "88..1", "a/", "/b", "88.118.a", "a.b/x\n", "*/x\x00", "88.118.A/"])
def test_readers_are_names_in_normal_form(reader: str) -> None:
    with pytest.raises(RecordError):
        encode_values([Value(1, "N", b"", readers=(reader,))])


def test_a_reader_is_named_once() -> None:
    with pytest.raises(RecordError, match="once"):
        encode_values([Value(1, "N", b"", readers=("*", "88", "*"))])
    with pytest.raises(RecordError):
        encode_values([Value(1, "N", b"", readers=tuple(f"88.{i}" for i in range(MAX_READERS + 1)))])


@pytest.mark.parametrize(
    ("readers", "reader", "expected"),
    [
        (("*",), None, False),
        (("*",), "88.9/U.x", True),
        (("88.1/U.li",), "88.1/U.li", True),
        (("88.1/U.li",), "88.1/U.wang", False),
        (("88.1",), "88.1/U.wang", True),
        (("88.1",), "88.1.5/U.wang", True),
        (("88.1",), "88.10/U.wang", False),
        (("88.2", "88.1/G.all"), "88.7/U.member", True),
        (("88.2", "88.1/G.all"), "88.7/U.other", False),
        ((), "88.1/U.li", False),
    ],
)
def test_who_may_read(readers: tuple[str, ...], reader: str | None, expected: bool) -> None:
    value = Value(1, "N", b"", readers=readers, permissions=14 if readers else 12)
    members = {("88.7/U.member", "88.1/G.all")}
    assert may_read(value, reader, lambda one, group: (one, group) in members) is expected
    assert may_read(Value(1, "N", b""), reader, lambda one, group: False)


def test_find_and_text() -> None:
    record = Record(1, State.ACTIVE, 0, (Value(1, "URL", b"a"), Value(2, "URL", b"b"), Value(3, "X", b"\xff\xe6")))
    assert record.find("URL") == Value(1, "URL", b"a")
    assert record.find("url") is None
    assert record.values[2].text == "\ufffd\ufffd"


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["name"])
def test_are_public(vector: Any) -> None:
    if vector["values"]:
        values = [value_of(one) for one in vector["values"]]
        assert are_public(encode_values(values)) == all(value.public for value in values)


@pytest.mark.parametrize("vector", VECTORS["bad_values"], ids=lambda one: one["name"])
def test_are_public_refuses_the_same_values_for_the_same_reason(vector: Any) -> None:
    with pytest.raises(RecordError) as caught:
        are_public(bytes.fromhex(vector["bytes"]))
    assert caught.value.rule.name == vector["rule"]


MARK = bytes(range(16))


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["name"])
def test_values_of_many_records_at_once(vector: Any) -> None:
    if vector["values"]:
        values = tuple(value_of(one) for one in vector["values"])
        other = (Value(1, "URL", b"x"),)
        many = [encode_values(one) for one in (values, other, values)]
        assert decode_values_of_all(many, MARK) == [values, other, values]


@pytest.mark.parametrize("vector", VECTORS["bad_values"], ids=lambda one: one["name"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_record_spoils_many(vector: Any, place: int) -> None:
    many = [encode_values([Value(1, "URL", b"x")])] * 2
    many.insert(place, bytes.fromhex(vector["bytes"]))
    if vector["rule"] in ("record.same-index", "record.bad-reader"):
        decode_values_of_all(many, MARK)
    else:
        with pytest.raises(RecordError):
            decode_values_of_all(many, MARK)


_WHOLE = encode_values([Value(1, "URL", b"x"), Value(2, "NAME", b"y" * 40)])


@pytest.mark.parametrize("cut", range(len(_WHOLE) + 1))
def test_no_record_runs_into_the_next(cut: int) -> None:
    """However two records are cut, two pieces that are one record together are not taken for two."""
    for pieces in ([_WHOLE[:cut], _WHOLE[cut:]], [_WHOLE + _WHOLE[:cut], _WHOLE[cut:]], [_WHOLE, _WHOLE[:cut]]):
        if pieces != [_WHOLE, _WHOLE]:
            with pytest.raises(RecordError):
                decode_values_of_all(pieces, MARK)


@pytest.mark.parametrize("tail", [b"\xc4\x12", b"\xc5\x00\x12", b"\xd9\x12", b"\x92", b"\xc4\x10", b"\x90", b"\xc0"])
def test_no_record_swallows_a_mark(tail: bytes) -> None:
    one = encode_values([Value(1, "URL", b"x")])
    for many in ([one + tail, one], [one, one + tail], [one + tail, one + tail], [tail, one], [tail + one, one]):
        with pytest.raises(RecordError):
            decode_values_of_all(many, MARK)
