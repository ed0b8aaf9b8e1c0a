"""When keys and delegations are renewed, and that at any moment a node has a key and its statement."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from biaoshi import upkeep as upkeep_module
from biaoshi.delegation.child import OLDER, judge_chain, node_address
from biaoshi.delegation.parent import check_key, issued, renewal
from biaoshi.making import make_node
from biaoshi.online import Next, OnlineKeys
from biaoshi.upkeep import AGAIN_SECONDS, FETCH_SECONDS, SHOW_SECONDS, OnlineState, Upkeep, online_step, pause
from config.keyfiles import other_statements, read_delegations, read_secret, write_whole
from config.load import load_settings
from protocol.errors import BiaoshiError, NotVerified, Refused, SettingsError, Unreachable
from protocol.node import DELEGATION_ENDS, ONLINE_KEY_ENDS, NodeFacts, OwnKeys, own_keys
from protocol.seals import leaf, read_seal, seal_turn
from protocol.signatures import SigningKey
from protocol.statements import Address, Delegation, DelegationRequest, OnlineKey, due, window
from protocol.trust import ALWAYS, Chain, TrustAnchor, Verifier, Zone
from registry.client import LOST
from tests.vectors.actors import ANCHOR, ENTERPRISE, NOW, SECONDARY, SINCE, TOP, UNTIL
from tests.vectors.actors import Zone as Actor

DAY: Final = 86_400
ZONE_KEY: Final = SigningKey(b"z" * 32)
ADDRESS: Final = Address("node.example.cn", 26_410, 26_410)


# When ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "left"), [(90, 30 * DAY), (30, 10 * DAY + 1_200), (3_650, 30 * DAY), (1, 8 * 3_600 + 1_200)]
)
def test_renewal_is_due_when_a_third_is_left(days: int, left: int) -> None:
    since, until = window(NOW, days)
    assert (since, until) == (NOW - 3_600, NOW + days * DAY)
    assert until - due(since, until) == left


def test_short_statements_begin_little_early() -> None:
    assert window(NOW, 30 / DAY) == (NOW - 3, NOW + 30)
    assert due(*window(NOW, 30 / DAY)) == NOW + 19
    assert window(NOW, 1e-9) == (NOW, NOW + 1)


END: Final = NOW + 90 * DAY
STEPS: Final = [
    # now, by the zone's first key, the next key, what is done
    (NOW, True, None, "nothing"),
    (END - 30 * DAY - 1, True, None, "nothing"),
    (END - 30 * DAY, True, None, "prepare"),
    (END + 5, True, None, "prepare"),
    (NOW, False, None, "prepare"),
    (NOW + 10, True, Next(b"k", NOW), "nothing"),
    (NOW + SHOW_SECONDS - 1, False, Next(b"k", NOW), "nothing"),
    (NOW + SHOW_SECONDS, True, Next(b"k", NOW), "use"),
    (END, True, Next(b"k", END - 5), "use"),
]


@pytest.mark.parametrize(("now", "by_first", "following", "step"), STEPS)
def test_steps_of_an_online_key(now: int, by_first: bool, following: Next | None, step: str) -> None:
    assert online_step(OnlineState(NOW, END, by_first, following), now) == step


@settings(deadline=None)
@given(length=st.integers(10, 400 * DAY), ticks=st.lists(st.integers(1, 10), min_size=1, max_size=300))
def test_a_key_is_followed_before_it_ends(length: int, ticks: list[int]) -> None:
    """However the clock is looked at, up to half of the time apart in which renewing is due: a key is always valid."""
    days = length / DAY
    since, ends = window(NOW, days)
    least = (ends - due(since, ends)) // 2
    following: tuple[int, int, Next] | None = None
    now = NOW
    for tick in ticks:
        now += max(1, tick * least // 10)
        state = OnlineState(since, ends, True, following and following[2])
        match online_step(state, now):
            case "prepare":
                following = (*window(now, days), Next(b"k", now))
            case "use":
                assert following is not None
                (since, ends, _), following = following, None
        assert now <= ends


def test_pauses() -> None:
    assert pause(ALWAYS) == FETCH_SECONDS
    assert pause(30) == 1.5
    assert pause(0) == 1.0


# Files -----------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The machine stops here."""


