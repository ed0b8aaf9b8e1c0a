"""What a registry answers about delegations, and every node about successions, is what the vectors say."""

from __future__ import annotations

from typing import Final

import pytest

from protocol.messages import Op
from protocol.node import NodeFacts, own_keys
from registry import session as session_module
from registry.delegating import Parent
from registry.delegations import Delegations, SystemBatch
from registry.rights import Rights
from registry.session import Session
from registry.store.memory import MemoryStore
from registry.store.system import DELEGATIONS, system_write
from resolver.answering import Answerer
from tests.protocol.test_operations import OPERATIONS, request, response
from tests.vectors.actors import NOW, SECONDARY, SECONDARY_CHAIN, SIBLING, UNTIL
from tests.vectors.delegating import REFUSED, SUCCESSION
from tests.vectors.generate import FACTS, NONCE, WRITER

SIBLING_DELEGATED: Final = "(the sibling is delegated)"
SIBLING_REVOKED: Final = "(the sibling's delegation is revoked)"

CASES: Final[list[tuple[str, str, list[str]]]] = [
    # the question, the answer, what was asked before
    ("delegate", "stored", []),
    ("delegate", "sent again", ["delegate"]),
    ("delegate", "serial used", ["delegate", "revoke"]),
    ("delegate anew", "stored", ["delegate"]),
    *[(f"delegate, {what}", "refused", [SIBLING_DELEGATED]) for what, _, _ in REFUSED],
    ("revoke", "revoked", ["delegate"]),
    ("revoke", "sent again", ["delegate", "revoke"]),
    ("revoke", "another serial", ["delegate", "delegate anew"]),
    ("revoke", "never delegated", []),
    ("revoke whatever is there", "revoked", ["delegate", "delegate anew"]),
    ("delegations", "a page", ["delegate", SIBLING_DELEGATED, SIBLING_REVOKED]),
    ("delegations", "none", ["code"]),
    ("delegations, one at a time", "a page", ["delegate", SIBLING_DELEGATED, SIBLING_REVOKED]),
    ("delegations on", "the last page", ["delegate", SIBLING_DELEGATED, SIBLING_REVOKED]),
    ("delegation of one child", "shown", ["delegate", SIBLING_DELEGATED]),
    ("delegation of one child", "revoked", ["delegate", "revoke"]),
    ("delegation of one child", "never delegated", [SIBLING_DELEGATED]),
    ("code", "valid until", []),
    ("code for what is no child", "refused", []),
    ("request with a code", "waits", ["code"]),
    ("request with a code", "sent again", ["code", "request with a code"]),
    ("request with a code", "no valid code", []),
    ("request with another code", "refused", ["code"]),
    ("request of two days ago", "refused", ["code"]),
    ("request without a code", "waits", ["delegate"]),
    ("request without a code", "not delegated", ["code"]),
    ("requests", "a page", ["code", "request with a code"]),
    ("requests", "none", ["code", "request with a code", "delegate"]),
]

ELSEWHERE: Final = {
    ("delegate", "another change under way"),
    ("delegate", "no key proven"),
    ("delegate", "not the whole zone"),
    ("succession", "none"),
    ("succession", "shown"),
    ("succession over UDP", "shown"),
}
"""Answers with tests of their own below."""


class Registry:
    """The parent's registry, and sessions at it."""

    def __init__(self, prefix: str = SECONDARY.prefix) -> None:
        self.store = MemoryStore()
        parent = Parent(SECONDARY.prefix, (SECONDARY.key.public,), UNTIL, len(SECONDARY_CHAIN.delegations))
        self.delegations = Delegations(self.store, parent, lambda: NOW)
        self.rights = Rights({WRITER.public: [prefix]}, SECONDARY.prefix)
        self.administrator, self.anybody = self.session(), self.session()
        for name in ("authenticate", "prove"):
            self.administrator.answer(request(name))

    def session(self) -> Session:
        return Session(self.store, FACTS, self.rights, dict, self.delegations)

    def ask(self, name: str) -> str:
        """The response to a question of the vectors; who asks for a delegation has proven no key."""
        if name in (SIBLING_DELEGATED, SIBLING_REVOKED):
            contents = {"DELEGATION": SECONDARY.delegate(SIBLING)} if name == SIBLING_DELEGATED else None
            self.store.apply([system_write(DELEGATIONS, SIBLING.prefix, contents)], NOW)
            return ""
        session = self.anybody if OPERATIONS[name]["op"] == Op.REQUEST else self.administrator
        answer = session.answer(request(name))
        if isinstance(answer, SystemBatch):
            answer = answer.response(self.store.apply(answer.writes, NOW))
        assert isinstance(answer, bytes)
        return answer.hex()


@pytest.fixture(autouse=True)
def _known_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module.os, "urandom", lambda size: NONCE[:size])


@pytest.mark.parametrize(("name", "said", "before"), CASES, ids=[f"{name}: {said}" for name, said, _ in CASES])
def test_delegations(name: str, said: str, before: list[str]) -> None:
    registry = Registry()
    for one in before:
        registry.ask(one)
    assert registry.ask(name) == response(name, said)


def test_no_answer_of_the_vectors_is_left_out() -> None:
    ops = {Op.SUCCESSION, *range(Op.DELEGATE, Op.REQUESTS + 1)}
    answers = {
        (name, said["name"]) for name, one in OPERATIONS.items() if one["op"] in ops for said in one["responses"]
    }
    assert answers == {(name, said) for name, said, _ in CASES} | ELSEWHERE


def test_of_two_changes_at_a_time_the_second_is_sent_away() -> None:
    registry = Registry()
    registry.ask("delegate")
    assert isinstance(registry.administrator.answer(request("delegate anew")), SystemBatch)
    again = registry.administrator.answer(request("revoke"))
    assert isinstance(again, bytes)
    assert again.hex() == response("delegate", "another change under way")


def test_delegating_is_for_those_who_may_write_the_zone() -> None:
    nobody = Registry().anybody.answer(request("delegate"))
    assert isinstance(nobody, bytes)
    assert nobody.hex() == response("delegate", "no key proven")
    assert Registry("88.118.32001").ask("delegate") == response("delegate", "not the whole zone")


@pytest.mark.parametrize(
    ("name", "said", "successions"),
    [
        ("succession", "none", ()),
        ("succession", "shown", (SUCCESSION,)),
        ("succession over UDP", "shown", (SUCCESSION,)),
    ],
)
def test_successions_at_both_doors(name: str, said: str, successions: tuple[bytes, ...]) -> None:
    own = own_keys(SECONDARY.prefix, SECONDARY.online.seed, SECONDARY_CHAIN.online_keys, SECONDARY_CHAIN.delegations,
                   [str(SECONDARY.key.public)], successions, NOW)  # fmt: skip
    facts = NodeFacts(FACTS.role, FACTS.zone, FACTS.software, own.chain, own=own)
    at_registry = Session(MemoryStore(), facts, Rights({}, facts.zone), dict)
    for answer in (Answerer(MemoryStore(), facts).one, at_registry.answer):
        assert answer(request(name)) == bytes.fromhex(response(name, said))
