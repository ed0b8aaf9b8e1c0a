"""Tokens, passwords and wrong attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Refused
from registry.identities.secrets import (
    hash_password,
    nobodys_password,
    password_fits,
)
from registry.store.callers import attempts
from registry.store.callers.attempts import FREE, LONGEST_WAIT_SECONDS, Attempts
from registry.store.callers.tokens import TOKEN_MARK, new_token, token_digest


def test_tokens() -> None:
    some = {new_token() for _ in range(100)}
    assert len(some) == 100
    for secret in some:
        assert secret.startswith(TOKEN_MARK)
        assert len(secret) == 47
        assert len(token_digest(secret) or "") == 64
    assert len({token_digest(secret) for secret in some}) == 100


@pytest.mark.parametrize(
    "secret", ["", "bst_", "bst_" + "a" * 42, "bst_" + "a" * 44, "BST_" + "a" * 43, "bst_" + "é" * 43]
)
def test_what_is_no_token(secret: str) -> None:
    assert token_digest(secret) is None


def test_nobodys_password_fits_nothing() -> None:
    assert not password_fits("", nobodys_password())


def test_passwords() -> None:
    kept = hash_password("齿轮泵-2023-secret", cost=16)
    assert password_fits("齿轮泵-2023-secret", kept)
    assert not password_fits("齿轮泵-2023-secreT", kept)
    assert not password_fits("", kept)
    assert hash_password("x", cost=16) != hash_password("x", cost=16)
    assert b"secret" not in kept


@pytest.mark.parametrize("kept", [b"", b"\x95", b"\x95\x01\x08\x01\xc4\x00\xc4\x00", b"\x90", b"\xc1"])
def test_a_damaged_password_fits_nothing(kept: bytes) -> None:
    assert not password_fits("", kept)


def test_each_wrong_attempt_doubles_the_wait() -> None:
    tried = Attempts()
    now = 0.0
    for wait in (0, 0, 0, 0, 2, 4, 8, 16):
        tried.check("li", now)
        tried.wrong("li", now)
        if wait:
            with pytest.raises(Refused, match=f"in {wait} s"):
                tried.check("li", now)
            with pytest.raises(Refused):
                tried.check("li", now + wait - 0.1)
        now += wait
    tried.check("wang", now)
    tried.right("li")
    tried.check("li", now - 1)


@given(st.integers(0, 60))
def test_no_wait_is_longer_than_stated(count: int) -> None:
    tried = Attempts()
    for _ in range(FREE + count):
        tried.wrong("li", 0.0)
    tried.check("li", LONGEST_WAIT_SECONDS)


def test_an_hour_later_all_is_forgotten() -> None:
    tried = Attempts()
    for _ in range(20):
        tried.wrong("li", 0.0)
    tried.wrong("li", 3_601.0)
    tried.check("li", 3_601.0)


def test_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_REMEMBERED", 3)
    tried = Attempts()
    for name in "abcd":
        for _ in range(FREE):
            tried.wrong(name, 0.0)
    tried.check("a", 0.0)
    with pytest.raises(Refused):
        tried.check("d", 0.0)
