"""What a record was, asked of its own zone's servers, whichever server the client knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.errors import Refused
from protocol.records import Value, encode_values
from protocol.status import Status
from registry.store.writes import ANY, Write
from resolver.client import Client
from tests.recursion.tree import ENTERPRISE, PUMP, RecursiveNode, Tree, province, recursive
from tests.resolver.servers import LOOPS, NOW, run

BOTH = pytest.mark.parametrize("loop", LOOPS)
WAYS: dict[str, Callable[[Tree, RecursiveNode], str]] = {
    "its own server": lambda tree, node: tree.zones[ENTERPRISE].servers[0].address,
    "the top": lambda tree, node: str(tree.roots[0]),
    "a recursive node": lambda tree, node: node.address,
}


@BOTH
@pytest.mark.parametrize("way", WAYS)
def test_the_past_is_had_whomever_one_knows(loop: str, way: str) -> None:
    async def main() -> None:
        async with province() as tree, recursive(tree) as node:
            store = tree.zones[ENTERPRISE].store
            store.apply(
                [Write(PUMP.encode(), ANY, encode_values([Value(1, "URL", b"https://example.cn/2")]))], NOW + 10
            )
            store.apply([Write(PUMP.encode(), ANY, None)], NOW + 20)
            async with Client(WAYS[way](tree, node), anchor=tree.anchor) as client:
                urls = [(await client.resolve_as_of(PUMP, NOW + seconds)).url for seconds in (0, 10, 19)]
                assert urls == ["https://example.cn/1", "https://example.cn/2", "https://example.cn/2"]
                gone = await client.resolve_as_of(PUMP, NOW + 20)
                assert gone.status is Status.WITHDRAWN
                assert gone.proof.zone.prefix == ENTERPRISE
                assert (await client.resolve_as_of(PUMP, NOW - 1)).status is Status.NOT_FOUND
                assert [record.version async for record in client.history(PUMP)] == [3, 2, 1]
                with pytest.raises(Refused) as refused:
                    _ = [record async for record in client.history(f"{ENTERPRISE}/never")]
                assert refused.value.status is Status.NOT_FOUND

    run(main(), loop)


def test_a_recursive_node_that_is_trusted_has_no_past() -> None:
    async def main() -> None:
        async with (
            province() as tree,
            recursive(tree) as node,
            Client(node.address, anchor=node.keys.anchor) as client,
        ):
            with pytest.raises(Refused) as refused:
                await client.resolve_as_of(PUMP, NOW)
            assert refused.value.rule.name == "client.no-authority"

    run(main())
