"""The rules of trust as tables: what is bent, and which rule it breaks."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import msgpack
import pytest

from protocol.errors import BiaoshiError, MessageError, NotVerified
from protocol.framing import decode_one
from protocol.limits import CLOCK_TOLERANCE_MS, MAX_CHAIN, MAX_ONLINE_KEYS
from protocol.receipts import encode_receipt, verify_receipt
from protocol.seals import Seal, leaf, read_seal, seal_turn
from protocol.signatures import SigningKey
from protocol.statements import Delegation, OnlineKey
from protocol.status import Status
from protocol.trust import Chain, TrustAnchor, Verifier, verify_online_keys, verify_zone
from tests.vectors.actors import (
    ABSENT,
    ANCHOR,
    ENTERPRISE,
    ENTERPRISE_CHAIN,
    IDENTIFIER,
    KEY_SINCE,
    KEY_UNTIL,
    NOW,
    NOW_MS,
    OTHER_SECONDARY,
    SECONDARY,
    SECONDARY_CHAIN,
    SIBLING,
    SINCE,
    STRANGER,
    TOP,
    UNTIL,
    Zone,
    answered,
    key,
)

TOP_DOWN = TOP.delegate(SECONDARY)
DOWN = SECONDARY.delegate(ENTERPRISE)
MARK = ENTERPRISE.online_statement()


def flipped(raw: bytes, place: int = -1) -> bytes:
    """With one bit the other way."""
    bent = bytearray(raw)
    bent[place] ^= 1
    return bytes(bent)


def rule_of(error: BiaoshiError) -> str:
    return error.rule.name.removeprefix("trust.")


def bent_body(statement: bytes, place: int, value: object) -> bytes:
    """A statement whose body was changed under its old signature."""
    body, signature = msgpack.unpackb(statement)
    elements = msgpack.unpackb(body)
    elements[place] = value
    return msgpack.packb([msgpack.packb(elements), signature])


# Chains --------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A chain from top over secondary to enterprise with something wrong, and the rule that it breaks."""

    what: str
    delegations: tuple[bytes, ...]
    online_keys: tuple[bytes, ...]
    rule: str


def delegations(first: bytes = TOP_DOWN, second: bytes = DOWN) -> tuple[bytes, ...]:
    return (first, second)


OTHER_TOP = Zone("88", key("another top zone"), key("another top online"))
OTHER_IN_PLACE = Zone("88.118", key("another secondary zone"), key("another secondary online"))

