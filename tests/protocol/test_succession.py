"""An anchor's key followed by another, as the old one has signed, and by nothing else."""

from __future__ import annotations

from typing import Final

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageError, NotVerified
from protocol.messages import Op
from protocol.node import NodeFacts, answer_common
from protocol.signatures import SigningKey
from protocol.succession import CONTEXT, Succession, read_succession, succeed
from protocol.trust import Chain, TrustAnchor
from tests.protocol import plain
from tests.vectors.actors import NOW, RID

KEYS: Final = [SigningKey(bytes([number]) * 32) for number in range(1, 7)]
UNTIL: Final = NOW + 1_000


def step(old: int, new: int, until: int = UNTIL, prefix: str = "88", signer: int | None = None) -> bytes:
    claim = Succession(prefix, KEYS[old].public, KEYS[new].public, NOW, until)
    return claim.sign(KEYS[old if signer is None else signer])


def anchor(key: int, following: int | None = None, prefix: str = "88") -> TrustAnchor:
    return TrustAnchor(prefix, KEYS[key].public, None if following is None else KEYS[following].public)


CASES: Final = [
    # the anchor, the successions shown, now, the anchor after that
    (anchor(0), [step(0, 1)], NOW, anchor(0, 1)),
    (anchor(0, 1), [step(0, 1)], UNTIL, anchor(0, 1)),
    (anchor(0, 1), [step(0, 1)], UNTIL + 1, anchor(1)),
    (anchor(0), [step(0, 1)], UNTIL + 1, anchor(1)),
    (anchor(1), [step(0, 1)], NOW, anchor(1)),
    (anchor(0), [step(1, 2, UNTIL + 9), step(0, 1, NOW - 1)], NOW, anchor(1, 2)),
    (anchor(0), [step(0, 1, NOW - 2), step(1, 2, NOW - 1)], NOW, anchor(2)),
    (anchor(1), [step(0, 1, NOW - 2), step(1, 2, NOW - 1), step(2, 3)], NOW, anchor(2, 3)),
    (anchor(0), [step(0, 1), step(0, 2, prefix="89")], NOW, anchor(0, 1)),
    (anchor(0), [step(0, 1, NOW - 1), step(1, 0, NOW - 1)], NOW, anchor(1, 0)),  # a circle ends
]


@pytest.mark.parametrize(("before", "shown", "now", "after"), CASES)
def test_who_follows(before: TrustAnchor, shown: list[bytes], now: int, after: TrustAnchor) -> None:
    assert succeed(before, shown, now) == after


@pytest.mark.parametrize(
    ("before", "shown"), [(anchor(3), [step(0, 1)]), (anchor(0), []), (anchor(0, prefix="89"), [step(0, 1)])]
)
def test_nothing_leads_on(before: TrustAnchor, shown: list[bytes]) -> None:
    with pytest.raises(NotVerified) as raised:
        succeed(before, shown, NOW)
    assert raised.value.rule.name == "succession.not-ours"


def test_only_the_old_key_signs() -> None:
    for forged in (step(0, 1, signer=1), step(0, 1, signer=2)):
        with pytest.raises(NotVerified) as raised:
            succeed(anchor(0), [forged], NOW)
        assert raised.value.rule.name == "succession.not-by-its-key"


@given(st.integers(0, len(step(0, 1)) - 1), st.integers(1, 255))
def test_no_flipped_bit_is_believed(place: int, flip: int) -> None:
    bent = bytearray(step(0, 1))
    bent[place] ^= flip
    with pytest.raises((NotVerified, MessageError)):
        succeed(anchor(0), [bytes(bent)], NOW)


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    with pytest.raises((NotVerified, MessageError)):
        read_succession(raw)


def test_its_bytes_are_those_of_the_documentation() -> None:
    prefix, key, following, made, until = plain.statement_body(step(0, 1), CONTEXT, [KEYS[0].public.raw])
    assert (prefix, made, until) == ("88", NOW, UNTIL)
    assert (key, following) == ([1, KEYS[0].public.raw], [1, KEYS[1].public.raw])


def test_a_node_without_any_shows_none() -> None:
    facts = NodeFacts("top", "88", "", Chain((), ()))
    wire = answer_common(facts, Op.SUCCESSION, RID, (b"",))
    assert wire is not None
    assert msgpack.unpackb(wire) == [RID, 0, []]
