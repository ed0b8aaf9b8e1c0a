"""What to search through."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from protocol.identifiers import normal_text
from protocol.limits import MAX_DATA_BYTES, MAX_IDENTIFIER_BYTES, MAX_TTL_SECONDS
from protocol.records import Value

_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

MANY = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=_CHECKS)
"""For checks of some microseconds."""

FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=_CHECKS)
"""For checks of some milliseconds."""

_printing = st.characters(exclude_categories=("Cs", "Cc"))
_segments = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="./"), min_size=1, max_size=6)

prefixes = st.lists(_segments, min_size=1, max_size=4).map(".".join).filter(lambda one: len(one.encode()) <= 64)
suffixes = st.text(_printing, min_size=1, max_size=100)
identifiers = st.builds("{}/{}".format, prefixes, suffixes).filter(
    lambda one: len(one.encode()) <= MAX_IDENTIFIER_BYTES
)


def _normal(identifier: str) -> str:
    return normal_text(identifier).decode()


rids = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u63 = st.integers(0, (1 << 63) - 1)

values = st.builds(
    Value,
    index=st.integers(1, (1 << 32) - 1),
    type=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128),
    data=st.binary(max_size=300) | st.just(bytes(MAX_DATA_BYTES)),
    ttl=st.integers(0, MAX_TTL_SECONDS) | st.just(86_400),
    permissions=st.integers(0, 15) | st.just(14),
    timestamp=u32 | st.just(0),
    readers=st.just(())
    | st.just(())
    | st.lists(identifiers.map(_normal) | st.just("*"), max_size=3, unique=True).map(tuple),
)
value_lists = st.lists(values, min_size=1, max_size=6, unique_by=lambda value: value.index).filter(
    lambda chosen: sum(len(value.data) for value in chosen) < 30_000
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
    | st.sampled_from([0, 1, 2, 100, 300, 305, (1 << 64) - 1])
)
anything = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.binary(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)
"""Any value that messages may hold."""


@st.composite
def messagepack(draw: st.DrawFn) -> bytes:
    """Some values encoded one behind the other, perhaps with something wrong in the end."""
    encoded = b"".join(msgpack.packb(draw(anything)) for _ in range(draw(st.integers(1, 4))))
    match draw(st.integers(0, 5)):
        case 0:
            return encoded[: draw(st.integers(0, len(encoded)))]
        case 1:
            return encoded + draw(st.binary(max_size=10))
    return encoded


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Good bytes with bits flipped, bytes changed, inserted, left out, doubled, or mixed with other good bytes."""
    data = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        match draw(st.integers(0, 6)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1 if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                other = draw(st.sampled_from(good))
                begin = draw(st.integers(0, len(other)))
                data[at:] = other[begin:]
            case _:
                del data[at:]
    return bytes(data)
