"""Idempotency-Key: the first answer again, for a while and within bounds. Credentials: tokens that end."""

from __future__ import annotations

import pytest

from protocol.errors import InvalidInput, Refused
from protocol.signatures import SigningKey
from registry.api import credentials
from registry.api.credentials import CHALLENGE_SECONDS, TOKEN_SECONDS, KeySessions, proof_bytes
from registry.api.replays import KEEP_SECONDS, Kept, Replays
from registry.rights import Rights, challenge_bytes

KEY = SigningKey(b"k" * 32)
ANSWER = Kept(200, b"x" * 1_000)


class Clock:
    """Seconds that go on when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    replays = Replays(clock)
    assert replays.begin("a", "k", b"1") is None
    with pytest.raises(Refused, match="under way"):
        replays.begin("a", "k", b"1")
    replays.end("a", "k", ANSWER)
    assert replays.begin("a", "k", b"1") == ANSWER
    with pytest.raises(InvalidInput, match="another request"):
        replays.begin("a", "k", b"2")
    assert replays.begin("b", "k", b"2") is None
    clock.now += KEEP_SECONDS + 1
    assert replays.begin("a", "k", b"2") is None


def test_what_failed_may_be_tried_again() -> None:
    replays = Replays(Clock())
    assert replays.begin("a", "k", b"1") is None
    replays.end("a", "k", None)
    assert replays.begin("a", "k", b"2") is None


def test_the_oldest_answers_make_room_and_none_under_way_does() -> None:
    replays = Replays(Clock(), keep_bytes=5_000)
    assert replays.begin("a", "slow", b"1") is None
    for number in range(20):
        assert replays.begin("a", str(number), b"1") is None
        replays.end("a", str(number), ANSWER)
        assert replays._bytes <= 5_000 + 300
    assert replays.begin("a", "19", b"1") == ANSWER
    assert replays.begin("a", "0", b"1") is None
    with pytest.raises(Refused, match="under way"):
        replays.begin("a", "slow", b"1")
    for number in range(1_000):  # requests under way count, and are not forgotten
        assert replays.begin("b", str(number), b"1") is None
        replays.end("b", str(number), None)
    assert replays._bytes <= 5_000 + 600


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "泵", "a\x7f"])
def test_a_key_is_printing_ascii(key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        Replays(Clock()).begin("a", key, b"")


# Credentials -----------------------------------------------------------------------------------------------------


def sessions(clock: Clock) -> KeySessions:
    """Those of a node at which the key may write."""
    return KeySessions(Rights({KEY.public: ["88.118"]}, "88.118"), "88.118", clock, clock)


def test_challenges_and_tokens_end() -> None:
    clock = Clock()
    known = sessions(clock)
    name, nonce = known.challenge(KEY.public)
    clock.now += CHALLENGE_SECONDS + 1
    with pytest.raises(InvalidInput, match="time is over"):
        known.prove(name, KEY.sign(proof_bytes("88.118", nonce)))
    name, nonce = known.challenge(KEY.public)
    granted = known.prove(name, KEY.sign(proof_bytes("88.118", nonce)))
    assert granted.prefixes == ("88.118",)
    caller = known.caller(granted.token, "")
    assert caller is not None
    assert caller.name == str(KEY.public)
    assert known.caller(granted.token + "x", "") is None
    clock.now += TOKEN_SECONDS + 1
    assert known.caller(granted.token, "") is None
    assert not known._tokens


def test_a_proof_for_the_native_protocol_gets_no_token() -> None:
    known = sessions(Clock())
    name, nonce = known.challenge(KEY.public)
    with pytest.raises(Refused, match="does not prove"):
        known.prove(name, KEY.sign(challenge_bytes("88.118", nonce)))
    assert not proof_bytes("88.118", b"n").startswith(challenge_bytes("", b"")[:12])


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_CHALLENGES", 3)
    monkeypatch.setattr(credentials, "MAX_TOKENS", 2)
    known = sessions(Clock())
    begun = [known.challenge(KEY.public) for _ in range(4)]
    with pytest.raises(InvalidInput):
        known.prove(begun[0][0], KEY.sign(proof_bytes("88.118", begun[0][1])))
    tokens = [known.prove(name, KEY.sign(proof_bytes("88.118", nonce))).token for name, nonce in begun[1:]]
    assert [known.caller(token, "") is not None for token in tokens] == [False, True, True]
    known.revoke(tokens[1])
    assert known.caller(tokens[1], "") is None