CHAINS = [
    # expired, not yet valid
    Case("1st delegation expired", delegations(TOP.delegate(SECONDARY, until=NOW - 1)), (MARK,), "expired"),
    Case("2nd delegation expired", delegations(second=SECONDARY.delegate(ENTERPRISE, until=NOW - 1)), (MARK,),
         "expired"),
    Case("1st delegation not yet valid", delegations(TOP.delegate(SECONDARY, since=NOW + 1)), (MARK,),
         "not-yet-valid"),
    Case("2nd delegation not yet valid", delegations(second=SECONDARY.delegate(ENTERPRISE, since=NOW + 1)), (MARK,),
         "not-yet-valid"),
    Case("a window turned around", delegations(TOP.delegate(SECONDARY, since=UNTIL, until=SINCE)), (MARK,),
         "not-yet-valid"),
    # wrong key
    Case("1st delegation signed by a stranger", delegations(TOP.delegate(SECONDARY, signer=STRANGER.key)), (MARK,),
         "bad-signature"),
    Case("2nd delegation signed by a stranger", delegations(second=SECONDARY.delegate(ENTERPRISE, signer=STRANGER.key)),
         (MARK,), "bad-signature"),
    Case("2nd delegation signed by the anchor", delegations(second=SECONDARY.delegate(ENTERPRISE, signer=TOP.key)),
         (MARK,), "bad-signature"),
    Case("2nd delegation signed by an online key",
         delegations(second=SECONDARY.delegate(ENTERPRISE, signer=SECONDARY.online)), (MARK,), "bad-signature"),
    Case("online key signed by the parent", delegations(), (ENTERPRISE._replace(key=SECONDARY.key).online_statement(),),
         "bad-signature"),
    Case("online key signed by itself", delegations(),
         (ENTERPRISE._replace(key=ENTERPRISE.online).online_statement(),), "bad-signature"),
    Case("delegations by another top", (OTHER_TOP.delegate(SECONDARY), DOWN), (MARK,), "bad-signature"),
    Case("the zone in between replaced", delegations(second=OTHER_IN_PLACE.delegate(ENTERPRISE)), (MARK,),
         "bad-signature"),
    Case("a signature with a flipped bit", delegations(flipped(TOP_DOWN)), (MARK,), "bad-signature"),
    Case("an online key with a flipped bit", delegations(), (flipped(MARK),), "bad-signature"),
    Case("no signature", delegations(msgpack.packb([msgpack.unpackb(TOP_DOWN)[0], b""])), (MARK,), "bad-signature"),
    # changed under the old signature
    Case("delegation made longer", delegations(bent_body(TOP_DOWN, 4, UNTIL + 1)), (MARK,), "bad-signature"),
    Case("delegation of another key", delegations(bent_body(TOP_DOWN, 5, [[1, STRANGER.key.public.raw]])), (MARK,),
         "bad-signature"),
    Case("delegation of another serial", delegations(bent_body(TOP_DOWN, 2, 2)), (MARK,), "bad-signature"),
    Case("online key made longer", delegations(), (bent_body(MARK, 4, KEY_UNTIL + 1),), "bad-signature"),
    Case("another online key", delegations(), (bent_body(MARK, 2, [1, STRANGER.online.public.raw]),), "bad-signature"),
    # wrong prefix
    Case("1st delegation by another parent", delegations(TOP.delegate(SECONDARY, parent="99")), (MARK,),
         "broken-chain"),
    Case("1st delegation by the root", delegations(TOP.delegate(SECONDARY, parent="")), (MARK,), "broken-chain"),
    Case("2nd delegation by a sibling", (TOP_DOWN, OTHER_SECONDARY.delegate(ENTERPRISE)), (MARK,), "broken-chain"),
    Case("a secondary hands over a sibling's enterprise", (TOP.delegate(OTHER_SECONDARY),
                                                           OTHER_SECONDARY.delegate(ENTERPRISE)), (MARK,), "sideways"),
    Case("a secondary hands over its parent", (TOP_DOWN, SECONDARY.delegate(TOP)), (TOP.online_statement(),),
         "sideways"),
    Case("a secondary hands over itself", (TOP_DOWN, SECONDARY.delegate(SECONDARY)), (SECONDARY.online_statement(),),
         "sideways"),
    Case("a secondary hands over what only looks like its own",
         (TOP_DOWN, SECONDARY.delegate(ENTERPRISE._replace(prefix="88.1180.1"))), (MARK,), "sideways"),
    Case("a secondary hands over a stranger", (TOP_DOWN, SECONDARY.delegate(STRANGER)), (STRANGER.online_statement(),),
         "sideways"),
    Case("prefix in small letters", (TOP.delegate(SECONDARY._replace(prefix="88.abc")),
                                     SECONDARY.delegate(ENTERPRISE, parent="88.ABC")), (MARK,), "broken-chain"),
    # wrong order, missing and surplus links
    Case("wrong order", (DOWN, TOP_DOWN), (MARK,), "broken-chain"),
    Case("the first is missing", (DOWN,), (MARK,), "broken-chain"),
    Case("the second is missing", (TOP_DOWN,), (MARK,), "other-zone"),
    Case("all are missing", (), (MARK,), "other-zone"),
    Case("the first twice", (TOP_DOWN, TOP_DOWN, DOWN), (MARK,), "broken-chain"),
    Case("the second twice", (TOP_DOWN, DOWN, DOWN), (MARK,), "broken-chain"),
    Case("one more than allowed", (TOP_DOWN,) * (MAX_CHAIN + 1), (MARK,), "long-chain"),
    # online keys
    Case("no online key", delegations(), (), "no-online-key"),
    Case("one online key more than allowed", delegations(), (MARK,) * (MAX_ONLINE_KEYS + 1), "long-chain"),
    Case("an online key of the parent", delegations(), (SECONDARY.online_statement(),), "other-zone"),
    Case("an online key of a sibling", delegations(), (SIBLING.online_statement(),), "other-zone"),
    Case("an online key of a sibling in our name", delegations(),
         (SIBLING.online_statement(zone=ENTERPRISE.prefix),), "bad-signature"),
    Case("a good one, and one of a sibling", delegations(), (MARK, SIBLING.online_statement()), "other-zone"),
    Case("two forged ones", delegations(), (flipped(MARK), flipped(MARK)), "bad-signature"),
    # truncated, and of another kind
    Case("delegation truncated", delegations(TOP_DOWN[:-1]), (MARK,), "statement.malformed"),
    Case("online key truncated", delegations(), (MARK[:-1],), "statement.malformed"),
    Case("an empty delegation", delegations(b""), (MARK,), "statement.malformed"),
    Case("an online key as delegation", delegations(MARK), (MARK,), "statement.malformed"),
    Case("a delegation as online key", delegations(), (DOWN,), "statement.malformed"),
]  # fmt: skip


