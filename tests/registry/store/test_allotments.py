"""What of an allotment answering depends on, without a store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StoreError
from protocol.records import State, encode_body
from protocol.status import Status
from registry.enterprises.bodies import Allotment
from registry.store.allotments import ALLOTMENTS, BAD_ALLOTMENT, Stage, find_closure, find_stage
from registry.store.memory import MemoryStore
from registry.store.shelf import Found, Shelf
from registry.store.system import system_identifier, system_write
from tests.registry.store.builders import allot

prefixes = st.lists(st.sampled_from(["8", "88", "1"]), min_size=1, max_size=4).map(".".join)


def body(prefix: str, stage: Stage) -> bytes:
    return encode_body(1, State.ACTIVE, 1, allot(prefix, stage).values or b"")


@given(stages=st.dictionaries(prefixes, st.sampled_from(Stage), max_size=6), prefix=prefixes)
def test_the_highest_closure(stages: dict[str, Stage], prefix: str) -> None:
    bodies = {system_identifier(ALLOTMENTS, one): body(one, stage) for one, stage in stages.items()}
    closed = {one: stage for one, stage in stages.items() if stage in (Stage.SUSPENDED, Stage.CLOSED)}
    above = [one for one in closed if (prefix + ".").startswith(one + ".")]
    highest = closed[min(above, key=len)] if above else None
    expected = {None: None, Stage.SUSPENDED: Status.SUSPENDED, Stage.CLOSED: Status.WITHDRAWN}[highest]
    assert find_closure(bodies.get, prefix) == expected


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x01", b"\x92\x01\x63", b"\x92\x01\xa1x", b"\x80"])
def test_a_damaged_allotment_is_told_of(data: bytes) -> None:
    write = system_write(ALLOTMENTS, "88.1", {"DATA": data})
    bodies = {write.identifier: encode_body(1, State.ACTIVE, 1, write.values or b"")}
    with pytest.raises(StoreError) as caught:
        find_closure(bodies.get, "88.1.2")
    assert caught.value.rule is BAD_ALLOTMENT


@pytest.mark.parametrize("stage", Stage)
def test_what_is_kept_begins_with_what_is_looked_at(stage: Stage) -> None:
    store = MemoryStore()
    shelf = Shelf(store, ALLOTMENTS, Allotment)
    store.apply([shelf.write("88.1", Found(0, None), Allotment(stage=stage, enterprise="x", since=1, changed=2))], 1)
    assert find_stage(store.find, "88.1") is stage
    assert find_stage(store.find, "88") is None
