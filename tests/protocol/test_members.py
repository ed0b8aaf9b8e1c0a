"""Bodies of members, against values that are filled in one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.computed import ComputedText
from protocol.errors import RecordError
from protocol.limits import MAX_DATA_BYTES
from protocol.members import Members, check_kept
from protocol.records import (
    Head,
    Permission,
    State,
    Value,
    decode_body,
    encode_body,
    encode_values,
    public_body,
)
from protocol.series import parse_series

ADMIN_ONLY = int(Permission.ADMIN_READ | Permission.ADMIN_WRITE)
PATTERNS = ("88.118.A/B-{01..99}", "88.118.A/泵 {{{000..FFF;hex}}}?", "88.118.A/{6901..6999;gs1}/x")

data = st.one_of(
    st.binary(max_size=40).filter(lambda raw: b"{" not in raw and b"}" not in raw),
    st.lists(
        st.sampled_from(["a", "/", "{{", "}}", "{identifier}", "{prefix}", "{suffix}", "{counter}", "é", "x" * 130]),
        max_size=8,
    ).map(lambda parts: "".join(parts).encode()),
)
value = st.builds(
    Value,
    st.integers(1, 70_000),
    st.sampled_from(["URL", "NAME", "名称"]),
    data,
    st.sampled_from([86_400, 60]),
    st.sampled_from([14, ADMIN_ONLY]),
    st.sampled_from([0, 1_700_000_000]),
)
values = st.lists(value, min_size=1, max_size=20, unique_by=lambda one: one.index)


@given(st.sampled_from(PATTERNS), values, st.integers(1, 1_000), st.data())
def test_body_of_a_member(pattern: str, kept: list[Value], version: int, draw: st.DataObject) -> None:
    series = parse_series(pattern)
    n = draw.draw(st.integers(0, series.count - 1))
    suffix = series.member(n)
    counter = series.alphabet.write(series.first + n, series.width)

    def filled(one: Value) -> Value:
        if b"{" not in one.data and b"}" not in one.data:
            return one
        text = ComputedText(one.data.decode(), series=True, url=one.type == "URL")
        whole = text.fill(b"88.118.A/" + suffix, b"88.118.A", suffix, counter)
        return Value(one.index, one.type, whole, one.ttl, one.permissions, one.timestamp)

    members = Members(series, Head(version, State.ACTIVE, 7, encode_values(kept)))
    expected = encode_body(version, State.ACTIVE, 7, encode_values([filled(one) for one in kept]))
    assert members.whole(suffix) == expected
    assert members.public(suffix) == public_body(expected)


def test_members_of_what_is_not_active() -> None:
    series = parse_series("88.1/{1..3}")
    gone = Members(series, Head(4, State.WITHDRAWN, 7, b"\x90"))
    assert not gone.active
    assert decode_body(gone.whole(b"2")) == (4, State.WITHDRAWN, 7, ())
    held = Members(series, Head(5, State.SUSPENDED, 7, encode_values([Value(1, "NAME", b"{counter}")])))
    assert not held.active
    assert decode_body(held.whole(b"2")) == (5, State.SUSPENDED, 7, (Value(1, "NAME", b"2"),))


def test_kept_values_are_checked() -> None:
    series = parse_series("88.1/{1..3}")
    assert check_kept(series, encode_values([Value(1, "NAME", b"no {counter}")]))
    wide = b"{identifier}" * 8 + b"x" * (MAX_DATA_BYTES - 96)
    for broken in (b"{what}", b"{", b"}{counter}", wide):
        with pytest.raises(RecordError):
            check_kept(series, encode_values([Value(1, "NAME", broken)]))