@pytest.mark.parametrize("case", CHAINS, ids=lambda one: one.what)
def test_a_chain_with_something_wrong_is_not_learned(case: Case) -> None:
    verifier = Verifier(ANCHOR)
    with pytest.raises((NotVerified, MessageError)) as caught:
        verifier.learn(Chain(case.delegations, case.online_keys), NOW_MS)
    assert rule_of(caught.value) == case.rule
    assert not verifier.knows(ENTERPRISE.online.public.id)


@pytest.mark.parametrize("case", CHAINS, ids=lambda one: one.what)
def test_a_receipt_with_that_chain_proves_nothing(case: Case) -> None:
    sealed = answered(online=ENTERPRISE.online)
    receipt = sealed.receipt(Chain(case.delegations, case.online_keys))
    with pytest.raises((NotVerified, MessageError)) as caught:
        verify_receipt(receipt, ANCHOR)
    if case.rule != "long-chain":
        assert rule_of(caught.value) == case.rule


def test_chains_that_hold() -> None:
    verifier = Verifier(ANCHOR)
    zone = verifier.learn(ENTERPRISE_CHAIN, NOW_MS)
    assert (zone.prefix, zone.keys) == ("88.118.32001", (ENTERPRISE.key.public,))
    assert (zone.not_before, zone.not_after) == (SINCE, UNTIL)
    assert [one.child for one in zone.delegations] == ["88.118", "88.118.32001"]
    assert verifier.knows(ENTERPRISE.online.public.id)
    own = verifier.learn(Chain((), (TOP.online_statement(),)), NOW_MS)
    assert (own.prefix, own.delegations) == ("88", ())
    assert verifier.knows(ENTERPRISE.online.public.id)


def test_a_delegation_may_skip_levels_and_the_anchor_may_be_the_root() -> None:
    root = Zone("", key("root zone"), key("root online"))
    chain = (root.delegate(TOP), TOP.delegate(ENTERPRISE))
    zone = verify_zone(TrustAnchor("", root.key.public), chain, NOW)
    assert zone.prefix == "88.118.32001"


def test_a_chain_of_the_greatest_length() -> None:
    zones = [Zone(".".join(["88", *map(str, range(i))]), key(f"zone {i}"), key(f"online {i}")) for i in range(10)]
    links = tuple(one.delegate(other) for one, other in itertools.pairwise(zones))
    anchor = TrustAnchor("88", zones[0].key.public)
    assert verify_zone(anchor, links[:MAX_CHAIN], NOW).prefix == zones[MAX_CHAIN].prefix
    with pytest.raises(NotVerified):
        verify_zone(anchor, links, NOW)


@pytest.mark.parametrize(("at", "rule"), [(SINCE - 1, "not-yet-valid"), (SINCE, None), (UNTIL, None),
                                         (UNTIL + 1, "expired")])  # fmt: skip
