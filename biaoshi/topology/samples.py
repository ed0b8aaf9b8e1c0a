"""Sample records, so that there is something to resolve in a new province. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from protocol.records import Value, encode_values
from registry.store.writes import ABSENT, Write

_PRODUCTS: Final = ("液压泵 Hydraulic pump", "溢流阀 Relief valve", "节流阀 Throttle valve", "球阀 Ball valve")


class Sample(NamedTuple):
    """One invented product."""

    identifier: str
    url: str
    name: str


def sample(prefix: str, number: int) -> Sample:
    """The product with this number, from 0, of an enterprise. Identifiers of prefixes of one length have one length,
    and ascend with their number."""
    serial = f"P{number:013d}"
    host = prefix.replace(".", "-")
    return Sample(f"{prefix}/{serial}", f"https://{host}.example.cn/p/{serial}", _PRODUCTS[number % len(_PRODUCTS)])


def registrations(prefix: str, count: int) -> Iterator[Write]:
    """The writes that register products 0 to ``count`` - 1, ascending."""
    for number in range(count):
        one = sample(prefix, number)
        values = encode_values([Value(1, "URL", one.url.encode()), Value(2, "NAME", one.name.encode())])
        yield Write(one.identifier.encode(), ABSENT, values, restricted=False)