def state(directory: Path, now: int) -> OwnKeys:
    """What a process that starts now reads."""
    online, statement = directory / "online.pem", directory / "online.statement"
    statements = [path.read_bytes() for path in (statement, *other_statements(statement))]
    return own_keys("88.118", read_secret(online), statements, (), [str(ZONE_KEY.public)], (), now)


@settings(max_examples=40, deadline=None)
@given(stops=st.lists(st.integers(0, 9), max_size=6))
def test_whenever_it_stops_there_is_a_key_and_its_statement(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("keys")
    keys = OnlineKeys(directory / "online.pem", directory / "online.statement")
    keys.make_first("88.118", "node-1", ZONE_KEY, NOW, 1)
    now, seen = NOW, {state(directory, NOW).claim.key.id}
    for stop in [*stops, 99]:
        now += 3_600
        with pytest.MonkeyPatch.context() as patched:
            _stop_at(patched, stop)
            try:
                following = keys.next()
                if following is None:
                    keys.prepare("88.118", "node-1", ZONE_KEY, now, 1)
                else:
                    keys.use(following.key_id)
                keys.clear(now)
            except Stopped:
                pass
        own = state(directory, now)
        seen.add(own.claim.key.id)
        shown = Chain(own.chain.delegations, own.chain.online_keys)
        verifier = Verifier(TrustAnchor("88.118", ZONE_KEY.public))
        verifier.learn(shown, now * 1_000)
        [seal] = seal_turn([1], [leaf(b"q", b"a")], own.key, now * 1_000)
        verifier.check(read_seal(_decoded(seal)), leaf(b"q", b"a"), now * 1_000)
        assert all(verifier.knows(key_id) for key_id in seen), "what was used before is still vouched for"


def _decoded(seal: bytes) -> object:
    from protocol.framing import decode_one

    return decode_one(seal)


def _stop_at(patched: pytest.MonkeyPatch, stop: int) -> None:
    """Let so many renames and removals happen, and then none."""
    left = [stop]

    def counted(call: object) -> object:
        def instead(*arguments: object, **options: object) -> object:
            if not left[0]:
                raise Stopped
            left[0] -= 1
            assert callable(call)
            return call(*arguments, **options)

        return instead

    patched.setattr(os, "replace", counted(os.replace))
    patched.setattr(Path, "unlink", counted(Path.unlink))
    patched.setattr(os, "open", counted(os.open))


@pytest.mark.parametrize("damage", [None, b"", b"\x92"])
def test_a_statement_that_is_lost_or_damaged_is_replaced(tmp_path: Path, damage: bytes | None) -> None:
    keys = OnlineKeys(tmp_path / "online.pem", tmp_path / "online.statement")
    keys.make_first("88.118", "node-1", ZONE_KEY, NOW, 1)
    if damage is None:
        keys.statement.unlink()
    else:
        keys.statement.write_bytes(damage)
    claim = keys.prepare("88.118", "node-1", ZONE_KEY, NOW, 1)
    keys.use(claim.key.id)
    assert state(tmp_path, NOW).claim == claim


def test_statements_that_are_over_are_cleared(tmp_path: Path) -> None:
    keys = OnlineKeys(tmp_path / "online.pem", tmp_path / "online.statement")
    keys.make_first("88.118", "node-1", ZONE_KEY, NOW, 1)
    claim = keys.prepare("88.118", "node-1", ZONE_KEY, NOW + DAY // 2, 1)
    keys.use(claim.key.id)
    assert len(state(tmp_path, NOW + DAY // 2).chain.online_keys) == 2
    assert len(state(tmp_path, NOW + DAY + 1).chain.online_keys) == 1, "the first is over"
    keys.clear(NOW + DAY + DAY // 2)
    assert len(other_statements(tmp_path / "online.statement")) == 1
    keys.clear(NOW + 2 * DAY + 1)
    assert other_statements(tmp_path / "online.statement") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["online.pem", "online.statement"]


def test_files_of_delegations(tmp_path: Path) -> None:
    path = tmp_path / "delegations"
    assert read_delegations(path) == ()
    statements = (TOP.delegate(SECONDARY), SECONDARY.delegate(ENTERPRISE))
    write_whole(path, b"".join(statements))
    assert read_delegations(path) == statements
    write_whole(path, statements[0][:-1])
    with pytest.raises(Exception, match="delegate fetch"):
        read_delegations(path)


# A node's own keys -----------------------------------------------------------------------------------


def own(statement: bytes, *others: bytes, keys: tuple[SigningKey, ...] = (SECONDARY.key,), now: int = NOW) -> OwnKeys:
    texts = [str(key.public) for key in keys]
    chain = (TOP.delegate(SECONDARY),)
    return own_keys("88.118", SECONDARY.online.seed, [statement, *others], chain, texts, (), now)


def test_the_statement_is_found_by_its_key() -> None:
    mine = SECONDARY.online_statement()
    other = OnlineKey("88.118", "node-2", TOP.online.public, NOW, NOW + 9).sign(SECONDARY.key)
    over = OnlineKey("88.118", "node-3", TOP.online.public, NOW - 9, NOW - 1).sign(SECONDARY.key)
    foreign = OnlineKey("88.119", "node-4", TOP.online.public, NOW, NOW + 9).sign(SECONDARY.key)
    found = own(other, mine, over, foreign)
    assert found.chain.online_keys == (mine, other)
    assert (found.delegation_since, found.delegation_ends) == (SINCE, UNTIL)


@pytest.mark.parametrize(
    ("rule", "statement", "keys"),
    [
        ("node.other-key", TOP.online_statement(), (SECONDARY.key,)),
        ("node.other-zone-key", SECONDARY.online_statement(), (TOP.key,)),
        ("node.key-expired", SECONDARY.online_statement(until=NOW - 1), (SECONDARY.key,)),
        ("node.other-prefix", SECONDARY.online_statement(zone="88"), (SECONDARY.key,)),
    ],
)
def test_keys_that_will_not_do(rule: str, statement: bytes, keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(BiaoshiError) as raised:
        own(statement, keys=keys)
    assert raised.value.rule.name == rule


def test_what_a_person_should_see_to() -> None:
    def concerns(now: int, since: int, until: int) -> list[str]:
        found = own(SECONDARY.online_statement(since=since, until=until), now=now)
        facts = NodeFacts("secondary", "88.118", "", found.chain, own=found)
        assert facts.status(now)["concerns"] == " ".join(rule.name for rule, _ in facts.concerns(now))
        return [rule.name for rule, _ in facts.concerns(now)]

    assert concerns(NOW, NOW, NOW + 90 * DAY) == []
    assert concerns(NOW + 60 * DAY + 3_601, NOW, NOW + 90 * DAY) == [ONLINE_KEY_ENDS.name]
    assert concerns(NOW + 60 * DAY + 3_000, NOW, NOW + 90 * DAY) == [], "an hour is for the node itself"
    assert concerns(UNTIL - DAY, UNTIL - 2 * DAY, UNTIL + 88 * DAY) == [DELEGATION_ENDS.name]
    assert NodeFacts("top", "", "", Chain((), ())).concerns(NOW) == []


# The parent's decisions ------------------------------------------------------------------------------

PARENT: Final = Zone("88", (TOP.key.public,), 0, NOW + 100 * DAY, ())


def given_(since: int, until: int, signer: SigningKey = TOP.key) -> bytes:
    return Delegation("88", "88.118", 7, since, until, (SECONDARY.key.public,), (ADDRESS,)).sign(signer)


def test_a_delegation_never_outlives_its_parents() -> None:
    wish = DelegationRequest("88.118", (SECONDARY.key.public,), (ADDRESS,), NOW)
    assert issued(wish, 7, PARENT, 90, NOW).not_after == NOW + 90 * DAY
    assert issued(wish, 7, PARENT, 900, NOW).not_after == PARENT.not_after
    assert issued(wish, 7, PARENT, 90, NOW).serial == 8
    with pytest.raises(Refused):
        issued(wish, 7, PARENT, 90, PARENT.not_after)


RENEWALS: Final = [
    # since, until, who signed, until when the parent's own holds, whether it is renewed
    (NOW, NOW + 90 * DAY, TOP.key, PARENT, False),
    (NOW - 60 * DAY + 1, NOW + 30 * DAY + 1, TOP.key, PARENT, False),
    (NOW - 60 * DAY, NOW + 30 * DAY, TOP.key, PARENT, True),
    (NOW - 90 * DAY, NOW - 1, TOP.key, PARENT, True),
    (NOW, NOW + 90 * DAY, ENTERPRISE.key, PARENT, True),
    (NOW - 60 * DAY, NOW + 30 * DAY, TOP.key, Zone("88", (TOP.key.public,), 0, NOW + 30 * DAY, ()), False),
    (NOW - 90 * DAY, NOW - 5, TOP.key, Zone("88", (TOP.key.public,), 0, NOW - 1, ()), False),
]  # fmt: skip


@pytest.mark.parametrize(("since", "until", "signer", "parent", "renewed"), RENEWALS)
def test_children_are_renewed_when_it_is_time(
    since: int, until: int, signer: SigningKey, parent: Zone, renewed: bool
) -> None:
    following = renewal(given_(since, until, signer), 7, parent, TOP.key, 90, NOW)
    assert (following is not None) == renewed
    if following is not None:
        assert (following.serial, following.keys, following.addresses) == (8, (SECONDARY.key.public,), (ADDRESS,))
        assert following.not_after == min(NOW + 90 * DAY, parent.not_after)


def test_another_key_is_refused_before_it_signs() -> None:
    check_key(PARENT, TOP.key.public)
    with pytest.raises(Refused):
        check_key(PARENT, SECONDARY.key.public)


# The child's decisions -------------------------------------------------------------------------------

KEYS: Final = [str(SECONDARY.key.public)]
OLD, NEW = TOP.delegate(SECONDARY, serial=3), TOP.delegate(SECONDARY, serial=4)


def test_a_fetched_chain_is_verified_and_never_an_older_one() -> None:
    assert judge_chain(ANCHOR, (NEW,), (OLD,), "88.118", KEYS, NOW).changed
    assert not judge_chain(ANCHOR, (OLD,), (OLD,), "88.118", KEYS, NOW).changed
    assert judge_chain(ANCHOR, (OLD,), (b"\x00",), "88.118", KEYS, NOW).changed
    with pytest.raises(NotVerified) as raised:
        judge_chain(ANCHOR, (OLD,), (NEW,), "88.118", KEYS, NOW)
    assert raised.value.rule is OLDER


def forged(signer: Actor, child: Actor) -> bytes:
    return TOP.delegate(child, signer=signer.key)


@pytest.mark.parametrize(
    ("chain", "zone", "keys", "at"),
    [
        ((forged(SECONDARY, SECONDARY),), "88.118", KEYS, NOW),
        ((TOP.delegate(SECONDARY),), "88.118", [str(TOP.key.public)], NOW),
        ((TOP.delegate(SECONDARY),), "88.119", KEYS, NOW),
        ((TOP.delegate(SECONDARY), SECONDARY.delegate(ENTERPRISE)), "88.118", KEYS, NOW),
        ((), "88.118", KEYS, NOW),
        ((TOP.delegate(SECONDARY),), "88.118", KEYS, UNTIL + 1),
    ],
)
def test_chains_that_are_not_taken(chain: tuple[bytes, ...], zone: str, keys: list[str], at: int) -> None:
    with pytest.raises(NotVerified):
        judge_chain(ANCHOR, chain, (), zone, keys, at)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5:26410", Address("10.0.0.5", 26_410, 26_410)),
        ("10.0.0.5", Address("10.0.0.5", 26_410, 26_410)),
        ("[2001:db8::5]:1/2,tls", Address("2001:db8::5", 1, 2, True)),
        ("node.example.cn:7/0", Address("node.example.cn", 7, 0)),
        ("node.example.cn:7,tls", Address("node.example.cn", 7, 7, True)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert node_address(text) == address


@pytest.mark.parametrize("text", ["", ":7", "a:7/", "a:7/x", "a:7/65536", "a:7,TLS", "a:7,", "a:b", "[::1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(SettingsError):
        node_address(text)


# A running node's upkeep -----------------------------------------------------------------------------


def test_what_failed_with_the_children_is_tried_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the key has just changed and the registry does not know it yet."""
    tries: list[str] = []

    class Nobody:
        def __init__(self, host: str, port: int, **options: object) -> None:
            tries.append(host)

        async def __aenter__(self) -> None:
            raise Unreachable(LOST)

        async def __aexit__(self, *exc: object) -> None:
            """Nothing was opened."""

    monkeypatch.setattr(upkeep_module, "RegistryClient", Nobody)
    node = load_settings(make_node("top", "88", tmp_path / "node"))
    upkeep = Upkeep(node, "88", ("127.0.0.1", 1), lambda: None, structlog.get_logger())
    now = time.time()
    for seconds, expected in ((0, 1), (AGAIN_SECONDS - 2, 1), (AGAIN_SECONDS + 1, 2)):
        asyncio.run(upkeep.look(now + seconds))
        assert len(tries) == expected, seconds