def test_both_ends_of_a_delegation_belong_to_it(at: int, rule: str | None) -> None:
    if rule is None:
        assert verify_zone(ANCHOR, (TOP_DOWN,), at).prefix == "88.118"
    else:
        with pytest.raises(NotVerified) as caught:
            verify_zone(ANCHOR, (TOP_DOWN,), at)
        assert rule_of(caught.value) == rule


def test_the_window_of_a_zone_is_what_all_its_delegations_have_in_common() -> None:
    first = TOP.delegate(SECONDARY, since=NOW - 50, until=NOW + 20)
    second = SECONDARY.delegate(ENTERPRISE, since=NOW - 10, until=NOW + 90)
    zone = verify_zone(ANCHOR, (first, second), NOW)
    assert (zone.not_before, zone.not_after) == (NOW - 10, NOW + 20)


def test_either_key_of_a_zone_may_sign_while_it_changes() -> None:
    new = key("next secondary zone")
    both = Delegation("88", "88.118", 2, SINCE, UNTIL, (SECONDARY.key.public, new.public), ()).sign(TOP.key)
    zone = verify_zone(ANCHOR, (both,), NOW)
    for signer in (SECONDARY.key, new):
        statement = OnlineKey("88.118", "n", SECONDARY.online.public, 0, UNTIL).sign(signer)
        assert [one.node for one in verify_online_keys(zone, (statement,))] == ["n"]
        assert verify_zone(ANCHOR, (both, SECONDARY._replace(key=signer).delegate(ENTERPRISE)), NOW)


# Seals ---------------------------------------------------------------------------------------------------


class Bundle(NamedTuple):
    """A live answer of the secondary as it came."""

    seal: Seal
    leaf: bytes


def bundle(online: SigningKey = SECONDARY.online, time: int = NOW_MS, identifier: bytes = IDENTIFIER) -> Bundle:
    sealed = answered(identifier, online=online, time=time)
    return Bundle(read_seal(decode_one(sealed.seal)), leaf(sealed.request, sealed.response))


def one_of_three() -> tuple[list[Seal], list[bytes]]:
    leaves = [leaf(bytes([i]), bytes([i])) for i in range(3)]
    seals = seal_turn([1, 1, 1], leaves, SECONDARY.online, NOW_MS)
    return [read_seal(decode_one(wire)) for wire in seals], leaves


SEALS, LEAVES = one_of_three()
GOOD = bundle()
SECOND_MS = 1_000

