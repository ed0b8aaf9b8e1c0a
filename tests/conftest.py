"""What several test directories share: real nodes, always stopped at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.nodes import Node

MakeNode = Callable[..., Node]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One running node of zone 88.118 for all tests that leave it as it was: each uses a prefix of its own below."""
    shared = Node(tmp_path_factory.mktemp("shared") / "node", host="127.0.0.2")
    try:
        shared.start()
        yield shared
    finally:
        code = shared.stop()
    assert code == 0, shared.said()
    assert "Traceback" not in shared.said()


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    """Make nodes for one test, not started; what runs at its end is stopped."""
    made: list[Node] = []

    def make(host: str = "127.0.0.3", **options: object) -> Node:
        made.append(Node(tmp_path / f"node-{len(made) + 1}", host, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()
