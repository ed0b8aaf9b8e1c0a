"""The second form of values, in which a store keeps what follows a template."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RecordError
from protocol.kept import Kept, decode_kept, encode_data, is_templated, read_data
from protocol.limits import MAX_DATA_BYTES, MAX_RECORD_BYTES, MAX_TEMPLATE_VERSION
from protocol.records import NO_VALUES_BYTES, State, Value, encode_body, encode_values

DATA = st.lists(st.tuples(st.integers(2_000, 0xFFFF_FFFF), st.binary(max_size=300)), max_size=20)


@given(st.integers(1, MAX_TEMPLATE_VERSION), DATA)
def test_it_reads_as_it_was_written(template: int, data: list[tuple[int, bytes]]) -> None:
    values = encode_data(template, data)
    assert values == msgpack.packb([template, data])
    assert is_templated(values)
    assert read_data(values) == (template, data)
    assert decode_kept(encode_body(7, State.ACTIVE, 99, values)) == Kept(7, State.ACTIVE, 99, (), template, tuple(data))


@given(st.lists(st.builds(Value, st.integers(1, 0xFFFF_FFFF), st.text("ab", min_size=1, max_size=3), st.binary()),
                min_size=1, max_size=20, unique_by=lambda value: value.index))  # fmt: skip
def test_values_are_not_taken_for_it(values: list[Value]) -> None:
    encoded = encode_values(values)
    assert not is_templated(encoded)
    assert decode_kept(encode_body(1, State.ACTIVE, 5, encoded)).values == tuple(values)


def test_what_was_withdrawn_is_of_the_first_form() -> None:
    assert not is_templated(NO_VALUES_BYTES)
    assert decode_kept(encode_body(2, State.WITHDRAWN, 5, NO_VALUES_BYTES)) == (2, State.WITHDRAWN, 5, (), 0, ())


@pytest.mark.parametrize(
    "values",
    [
        msgpack.packb([0, []]), msgpack.packb([MAX_TEMPLATE_VERSION + 1, []]), msgpack.packb([1]),
        msgpack.packb([1, [], 0]), msgpack.packb([1, [[1_999, b"x"]]]), msgpack.packb([1, [[1 << 32, b"x"]]]),
        msgpack.packb([1, [[2_000, "x"]]]), msgpack.packb([1, [[2_000]]]), msgpack.packb([1, [[2_000, b"x", 5]]]),
        msgpack.packb([1, [[2_000, bytes(MAX_DATA_BYTES + 1)]]]), msgpack.packb([1, {2_000: b"x"}]),
        msgpack.packb([1, []]) + b"\0", b"\x92", b"", b"\x92\xcd\0\x01\x90", b"\x92\x01\xdc\0\0",
        b"\x92\x01\x91\x92\xce\0\0\x07\xd0\xc4\0", b"\x92\x01\x91\x92\xcd\x07\xd0\xc5\0\0", b"\xdc\0\x02\x01\x90",
        msgpack.packb([1, [[2_000 + n, bytes(9_000)] for n in range(MAX_RECORD_BYTES // 9_000 + 1)]]),
    ],
)  # fmt: skip
def test_other_bytes_and_longer_forms_are_refused(values: bytes) -> None:
    with pytest.raises(RecordError):
        read_data(values)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    is_templated(raw)
    try:
        template, data = read_data(raw)
    except RecordError:
        return
    assert encode_data(template, data) == raw
    assert is_templated(raw)