LIVE = [
    ("the answer", GOOD, None),
    ("one of three", Bundle(SEALS[1], LEAVES[1]), None),
    # clock
    ("just in time", bundle(time=NOW_MS - CLOCK_TOLERANCE_MS), None),
    ("just not ahead of time", bundle(time=NOW_MS + CLOCK_TOLERANCE_MS), None),
    ("too old", bundle(time=NOW_MS - CLOCK_TOLERANCE_MS - 1), "clock-behind"),
    ("from the future", bundle(time=NOW_MS + CLOCK_TOLERANCE_MS + 1), "clock-ahead"),
    ("of last year", bundle(time=NOW_MS - 365 * 86_400_000), "clock-behind"),
    ("of 1970", bundle(time=0), "clock-behind"),
    ("moved to now", Bundle(bundle(time=NOW_MS - SECOND_MS).seal._replace(time=NOW_MS), GOOD.leaf), "bad-seal"),
    # keys
    ("by an unknown key", bundle(online=STRANGER.online), "unknown-key"),
    ("by the zone key", bundle(online=SECONDARY.key), "unknown-key"),
    ("under the name of a known key",
     Bundle(bundle(STRANGER.online).seal._replace(key_id=GOOD.seal.key_id), GOOD.leaf), "bad-seal"),
    ("by the top's key under our name",
     Bundle(bundle(TOP.online).seal._replace(key_id=GOOD.seal.key_id), GOOD.leaf), "bad-seal"),
    # replayed and spliced
    ("replayed to another question", Bundle(GOOD.seal, bundle(identifier=ABSENT).leaf), "bad-seal"),
    ("the seal of the neighbour", Bundle(SEALS[0], LEAVES[1]), "bad-seal"),
    ("spliced: the path of another turn", Bundle(GOOD.seal._replace(path=SEALS[0].path), GOOD.leaf), "bad-path"),
    ("spliced: the signature of another turn",
     Bundle(SEALS[1]._replace(signature=GOOD.seal.signature), LEAVES[1]), "bad-seal"),
    ("spliced: place and path of the neighbour",
     Bundle(SEALS[1]._replace(leaf_index=0, path=SEALS[0].path), LEAVES[1]), "bad-seal"),
    # bent
    ("another place", Bundle(SEALS[1]._replace(leaf_index=0), LEAVES[1]), "bad-seal"),
    ("a place of another depth", Bundle(SEALS[1]._replace(leaf_index=2), LEAVES[1]), "bad-path"),
    ("a larger tree", Bundle(SEALS[1]._replace(tree_size=4), LEAVES[1]), "bad-seal"),
    ("a much larger tree", Bundle(SEALS[1]._replace(tree_size=5), LEAVES[1]), "bad-path"),
    ("path truncated", Bundle(SEALS[1]._replace(path=SEALS[1].path[:32]), LEAVES[1]), "bad-path"),
    ("path made longer", Bundle(SEALS[1]._replace(path=SEALS[1].path + bytes(32)), LEAVES[1]), "bad-path"),
    ("path with a flipped bit", Bundle(SEALS[1]._replace(path=flipped(SEALS[1].path)), LEAVES[1]), "bad-seal"),
    ("signature with a flipped bit", Bundle(GOOD.seal._replace(signature=flipped(GOOD.seal.signature)), GOOD.leaf),
     "bad-seal"),
    ("an answer with a flipped bit", Bundle(GOOD.seal, flipped(GOOD.leaf)), "bad-seal"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "rule"), [row[1:] for row in LIVE], ids=[row[0] for row in LIVE])
def test_live_seals(one: Bundle, rule: str | None) -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    verifier.learn(Chain((), (TOP.online_statement(),)), NOW_MS)
    if rule is None:
        proof = verifier.check(one.seal, one.leaf, NOW_MS)
        assert (proof.zone.prefix, proof.key.node, proof.time) == ("88.118", "node-1", one.seal.time)
    else:
        with pytest.raises(NotVerified) as caught:
            verifier.check(one.seal, one.leaf, NOW_MS)
        assert rule_of(caught.value) == rule


@pytest.mark.parametrize(
    ("name", "chain", "rule"),
    [
        ("online key at its first moment", {"key": (NOW, KEY_UNTIL)}, None),
        ("online key at its last moment", {"key": (KEY_SINCE, NOW)}, None),
        ("online key expired", {"key": (KEY_SINCE, NOW - 1)}, "expired"),
        ("online key not yet valid", {"key": (NOW + 1, KEY_UNTIL)}, "not-yet-valid"),
        ("delegation at its last moment", {"delegation": (SINCE, NOW)}, None),
        ("delegation at its first moment", {"delegation": (NOW, UNTIL)}, None),
    ],
)
def test_the_validity_of_a_live_seal(name: str, chain: dict[str, tuple[int, int]], rule: str | None) -> None:
    since, until = chain.get("delegation", (SINCE, UNTIL))
    key_since, key_until = chain.get("key", (KEY_SINCE, KEY_UNTIL))
    verifier = Verifier(ANCHOR)
    verifier.learn(
        Chain(
            (TOP.delegate(SECONDARY, since=since, until=until),),
            (SECONDARY.online_statement(since=key_since, until=key_until),),
        ),
        NOW_MS,
    )
    if rule is None:
        assert verifier.check(GOOD.seal, GOOD.leaf, NOW_MS)
    else:
        with pytest.raises(NotVerified) as caught:
            verifier.check(GOOD.seal, GOOD.leaf, NOW_MS)
        assert rule_of(caught.value) == rule


