"""What every node says of itself."""

from __future__ import annotations

import msgpack
import pytest

from protocol import limits
from protocol.errors import MessageError, NotVerified
from protocol.messages import Op
from protocol.node import NodeFacts, answer_common, check_own_key
from tests.vectors.actors import KEY_SINCE, KEY_UNTIL, NOW, RID, SECONDARY, SECONDARY_CHAIN, key

FACTS = NodeFacts("secondary", "88.118", "biaoshi/1", SECONDARY_CHAIN)


def said(op: int, *arguments: object) -> list[object]:
    wire = answer_common(FACTS, op, RID, arguments)
    assert wire is not None
    response: list[object] = msgpack.unpackb(wire)
    return response


@pytest.mark.parametrize("arguments", [(1,), (1, 0), (1, 1)])
def test_hello(arguments: tuple[int, ...]) -> None:
    agreed = {
        "many": limits.MAX_MANY,
        "list": limits.MAX_LIST,
        "writes": limits.MAX_WRITES,
        "message_bytes": limits.MAX_MESSAGE_BYTES,
    }
    assert said(Op.HELLO, *arguments) == [RID, 0, [1, "biaoshi/1", "secondary", "88.118", agreed]]


def test_hello_of_another_version() -> None:
    assert said(Op.HELLO, 2) == [RID, 306, None]


@pytest.mark.parametrize("arguments", [(), (b"1",), (1, 0, 0)])
def test_hello_of_another_shape(arguments: tuple[object, ...]) -> None:
    with pytest.raises(MessageError):
        answer_common(FACTS, Op.HELLO, RID, arguments)


def test_chain() -> None:
    assert said(Op.CHAIN) == [RID, 0, [list(SECONDARY_CHAIN.delegations), list(SECONDARY_CHAIN.online_keys)]]
    assert said(Op.CHAIN, bytes(100)) == said(Op.CHAIN)


def test_ping() -> None:
    assert said(Op.PING) == said(Op.PING, bytes(100)) == [RID, 0, None]


@pytest.mark.parametrize("op", [Op.RESOLVE, Op.STATUS, Op.WRITE, 15, -1, 1 << 60])
def test_the_rest_is_for_the_door(op: int) -> None:
    assert answer_common(FACTS, op, RID, ()) is None


def test_a_node_checks_its_own_key_before_it_serves() -> None:
    own = SECONDARY.online_statement()
    assert check_own_key(own, SECONDARY.online.public, "88.118", NOW).node == "node-1"
    for bent, rule in [
        ((own, key("another").public, "88.118", NOW), "node.other-key"),
        ((own, SECONDARY.online.public, "88.119", NOW), "node.other-prefix"),
        ((own, SECONDARY.online.public, "88.118", KEY_SINCE - 1), "node.key-expired"),
        ((own, SECONDARY.online.public, "88.118", KEY_UNTIL + 1), "node.key-expired"),
    ]:
        with pytest.raises(NotVerified) as caught:
            check_own_key(*bent)
        assert caught.value.rule.name == rule
    with pytest.raises(MessageError):
        check_own_key(b"", SECONDARY.online.public, "88.118", NOW)
