"""Records as a store keeps them: values in either of two forms.

What is *kept* is a body (``records``) whose values stand there as they are answered, or a second form, which has only
the data of a record that follows a template of its prefix::

    values = [value, ...]
    values = [version of the template, [[index, data], ...]]        indexes ascend

The first element tells them apart: an array or an integer. Types, names, times to live and permissions are the
template's; what is *answered* is the first form in either case (``templated``). In the second form, too, everything is
written in the shortest way, so that equal content has equal bytes; other bytes are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Annotated, Final, NamedTuple

import msgspec

from protocol.errors import RecordError
from protocol.limits import MAX_DATA_BYTES, MAX_RECORD_BYTES, MAX_TEMPLATE_VERSION
from protocol.records import MALFORMED, TOO_LARGE, State, Value, decode_body, split_body

FIRST_INDEX: Final = 2_000
"""The least index of a template's item; those below are for values that everybody knows, as in the field."""

_Index = Annotated[int, msgspec.Meta(ge=FIRST_INDEX, le=0xFFFF_FFFF)]
_Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_TEMPLATE_VERSION)]
_Data = Annotated[bytes, msgspec.Meta(max_length=MAX_DATA_BYTES)]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[_Version, list[tuple[_Index, _Data]]]).decode

_ARRAY_OF_TWO: Final = 0x92
_second: Final = itemgetter(slice(1, 2))
_SECOND_OF_PLAIN: Final = frozenset(bytes((one,)) for one in (*range(0x90, 0xA0), 0xDC, 0xDD))

Data = Sequence[tuple[int, bytes]]
"""Data by index, ascending."""


class Kept(NamedTuple):
    """A body as it is kept. ``template`` is 0 where it has ``values``, otherwise the version of the template that the
    ``data`` follow."""

    version: int
    state: State
    time: int
    values: tuple[Value, ...]
    template: int = 0
    data: tuple[tuple[int, bytes], ...] = ()


def is_templated(values: bytes) -> bool:
    """Whether encoded values are of the second form."""
    return len(values) > 1 and values[0] == _ARRAY_OF_TWO and (values[1] < 0x80 or 0xCC <= values[1] <= 0xCF)


def template_version(values: bytes) -> int:
    """The version of the template in encoded values of the second form, without a look at the rest."""
    kind = values[1]
    return kind if kind < 0x80 else int.from_bytes(values[2 : 2 + (1 << kind - 0xCC)], "big")


def any_templated(many: Sequence[bytes]) -> bool:
    """Whether some of many encoded values are; where none is, at the price of a look at one byte each."""
    return not _SECOND_OF_PLAIN.issuperset(map(_second, many)) and any(map(is_templated, many))


def encode_data(template: int, data: Iterable[tuple[int, bytes]]) -> bytes:
    """The second form, not checked."""
    return _encode((template, data))


def read_data(values: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Version of the template and data, of values in the second form. Raises :class:`RecordError`."""
    if len(values) > MAX_RECORD_BYTES:
        raise RecordError(TOO_LARGE, length=len(values), limit=MAX_RECORD_BYTES)
    try:
        found = _decode(values)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None
    if _encode(found) != values:
        raise RecordError(MALFORMED, reason="something in it is written in a longer form than needed")
    return found


def decode_kept(body: bytes) -> Kept:
    """Decode a body of either form whole. Raises :class:`RecordError`."""
    head = split_body(body)
    if is_templated(head.values):
        template, data = read_data(head.values)
        return Kept(head.version, head.state, head.time, (), template, tuple(data))
    return Kept(*decode_body(body))