def test_a_delegation_that_ends_while_its_zone_is_remembered_ends_there() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(Chain((TOP.delegate(SECONDARY, until=NOW + 10),), SECONDARY_CHAIN.online_keys), NOW_MS)
    later = bundle(time=NOW_MS + 10 * SECOND_MS)
    assert verifier.check(later.seal, later.leaf, NOW_MS + 10 * SECOND_MS)
    too_late = bundle(time=NOW_MS + 11 * SECOND_MS)
    with pytest.raises(NotVerified) as caught:
        verifier.check(too_late.seal, too_late.leaf, NOW_MS + 11 * SECOND_MS)
    assert rule_of(caught.value) == "expired"


def test_online_keys_roll_over_without_a_gap() -> None:
    successor = SECONDARY._replace(online=key("secondary online, next"))
    both = Chain(SECONDARY_CHAIN.delegations, (SECONDARY.online_statement(), successor.online_statement()))
    verifier = Verifier(ANCHOR)
    verifier.learn(both, NOW_MS)
    for online in (SECONDARY.online, successor.online):
        one = bundle(online=online)
        assert verifier.check(one.seal, one.leaf, NOW_MS)


def test_keys_that_are_past_are_forgotten_with_the_next_chain() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    verifier.learn(Chain((), (TOP.online_statement(until=UNTIL),)), KEY_UNTIL * 1_000)
    assert verifier.knows(SECONDARY.online.public.id)
    verifier.learn(Chain((), (TOP.online_statement(until=UNTIL),)), KEY_UNTIL * 1_000 + 1)
    assert not verifier.knows(SECONDARY.online.public.id)


def test_a_smaller_tolerance() -> None:
    verifier = Verifier(ANCHOR, tolerance_ms=10)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    assert verifier.check(GOOD.seal, GOOD.leaf, NOW_MS + 10)
    with pytest.raises(NotVerified, match="0 s behind this machine's clock; at most 0 s"):
        verifier.check(GOOD.seal, GOOD.leaf, NOW_MS + 11)


# Who may speak for whom ----------------------------------------------------------------------------------

SPEAKERS = [
    (TOP, "88.118.32001", True),
    (TOP, "88", True),
    (TOP, "99", False),
    (TOP, "881", False),
    (SECONDARY, "88.118", True),
    (SECONDARY, "88.118.32001", True),
    (SECONDARY, "88.119.1", False),  # the sibling's
    (SECONDARY, "88.1180", False),  # looks like its own
    (SECONDARY, "88", False),  # the parent's
    (ENTERPRISE, "88.118.32001", True),
    (ENTERPRISE, "88.118.32001.9", True),
    (ENTERPRISE, "88.118.32002", False),
    (ENTERPRISE, "88.118", False),
    (ENTERPRISE, "88.118.3200", False),
]
CHAIN_OF = {
    TOP: Chain((), (TOP.online_statement(),)),
    SECONDARY: SECONDARY_CHAIN,
    ENTERPRISE: ENTERPRISE_CHAIN,
}


@pytest.mark.parametrize(("zone", "prefix", "may"), SPEAKERS, ids=lambda one: getattr(one, "prefix", str(one)))
def test_who_may_speak_for_whom(zone: Zone, prefix: str, may: bool) -> None:
    identifier = f"{prefix}/x"
    sealed = answered(identifier.encode(), Status.NOT_FOUND, 300, online=zone.online)
    verifier = Verifier(ANCHOR)
    verifier.learn(CHAIN_OF[zone], NOW_MS)
    proof = verifier.check(read_seal(decode_one(sealed.seal)), leaf(sealed.request, sealed.response), NOW_MS)
    receipt = sealed.receipt(CHAIN_OF[zone])
    if may:
        proof.speaks_for(prefix, identifier)
        assert verify_receipt(receipt, ANCHOR).answer.identifier == identifier
    else:
        for judge in (lambda: proof.speaks_for(prefix, identifier), lambda: verify_receipt(receipt, ANCHOR)):
            with pytest.raises(NotVerified) as caught:
                judge()
            assert rule_of(caught.value) == "foreign-identifier"


def test_a_receipt_is_judged_by_the_anchor_of_its_reader() -> None:
    receipt = answered().receipt(SECONDARY_CHAIN)
    for anchor in (
        TrustAnchor("88", STRANGER.key.public),
        TrustAnchor("99", TOP.key.public),
        TrustAnchor("", TOP.key.public),
        TrustAnchor("88.118", TOP.key.public),
    ):
        with pytest.raises(NotVerified):
            verify_receipt(receipt, anchor)
    own = encode_receipt(*answered(), Chain((), SECONDARY_CHAIN.online_keys))
    assert verify_receipt(own, TrustAnchor("88.118", SECONDARY.key.public)).proof.zone.delegations == ()


def test_a_signature_that_was_seen_before_helps_no_other_bundle() -> None:
    """A verifier remembers signatures; every bent seal is refused after the good ones for the same reason as before."""
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    verifier.learn(Chain((), (TOP.online_statement(),)), NOW_MS)
    for _ in range(2):
        for one in (GOOD, *(Bundle(*pair) for pair in zip(SEALS, LEAVES, strict=True))):
            assert verifier.check(one.seal, one.leaf, NOW_MS).zone.prefix == "88.118"
    for what, one, rule in LIVE:
        if rule is not None:
            with pytest.raises(NotVerified) as caught:
                verifier.check(one.seal, one.leaf, NOW_MS)
            assert rule_of(caught.value) == rule, what


def test_a_verifier_may_see_any_number_of_turns() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    for i in range(600):
        one = bundle(time=NOW_MS + i)
        assert verifier.check(one.seal, one.leaf, NOW_MS).time == NOW_MS + i


# While keys roll over -------------------------------------------------------------------------------------


def test_an_online_key_under_a_signature_that_cannot_be_judged_counts_for_nothing() -> None:
    zone = verify_zone(ANCHOR, (TOP_DOWN, DOWN), NOW)
    stranger = STRANGER.online_statement(zone=ENTERPRISE.prefix)
    assert verify_online_keys(zone, (stranger, MARK)) == verify_online_keys(zone, (MARK,))


def _renewed(serial: int, *keys: SigningKey, until: int = UNTIL) -> bytes:
    claim = Delegation(SECONDARY.prefix, ENTERPRISE.prefix, serial, SINCE, until, tuple(one.public for one in keys), ())
    return claim.sign(SECONDARY.key)


def _marked(signer: SigningKey, online: SigningKey) -> bytes:
    return OnlineKey(ENTERPRISE.prefix, "node", online.public, KEY_SINCE, KEY_UNTIL).sign(signer)


OLD_KEY, NEW_KEY, FIRST, SECOND = key("old zone"), key("new zone"), key("first online"), key("second online")
OLD_CHAIN = Chain((TOP_DOWN, _renewed(3, OLD_KEY)), (_marked(OLD_KEY, FIRST),))
BOTH_CHAIN = Chain((TOP_DOWN, _renewed(4, OLD_KEY, NEW_KEY)), (_marked(OLD_KEY, FIRST), _marked(NEW_KEY, SECOND)))
NEW_CHAIN = Chain((TOP_DOWN, _renewed(5, NEW_KEY)), (_marked(NEW_KEY, SECOND),))


def test_a_zone_key_rolls_over_and_the_old_one_is_worth_nothing_then() -> None:
    verifier = Verifier(ANCHOR)
    for chain, first, second in ((OLD_CHAIN, True, False), (BOTH_CHAIN, True, True), (NEW_CHAIN, False, True)):
        verifier.learn(chain, NOW_MS)
        assert (verifier.knows(FIRST.public.id), verifier.knows(SECOND.public.id)) == (first, second)
    with pytest.raises(NotVerified) as error:  # an older serial does not replace a newer one
        verifier.learn(OLD_CHAIN, NOW_MS)
    assert rule_of(error.value) == "bad-signature"
    assert verifier.knows(SECOND.public.id)


def test_an_older_delegation_is_read_as_the_newest_while_its_keys_still_hold() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(BOTH_CHAIN, NOW_MS)
    zone = verifier.learn(OLD_CHAIN, NOW_MS)  # from a server that is a renewal behind
    assert zone.delegations[-1].serial == 4
    assert verifier.knows(FIRST.public.id)


def test_what_is_forgotten_takes_all_below_it_along() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(ENTERPRISE_CHAIN, NOW_MS)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    verifier.forget(ENTERPRISE.prefix)
    with pytest.raises(NotVerified) as error:
        verifier.check(*_sealed(ENTERPRISE), NOW_MS)
    assert rule_of(error.value) == "unknown-key"
    verifier.check(*_sealed(SECONDARY), NOW_MS)
    verifier.forget(SECONDARY.prefix)
    with pytest.raises(NotVerified):
        verifier.check(*_sealed(SECONDARY), NOW_MS)


def _sealed(zone: Zone) -> tuple[Seal, bytes]:
    covered = leaf(b"question", b"answer")
    [wire] = seal_turn([1], [covered], zone.online, NOW_MS)
    return read_seal(decode_one(wire)), covered


def test_an_anchor_rolls_over() -> None:
    following = key("next anchor")
    both = TrustAnchor(ANCHOR.prefix, ANCHOR.key, following.public)
    signed_by_next = Delegation(ANCHOR.prefix, SECONDARY.prefix, 9, SINCE, UNTIL, (SECONDARY.key.public,), ()).sign(
        following
    )
    chain = Chain((signed_by_next,), SECONDARY_CHAIN.online_keys)
    assert Verifier(both).learn(chain, NOW_MS).prefix == SECONDARY.prefix
    assert Verifier(both).learn(SECONDARY_CHAIN, NOW_MS).prefix == SECONDARY.prefix
    with pytest.raises(NotVerified):
        Verifier(ANCHOR).learn(chain, NOW_MS)


# Referrals ------------------------------------------------------------------------------------------------


def _refer(statement: bytes, prefix: str = ENTERPRISE.prefix) -> Delegation:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    return verifier.refer(verifier.check(*_sealed(SECONDARY), NOW_MS), statement, prefix, NOW_MS)


def test_a_referral_leads_on() -> None:
    assert _refer(DOWN).child == ENTERPRISE.prefix
    assert _refer(DOWN, f"{ENTERPRISE.prefix}.5").child == ENTERPRISE.prefix


@pytest.mark.parametrize(
    ("statement", "prefix", "rule"),
    [
        (DOWN, f"{SECONDARY.prefix}.77", "lame-referral"),
        (DOWN, SECONDARY.prefix, "lame-referral"),
        (TOP_DOWN, ENTERPRISE.prefix, "lame-referral"),
        (flipped(DOWN), ENTERPRISE.prefix, "bad-signature"),
        (TOP.delegate(ENTERPRISE), ENTERPRISE.prefix, "lame-referral"),
        (DOWN[:-1], ENTERPRISE.prefix, "statement.malformed"),
        (MARK, ENTERPRISE.prefix, "statement.malformed"),
    ],
)
def test_a_referral_that_leads_nowhere(statement: bytes, prefix: str, rule: str) -> None:
    with pytest.raises((NotVerified, MessageError)) as error:
        _refer(statement, prefix)
    assert rule_of(error.value) == rule


def test_a_referral_that_has_run_out() -> None:
    verifier = Verifier(ANCHOR)
    verifier.learn(SECONDARY_CHAIN, NOW_MS)
    proof = verifier.check(*_sealed(SECONDARY), NOW_MS)
    with pytest.raises(NotVerified) as error:
        verifier.refer(proof, DOWN, ENTERPRISE.prefix, (UNTIL + 1) * 1000)
    assert rule_of(error.value) == "expired"
    newer = Delegation(SECONDARY.prefix, ENTERPRISE.prefix, 99, SINCE, UNTIL, (ENTERPRISE.key.public,), ())
    verifier.refer(proof, newer.sign(SECONDARY.key), ENTERPRISE.prefix, NOW_MS)
    assert verifier.refer(proof, DOWN, ENTERPRISE.prefix, NOW_MS).serial == 99
